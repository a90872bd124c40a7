// Figures and decisions as they come: server-sent events, or where these do not get through, asked for again and again.
import { ask } from './view.js'

const TRIES = 3
const PAUSE = 2000

/** Calls `on.figures`, `on.decision` and `on.state` ('live', 'polling', 'gone' or 'locked') until it is stopped. */
export function follow(key, on) {
  const stop = new AbortController()
  run(key, on, stop.signal)
  return () => stop.abort()
}

async function run(key, on, signal) {
  for (let failures = 0; !signal.aborted;) {
    try {
      if (failures < TRIES) {
        await listen(key, on, signal, () => { failures = 0 })
        failures += 1
      } else {
        await poll(key, on)
        on.state('polling')
        failures = failures > 30 ? 0 : failures + 1
      }
    } catch (error) {
      if (signal.aborted) return
      failures += 1
      on.state(error.status === 401 ? 'locked' : 'gone', error.message)
    }
    await new Promise(later => setTimeout(later, PAUSE))
  }
}

async function listen(key, on, signal, begun) {
  const headers = key ? { authorization: `Bearer ${key}` } : {}
  const answer = await fetch('/api/events', { headers, signal, cache: 'no-store' }).catch(() => {
    throw new Error('mixgate cannot be reached at this address')
  })
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}))
    throw Object.assign(new Error(body.error?.message ?? `the answer was ${answer.status}`), { status: answer.status })
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return on.state('gone', 'the connection ended')
    const events = (rest + value).split('\n\n')
    rest = events.pop()
    for (const event of events) take(event, on)
    on.state('live')
    begun()
  }
}

function take(event, on) {
  const lines = event.split('\n')
  const name = lines.find(line => line.startsWith('event: '))?.slice(7)
  const data = lines.find(line => line.startsWith('data: '))?.slice(6)
  if (name && data) on[name]?.(JSON.parse(data))
}

let newest = null

async function poll(key, on) {
  on.figures(await ask('/api/figures', key))
  const { decisions } = await ask('/api/decisions?limit=50', key)
  const known = decisions.findIndex(decision => decision.id === newest)
  for (const decision of decisions.slice(0, known < 0 ? undefined : known).reverse()) on.decision(decision)
  newest = decisions[0]?.id ?? newest
}
