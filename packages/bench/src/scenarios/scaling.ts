/*
 * How cost grows: with workers, with the size of a message, with trusted networks, with clients that a limit counts, and
 * with the messages of a mailbox. Server CPU is what grows; operations a second are told beside it.
 */
import { bench } from '../load/bench.ts'
import type { LoadOptions } from '../load/options.ts'
import type { LoadResult } from '../load/result.ts'
import { posternDiscarding } from '../peers/contestants.ts'
import { startGateway } from '../peers/gateway.ts'
import { domains, password } from '../peers/mailboxes.ts'
import { renderTable, setting, type Setting } from '../report.ts'
import { spread, type Spread } from '../spread.ts'
import { ranged } from './contest.ts'
import { posternImap } from './imap.ts'

export interface ScalingPoint {
  readonly x: number
  readonly perSecond: Spread
  readonly cpuUs: Spread
}

export interface ScalingSeries {
  readonly name: string
  /** What grows. */
  readonly of: string
  readonly unit: string
  readonly points: readonly ScalingPoint[]
}

export interface ScalingReport {
  readonly setting: Setting
  readonly series: readonly ScalingSeries[]
}

export interface ScalingOptions {
  readonly isQuick: boolean
  readonly onProgress: (text: string) => void
}

interface Step {
  readonly x: number
  readonly start: () => Promise<{ readonly port: number; readonly pid: number; readonly stop: () => Promise<void> }>
  readonly load: (port: number) => LoadOptions
}

interface Series {
  readonly name: string
  readonly of: string
  readonly unit: string
  readonly steps: readonly Step[]
}

export async function runScaling({ isQuick, onProgress }: ScalingOptions): Promise<ScalingReport> {
  const series: ScalingSeries[] = []
  for (const { name, of, unit, steps } of seriesOf(isQuick)) {
    const points: ScalingPoint[] = []
    for (const { x, start, load } of steps) {
      onProgress(`${name}: ${x} ${of}`)
      const server = await start()
      try {
        points.push({ x, ...(await measure({ ...load(server.port), pid: server.pid }, isQuick)) })
      } finally {
        await server.stop()
      }
    }
    series.push({ name, of, unit, points })
  }
  return { setting: setting(), series }
}

export function renderScaling({ setting: where, series }: ScalingReport): string {
  return [
    `How cost grows, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}; medians, in brackets the least and the most of the rounds\n`,
    ...series.map(
      ({ name, of, unit, points }) =>
        `${renderTable([
          [name, of, `${unit}/s`, 'CPU µs each'],
          ...points.map(({ x, perSecond, cpuUs }) => [
            '',
            x.toLocaleString('en'),
            ranged(perSecond, 0),
            ranged(cpuUs, 1),
          ]),
        ])}\n`,
    ),
  ].join('\n')
}

async function measure(load: LoadOptions, isQuick: boolean): Promise<Omit<ScalingPoint, 'x'>> {
  const results: LoadResult[] = []
  const [rounds, duration] = isQuick ? [2, 0.7] : [5, 1.5]
  for (let round = 0; round < rounds; round++) results.push(await bench({ warmup: 0.4, duration, ...load }))
  const failed = results.find(({ errors }) => errors > 0)
  if (failed !== undefined) throw new Error(`${failed.title}: ${failed.examples.join('; ')}`)
  return {
    perSecond: spread(results.map(({ requests, duration: took }) => requests.total / took)),
    cpuUs: spread(results.map(({ server }) => server?.cpuUsPerOperation ?? Number.NaN)),
  }
}

function seriesOf(isQuick: boolean): readonly Series[] {
  const upTo = (values: readonly number[], quickMost: number): readonly number[] =>
    isQuick ? values.filter((value) => value <= quickMost) : values
  const workers = upTo([1, 2, 4, 8], 4)
  return [
    {
      name: 'connections, by workers of the gateway',
      of: 'workers',
      unit: 'connections',
      steps: workers.map((x) => ({ x, start: () => gateway({ workers: x }), load: connect })),
    },
    {
      name: 'messages of 2 KB, discarded, by processes',
      of: 'processes',
      unit: 'messages',
      steps: workers.map((x) => ({ x, start: () => posternDiscarding(x).start(), load: (port) => message(port) })),
    },
    {
      name: 'messages, discarded, by their size',
      of: 'bytes',
      unit: 'messages',
      steps: upTo([1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304], 262_144).map((x) => ({
        x,
        start: () => posternDiscarding(1).start(),
        load: (port) => message(port, { size: x, connections: 8 }),
      })),
    },
    {
      name: 'connections with a header, by trusted networks',
      of: 'networks',
      unit: 'connections',
      steps: upTo([1, 10, 100, 1_000, 10_000, 100_000], 10_000).map((x) => ({
        x,
        start: () => gateway({ trustedNetworks: networks(x) }),
        load: connect,
      })),
    },
    {
      name: 'connections with a header, by clients that a rate counts',
      of: 'clients',
      unit: 'connections',
      steps: upTo([1, 100, 10_000, 1_000_000], 10_000).map((x) => ({
        x,
        start: () => gateway({ extra: '[policy.rate]\nconnections-per-client = "1000000/1m"\n' }),
        load: (port) => ({ ...connect(port), clients: clientRange(x) }),
      })),
    },
    ...(['select', 'fetch-flags', 'fetch-envelope', 'search'] as const).map((kind) => ({
      name: `IMAP ${kind}, by messages in the mailbox`,
      of: 'messages',
      unit: 'commands',
      steps: upTo([10, 100, 1_000, 10_000, 100_000], 1_000).map((x) => ({
        x,
        start: () => posternImap({ users: 1, messages: x }, 1).start(),
        load: (port: number): LoadOptions => ({
          url: `imap://user1%40${domains.cheap}:${encodeURIComponent(password)}@127.0.0.1:${port}`,
          mode: 'imap',
          mix: [kind],
          messages: x,
          connections: 2,
          proxy: 'v2-ssl',
          timeout: 60,
        }),
      })),
    })),
  ]
}

function connect(port: number): LoadOptions {
  return { url: `smtp://127.0.0.1:${port}`, connections: 32, proxy: 'v2', clients: '198.51.100.0/24' }
}

function message(port: number, more: Partial<LoadOptions> = {}): LoadOptions {
  return { url: `smtp://127.0.0.1:${port}`, mode: 'message', connections: 32, pipelining: 2, ...more }
}

async function gateway(
  options: Partial<Parameters<typeof startGateway>[0]>,
): Promise<{ readonly port: number; readonly pid: number; readonly stop: () => Promise<void> }> {
  const { proxied, pid, stop } = await startGateway({ logLevel: 'warn', ...options })
  return { port: proxied, pid, stop }
}

/** That many /32s of 10.0.0.0/8, beside loopback. */
function networks(count: number): readonly string[] {
  return Array.from({ length: count - 1 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
}

/** A network with about so many addresses. */
function clientRange(count: number): string {
  return count === 1 ? '10.9.0.1/32' : `10.0.0.0/${32 - Math.ceil(Math.log2(count))}`
}
