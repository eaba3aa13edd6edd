/* From counts that only grow to what happens each second. */
import type { Totals } from '@postern/gateway'
import { sum } from './format.ts'

/** What is plotted, and shown as figures; per second, but for `open`. */
export interface Moment {
  /** Seconds since 1970. */
  readonly at: number
  readonly open: number
  readonly accepted: number
  readonly refused: number
  readonly transactionsDone: number
  readonly transactionsDeferred: number
  readonly transactionsRefused: number
  readonly logins: number
  readonly bytesIn: number
  readonly bytesOut: number
}

interface Counted {
  readonly at: number
  readonly totals: Totals
}

/** Five minutes, a point each second. */
const maxMoments = 300

/** A window on the last minutes. */
export class Series {
  #moments: Moment[] = []
  #last: Counted | undefined

  get moments(): readonly Moment[] {
    return this.#moments
  }

  get latest(): Moment | undefined {
    return this.#moments.at(-1)
  }

  /** @param at - milliseconds since 1970, by the clock of the gateway. */
  add(at: number, totals: Totals): void {
    const last = this.#last
    this.#last = { at, totals }
    if (last === undefined || at <= last.at) return
    // A supervisor that was started anew counts from nothing.
    if (totals.accepted < last.totals.accepted || totals.bytesIn < last.totals.bytesIn) {
      this.#moments = []
      return
    }
    const seconds = (at - last.at) / 1000
    const each = (of: (totals: Totals) => number): number => Math.max(0, of(totals) - of(last.totals)) / seconds
    this.#moments.push({
      at: at / 1000,
      open: totals.open,
      accepted: each((now) => now.accepted),
      refused: each((now) => sum(now.headersRefused) + sum(now.refused)),
      transactionsDone: each((now) => now.transactions['2yz'] ?? 0),
      transactionsDeferred: each((now) => now.transactions['4yz'] ?? 0),
      transactionsRefused: each((now) => now.transactions['5yz'] ?? 0),
      logins: each((now) => now.authentications['granted'] ?? 0),
      bytesIn: each((now) => now.bytesIn),
      bytesOut: each((now) => now.bytesOut),
    })
    if (this.#moments.length > maxMoments) this.#moments.splice(0, this.#moments.length - maxMoments)
  }
}

/** Of each listener, how many connections a second. */
export class Rates {
  #last = new Map<string, number>()
  #at = 0

  /** @returns undefined for a listener that was not there before. */
  take(at: number, accepted: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
    const seconds = (at - this.#at) / 1000
    const rates = new Map<string, number>()
    for (const [name, total] of accepted) {
      const before = this.#last.get(name)
      if (before !== undefined && seconds > 0) rates.set(name, Math.max(0, total - before) / seconds)
    }
    this.#last = new Map(accepted)
    this.#at = at
    return rates
  }
}
