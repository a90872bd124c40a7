// The console: four pages over one stream of figures and decisions.
import { render } from './vendor/preact.js'
import { useCallback, useEffect, useRef, useState } from './vendor/hooks.js'
import { Configuration } from './configuration.js'
import { Decisions } from './decisions.js'
import { History, total } from './figures.js'
import { Now } from './now.js'
import { follow } from './stream.js'
import { Try } from './try.js'
import { Fault, ask, html } from './view.js'

const PAGES = { now: 'Now', decisions: 'Decisions', try: 'Try', configuration: 'Configuration' }
const KEPT = 500
/** How often the list is asked for where events told of some decisions only, as they do of a flood, milliseconds. */
const CAUGHT_UP = 5000
const STATES = { live: ['', 'live'], polling: ['late', 'asking every 2 s'], gone: ['gone', 'no connection'], locked: ['gone', 'locked'] }

function usePlace() {
  const read = () => location.hash.replace(/^#\//, '').split('/')
  const [place, setPlace] = useState(read)
  useEffect(() => {
    const moved = () => setPlace(read())
    addEventListener('hashchange', moved)
    return () => removeEventListener('hashchange', moved)
  }, [])
  return place
}

function App() {
  const [page, opened] = usePlace()
  const [apiKey, setApiKey] = useState(sessionStorage.getItem('mixgate-key') ?? '')
  const [connection, setConnection] = useState(['gone', 'connecting…'])
  const [status, setStatus] = useState()
  const [paused, setPaused] = useState(false)
  const [decisions, setDecisions] = useState([])
  const [, redraw] = useState(0)
  const history = useRef(new History())
  const waiting = useRef([])
  const known = useRef()
  const missed = useRef(0)

  const reread = useCallback(() => ask('/status', apiKey).then(setStatus, () => {}), [apiKey])
  const merge = fresh => setDecisions(old => {
    const ids = new Set(fresh.map(one => one.id))
    const all = [...fresh, ...old.filter(one => !ids.has(one.id))]
    return all.sort((one, two) => (one.time < two.time) - (one.time > two.time)).slice(0, KEPT)
  })
  const catchUp = useCallback(() => {
    missed.current = 0
    ask('/api/decisions?limit=200', apiKey).then(({ decisions }) => merge(decisions), () => {})
  }, [apiKey])
  useEffect(() => {
    known.current = undefined
    return follow(apiKey, {
      figures: figures => {
        const old = history.current.now
        history.current.push(figures)
        if (old) missed.current += total(figures) - total(old)
        if (old && (old.config_hash !== figures.config_hash || old.draining !== figures.draining)) reread()
        redraw(number => number + 1)
      },
      past: moments => {
        history.current.past = moments
      },
      decision: decision => {
        missed.current -= 1
        waiting.current = [decision, ...waiting.current].slice(0, KEPT)
      },
      state: (state, why) => {
        if (known.current === `${state} ${why}`) return
        known.current = `${state} ${why}`
        setConnection([state, why])
        if (state !== 'live' && state !== 'polling') return
        reread()
        catchUp()
      },
    })
  }, [apiKey])
  useEffect(() => {
    if (paused) return
    const take = setInterval(() => waiting.current.length && merge(waiting.current.splice(0)), 500)
    const check = setInterval(() => missed.current > 0 && catchUp(), CAUGHT_UP)
    return () => [take, check].forEach(clearInterval)
  }, [paused, catchUp])

  const at = PAGES[page] ? page : 'now'
  useEffect(() => { document.title = `${PAGES[at]} · mixgate` }, [at])
  const [tone, told] = STATES[connection[0]]
  return html`<header class="bar"><h1>mixgate</h1>
      <nav aria-label="Pages">${Object.entries(PAGES).map(([name, title]) => html`<a key=${name} href=${`#/${name}`} aria-current=${at === name ? 'page' : undefined}>${title}</a>`)}</nav>
      <span class="state" role="status"><span class=${`dot ${tone}`}></span>${told}${status ? ` · ${status.config_hash}` : ''}</span></header>
    <main>
      ${connection[0] === 'locked' ? html`<${Key} wrong=${apiKey !== ''} set=${key => { sessionStorage.setItem('mixgate-key', key); setApiKey(key) }} />` : html`
        ${connection[0] === 'gone' && history.current.now && html`<${Fault} error=${`No connection: ${connection[1]}.`}><p>What stands below is from before. It is tried again every 2 seconds.</p><//>`}
        ${at === 'now' && html`<${Now} history=${history.current} />`}
        ${at === 'decisions' && html`<${Decisions} decisions=${decisions} paused=${paused} setPaused=${setPaused} waiting=${waiting.current.length} opened=${opened} apiKey=${apiKey} fallback=${history.current.now?.fallback} />`}
        ${at === 'try' && html`<${Try} status=${status} apiKey=${apiKey} />`}
        ${at === 'configuration' && html`<${Configuration} status=${status} reread=${reread} apiKey=${apiKey} />`}`}
    </main>`
}

function Key({ wrong, set }) {
  const [key, setKey] = useState('')
  return html`<form class="card" onSubmit=${event => { event.preventDefault(); set(key) }}><h2>This console wants an admin key</h2>
    <p>One whose hash stands in <code>server.admin_keys</code>. It stays in this tab.</p>
    ${wrong && html`<p class="bad" role="alert">The key given is none of them.</p>`}
    <div class="row"><label>admin key<input type="password" autocomplete="current-password" value=${key} onInput=${event => setKey(event.target.value)} /></label>
    <button class="main">Open</button></div></form>`
}

const app = document.getElementById('app')
app.textContent = ''
render(html`<${App} />`, app)
