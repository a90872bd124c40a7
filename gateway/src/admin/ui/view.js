// What every page shares: the template tag, numbers with units, small pieces.
import { h } from './vendor/preact.js'
import htm from './vendor/htm.js'

export const html = htm.bind(h)

const SMALL = [[1, 's'], [1e-3, 'ms'], [1e-6, 'µs']]

export function seconds(value) {
  if (value == null || !isFinite(value)) return '–'
  if (value === 0) return '0 ms'
  if (value >= 90) return `${(value / 60).toFixed(1)} min`
  const [unit, name] = SMALL.find(([unit]) => value >= unit * 0.9995) ?? SMALL[2]
  return `${digits(value / unit)} ${name}`
}

export const millis = value => value == null ? '–' : seconds(value / 1e3)

/** Three digits that count. */
export function digits(value) {
  const size = Math.abs(value)
  if (size >= 1e6) return `${(value / 1e6).toFixed(size >= 1e7 ? 1 : 2)} M`
  if (size >= 100) return Math.round(value).toLocaleString('en')
  if (size >= 10) return value.toFixed(1)
  return size === 0 ? '0' : value.toFixed(2)
}

export function usd(value) {
  if (value == null) return '–'
  const size = Math.abs(value)
  const places = size === 0 || size >= 100 ? 2 : size >= 1 ? 3 : size >= 0.001 ? 5 : 6
  return `${value < 0 ? '−' : ''}$${size.toFixed(places)}`
}

export function share(value, places = 1) {
  return value == null || !isFinite(value) ? '–' : `${(value * 100).toFixed(places)} %`
}

export const count = value => value == null ? '–' : Math.round(value).toLocaleString('en')

export const clock = time => new Date(time).toLocaleTimeString('en-GB')

export function Tile({ name, value, note, tone = '' }) {
  return html`<div class="tile"><div class="name">${name}</div>
    <div class=${`value ${tone}`}>${value}</div><div class="note">${note}</div></div>`
}

export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`
}

export function Fault({ error, children }) {
  return html`<div class="card alert" role="alert"><strong>${error}</strong>${children}</div>`
}

/** Asks for JSON; an error has the server's words. */
export async function ask(path, key, options = {}) {
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) }
  let answer
  try {
    answer = await fetch(path, { ...options, headers })
  } catch {
    throw Object.assign(new Error('mixgate cannot be reached at this address'), { gone: true })
  }
  const body = await answer.json().catch(() => ({}))
  if (answer.ok) return body
  const message = body.error?.message ?? body.error ?? `the answer was ${answer.status}`
  throw Object.assign(new Error(message), { status: answer.status })
}

export const post = (path, key, body) => ask(path, key, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
})
