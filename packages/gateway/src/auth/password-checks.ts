import { verifyPassword, type PasswordHash } from './password-hash.ts'

/**
 * Hashing takes a thread of the pool that file and DNS work also needs, and memory: so only a few at once, a few more
 * in a queue, and for the rest a temporary refusal. First come, first served.
 */
export class PasswordChecks {
  readonly #maxAtOnce: number
  readonly #maxWaiting: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(bounds: { readonly atOnce: number; readonly waiting: number }) {
    this.#maxAtOnce = bounds.atOnce
    this.#maxWaiting = bounds.waiting
  }

  /** `full` at once when too many wait already. Rejects when the hash cannot be computed. */
  async check(password: string, hash: PasswordHash): Promise<'right' | 'wrong' | 'full'> {
    if (this.#running >= this.#maxAtOnce) {
      if (this.#waiting.length >= this.#maxWaiting) return 'full'
      // Whoever finishes hands its place over, so that nobody overtakes the queue.
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else {
      this.#running += 1
    }
    try {
      return (await verifyPassword(password, hash)) ? 'right' : 'wrong'
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}
