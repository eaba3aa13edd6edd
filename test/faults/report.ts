/*
 * docs/reliability.md between its marks: the matrix, with what the last recorded run of each row told. Run this file with
 * Node to write it anew, or let `npm run faults -- --record` do it:
 *
 *   node test/faults/report.ts && npm run format
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { matrix, type Part, type Row, type State } from './matrix.ts'
import { testsOfRows } from './rows.ts'

const document = new URL('../../docs/reliability.md', import.meta.url)
const resultsFile = new URL('results.json', import.meta.url)
const begin = '<!-- matrix -->'
const end = '<!-- end of matrix -->'

/** What a recorded run told of a row. All its tests passed: a run with a failure is not recorded. */
export interface Result {
  readonly date: string
  readonly commit: string
  readonly tier: string
  readonly figure?: string
}

export type Results = Readonly<Record<string, Result>>

export function readResults(): Results {
  return JSON.parse(readFileSync(resultsFile, 'utf8')) as Results
}

export function writeResults(results: Results): void {
  const sorted = Object.fromEntries(Object.entries(results).sort(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync(resultsFile, `${JSON.stringify(sorted, null, 2)}\n`)
}

/** What the document has between its marks. */
export function writtenMatrix(): string {
  return splitAtMarks(readFileSync(document, 'utf8')).between
}

export function writeReport(): void {
  const { before, after } = splitAtMarks(readFileSync(document, 'utf8'))
  writeFileSync(document, `${before}\n\n${matrixAsMarkdown(readResults())}\n\n${after}`)
}

/** Without the padding, which the formatter adds. */
export function matrixAsMarkdown(results: Results): string {
  const tests = testsOfRows()
  const all = matrix.flatMap(({ rows }) => rows)
  return [summaryOf(all), ...matrix.map((part) => tableOf(part, results, tests))].join('\n\n')
}

function summaryOf(all: readonly Row[]): string {
  const states: readonly State[] = ['kept', 'partly', 'open', 'elsewhere', 'void']
  const count = (severity: string, state: string): string =>
    String(all.filter((row) => row.severity === severity && row.state === state).length)
  return markdown(
    ['severity', ...states],
    ['A', 'B', 'C', 'D'].map((severity) => [severity, ...states.map((state) => count(severity, state))]),
  )
}

function tableOf({ heading, rows }: Part, results: Results, tests: ReadonlyMap<string, readonly string[]>): string {
  const head = ['row', '', 'tier', 'what is done, and what must come of it', 'state', 'last recorded run', 'tests']
  const cells = rows.map((row) => [
    row.id,
    row.severity,
    row.tier,
    row.what,
    row.reason === '' ? row.state : `${row.state}: ${row.reason}`,
    lastRun(results[row.id]),
    (tests.get(row.id) ?? []).map(linked).join(', '),
  ])
  return `### ${heading}\n\n${markdown(head, cells)}`
}

function lastRun(result: Result | undefined): string {
  if (result === undefined) return ''
  const { date, commit, tier, figure } = result
  return [`${date}, ${commit}, ${tier}`, ...(figure === undefined ? [] : [figure])].join(': ')
}

function linked(file: string): string {
  const name = file
    .replace(/^(?:packages|test)\//, '')
    .replace('/test/', '/')
    .replace(/(?:\.test)?\.ts$/, '')
  return `[${name}](../${file})`
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`)
    .join('\n')
}

function splitAtMarks(text: string): { readonly before: string; readonly between: string; readonly after: string } {
  const from = text.indexOf(begin) + begin.length
  const to = text.indexOf(end)
  if (from < begin.length || to < from) throw new Error('docs/reliability.md has no place for the matrix')
  return { before: text.slice(0, from), between: text.slice(from, to), after: text.slice(to) }
}

if (import.meta.main) writeReport()
