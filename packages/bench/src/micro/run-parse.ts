import { renderTable, setting } from '../report.ts'
import { measureTogether, type Figure, type MeasureOptions } from './measure.ts'
import { parseCases } from './parse.ts'

/** Measures every case of `parse.ts`, and gives the text to print. */
export function runParse(options: MeasureOptions & { readonly asJson: boolean }): string {
  const cases = parseCases()
  const figures = measureTogether(cases, options)
  const rows = cases.map(({ group }, index) => ({ group, ...figures[index]! }))
  const run = { setting: setting(), rounds: options.rounds, roundMs: options.roundMs }
  if (options.asJson) return `${JSON.stringify({ ...run, rows }, undefined, 2)}\n`

  const { setting: where } = run
  const groups = [...new Set(rows.map((row) => row.group))]
  return [
    `PROXY header parsing, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}`,
    `${options.rounds} rounds in turn of ${options.roundMs} ms each; median, least and most of the rounds\n`,
    ...groups.map((group) =>
      renderGroup(
        group,
        rows.filter((row) => row.group === group),
      ),
    ),
    '',
  ].join('\n')
}

/** Each against the first of its group: above 1, the first is that many times faster. */
function renderGroup(group: string, figures: readonly Figure[]): string {
  const ours = figures[0]!.ns.median
  const rows = figures.map(({ name, ns, bytes }) => [
    `  ${name}`,
    ns.median.toFixed(1),
    ns.min.toFixed(1),
    ns.max.toFixed(1),
    bytes.toFixed(bytes < 10 ? 1 : 0),
    (ns.median / ours).toFixed(2),
  ])
  return `${renderTable([[group, 'ns', 'min', 'max', 'bytes', '× first'], ...rows])}\n`
}
