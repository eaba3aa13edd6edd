/*
 * Connections to backends that are kept for the next message. Only such as carry nothing of the client whose message they
 * brought: none that was announced by a PROXY header or XCLIENT, and none on which a user was signed in (see `mayKeep`).
 *
 * A connection that is kept is still listened to: whatever comes on it, as 421 or the end, closes it. One may be dead
 * without a sign all the same, so the first commands on it may fail, and then the relay opens a new one: nothing was
 * promised by then.
 */
import { clientLimits, type SmtpClientLimits } from '../limits.ts'
import type { Capabilities } from './capabilities.ts'
import type { UpstreamConnection } from './connect.ts'
import type { RelayOptions } from './options.ts'

/** A connection on which no transaction is open, and what the backend offers on it. */
export interface IdleConnection {
  readonly connection: UpstreamConnection
  readonly capabilities: Capabilities
  /** How many it has carried. */
  readonly transactions: number
  /** Refusals since a message was taken on it: servers count these against a connection. */
  readonly refusals: number
  /** When it was opened, by `performance.now`. */
  readonly openedAt: number
}

/** The bounds of idle connections. */
export type IdleLimits = Pick<
  SmtpClientLimits,
  'maxIdleConnections' | 'maxIdleOfAll' | 'idlePatienceMs' | 'maxTransactions' | 'maxConnectionAgeMs' | 'maxRefusals'
>

interface Kept extends IdleConnection {
  readonly backend: string
  readonly timer: NodeJS.Timeout
}

/** The idle connections of the relays that share it; these must speak to their backends in the same way. */
export class IdleConnections {
  readonly #limits: IdleLimits
  /** The one that was used last stands last. */
  readonly #kept = new Set<Kept>()
  #isClosed = false

  /** @param limits - replaces single bounds of `clientLimits`. */
  constructor(limits: Partial<IdleLimits> = {}) {
    this.#limits = { ...clientLimits, ...limits }
  }

  /** How many are kept. */
  get size(): number {
    return this.#kept.size
  }

  /** @internal For relays: the connection to a backend that was used last, so that the others may come of age. */
  take(backend: string): IdleConnection | undefined {
    const kept = [...this.#kept].findLast((each) => each.backend === backend)
    if (kept !== undefined) this.#forget(kept)
    return kept
  }

  /** @internal For relays: keeps it, or takes leave where it is one too many, or has served for long enough. */
  keep(backend: string, idle: IdleConnection): void {
    if (idle.connection.dialogue.failure !== undefined) return
    const { maxIdleConnections, maxIdleOfAll, idlePatienceMs, maxTransactions, maxConnectionAgeMs, maxRefusals } =
      this.#limits
    const age = performance.now() - idle.openedAt
    const ofBackend = [...this.#kept].filter((each) => each.backend === backend)
    const isWorn = idle.transactions >= maxTransactions || idle.refusals >= maxRefusals || age >= maxConnectionAgeMs
    if (this.#isClosed || isWorn || ofBackend.length >= maxIdleConnections) {
      idle.connection.quit()
      return
    }
    const [oldest] = this.#kept
    if (oldest !== undefined && this.#kept.size >= maxIdleOfAll) this.#leave(oldest)
    const timer = setTimeout(() => this.#leave(kept), Math.min(idlePatienceMs, maxConnectionAgeMs - age))
    const kept: Kept = { ...idle, backend, timer }
    this.#kept.add(kept)
    idle.connection.rest(() => this.#forget(kept))
  }

  /** Takes leave of those to one backend, which is no longer in use; or of all. */
  leave(backend?: string): void {
    for (const kept of this.#kept) if (backend === undefined || kept.backend === backend) this.#leave(kept)
  }

  /** @internal For relays, before a connection that cannot be one of these: the backend has one less of ours meanwhile. */
  makeRoom(backend: string): void {
    const oldest = [...this.#kept].find((each) => each.backend === backend)
    if (oldest !== undefined) this.#leave(oldest)
  }

  /** Takes leave of all, and keeps none any more. */
  close(): void {
    this.#isClosed = true
    this.leave()
  }

  #leave(kept: Kept): void {
    this.#forget(kept)
    kept.connection.quit()
  }

  #forget(kept: Kept): void {
    clearTimeout(kept.timer)
    this.#kept.delete(kept)
  }
}

/** Whether connections of such a relay carry nothing of a client. XFORWARD is told for each transaction anew. */
export function mayKeep({ announcement, credentials }: Pick<RelayOptions, 'announcement' | 'credentials'>): boolean {
  return (announcement === 'none' || announcement === 'xforward') && typeof credentials !== 'function'
}
