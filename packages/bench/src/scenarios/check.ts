/*
 * The guard of everything that is not parsing: what connections and messages cost the server, as ratios to servers that
 * nobody here changes, compared with the ratios of a run that was stored.
 *
 * Only CPU is looked at: operations a second depend on who else uses the machine. A ratio is the median over many short
 * rounds, each between two runs that were a moment apart. One that is over its bound is measured again; it is a regression
 * when it is over it in most of all attempts.
 */
import { readFileSync } from 'node:fs'
import { UsageError } from '../command.ts'
import { startBare, startFront } from '../connection/servers.ts'
import { startGateway } from '../peers/gateway.ts'
import { slowVariable } from '../peers/slow-connections.ts'
import { posternDiscarding, smtpServer, type Contestant } from '../peers/contestants.ts'
import { spread } from '../spread.ts'
import { renderTable, setting, type Setting } from '../report.ts'
import { contest, ratioOf, rowFor, type ContestOptions, type ContestRow, type Workload } from './contest.ts'

export interface Baseline {
  readonly setting: Setting
  readonly ratios: readonly StoredRatio[]
}

export interface StoredRatio {
  readonly name: string
  readonly ratio: number
  /** By which part repeated runs on one machine differed from it at most: 0.1 is 10 %. */
  readonly noise: number
}

export interface CheckOptions extends ContestOptions {
  /** Ratios whose name has one of these words; all when empty. */
  readonly only: readonly string[]
  /** Makes each connection of ours cost so many microseconds more: what is guarded against, to see that it is noticed. */
  readonly slowUs: number
}

export interface Finding {
  readonly name: string
  readonly stored: StoredRatio | undefined
  readonly bound: number
  /** Of each attempt. */
  readonly measured: readonly number[]
  readonly isRegression: boolean
}

/** A machine is another than the one of the stored run: ratios between programs of one runtime differ by that much. */
const leastNoise = 0.12
/** A stored run of a machine that was busy must not let everything pass. */
const mostNoise = 0.3
const attempts = 3

const connectName = 'connect'
const messageName = '2 KB, kept open, pipelined'
const eachName = '2 KB, a connection each'

const greeting = '220 mx.example.org ESMTP Postern\r\n'

interface Ratio {
  readonly name: string
  readonly workload: string
  readonly subject: string
  readonly reference: string
}

const ratios: readonly Ratio[] = [
  { name: 'core’s front, a v2 header', workload: connectName, subject: 'front', reference: 'bare' },
  { name: 'the gateway, a v2 header and its greeting', workload: connectName, subject: 'gateway', reference: 'bare' },
  { name: '@postern/smtp, a message', workload: messageName, subject: 'postern, discarding', reference: 'smtp-server' },
  {
    name: '@postern/smtp, a connection and a message',
    workload: eachName,
    subject: 'postern, discarding',
    reference: 'smtp-server',
  },
]

/** Measures the ratios once. */
export async function measureRatios(options: CheckOptions): Promise<ReadonlyMap<string, number>> {
  const { only } = options
  const wanted = ratios.filter(({ name }) => only.length === 0 || only.some((word) => name.includes(word)))
  const rows = await measure(wanted, options)
  return new Map(wanted.map((ratio) => [ratio.name, ratioIn(rows, ratio)]))
}

/** A baseline out of several runs on this machine. */
export async function record(options: CheckOptions): Promise<Baseline> {
  const runs: ReadonlyMap<string, number>[] = []
  for (let i = 0; i < attempts; i++) runs.push(await measureRatios(options))
  return { setting: setting(), ratios: [...runs[0]!.keys()].map((name) => stored(name, runs)) }
}

/** Compares with a baseline. */
export function check(baseline: Baseline, options: CheckOptions): Promise<readonly Finding[]> {
  return judgeRatios(baseline, () => measureRatios(options))
}

/** Measures until nothing is over its bound, or what is has been so in most of `attempts`. */
export async function judgeRatios(
  baseline: Baseline,
  measureOnce: () => Promise<ReadonlyMap<string, number>>,
): Promise<readonly Finding[]> {
  const runs: ReadonlyMap<string, number>[] = []
  for (;;) {
    runs.push(await measureOnce())
    const findings = [...runs[0]!.keys()].map((name) =>
      findingOf(
        name,
        baseline,
        runs.map((run) => run.get(name)!),
      ),
    )
    const isSure = ({ measured, bound, isRegression }: Finding): boolean =>
      !isRegression || measured.filter((ratio) => ratio > bound).length > attempts / 2
    if (runs.length === attempts || findings.every(isSure)) return findings
  }
}

/** Throws `UsageError` where none was stored. */
export function readBaseline(file: string): Baseline {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Baseline
  } catch (error) {
    throw new UsageError(`no stored ratios, --record writes them: ${(error as Error).message}`)
  }
}

export function renderFindings(findings: readonly Finding[]): string {
  const lines = findings.map(({ name, stored: one, bound, measured, isRegression }) => [
    name,
    one === undefined ? 'not stored' : one.ratio.toFixed(2),
    one === undefined ? '' : bound.toFixed(2),
    measured.map((each) => each.toFixed(2)).join(', '),
    isRegression ? 'REGRESSION' : 'ok',
  ])
  return `${renderTable([['CPU, × the reference', 'stored', 'bound', 'measured', ''], ...lines])}\n`
}

function stored(name: string, runs: readonly ReadonlyMap<string, number>[]): StoredRatio {
  const values = runs.map((run) => run.get(name)!).sort((a, b) => a - b)
  const ratio = values[values.length >> 1]!
  return { name, ratio, noise: Math.max(values.at(-1)! / ratio - 1, 1 - values[0]! / ratio) }
}

function findingOf(name: string, baseline: Baseline, measured: readonly number[]): Finding {
  const one = baseline.ratios.find((each) => each.name === name)
  const bound = one === undefined ? Infinity : one.ratio * (1 + Math.min(mostNoise, Math.max(leastNoise, one.noise)))
  return { name, stored: one, bound, measured, isRegression: spread(measured).median > bound }
}

function ratioIn(rows: readonly ContestRow[], { workload, subject, reference }: Ratio): number {
  const [ours, theirs] = [rowFor(rows, workload, subject), rowFor(rows, workload, reference)]
  if (ours === undefined || theirs === undefined) throw new Error(`${subject} and ${reference} were not both measured`)
  return ratioOf(ours, theirs, ({ cpuUs }) => cpuUs).median
}

async function measure(wanted: readonly Ratio[], options: CheckOptions): Promise<readonly ContestRow[]> {
  const names = new Set(wanted.flatMap(({ subject, reference }) => [subject, reference]))
  const subjects = new Set(wanted.map(({ subject }) => subject))
  const contestants = all
    .filter(({ name }) => names.has(name))
    .map((one) => (subjects.has(one.name) && options.slowUs > 0 ? slowed(one, options.slowUs) : one))
  const asked = new Set(wanted.map(({ workload }) => workload))
  const rows = await contest(
    contestants,
    workloads.filter(({ name }) => asked.has(name)),
    options,
  )
  const failed = rows.find(({ errors }) => errors > 0)
  if (failed !== undefined) throw new Error(`${failed.contestant} failed: ${failed.warnings.join('; ')}`)
  return rows
}

/** The same server, with a busy loop at each connection: its processes read what is in the environment they start in. */
function slowed(contestant: Contestant, slowUs: number): Contestant {
  return {
    ...contestant,
    start: async () => {
      const before = { ...process.env }
      process.env[slowVariable] = String(slowUs)
      process.env['NODE_OPTIONS'] = `--import=${new URL('../peers/slow-connections.js', import.meta.url).href}`
      try {
        return await contestant.start()
      } finally {
        process.env = before
      }
    },
  }
}

const all: readonly Contestant[] = [
  {
    name: 'bare',
    about: 'node:net, which writes a greeting',
    start: async () => {
      const server = await startBare(greeting)
      return { ...server, port: server.direct }
    },
  },
  {
    name: 'front',
    about: 'the same behind proxied() of @postern/core',
    start: async () => {
      const server = await startFront(greeting, 'require')
      return { ...server, port: server.proxied, proxy: 'v2' }
    },
  },
  {
    name: 'gateway',
    about: '`postern serve`, one worker, its default log',
    start: async () => {
      const server = await startGateway({ logLevel: 'info' })
      return { ...server, port: server.proxied, proxy: 'v2' }
    },
  },
  posternDiscarding(1),
  smtpServer(1),
]

const senders = ['postern, discarding', 'smtp-server']
const greeters = ['bare', 'front', 'gateway']

const workloads: readonly Workload[] = [
  {
    name: connectName,
    unit: 'connections',
    skips: senders,
    load: ({ port, proxy = 'none' }) => ({ url: `smtp://127.0.0.1:${port}`, connections: 8, proxy }),
  },
  {
    name: messageName,
    unit: 'messages',
    skips: greeters,
    load: ({ port }) => ({ url: `smtp://127.0.0.1:${port}`, mode: 'message', connections: 16, pipelining: 2 }),
  },
  {
    name: eachName,
    unit: 'messages',
    skips: greeters,
    load: ({ port }) => ({ url: `smtp://127.0.0.1:${port}`, mode: 'message', connections: 64, reconnect: true }),
  },
]
