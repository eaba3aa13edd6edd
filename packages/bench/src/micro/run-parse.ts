import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { renderTable, setting } from '../report.ts'
import type { Figure, MeasureOptions } from './measure.ts'
import { parseCases } from './parse.ts'

export interface ParseRow extends Figure {
  readonly group: string
}

/**
 * Measures every case of `parse.ts`.
 *
 * Each group has a thread, and so a compiler, of its own: V8 compiles a function for what it has met, and a worker behind
 * one balancer meets one kind of header. The group of all kinds shows what it costs to meet them all.
 */
export async function measureParse({ rounds, roundMs }: MeasureOptions): Promise<readonly ParseRow[]> {
  const groups = [...new Set(parseCases().map(({ group }) => group))]
  const rows: ParseRow[] = []
  for (const group of groups) {
    const thread = new Worker(new URL('group-program.js', import.meta.url), { workerData: { group, rounds, roundMs } })
    const [figures] = (await once(thread, 'message')) as [readonly Figure[]]
    for (const figure of figures) rows.push({ group, ...figure })
  }
  return rows
}

/** Measures, and gives the text to print. */
export async function runParse(options: MeasureOptions & { readonly asJson: boolean }): Promise<string> {
  const { rounds, roundMs } = options
  const rows = await measureParse(options)
  const groups = [...new Set(rows.map(({ group }) => group))]
  const run = { setting: setting(), rounds, roundMs }
  if (options.asJson) return `${JSON.stringify({ ...run, rows }, undefined, 2)}\n`

  const { setting: where } = run
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
