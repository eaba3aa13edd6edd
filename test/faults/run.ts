/*
 * The fault and attack matrix, run: `npm run faults -- [change|nightly|release] [--record] [ROW …]`. It runs the tests of
 * the rows that are named, or of all; tells each row's outcome and figure; and keeps them in docs/reliability.md when
 * asked to.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Waits } from './figure.ts'
import { rows } from './matrix.ts'
import { readResults, writeReport, writeResults, type Result } from './report.ts'
import { rowId, testsOfRows } from './rows.ts'

interface TestOutcome {
  readonly fullName: string
  readonly status: string
  readonly meta?: { readonly figure?: string; readonly waits?: Waits }
}

interface RowOutcome {
  passed: number
  readonly failed: string[]
  readonly figures: string[]
  /** Of the test that attacks, if there is one. */
  waits?: Waits
}

const root = join(import.meta.dirname, '../..')
const words = process.argv.slice(2)
const tier = words.find((word) => ['change', 'nightly', 'release'].includes(word)) ?? 'change'
const isRecorded = words.includes('--record')
const wanted = words.filter((word) => rows.some(({ id }) => id === word))
const unknown = words.filter((word) => word !== tier && word !== '--record' && !wanted.includes(word))
if (unknown.length > 0) {
  process.stderr.write(
    `faults: unknown: ${unknown.join(' ')}\nusage: npm run faults -- [change|nightly|release] [--record] [ROW …]\n`,
  )
  process.exit(2)
}

const ids = wanted.length > 0 ? wanted : rows.map(({ id }) => id)
const tests = testsOfRows()
const isPart = wanted.length > 0
// What several files run is found through all that are beside it.
const files = [...new Set(ids.flatMap((id) => tests.get(id) ?? []))].map((file) =>
  file.endsWith('.test.ts') ? file : dirname(file),
)
const outcomes = outcomesOf(runTests())
tell()
const hasFailed = [...outcomes.values()].some(({ failed }) => failed.length > 0)
if (isRecorded) record()
if (isRecorded && hasFailed) process.stderr.write('faults: rows of which not all tests passed are not recorded\n')
process.exit(hasFailed ? 1 : 0)

function runTests(): readonly TestOutcome[] {
  const folder = mkdtempSync(join(tmpdir(), 'postern-faults-'))
  const output = join(folder, 'results.json')
  try {
    const names = isPart ? ids.join('|') : rowId.source
    const args = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${output}`, '-t', names, ...files]
    spawnSync(join(root, 'node_modules/.bin/vitest'), args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, POSTERN_FAULTS: tier },
    })
    const report = JSON.parse(readFileSync(output, 'utf8')) as {
      readonly testResults: readonly { readonly assertionResults: readonly TestOutcome[] }[]
    }
    return report.testResults.flatMap(({ assertionResults }) => assertionResults)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function outcomesOf(all: readonly TestOutcome[]): ReadonlyMap<string, RowOutcome> {
  const found = new Map<string, RowOutcome>(ids.map((id) => [id, { passed: 0, failed: [], figures: [] }]))
  for (const { fullName, status, meta } of all) {
    for (const id of new Set(fullName.match(rowId))) {
      const outcome = found.get(id)
      if (outcome === undefined) continue
      if (status === 'passed') outcome.passed += 1
      if (status === 'failed') outcome.failed.push(fullName)
      if (meta?.figure !== undefined) outcome.figures.push(meta.figure)
      if (meta?.waits !== undefined) outcome.waits = meta.waits
    }
  }
  return found
}

function tell(): void {
  for (const [id, { passed, failed, figures }] of outcomes) {
    const verdict = failed.length > 0 ? 'FAILED' : passed > 0 ? 'passed' : 'no test'
    process.stdout.write(`${id}  ${verdict}  ${[`${passed} tests`, ...figures].join('; ')}\n`)
    for (const name of failed) process.stdout.write(`       ${name}\n`)
  }
}

function record(): void {
  const date = new Date().toISOString().slice(0, 10)
  const commit = execFileSync('git', ['rev-parse', '--short=8', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
  const results: Record<string, Result> = { ...readResults() }
  for (const [id, { passed, failed, figures, waits }] of outcomes) {
    if (passed === 0 || failed.length > 0) continue
    const figure = figures.length > 0 ? figures.join('; ') : `${passed} ${passed === 1 ? 'test' : 'tests'}`
    results[id] = { date, commit, tier, figure, ...(waits !== undefined && { waits }) }
  }
  writeResults(results)
  writeReport()
  execFileSync(join(root, 'node_modules/.bin/oxfmt'), ['docs/reliability.md', 'test/faults/results.json'], {
    cwd: root,
  })
}
