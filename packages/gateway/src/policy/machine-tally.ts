import type { ToSupervisor, ToWorker } from '../supervisor/messages.ts'
import { LocalTally, type TallyAttempt, type TallyLimits, type TallyVerdict } from './tally.ts'

export type TallyAsked = Extract<ToSupervisor, { type: 'tally' }>
type Answered = Extract<ToWorker, { type: 'tally' }>

/**
 * The supervisor's tally for all workers. A client's connections land on whichever worker the kernel picks, so only a
 * count in one place makes its limit hold for the machine. Who is open where is kept too: a dead worker cannot give back.
 */
export class MachineTally {
  readonly #tally: LocalTally
  /** By worker: its clients with a connection open, and how many. */
  readonly #workers = new Map<number, Map<string, number>>()

  constructor(bounds: TallyLimits) {
    this.#tally = new LocalTally(bounds)
  }

  rebound(bounds: TallyLimits): void {
    this.#tally.rebound(bounds)
  }

  join(worker: number): void {
    this.#workers.set(worker, new Map())
  }

  /** The worker is gone, and its connections with it. */
  leave(worker: number): void {
    const clients = this.#workers.get(worker) ?? []
    this.#workers.delete(worker)
    for (const [client, open] of clients) {
      for (let given = 0; given < open; given++) this.#tally.closed(client)
    }
  }

  async answer(worker: number, asked: TallyAsked): Promise<Answered> {
    for (const client of asked.closed) this.#closed(worker, client)
    const verdicts: (readonly [number, TallyVerdict])[] = []
    for (const [ask, client, attempt] of asked.asks) {
      verdicts.push([ask, await this.#opened(worker, client, attempt)])
    }
    return { type: 'tally', verdicts }
  }

  async #opened(worker: number, client: string, attempt: TallyAttempt): Promise<TallyVerdict> {
    const verdict = await this.#tally.opened(client, attempt)
    if (verdict !== 'pass') return verdict
    const clients = this.#workers.get(worker)
    if (clients === undefined) this.#tally.closed(client)
    else clients.set(client, (clients.get(client) ?? 0) + 1)
    return 'pass'
  }

  #closed(worker: number, client: string): void {
    const clients = this.#workers.get(worker)
    const open = clients?.get(client)
    if (clients === undefined || open === undefined) return
    if (open > 1) clients.set(client, open - 1)
    else clients.delete(client)
    this.#tally.closed(client)
  }
}
