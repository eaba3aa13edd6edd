/*
 * What one thread of the generator does: its share of the connections, from opening to the report.
 */
import { headersOf, parseRange } from './headers.ts'
import { Lane } from './lane.ts'
import type { LoadPlan } from './options.ts'
import { ClosedLoop, gridMs, OpenLoop, type Pacer } from './pacer.ts'
import { Tally, type LiveCounts, type TallyReport } from './tally.ts'
import { workOf } from './work.ts'

/** A thread's part of a plan. */
export interface Share {
  readonly plan: LoadPlan
  readonly connections: number
  readonly amount: number | undefined
  readonly ratePerSecond: number | undefined
  /** Serial numbers of connections: each thread has its own, so that all announce different clients. */
  readonly firstSerial: number
  readonly serialStep: number
  readonly live: LiveCounts
}

/** What a thread tells at the end. */
export interface ClientReport extends TallyReport {
  /** Connections that are open now. */
  readonly open: number
  /** Operations that were due and never begun: the server did not keep up with the rate. */
  readonly backlog: number
  /** CPU of this thread while it was measured, in microseconds. */
  readonly cpuUs: number
  /** How long it was measured, by this thread's clock. */
  readonly ms: number
}

/** Connections that a thread opens at a time: within what a server's queue of them usually holds. */
const openAtOnce = 64
/** How often it is looked for operations that have taken too long. */
const sweepMs = 50
/** Read at a time; a body that is fetched takes several reads. */
const readBufferBytes = 64 * 1024

export class Client {
  readonly #share: Share
  readonly #tally: Tally
  readonly #lanes: Lane[]
  /** Lanes that wait for work; those at the end are taken first, their connections are warm. */
  readonly #idle: Lane[] = []
  readonly #opening: Lane[]
  readonly #sweep: NodeJS.Timeout
  /** Lanes that were not open yet, and did not fail either. */
  readonly #unsettled: Set<Lane>
  #settled: () => void = () => {}
  #spent: () => void = () => {}
  #pacer: Pacer | undefined
  #tick: NodeJS.Timeout | undefined
  /** Connections are opened, and nothing else is done. */
  readonly #holds: boolean
  #isOver = false
  #startedAt = 0
  #cpuAtStart = process.threadCpuUsage()

  constructor(share: Share) {
    const { plan, firstSerial, serialStep, connections } = share
    this.#share = share
    this.#tally = new Tally(share.live)
    const work = workOf(plan)
    this.#holds = !work.perConnection && work.operations.length === 0
    let serial = firstSerial - serialStep
    const from = plan.from === undefined ? undefined : parseRange(plan.from)
    const context = {
      target: plan.target,
      work,
      tally: this.#tally,
      header: headersOf(plan),
      localAddress: from && ((at: number) => from.at(at).toString()),
      nextSerial: () => (serial += serialStep),
      onIdle: (lane: Lane) => this.#next(lane),
      onOpen: (lane: Lane) => this.#settle(lane),
      onLost: (lane: Lane, hadOperation: boolean) => this.#lost(lane, hadOperation),
      readBuffer: Buffer.allocUnsafe(readBufferBytes),
    }
    this.#lanes = Array.from({ length: connections }, (_, i) => new Lane(context, i * 31))
    this.#opening = work.perConnection ? [] : this.#lanes.toReversed()
    this.#unsettled = new Set(this.#opening)
    if (work.perConnection) this.#idle.push(...this.#lanes)
    this.#sweep = setInterval(() => {
      const now = performance.now()
      for (const lane of this.#lanes) lane.expire(now, plan.timeoutMs)
    }, sweepMs)
  }

  /** Opens the connections that are kept. Resolves when each of them is open or could not be. */
  async open(): Promise<void> {
    if (this.#unsettled.size === 0) return
    const settled = new Promise<void>((resolve) => {
      this.#settled = resolve
    })
    for (let i = 0; i < openAtOnce; i++) this.#openNext()
    await settled
  }

  /** Begins with the work, to get warm. */
  start(): void {
    this.#pace(undefined)
  }

  /** Measures from now on. Resolves when the amount is done, if there is one. */
  async measure(): Promise<void> {
    const { amount } = this.#share
    const now = performance.now()
    // Of an amount exactly that many are counted; of a time, all that were done in it. To open is work of its own.
    if (!this.#holds) this.#tally.reset(amount === undefined ? 0 : now)
    this.#cpuAtStart = process.threadCpuUsage()
    this.#startedAt = now
    if (this.#holds) return
    const spent = new Promise<void>((resolve) => {
      this.#spent = resolve
    })
    this.#pace(amount)
    if (amount !== undefined) await spent
  }

  /** Ends it, and tells what came of it. */
  stop(): ClientReport {
    const now = performance.now()
    this.#isOver = true
    clearInterval(this.#sweep)
    clearInterval(this.#tick)
    const { user, system } = process.threadCpuUsage(this.#cpuAtStart)
    const report = {
      ...this.#tally.report(),
      open: this.#lanes.filter((lane) => lane.isOpen).length,
      backlog: this.#pacer?.backlog(now) ?? 0,
      cpuUs: user + system,
      ms: now - this.#startedAt,
    }
    for (const lane of this.#lanes) lane.destroy()
    return report
  }

  #pace(amount: number | undefined): void {
    const { ratePerSecond } = this.#share
    if (ratePerSecond === undefined) {
      this.#pacer = new ClosedLoop(amount)
    } else {
      this.#pacer = new OpenLoop(ratePerSecond, performance.now(), amount)
      this.#tick ??= setInterval(() => this.#handOut(), gridMs)
    }
    this.#handOut()
    if (this.#pacer.isSpent) this.#endWhenDone()
  }

  #next(lane: Lane): void {
    if (this.#isOver || !lane.isIdle) return
    const now = performance.now()
    const due = this.#pacer?.take(now)
    if (due !== undefined) return lane.begin(due, now)
    this.#idle.push(lane)
    if (this.#pacer?.isSpent === true) this.#endWhenDone()
  }

  #handOut(): void {
    const now = performance.now()
    while (this.#idle.length > 0) {
      const lane = this.#idle.at(-1)!
      // It may have lost its connection meanwhile.
      if (lane.isIdle) {
        const due = this.#pacer?.take(now)
        if (due === undefined) return
        this.#idle.pop()
        lane.begin(due, now)
      } else {
        this.#idle.pop()
      }
    }
  }

  #settle(lane: Lane): void {
    if (!this.#unsettled.delete(lane)) return
    this.#openNext()
    if (this.#unsettled.size === 0) this.#settled()
  }

  #openNext(): void {
    this.#opening.pop()?.open(performance.now())
  }

  #lost(lane: Lane, hadOperation: boolean): void {
    if (this.#isOver) return
    this.#settle(lane)
    const at = this.#idle.indexOf(lane)
    if (at >= 0) this.#idle.splice(at, 1)
    const now = performance.now()
    // An amount is of attempts: what cannot even be opened must come to an end too.
    if (this.#share.amount !== undefined && !hadOperation) this.#pacer?.take(now)
    if (this.#pacer?.isSpent === true) this.#endWhenDone()
    else lane.open(now)
  }

  #endWhenDone(): void {
    if (this.#lanes.every((lane) => !lane.isBusy)) this.#spent()
  }
}
