/** What the deadlines of a session need to know of its pump. */
interface Watched {
  /** A step is under way, so whether the deadline has passed is decided behind it. */
  readonly isBusy: () => boolean
  readonly onPassed: () => void
}

/**
 * How long a client may take for what it is asked for. What is waited for beside the client, a slow disk or backend, is not
 * its fault: a deadline that is kept over several steps is later by that.
 */
export class Deadline {
  readonly #pump: Watched
  #timer: NodeJS.Timeout | undefined
  #ms = 0
  /** What was waited for beside the client since the deadline was set. */
  #waitedMs = 0
  #hasPassed = false

  constructor(pump: Watched) {
    this.#pump = pump
  }

  /** @param isKept - the deadline that runs goes on, if one does. */
  set(ms: number, isKept: boolean): void {
    if (isKept && this.#timer !== undefined) {
      if (this.#hasPassed) this.#reached()
      return
    }
    this.#hasPassed = false
    this.#waitedMs = 0
    if (this.#ms === ms && this.#timer !== undefined) this.#timer.refresh()
    else this.#start(ms)
  }

  /** The client gets that time back. */
  waited(ms: number): void {
    this.#waitedMs += ms
  }

  /** Whether it has passed; that is told once. */
  take(): boolean {
    const hasPassed = this.#hasPassed
    this.#hasPassed = false
    return hasPassed
  }

  clear(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#hasPassed = false
  }

  #start(ms: number): void {
    clearTimeout(this.#timer)
    this.#ms = ms
    this.#timer = setTimeout(() => {
      if (this.#pump.isBusy()) this.#hasPassed = true
      else this.#reached()
    }, ms)
  }

  #reached(): void {
    this.#hasPassed = this.#waitedMs === 0
    if (this.#hasPassed) {
      if (!this.#pump.isBusy()) this.#pump.onPassed()
      return
    }
    const owedMs = this.#waitedMs
    this.#waitedMs = 0
    this.#start(owedMs)
  }
}
