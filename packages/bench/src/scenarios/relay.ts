/*
 * What a hop costs: the gateway before backends that cost next to nothing, beside others who do the same. IMAP logins and
 * what is spliced behind them; SMTP relayed before the queue; and, without anything between, what the backend alone takes.
 */
import type { LoadOptions } from '../load/options.ts'
import { haraka, smtpSink, type Contestant, type Running } from '../peers/contestants.ts'
import { dovecotBefore, nginxBefore, posternBeforeImap, posternBeforeSmtp } from '../peers/relays.ts'
import { setting, type Setting } from '../report.ts'
import { launchProgram } from '../server/launch.ts'
import {
  contest,
  introduce,
  ranged,
  ratioOf,
  renderIntroduced,
  renderWorkload,
  rowFor,
  type ContestOptions,
  type ContestRow,
  type Introduced,
  type Workload,
} from './contest.ts'

export interface RelayOptions extends ContestOptions {
  readonly connections: number
}

export interface RelayReport {
  readonly setting: Setting
  readonly options: Omit<RelayOptions, 'onProgress'>
  readonly contestants: readonly Introduced[]
  readonly rows: readonly ContestRow[]
}

/** Of the message that is fetched again and again: MB a second are commands a second. */
const messageBytes = 1_000_000

const reference = 'nginx mail'
const direct = 'nothing between'
const login = 'LOGIN to ready'
const splice = 'FETCH of 1 MB: commands are MB'
const hop = 'NOOP, one session: the latency of a hop'

function to({ port, proxy = 'none' }: Running): Pick<LoadOptions, 'url' | 'proxy' | 'clients'> {
  return { url: `imap://user:password@127.0.0.1:${port}`, proxy, clients: '203.0.113.0/24' }
}

function imapWorkloads(connections: number): readonly Workload[] {
  return [
    { name: login, unit: 'logins', load: (server) => ({ ...to(server), mode: 'login', connections }) },
    {
      name: splice,
      unit: 'commands',
      load: (server) => ({ ...to(server), mode: 'imap', mix: ['fetch-body'], connections: 4 }),
    },
    { name: hop, unit: 'commands', load: (server) => ({ ...to(server), mode: 'imap', mix: ['noop'], connections: 1 }) },
  ]
}

function smtpWorkloads(connections: number): readonly Workload[] {
  const workload = (name: string, more: Partial<LoadOptions>): Workload => ({
    name: `SMTP, ${name}`,
    unit: 'messages',
    load: ({ port }) => ({ url: `smtp://127.0.0.1:${port}`, mode: 'message', connections, ...more }),
  })
  return [
    workload('2 KB, kept open', { size: 2_048 }),
    workload('64 KB, kept open', { size: 65_536 }),
    workload('2 KB, a connection each', { size: 2_048, reconnect: true }),
    workload('64 KB, a connection each', { size: 65_536, reconnect: true }),
  ]
}

export async function runRelay(options: RelayOptions): Promise<RelayReport> {
  const { rounds, seconds, warmupSeconds, connections } = options
  // In the first one servers are compiled and reach their size.
  const warm = { ...options, warmupRounds: 1 }
  const backend = await launchProgram<{ port: number }>(new URL('../peers/imap-backend-program.js', import.meta.url), [
    '0',
    String(messageBytes),
  ])
  const sink = await smtpSink().start()
  try {
    const imap = [
      posternBeforeImap(backend.port),
      nginxBefore('imap', backend.port),
      dovecotBefore(backend.port),
      nothingBetween({ ...backend, proxy: 'v2-ssl' }),
    ]
    const smtp = [
      posternBeforeSmtp(sink.port),
      nginxBefore('smtp', sink.port),
      haraka(1, { forwardTo: sink.port }),
      nothingBetween(sink),
    ]
    return {
      setting: setting(),
      options: { rounds, seconds, warmupSeconds, connections },
      contestants: introduce([...imap, ...smtp]),
      rows: [
        ...(await contest(imap, imapWorkloads(connections), warm)),
        ...(await contest(smtp, smtpWorkloads(connections), warm)),
      ],
    }
  } finally {
    await Promise.all([backend.stop(), sink.stop()])
  }
}

export function renderRelay({ rows, setting: where, options, contestants }: RelayReport): string {
  const names = [...new Set(rows.map(({ workload }) => workload))]
  return [
    `A hop to a backend, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}`,
    `${options.rounds} alternating rounds of ${options.seconds} s, ${options.connections} connections at a time; the backend and the generator run beside it`,
    'Medians of the rounds, in brackets the least and the most; ratios within each round, above 1 is better than nginx\n',
    ...names.map((name) => `${renderWorkload(name, rows, reference)}\n`),
    ...aims(rows),
    '',
    ...renderIntroduced(contestants),
    '',
  ].join('\n')
}

/** What the project wants of itself, and what came of it. */
function aims(rows: readonly ContestRow[]): readonly string[] {
  const compare = (
    words: string,
    [workload, other]: readonly [string, string],
    of: (one: ContestRow['measurements'][number]) => number,
  ): string => {
    const [ours, theirs] = [rowFor(rows, workload, 'postern gateway'), rowFor(rows, workload, other)]
    if (ours === undefined || theirs === undefined) return `${words}: not measured, ${other} is missing`
    return `${words}: ${ranged(ratioOf(ours, theirs, of), 2)}`
  }
  const haraka1 = rows.find(({ contestant }) => contestant.startsWith('haraka'))?.contestant ?? 'haraka'
  return [
    compare('CPU of a login, times that of nginx (aim: at most 1.5)', [login, reference], ({ cpuUs }) => cpuUs),
    compare(
      'spliced MB/s, times those of nginx (aim: at least 0.8)',
      [splice, reference],
      ({ perSecond }) => perSecond,
    ),
    compare(
      'messages of 2 KB a second, times those of Haraka (aim: at least 3)',
      ['SMTP, 2 KB, kept open', haraka1],
      ({ perSecond }) => perSecond,
    ),
    compare('p50 of a hop, times that of the backend alone', [hop, direct], ({ p50Ms }) => p50Ms),
    compare('p99 of a hop, times that of the backend alone', [hop, direct], ({ p99Ms }) => p99Ms),
  ]
}

/** What clients of the backend see without a hop; its CPU is that of the backend. */
function nothingBetween(backend: Running): Contestant {
  return {
    name: direct,
    about: 'the backend by itself; CPU is the backend’s own',
    start: async () => ({ ...backend, stop: async () => {} }),
  }
}
