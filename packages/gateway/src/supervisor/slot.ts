import { limits } from '../limits.ts'
import type { DrainManner } from './messages.ts'
import type { WorkerEnd, WorkerListeners, SupervisedWorker } from './worker-process.ts'

/** What a slot tells the supervisor. */
export interface SlotEvents {
  /** The worker that accepts died; another is started after `delayMs`. `failures` counts deaths in a row. */
  readonly onCrash: (worker: SupervisedWorker, how: WorkerEnd, failures: number, delayMs: number) => void
  readonly onHang: (worker: SupervisedWorker) => void
  readonly onReady: (worker: SupervisedWorker) => void
  /** A worker that was told to drain has ended. */
  readonly onDrained: (worker: SupervisedWorker, how: WorkerEnd) => void
  readonly onMessage: WorkerListeners['onMessage']
  /** After any end, whatever the reason. */
  readonly onGone: (worker: SupervisedWorker) => void
}

/**
 * One place among the workers: its sockets outlive whoever serves them. It has one worker that accepts, at times a
 * successor that is starting, and predecessors whose sessions still run.
 */
export class Slot {
  readonly #spawn: (listeners: WorkerListeners) => SupervisedWorker
  readonly #events: SlotEvents
  #current: SupervisedWorker | undefined
  #successor: { readonly worker: SupervisedWorker; readonly settle: (isReady: boolean) => void } | undefined
  readonly #draining = new Set<SupervisedWorker>()
  #failures = 0
  /** Workers that have accepted connections: what they died of came with the traffic, and clients wait for the next. */
  readonly #served = new WeakSet<SupervisedWorker>()
  #restart: NodeJS.Timeout | undefined
  #tellRoom: (() => void) | undefined
  #isStopping = false

  /** @param spawn - forks a worker on this slot's sockets, with what the supervisor holds to be current. */
  constructor(spawn: (listeners: WorkerListeners) => SupervisedWorker, events: SlotEvents) {
    this.#spawn = spawn
    this.#events = events
  }

  get isReady(): boolean {
    return this.#current?.state === 'ready'
  }

  get workers(): readonly SupervisedWorker[] {
    return [this.#current, this.#successor?.worker, ...this.#draining].filter((worker) => worker !== undefined)
  }

  start(): void {
    if (this.#isStopping) return
    this.#current = this.#spawn(this.#listeners)
  }

  /**
   * Puts a successor in the place of the worker that accepts, which drains only when the successor accepts; so the
   * sockets are never without a server.
   *
   * @returns false when the successor died first, or the slot stopped: everything is then as it was.
   */
  async replace(drainWithinMs: number): Promise<boolean> {
    while (this.#draining.size >= limits.maxRetiringWorkersPerSlot) await this.#roomToRetire()
    if (this.#isStopping) return false
    clearTimeout(this.#restart)
    this.#restart = undefined
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const worker = this.#spawn(this.#listeners)
    this.#successor = {
      worker,
      settle: (isReady) => {
        this.#successor = undefined
        if (isReady) {
          const old = this.#current
          this.#current = worker
          if (old !== undefined) this.#retire(old, drainWithinMs)
        } else if (this.#current === undefined) {
          this.#startLater(limits.maxRestartDelayMs)
        }
        resolve(isReady)
      },
    }
    return promise
  }

  /** Every worker ends, and no other takes its place: sessions take leave, or go on in their own time when it retires. */
  stop(withinMs: number, manner: DrainManner = 'stop'): void {
    this.#isStopping = true
    clearTimeout(this.#restart)
    for (const worker of this.workers) {
      this.#draining.add(worker)
      worker.drain(manner, withinMs)
    }
    this.#current = undefined
    this.#successor?.settle(false)
  }

  kill(): void {
    this.#isStopping = true
    clearTimeout(this.#restart)
    for (const worker of this.workers) worker.kill()
  }

  /** Called every second. */
  look(): void {
    for (const worker of this.workers) {
      if (worker.state === 'starting' || ++worker.missedLooks < limits.missedLooks) continue
      this.#events.onHang(worker)
      worker.kill()
    }
  }

  #retire(old: SupervisedWorker, withinMs: number): void {
    this.#draining.add(old)
    old.drain('retire', withinMs)
  }

  /** Reloads come faster than sessions end: the oldest retired worker is asked to finish, and the next reload waits. */
  #roomToRetire(): Promise<void> {
    const [oldest] = this.#draining
    oldest?.drain('stop', limits.farewellMs)
    return new Promise((resolve) => {
      this.#tellRoom = resolve
    })
  }

  /** At once after a first death; then with a delay that doubles up to `maxDelayMs`. */
  #startLater(maxDelayMs: number): number {
    if (this.#isStopping) return 0
    this.#failures++
    const delayMs =
      this.#failures === 1 ? 0 : Math.min(limits.firstRestartDelayMs * 2 ** (this.#failures - 2), maxDelayMs)
    this.#restart = setTimeout(() => this.start(), delayMs)
    return delayMs
  }

  readonly #listeners: WorkerListeners = {
    onReady: (worker) => {
      this.#served.add(worker)
      this.#events.onReady(worker)
      if (worker === this.#successor?.worker) this.#successor.settle(true)
    },
    onMessage: (worker, message) => this.#events.onMessage(worker, message),
    onExit: (worker, how) => this.#ended(worker, how),
  }

  #ended(worker: SupervisedWorker, how: WorkerEnd): void {
    this.#events.onGone(worker)
    if (this.#draining.delete(worker)) {
      this.#tellRoom?.()
      this.#events.onDrained(worker, how)
    } else if (worker === this.#successor?.worker) {
      this.#events.onCrash(worker, how, this.#failures + 1, 0)
      this.#successor.settle(false)
    } else if (worker === this.#current) {
      this.#current = undefined
      if (performance.now() - worker.startedAt > limits.soundWorkerMs) this.#failures = 0
      // A successor that is starting takes the place as soon as it accepts.
      const maxDelayMs = this.#served.has(worker) ? limits.maxRestartDelayOfServingMs : limits.maxRestartDelayMs
      const delayMs = this.#successor === undefined ? this.#startLater(maxDelayMs) : 0
      this.#events.onCrash(worker, how, this.#failures, delayMs)
    }
  }
}
