// Now: is it healthy, where does the traffic go, what does it cost and save.
import { Chart } from './chart.js'
import { before, failed, lately, quantile, rates, total } from './figures.js'
import { Empty, Tile, bar, count, digits, heat, html, price, seconds, share, usd, usdColumn } from './view.js'

/** Rates and quantiles are over so many seconds. */
const WINDOW = 60

export function Now({ history }) {
  const now = history.now
  if (!now) return html`<${Empty}>Waiting for the first figures…<//>`
  const before = history.before(WINDOW)
  return html`
    <${Alerts} now=${now} before=${before} />
    <${Tiles} now=${now} before=${before} />
    <div class="two">
      <section class="card"><h2>Requests a second</h2><${Traffic} history=${history} /></section>
      <section class="card"><h2>Cost a minute</h2><${Money} history=${history} /></section>
    </div>
    <section class="card"><h2>Experts</h2><${Experts} now=${now} before=${before} /></section>
    <section class="card"><h2>Which domain goes to which expert</h2><${Matrix} now=${now} /></section>`
}

function Alerts({ now, before }) {
  const open = now.experts.flatMap(expert => expert.endpoints.filter(end => end.circuit !== 'closed')
    .map(end => `${expert.name} at ${end.authority} (${end.circuit.replace('_', ' ')})`))
  const wrong = failed(now.requests) - failed(before.requests)
  const of = total(now) - total(before)
  const unpriced = now.experts.filter(expert => expert.unpriced_requests > 0).map(expert => expert.name)
  const all = [
    now.draining && 'mixgate is draining: it takes no new requests.',
    open.length && `Left alone for now, as they failed: ${open.join(', ')}. Look at their logs; they are tried again by themselves.`,
    of > 20 && wrong / of > 0.05 && `${share(wrong / of)} of the requests of the last minute failed: see Decisions, outcome upstream_error or timeout.`,
    unpriced.length && `No price is configured for ${unpriced.join(', ')}: their cost is in no sum. Write \`price\` to them.`,
  ].filter(Boolean)
  return all.map(text => html`<div key=${text} class="card alert" role="status">${text}</div>`)
}

function Tiles({ now, before }) {
  const rate = rates(now, before)
  const sum = Object.values(rate).reduce((all, one) => all + one, 0)
  const bad = failed(rate)
  const latency = lately(now.request_duration, before.request_duration)
  const first = lately(now.time_to_first_token, before.time_to_first_token)
  const own = lately(now.overhead, before.overhead)
  const saved = now.baseline_cost_usd > 0 ? now.saved_usd / now.baseline_cost_usd : null
  const within = (part, buckets) => buckets.count ? `${part * 100} % within ${seconds(quantile(part, buckets))}${buckets.old ? ' so far' : ''}` : 'nothing yet'
  return html`<div class="tiles">
    <${Tile} name="Requests" value=${`${digits(sum)} /s`} note=${`${count(total(now))} so far`} />
    <${Tile} name="Failed" value=${sum ? share(bad / sum) : '–'} tone=${sum && bad / sum > 0.01 ? 'bad' : ''} note="of the last minute" />
    <${Tile} name="In flight" value=${count(now.in_flight)} note=${`${count(now.client_connections)} connections`} />
    <${Tile} name="Latency, median" value=${seconds(quantile(0.5, latency))} note=${within(0.95, latency)} />
    <${Tile} name="First token, median" value=${seconds(quantile(0.5, first))} note=${within(0.95, first)} />
    <${Tile} name="Overhead, median" value=${seconds(quantile(0.5, own))} note=${within(0.99, own)} />
    <${Tile} name="Cost so far" value=${usd(now.cost_usd)} note=${`fallback: ${usd(now.baseline_cost_usd)}`} />
    <${Tile} name="Saved" value=${usd(now.saved_usd)} tone=${now.saved_usd < 0 ? 'bad' : now.saved_usd > 0 ? 'good' : ''} note=${saved == null ? 'nothing yet' : `${share(saved)} less`} />
  </div>`
}

function Traffic({ history }) {
  const line = history.line
  const at = line.map((figures, place) => rates(figures, before(line, 5, place)))
  const data = [line.map(f => f.time), at.map(r => r.ok), at.map(r => failed(r)), at.map(r => r.client_error + r.cancelled)]
  const series = [
    { label: 'ok', colour: '--good', fill: true }, { label: 'failed', colour: '--bad' },
    { label: 'client error, cancelled', colour: '--warn', dash: [4, 4] },
  ]
  return html`<${Chart} label="Requests a second by outcome" series=${series} data=${data} format=${digits} axis=${number => number.toLocaleString('en')} />`
}

function Money({ history }) {
  const line = history.line
  const a = (place, field) => {
    const [now, then] = [line[place], before(line, 30, place)]
    return (now[field] - then[field]) / Math.max(now.time - then.time, 1) * 60
  }
  const places = line.map((_, place) => place)
  const data = [line.map(f => f.time), places.map(p => a(p, 'cost_usd')), places.map(p => a(p, 'baseline_cost_usd'))]
  const series = [{ label: 'cost', colour: '--accent', fill: true }, { label: 'if all went to the fallback', colour: '--quiet', dash: [4, 4] }]
  return html`<${Chart} label="Cost a minute" series=${series} data=${data} format=${usd} axis=${price} />`
}

function Experts({ now, before }) {
  const all = total(now)
  const money = usdColumn(now.experts.flatMap(expert => [expert.cost_usd, expert.saved_usd]))
  const hosted = now.experts.some(expert => expert.hosting_usd_per_hour > 0)
  const rows = now.experts.map(expert => {
    const old = before.experts.find(one => one.name === expert.name)
    const sum = total(expert)
    const sick = expert.endpoints.filter(end => end.circuit !== 'closed').length
    const latency = lately(expert.request_duration, old?.request_duration)
    const aged = latency.old ? 'n quiet' : 'n'
    const health = sick === 0 ? html`<span class="dot"></span>healthy`
      : sick < expert.endpoints.length ? html`<span class="dot late"></span><span class="warn">${sick} of ${expert.endpoints.length} left alone</span>`
        : html`<span class="dot gone"></span><span class="bad">left alone</span>`
    return html`<tr key=${expert.name} class=${sum ? '' : 'quiet'}>
      <td>${expert.name}${expert.name === now.fallback ? html` <span class="tag">fallback</span>` : ''}</td>
      <td>${health}</td>
      <td class="n">${count(sum)}</td><td class="n bar" ref=${bar(all ? sum / all : 0)}>${all ? share(sum / all) : '–'}</td>
      <td class=${`n ${failed(expert.requests) ? 'bad' : ''}`}>${count(failed(expert.requests))}</td>
      <td class="n">${count(expert.in_flight)} of ${count(expert.max_concurrency)}</td>
      <td class=${aged}>${seconds(quantile(0.5, latency))}</td><td class=${aged}>${seconds(quantile(0.95, latency))}</td>
      <td class="n">${count(expert.tokens.input + expert.tokens.output)}</td>
      <td class="n">${money(expert.cost_usd)}</td><td class=${`n ${expert.saved_usd < 0 ? 'bad' : ''}`}>${money(expert.saved_usd)}</td>
      ${hosted && html`<td class="n">${expert.hosting_usd_per_hour ? `${price(expert.hosting_usd_per_hour)} an hour` : ''}</td>`}
    </tr>`
  })
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Experts"><table>
    <thead><tr><th>expert</th><th>health</th><th class="n">requests</th><th class="n bar">share</th><th class="n">failed</th>
      <th class="n">in flight</th><th class="n">median</th><th class="n">95 %</th><th class="n">tokens</th><th class="n">cost</th>
      <th class="n">saved</th>${hosted && html`<th class="n">hosting</th>`}</tr></thead><tbody>${rows}</tbody></table></div>`
}

function Matrix({ now }) {
  const sums = {}
  for (const { domain, expert, count } of now.decisions) {
    sums[domain] ??= {}
    sums[domain][expert] = (sums[domain][expert] ?? 0) + count
  }
  const domains = Object.keys(sums).sort()
  if (!domains.length) return html`<${Empty}>No decision yet. Send a request with model «auto», or try one on the page Try.<//>`
  const named = new Set(now.decisions.map(row => row.expert))
  const experts = [...now.experts.map(expert => expert.name), 'none'].filter(name => named.has(name))
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Domains and experts"><table class="heat">
    <thead><tr><th>domain</th>${experts.map(name => html`<th class="n" key=${name}>${name}</th>`)}<th class="n">requests</th></tr></thead>
    <tbody>${domains.map(domain => {
      const all = Object.values(sums[domain]).reduce((sum, one) => sum + one, 0)
      return html`<tr key=${domain}><th scope="row">${domain}</th>${experts.map(name => {
        const part = (sums[domain][name] ?? 0) / all
        return html`<td class="cell" key=${name} ref=${heat(part)}>${part === 0 ? '' : part < 0.005 ? '<1 %' : share(part, 0)}</td>`
      })}<td class="n">${count(all)}</td></tr>`
    })}</tbody></table></div>`
}
