import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Ceiling } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { residentBytes } from '../observe/resident-memory.ts'

/** What a watch looks at, and what it can do; the process itself unless a test says otherwise. */
export interface MemoryOfProcess {
  /** Resident bytes. */
  readonly measure: () => number
  /** Lets go of what nobody uses any more. */
  readonly collect: () => void
}

/**
 * Whether this worker has more memory than it should. Then new connections are told to come back, and those that are there
 * are served on: better than to be ended by the system with all of them.
 *
 * V8 collects late what nobody uses, and a number over the bound may be nothing but that; so garbage is collected first,
 * and the next look decides. It stays over until it is a tenth below, so that it does not change its mind all the time.
 */
export class MemoryWatch {
  readonly #maxBytes: number
  readonly #tell: (isShort: boolean, bytes: number) => void
  readonly #process: MemoryOfProcess
  readonly #timer: NodeJS.Timeout
  #isShort = false
  #looksToCollect = 0

  constructor(
    max: Ceiling,
    tell: (isShort: boolean, bytes: number) => void,
    ofProcess: MemoryOfProcess = { measure: residentBytes, collect },
  ) {
    this.#maxBytes = max === 'unlimited' ? Number.POSITIVE_INFINITY : max
    this.#tell = tell
    this.#process = ofProcess
    this.#timer = setInterval(() => this.#look(), limits.memoryLookMs)
    this.#timer.unref()
  }

  get isShort(): boolean {
    return this.#isShort
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const bytes = this.#process.measure()
    const isOver = bytes > this.#maxBytes * (this.#isShort ? 0.9 : 1)
    if (!isOver) {
      this.#looksToCollect = 0
      if (this.#isShort) this.#change(false, bytes)
      return
    }
    const hasCollected = this.#looksToCollect > 0
    if (this.#looksToCollect === 0) this.#process.collect()
    this.#looksToCollect = (this.#looksToCollect + 1) % limits.memoryLooksPerCollection
    if (hasCollected && !this.#isShort) this.#change(true, bytes)
  }

  #change(isShort: boolean, bytes: number): void {
    this.#isShort = isShort
    this.#tell(isShort, bytes)
  }
}

let gc: (() => void) | undefined

/** Node has no call for it; V8 gives one to a context that is made after the flag is set. */
function collect(): void {
  if (gc === undefined) {
    setFlagsFromString('--expose-gc')
    gc = runInNewContext('gc') as () => void
  }
  gc()
}
