// Configuration: what is running, where each value came from, reload, and what is known of the experts.
import { useEffect, useState } from './vendor/hooks.js'
import { Empty, Fault, ask, html, share, usd } from './view.js'

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
    <p>mixgate ${status.version}, configuration ${status.config_hash}${status.config_file ? ` from ${status.config_file}` : ', without a file'}, router model ${status.router_version}${status.draining ? ', draining' : ''}</p>
    <div class="row"><button class="main" onClick=${reload} disabled=${!status.config_file}>Reload</button>
      ${!status.config_file && html`<span class="quiet">There is no file to read again.</span>`}</div>
    <pre role="status" class=${result?.good === false ? 'bad' : 'good'} style=${{ whiteSpace: 'pre-wrap' }}>${result?.text}</pre></section>`
}

function Policies({ status }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Policies"><table><thead><tr><th>policy</th><th>dial</th><th>requires</th><th>on graded prompts</th></tr></thead>
    <tbody>${status.policies.map(policy => html`<tr key=${policy.name}><td>${policy.name}${policy.name === status.default_policy ? html` <span class="tag">auto</span>` : ''}</td>
      <td class="wrap">${policy.dial}</td><td>${policy.require.join(', ') || '–'}</td><td class="wrap">${policy.measured ? html`<${Measured} of=${policy.measured} />` : html`<span class="quiet">nothing graded is known of these experts</span>`}</td></tr>`)}</tbody></table></div>`
}

function Measured({ of }) {
  const gap = of.quality - of.of_fallback
  return html`${share(of.served, 0)} to experts on ${of.prompts} prompts of ${of.source}; right ${share(of.quality)},
    ${gap >= 0 ? '+' : '−'}${(Math.abs(gap) * 100).toFixed(1)} ± ${(of.margin * 100).toFixed(1)} points against the fallback;
    of ${of.needing} in need ${share(of.under_route[0])} went elsewhere${of.cost == null ? '' : `; ${share(of.cost, 0)} of the cost`}`
}

function Experts({ status }) {
  const domains = [...new Set(status.experts.flatMap(expert => [
    ...Object.keys(expert.quality), ...(expert.catalogue?.domains ?? []).map(one => one.domain)]))].sort()
  const cell = (expert, domain) => {
    if (expert.quality[domain] != null) return html`<td class="n" key=${domain}>${expert.quality[domain].toFixed(2)}</td>`
    const graded = expert.catalogue?.domains.find(one => one.domain === domain)
    return html`<td class="n quiet" key=${domain} title=${graded ? `graded on ${graded.rows} answers, 95 %: ${graded.low.toFixed(2)} to ${graded.high.toFixed(2)}` : undefined}>${graded ? `${graded.quality.toFixed(2)} g` : ''}</td>`
  }
  return html`<p class="quiet">Chance of a good answer per domain: as configured, or graded (g) in the router model's catalogue. Empty: never chosen there.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Experts"><table><thead><tr><th>expert</th><th>model</th><th class="n">USD per million, in</th><th class="n">out</th><th class="n">window</th>
      <th>can</th><th>tags</th>${domains.map(domain => html`<th class="n" key=${domain}>${domain}</th>`)}</tr></thead>
    <tbody>${status.experts.map(expert => html`<tr key=${expert.name}><td>${expert.name}${expert.name === status.fallback ? html` <span class="tag">fallback</span>` : ''}</td>
      <td>${expert.model}${expert.catalogue ? html` <span class="quiet">(catalogue: ${expert.catalogue.name})</span>` : ''}</td>
      <td class="n">${expert.price ? usd(expert.price.input_per_1m) : html`<span class="bad">unpriced</span>`}</td><td class="n">${expert.price ? usd(expert.price.output_per_1m) : ''}</td>
      <td class="n">${expert.context_window.toLocaleString('en')}</td><td>${expert.capabilities.join(', ')}</td><td>${expert.tags.join(', ')}</td>
      ${domains.map(domain => cell(expert, domain))}</tr>`)}</tbody></table></div>`
}

function Settings({ all, file }) {
  const [wanted, setWanted] = useState('')
  const fitting = all.filter(setting => setting.path.includes(wanted))
  const from = setting => setting.line == null ? 'default'
    : `line ${setting.line}${setting.variables?.length ? `, with ${setting.variables.map(name => `$${name}`).join(', ')}` : ''}`
  return html`<div class="filters"><label>path contains<input value=${wanted} onInput=${event => setWanted(event.target.value)} /></label>
      <span class="quiet">${fitting.length} of ${all.length}; lines are those of ${file ?? 'the configuration'}</span></div>
    <div class="scroll" tabindex="0" role="region" aria-label="Settings"><table><thead><tr><th>path</th><th>value</th><th>from</th></tr></thead>
    <tbody>${fitting.map(setting => html`<tr key=${setting.path}><td>${setting.path}</td><td class="wrap">${typeof setting.value === 'string' ? setting.value : JSON.stringify(setting.value)}</td>
      <td class=${setting.line == null ? 'quiet' : ''}>${from(setting)}</td></tr>`)}</tbody></table></div>`
}
