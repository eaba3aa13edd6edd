import { monitorEventLoopDelay, performance, type EventLoopUtilization } from 'node:perf_hooks'
import { limits } from '../limits.ts'

/** How busy and how late the event loop of this process was since it was asked last. */
export class EventLoopWatch {
  readonly #delays = monitorEventLoopDelay({ resolution: limits.eventLoopLookMs })
  #since: EventLoopUtilization = performance.eventLoopUtilization()

  constructor() {
    this.#delays.enable()
  }

  take(): { readonly eventLoopDelayMs: number; readonly eventLoopUtilization: number } {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, this.#since)
    this.#since = now
    // What is measured is the time between two looks, the wait that was asked for included.
    const delayMs = this.#delays.count === 0 ? 0 : this.#delays.percentile(99) / 1e6 - limits.eventLoopLookMs
    this.#delays.reset()
    return { eventLoopDelayMs: Math.max(0, delayMs), eventLoopUtilization: utilization }
  }

  stop(): void {
    this.#delays.disable()
  }
}
