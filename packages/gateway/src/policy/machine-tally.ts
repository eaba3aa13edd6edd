import { limits } from '../limits.ts'
import type { TallyAnswered, TallyAsk, TallyAsked } from '../supervisor/messages.ts'
import { shareOf } from './tally-share.ts'
import { LocalTally, type TallyLimits, type TallyVerdict } from './tally.ts'

/** A client that is counted here, for the whole machine. */
interface SharedClient {
  /** Workers that have not told yet what they counted of it themselves. */
  readonly missing: Set<number>
  /** What cannot be decided before they did. */
  readonly waiting: (readonly [worker: number, ask: TallyAsk])[]
}

/**
 * The supervisor's tally for all workers. A client's connections land on whichever worker the kernel picks, so only a
 * count in one place makes its limit hold for the machine. Who is open where is kept too: a dead worker cannot give back.
 *
 * A client is counted here from the moment that one worker's share does not suffice for it: then all workers are asked
 * what they counted, and nothing is decided before they said so. So the limits hold exactly, and nobody is refused for
 * a share that another worker did not use.
 */
export class MachineTally {
  readonly #send: (worker: number, answer: TallyAnswered) => void
  #workersWanted: number
  #bounds: TallyLimits
  readonly #tally: LocalTally
  readonly #maxClients: number
  /** By worker: its clients with a connection open that is counted here, and how many. */
  readonly #workers = new Map<number, Map<string, number>>()
  /** In the order in which they came to be counted here. */
  readonly #shared = new Map<string, SharedClient>()

  /** @param workers - among how many the limits are shared. */
  constructor(
    bounds: TallyLimits,
    workers: number,
    send: (worker: number, answer: TallyAnswered) => void,
    maxClients: number = limits.maxTalliedClients,
  ) {
    this.#bounds = bounds
    this.#workersWanted = workers
    this.#tally = new LocalTally(bounds, maxClients)
    this.#send = send
    this.#maxClients = maxClients
  }

  rebound(bounds: TallyLimits, workers: number = this.#workersWanted): void {
    this.#bounds = bounds
    this.#workersWanted = workers
    this.#tally.rebound(bounds)
  }

  /** The worker accepts connections from now on. It has not counted anything yet, but must ask for who is counted here. */
  join(worker: number): void {
    this.#workers.set(worker, new Map())
    const recalled = [...this.#shared.keys()]
    if (recalled.length > 0) this.#send(worker, { verdicts: [], recalled, forgotten: [] })
  }

  /** The worker is gone, and its connections with it. */
  leave(worker: number): void {
    const clients = this.#workers.get(worker) ?? []
    this.#workers.delete(worker)
    for (const [client, open] of clients) {
      for (let given = 0; given < open; given++) this.#tally.closed(client)
    }
    for (const client of this.#shared.keys()) this.#heard(worker, client)
  }

  receive(worker: number, { told, asks, closed }: TallyAsked): void {
    for (const [client, recent, endsInMs, open] of told) {
      this.#tally.add(client, { recent, endsInMs, open })
      this.#hold(worker, client, open)
      this.#shared.get(client)?.missing.delete(worker)
    }
    for (const client of closed) this.#closed(worker, client)
    const verdicts: (readonly [number, TallyVerdict])[] = []
    for (const ask of asks) {
      const [number, client] = ask
      const shared = this.#share(worker, client)
      if (shared !== undefined && shared.missing.size > 0) shared.waiting.push([worker, ask])
      else verdicts.push([number, this.#opened(worker, ask)])
    }
    if (verdicts.length > 0) this.#send(worker, { verdicts, recalled: [], forgotten: [] })
    for (const [client] of told) this.#heard(worker, client)
  }

  /** Lets go of clients that have nothing open and whose window is over: the workers give them their shares again. */
  tidy(): void {
    const idle: string[] = []
    for (const [client, { waiting }] of this.#shared) {
      const { recent, open } = this.#tally.countOf(client)
      if (recent === 0 && open === 0 && waiting.length === 0) idle.push(client)
    }
    this.#forget(idle)
  }

  /** Makes sure that the client is counted here; `undefined` when limits so small are always counted here. */
  #share(asking: number, client: string): SharedClient | undefined {
    if (shareOf(this.#bounds, this.#workersWanted) === undefined) return undefined
    const known = this.#shared.get(client)
    if (known !== undefined) return known
    if (this.#shared.size >= this.#maxClients) this.#forget([this.#shared.keys().next().value!])
    // The worker that asks told with its question what it counted.
    const missing = new Set([...this.#workers.keys()].filter((worker) => worker !== asking))
    const shared: SharedClient = { missing, waiting: [] }
    this.#shared.set(client, shared)
    for (const worker of this.#workers.keys()) {
      this.#send(worker, { verdicts: [], recalled: [client], forgotten: [] })
    }
    // A worker that hangs must not make all others wait: what it counted is added when it says so.
    setTimeout(() => {
      for (const worker of missing) this.#heard(worker, client)
    }, limits.tallyRecallMs).unref()
    return shared
  }

  /** One worker less to wait for; behind the last, what waited is decided. */
  #heard(worker: number, client: string): void {
    const shared = this.#shared.get(client)
    if (shared === undefined) return
    shared.missing.delete(worker)
    if (shared.missing.size === 0) this.#decide(shared)
  }

  #decide({ waiting }: SharedClient): void {
    for (const [asking, ask] of waiting.splice(0)) {
      const verdicts = [[ask[0], this.#opened(asking, ask)] as const]
      this.#send(asking, { verdicts, recalled: [], forgotten: [] })
    }
  }

  /** All in one message to each worker: after a flood there are as many as the bound allows. */
  #forget(clients: readonly string[]): void {
    if (clients.length === 0) return
    for (const client of clients) {
      const shared = this.#shared.get(client)
      this.#shared.delete(client)
      if (shared !== undefined) this.#decide(shared)
    }
    for (const worker of this.#workers.keys()) {
      this.#send(worker, { verdicts: [], recalled: [], forgotten: clients })
    }
  }

  #opened(worker: number, [, client, attempt]: TallyAsk): TallyVerdict {
    if (!this.#workers.has(worker)) return 'pass'
    const verdict = this.#tally.opened(client, attempt)
    if (verdict === 'pass' && this.#bounds.isOverAtOnce !== true) this.#hold(worker, client, 1)
    return verdict
  }

  #hold(worker: number, client: string, connections: number): void {
    if (connections === 0) return
    const clients = this.#workers.get(worker)
    // The worker is gone: nobody will give them back.
    if (clients === undefined) for (let n = 0; n < connections; n++) this.#tally.closed(client)
    else clients.set(client, (clients.get(client) ?? 0) + connections)
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
