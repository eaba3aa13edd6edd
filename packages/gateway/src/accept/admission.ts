import type { Ceiling } from '../config/schema.ts'
import { limits } from '../limits.ts'

/** How many connections may be open at once, here and in what this is a part of. */
export class Places {
  readonly #max: number
  readonly #within: Places | undefined
  #taken = 0

  constructor(max: Ceiling, within?: Places) {
    this.#max = max === 'unlimited' ? Number.POSITIVE_INFINITY : max
    this.#within = within
  }

  get taken(): number {
    return this.#taken
  }

  take(): boolean {
    if (this.#taken >= this.#max || this.#within?.take() === false) return false
    this.#taken++
    return true
  }

  leave(): void {
    this.#taken--
    this.#within?.leave()
  }
}

/**
 * PROXY headers awaited from each peer. A balancer that accepts connections and holds its headers back would fill the
 * worker's places with sockets that cannot be served; this keeps it to a share.
 */
export class AwaitedHeaders {
  readonly #byPeer = new Map<string, number>()

  begin(peer: string): boolean {
    const awaited = this.#byPeer.get(peer) ?? 0
    if (awaited >= limits.maxHeadersInFlightPerPeer) return false
    this.#byPeer.set(peer, awaited + 1)
    return true
  }

  end(peer: string): void {
    const awaited = this.#byPeer.get(peer) ?? 0
    if (awaited > 1) this.#byPeer.set(peer, awaited - 1)
    else this.#byPeer.delete(peer)
  }
}
