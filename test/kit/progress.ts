/** A count that grows, and whoever waits for it to. */
export class Progress {
  readonly #count: () => number
  readonly #waiting = new Set<() => void>()

  constructor(count: () => number) {
    this.#count = count
  }

  /** Resolves when the count is `goal`, or more. */
  reaches(goal: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = (): void => {
      if (this.#count() < goal) return
      this.#waiting.delete(look)
      resolve()
    }
    this.#waiting.add(look)
    look()
    return promise
  }

  /** The count may have grown. */
  moved(): void {
    for (const look of this.#waiting) look()
  }
}
