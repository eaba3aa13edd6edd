import { limits } from '../limits.ts'

/**
 * From where users have signed in: strangers who fail to guess a password lock out everybody but the owner at an address
 * that is known. Bounded: of all pairs those that signed in last are remembered.
 */
export class KnownClients {
  readonly #pairs = new Set<string>()
  readonly #max: number

  constructor(max: number = limits.maxKnownClients) {
    this.#max = max
  }

  get size(): number {
    return this.#pairs.size
  }

  has(client: string, user: string): boolean {
    return this.#pairs.has(pairOf(client, user))
  }

  /** @returns false when the pair was known already. */
  add(client: string, user: string): boolean {
    return this.addPair(pairOf(client, user))
  }

  addPair(pair: string): boolean {
    const isNew = !this.#pairs.delete(pair)
    this.#pairs.add(pair)
    if (this.#pairs.size > this.#max) {
      const [oldest = ''] = this.#pairs
      this.#pairs.delete(oldest)
    }
    return isNew
  }

  /** The last ones, for a process that starts. */
  latest(count: number): readonly string[] {
    return [...this.#pairs].slice(-count)
  }
}

/** No address has a blank. */
export function pairOf(client: string, user: string): string {
  return `${client} ${user}`
}
