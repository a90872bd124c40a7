// Configuration: what is running, where each value came from, reload, and what is known of the experts.
import { useEffect, useState } from './vendor/hooks.js'
import { Empty, Facts, Fault, ask, count, heat, html, price, share } from './view.js'

export function Configuration({ status, reread, apiKey }) {
  const [settings, setSettings] = useState()
  const [error, setError] = useState()
  useEffect(() => {
    ask('/api/config', apiKey).then(setSettings, setError)
  }, [status?.config_hash, apiKey])
  if (error) return html`<${Fault} error=${error.message} />`
  if (!status || !settings) return html`<${Empty}>Reading the configuration…<//>`
  return html`<${Running} status=${status} reread=${reread} apiKey=${apiKey} />
    <section class="card"><h2>Policies</h2><${Policies} status=${status} /></section>
    <section class="card"><h2>Experts</h2><${Experts} status=${status} /></section>
    <section class="card"><h2>Chance of a good answer</h2><${Qualities} status=${status} /></section>
    <section class="card"><h2>Every value, and where it came from</h2><${Settings} all=${settings.settings} file=${settings.file} /></section>`
}

function Running({ status, reread, apiKey }) {
  const [result, setResult] = useState()
  const reload = () => {
    setResult({ text: 'Reading the file…' })
    ask('/-/reload', apiKey, { method: 'POST' }).then(
      ({ hash }) => {
        setResult({ good: true, text: hash === status.config_hash ? `Read again, nothing had changed: ${hash}` : `Reloaded: ${hash} is running` })
        reread()
      },
      error => setResult({ good: false, text: error.message }))
  }
  return html`<section class="card"><h2>Running</h2>
    <${Facts} all=${[['mixgate', status.version], ['configuration', status.config_hash],
      ['router model', status.router_version], ['state', status.draining ? 'draining' : 'serving']]} />
    <div class="row"><button class="main" onClick=${reload} disabled=${!status.config_file}>Reload</button>
      <span class="quiet">${status.config_file ? `reads ${status.config_file} again` : 'There is no file to read again.'}</span></div>
    <pre role="status" class=${result?.good === false ? 'bad' : 'good'}>${result?.text}</pre></section>`
}

function Policies({ status }) {
  const measured = status.policies.some(policy => policy.measured)
  const known = ({ measured: of }) => of ? html`<td class="n">${share(of.served, 0)}</td><td class="n">${share(of.quality)}</td>
      <td class="n">${`${of.quality >= of.of_fallback ? '+' : '−'}${(Math.abs(of.quality - of.of_fallback) * 100).toFixed(1)} ± ${(of.margin * 100).toFixed(1)}`}</td>
      <td class="n">${share(of.under_route[0])} of ${count(of.needing)}</td><td class="n">${of.cost == null ? '–' : share(of.cost, 0)}</td>
      <td class="quiet">${count(of.prompts)} prompts of ${of.source}</td>`
    : html`<td class="quiet" colspan=${measured ? 6 : 1}>nothing graded is known of these experts</td>`
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Policies"><table><thead><tr><th>policy</th><th>dial</th><th>requires</th>
      ${measured && html`<th class="n">to experts</th><th class="n">right</th><th class="n">against the fallback, points</th>
      <th class="n">needed the fallback, went elsewhere</th><th class="n">of its cost</th>`}<th>on graded prompts</th></tr></thead>
    <tbody>${status.policies.map(policy => html`<tr key=${policy.name}><td>${policy.name}${policy.name === status.default_policy ? html` <span class="tag">auto</span>` : ''}</td>
      <td>${policy.dial}</td><td>${policy.require.join(', ') || '–'}</td>${known(policy)}</tr>`)}</tbody></table></div>`
}

function Experts({ status }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Experts"><table><thead><tr><th>expert</th><th>model</th><th class="n">USD per million, in</th><th class="n">out</th><th class="n">window</th>
      <th>can</th><th>tags</th></tr></thead>
    <tbody>${status.experts.map(expert => html`<tr key=${expert.name}><td><${Name} expert=${expert} status=${status} /></td>
      <td>${expert.model}${expert.catalogue && expert.catalogue.name !== expert.model ? html` <small class="quiet">catalogue: ${expert.catalogue.name}</small>` : ''}</td>
      <td class="n">${expert.price ? price(expert.price.input_per_1m) : html`<span class="bad">unpriced</span>`}</td><td class="n">${expert.price ? price(expert.price.output_per_1m) : ''}</td>
      <td class="n">${count(expert.context_window)}</td><td class="wrap">${expert.capabilities.join(', ')}</td><td class="wrap">${expert.tags.join(', ')}</td></tr>`)}</tbody></table></div>`
}

const Name = ({ expert, status }) => html`${expert.name}${expert.name === status.fallback ? html` <span class="tag">fallback</span>` : ''}`

function Qualities({ status }) {
  const domains = [...new Set(status.experts.flatMap(expert => [
    ...Object.keys(expert.quality), ...(expert.catalogue?.domains ?? []).map(one => one.domain)]))].sort()
  const cell = (expert, domain) => {
    const set = expert.quality[domain]
    if (set != null) return html`<td class="cell" key=${domain} ref=${heat(set)}>${set.toFixed(2)}</td>`
    const graded = expert.catalogue?.domains.find(one => one.domain === domain)
    return html`<td class="cell" key=${domain} ref=${heat(graded?.quality ?? 0)} title=${graded ? `graded on ${graded.rows} answers, 95 %: ${graded.low.toFixed(2)} to ${graded.high.toFixed(2)}` : undefined}>${graded ? html`<i>${graded.quality.toFixed(2)}</i>` : ''}</td>`
  }
  if (!domains.length) return html`<${Empty}>No expert has a figure of quality.<//>`
  return html`<p class="quiet">Per domain: as configured, or graded in the router model's catalogue (<i>slanted</i>). Empty: never chosen there, but for the fallback.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Chances of a good answer"><table class="heat"><thead><tr><th>expert</th>${domains.map(domain => html`<th class="n" key=${domain}>${domain}</th>`)}</tr></thead>
    <tbody>${status.experts.map(expert => html`<tr key=${expert.name}><th scope="row"><${Name} expert=${expert} status=${status} /></th>${domains.map(domain => cell(expert, domain))}</tr>`)}</tbody></table></div>`
}

function Settings({ all, file }) {
  const [wanted, setWanted] = useState('')
  const [defaults, setDefaults] = useState(false)
  const fitting = all.filter(setting => setting.path.includes(wanted) && (defaults || setting.line != null))
  const from = setting => setting.line == null ? 'default'
    : `line ${setting.line}${setting.variables?.length ? `, with ${setting.variables.map(name => `$${name}`).join(', ')}` : ''}`
  return html`<div class="filters"><label>path contains<input value=${wanted} onInput=${event => setWanted(event.target.value)} /></label>
      <label class="check beside"><input type="checkbox" checked=${defaults} onChange=${event => setDefaults(event.target.checked)} /> defaults too</label>
      <span class="quiet beside">${fitting.length} of ${all.length}; lines are those of ${file ?? 'the configuration'}</span></div>
    <div class="scroll" tabindex="0" role="region" aria-label="Settings"><table><thead><tr><th>path</th><th>value</th><th>from</th></tr></thead>
    <tbody>${fitting.map(setting => html`<tr key=${setting.path}><td>${setting.path}</td><td class="wrap">${typeof setting.value === 'string' ? setting.value : JSON.stringify(setting.value)}</td>
      <td class=${setting.line == null ? 'quiet' : ''}>${from(setting)}</td></tr>`)}</tbody></table></div>`
}
