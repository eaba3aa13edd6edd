import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus } from 'node:os'

/** What a figure means nothing without. */
export interface Setting {
  readonly date: string
  readonly node: string
  readonly cpu: string
  readonly cores: number
  /** Of this repository; `unknown` outside a checkout. */
  readonly commit: string
}

export function setting(): Setting {
  return {
    date: new Date().toISOString(),
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    commit: (known ??= commit()),
  }
}

/** Asked for once: each load that is measured tells it. */
let known: string | undefined

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}

/** Lines of equal-width columns: the first to the left, the others to the right, since they are numbers. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  }
  const align = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
  return rows.map((row) => row.map(align).join('  ').trimEnd()).join('\n')
}
