import { fork, type ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import * as headers from '../micro/headers.ts'
import { renderTable, setting } from '../report.ts'
import { inTurn, meanOf, sumUp, type ConnectionFigure, type Sample } from './cost.ts'
import type { Cargo, Load, LoadOutcome } from './load-program.ts'
import { cpuNsOf } from '../server/process-tree.ts'
import { startGateway } from '../peers/gateway.ts'
import { startBare, startFront, type Server } from './servers.ts'

export interface ConnectionOptions {
  readonly rounds: number
  /** Of each row in each round. */
  readonly connections: number
  /** How many of them at a time. */
  readonly atOnce: number
  readonly cargo: Cargo
}

/** One server with one kind of header. */
interface Row {
  readonly server: string
  readonly header: string
  readonly pid: number
  readonly port: number
  readonly bytes: Buffer
}

export interface ConnectionRow extends ConnectionFigure {
  readonly server: string
  readonly header: string
}

const kinds: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['v1 TCP4', headers.v1Tcp4],
  ['v2 TCP4', headers.v2Tcp4],
  ['v2 TCP4, three TLVs', headers.v2ThreeTlvs],
  ['v2 TCP4, 100 bytes with CRC32C', headers.v2Checksum100],
]
const none = 'none'
const bare = 'bare Node server'

/** Rounds that are thrown away: in them the servers are compiled, and reach their size. */
const warmUpRounds = 3
/** A load that takes longer than this has failed. */
const loadPatienceMs = 60_000
/** After a load: the gateway gathers lines of its log for a fifth of a second, and they belong to their connections. */
const settleMs = 300

/** Measures what a header costs a connection, and gives the text to print. */
export async function runConnection(options: ConnectionOptions & { readonly asJson: boolean }): Promise<string> {
  const rows = await measureConnections(options)
  const { rounds, connections, atOnce, cargo } = options
  const where = setting()
  if (options.asJson) {
    return `${JSON.stringify({ setting: where, rounds, connections, atOnce, cargo, rows }, undefined, 2)}\n`
  }
  return [
    `What a PROXY header costs a connection, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}`,
    `${rounds} rounds, forwards and backwards in turn; ${connections} connections of each row in a round, ${atOnce} at a time`,
    'CPU is user and system time of all threads of the server. Without a header: the mean of before and behind the rows with one.',
    `A connection: accept, header, greeting, ${cargo === 'message' ? 'a message of 2 KB into the Maildir, synced, ' : ''}close.`,
    'Medians of the rounds; differences and ratios within each round.\n',
    ...[...new Set(rows.map(({ server }) => server))].map((server) =>
      renderServer(
        server,
        rows.filter((row) => row.server === server),
      ),
    ),
    '',
  ].join('\n')
}

/** Measures every row: each server, with each kind of header that it reads. */
export async function measureConnections(options: ConnectionOptions): Promise<ConnectionRow[]> {
  const servers: Server[] = []
  const load = fork(fileURLToPath(new URL('load-program.js', import.meta.url)))
  try {
    const started = async (server: Promise<Server>): Promise<Server> => {
      servers.push(await server)
      return servers.at(-1)!
    }
    const gateway = await started(startGateway({ logLevel: 'info' }))
    const quiet = await started(startGateway({ logLevel: 'warn' }))
    const ours = [
      ...rowsOf('Postern gateway, SMTP listener', { ...gateway, front: gateway }),
      ...rowsOf('the same, log level warn', { ...quiet, front: quiet }),
    ]
    const rows =
      options.cargo === 'message' ? ours : [...(await comparedWith(await greetingOf(load, gateway), started)), ...ours]
    const samples = new Map<Row, Sample[]>(rows.map((row) => [row, []]))
    const groups = Object.values(Object.groupBy(rows, ({ server }) => server)) as (readonly Row[])[]
    for (let round = -warmUpRounds; round < options.rounds; round++) {
      for (const group of inTurn(groups, Math.abs(round))) {
        for (const [row, sample] of await measureGroup(load, group, Math.abs(round), options)) {
          if (round >= 0) samples.get(row)!.push(sample)
        }
      }
    }
    const without = (server: string): Sample[] =>
      samples.get(rows.find((row) => row.server === server && row.header === none)!)!
    return rows.map((row) => ({
      server: row.server,
      header: row.header,
      ...sumUp(samples.get(row)!, without(row.server), without(rows[0]!.server)),
    }))
  } finally {
    load.disconnect()
    await Promise.all(servers.map((server) => server.stop()))
  }
}

/**
 * One server in one round: the row without a header first, and again behind those with one, so that what it is held
 * against lies on both sides of each.
 */
async function measureGroup(
  load: ChildProcess,
  [without, ...withHeader]: readonly Row[],
  round: number,
  options: ConnectionOptions,
): Promise<readonly (readonly [Row, Sample])[]> {
  const before = await measure(load, without!, options)
  const samples: (readonly [Row, Sample])[] = []
  for (const row of inTurn(withHeader, round)) samples.push([row, await measure(load, row, options)])
  const after = withHeader.length === 0 ? before : await measure(load, without!, options)
  return [[without!, meanOf(before, after)], ...samples]
}

/** Servers that write the same greeting and nothing else: what a connection costs at the least, and core's part in it. */
async function comparedWith(greeting: string, started: (server: Promise<Server>) => Promise<Server>): Promise<Row[]> {
  return [
    ...rowsOf(bare, await started(startBare(greeting))),
    ...rowsOf('the same behind core’s proxied()', {
      ...(await started(startFront(greeting, 'off'))),
      front: await started(startFront(greeting, 'require')),
    }),
  ]
}

/** The row without a header, and one for each kind where a front reads them. */
function rowsOf(server: string, one: Pick<Server, 'pid' | 'direct'> & { readonly front?: Server }): Row[] {
  const { front } = one
  const withHeaders = front === undefined ? [] : kinds
  return [
    { server, header: none, pid: one.pid, port: one.direct, bytes: Buffer.alloc(0) },
    ...withHeaders.map(([header, bytes]) => ({ server, header, pid: front!.pid, port: front!.proxied, bytes })),
  ]
}

async function measure(
  load: ChildProcess,
  row: Row,
  { connections, atOnce, cargo }: ConnectionOptions,
): Promise<Sample> {
  const before = cpuNsOf(row.pid)
  const { latenciesUs } = await visit(load, {
    port: row.port,
    header: row.bytes.toString('hex'),
    connections,
    atOnce,
    cargo,
  }).catch((error: unknown) => {
    throw new Error(`${row.server}, header ${row.header}: ${String(error)}`)
  })
  await delay(settleMs)
  return { cpuUs: (cpuNsOf(row.pid) - before) / 1_000 / connections, latenciesUs }
}

async function greetingOf(load: ChildProcess, server: Server): Promise<string> {
  const { greeting } = await visit(load, {
    port: server.direct,
    header: '',
    connections: 1,
    atOnce: 1,
    cargo: 'nothing',
  })
  return greeting
}

function visit(load: ChildProcess, work: Load): Promise<Exclude<LoadOutcome, { failed: string }>> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => settle({ failed: `not done in ${loadPatienceMs / 1_000} s` }), loadPatienceMs)
    const settle = (outcome: LoadOutcome): void => {
      clearTimeout(late)
      load.off('message', settle)
      load.off('exit', onExit)
      if ('failed' in outcome) reject(new Error(outcome.failed))
      else resolve(outcome)
    }
    const onExit = (): void => settle({ failed: 'the load generator ended' })
    load.on('message', settle)
    load.on('exit', onExit)
    load.send(work)
  })
}

function renderServer(server: string, rows: readonly ConnectionRow[]): string {
  const title = [server, 'CPU µs', 'min', 'max', 'header µs', 'quartiles', 'share', '× first', 'p50 µs', 'p99 µs']
  const lines = rows.map((row) => {
    const hasNone = row.header === none
    return [
      `  ${row.header}`,
      row.cpuUs.median.toFixed(1),
      row.cpuUs.min.toFixed(1),
      row.cpuUs.max.toFixed(1),
      hasNone ? '' : row.headerUs.median.toFixed(1),
      hasNone ? '' : row.headerQuartilesUs.map((us) => us.toFixed(1)).join(' to '),
      hasNone ? '' : `${(100 * row.headerShare.median).toFixed(1)} %`,
      row.timesBare.median.toFixed(2),
      row.p50Us.toFixed(0),
      row.p99Us.toFixed(0),
    ]
  })
  return `${renderTable([title, ...lines])}\n`
}
