// Decisions: as they happen, filtered, and one of them opened.
import { useEffect, useRef, useState } from './vendor/hooks.js'
import { Empty, Fault, ask, clock, count, html, millis, post, share, usd } from './view.js'

const FILTERS = {
  expert: decision => decision.chosen ?? '–',
  domain: decision => decision.domain ?? 'unknown',
  reason: decision => decision.reason ?? '–',
  tenant: decision => decision.tenant ?? 'anyone',
  outcome: decision => decision.outcome,
}
const SHOWN = 200

export function Decisions({ decisions, paused, setPaused, opened, apiKey }) {
  const [filter, setFilter] = useState({})
  const fits = decision => Object.entries(filter).every(([name, wanted]) => !wanted || FILTERS[name](decision) === wanted)
  const fitting = decisions.filter(fits)
  return html`<section class="card">
    <div class="row spread"><h2>Decisions</h2>
      <button onClick=${() => setPaused(!paused)} aria-pressed=${paused}>${paused ? 'Go on' : 'Pause'}</button></div>
    <div class="filters">${Object.entries(FILTERS).map(([name, of]) => html`<${Filter} key=${name} name=${name}
      values=${[...new Set(decisions.map(of))].sort()} value=${filter[name]} set=${value => setFilter({ ...filter, [name]: value })} />`)}
      <span class="quiet">${fitting.length} of the newest ${decisions.length}</span></div>
    ${fitting.length ? html`<${Table} decisions=${fitting.slice(0, SHOWN)} />`
      : html`<${Empty}>${decisions.length ? 'None fits these filters.' : 'No decision yet. They appear here as requests end.'}<//>`}
    ${opened && html`<${Opened} id=${opened} known=${decisions.find(one => one.id === opened)} apiKey=${apiKey} />`}
  </section>`
}

function Filter({ name, values, value = '', set }) {
  return html`<label>${name}<select value=${value} onChange=${event => set(event.target.value)}>
    <option value="">all</option>${values.map(one => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>`
}

function Table({ decisions }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Decisions"><table><thead><tr>
    <th>time</th><th>domain</th><th>expert</th><th>reason</th><th>outcome</th><th class="n">tokens</th>
    <th class="n">cost</th><th class="n">saved</th><th class="n">first token</th><th class="n">total</th></tr></thead>
    <tbody>${decisions.map(one => html`<tr key=${one.id}>
      <td><a href=${`#/decisions/${one.id}`}>${clock(one.time)}</a></td>
      <td>${one.domain ?? '–'}</td><td>${one.chosen ?? '–'}</td><td>${one.reason ?? '–'}</td>
      <td class=${one.outcome === 'ok' ? '' : 'bad'}>${one.outcome}</td>
      <td class="n">${one.usage ? `${count(one.usage.input)} + ${count(one.usage.output)}` : '–'}</td>
      <td class="n">${usd(one.cost_usd)}</td><td class="n">${usd(one.saved_usd)}</td>
      <td class="n">${millis(one.first_token_millis)}</td><td class="n">${millis(one.total_millis)}</td>
    </tr>`)}</tbody></table></div>`
}

function Opened({ id, known, apiKey }) {
  const [decision, setDecision] = useState(known)
  const [error, setError] = useState()
  const dialog = useRef()
  useEffect(() => {
    dialog.current.showModal()
    if (!known) ask(`/api/decisions/${encodeURIComponent(id)}`, apiKey).then(setDecision, setError)
  }, [id])
  const close = () => { location.hash = '#/decisions' }
  return html`<dialog ref=${dialog} onClose=${close} aria-label="Decision">
    <div class="row spread"><h2>Decision</h2><button onClick=${() => dialog.current.close()}>Close</button></div>
    ${error && html`<${Fault} error=${error.status === 404 ? 'This decision is no longer remembered.' : error.message}>
      <p>The newest 1,000 are kept here; all are in the decision log.</p><//>`}
    ${decision && html`<${Whole} decision=${decision} apiKey=${apiKey} />`}
  </dialog>`
}

function Whole({ decision, apiKey }) {
  const { usage } = decision
  return html`<p><strong>${decision.domain ?? 'unknown domain'} → ${decision.chosen ?? 'nobody'}</strong> (${decision.reason ?? '–'}), ${decision.outcome}</p>
    <p class="quiet">${new Date(decision.time).toLocaleString('en-GB')} · ${decision.id} · request ${decision.request_id} · asked for ${decision.requested_model}${decision.tenant ? ` · ${decision.tenant}` : ''}</p>
    <${Candidates} decision=${decision} />
    <h3>Attempts</h3>
    <${Attempts} attempts=${decision.attempts ?? []} total=${decision.total_millis} />
    <h3>Tokens and money</h3>
    ${usage ? html`<p>${count(usage.input)} in${usage.cached_input ? ` (${count(usage.cached_input)} cached)` : ''}, ${count(usage.output)} out${usage.reasoning ? ` (${count(usage.reasoning)} reasoning)` : ''}${decision.usage_estimated ? ', estimated: the upstream sent no usage' : ''}.
      Cost ${usd(decision.cost_usd)}, at the fallback ${usd(decision.baseline_cost_usd)}, saved ${usd(decision.saved_usd)}.</p>` : html`<p class="quiet">Nothing was used.</p>`}
    ${decision.text && html`<h3>Text</h3><p>${decision.text}</p>`}
    ${decision.text && html`<${Words} text=${decision.text} apiKey=${apiKey} />`}
    <${Feedback} decision=${decision} apiKey=${apiKey} />`
}

export function Candidates({ decision }) {
  const candidates = decision.candidates ?? []
  if (!candidates.length) return null
  const fallback = decision.fallback
  return html`<p>Confidence ${share(decision.confidence)}, unlike anything known ${share(decision.ood_score, 0)},
    policy ${decision.policy}, router ${decision.router_version}, ${decision.route_micros} µs.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Candidates"><table><thead><tr><th>candidate</th><th class="n">expected quality</th>
      <th class="n">expected cost</th><th>may take it</th></tr></thead>
    <tbody>${candidates.map(one => html`<tr key=${one.expert} class=${one.expert === decision.chosen ? 'pick' : ''}>
      <td>${one.expert}${one.expert === fallback ? ' (fallback)' : ''}</td><td class="n">${one.score.toFixed(3)}</td>
      <td class="n">${usd(one.expected_cost_usd)}</td><td class="wrap">${one.eligible ? 'yes' : one.why_not}</td></tr>`)}</tbody></table></div>`
}

function Attempts({ attempts, total }) {
  if (!attempts.length) return html`<p class="quiet">None was made.</p>`
  const whole = Math.max(total ?? 0, attempts.reduce((sum, one) => sum + one.millis, 0), 1e-3)
  let from = 0
  return html`<table><tbody>${attempts.map((one, place) => {
    const left = from
    from += one.millis
    const size = line => {
      line?.style.setProperty('left', `${left / whole * 100}%`)
      line?.style.setProperty('width', `${Math.max(one.millis / whole * 100, 0.5)}%`)
    }
    return html`<tr key=${place}><td>${one.expert}</td><td>${one.endpoint}</td><td class=${one.outcome === 'ok' ? 'good' : 'bad'}>${one.outcome}${one.status ? ` ${one.status}` : ''}</td>
      <td class="n">${millis(one.millis)}</td><td class="wrap"><div class="line"><i class=${one.outcome === 'ok' ? '' : 'failed'} ref=${size}></i></div></td></tr>`
  })}</tbody></table>`
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
    ref=${word => word?.style.setProperty('background', `rgba(var(--heat), ${Math.min(Math.abs(weight) * 1.5, 0.6).toFixed(2)})`)}>${text} <small>${weight >= 0 ? '+' : '−'}${Math.abs(weight).toFixed(3)}</small></span>`)}</p>
    <p class="quiet">Change of the domain's probability by each word, found by leaving it out.</p>`
}

function Feedback({ decision, apiKey }) {
  const [said, setSaid] = useState()
  const say = score => post('/api/feedback', apiKey, { decision: decision.id, score })
    .then(() => setSaid('Taken: it is in the decision log.'), error => setSaid(error.message))
  return html`<h3>Was the answer good?</h3><div class="row">
    <button onClick=${() => say(1)}>Good</button><button onClick=${() => say(0.5)}>So so</button><button onClick=${() => say(0)}>Bad</button>
    <span role="status" class="quiet">${said}</span></div>`
}
