import type { Awaitable } from '@postern/core'
import { limits } from '../limits.ts'
import type { TallyAnswered, TallyAsk, TallyAsked, TallyTold } from '../supervisor/messages.ts'
import { shareOf } from './tally-share.ts'
import { LocalTally, type Tally, type TallyAttempt, type TallyLimits, type TallyVerdict } from './tally.ts'

interface Ask {
  readonly client: string
  readonly attempt: TallyAttempt
  readonly settle: (verdict: TallyVerdict) => void
  /** The answer took too long, and this process decided. */
  isOverdue: boolean
}

/**
 * A worker's side of the machine's tally.
 *
 * Nearly every client stays far below its limits. So this process lets each have a share of them by its own count, and
 * the supervisor hears nothing of it. A client that wants more, here or in another worker, is *told*: what was counted
 * of it goes to the supervisor, which from then on is asked for each of its connections, and told of each end, until it
 * forgets the client again.
 *
 * Questions of one turn of the event loop travel as one message. A supervisor that does not answer must not stop mail:
 * after `tallyAnswerMs` this process decides by its own counts (a client may then reach its limit once in each worker),
 * and goes on so, without asking, until an answer to what it asked before comes. More questions would only gather, here
 * and in the channel.
 */
export class SharedTally implements Tally {
  readonly #send: (asked: TallyAsked) => void
  readonly #onAway: (isAway: boolean) => void
  readonly #share: TallyLimits | undefined
  /** Connections that the supervisor does not count: those within a share, and those decided while it was silent. */
  readonly #here: LocalTally
  /** Clients that the supervisor counts. It bounds their number. */
  readonly #told = new Set<string>()
  readonly #asks = new Map<number, Ask>()
  #nextAsk = 0
  #asksToSend: TallyAsk[] = []
  #toldToSend: TallyTold[] = []
  #closedToSend: string[] = []
  #isFlushing = false
  #isAway = false

  /**
   * @param workers - among how many the limits are shared.
   * @param send - to the supervisor.
   * @param onAway - told when the supervisor falls silent, and when it is back.
   */
  constructor(
    bounds: TallyLimits,
    workers: number,
    send: (asked: TallyAsked) => void,
    onAway: (isAway: boolean) => void,
  ) {
    this.#here = new LocalTally(bounds)
    this.#share = shareOf(bounds, workers)
    this.#send = send
    this.#onAway = onAway
  }

  opened(client: string, attempt: TallyAttempt = 'first'): Awaitable<TallyVerdict> {
    if (!this.#told.has(client) && this.#isWithinShare(client)) return this.#here.opened(client, attempt)
    if (this.#isAway) return this.#here.opened(client, attempt)
    if (this.#share !== undefined && !this.#told.has(client)) this.#tell(client)
    const { promise, resolve } = Promise.withResolvers<TallyVerdict>()
    const ask: Ask = { client, attempt, settle: resolve, isOverdue: false }
    const number = this.#nextAsk++
    this.#asks.set(number, ask)
    this.#asksToSend.push([number, client, attempt])
    this.#flushSoon()
    return promise
  }

  closed(client: string): void {
    if (this.#here.countOf(client).open > 0) this.#here.closed(client)
    else this.#tellClosed(client)
  }

  receive({ verdicts, recalled, forgotten }: TallyAnswered): void {
    if (this.#isAway) this.#onAway((this.#isAway = false))
    for (const client of forgotten) this.#told.delete(client)
    for (const client of recalled) this.#tell(client)
    if (recalled.length > 0) this.#flushSoon()
    for (const [number, verdict] of verdicts) {
      const ask = this.#asks.get(number)
      this.#asks.delete(number)
      if (ask === undefined) continue
      if (!ask.isOverdue) {
        ask.settle(verdict)
      } else if (verdict === 'pass') {
        // Decided here meanwhile: the supervisor must not count it as well.
        this.#tellClosed(ask.client)
      }
    }
  }

  #isWithinShare(client: string): boolean {
    const share = this.#share
    if (share === undefined) return false
    const { recent, open } = this.#here.countOf(client)
    return (
      (share.rate === undefined || recent < share.rate.count) &&
      (share.concurrent === undefined || open < share.concurrent)
    )
  }

  /** What was counted here is the supervisor's from now on, and the ends of those connections are told to it. */
  #tell(client: string): void {
    this.#told.add(client)
    const { recent, endsInMs, open } = this.#here.take(client)
    this.#toldToSend.push([client, recent, endsInMs, open])
  }

  /** News of a close may wait for the next question, but not for long. */
  #tellClosed(client: string): void {
    if (this.#closedToSend.push(client) === 1) setTimeout(() => this.#flush(), limits.closeGatherMs)
  }

  #flushSoon(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(() => {
      this.#isFlushing = false
      this.#flush()
    })
  }

  #flush(): void {
    const asks = this.#asksToSend
    const told = this.#toldToSend
    const closed = this.#closedToSend
    this.#asksToSend = []
    this.#toldToSend = []
    this.#closedToSend = []
    if (asks.length === 0 && told.length === 0 && closed.length === 0) return
    this.#send({ told, asks, closed })
    if (asks.length > 0) setTimeout(() => this.#expire(asks), limits.tallyAnswerMs)
  }

  #expire(asks: readonly TallyAsk[]): void {
    for (const [number] of asks) {
      const ask = this.#asks.get(number)
      if (ask === undefined || ask.isOverdue) continue
      if (!this.#isAway) this.#onAway((this.#isAway = true))
      ask.isOverdue = true
      ask.settle(this.#here.opened(ask.client, ask.attempt))
    }
  }
}
