/*
 * Every server that is installed, in one run: what a connection with a PROXY header costs it, and a message.
 */
import { haraka, posternDiscarding, posternMaildir, smtpServer, smtpSink } from '../peers/contestants.ts'
import {
  bareNode,
  coreFront,
  gatewayWithHeader,
  haproxyInFront,
  harakaWithHeader,
  nginxInFront,
  nginxMail,
  postfix,
  smtpServerWithHeader,
} from '../peers/proxied.ts'
import { renderTable, setting, type Setting } from '../report.ts'
import {
  contest,
  introduce,
  ranged,
  ratioOf,
  renderIntroduced,
  type ContestOptions,
  type ContestRow,
  type Introduced,
  type Workload,
} from './contest.ts'

export interface CompareReport {
  readonly setting: Setting
  readonly options: { readonly rounds: number; readonly seconds: number }
  readonly contestants: readonly Introduced[]
  readonly rows: readonly ContestRow[]
}

const connectName = 'accept, PROXY v1 header, greeting, close'
const messageName = '2 KB, kept open, pipelined'

/** Whom each is compared with, by workload: ours is what all others are measured by. */
const references: Readonly<Record<string, string>> = {
  [connectName]: 'postern gateway',
  [messageName]: 'postern, discarding',
}

const connect: Workload = {
  name: connectName,
  unit: 'connections',
  load: ({ port, proxy = 'none' }) => ({ url: `smtp://127.0.0.1:${port}`, connections: 32, proxy }),
}

const message: Workload = {
  name: messageName,
  unit: 'messages',
  load: ({ port }) => ({ url: `smtp://127.0.0.1:${port}`, mode: 'message', connections: 32, pipelining: 2 }),
}

export async function runCompare(options: ContestOptions): Promise<CompareReport> {
  const greeters = [
    bareNode(),
    coreFront(),
    gatewayWithHeader(),
    smtpServerWithHeader(),
    harakaWithHeader(),
    postfix('header'),
    nginxMail(),
    nginxInFront(),
    haproxyInFront(),
  ]
  const takers = [posternDiscarding(1), posternMaildir(1), smtpServer(1), haraka(1), smtpSink(), postfix('nothing')]
  const rows = [...(await contest(greeters, [connect], options)), ...(await contest(takers, [message], options))]
  return {
    setting: setting(),
    options: { rounds: options.rounds, seconds: options.seconds },
    contestants: introduce([...greeters, ...takers]),
    rows,
  }
}

export function renderCompare({ setting: where, options, rows, contestants }: CompareReport): string {
  const names = [...new Set(rows.map(({ workload }) => workload))]
  return [
    `All of them, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}`,
    `${options.rounds} alternating rounds of ${options.seconds} s, 32 connections at a time, one generator thread`,
    'Medians, in brackets the least and the most; × is what it costs, in server CPU, against ours in the same round\n',
    ...names.map((name) => {
      const own = rows.filter((row) => row.workload === name)
      const ours = own.find(({ contestant }) => contestant === references[name])
      return `${renderTable([
        [name, 'per s', 'CPU µs', '× the CPU', 'p50 ms', 'p99 ms', ''],
        ...own.map((row) => [
          `  ${row.contestant}`,
          ranged(row.perSecond, 0),
          row.cpuUs.median.toFixed(1),
          ours === undefined
            ? ''
            : ranged(
                ratioOf(row, ours, ({ cpuUs }) => cpuUs),
                2,
              ),
          row.p50Ms.median.toFixed(2),
          row.p99Ms.median.toFixed(2),
          row.errors === 0 ? '' : `${row.errors} failed`,
        ]),
      ])}\n`
    }),
    ...renderIntroduced(contestants),
    '',
  ].join('\n')
}
