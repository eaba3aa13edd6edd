import { getHeapStatistics } from 'node:v8'
import { spread, type Spread } from '../spread.ts'

/** One thing to measure. */
export interface Case {
  readonly name: string
  /** Does the work `iterations` times, and returns something that depends on all of it, so that none is optimised away. */
  readonly run: (iterations: number) => number
}

export interface Figure {
  readonly name: string
  /** Nanoseconds an operation, over the rounds. */
  readonly ns: Spread
  /** Bytes that V8 allocated on its heap for an operation; memory of Buffers outside the heap is not in it. */
  readonly bytes: number
}

export interface MeasureOptions {
  readonly rounds: number
  /** How long one case runs in one round, about. */
  readonly roundMs: number
}

/**
 * Measures all cases side by side: in each round every case runs once, in turn, so that a machine that grows slower or
 * faster meanwhile does so for all of them and their ratios hold.
 */
export function measureTogether(cases: readonly Case[], options: MeasureOptions): Figure[] {
  let sink = 0
  const iterations = cases.map((each) => calibrate(each, options.roundMs))
  const times: number[][] = cases.map(() => [])
  for (let round = 0; round < options.rounds; round++) {
    for (const [index, each] of cases.entries()) {
      const count = iterations[index]!
      const start = process.hrtime.bigint()
      sink += each.run(count)
      times[index]!.push(Number(process.hrtime.bigint() - start) / count)
    }
  }
  const figures = cases.map((each, index) => ({
    name: each.name,
    ns: spread(times[index]!),
    bytes: allocatedBytes(each, Math.max(iterations[index]!, leastIterationsCounted)),
  }))
  if (Number.isNaN(sink)) throw new Error('a case returned no number: its work may have been optimised away')
  return figures
}

/** V8 counts what it hands out in blocks of some hundred KiB: a few thousand small objects may not show at all. */
const leastIterationsCounted = 50_000

/** Runs a case until it is compiled and long enough to time. */
function calibrate(each: Case, roundMs: number): number {
  let count = 1_000
  for (;;) {
    // The less of two: what a machine that is busy elsewhere takes once would make every round too short.
    const tookMs = Math.min(timed(each, count), timed(each, count))
    if (tookMs >= roundMs / 2) return Math.max(1, Math.round((count * roundMs) / tookMs))
    count *= 2
  }
}

function timed(each: Case, count: number): number {
  const start = performance.now()
  each.run(count)
  return performance.now() - start
}

function allocatedBytes(each: Case, iterations: number): number {
  const ofLooking = bytesDuring(() => 0)
  return Math.max(0, bytesDuring(() => each.run(iterations)) - ofLooking) / iterations
}

function bytesDuring(work: () => number): number {
  const before = getHeapStatistics().total_allocated_bytes
  work()
  return getHeapStatistics().total_allocated_bytes - before
}
