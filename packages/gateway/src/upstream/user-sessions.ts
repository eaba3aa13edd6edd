/** Sessions by user and client, of one worker; bounded by its connections. */
export class UserSessions {
  readonly #open = new Map<string, number>()

  /** How many keys something is kept of. */
  get size(): number {
    return this.#open.size
  }

  /** @returns what gives the place back, however often it is called; or nothing when all are taken. */
  enter(key: readonly string[], max: number): (() => void) | undefined {
    const text = JSON.stringify(key)
    const open = this.#open.get(text) ?? 0
    if (open >= max) return undefined
    this.#open.set(text, open + 1)
    let isInside = true
    return () => {
      if (!isInside) return
      isInside = false
      const left = (this.#open.get(text) ?? 1) - 1
      if (left > 0) this.#open.set(text, left)
      else this.#open.delete(text)
    }
  }
}
