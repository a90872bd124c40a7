// Figures and decisions as they come: server-sent events, or where these do not get through, asked for again and again.
import { ask, request } from './view.js'

/** Streams that bring nothing, one after the other, before figures are asked for instead. */
const TRIES = 2
/** How often they are asked for before a stream is tried again. */
const ASKED = 30
const PAUSE = 2000
/** Figures come every second: a stream that is silent for longer is held back somewhere, or dead. */
const SILENCE = 6000

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
        failures += 1
        await listen(key, on, signal, () => { failures = 0 })
      } else {
        await poll(key, on)
        on.state('polling')
        failures = failures > ASKED ? 0 : failures + 1
      }
    } catch (error) {
      if (signal.aborted) return
      // events came until now: ask once what is wrong, then listen again
      if (error.ended) failures = TRIES + ASKED
      // nobody is there, or lets nobody in: that says nothing about events
      else if (error.gone || error.status === 401) failures = 0
      if (error.status === 401) on.state('locked')
      else if (!error.ended) on.state('gone', error.message)
    }
    await new Promise(later => setTimeout(later, PAUSE))
  }
}

/** Comes back, or fails, when there are no more events. */
async function listen(key, on, signal, begun) {
  const stop = new AbortController()
  const quit = () => stop.abort()
  signal.addEventListener('abort', quit)
  let watch
  const alive = () => {
    clearTimeout(watch)
    watch = setTimeout(quit, SILENCE)
  }
  try {
    alive()
    const answer = await request('/api/events', key, { signal: stop.signal, cache: 'no-store' })
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { value, done } = await reader.read()
      if (done) throw new Error('the stream ended')
      alive()
      begun()
      on.state('live')
      const events = (rest + value).split('\n\n')
      rest = events.pop()
      for (const event of events) take(event, on)
    }
  } catch (error) {
    if (error.status || error.gone) throw error
    throw Object.assign(new Error('no events came'), { ended: !stop.signal.aborted })
  } finally {
    clearTimeout(watch)
    signal.removeEventListener('abort', quit)
    quit()
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
