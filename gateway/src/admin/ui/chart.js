// A line chart over time that follows the colours of the page.
import { useEffect, useRef } from './vendor/hooks.js'
import { clock, html } from './view.js'

const HEIGHT = 180
/** The least that the axis of time covers, seconds. */
const SPAN = 120

/** Times at the axis, none where it would be cut off. */
const clocks = ({ scales: { x } }, times) => times.map(time => x.max - time < (x.max - x.min) * 0.06 ? '' : clock(time * 1000))

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

function options({ series, format, axis: write }, width) {
  const axis = {
    stroke: colour('--quiet'), font: '12px system-ui, sans-serif',
    grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false },
  }
  // where the pointer is, else the newest
  const value = write => (plot, number, at) => write(number ?? plot.data[at].at(-1) ?? 0)
  return {
    width, height: HEIGHT, cursor: { points: { size: 6 }, drag: { x: false, y: false } }, padding: [8, 12, 0, 0],
    scales: {
      x: { range: (_, from, to) => [Math.min(from, to - SPAN), to] },
      y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] },
    },
    axes: [
      { ...axis, size: 28, space: 90, grid: { show: false }, values: clocks },
      { ...axis, size: 62, space: 36, values: (_, numbers) => numbers.map(number => number === 0 ? '0' : write(number)) },
    ],
    series: [{ label: 'time', value: value(time => clock(time * 1000)) }, ...series.map(one => ({
      label: one.label, stroke: colour(one.colour), width: 1.5, dash: one.dash, value: value(format), points: { show: false },
      fill: one.fill ? `${colour(one.colour)}22` : undefined,
    }))],
  }
}

/**
 * `series`: label, colour (a variable of the style sheet). `data`: times and a list per series. `format` writes a value,
 * `axis` one of the axis.
 */
export function Chart({ label, series, data, format, axis }) {
  const place = useRef()
  const plot = useRef()
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy()
      plot.current = new uPlot(options({ series, format, axis }, place.current.clientWidth), data, place.current)
    }
    draw()
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height: HEIGHT }))
    scheme.addEventListener('change', draw)
    sized.observe(place.current)
    return () => {
      scheme.removeEventListener('change', draw)
      sized.disconnect()
      plot.current?.destroy()
    }
  }, [])
  useEffect(() => {
    plot.current?.setData(data)
    plot.current?.setLegend({ idx: plot.current.cursor.idx })
  }, [data])
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`
}
