import { FairTurns } from './fair-turns.ts'
import { verifyPassword, type PasswordHash } from './password-hash.ts'

/** Hashing takes a thread of the pool that file and DNS work also needs, and memory: so clients take turns. */
export class PasswordChecks {
  readonly #turns: FairTurns

  constructor(bounds: { readonly atOnce: number; readonly waiting: number }) {
    this.#turns = new FairTurns(bounds)
  }

  get waiting(): number {
    return this.#turns.waiting
  }

  /**
   * `full` when too many wait. Rejects when the hash cannot be computed.
   *
   * @param client - whose turn it takes.
   */
  check(password: string, hash: PasswordHash, client: string): Promise<'right' | 'wrong' | 'full'> {
    return this.#turns.run(client, async () => ((await verifyPassword(password, hash)) ? 'right' : 'wrong'))
  }
}
