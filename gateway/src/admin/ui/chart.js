// A line chart over time that follows the colours of the page.
import { useEffect, useRef } from './vendor/hooks.js'
import { html } from './view.js'

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

function options(series, format, width) {
  const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line') } }
  const value = (_, number) => number == null ? '–' : format(number)
  return {
    width, height: 190, cursor: { points: { size: 6 } },
    scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
    axes: [axis, { ...axis, size: 64, values: (_, numbers) => numbers.map(format) }],
    series: [{ label: 'time' }, ...series.map(one => ({
      label: one.label, stroke: colour(one.colour), width: 2, dash: one.dash, value,
      fill: one.fill ? `${colour(one.colour)}22` : undefined,
    }))],
  }
}

/** `series`: label, colour (a variable of the style sheet), and `data`: times and a list per series. */
export function Chart({ label, series, data, format }) {
  const place = useRef()
  const plot = useRef()
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy()
      plot.current = new uPlot(options(series, format, place.current.clientWidth), data, place.current)
    }
    draw()
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height: 190 }))
    scheme.addEventListener('change', draw)
    sized.observe(place.current)
    return () => {
      scheme.removeEventListener('change', draw)
      sized.disconnect()
      plot.current?.destroy()
    }
  }, [])
  useEffect(() => plot.current?.setData(data), [data])
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`
}
