/*
 * What a thread counts. Latencies go into a histogram of whole microseconds, which loses nothing when threads are merged.
 */
import { build, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js'
import { codes } from './replies.ts'

/** Why an operation is not a success. */
export interface Failures {
  /** The connection could not be made, or broke with an error of the system. */
  connect: number
  /** The server ended a connection that had work left. */
  resets: number
  /** Not done within the timeout. */
  timeouts: number
  /** Answered, but not as awaited. */
  refused: number
}

/** What one thread tells when it is done: plain data. */
export interface TallyReport {
  readonly done: number
  /** Both ways. */
  readonly bytes: number
  readonly failures: Failures
  /** The first few failures, in words. */
  readonly examples: readonly string[]
  /** By code. */
  readonly replies: readonly (readonly [code: number, count: number])[]
  /** Of microseconds, compressed. */
  readonly latencies: string
}

/** Shared memory: one thread writes, others read whenever they like. */
export type LiveCounts = Float64Array<SharedArrayBuffer>
export const liveCount = { done: 0, bytes: 1, failed: 2 } as const

export function newLiveCounts(): LiveCounts {
  return new Float64Array(new SharedArrayBuffer(3 * Float64Array.BYTES_PER_ELEMENT))
}

/** Nobody reads more of them. */
const maxExamples = 5

export class Tally {
  done = 0
  bytes = 0
  /** Of all that was ever done and moved, for another thread to look at. */
  readonly #live: LiveCounts
  readonly failures: Failures = { connect: 0, resets: 0, timeouts: 0, refused: 0 }
  readonly #examples: string[] = []
  readonly #replies = new Float64Array(codes)
  #since = 0
  readonly #latencies: Histogram = emptyLatencies()

  constructor(live: LiveCounts) {
    this.#live = live
  }

  /** Octets went over, one way or the other. */
  moved(length: number): void {
    this.bytes += length
    this.#live[liveCount.bytes]! += length
  }

  /** Both in milliseconds of one clock. */
  succeeded(due: number, now: number): void {
    this.#live[liveCount.done]!++
    if (due < this.#since) return
    this.done++
    this.#latencies.recordValue(Math.min(mostMicroseconds, Math.max(1, Math.round((now - due) * 1_000))))
  }

  failed(why: keyof Failures, detail: string): void {
    this.failures[why]++
    this.#live[liveCount.failed]!++
    if (this.#examples.length < maxExamples) this.#examples.push(detail)
  }

  replied(code: number): void {
    this.#replies[code]!++
  }

  /**
   * What came before is not measured.
   *
   * @param since - what was due before that is not counted either when it is done.
   */
  reset(since: number): void {
    this.#since = since
    this.done = 0
    this.bytes = 0
    this.#replies.fill(0)
    this.#latencies.reset()
    Object.assign(this.failures, { connect: 0, resets: 0, timeouts: 0, refused: 0 })
    this.#examples.length = 0
  }

  report(): TallyReport {
    const replies: [number, number][] = []
    for (const [code, count] of this.#replies.entries()) if (count > 0) replies.push([code, count])
    return {
      done: this.done,
      bytes: this.bytes,
      failures: { ...this.failures },
      examples: [...this.#examples],
      replies,
      latencies: encodeIntoCompressedBase64(this.#latencies),
    }
  }
}

/** Ten minutes: more than any operation may take. */
const mostMicroseconds = 600_000_000

/** Three significant digits: 1.23 ms is told from 1.24 ms. */
export function emptyLatencies(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: mostMicroseconds,
    numberOfSignificantValueDigits: 3,
  })
}
