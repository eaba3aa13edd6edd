import { isDeepStrictEqual } from 'node:util'
import { Challenges } from '../acme/challenges.ts'
import { CertificateKeeper } from '../acme/keeper.ts'
import { openAdmin, type AdminEndpoint, type AdminSubject, type ReloadOutcome } from '../admin/endpoint.ts'
import type { Sessions, Status, StatusNews } from '../admin/status.ts'
import type { AdminConfig, Config, ConfigOutcome, ConfigWarning } from '../config/schema.ts'
import { makeMailRoot } from '../destination/mail-root.ts'
import { limits } from '../limits.ts'
import type { Lifecycle } from '../observe/lifecycle.ts'
import { RouteTable } from '../route/route-table.ts'
import { look } from '../upstream/look.ts'
import { CertificateWatch } from './certificate-watch.ts'
import { judgeHealth, listenersDown, type Health } from './health.ts'
import { addressesOf, holdSockets, releaseUnused, type HeldListener } from './held-sockets.ts'
import { Machine } from './machine.ts'
import type { DrainManner, WorkerNews } from './messages.ts'
import { Overview } from './overview.ts'
import { startChanges } from './reload.ts'
import { Slot } from './slot.ts'
import { Slots } from './slots.ts'
import { Successor, type Predecessor } from './succession.ts'
import { notifySystemd } from './systemd.ts'
import { WorkerProcess, type SupervisedWorker, type WorkerListeners } from './worker-process.ts'

/** What the command line hands to the gateway. */
export interface ServeOptions {
  readonly config: Config
  /** Told loudly in the log. */
  readonly warnings: readonly ConfigWarning[]
  /** Reads the configuration again, at SIGHUP. Rejects never: what is wrong is an outcome. */
  readonly readConfig: () => Promise<ConfigOutcome>
  /** Told once, when every worker accepts: where, with the ports that the system chose. */
  readonly onReady?: (bound: readonly BoundListener[]) => void
}

export interface BoundListener {
  readonly name: string
  readonly host: string
  readonly port: number
}

/** This process, from the first worker's start to the last one's end. */
export class Supervisor implements AdminSubject {
  #config: Config
  readonly #options: ServeOptions
  #held: readonly HeldListener[]
  #admin: AdminEndpoint | undefined
  readonly #log: Lifecycle
  readonly #predecessor: Predecessor | undefined
  #successor: Successor | undefined
  readonly #machine: Machine
  readonly #overview: Overview
  readonly #challenges = new Challenges()
  readonly #certificates: CertificateKeeper
  #routes: RouteTable
  readonly #slots: Slots
  readonly #end = Promise.withResolvers<number>()
  #lastSerial = 0
  #wasReady = false
  #startFailures = 0
  /** Decided as soon as it stops. */
  #exitStatus: number | undefined
  /** When a signal first asked for the end. */
  #askedAt: number | undefined
  #sessionsBefore = { finished: 0, cut: 0, inDoubt: 0 }
  /** Fails health checks, so that balancers turn to others; then it stops. */
  #isLeaving = false
  #isUpgrading = false
  /** A successor serves the clients that come; this one waits for its own to end. */
  #isReplaced = false
  #reloading: Promise<ReloadOutcome> | undefined
  /** For all who ask during a reload: one more behind it. */
  #nextReload: Promise<ReloadOutcome> | undefined

  constructor(
    options: ServeOptions,
    held: readonly HeldListener[],
    log: Lifecycle,
    predecessor: Predecessor | undefined,
  ) {
    this.#config = options.config
    this.#options = options
    this.#held = held
    this.#log = log
    this.#predecessor = predecessor
    this.#routes = routesOf(this.#config)
    this.#certificates = new CertificateKeeper(this.#challenges, {
      obtained: (names, endsAt) => {
        this.#overview.counts.count('postern_acme_orders_total', 'obtained').value++
        log.certificateObtained(names, endsAt)
        void this.reload()
      },
      failed: (names, failure, inARow, retryMs) => {
        this.#overview.counts.count('postern_acme_orders_total', 'failed').value++
        log.certificateNotObtained(names, failure, inARow, retryMs)
      },
    })
    this.#overview = new Overview({
      bound: () => this.#bound,
      config: () => this.#config,
      health: () => this.health(),
      workers: () => this.#slots.workers,
      backends: () => this.#machine.backends,
      acme: () => this.#certificates.status,
    })
    predecessor?.onCounts((counts) => {
      this.#overview.counts.add(counts)
      this.#successor?.tell(counts)
    })
    this.#machine = new Machine({
      config: this.#config,
      ticketKeys: predecessor?.inheritance.ticketKeys,
      workers: () => this.#slots.workers,
      look: async (upstream, address) => {
        const began = performance.now()
        const found = await look(upstream, address, this.#config.live.hostname, upstream.health.timeoutMs)
        this.#overview.looked(upstream.name, address, performance.now() - began)
        return found
      },
      log,
    })
    this.#slots = new Slots(this.#config.start.workers, (index) => this.#makeSlot(index))
  }

  async run(): Promise<number> {
    const stop = (): void => this.#stop()
    const reload = (): void => void this.reload()
    const upgrade = (): void => void this.#upgrade()
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
    process.on('SIGHUP', reload)
    process.on('SIGUSR2', upgrade)
    const certificates = new CertificateWatch(
      () => this.#config.live.certificates,
      () => {
        this.#log.certificatesChanged()
        reload()
      },
    )
    const watch = setInterval(() => this.#slots.look(), limits.aliveEveryMs)
    this.#machine.start(this.#config.live.upstreams)
    this.#certificates.use(this.#config.live.acme)
    this.#slots.start()
    try {
      return await this.#end.promise
    } finally {
      clearInterval(watch)
      process.off('SIGTERM', stop)
      process.off('SIGINT', stop)
      process.off('SIGHUP', reload)
      process.off('SIGUSR2', upgrade)
      certificates.stop()
    }
  }

  /** Replaces the one that is open, also on the same address. */
  async openAdmin({ bind, tokenFile }: AdminConfig): Promise<void> {
    const before = this.#admin
    const ours = [before?.bind, this.#certificates.bind]
    const isOurs =
      this.#predecessor !== undefined || (bind !== undefined && ours.some((one) => isDeepStrictEqual(bind, one)))
    this.#admin =
      bind === undefined ? undefined : await openAdmin(bind, { ...(tokenFile && { tokenFile }), isOurs }, this)
    before?.close()
  }

  /** As long as there are rights to low ports: see `openAdmin`. */
  openChallenges(): Promise<void> {
    return this.#certificates.open(this.#config.live.acme, this.#predecessor !== undefined)
  }

  /** Lets go of everything but the workers. */
  close(): void {
    this.#admin?.close()
    this.#certificates.stop()
    this.#machine.close()
    releaseUnused(this.#held)
    this.#successor?.leave()
    if (this.#predecessor !== undefined && process.connected) process.disconnect?.()
  }

  // ── what the admin endpoint shows ─────────────────────────────────────────

  challengeText(path: string): string | undefined {
    return this.#challenges.textFor(path)
  }

  get metricsType(): string {
    return this.#overview.metricsType
  }

  metrics(): Promise<string> {
    return this.#overview.metrics()
  }

  status(): Promise<Status> {
    return this.#overview.status()
  }

  news(since: number): Promise<StatusNews> {
    return this.#overview.news(since)
  }

  sessions(matching: string, withUsers: boolean): Promise<Sessions> {
    return this.#overview.sessions(matching, withUsers)
  }

  health(): Promise<Health> {
    return judgeHealth({
      isLeaving: this.#isLeaving,
      isStopping: this.#exitStatus !== undefined,
      workersReady: this.#slots.readyCount,
      workersWanted: this.#slots.count,
      connections: this.#slots.workers.reduce((sum, worker) => sum + worker.connections, 0),
      dataDir: this.#config.start.dataDir,
      backends: this.#machine.backends,
      listenersDown: listenersDown(this.#config, this.#routes, this.#machine.backends),
    })
  }

  // ── workers ───────────────────────────────────────────────────────────────

  #makeSlot(index: number): Slot {
    return new Slot((listeners) => this.#spawn(index, listeners), {
      onReady: (worker) => {
        this.#machine.join(worker)
        this.#log.workerReady(worker)
        this.#tellWhenReady()
      },
      onMessage: (worker, message) => {
        if (message.type === 'news') this.#learn(worker, message)
        else if (message.type === 'sessions') this.#overview.answered(message)
        else this.#machine.receive(worker, message)
      },
      onCrash: (worker, how, failures, delayMs) => {
        if (this.#exitStatus !== undefined) return
        this.#overview.counts.count('postern_worker_deaths_total', 'crashed').value++
        this.#log.workerCrashed(worker, how, failures, delayMs)
        if (!this.#wasReady && ++this.#startFailures >= limits.maxStartFailures) this.#giveUp()
      },
      onHang: (worker) => {
        this.#overview.counts.count('postern_worker_deaths_total', 'hung').value++
        this.#log.workerHung(worker)
      },
      onDrained: (worker, how) => this.#log.workerDrained(worker, how),
      onGone: (worker) => {
        this.#machine.leave(worker)
        this.#overview.forget(worker.serial)
        this.#endWhenEmpty()
      },
    })
  }

  #spawn(slot: number, listeners: WorkerListeners): WorkerProcess {
    const serial = ++this.#lastSerial
    const sockets = this.#held.flatMap(({ listener, fdsOf }) => fdsOf(slot).map((fd) => ({ listener, fd })))
    const start = { slot, serial, config: this.#config, ...this.#machine.forStart }
    const worker = new WorkerProcess(start, sockets, listeners)
    if (this.#isLeaving) worker.send({ type: 'leave' })
    return worker
  }

  #tellWhenReady(): void {
    if (this.#wasReady || this.#slots.readyCount < this.#slots.count) return
    this.#wasReady = true
    this.#log.ready(this.#bound, this.#slots.count)
    this.#options.onReady?.(this.#bound)
    this.#predecessor?.ready()
    notifySystemd('READY=1')
    this.#certificates.run()
  }

  get #bound(): readonly BoundListener[] {
    return this.#held.map(({ listener, host, port }) => ({ name: listener, host, port }))
  }

  #learn(worker: SupervisedWorker, news: WorkerNews): void {
    this.#overview.receive(worker.serial, news)
    this.#successor?.tell(news.counts)
  }

  // ── reload ────────────────────────────────────────────────────────────────

  /** Whoever asks during a reload gets one more after it: what changed meanwhile may have come too late for the first. */
  reload(): Promise<ReloadOutcome> {
    if (this.#reloading === undefined) {
      this.#reloading = this.#handOver().finally(() => {
        this.#reloading = undefined
      })
      return this.#reloading
    }
    this.#nextReload ??= this.#reloading.then(() => {
      this.#nextReload = undefined
      return this.reload()
    })
    return this.#nextReload
  }

  async #handOver(): Promise<ReloadOutcome> {
    const came = this.#exitStatus === undefined ? await this.#replaceAll() : ({ outcome: 'stopping' } as const)
    if (came.outcome !== 'stopping') this.#overview.counts.count('postern_reloads_total', came.outcome).value++
    return came
  }

  async #replaceAll(): Promise<ReloadOutcome> {
    const read = await this.#options.readConfig()
    if (!read.ok) {
      this.#log.reloadRefused(read.problems)
      return { outcome: 'refused', problems: read.problems }
    }
    for (const warning of read.warnings) this.#log.configWarning(warning)
    const before = { config: this.#config, held: this.#held }
    const next = read.config
    try {
      const held = holdSockets(addressesOf(next.start), next.start.workers, before.held)
      this.#held = held
      await makeMailRoot(next.start.dataDir)
      // Last, since it is not taken back when something before fails.
      if (!isDeepStrictEqual(next.start.admin, before.config.start.admin)) await this.openAdmin(next.start.admin)
    } catch (error) {
      releaseUnused(this.#held, before.held)
      this.#held = before.held
      this.#log.handOverFailed((error as Error).message)
      return { outcome: 'failed' }
    }
    this.#use(next)
    const replacement = await this.#slots.replace(next.start.workers, next.live.limits.drainTimeoutMs)
    if (replacement.outcome === 'stopping') return replacement
    if (replacement.outcome === 'failed') {
      await this.#goBack(before, replacement.goBack)
      return { outcome: 'failed' }
    }
    releaseUnused(before.held, this.#held)
    this.#log.reloaded(startChanges(before.config.start, next.start))
    return { outcome: 'done' }
  }

  /** A successor of a worker did not start: everything is as it was, sockets and admin endpoint included. */
  async #goBack(before: Standing, bringBack: (drainTimeoutMs: number) => Promise<void>): Promise<void> {
    this.#log.handOverFailed()
    const { held, config } = { held: this.#held, config: this.#config }
    this.#held = before.held
    this.#use(before.config)
    await bringBack(before.config.live.limits.drainTimeoutMs)
    releaseUnused(held, before.held)
    if (!isDeepStrictEqual(config.start.admin, before.config.start.admin)) {
      await this.openAdmin(before.config.start.admin).catch((error: unknown) => {
        this.#log.handOverFailed((error as Error).message)
      })
    }
  }

  #use(config: Config): void {
    this.#config = config
    this.#routes = routesOf(config)
    this.#machine.use(config)
    this.#certificates.use(config.live.acme)
    this.#log.level = config.live.logLevel
  }

  // ── the end ───────────────────────────────────────────────────────────────

  /** Health checks fail from now on; new clients are served until balancers had time to see that, then it stops. */
  drain(): number {
    const { drainNoticeMs, drainTimeoutMs } = this.#config.live.limits
    if (!this.#isLeaving && this.#exitStatus === undefined) {
      this.#isLeaving = true
      this.#log.leaving(drainNoticeMs)
      this.#machine.tell({ type: 'leave' })
      // A signal may end it sooner, and then nothing is left to wait for.
      setTimeout(() => this.#exitStatus ?? this.#stopInOrder(), drainNoticeMs).unref()
    }
    return drainNoticeMs + drainTimeoutMs
  }

  /** A signal. First: graceful, also when a drain has begun with it before. Again: at once. */
  #stop(): void {
    this.#askedAt ??= performance.now()
    if (this.#exitStatus === undefined) return this.#stopInOrder()
    if (this.#isReplaced) {
      this.#isReplaced = false
      this.#predecessor?.stop()
      this.#slots.stop(this.#config.live.limits.drainTimeoutMs)
      return
    }
    if (performance.now() - this.#askedAt < limits.sameSignalMs) return
    this.#exitStatus = 1
    this.#slots.kill()
  }

  #stopInOrder(): void {
    notifySystemd('STOPPING=1')
    this.#predecessor?.stop()
    this.#log.stopping(this.#slots.workers.length, this.#config.live.limits.drainTimeoutMs)
    this.#finish('stop')
  }

  #finish(manner: DrainManner): void {
    this.#exitStatus = 0
    this.#sessionsBefore = this.#overview.drainedSessions
    this.#certificates.stop()
    // Without a successor nobody will serve what still waits in the queues: new clients are told at once to go elsewhere.
    releaseUnused(this.#held)
    const { drainTimeoutMs } = this.#config.live.limits
    this.#slots.stop(drainTimeoutMs, manner)
    setTimeout(() => this.#slots.kill(), drainTimeoutMs + 2 * limits.farewellMs).unref()
    this.#endWhenEmpty()
  }

  // ── the next supervisor ───────────────────────────────────────────────────

  /** A new process takes the sockets and the clients that come; this one stays until its sessions have ended. */
  async #upgrade(): Promise<void> {
    // One that leaves is on its way out, and its successor would not know.
    if (this.#isUpgrading || !this.#wasReady || this.#isLeaving) return
    this.#isUpgrading = true
    try {
      await this.#reloading
      if (this.#exitStatus !== undefined) return
      if (process.pid === 1) {
        this.#log.upgradeFailed('this is process 1 of a container, which ends with it: replace the container')
        return
      }
      this.#log.upgrading()
      const successor = await Successor.start(this.#held, this.#machine.ticketKeys)
      if (typeof successor === 'string') {
        this.#log.upgradeFailed(successor)
        return
      }
      // Told to stop meanwhile, and so is the other.
      if (this.#exitStatus !== undefined) {
        successor.stop()
        return
      }
      this.#successor = successor
      successor.tell(this.#overview.counts.all())
      successor.onStop(() => this.#stop())
      this.#log.replaced(successor.pid)
      this.#admin?.close()
      this.#admin = undefined
      this.#finish('retire')
      // A signal may still ask to hurry.
      this.#isReplaced = true
    } finally {
      this.#isUpgrading = false
    }
  }

  #giveUp(): void {
    this.#exitStatus = 1
    this.#log.startFailed(this.#startFailures)
    this.#slots.kill()
    this.#endWhenEmpty()
  }

  #endWhenEmpty(): void {
    if (this.#exitStatus === undefined) return
    // The slot that reports an end still counts its worker: look when it has settled.
    setImmediate(() => {
      if (!this.#slots.workers.every((worker) => worker.state === 'gone')) return
      const { finished, cut, inDoubt } = this.#overview.drainedSessions
      const before = this.#sessionsBefore
      this.#log.stopped(finished - before.finished, cut - before.cut, inDoubt - before.inDoubt)
      // Whoever watches this process takes its end for that of the service, and kills what is left.
      void (this.#predecessor?.gone ?? Promise.resolve()).then(() => this.#end.resolve(this.#exitStatus ?? 0))
    })
  }
}

interface Standing {
  readonly config: Config
  readonly held: readonly HeldListener[]
}

function routesOf({ live }: Config): RouteTable {
  return new RouteTable(live.routes, live.upstreams)
}
