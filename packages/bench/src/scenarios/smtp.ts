/*
 * How fast mail is taken in: messages a second and server CPU for each, beside other servers.
 */
import { renderTable, setting, type Setting } from '../report.ts'
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
import {
  contest,
  introduce,
  ranged,
  renderIntroduced,
  renderWorkload,
  type ContestOptions,
  type ContestRow,
  type Introduced,
  type Workload,
} from './contest.ts'
import { idleMemory, renderIdle, type IdleRow } from './idle.ts'

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
  readonly contestants: readonly Introduced[]
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
    contestants: introduce(contestants),
    rows,
    bySmtpSource: await bySmtpSource(contestants, options),
    idle: await idleMemory(contestants, {
      connections: options.idleConnections,
      load: ({ port }) => ({ url: `smtp://127.0.0.1:${port}`, from: idleClients }),
      onProgress: options.onProgress,
    }),
  }
}

export function renderSmtp(report: SmtpReport): string {
  const { rows, setting: where, options } = report
  return [
    `SMTP in, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}`,
    `${options.rounds} alternating rounds of ${options.seconds} s, ${options.connections} connections at a time, one generator thread`,
    'Medians of the rounds, in brackets the least and the most; ratios within each round, above 1 is better than smtp-server\n',
    ...smtpWorkloads.map(({ name }) => `${renderWorkload(name, rows, reference)}\n`),
    ...(report.bySmtpSource.length === 0
      ? []
      : [
          renderTable([
            ['2 KB, kept open, by smtp-source', 'msg/s'],
            ...report.bySmtpSource.map(({ contestant, perSecond }) => [`  ${contestant}`, ranged(perSecond, 0)]),
          ]),
          '',
        ]),
    ...(report.idle.length === 0 ? [] : [renderIdle('idle connections, greeted and EHLO said', report.idle), '']),
    ...renderIntroduced(report.contestants),
    '',
  ].join('\n')
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

async function startAll(
  contestants: readonly Contestant[],
): Promise<readonly { readonly name: string; readonly server: Running }[]> {
  const started: { name: string; server: Running }[] = []
  for (const { name, missing, start } of contestants)
    if (missing === undefined) started.push({ name, server: await start() })
  return started
}
