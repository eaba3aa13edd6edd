import { RateLimiterMemory } from 'rate-limiter-flexible'
import { limits } from '../limits.ts'

/** What one client may do; absent means that nothing is counted. */
export interface TallyLimits {
  /** Connections begun by one client in a window of time. */
  readonly rate?: { readonly connections: number; readonly perMs: number }
  /** Connections open at once. */
  readonly concurrent?: number
}

export type TallyAttempt = 'first' | 'again'

export type TallyVerdict = 'pass' | 'rate' | 'concurrency'

/** Counts connections by client. A connection that was told `pass` is given back with `closed`, once. */
export interface Tally {
  /** @param attempt - `again`: the same connection asks once more; its rate is counted already. */
  opened(client: string, attempt?: TallyAttempt): Promise<TallyVerdict>
  closed(client: string): void
}

/**
 * A tally in this process's memory. The time of a rate begins with a client's first connection and does not move with the
 * others, so around its end a client may come twice as often. Only connections that passed count as open.
 *
 * Memory is bounded whatever the number of clients: open connections are bounded by the workers, and of the rates only
 * the clients seen last are kept. Somebody with more addresses than that can push a count out, which lets its owner try
 * again early; it cannot make us forget a connection, refuse a stranger, or fill the memory.
 */
export class LocalTally implements Tally {
  #bounds: TallyLimits = {}
  #rate: RateLimiterMemory | undefined
  readonly #maxClients: number
  /** Clients that the rate remembers, in the order of their last connection, the longest ago first. */
  readonly #seen = new Set<string>()
  readonly #open = new Map<string, number>()

  constructor(bounds: TallyLimits, maxClients: number = limits.maxTalliedClients) {
    this.#maxClients = maxClients
    this.rebound(bounds)
  }

  /** Takes new bounds. What is open stays counted; a rate that differs begins anew. */
  rebound(bounds: TallyLimits): void {
    const { rate } = bounds
    if (rate?.connections !== this.#bounds.rate?.connections || rate?.perMs !== this.#bounds.rate?.perMs) {
      this.#seen.clear()
      this.#rate =
        rate && new RateLimiterMemory({ points: rate.connections, duration: rate.perMs / 1000, keyPrefix: '' })
    }
    this.#bounds = bounds
  }

  /** How many clients something is kept of: never more than a bound. */
  get clients(): number {
    return Math.max(this.#seen.size, this.#open.size)
  }

  async opened(client: string, attempt: TallyAttempt = 'first'): Promise<TallyVerdict> {
    if (attempt === 'first' && !(await this.#isWithinRate(client))) return 'rate'
    const open = this.#open.get(client) ?? 0
    if (open >= (this.#bounds.concurrent ?? Number.POSITIVE_INFINITY)) return 'concurrency'
    this.#open.set(client, open + 1)
    return 'pass'
  }

  closed(client: string): void {
    const open = this.#open.get(client) ?? 0
    if (open > 1) this.#open.set(client, open - 1)
    else this.#open.delete(client)
  }

  async #isWithinRate(client: string): Promise<boolean> {
    const rate = this.#rate
    if (rate === undefined) return true
    this.#seen.delete(client)
    this.#seen.add(client)
    if (this.#seen.size > this.#maxClients) {
      const [oldest] = this.#seen
      this.#seen.delete(oldest!)
      await rate.delete(oldest!)
    }
    try {
      await rate.consume(client)
      return true
    } catch {
      return false // The library rejects with the state of the count; a memory store cannot fail otherwise.
    }
  }
}
