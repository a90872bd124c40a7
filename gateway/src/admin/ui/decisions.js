// Decisions: as they happen, filtered, and one of them opened.
import { useEffect, useRef, useState } from './vendor/hooks.js'
import { Empty, Facts, Fault, ask, bar, clock, count, html, millis, moment, post, share, usd, usdColumn } from './view.js'

const FILTERS = {
  expert: decision => decision.chosen ?? '–',
  domain: decision => decision.domain ?? 'unknown',
  reason: decision => decision.reason ?? '–',
  tenant: decision => decision.tenant ?? 'anyone',
  outcome: decision => decision.outcome,
}
const SHOWN = 200

export function Decisions({ decisions, paused, setPaused, waiting, opened, apiKey, fallback }) {
  const [filter, setFilter] = useState({})
  const fits = decision => Object.entries(filter).every(([name, wanted]) => !wanted || FILTERS[name](decision) === wanted)
  const fitting = decisions.filter(fits)
  return html`<section class="card">
    <div class="row spread"><h2>Decisions</h2>
      <div class="row">${paused && html`<span class="quiet">paused, ${waiting} more came</span>`}
        <button onClick=${() => setPaused(!paused)}>${paused ? 'Go on' : 'Pause'}</button></div></div>
    <div class="filters">${Object.entries(FILTERS).map(([name, of]) => html`<${Filter} key=${name} name=${name}
      values=${[...new Set([...decisions.map(of), ...filter[name] ? [filter[name]] : []])].sort()} value=${filter[name]} set=${value => setFilter({ ...filter, [name]: value })} />`)}
      <span class="quiet beside">${shown(fitting.length, decisions.length)}</span></div>
    ${fitting.length ? html`<${Table} decisions=${fitting.slice(0, SHOWN)} />`
      : html`<${Empty}>${decisions.length ? 'None fits these filters.' : 'No decision yet. They appear here as requests end.'}<//>`}
    ${opened && html`<${Opened} key=${opened} id=${opened} known=${decisions.find(one => one.id === opened)} apiKey=${apiKey} fallback=${fallback} />`}
  </section>`
}

function shown(fitting, all) {
  const of = fitting === all ? `the newest ${count(all)}` : `${count(fitting)} of the newest ${count(all)}`
  return fitting > SHOWN ? `${of}, ${SHOWN} shown` : of
}

function Filter({ name, values, value = '', set }) {
  return html`<label>${name}<select value=${value} onChange=${event => set(event.target.value)}>
    <option value="">all</option>${values.map(one => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>`
}

function Table({ decisions }) {
  const money = usdColumn(decisions.flatMap(one => [one.cost_usd, one.saved_usd]))
  const open = id => getSelection().isCollapsed && (location.hash = `#/decisions/${id}`)
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Decisions"><table><thead><tr>
    <th>time</th><th>domain</th><th>expert</th><th>reason</th><th>outcome</th><th class="n">tokens</th>
    <th class="n">cost</th><th class="n">saved</th><th class="n">first token</th><th class="n">total</th></tr></thead>
    <tbody>${decisions.map(one => html`<tr key=${one.id} class="opens" onClick=${() => open(one.id)}>
      <td><a href=${`#/decisions/${one.id}`}>${clock(one.time)}</a></td>
      <td>${one.domain ?? '–'}</td><td>${one.chosen ?? '–'}</td><td class=${one.reason === 'routed' ? 'quiet' : ''}>${one.reason ?? '–'}</td>
      <td class=${one.outcome === 'ok' ? 'quiet' : 'bad'}>${one.outcome}</td>
      <td class="n">${one.usage ? `${count(one.usage.input)} + ${count(one.usage.output)}` : '–'}</td>
      <td class="n">${money(one.cost_usd)}</td><td class="n">${money(one.saved_usd)}</td>
      <td class="n">${millis(one.first_token_millis)}</td><td class="n">${millis(one.total_millis)}</td>
    </tr>`)}</tbody></table></div>`
}

function Opened({ id, known, apiKey, fallback }) {
  const [decision, setDecision] = useState(known)
  const [error, setError] = useState()
  const dialog = useRef()
  useEffect(() => {
    dialog.current.showModal()
    if (!known) ask(`/api/decisions/${encodeURIComponent(id)}`, apiKey).then(setDecision, setError)
  }, [])
  const close = () => { location.hash = '#/decisions' }
  const beside = event => event.target === dialog.current && dialog.current.close()
  return html`<dialog ref=${dialog} onClose=${close} onClick=${beside} aria-label="Decision"><div class="inside">
    <div class="row spread"><h2>${decision ? `${decision.domain ?? 'unknown domain'} → ${decision.chosen ?? 'nobody'}` : 'Decision'}</h2>
      <button onClick=${() => dialog.current.close()}>Close</button></div>
    ${error && html`<${Fault} error=${error.status === 404 ? 'This decision is no longer remembered.' : error.message}>
      <p>The newest 1,000 are kept here; all are in the decision log.</p><//>`}
    ${decision && html`<${Whole} decision=${decision} apiKey=${apiKey} fallback=${fallback} />`}
  </div></dialog>`
}

function Whole({ decision, apiKey, fallback }) {
  const { usage } = decision
  const part = (number, name) => number ? ` (${count(number)} ${name})` : ''
  return html`<p><span class="tag">${decision.reason ?? '–'}</span> <span class=${`tag ${decision.outcome === 'ok' ? 'good' : 'bad'}`}>${decision.outcome}</span></p>
    <${Facts} all=${[
      ['time', moment(decision.time)],
      ['asked for', decision.requested_model],
      ['tenant', decision.tenant],
      ...routed(decision),
      ['tokens in', usage && count(usage.input) + part(usage.cached_input, 'cached')],
      ['tokens out', usage && count(usage.output) + part(usage.reasoning, 'reasoning') + (decision.usage_estimated ? ', estimated' : '')],
      ['cost', usage && usd(decision.cost_usd)],
      ['at the fallback', usage && usd(decision.baseline_cost_usd)],
      ['saved', usage && usd(decision.saved_usd)],
      ['first token', decision.first_token_millis == null ? null : millis(decision.first_token_millis)],
      ['total', millis(decision.total_millis)],
    ]} />
    <${Candidates} decision=${decision} fallback=${fallback} />
    <h3>Attempts</h3>
    <${Attempts} attempts=${decision.attempts ?? []} total=${decision.total_millis} />
    ${decision.text && html`<h3>Text</h3><p class="text">${decision.text}</p><${Words} text=${decision.text} apiKey=${apiKey} />`}
    <${Feedback} decision=${decision} apiKey=${apiKey} />
    <p class="quiet small">decision ${decision.id}, request ${decision.request_id}</p>`
}

/** What the router found, as facts. */
export const routed = run => run.candidates?.length ? [
  ['policy', run.policy],
  ['confidence', share(run.confidence)],
  ['stranger than', run.ood_score == null ? null : `${share(run.ood_score, 0)} of prompts`],
  ['decided in', `${count(run.route_micros)} µs`],
  ['router', run.router_version],
] : []

/** What shuts a candidate out, and where the rule stands that does. */
const because = one => one.rule ? `${one.why_not} (${one.rule})` : one.why_not

export function Candidates({ decision, fallback }) {
  const all = [...decision.candidates ?? []].sort((one, two) => two.score - one.score)
  if (!all.length) return null
  const candidates = all.filter(one => one.eligible || one.expert === decision.chosen)
  const money = usdColumn(candidates.map(one => one.expected_cost_usd))
  const others = Object.entries(Object.groupBy(all.filter(one => !candidates.includes(one)), because))
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Candidates"><table><thead><tr><th>candidate</th><th class="n bar">expected quality</th>
      <th class="n">expected cost</th></tr></thead>
    <tbody>${candidates.map(one => html`<tr key=${one.expert} class=${one.expert === decision.chosen ? 'pick' : ''}>
      <td class="wrap">${one.expert}${one.expert === fallback ? html` <span class="tag">fallback</span>` : ''}${one.eligible ? '' : html` <small class="quiet">${because(one)}</small>`}</td>
      <td class="n bar" ref=${bar(Math.min(one.score, 1))}>${one.score.toFixed(3)}</td>
      <td class="n">${money(one.expected_cost_usd)}</td></tr>`)}</tbody></table></div>
    ${others.map(([why, list]) => html`<p key=${why} class="quiet small">Not allowed, ${why}: ${list.map(one => `${one.expert} (${one.score.toFixed(3)})`).join(', ')}.</p>`)}`
}

function Attempts({ attempts, total }) {
  if (!attempts.length) return html`<p class="quiet">None was made.</p>`
  const whole = Math.max(total ?? 0, attempts.reduce((sum, one) => sum + one.millis, 0), 1e-3)
  let from = 0
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Attempts"><table><tbody>${attempts.map((one, place) => {
    const left = from
    from += one.millis
    const size = line => {
      line?.style.setProperty('left', `${left / whole * 100}%`)
      line?.style.setProperty('width', `${Math.max(one.millis / whole * 100, 0.5)}%`)
    }
    return html`<tr key=${place}><td>${one.expert}</td><td>${one.endpoint}</td><td class=${one.outcome === 'ok' ? 'good' : 'bad'}>${one.outcome}${one.status ? ` ${one.status}` : ''}</td>
      <td class="n">${millis(one.millis)}</td><td class="wide"><div class="line"><i class=${one.outcome === 'ok' ? '' : 'failed'} ref=${size}></i></div></td></tr>`
  })}</tbody></table></div>`
}

function Words({ text, apiKey }) {
  const [words, setWords] = useState()
  useEffect(() => {
    const body = { model: 'auto', messages: [{ role: 'user', content: text }] }
    post('/api/route', apiKey, body).then(run => setWords(run.attribution), () => setWords([]))
  }, [text])
  return words?.length ? html`<h3>Words that decided</h3><${Attribution} words=${words} />` : null
}

export function Attribution({ words }) {
  return html`<p class="words">${words.map(({ text, weight }, place) => html`<span key=${place}
    ref=${word => word?.style.setProperty('background', `rgba(var(--heat), ${Math.min(Math.abs(weight), 0.5).toFixed(2)})`)}>${text} <small>${weight >= 0 ? '+' : '−'}${Math.abs(weight).toFixed(3)}</small></span>`)}</p>
    <p class="quiet small">Each word's share in the domain's probability, found by leaving it out.</p>`
}

function Feedback({ decision, apiKey }) {
  const [said, setSaid] = useState()
  const say = score => post('/api/feedback', apiKey, { decision: decision.id, score })
    .then(() => setSaid('Taken: it is in the decision log.'), error => setSaid(error.message))
  return html`<h3>Was the answer good?</h3><div class="row">
    <button onClick=${() => say(1)}>Good</button><button onClick=${() => say(0.5)}>So so</button><button onClick=${() => say(0)}>Bad</button>
    <span role="status" class="quiet">${said}</span></div>`
}
