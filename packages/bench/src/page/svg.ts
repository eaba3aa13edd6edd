/*
 * Plots as SVG text: no script, no font, no file from anywhere, so that a page of them opens without a network and in ten
 * years. Colours are the page's.
 */

/** A bar: a value, and between what it lies. */
export interface Bar {
  readonly label: string
  readonly value: number
  readonly min: number
  readonly max: number
  /** Our own: drawn in another colour. */
  readonly isOurs: boolean
}

export interface Line {
  readonly label: string
  readonly points: readonly Point[]
}

export interface Point {
  readonly x: number
  readonly y: number
  readonly min?: number
  readonly max?: number
}

export interface Axis {
  readonly title: string
  readonly isLogarithmic: boolean
  /** How a number is written at the axis. */
  readonly format: (value: number) => string
  /** Where a number is written; round numbers when absent. */
  readonly ticks?: readonly number[]
}

const labelWidth = 250
const barHeight = 18
const barGap = 8
const plotWidth = 400
const valueWidth = 170

/** Bars beside each other, from nothing; whiskers from the least to the most; a line where a value is 1. */
export function barChart(bars: readonly Bar[], format: (value: number) => string): string {
  const most = Math.max(1e-9, ...bars.map(({ max }) => max).filter((value) => Number.isFinite(value)))
  const scale = (value: number): number => (Math.max(0, value) / most) * plotWidth
  // A round in which a server did nothing has no ratio.
  const shown = (value: number): string => (Number.isFinite(value) ? format(value) : 'none')
  const height = bars.length * (barHeight + barGap) + barGap
  const one = most > 1 && most < 50 ? scale(1) : undefined
  const parts = bars.map(({ label, value, min, max, isOurs }, i) => {
    const y = barGap + i * (barHeight + barGap)
    const middle = y + barHeight / 2
    return [
      text(labelWidth - 8, middle + 4, label, 'end'),
      `<rect class="${isOurs ? 'ours' : 'other'}" x="${labelWidth}" y="${y}" width="${round(scale(value))}" height="${barHeight}"/>`,
      line('whisker', labelWidth + scale(min), middle, labelWidth + scale(max), middle),
      line('whisker', labelWidth + scale(min), y + 4, labelWidth + scale(min), y + barHeight - 4),
      line('whisker', labelWidth + scale(max), y + 4, labelWidth + scale(max), y + barHeight - 4),
      text(labelWidth + scale(max) + 8, middle + 4, `${shown(value)} (${shown(min)}–${shown(max)})`, 'start'),
    ].join('')
  })
  const reference = one === undefined ? '' : line('reference', labelWidth + one, 0, labelWidth + one, height)
  return svg(labelWidth + plotWidth + valueWidth, height, `${reference}${parts.join('')}`)
}

const margin = { left: 80, right: 290, top: 14, bottom: 46 }
const size = { width: 480, height: 260 }

/** Lines over one axis, each in a colour of its own, named at the right. */
export function lineChart(lines: readonly Line[], xAxis: Axis, yAxis: Axis): string {
  const points = lines.flatMap((each) => each.points)
  const x = scaleOf(
    points.map((point) => point.x),
    xAxis,
    [margin.left, margin.left + size.width],
  )
  const y = scaleOf(
    points.flatMap((point) => [point.y, point.min ?? point.y, point.max ?? point.y]),
    yAxis,
    [margin.top + size.height, margin.top],
  )
  const bottom = margin.top + size.height
  const grid = [
    ...y.ticks.flatMap((tick) => [
      line('grid', margin.left, y.at(tick), margin.left + size.width, y.at(tick)),
      text(margin.left - 8, y.at(tick) + 4, yAxis.format(tick), 'end'),
    ]),
    ...x.ticks.flatMap((tick) => [
      line('grid', x.at(tick), margin.top, x.at(tick), bottom),
      text(x.at(tick), bottom + 18, xAxis.format(tick), 'middle'),
    ]),
    text(margin.left + size.width / 2, bottom + 38, xAxis.title, 'middle'),
    text(margin.left, margin.top - 3, yAxis.title, 'start'),
  ]
  const drawn = lines.map((each, i) => {
    const colour = `c${i % 8}`
    const path = each.points.map(
      (point, at) => `${at === 0 ? 'M' : 'L'}${round(x.at(point.x))} ${round(y.at(point.y))}`,
    )
    const marks = each.points.flatMap((point) => [
      `<circle class="${colour}" cx="${round(x.at(point.x))}" cy="${round(y.at(point.y))}" r="3"/>`,
      ...(point.min === undefined || point.max === undefined
        ? []
        : [line('whisker', x.at(point.x), y.at(point.min), x.at(point.x), y.at(point.max))]),
    ])
    const key = margin.top + 12 + i * 18
    const right = margin.left + size.width + 16
    return [
      `<path class="${colour} line" d="${path.join(' ')}"/>`,
      ...marks,
      line(`${colour} line`, right, key, right + 16, key),
      text(right + 22, key + 4, each.label, 'start'),
    ].join('')
  })
  const width = margin.left + size.width + margin.right
  return svg(width, bottom + margin.bottom, `${grid.join('')}${drawn.join('')}`)
}

/** What would be read as markup is not. */
export function escapeHtml(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

interface Scale {
  readonly ticks: readonly number[]
  at(value: number): number
}

function scaleOf(values: readonly number[], axis: Axis, [from, to]: readonly [number, number]): Scale {
  const finite = values.filter((value) => Number.isFinite(value) && (!axis.isLogarithmic || value > 0))
  const low = axis.isLogarithmic ? Math.min(...finite, Infinity) : 0
  const high = Math.max(...finite, 1e-9)
  const least = Number.isFinite(low) ? low : 1
  const most = high > least ? high : least * 2 || 1
  const ticks = axis.ticks ?? (axis.isLogarithmic ? decades(least, most) : round5(most))
  const bounds = [Math.min(least, ...ticks), Math.max(most, ...ticks)].map((value) =>
    axis.isLogarithmic ? Math.log(value) : value,
  )
  const [first, last] = [bounds[0]!, bounds[1]!]
  return {
    ticks,
    at: (value) => {
      const place = axis.isLogarithmic ? Math.log(Math.max(value, Math.exp(first))) : value
      return from + ((place - first) / (last - first || 1)) * (to - from)
    },
  }
}

function decades(low: number, high: number): readonly number[] {
  const first = Math.floor(Math.log10(low))
  const last = Math.ceil(Math.log10(high))
  return Array.from({ length: Math.max(2, last - first + 1) }, (_, i) => 10 ** (first + i))
}

/** Up to six round numbers from nothing to above the highest. */
function round5(high: number): readonly number[] {
  const rough = high / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough
  return Array.from({ length: Math.ceil(high / step) + 1 }, (_, i) => i * step)
}

function svg(width: number, height: number, content: string): string {
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" xmlns="http://www.w3.org/2000/svg">${content}</svg>`
}

function text(x: number, y: number, value: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${escapeHtml(value)}</text>`
}

function line(className: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${className}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`
}

function round(value: number): number {
  return Number.isFinite(value) ? Math.round(value * 10) / 10 : 0
}
