import { bytes, clock, count, rate } from './format.ts'
import type { Moment } from './series.ts'
import uPlot from './uplot.js'

interface Line {
  readonly label: string
  readonly colour: 'a' | 'b' | 'c'
  readonly of: (moment: Moment) => number
}

interface PlotSpec {
  readonly title: string
  readonly lines: readonly Line[]
  readonly format: (value: number) => string
  /** Steps of the axis, where those of tens do not fit. */
  readonly steps?: number[]
}

const specs: readonly PlotSpec[] = [
  {
    title: 'connections/s',
    format: rate,
    lines: [
      { label: 'accepted', colour: 'a', of: (moment) => moment.accepted },
      { label: 'refused', colour: 'b', of: (moment) => moment.refused },
    ],
  },
  { title: 'open connections', format: count, lines: [{ label: 'open', colour: 'a', of: (moment) => moment.open }] },
  {
    title: 'messages/s',
    format: rate,
    lines: [
      { label: 'ok', colour: 'a', of: (moment) => moment.transactionsDone },
      { label: 'deferred', colour: 'c', of: (moment) => moment.transactionsDeferred },
      { label: 'refused', colour: 'b', of: (moment) => moment.transactionsRefused },
    ],
  },
  {
    title: 'bytes/s',
    format: bytes,
    steps: Array.from({ length: 40 }, (_, power) => 2 ** power),
    lines: [
      { label: 'in', colour: 'a', of: (moment) => moment.bytesIn },
      { label: 'out', colour: 'c', of: (moment) => moment.bytesOut },
    ],
  },
]

const heightPx = 120
const axisFont = '11px system-ui, sans-serif'

/** Four plots of the last minutes, whose cursors move together. */
export class Plots {
  readonly #plots: readonly Plot[]

  constructor(place: HTMLElement) {
    this.#plots = specs.map((spec) => new Plot(place, spec))
    const colours = matchMedia('(prefers-color-scheme: dark)')
    colours.addEventListener('change', () => this.#plots.forEach((plot) => plot.draw()))
    new ResizeObserver(() => this.#plots.forEach((plot) => plot.fit())).observe(place)
  }

  show(moments: readonly Moment[]): void {
    for (const plot of this.#plots) plot.show(moments)
  }
}

class Plot {
  readonly #spec: PlotSpec
  readonly #figure = document.createElement('figure')
  readonly #values: readonly HTMLElement[]
  #plot: uPlot | undefined
  #moments: readonly Moment[] = []

  constructor(place: HTMLElement, spec: PlotSpec) {
    this.#spec = spec
    const caption = document.createElement('figcaption')
    const title = document.createElement('span')
    title.textContent = spec.title
    const keys = document.createElement('span')
    this.#values = spec.lines.map(({ label, colour }) => {
      const key = document.createElement('span')
      key.className = 'key'
      key.dataset['key'] = colour
      const value = document.createElement('b')
      key.append(`${label} `, value)
      keys.append(keys.childElementCount === 0 ? '' : ' ', key)
      return value
    })
    caption.append(title, keys)
    this.#figure.append(caption)
    place.append(this.#figure)
    this.draw()
  }

  show(moments: readonly Moment[]): void {
    this.#moments = moments
    this.#plot?.setData(this.#data())
    this.#tell(moments.length - 1)
  }

  /** Anew: its colours are those of the style sheet at this time. */
  draw(): void {
    this.#plot?.destroy()
    const colour = (name: string): string => resolveColour(this.#figure, name)
    const axis = { stroke: colour('--quiet'), font: axisFont, grid: { stroke: colour('--line'), width: 1 } }
    this.#plot = new uPlot(
      {
        width: this.#width(),
        height: heightPx,
        legend: { show: false },
        cursor: { sync: { key: 'postern' }, points: { size: 5 }, drag: { x: false, y: false } },
        scales: { x: { time: true }, y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1)] } },
        axes: [
          {
            ...axis,
            size: 22,
            ticks: { show: false },
            values: (_plot, seconds) => seconds.map((at) => clock(at * 1000)),
            space: 70,
          },
          {
            ...axis,
            size: 56,
            ticks: { show: false },
            values: (_plot, values) => values.map(this.#spec.format),
            space: 28,
            ...(this.#spec.steps && { incrs: this.#spec.steps }),
          },
        ],
        series: [
          {},
          ...this.#spec.lines.map(({ label, colour: name }) => ({
            label,
            stroke: colour(`--plot-${name}`),
            width: 1.5,
            points: { show: false },
          })),
        ],
        hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx ?? this.#moments.length - 1)] },
      },
      this.#data(),
      this.#figure,
    )
  }

  fit(): void {
    this.#plot?.setSize({ width: this.#width(), height: heightPx })
  }

  /** In words, which is also what a screen reader has of it. */
  #tell(index: number): void {
    const moment = this.#moments[index]
    for (const [place, { of }] of this.#spec.lines.entries()) {
      const value = this.#values[place]
      if (value !== undefined) value.textContent = moment === undefined ? '–' : this.#spec.format(of(moment))
    }
  }

  #data(): uPlot.AlignedData {
    const at = this.#moments.map((moment) => moment.at)
    return [at, ...this.#spec.lines.map(({ of }) => this.#moments.map(of))]
  }

  #width(): number {
    return Math.max(160, this.#figure.clientWidth - 16)
  }
}

/** A canvas knows no variables of a style sheet. */
function resolveColour(beside: HTMLElement, name: string): string {
  const probe = document.createElement('span')
  probe.style.color = `var(${name})`
  beside.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
