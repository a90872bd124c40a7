// From counters that only rise to what happened in the last while.

/** Figures by second, newest last, of at most so many seconds. */
export class History {
  constructor(most = 900) {
    this.most = most
    this.all = []
    this.past = []
  }

  /** Moments from before the page was opened, with the counters that the charts draw. */
  get line() {
    const first = this.all[0]?.time ?? Infinity
    return [...this.past.filter(moment => moment.time < first), ...this.all]
  }

  push(figures) {
    const last = this.all.at(-1)
    // counters that fell: the gateway began anew
    if (last && total(figures) < total(last)) {
      this.all = []
      this.past = this.past.filter(moment => total(moment) <= total(figures))
    }
    this.all.push(figures)
    if (this.all.length > this.most) this.all.shift()
  }

  get now() {
    return this.all.at(-1)
  }

  /** The newest figures that are at least so many seconds old, else the oldest there are. */
  before(seconds) {
    return before(this.all, seconds, this.all.length - 1)
  }
}

/** The newest of `all`, up to `from`, that is at least so many seconds older, else the oldest there is. */
export function before(all, seconds, from) {
  const until = all[from].time - seconds
  let at = from
  while (at > 0 && all[at].time > until) at -= 1
  return all[at]
}

export const total = figures => Object.values(figures.requests).reduce((sum, count) => sum + count, 0)

export const failed = requests => requests.upstream_error + requests.timeout + requests.rejected

/** How many requests of each outcome came a second. */
export function rates(now, before) {
  const seconds = Math.max(now.time - before.time, 1e-3)
  const rate = outcome => (now.requests[outcome] - before.requests[outcome]) / seconds
  return Object.fromEntries(Object.keys(now.requests).map(outcome => [outcome, rate(outcome)]))
}

/** What is new in a histogram. */
export function fresh(now, before) {
  if (!before || before.count === 0) return now
  return {
    le: now.le,
    cumulative: now.cumulative.map((count, at) => count - (before.cumulative[at] ?? 0)),
    sum: now.sum - before.sum,
    count: now.count - before.count,
  }
}

/** What is new in a histogram; where nothing is, all of it, and that it is old. */
export function lately(now, before) {
  const news = fresh(now, before)
  return news.count ? { ...news, old: false } : { ...now, old: true }
}

/** A quantile of a histogram, straight lines within its buckets, as Prometheus takes it; null of nothing. */
export function quantile(part, { le, cumulative, count }) {
  if (!count || !le.length) return null
  const rank = part * count
  const at = cumulative.findIndex(upTo => upTo >= rank)
  if (at < 0) return le.at(-1)
  const [low, below] = at === 0 ? [0, 0] : [le[at - 1], cumulative[at - 1]]
  const inside = cumulative[at] - below
  return inside === 0 ? le[at] : low + (le[at] - low) * (rank - below) / inside
}
