import { readFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import type { AcmeStatus } from '../acme/keeper.ts'
import type { ListenerStatus, Sessions, Status, StatusNews, Totals, WorkerStatus } from '../admin/status.ts'
import { formatBackendAddress, type BackendAddress } from '../config/backend-address.ts'
import { formatBindAddress } from '../config/bind-address.ts'
import type { Config } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { Counts } from '../observe/counts.ts'
import { IncidentBoard, type Refusal } from '../observe/incidents.ts'
import type { MetricName } from '../observe/metric-catalogue.ts'
import { Exposition } from '../observe/prometheus.ts'
import { residentBytes } from '../observe/resident-memory.ts'
import type { BackendState } from '../upstream/backend-group.ts'
import type { Health } from './health.ts'
import type { SessionsAnswer, WorkerNews, WorkerVitals } from './messages.ts'
import type { BoundListener } from './supervisor.ts'
import type { SupervisedWorker } from './worker-process.ts'

/** What the supervisor knows and the overview shows. */
export interface OverviewSources {
  bound(): readonly BoundListener[]
  config(): Config
  health(): Promise<Health>
  workers(): readonly SupervisedWorker[]
  backends(): readonly BackendState[]
  /** Absent when no certificate is ordered. */
  acme(): AcmeStatus | undefined
}

/**
 * The gateway as a whole: the sums of what all workers counted, what they told of themselves a second ago, and what came
 * up. What a worker counted outlives it.
 */
export class Overview {
  readonly counts: Counts = new Counts()
  readonly #sources: OverviewSources
  readonly #board = new IncidentBoard()
  readonly #vitals = new Map<number, WorkerVitals>()
  readonly #exposition: Exposition
  readonly #startedAt = performance.now()
  readonly #questions = new Map<number, (answer: SessionsAnswer) => void>()
  #lastQuestion = 0
  #lastSessions = Promise.resolve()

  constructor(sources: OverviewSources) {
    this.#sources = sources
    this.#exposition = new Exposition(this.counts)
  }

  // ── what workers tell ─────────────────────────────────────────────────────

  receive(serial: number, news: WorkerNews): void {
    this.counts.add(news.counts)
    this.#vitals.set(serial, news.vitals)
    if (news.incidents !== undefined) this.#board.add(news.incidents)
  }

  answered(answer: SessionsAnswer): void {
    this.#questions.get(answer.ask)?.(answer)
  }

  forget(serial: number): void {
    this.#vitals.delete(serial)
  }

  looked(upstream: string, address: BackendAddress, ms: number): void {
    const backend = formatBackendAddress(address)
    this.counts.distribution('postern_upstream_look_seconds', upstream, backend).observe(ms / 1000)
  }

  /** Sessions of workers that were told to end, by how they did, and messages in doubt; since the start. */
  get drainedSessions(): { readonly finished: number; readonly cut: number; readonly inDoubt: number } {
    const of = (outcome: string): number => this.counts.count('postern_drained_sessions_total', outcome).value
    return { finished: of('finished'), cut: of('cut'), inDoubt: this.counts.sumOf('postern_in_doubt_total') }
  }

  // ── what is asked ─────────────────────────────────────────────────────────

  get metricsType(): string {
    return this.#exposition.contentType
  }

  metrics(): Promise<string> {
    this.#setGauges()
    return this.#exposition.text()
  }

  async status(): Promise<Status> {
    const ofHeaders = (command: string): Record<string, number> =>
      this.#by('postern_proxy_headers_total', 1, (labels) => labels[2] === command)
    const identity = {
      proxied: ofHeaders('proxy'),
      health: Object.values(ofHeaders('local')).reduce((sum, count) => sum + count, 0),
      untrustedSenders: this.#board.peers('untrusted-sender'),
      silentPeers: this.#board.peers('silent-peer'),
    }
    const acme = this.#sources.acme()
    return { ...(await this.#moving(this.#board.refusals())), identity, ...(acme !== undefined && { acme }) }
  }

  /** @param since - of the event before; refusals that were heard of later are in this one. */
  news(since: number): Promise<StatusNews> {
    return this.#moving(this.#board.refusals(since))
  }

  /**
   * Asks all workers what is open. Those that do not answer in time are counted. Questions wait for each other, and a
   * little longer: each costs a worker with many connections some milliseconds, and anybody may ask.
   */
  async sessions(matching: string, withUsers: boolean): Promise<Sessions> {
    const before = this.#lastSessions
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#lastSessions = promise
    await before
    try {
      return await this.#askAll(matching, withUsers)
    } finally {
      setTimeout(resolve, limits.sessionsEveryMs)
    }
  }

  async #askAll(matching: string, withUsers: boolean): Promise<Sessions> {
    const workers = this.#sources.workers().filter(({ state }) => state === 'ready' || state === 'draining')
    const answers = await Promise.all(workers.map((worker) => this.#ask(worker, matching.toLowerCase(), withUsers)))
    const found = answers.filter((answer) => answer !== undefined)
    const byClient = new Map<string, number>()
    for (const [client, connections] of found.flatMap(({ topClients }) => topClients)) {
      byClient.set(client, (byClient.get(client) ?? 0) + connections)
    }
    return {
      matches: found.reduce((sum, { matches }) => sum + matches, 0),
      sessions: found
        .flatMap(({ sessions }) => sessions)
        .toSorted((a, b) => a.seconds - b.seconds)
        .slice(0, limits.maxSessionsShown),
      topClients: [...byClient]
        .toSorted((a, b) => b[1] - a[1])
        .slice(0, limits.maxTopClients)
        .map(([client, connections]) => ({ client, connections })),
      missing: workers.length - found.length,
    }
  }

  #ask(worker: SupervisedWorker, matching: string, withUsers: boolean): Promise<SessionsAnswer | undefined> {
    const ask = ++this.#lastQuestion
    return new Promise((resolve) => {
      const settle = (answer?: SessionsAnswer): void => {
        clearTimeout(giveUp)
        this.#questions.delete(ask)
        resolve(answer)
      }
      const giveUp = setTimeout(settle, limits.sessionsAnswerMs)
      this.#questions.set(ask, settle)
      worker.send({ type: 'sessions', ask, matching, withUsers })
    })
  }

  // ── parts of the answers ──────────────────────────────────────────────────

  async #moving(refusals: readonly Refusal[]): Promise<StatusNews> {
    const config = this.#sources.config()
    return {
      version,
      hostname: config.live.hostname,
      at: Date.now(),
      seconds: Math.round((performance.now() - this.#startedAt) / 1000),
      pid: process.pid,
      health: await this.#sources.health(),
      totals: this.#totals(undefined),
      listeners: this.#listeners(config),
      workers: this.#sources.workers().map((worker) => this.#worker(worker)),
      refusals,
    }
  }

  #listeners({ start, live }: Config): readonly ListenerStatus[] {
    return start.listeners.map(({ name, protocol, tls }) => {
      const proxy = live.listeners.find((listener) => listener.name === name)?.proxy
      return {
        name,
        protocol,
        tlsMode: tls,
        addresses: this.#sources
          .bound()
          .filter((one) => one.name === name)
          .map(formatBindAddress),
        proxyMode: proxy?.mode ?? 'off',
        trustedNetworks: proxy?.trustedNetworks ?? [],
        ...this.#totals(name),
      }
    })
  }

  #worker(worker: SupervisedWorker): WorkerStatus {
    const { slot, serial, pid, state, connections, startedAt } = worker
    const { open: _open, ...vitals } = this.#vitals.get(serial) ?? { open: {} }
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    return { slot, worker: serial, pid, state, connections, seconds, ...vitals }
  }

  /** @param listener - absent for all. */
  #totals(listener: string | undefined): Totals {
    const isOf = ([name]: readonly string[]): boolean => listener === undefined || name === listener
    const sum = (name: MetricName): number => this.counts.sumOf(name, isOf)
    const by = (name: MetricName, label: number): Record<string, number> => this.#by(name, label, isOf)
    return {
      open: this.#open(listener),
      accepted: sum('postern_connections_accepted_total'),
      outcomes: by('postern_connections_total', 1),
      bytesIn: sum('postern_received_bytes_total'),
      bytesOut: sum('postern_sent_bytes_total'),
      commands: sum('postern_commands_total'),
      transactions: by('postern_transactions_total', 1),
      messageBytes: sum('postern_message_bytes_total'),
      authentications: by('postern_authentications_total', 2),
      headers: by('postern_proxy_headers_total', 1),
      headersRefused: by('postern_proxy_refused_total', 1),
      refused: by('postern_policy_refusals_total', 2),
      tls: by('postern_tls_sessions_total', 1),
      handshakesFailed: sum('postern_tls_handshakes_failed_total'),
    }
  }

  #by(name: MetricName, label: number, where: (labels: readonly string[]) => boolean): Record<string, number> {
    const sums: Record<string, number> = {}
    for (const { labels, held } of this.counts.countsOf(name)) {
      const value = labels[label] ?? ''
      if (where(labels)) sums[value] = (sums[value] ?? 0) + held.value
    }
    return sums
  }

  #open(listener: string | undefined): number {
    return [...this.#vitals.values()]
      .flatMap(({ open }) => Object.entries(open))
      .reduce((sum, [name, count]) => (listener === undefined || name === listener ? sum + count : sum), 0)
  }

  /** Gauges say how it is now: they are set anew each time, so that what is gone is not told of. */
  #setGauges(): void {
    const { counts } = this
    const set = (name: MetricName, labels: readonly string[], value: number): void => {
      counts.count(name, ...labels).value = value
    }
    counts.forgetGauges()
    for (const { name } of this.#sources.config().start.listeners) {
      set('postern_connections_open', [name], this.#open(name))
    }
    set('postern_untrusted_senders', [], this.#board.peers('untrusted-sender').length)
    set('postern_silent_peers', [], this.#board.peers('silent-peer').length)
    for (const { upstream, backend, isUp } of this.#sources.backends()) {
      set('postern_upstream_up', [upstream, backend], Number(isUp))
    }
    for (const { certFile, cert } of this.#sources.config().live.certificates) {
      set('postern_certificate_end_seconds', [certFile], new X509Certificate(cert).validToDate.getTime() / 1000)
    }
    const workers = this.#sources.workers()
    for (const state of ['starting', 'ready', 'draining'] as const) {
      set('postern_workers', [state], workers.filter((worker) => worker.state === state).length)
    }
    set('postern_workers_wanted', [], this.#sources.config().start.workers)
    set('postern_process_resident_bytes', ['supervisor'], residentBytes())
    // By slot and not by worker: their numbers do not grow with each reload.
    for (const { serial, slot, state } of workers) {
      const vitals = this.#vitals.get(serial)
      if (vitals === undefined || state !== 'ready') continue
      set('postern_password_checks_waiting', [String(slot)], vitals.passwordChecksWaiting)
      set('postern_messages_waiting', [String(slot)], vitals.messagesWaiting)
      set('postern_event_loop_delay_seconds', [String(slot)], vitals.eventLoopDelayMs / 1000)
      set('postern_event_loop_utilization', [String(slot)], vitals.eventLoopUtilization)
      set('postern_process_resident_bytes', [`worker ${slot}`], vitals.residentBytes)
    }
    const { user, system } = process.cpuUsage()
    set('postern_process_cpu_seconds_total', ['supervisor'], (user + system) / 1e6)
  }
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly version: string
}
