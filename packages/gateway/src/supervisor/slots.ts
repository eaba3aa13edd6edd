import type { DrainManner } from './messages.ts'
import type { Slot } from './slot.ts'
import type { SupervisedWorker } from './worker-process.ts'

export type Replacement =
  | { readonly outcome: 'done' }
  /** The gateway was told to stop meanwhile. */
  | { readonly outcome: 'stopping' }
  /** A successor did not start. `goBack` is for when workers are started with the former configuration again. */
  | { readonly outcome: 'failed'; readonly goBack: (drainTimeoutMs: number) => Promise<void> }

/** The slots of the configuration, and those that it has no more, whose sessions end in their own time. */
export class Slots {
  readonly #makeSlot: (index: number) => Slot
  #current: readonly Slot[]
  #leaving: readonly Slot[] = []
  #isStopping = false

  constructor(count: number, makeSlot: (index: number) => Slot) {
    this.#makeSlot = makeSlot
    this.#current = Array.from({ length: count }, (_, index) => makeSlot(index))
  }

  /** How many there are to be. */
  get count(): number {
    return this.#current.length
  }

  get readyCount(): number {
    return this.#current.filter((slot) => slot.isReady).length
  }

  get workers(): readonly SupervisedWorker[] {
    return this.#all.flatMap((slot) => slot.workers)
  }

  start(): void {
    for (const slot of this.#current) slot.start()
  }

  /** Called every second. */
  look(): void {
    for (const slot of this.#all) slot.look()
  }

  /**
   * New workers in all slots, of which there are `count` then. One slot at a time: the others serve while a successor
   * starts, and the machine is never two gateways at once.
   */
  async replace(count: number, drainTimeoutMs: number): Promise<Replacement> {
    const before = this.#current
    const kept = before.slice(0, count)
    const surplus = before.slice(count)
    const added = Array.from({ length: Math.max(0, count - before.length) }, (_, index) =>
      this.#makeSlot(before.length + index),
    )
    // The slots that are kept serve the sockets of the others from their next worker on; only then do the others end.
    this.#current = [...before, ...added]
    const replaced: Slot[] = []
    for (const slot of [...kept, ...added]) {
      if (this.#isStopping) return { outcome: 'stopping' }
      if (await slot.replace(drainTimeoutMs)) replaced.push(slot)
      else if (!this.#isStopping) {
        return { outcome: 'failed', goBack: (timeoutMs) => this.#goBack(before, replaced, timeoutMs) }
      }
    }
    if (this.#isStopping) return { outcome: 'stopping' }
    this.#current = [...kept, ...added]
    this.#retire(surplus, drainTimeoutMs)
    return { outcome: 'done' }
  }

  stop(withinMs: number, manner: DrainManner = 'stop'): void {
    this.#isStopping = true
    for (const slot of this.#all) slot.stop(withinMs, manner)
  }

  kill(): void {
    this.#isStopping = true
    for (const slot of this.#all) slot.kill()
  }

  get #all(): readonly Slot[] {
    return [...this.#current, ...this.#leaving]
  }

  async #goBack(before: readonly Slot[], replaced: readonly Slot[], drainTimeoutMs: number): Promise<void> {
    // First, or the one whose successor did not start would try again.
    this.#retire(
      this.#current.filter((slot) => !before.includes(slot)),
      drainTimeoutMs,
    )
    this.#current = before
    for (const slot of replaced) if (before.includes(slot)) await slot.replace(drainTimeoutMs)
  }

  #retire(slots: readonly Slot[], drainTimeoutMs: number): void {
    for (const slot of slots) slot.stop(drainTimeoutMs, 'retire')
    this.#leaving = [...this.#leaving, ...slots].filter((slot) => slot.workers.length > 0)
  }
}
