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
  if (size >= 99.95) return Math.round(value).toLocaleString('en')
  if (size >= 9.995) return value.toFixed(1)
  return size === 0 ? '0' : value.toFixed(2)
}

/** Dollars: `digits` of the largest value count, so that the points of a column stand below each other. */
function dollars(value, largest, digits) {
  if (value == null) return '–'
  if (value === 0) return '$0'
  const places = Math.min(Math.max(digits - 1 - Math.floor(Math.log10(largest)), 2), 6)
  const written = Math.abs(value).toLocaleString('en', { minimumFractionDigits: places, maximumFractionDigits: places })
  return `${value < 0 ? '−' : ''}$${written}`
}

export const usd = value => dollars(value, Math.abs(value), 3)

/** How to write dollars that stand in one column. */
export function usdColumn(values) {
  const largest = Math.max(...values.map(value => Math.abs(value ?? 0)))
  return value => dollars(value, largest, 5)
}

/** Dollars as they were written, cents at least. */
export const price = value => `${value < 0 ? '−' : ''}$${Number(Math.abs(value).toPrecision(6)).toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 9 })}`

export function share(value, places = 1) {
  return value == null || !isFinite(value) ? '–' : `${(value * 100).toFixed(places)} %`
}

export const count = value => value == null ? '–' : Math.round(value).toLocaleString('en')

export const moment = time => new Date(time).toLocaleString('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' })

export const clock = time => new Date(time).toLocaleTimeString('en-GB')

export function Tile({ name, value, note, tone = '' }) {
  return html`<div class="tile"><div class="name">${name}</div>
    <div class=${`value ${tone}`}>${value}</div><div class="note">${note}</div></div>`
}

/** Colours a cell by its share; as a `ref`, since styles in markup are forbidden here. */
export const heat = part => cell => cell?.style.setProperty('background', `rgba(var(--heat), ${(part * 0.4).toFixed(2)})`)

/** Draws a share as a bar behind a cell's text. */
export const bar = part => cell => cell?.style.setProperty('background-size', `${(part * 100).toFixed(1)}% 72%`)

/** Names and values; what has no value is left out. */
export function Facts({ all }) {
  return html`<dl class="facts">${all.filter(([, value]) => value != null).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`
}

export function Fault({ error, children }) {
  return html`<div class="card alert" role="alert"><strong>${error}</strong>${children}</div>`
}

/** The answer, if it is a good one; an error has the server's words. */
export async function request(path, key, options = {}) {
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) }
  const answer = await fetch(path, { ...options, headers }).catch(error => {
    if (error.name === 'AbortError') throw error
    throw Object.assign(new Error('mixgate cannot be reached at this address'), { gone: true })
  })
  if (answer.ok) return answer
  const body = await answer.json().catch(() => ({}))
  const message = body.error?.message ?? body.error ?? `the answer was ${answer.status}`
  throw Object.assign(new Error(message), { status: answer.status })
}

/** Asks for JSON. */
export const ask = (path, key, options) => request(path, key, options).then(answer => answer.json())

export const post = (path, key, body) => ask(path, key, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
})
