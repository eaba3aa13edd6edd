/*
 * What came of a load, for people and for machines. The names are those of autocannon's result wherever it has one for the
 * same thing, so that what reads its JSON reads this.
 */
import type { Histogram } from 'hdr-histogram-js'
import type { Setting } from '../report.ts'
import { spread, type Spread } from '../spread.ts'
import type { LoadPlan } from './options.ts'
import type { Failures } from './tally.ts'

/** The percentiles that are told, as autocannon names them. */
export const percentiles = [0.001, 0.01, 0.1, 1, 2.5, 10, 25, 50, 75, 90, 97.5, 99, 99.9, 99.99, 99.999] as const

/** A distribution. With `p50` and the like for each of `percentiles`. */
export interface Distribution {
  readonly average: number
  readonly mean: number
  readonly stddev: number
  readonly min: number
  readonly max: number
  readonly [percentile: `p${string}`]: number
}

/** What the server's processes spent, seen from outside. */
export interface ServerCost {
  /** Of the processes that listen, their children included. */
  readonly pids: readonly number[]
  readonly processes: number
  readonly cpuMs: number
  /** Cores' worth, on average. */
  readonly cores: number
  readonly cpuUsPerOperation: number
  /** Memory that is its own and its share of what is shared (PSS), before the connections were opened. */
  readonly memoryBefore: number
  readonly memory: number
  /** What the open connections added. Only of idle ones: other work changes the memory more than they do. */
  readonly memoryPerConnection?: number
}

export interface GeneratorCost {
  readonly threads: number
  /** CPU of all threads for one operation: what it takes to make the load. */
  readonly cpuUsPerOperation: number
  /** Of each thread: how much of one core it used, 0 to 1. */
  readonly utilization: readonly number[]
  /** A thread was at a core's limit: it may be the generator that is measured. */
  readonly isBottleneck: boolean
}

export interface LoadRound {
  readonly operations: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly errors: number
  readonly serverCpuUsPerOperation?: number
}

export interface LoadResult {
  readonly title: string
  readonly url: string
  readonly mode: LoadPlan['mode']
  /** What an operation is, in the plural. */
  readonly unit: string
  readonly shortUnit: string
  readonly connections: number
  readonly workers: number
  readonly pipelining: number
  readonly proxy: LoadPlan['proxy']
  /** Operations a second that were asked for, if any: then latencies count from the time each was due. */
  readonly overallRate?: number
  readonly setting: Setting
  readonly start: string
  readonly finish: string
  /** Seconds. */
  readonly duration: number
  /** Milliseconds between samples. */
  readonly sampleInt: number
  readonly samples: number
  /** Milliseconds, of operations that succeeded. */
  readonly latency: Distribution & { readonly totalCount: number }
  /** Operations that succeeded, a second: over the samples. */
  readonly requests: Distribution & { readonly total: number; readonly sent: number }
  /** Octets a second, both ways. */
  readonly throughput: Distribution & { readonly total: number }
  /** All that did not succeed: connections that failed, resets, timeouts and refusals. */
  readonly errors: number
  readonly timeouts: number
  readonly resets: number
  /** Answered, but not as awaited. */
  readonly refused: number
  readonly failedConnections: number
  /** The first few failures, in words. */
  readonly examples: readonly string[]
  /** Due and never begun, with an overall rate: the server did not keep up. */
  readonly backlog: number
  /** Connections that were open at the end. */
  readonly open: number
  /** Replies by code; with IMAP by their name. */
  readonly statusCodeStats: Readonly<Record<string, { readonly count: number }>>
  readonly server?: ServerCost
  readonly generator: GeneratorCost
  /** Things that a reader of the figures has to know. */
  readonly warnings: readonly string[]
  /** With several rounds: each, and their spread; all else is of all rounds together. */
  readonly rounds?: readonly LoadRound[]
  readonly spread?: { readonly perSecond: Spread; readonly p50: Spread; readonly p99: Spread; readonly cpuUs?: Spread }
}

/** Latencies, in milliseconds, of a histogram of microseconds. */
export function latencyOf(histogram: Histogram): LoadResult['latency'] {
  const isEmpty = histogram.totalCount === 0
  return {
    average: isEmpty ? 0 : ms(histogram.mean),
    mean: isEmpty ? 0 : ms(histogram.mean),
    stddev: isEmpty ? 0 : ms(histogram.stdDeviation),
    min: isEmpty ? 0 : ms(histogram.minNonZeroValue),
    max: ms(histogram.maxValue),
    ...percentilesBy((percentile) => (isEmpty ? 0 : ms(histogram.getValueAtPercentile(percentile)))),
    totalCount: histogram.totalCount,
  }
}

/** The distribution of samples, each a rate. */
export function distributionOf(samples: readonly number[]): Distribution {
  const sorted = samples.length === 0 ? [0] : samples.toSorted((a, b) => a - b)
  const average = sorted.reduce((sum, each) => sum + each, 0) / sorted.length
  const variance = sorted.reduce((sum, each) => sum + (each - average) ** 2, 0) / sorted.length
  return {
    average: two(average),
    mean: two(average),
    stddev: two(Math.sqrt(variance)),
    min: two(sorted[0]!),
    max: two(sorted.at(-1)!),
    ...percentilesBy((percentile) => two(sorted[Math.max(0, Math.ceil((percentile / 100) * sorted.length) - 1)]!)),
  }
}

function ms(us: number): number {
  return Math.round(us) / 1_000
}

function two(value: number): number {
  return Math.round(value * 100) / 100
}

function percentilesBy(value: (percentile: number) => number): Record<`p${string}`, number> {
  return Object.fromEntries(
    percentiles.map((percentile) => [`p${String(percentile).replace('.', '_')}`, value(percentile)]),
  ) as Record<`p${string}`, number>
}

export function errorsOf({ connect, resets, timeouts, refused }: Failures): number {
  return connect + resets + timeouts + refused
}

/** The spread of rounds that were measured one after another. */
export function spreadOf(rounds: readonly LoadRound[]): NonNullable<LoadResult['spread']> {
  const cpu = rounds.flatMap(({ serverCpuUsPerOperation: us }) => (us === undefined ? [] : [us]))
  return {
    perSecond: spread(rounds.map(({ perSecond }) => perSecond)),
    p50: spread(rounds.map(({ p50 }) => p50)),
    p99: spread(rounds.map(({ p99 }) => p99)),
    ...(cpu.length === rounds.length && { cpuUs: spread(cpu) }),
  }
}
