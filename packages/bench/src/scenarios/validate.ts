/*
 * Is this generator to be believed? The same servers, the same work, by it and by smtp-source, which is C and by another
 * hand: both must put the servers in the same order. And how fast it can be at the most.
 */
import { inTurn } from '../connection/cost.ts'
import { bench } from '../load/bench.ts'
import { runSmtpSource } from '../load/smtp-source.ts'
import { haraka, hasCommand, posternDiscarding, smtpServer, smtpSink, type Running } from '../peers/contestants.ts'
import { renderTable, setting, type Setting } from '../report.ts'
import { spread, type Spread } from '../spread.ts'
import { ranged } from './contest.ts'

export interface ValidationRow {
  readonly work: string
  readonly server: string
  /** Messages a second. */
  readonly ours: Spread
  readonly smtpSource: Spread
  /** CPU of one thread of ours for a message: with its inverse it can do no more. */
  readonly generatorUs: number
}

export interface ValidationReport {
  readonly setting: Setting
  readonly rounds: number
  readonly seconds: number
  readonly rows: readonly ValidationRow[]
  readonly agreements: readonly Agreement[]
}

export interface Agreement {
  readonly work: string
  /** From the fastest on. */
  readonly ours: readonly string[]
  readonly smtpSource: readonly string[]
  readonly agrees: boolean
}

export interface ValidateOptions {
  readonly rounds: number
  readonly seconds: number
  readonly onProgress: (text: string) => void
}

const sessions = 16

export async function runValidation({ rounds, seconds, onProgress }: ValidateOptions): Promise<ValidationReport> {
  if (!hasCommand('smtp-source')) throw new Error('smtp-source is not installed (scripts/install-bench-peers.sh)')
  const servers: { name: string; server: Running }[] = []
  try {
    for (const { name, missing, start } of [posternDiscarding(1), smtpServer(1), haraka(1), smtpSink()]) {
      if (missing === undefined) servers.push({ name, server: await start() })
    }
    const works = [
      { work: '2 KB, kept open', reconnects: false, of: servers },
      // smtp-server keeps each connection waiting for a tenth of a second: what is measured then is the wait.
      { work: '2 KB, a connection each', reconnects: true, of: servers.filter(({ name }) => name !== 'smtp-server') },
    ]
    const rows: ValidationRow[] = []
    for (const { work, reconnects, of } of works) {
      const figures = of.map(({ name, server }) => ({
        name,
        server,
        ours: [] as number[],
        source: [] as number[],
        generatorUs: [] as number[],
      }))
      for (let round = -1; round < rounds; round++) {
        for (const each of inTurn(figures, Math.abs(round))) {
          onProgress(`round ${round + 1} of ${rounds}: ${work}: ${each.name}`)
          const { port, pid } = each.server
          const url = `smtp://127.0.0.1:${port}`
          const result = await bench({
            url,
            pid,
            mode: 'message',
            connections: sessions,
            reconnect: reconnects,
            duration: seconds,
          })
          const source = await runSmtpSource({ port, sessions, messageBytes: 2_048, seconds, reconnects })
          if (round < 0) continue
          each.ours.push(result.requests.total / result.duration)
          each.generatorUs.push(result.generator.cpuUsPerOperation)
          each.source.push(source)
        }
      }
      for (const { name, ours, source, generatorUs } of figures) {
        rows.push({
          work,
          server: name,
          ours: spread(ours),
          smtpSource: spread(source),
          generatorUs: spread(generatorUs).median,
        })
      }
    }
    return { setting: setting(), rounds, seconds, rows, agreements: works.map(({ work }) => agreementOf(work, rows)) }
  } finally {
    await Promise.all(servers.map(({ server }) => server.stop()))
  }
}

/**
 * Whether the orders are the same. Servers whose spreads overlap for one generator are equals to it, and in no order.
 */
export function agreementOf(work: string, rows: readonly Omit<ValidationRow, 'generatorUs'>[]): Agreement {
  const own = rows.filter((row) => row.work === work)
  const order = (of: (row: (typeof own)[number]) => Spread): readonly string[] =>
    own.toSorted((a, b) => of(b).median - of(a).median).map(({ server }) => server)
  const contradicts = own.some((a) =>
    own.some((b) => isClearlyFaster(a.ours, b.ours) && isClearlyFaster(b.smtpSource, a.smtpSource)),
  )
  return {
    work,
    ours: order(({ ours }) => ours),
    smtpSource: order(({ smtpSource }) => smtpSource),
    agrees: !contradicts,
  }
}

function isClearlyFaster(a: Spread, b: Spread): boolean {
  return a.min > b.max
}

export function renderValidation({ setting: where, rounds, seconds, rows, agreements }: ValidationReport): string {
  return [
    `This generator against smtp-source, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}; ${rounds} rounds of ${seconds} s, ${sessions} sessions, one thread\n`,
    ...agreements.flatMap(({ work, ours, smtpSource, agrees }) => [
      renderTable([
        [work, 'msg/s', 'smtp-source msg/s', 'own CPU µs', 'ceiling msg/s'],
        ...rows
          .filter((row) => row.work === work)
          .map((row) => [
            `  ${row.server}`,
            ranged(row.ours, 0),
            ranged(row.smtpSource, 0),
            row.generatorUs.toFixed(1),
            (1e6 / row.generatorUs).toFixed(0),
          ]),
      ]),
      `  order by ours: ${ours.join(' > ')}`,
      `  by smtp-source: ${smtpSource.join(' > ')}`,
      agrees ? '  no server is clearly faster for one and clearly slower for the other\n' : '  THE ORDERS DISAGREE\n',
    ]),
    'The ceiling is what one thread of ours could send if it had a core of its own and a server that takes no time.\n',
  ].join('\n')
}
