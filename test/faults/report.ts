/*
 * docs/reliability.md between its marks: the matrix, with what the last recorded run of each row told, what was recorded of
 * attacks, and of `kill -9`. Run this file with Node to write it anew, or let `npm run faults -- --record` do it:
 *
 *   node test/faults/report.ts && npm run format
 */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Waits } from './figure.ts'
import { readKills, sumOf, type Counts, type RecordedKills } from './kill-record.ts'
import { matrix, type Part, type Row, type State } from './matrix.ts'
import { testsOfRows } from './rows.ts'

const document = new URL('../../docs/reliability.md', import.meta.url)
const resultsFile = new URL('results.json', import.meta.url)
/** What is between two marks of the document. */
type Generated = 'matrix' | 'attacks' | 'kills'

/** What a recorded run told of a row. All its tests passed: a row with a failure is not recorded. */
export interface Result {
  readonly date: string
  readonly commit: string
  readonly tier: string
  readonly figure?: string
  readonly waits?: Waits
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
export function written(what: Generated): string {
  return splitAtMarks(readFileSync(document, 'utf8'), what).between
}

/** What it should have there, without the padding, which the formatter adds. */
export function generated(what: Generated): string {
  if (what === 'kills') return killsAsMarkdown(readKills())
  return what === 'attacks' ? attacksAsMarkdown(readResults()) : matrixAsMarkdown(readResults())
}

export function writeReport(): void {
  for (const what of ['matrix', 'attacks', 'kills'] as const) {
    const { before, after } = splitAtMarks(readFileSync(document, 'utf8'), what)
    writeFileSync(document, `${before}\n\n${generated(what)}\n\n${after}`)
  }
}

function matrixAsMarkdown(results: Results): string {
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
    row.id === 'ST-01' ? recordedKills() : lastRun(results[row.id]),
    (tests.get(row.id) ?? []).map(linked).join(', '),
  ])
  return `### ${heading}\n\n${markdown(head, cells)}`
}

function lastRun(result: Result | undefined): string {
  if (result === undefined) return ''
  const { date, commit, tier, figure } = result
  return [`${date}, ${commit}, ${tier}`, ...(figure === undefined ? [] : [figure])].join(': ')
}

/** ST-01 is recorded batch by batch, and its table adds them up. */
function recordedKills(): string {
  const { kills, lost, half, wrong } = sumOf(readKills())
  return `${kills.toLocaleString('en')} kills, recorded above: ${lost} lost, ${half} half, ${wrong} wrong`
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

function attacksAsMarkdown(results: Results): string {
  const lines = matrix
    .flatMap(({ rows }) => rows)
    .flatMap(({ id, what }): readonly (readonly string[])[] => {
      const { waits, tier = '' } = results[id] ?? {}
      if (waits === undefined) return []
      const { visits, p99Ms, slowestMs, grownMib } = waits
      const figures = [
        `${visits}`,
        `${p99Ms.toFixed(0)} ms`,
        `${slowestMs.toFixed(0)} ms`,
        `${grownMib.toFixed(1)} MiB`,
      ]
      return [[id, what, tier, ...figures]]
    })
  return markdown(['row', 'attack', 'tier', 'visits', 'p99', 'slowest', 'memory'], lines)
}

/** A line for each day and commit, and the sum of all. */
function killsAsMarkdown(all: readonly RecordedKills[]): string {
  const head = [
    'date',
    'commit',
    'kills',
    'of everything',
    'deliveries',
    'APPENDs',
    'STOREs',
    'removals',
    'broken attempts',
    'lost',
    'half',
    'wrong',
    'came twice',
    'kills a second',
  ]
  const runs = Map.groupBy(all, ({ date, commit }) => `${date} ${commit}`)
  const lines = [...runs].map(([run, batches]) => [...run.split(' '), ...killCells(sumOf(batches))])
  return markdown(head, [...lines, ['all', '', ...killCells(sumOf(all))]])
}

function killCells(counts: Counts): readonly string[] {
  const { kills, outages, deliveries, appends, stores, removals, broken, lost, half, wrong, again, seconds } = counts
  const numbers = [kills, outages, deliveries, appends, stores, removals, broken, lost, half, wrong, again]
  return [...numbers.map((number) => number.toLocaleString('en')), seconds === 0 ? '' : (kills / seconds).toFixed(1)]
}

interface Split {
  readonly before: string
  readonly between: string
  readonly after: string
}

function splitAtMarks(text: string, what: Generated): Split {
  const [begin, end] = [`<!-- ${what} -->`, `<!-- end of ${what} -->`]
  const from = text.indexOf(begin) + begin.length
  const to = text.indexOf(end)
  if (from < begin.length || to < from) throw new Error(`docs/reliability.md has no place for the ${what}`)
  return { before: text.slice(0, from), between: text.slice(from, to), after: text.slice(to) }
}

if (import.meta.main) writeReport()
