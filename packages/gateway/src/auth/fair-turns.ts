/** Tells whoever waits: its turn has come (`true`), or it gave way to others (`false`). */
type Turn = (hasCome: boolean) => void

/**
 * Work that takes more than a server can give to everybody at once: only so much at a time, some more in a queue, and for
 * the rest a temporary refusal.
 *
 * Clients take turns, however much each of them asks for: one that guesses over all the connections it may have
 * waits for itself, and not everybody else for it. So too when the queue is full: the client that waits most gives way.
 */
export class FairTurns {
  readonly #maxAtOnce: number
  readonly #maxWaiting: number
  /** By client, in the order of their turns; none is empty. */
  readonly #waiting = new Map<string, Turn[]>()
  #waitingCount = 0
  #running = 0

  constructor(bounds: { readonly atOnce: number; readonly waiting: number }) {
    this.#maxAtOnce = bounds.atOnce
    this.#maxWaiting = bounds.waiting
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waitingCount
  }

  /**
   * `full` when too many wait; the work is not begun then. Rejects as the work does.
   *
   * @param client - whose turn it takes.
   */
  async run<T>(client: string, work: () => Promise<T>): Promise<T | 'full'> {
    if (this.#running < this.#maxAtOnce) this.#running += 1
    else if (!(await this.#turnOf(client))) return 'full'
    try {
      return await work()
    } finally {
      this.#handOn()
    }
  }

  #turnOf(client: string): Promise<boolean> {
    const own = this.#waiting.get(client) ?? []
    if (this.#waitingCount >= this.#maxWaiting && !this.#makeRoom(own.length)) return Promise.resolve(false)
    this.#waitingCount += 1
    this.#waiting.set(client, own)
    return new Promise((resolve) => own.push(resolve))
  }

  /** The client that waits most loses its last place, when it then still has more than one that has `held` places. */
  #makeRoom(held: number): boolean {
    let most: Turn[] = []
    for (const turns of this.#waiting.values()) if (turns.length > most.length) most = turns
    if (most.length < held + 2) return false
    most.pop()?.(false)
    this.#waitingCount -= 1
    return true
  }

  /** Whoever finishes hands its place on, so that nobody overtakes the queue. */
  #handOn(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#running -= 1
      return
    }
    const [client, turns] = next
    const turn = turns.shift()
    this.#waitingCount -= 1
    this.#waiting.delete(client)
    if (turns.length > 0) this.#waiting.set(client, turns)
    turn?.(true)
  }
}
