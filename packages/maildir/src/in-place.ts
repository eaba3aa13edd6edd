/*
 * Changes of files that the kernel takes into its memory at once: a rename, a lock, a few octets behind a journal. On the
 * event loop such a call costs a third of what it costs through a thread (ADR 0072). But it may have to wait: for the file
 * system's own journal while somebody syncs, or for a disk that is slow. Then all sessions of the worker wait with it.
 *
 * So each call is timed. What exceeds a millisecond was waiting, and waiting is paid for: as long as it adds up to more
 * than the event loop may have lost by now, every call goes through a thread, as it does on file systems of other machines.
 * So does what comes in one turn of the loop beyond its time, whoever asks: a hundred sessions that change a whole mailbox each
 * have no more of a turn together than one of them.
 *
 * What is read in place, since the kernel has it in its memory (ADR 0085), is timed as well, on an account of its own: it waits
 * for no journal.
 */
import { setImmediate as atEndOfTurn } from 'node:timers'
import type { Awaitable } from '@postern/core'
import type { MaildirLimits } from './limits.ts'

/** Whether the next call may be made on the event loop. One for the changes of a store, and one for what it reads. */
export class InPlace {
  readonly #limits: Pick<MaildirLimits, 'promptCallMs' | 'maxLoopWaitMs' | 'loopWaitShare' | 'inPlaceTurnMs'>
  readonly #now: () => number
  /** What was waited and not paid for yet, as of `#asOf`, ms. */
  #waited = 0
  #asOf: number
  /** In calls of this turn of the event loop, ms. */
  #inTurn = 0
  #isEndAwaited = false

  /** @param now - ms of the monotonic clock. */
  constructor(limits: MaildirLimits, now: () => number = () => performance.now()) {
    this.#limits = limits
    this.#now = now
    this.#asOf = now()
  }

  /** Makes a call one way or the other. It throws, or rejects, with the code of the system. */
  call<T>(onLoop: () => T, throughThread: () => Promise<T>): Awaitable<T> {
    const begun = this.#now()
    if (!this.#may(begun)) return throughThread()
    this.#awaitEnd()
    try {
      return onLoop()
    } finally {
      const ended = this.#now()
      const took = ended - begun
      this.#inTurn += took
      if (took > this.#limits.promptCallMs) {
        this.#waited += took
        this.#asOf = ended
      }
    }
  }

  #may(now: number): boolean {
    const { maxLoopWaitMs, loopWaitShare, inPlaceTurnMs } = this.#limits
    if (this.#waited > 0) this.#waited = Math.max(0, this.#waited - (now - this.#asOf) * loopWaitShare)
    this.#asOf = now
    return this.#waited <= maxLoopWaitMs && this.#inTurn < inPlaceTurnMs
  }

  #awaitEnd(): void {
    if (this.#isEndAwaited) return
    this.#isEndAwaited = true
    atEndOfTurn(this.#end)
  }

  readonly #end = (): void => {
    this.#isEndAwaited = false
    this.#inTurn = 0
  }
}
