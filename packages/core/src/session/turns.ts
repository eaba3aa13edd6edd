/*
 * Shares the event loop between the sessions of a process. One look for input may find a thousand of them with 64 KiB of
 * commands each, and whoever comes new would wait until all of that is answered. So a turn of the loop has a share for
 * sessions: while it lasts they are answered at once, and who comes behind it waits in order of coming. Those that wait
 * have a share of each turn as well, so nobody waits for ever.
 *
 *   look for input ──▶ sessions, until their share is used ──▶ who waited, until theirs is ──▶ look for input
 */
import { setImmediate as atEndOfTurn } from 'node:timers'
import { limits } from '../limits.ts'

export class Turns {
  readonly #shareMs: number
  readonly #waiting: (() => void)[] = []
  readonly #isOnceEach: boolean
  /** How many of them may still be served at the end of this turn. */
  #due = 0
  /** When the share that runs is used up; nothing runs yet where it is absent. */
  #endsAt: number | undefined
  #isEndAwaited = false

  /** @param isOnceEach - who waits again while others are served waits for the next turn: else one alone would have the whole share. */
  constructor(shareMs: number, isOnceEach = false) {
    this.#shareMs = shareMs
    this.#isOnceEach = isOnceEach
  }

  /** The share of this turn is used up: who has more work `wait`s. */
  get isOver(): boolean {
    const now = performance.now()
    if (this.#endsAt !== undefined) return now >= this.#endsAt
    this.#endsAt = now + this.#shareMs
    this.#awaitEnd()
    return false
  }

  /** @param work - called at the end of a turn, this one or a later one, behind all that waited before it; it does not throw. */
  wait(work: () => void): void {
    this.#waiting.push(work)
    this.#awaitEnd()
  }

  #awaitEnd(): void {
    if (this.#isEndAwaited) return
    this.#isEndAwaited = true
    atEndOfTurn(this.#end)
  }

  readonly #end = (): void => {
    this.#isEndAwaited = false
    this.#endsAt = undefined
    this.#due = this.#isOnceEach ? this.#waiting.length : Infinity
    this.#serve()
  }

  /** One of those that waited, and behind what it does and all that this leads to, the next. */
  readonly #serve = (): void => {
    if (this.#due === 0 || this.#waiting.length === 0 || this.isOver) {
      this.#endsAt = undefined
      if (this.#waiting.length > 0) this.#awaitEnd()
      return
    }
    this.#due -= 1
    this.#waiting.shift()?.()
    queueMicrotask(() => process.nextTick(this.#serve))
  }
}

/** Those of this process: it has one event loop. */
export const turns: Turns = new Turns(limits.turnShareMs)

/**
 * The same for work on what is in memory, which sessions do in pieces: where fifty are at it, one piece of each would be one
 * long hold. It has a queue of its own, so that input does not wait behind the pieces.
 */
export const longWork: Turns = new Turns(limits.turnShareMs, true)
