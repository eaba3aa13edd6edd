/*
 * Several servers under the same loads, in alternating rounds, and what their figures are to each other. Ratios are taken
 * inside each round, between runs that were seconds apart, and only then summed up: what the machine did meanwhile is in
 * both and falls out.
 */
import { inTurn } from '../connection/cost.ts'
import { bench } from '../load/bench.ts'
import type { LoadOptions } from '../load/options.ts'
import { percentiles, type LoadResult } from '../load/result.ts'
import type { Contestant, Running } from '../peers/contestants.ts'
import { renderTable } from '../report.ts'
import { spread, type Spread } from '../spread.ts'

/** One load, for all contestants alike. */
export interface Workload {
  readonly name: string
  /** What an operation of it is, in the plural. */
  readonly unit: string
  readonly load: (server: Running) => LoadOptions
  /** Contestants that it is not for, by name. */
  readonly skips?: readonly string[]
}

/** A contestant under a workload in one round. */
export interface Measurement {
  readonly perSecond: number
  readonly cpuUs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly errors: number
  /** Of the generator, for one operation. */
  readonly generatorUs: number
  /** Milliseconds at each percentile that is told, as `[percentile, ms]`. */
  readonly curve: readonly (readonly [percentile: number, ms: number])[]
}

export interface ContestRow {
  readonly workload: string
  readonly unit: string
  readonly contestant: string
  readonly measurements: readonly Measurement[]
  readonly perSecond: Spread
  /** Of the server's processes, for one operation. */
  readonly cpuUs: Spread
  readonly p50Ms: Spread
  readonly p99Ms: Spread
  /** All rounds together. */
  readonly errors: number
  /** What came up that a reader has to know. */
  readonly warnings: readonly string[]
}

export interface ContestOptions {
  readonly rounds: number
  /** Of each measuring. */
  readonly seconds: number
  readonly warmupSeconds: number
  /** Rounds before those, not counted: in them servers are compiled and reach their size. None when absent. */
  readonly warmupRounds?: number
  readonly onProgress?: (text: string) => void
}

/** Starts all that can run, measures, and ends them. Those that are missing are left out. */
export async function contest(
  contestants: readonly Contestant[],
  workloads: readonly Workload[],
  options: ContestOptions,
): Promise<readonly ContestRow[]> {
  const servers = new Map<Contestant, Running>()
  try {
    for (const contestant of contestants) {
      if (contestant.missing === undefined) servers.set(contestant, await contestant.start())
    }
    const pairs = workloads.flatMap((workload) =>
      [...servers.keys()]
        .filter(({ name }) => workload.skips?.includes(name) !== true)
        .map((contestant) => ({ workload, contestant })),
    )
    const results = new Map(pairs.map((pair) => [pair, [] as LoadResult[]]))
    for (let round = -(options.warmupRounds ?? 0); round < options.rounds; round++) {
      for (const pair of inTurn(pairs, Math.abs(round))) {
        options.onProgress?.(`round ${round + 1} of ${options.rounds}: ${pair.workload.name}: ${pair.contestant.name}`)
        const result = await measure(servers.get(pair.contestant)!, pair.workload, options)
        if (round >= 0) results.get(pair)!.push(result)
      }
    }
    return pairs.map((pair) => rowOf(pair.workload, pair.contestant, results.get(pair)!))
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()))
  }
}

/**
 * What `subject` is to `other`, round by round.
 *
 * @param of - a figure of which more is better for the ratio to be read as "times as much".
 */
export function ratioOf(subject: ContestRow, other: ContestRow, of: (one: Measurement) => number): Spread {
  return spread(subject.measurements.map((one, round) => of(one) / of(other.measurements[round]!)))
}

export function rowFor(rows: readonly ContestRow[], workload: string, contestant: string): ContestRow | undefined {
  return rows.find((row) => row.workload === workload && row.contestant === contestant)
}

/** A median, and between what it lies. */
export function ranged({ median, min, max }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`
}

/** One workload as a table, with the ratios to one contestant: above 1 is better than it. */
export function renderWorkload(name: string, all: readonly ContestRow[], reference: string): string {
  const rows = all.filter((row) => row.workload === name)
  const peer = rowFor(rows, name, reference)
  const timesBetter = (row: ContestRow, of: (one: Measurement) => number): string =>
    peer === undefined ? '' : ranged(ratioOf(row, peer, of), 2)
  return renderTable([
    [name, `${rows[0]?.unit ?? ''} per s`, '×', 'CPU µs', '×', 'p50 ms', 'p99 ms', ''],
    ...rows.map((row) => [
      `  ${row.contestant}`,
      ranged(row.perSecond, 0),
      timesBetter(row, ({ perSecond }) => perSecond),
      row.cpuUs.median.toFixed(1),
      timesBetter(row, ({ cpuUs }) => 1 / cpuUs),
      row.p50Ms.median.toFixed(2),
      row.p99Ms.median.toFixed(2),
      row.errors === 0 ? '' : `${row.errors} failed`,
    ]),
  ])
}

/** Who took part, and how each was run. */
export type Introduced = Pick<Contestant, 'name' | 'about' | 'missing'>

export function introduce(contestants: readonly Contestant[]): readonly Introduced[] {
  return contestants.map(({ name, about, missing }) => ({ name, about, ...(missing !== undefined && { missing }) }))
}

export function renderIntroduced(contestants: readonly Introduced[]): readonly string[] {
  return contestants.map(
    ({ name, about, missing }) => `${name}: ${missing === undefined ? about : `left out, ${missing}`}`,
  )
}

function measure(server: Running, workload: Workload, { seconds, warmupSeconds }: ContestOptions): Promise<LoadResult> {
  return bench({ duration: seconds, warmup: warmupSeconds, pid: server.pid, ...workload.load(server) })
}

function rowOf(workload: Workload, contestant: Contestant, results: readonly LoadResult[]): ContestRow {
  const measurements = results.map((result) => ({
    perSecond: result.requests.total / result.duration,
    cpuUs: result.server?.cpuUsPerOperation ?? Number.NaN,
    p50Ms: result.latency['p50']!,
    p99Ms: result.latency['p99']!,
    errors: result.errors,
    generatorUs: result.generator.cpuUsPerOperation,
    curve: percentiles.map((each) => [each, result.latency[`p${String(each).replace('.', '_')}`]!] as const),
  }))
  return {
    workload: workload.name,
    unit: workload.unit,
    contestant: contestant.name,
    measurements,
    perSecond: spread(measurements.map((one) => one.perSecond)),
    cpuUs: spread(measurements.map((one) => one.cpuUs)),
    p50Ms: spread(measurements.map((one) => one.p50Ms)),
    p99Ms: spread(measurements.map((one) => one.p99Ms)),
    errors: measurements.reduce((sum, one) => sum + one.errors, 0),
    warnings: [...new Set(results.flatMap(({ warnings, examples }) => [...warnings, ...examples]))],
  }
}
