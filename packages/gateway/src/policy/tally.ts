import type { Awaitable } from '@postern/core'
import { limits } from '../limits.ts'

/** What one client, network or user may do; absent means that nothing is counted. */
export interface TallyLimits {
  /** What may begin in a window of time. */
  readonly rate?: { readonly count: number; readonly perMs: number }
  /** What may be open at once. */
  readonly concurrent?: number
  /** What is counted is over as soon as it begins, as a message is: nothing is open, and `closed` is never called. */
  readonly isOverAtOnce?: true
}

export type TallyAttempt = 'first' | 'again'

export type TallyVerdict = 'pass' | 'rate' | 'concurrency'

/** Counts connections by client. A connection that was told `pass` is given back with `closed`, once. */
export interface Tally {
  /** @param attempt - `again`: the same connection asks once more; its rate is counted already. */
  opened(client: string, attempt?: TallyAttempt): Awaitable<TallyVerdict>
  closed(client: string): void
}

/** What was counted of one client. */
export interface TallyCount {
  /** Connections begun in the client's window of time. */
  readonly recent: number
  /** When that window ends, in milliseconds from now. */
  readonly endsInMs: number
  /** Connections open now. */
  readonly open: number
}

interface Window {
  count: number
  readonly endsAt: number
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
  #bounds: TallyLimits
  readonly #maxClients: number
  /** In the order of the clients' last connections, the longest ago first. */
  readonly #windows = new Map<string, Window>()
  readonly #open = new Map<string, number>()

  constructor(bounds: TallyLimits, maxClients: number = limits.maxTalliedClients) {
    this.#bounds = bounds
    this.#maxClients = maxClients
  }

  /** Takes new bounds. What is open stays counted; a rate that differs begins anew. */
  rebound(bounds: TallyLimits): void {
    const { rate } = bounds
    const known = this.#bounds.rate
    if (rate?.count !== known?.count || rate?.perMs !== known?.perMs) this.#windows.clear()
    this.#bounds = bounds
  }

  /** How many clients something is kept of: never more than a bound. */
  get clients(): number {
    return Math.max(this.#windows.size, this.#open.size)
  }

  opened(client: string, attempt: TallyAttempt = 'first'): TallyVerdict {
    const { rate, concurrent, isOverAtOnce } = this.#bounds
    if (attempt === 'first' && rate !== undefined) {
      const window = this.#windowOf(client)
      if (window !== undefined && window.count >= rate.count) return 'rate'
      this.#count(client, 1, window?.endsAt ?? performance.now() + rate.perMs)
    }
    if (isOverAtOnce === true) return 'pass'
    const open = this.#open.get(client) ?? 0
    if (concurrent !== undefined && open >= concurrent) return 'concurrency'
    this.#open.set(client, open + 1)
    return 'pass'
  }

  closed(client: string): void {
    const open = this.#open.get(client) ?? 0
    if (open > 1) this.#open.set(client, open - 1)
    else this.#open.delete(client)
  }

  countOf(client: string): TallyCount {
    const window = this.#windowOf(client)
    return {
      recent: window?.count ?? 0,
      endsInMs: window === undefined ? 0 : window.endsAt - performance.now(),
      open: this.#open.get(client) ?? 0,
    }
  }

  /** Forgets a client, and says what was counted of it: another tally counts it from now on. */
  take(client: string): TallyCount {
    const count = this.countOf(client)
    this.#windows.delete(client)
    this.#open.delete(client)
    return count
  }

  /** Adds what another tally counted. Of two windows the one that is known here goes on. */
  add(client: string, { recent, endsInMs, open }: TallyCount): void {
    if (recent > 0) this.#count(client, recent, this.#windowOf(client)?.endsAt ?? performance.now() + endsInMs)
    if (open > 0) this.#open.set(client, (this.#open.get(client) ?? 0) + open)
  }

  #windowOf(client: string): Window | undefined {
    const window = this.#windows.get(client)
    return window !== undefined && window.endsAt > performance.now() ? window : undefined
  }

  #count(client: string, more: number, endsAt: number): void {
    const count = (this.#windowOf(client)?.count ?? 0) + more
    this.#windows.delete(client)
    this.#windows.set(client, { count, endsAt })
    this.#forgetOne()
  }

  /** One comes, one goes: whose window is over, or who is one too many. */
  #forgetOne(): void {
    const [[client, { endsAt }]] = this.#windows as unknown as [[string, Window]]
    if (this.#windows.size > this.#maxClients || endsAt <= performance.now()) this.#windows.delete(client)
  }
}
