// Try: the decision for a prompt that is not sent, under two policies, and with the dial where one wants it.
import { useEffect, useState } from './vendor/hooks.js'
import { Attribution, Candidates, routed } from './decisions.js'
import { Empty, Facts, Fault, html, post } from './view.js'

const EXAMPLE = 'Our supplier missed the delivery date twice. May we end the contract without notice?'
const PATIENCE = 250

export function Try({ status, apiKey }) {
  const policies = status?.policies.map(policy => policy.name) ?? []
  const [prompt, setPrompt] = useState(EXAMPLE)
  const [left, setLeft] = useState()
  const [right, setRight] = useState()
  const [tolerance, setTolerance] = useState(0.1)
  const [understood, setUnderstood] = useState()
  if (!status) return html`<${Empty}>Waiting for the policies…<//>`
  const one = left ?? status.default_policy
  const other = right ?? policies.find(name => name !== one) ?? one
  const pick = (value, set, name) => html`<label>${name}<select value=${value} onChange=${event => set(event.target.value)}>
    ${policies.map(name => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>`
  const ask = { prompt, apiKey, fallback: status.fallback }
  return html`<section class="card">
      <h2>Try a prompt</h2>
      <label>Prompt: nothing of it is sent to a model<textarea rows="3" value=${prompt} onInput=${event => setPrompt(event.target.value)}></textarea></label>
      <div class="filters">${pick(one, setLeft, 'policy')}${pick(other, setRight, 'another policy')}
        <label class="slide">tolerance ${tolerance.toFixed(2)}<input type="range" min="0" max="0.6" step="0.01" value=${tolerance}
          onInput=${event => setTolerance(Number(event.target.value))} /></label></div>
      ${understood && html`<${Understood} run=${understood} />`}
    </section>
    <div class="two">
      <${Run} ...${ask} title=${`Policy ${one}`} model=${`auto:${one}`} found=${setUnderstood} />
      ${other !== one && html`<${Run} ...${ask} title=${`Policy ${other}`} model=${`auto:${other}`} />`}
      <${Run} ...${ask} title=${`Policy ${one}, tolerance ${tolerance.toFixed(2)}`} model=${`auto:${one}`} tolerance=${tolerance} />
    </div>`
}

/** What is the same under every policy. */
function Understood({ run }) {
  const facts = routed(run).filter(([name]) => name !== 'policy')
  return html`<${Facts} all=${[['domain', run.domain ?? 'unknown'], ...facts, ['answer', run.expected_output_tokens && `about ${run.expected_output_tokens} tokens`]]} />
    ${run.attribution?.length ? html`<${Attribution} words=${run.attribution} />` : null}`
}

function Run({ title, model, tolerance, prompt, apiKey, fallback, found }) {
  const [run, setRun] = useState()
  const [error, setError] = useState()
  useEffect(() => {
    let stale = false
    const take = (run, error) => {
      if (stale) return
      setRun(run)
      setError(error)
      found?.(run)
    }
    const later = setTimeout(() => {
      const path = tolerance == null ? '/api/route' : `/api/route?tolerance=${tolerance}`
      post(path, apiKey, { model, messages: [{ role: 'user', content: prompt }] }).then(take, error => take(null, error))
    }, PATIENCE)
    return () => {
      stale = true
      clearTimeout(later)
    }
  }, [model, tolerance, prompt, apiKey])
  return html`<section class="card"><h2>${title}</h2>
    ${error ? html`<${Fault} error=${error.message} />` : run ? html`<${Found} run=${run} fallback=${fallback} />` : html`<${Empty}>Deciding…<//>`}</section>`
}

function Found({ run, fallback }) {
  const { flips, runner_up: next } = run
  return html`<p class="outcome" role="status">→ <strong>${run.chosen}</strong> <span class="tag">${run.reason}</span></p>
    <${Candidates} decision=${run} fallback=${fallback} />
    ${next && html`<p>Next would be ${next.expert}, its expected quality ${Math.abs(next.behind_by).toFixed(3)} ${next.behind_by >= 0 ? 'lower' : 'higher'}.</p>`}
    ${flips?.dial && html`<p>The choice stays from a ${flips.dial.dial} of ${flips.dial.from.toFixed(3)} ${flips.dial.to == null ? 'on' : `to ${flips.dial.to.toFixed(3)}`}; it stands at ${flips.dial.value.toFixed(3)}.</p>`}
    ${flips?.words.length ? html`<p>${flips.words.map(word => `Without «${word.text}» it would go to ${word.chosen}.`).join(' ')}</p>` : null}`
}
