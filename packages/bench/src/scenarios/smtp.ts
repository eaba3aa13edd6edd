/*
 * How fast mail is taken in: messages a second and server CPU for each, beside other servers.
 */
import { renderTable, setting, type Setting } from '../report.ts'
import { bench } from '../load/bench.ts'
import type { LoadOptions } from '../load/options.ts'
import { runSmtpSource } from '../load/smtp-source.ts'
import {
  haraka,
  hasCommand,
  posternDiscarding,
  posternMaildir,
  smtpServer,
  smtpSink,
  type Contestant,
  type Running,
} from '../peers/contestants.ts'
import { inTurn } from '../connection/cost.ts'
import { spread, type Spread } from '../spread.ts'
import { contest, ranged, ratioOf, rowFor, type ContestOptions, type ContestRow, type Workload } from './contest.ts'

export interface SmtpOptions extends ContestOptions {
  readonly connections: number
  /** Numbers of worker processes of ours and of the Node servers. */
  readonly workers: readonly number[]
  /** Contestants whose name has one of these words; all when empty. */
  readonly only: readonly string[]
  readonly idleConnections: number
}

export interface SmtpReport {
  readonly setting: Setting
  readonly options: Omit<SmtpOptions, 'onProgress'>
  readonly contestants: readonly Pick<Contestant, 'name' | 'about' | 'missing'>[]
  readonly rows: readonly ContestRow[]
  /** The same by smtp-source, a generator of another make. Empty when it is not installed. */
  readonly bySmtpSource: readonly SourceRow[]
  readonly idle: readonly IdleRow[]
}

/** Messages a second as Postfix's smtp-source sends them. */
export interface SourceRow {
  readonly contestant: string
  readonly perSecond: Spread
}

export interface IdleRow {
  readonly contestant: string
  readonly connections: number
  readonly bytesPerConnection: number
}

export const smtpWorkloads: readonly Workload[] = [
  workload('2 KB, kept open', { size: 2_048 }),
  workload('2 KB, kept open, pipelined', { size: 2_048, pipelining: 2 }),
  workload('64 KB, kept open', { size: 65_536, pipelining: 2 }),
  workload('2 KB, a connection each', { size: 2_048, reconnect: true }),
]

/** Many clients, as they come: what a server keeps for each of them is part of what a connection costs. */
const idleClients = '127.1.0.0/16'

/** Where all is compared with. */
const reference = 'smtp-server'

export function smtpContestants({ workers, only }: Pick<SmtpOptions, 'workers' | 'only'>): readonly Contestant[] {
  const all = [
    ...workers.map((count) => posternDiscarding(count)),
    ...workers.map((count) => smtpServer(count)),
    ...workers.map((count) => haraka(count)),
    smtpSink(),
    ...workers.map((count) => posternMaildir(count)),
  ]
  return only.length === 0 ? all : all.filter(({ name }) => only.some((word) => name.includes(word)))
}

export async function runSmtp(options: SmtpOptions): Promise<SmtpReport> {
  const contestants = smtpContestants(options)
  const workloads = smtpWorkloads.map((each) => ({
    ...each,
    load: (server: Running) => ({ connections: options.connections, ...each.load(server) }),
  }))
  const rows = await contest(contestants, workloads, options)
  return {
    setting: setting(),
    options: withoutHook(options),
    contestants: contestants.map(({ name, about, missing }) => ({
      name,
      about,
      ...(missing !== undefined && { missing }),
    })),
    rows,
    bySmtpSource: await bySmtpSource(contestants, options),
    idle: await idleMemory(contestants, options),
  }
}

export function renderSmtp(report: SmtpReport): string {
  const { rows, setting: where, options } = report
  const parts = smtpWorkloads.map(({ name }) =>
    renderWorkload(
      name,
      rows.filter((row) => row.workload === name),
    ),
  )
  return [
    `SMTP in, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}`,
    `${options.rounds} alternating rounds of ${options.seconds} s, ${options.connections} connections at a time, one generator thread`,
    'Medians of the rounds, in brackets the least and the most; ratios within each round, above 1 is better than smtp-server\n',
    ...parts.flatMap((part) => [part, '']),
    ...(report.bySmtpSource.length === 0
      ? []
      : [
          renderTable([
            ['2 KB, kept open, by smtp-source', 'msg/s'],
            ...report.bySmtpSource.map(({ contestant, perSecond }) => [`  ${contestant}`, ranged(perSecond, 0)]),
          ]),
          '',
        ]),
    ...(report.idle.length === 0
      ? []
      : [
          renderTable([
            [`${options.idleConnections} idle connections, greeted and EHLO said`, 'KiB each'],
            ...report.idle.map(({ contestant, bytesPerConnection }) => [
              `  ${contestant}`,
              (bytesPerConnection / 1_024).toFixed(1),
            ]),
          ]),
          '',
        ]),
    ...report.contestants.map(
      ({ name, about, missing }) => `${name}: ${missing === undefined ? about : `left out, ${missing}`}`,
    ),
    '',
  ].join('\n')
}

function renderWorkload(name: string, rows: readonly ContestRow[]): string {
  const peer = rowFor(rows, name, reference)
  const lines = rows.map((row) => [
    `  ${row.contestant}`,
    ranged(row.perSecond, 0),
    peer === undefined
      ? ''
      : ranged(
          ratioOf(row, peer, ({ perSecond }) => perSecond),
          2,
        ),
    row.cpuUs.median.toFixed(1),
    peer === undefined
      ? ''
      : ranged(
          ratioOf(peer, row, ({ cpuUs }) => cpuUs),
          2,
        ),
    row.p50Ms.median.toFixed(2),
    row.p99Ms.median.toFixed(2),
    row.errors === 0 ? '' : `${row.errors} failed`,
  ])
  return renderTable([[name, 'msg/s', '×', 'CPU µs', '×', 'p50 ms', 'p99 ms', ''], ...lines])
}

function workload(name: string, load: Omit<LoadOptions, 'url'>): Workload {
  return { name, unit: 'messages', load: ({ port }) => ({ url: `smtp://127.0.0.1:${port}`, mode: 'message', ...load }) }
}

function withoutHook(options: SmtpOptions): SmtpReport['options'] {
  const { rounds, seconds, warmupSeconds, connections, workers, only, idleConnections } = options
  return { rounds, seconds, warmupSeconds, connections, workers, only, idleConnections }
}

async function bySmtpSource(contestants: readonly Contestant[], options: SmtpOptions): Promise<readonly SourceRow[]> {
  if (!hasCommand('smtp-source')) return []
  const servers = await startAll(contestants)
  try {
    const figures = new Map(servers.map(({ name }) => [name, [] as number[]]))
    for (let round = 0; round < options.rounds; round++) {
      for (const { name, server } of inTurn(servers, round)) {
        options.onProgress?.(`round ${round + 1} of ${options.rounds}: smtp-source: ${name}`)
        const { connections: sessions, seconds } = options
        figures.get(name)!.push(await runSmtpSource({ port: server.port, sessions, messageBytes: 2_048, seconds }))
      }
    }
    return [...figures].map(([contestant, perSecond]) => ({ contestant, perSecond: spread(perSecond) }))
  } finally {
    await Promise.all(servers.map(({ server }) => server.stop()))
  }
}

/** Each in a new process, which has opened some connections before: what those cost once is not counted. */
async function idleMemory(contestants: readonly Contestant[], options: SmtpOptions): Promise<readonly IdleRow[]> {
  const rows: IdleRow[] = []
  // More workers hold as many connections in more processes: nothing is learnt.
  const single = contestants.filter(({ name, missing }) => missing === undefined && !name.includes('workers'))
  for (const contestant of single) {
    options.onProgress?.(`${options.idleConnections} idle connections: ${contestant.name}`)
    const server = await contestant.start()
    try {
      const idle = {
        url: `smtp://127.0.0.1:${server.port}`,
        mode: 'idle',
        from: idleClients,
        pid: server.pid,
        timeout: 60,
      } as const
      await bench({ ...idle, connections: 200, duration: 0.5 })
      const { server: cost, open } = await bench({ ...idle, connections: options.idleConnections, duration: 1 })
      if (open !== options.idleConnections) {
        throw new Error(`${contestant.name} held ${open} of ${options.idleConnections} connections`)
      }
      rows.push({
        contestant: contestant.name,
        connections: open,
        bytesPerConnection: cost?.memoryPerConnection ?? Number.NaN,
      })
    } finally {
      await server.stop()
    }
  }
  return rows
}

async function startAll(
  contestants: readonly Contestant[],
): Promise<readonly { readonly name: string; readonly server: Running }[]> {
  const started: { name: string; server: Running }[] = []
  for (const { name, missing, start } of contestants)
    if (missing === undefined) started.push({ name, server: await start() })
  return started
}
