/*
 * When work begins. A closed loop begins the next as soon as the last is done, and so slows down with its server; an open
 * loop begins at times that were fixed before, as the world does. There each latency counts from the time that was fixed:
 * an operation that had to wait for a free connection has waited (this is what corrects coordinated omission).
 */

/** Says when an operation is due, in milliseconds of the clock that `now` reads. */
export interface Pacer {
  /** Takes the next operation; undefined when none is due now, or none is left. */
  take(now: number): number | undefined
  /** Nothing will ever be due again. */
  readonly isSpent: boolean
  /** Operations that were due and never begun. */
  backlog(now: number): number
}

/** Begins at once, `amount` times; without an amount for ever. */
export class ClosedLoop implements Pacer {
  #left: number

  constructor(amount: number | undefined) {
    this.#left = amount ?? Infinity
  }

  get isSpent(): boolean {
    return this.#left <= 0
  }

  take(now: number): number | undefined {
    if (this.#left <= 0) return undefined
    this.#left--
    return now
  }

  backlog(): number {
    return 0
  }
}

/**
 * Begins so many a second. Who takes is late by no more than its own timer; times are those of the timer's grid, so that
 * the generator's own slack is not told as the server's latency.
 */
export class OpenLoop implements Pacer {
  readonly #perMs: number
  readonly #start: number
  #left: number
  #taken = 0

  /** @param start - when the first one is due. */
  constructor(ratePerSecond: number, start: number, amount?: number) {
    this.#perMs = ratePerSecond / 1_000
    this.#start = start
    this.#left = amount ?? Infinity
  }

  get isSpent(): boolean {
    return this.#left <= 0
  }

  take(now: number): number | undefined {
    if (this.#left <= 0) return undefined
    const due = this.#start + Math.ceil(this.#taken / this.#perMs / gridMs) * gridMs
    if (due > now) return undefined
    this.#taken++
    this.#left--
    return due
  }

  backlog(now: number): number {
    if (this.#left <= 0) return 0
    return Math.max(0, Math.min(this.#left, Math.floor((now - this.#start) * this.#perMs) - this.#taken))
  }
}

/** The finest that a timer can be. */
export const gridMs = 1
