/*
 * The report as one HTML file: what was measured as plots, with the texts of the scenarios below them.
 */
import type { ContestRow } from '../scenarios/contest.ts'
import { ratioOf } from '../scenarios/contest.ts'
import type { Aim } from '../scenarios/design.ts'
import type { ScalingSeries } from '../scenarios/scaling.ts'
import type { Setting } from '../report.ts'
import { barChart, escapeHtml, lineChart, type Bar } from './svg.ts'

/** One part of the page. */
export interface Section {
  readonly title: string
  /** What a reader has to know before. */
  readonly about: string
  readonly plots: readonly Plot[]
  /** The scenario's own text, printed as it stands. */
  readonly text: string
}

export interface Plot {
  readonly title: string
  readonly svg: string
}

/** How much cheaper than a reference, by server CPU, for each workload. */
export function cpuBars(rows: readonly ContestRow[], reference: string): readonly Plot[] {
  return workloadsOf(rows).flatMap((workload) => {
    const own = rows.filter((row) => row.workload === workload)
    const peer = own.find(({ contestant }) => contestant === reference)
    if (peer === undefined) return []
    const bars = own.map((row): Bar => {
      const { median, min, max } = ratioOf(peer, row, ({ cpuUs }) => cpuUs)
      return { label: row.contestant, value: median, min, max, isOurs: isOurs(row.contestant) }
    })
    return [
      {
        title: `${workload}: work for the same CPU, ${reference} = 1`,
        svg: barChart(bars, (value) => value.toFixed(2)),
      },
    ]
  })
}

/** What part of all operations took no longer than what time. */
export function latencyCurves(rows: readonly ContestRow[]): readonly Plot[] {
  return workloadsOf(rows).map((workload) => ({
    title: `${workload}: latency by percentile`,
    svg: lineChart(
      rows
        .filter((row) => row.workload === workload)
        .map(({ contestant, measurements }) => ({
          label: contestant,
          points: (measurements.at(-1)?.curve ?? [])
            .filter(([percentile]) => percentile >= 1 && percentile < 99.99)
            .map(([percentile, ms]) => ({ x: 1 / (1 - percentile / 100), y: ms })),
        })),
      {
        title: 'percentile',
        isLogarithmic: true,
        ticks: [1, 2, 10, 100, 1_000],
        format: (value) => `${(100 * (1 - 1 / value)).toFixed(1).replace('.0', '')} %`,
      },
      { title: 'ms', isLogarithmic: true, format: plain },
    ),
  }))
}

/** Server CPU over what grows. */
export function scalingPlots(series: readonly ScalingSeries[]): readonly Plot[] {
  return series.map(({ name, of, points }) => ({
    title: name,
    svg: lineChart(
      [
        {
          label: 'CPU µs each',
          points: points.map(({ x, cpuUs }) => ({ x, y: cpuUs.median, min: cpuUs.min, max: cpuUs.max })),
        },
        {
          label: 'a second',
          points: points.map(({ x, perSecond }) => ({
            x,
            y: perSecond.median,
            min: perSecond.min,
            max: perSecond.max,
          })),
        },
      ],
      { title: of, isLogarithmic: true, ticks: points.map(({ x }) => x), format: plain },
      { title: '', isLogarithmic: true, format: plain },
    ),
  }))
}

export function renderPage(title: string, where: Setting, aims: readonly Aim[], sections: readonly Section[]): string {
  const rows = aims.map(
    ({ what, aim, measured, ratio, isMet }) =>
      `<tr><td>${[what, aim, measured, ratio].map((cell) => escapeHtml(cell)).join('</td><td>')}</td>` +
      `<td class="${isMet ? 'met' : 'missed'}">${isMet ? 'met' : 'missed'}</td></tr>`,
  )
  const parts = sections.map(
    ({ title: name, about, plots, text }) =>
      `<section><h2>${escapeHtml(name)}</h2><p>${escapeHtml(about)}</p>` +
      plots.map((plot) => `<figure><figcaption>${escapeHtml(plot.title)}</figcaption>${plot.svg}</figure>`).join('') +
      `<details><summary>Figures</summary><pre>${escapeHtml(text)}</pre></details></section>`,
  )
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>${style}</style></head><body>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(`${where.date}, commit ${where.commit}, Node ${where.node}, ${where.cores} × ${where.cpu}`)}</p>
<p>Everything here was measured on one machine in one run. Ratios are of servers that did the same work a moment apart;
absolute figures are of this machine, which the load generator shared with the servers.</p>
<section><h2>Aims</h2><table><tr><th>what</th><th>aim</th><th>measured</th><th>ratio</th><th></th></tr>${rows.join('')}</table></section>
${parts.join('\n')}
</body></html>
`
}

function isOurs(contestant: string): boolean {
  return contestant.startsWith('postern')
}

function workloadsOf(rows: readonly ContestRow[]): readonly string[] {
  return [...new Set(rows.map(({ workload }) => workload))]
}

function plain(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`
  if (value >= 1e3) return `${Math.round(value / 100) / 10}k`
  return String(Number(value.toPrecision(2)))
}

const palette = ['#b5452c', '#2b6cb0', '#2f855a', '#805ad5', '#b7791f', '#4a5568', '#97266d', '#285e61']
const style = [
  'body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a202c;background:#fff}',
  'h1,h2{line-height:1.2}figure{margin:1.5rem 0;overflow-x:auto}figcaption{font-weight:600}',
  'table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #e2e8f0;padding:.35rem .5rem;text-align:left;vertical-align:top}',
  'pre{overflow-x:auto;font-size:12px;background:#f7fafc;padding:1rem}.met{color:#2f855a}.missed{color:#b5452c;font-weight:600}',
  'svg text{font:12px system-ui,sans-serif;fill:#2d3748}.ours{fill:#b5452c}.other{fill:#a0aec0}',
  '.whisker{stroke:#1a202c;stroke-width:1.2}.reference{stroke:#1a202c;stroke-dasharray:3 3}.grid{stroke:#e2e8f0}',
  ...palette.map((colour, i) => `circle.c${i}{fill:${colour}}.c${i}.line{stroke:${colour};stroke-width:2;fill:none}`),
].join('')
