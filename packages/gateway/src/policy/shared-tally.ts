import type { Awaitable } from '@postern/core'
import { limits } from '../limits.ts'
import type { TallyAsk, ToSupervisor, ToWorker } from '../supervisor/messages.ts'
import { LocalTally, type Tally, type TallyAttempt, type TallyLimits, type TallyVerdict } from './tally.ts'

type Asked = Extract<ToSupervisor, { type: 'tally' }>
type Answered = Extract<ToWorker, { type: 'tally' }>

interface Ask {
  readonly client: string
  readonly attempt: TallyAttempt
  readonly settle: (verdict: Awaitable<TallyVerdict>) => void
  /** The answer took too long, and this process decided. */
  isOverdue: boolean
}

/**
 * A worker's side of the machine's tally. Questions of one turn of the event loop travel as one message, so a busy
 * worker pays little for each.
 *
 * A supervisor that does not answer must not stop mail: after `tallyAnswerMs` this process decides by its own counts
 * (a client may then reach its limit once in each worker), and goes on so, without asking, until an answer to what it
 * asked before comes. More questions would only gather, here and in the channel.
 */
export class SharedTally implements Tally {
  readonly #send: (asked: Asked) => void
  readonly #onAway: (isAway: boolean) => void
  readonly #local: LocalTally
  /** Connections that were counted here and not by the supervisor. */
  readonly #countedHere = new Map<string, number>()
  readonly #asks = new Map<number, Ask>()
  #nextAsk = 0
  #asksToSend: TallyAsk[] = []
  #closedToSend: string[] = []
  #isFlushing = false
  #isAway = false

  /**
   * @param send - to the supervisor.
   * @param onAway - told when the supervisor falls silent, and when it is back.
   */
  constructor(bounds: TallyLimits, send: (asked: Asked) => void, onAway: (isAway: boolean) => void) {
    this.#local = new LocalTally(bounds)
    this.#send = send
    this.#onAway = onAway
  }

  opened(client: string, attempt: TallyAttempt = 'first'): Promise<TallyVerdict> {
    if (this.#isAway) return this.#decideHere(client, attempt)
    const { promise, resolve } = Promise.withResolvers<TallyVerdict>()
    const ask: Ask = { client, attempt, settle: resolve, isOverdue: false }
    const number = this.#nextAsk++
    this.#asks.set(number, ask)
    this.#asksToSend.push([number, client, attempt])
    this.#flushSoon()
    return promise
  }

  closed(client: string): void {
    const here = this.#countedHere.get(client) ?? 0
    if (here > 0) {
      if (here > 1) this.#countedHere.set(client, here - 1)
      else this.#countedHere.delete(client)
      this.#local.closed(client)
      return
    }
    this.#tellClosed(client)
  }

  receive({ verdicts }: Answered): void {
    if (this.#isAway) this.#onAway((this.#isAway = false))
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
    const closed = this.#closedToSend
    this.#asksToSend = []
    this.#closedToSend = []
    if (asks.length === 0 && closed.length === 0) return
    this.#send({ type: 'tally', asks, closed })
    if (asks.length > 0) setTimeout(() => this.#expire(asks), limits.tallyAnswerMs)
  }

  #expire(asks: readonly TallyAsk[]): void {
    for (const [number] of asks) {
      const ask = this.#asks.get(number)
      if (ask === undefined || ask.isOverdue) continue
      if (!this.#isAway) this.#onAway((this.#isAway = true))
      ask.isOverdue = true
      ask.settle(this.#decideHere(ask.client, ask.attempt))
    }
  }

  async #decideHere(client: string, attempt: TallyAttempt): Promise<TallyVerdict> {
    const verdict = await this.#local.opened(client, attempt)
    if (verdict === 'pass') this.#countedHere.set(client, (this.#countedHere.get(client) ?? 0) + 1)
    return verdict
  }
}
