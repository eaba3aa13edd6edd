import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { ListenerInfo } from '@postern/core'
import { openMaildirStore, type MaildirStore } from '@postern/maildir'
import { createAcceptor } from '../accept/acceptor.ts'
import { AwaitedHeaders, Places } from '../accept/admission.ts'
import { MemoryWatch } from '../accept/memory-watch.ts'
import { OpenConnections } from '../accept/open-connections.ts'
import { Handshakes, TlsGate } from '../accept/tls.ts'
import { createAuthenticator, type FileAuthenticator } from '../auth/file-authenticator.ts'
import { FileJournal } from '../destination/delivered-journal.ts'
import { mailRoot } from '../destination/mail-root.ts'
import { ClientNameLookup } from '../dns/client-names.ts'
import { DnsResolver } from '../dns/resolver.ts'
import { limits } from '../limits.ts'
import { openLookups } from '../lookup/open-lookups.ts'
import { Counts } from '../observe/counts.ts'
import { EventLoopWatch } from '../observe/event-loop.ts'
import { Incidents } from '../observe/incidents.ts'
import { ListenerCounts } from '../observe/listener-counts.ts'
import { countAuthentication } from '../observe/authentication-counts.ts'
import { countedStore } from '../observe/store-counts.ts'
import { UpstreamLog } from '../observe/upstream-log.ts'
import { WorkerLog } from '../observe/worker-log.ts'
import type { Logger } from '../observe/logger.ts'
import { QuietSummary } from '../observe/quiet-summary.ts'
import { residentBytes } from '../observe/resident-memory.ts'
import { PolicyDecisions } from '../policy/decisions.ts'
import { DnsList } from '../policy/dns-list.ts'
import { policiesFor } from '../policy/chain.ts'
import { networks } from '../policy/networks.ts'
import { LoginGuard } from '../policy/login-guard.ts'
import type { Inspector } from '../inspect/inspector.ts'
import { openFleet, type Fleet } from '../policy/fleet.ts'
import { fleetMeters, SharedMeters } from '../policy/shared-meters.ts'
import { withFolders } from '../route/local-accounts.ts'
import { RouteFinder, type Directory } from '../route/route-finder.ts'
import { Upstreams } from '../upstream/upstreams.ts'
import type { DrainManner, ToSupervisor, ToWorker, WorkerNews, WorkerStart } from '../supervisor/messages.ts'
import { dialectOf, type SharedParts } from './listener-dialect.ts'
import { MailboxHints } from './mailbox-hints.ts'
import { answerSessions } from './sessions.ts'

/**
 * What one process runs: every listener, on the sockets it inherited, in one event loop. It serves one snapshot of the
 * configuration for its whole life; a new snapshot comes with a new worker.
 */
export class Worker {
  readonly #start: WorkerStart
  readonly #logger: Logger
  readonly #log: WorkerLog
  readonly #send: (message: ToSupervisor) => void
  readonly #connections = new OpenConnections()
  readonly #counts = new Counts()
  readonly #incidents = new Incidents()
  readonly #eventLoop = new EventLoopWatch()
  #cpu = { user: 0, system: 0 }
  readonly #summary: QuietSummary
  readonly #decisions = new PolicyDecisions()
  readonly #meters: SharedMeters
  readonly #logins: LoginGuard
  #fleet: Fleet | undefined
  #inspector: Inspector | undefined
  #journal: FileJournal | undefined
  readonly #store: MaildirStore
  readonly #authenticator: FileAuthenticator
  readonly #names: ClientNameLookup | undefined
  readonly #upstreams: Upstreams
  readonly #upstreamLog: UpstreamLog
  readonly #gates: TlsGate[] = []
  #directories: ReadonlyMap<string, Directory> = new Map()
  readonly #servers: Server[] = []
  readonly #memory: MemoryWatch
  #isLeaving = false
  #end: Promise<void> | undefined
  #hurry: () => void = () => {}

  constructor(start: WorkerStart, send: (message: ToSupervisor) => void, logger: Logger) {
    const { live } = start.config
    const hints = new MailboxHints(send)
    this.#start = start
    this.#send = send
    this.#logger = logger
    this.#log = new WorkerLog(logger)
    this.#summary = new QuietSummary(logger)
    this.#memory = new MemoryWatch(live.limits.workerMemoryBytes, (isShort, bytes) => this.#log.memory(isShort, bytes))
    this.#meters = new SharedMeters(live.policy, start.config.start.workers, send, (isAway) => this.#log.tally(isAway))
    this.#logins = new LoginGuard(live.policy, networks(live.policy.exemptNetworks), send)
    this.#logins.learn(start.logins)
    this.#authenticator = createAuthenticator(live, (problems) => this.#log.accountsUnusable(problems))
    this.#names = live.dns.clientNames
      ? new ClientNameLookup(new DnsResolver(live.dns, (isSilent) => this.#log.dns(isSilent)))
      : undefined
    this.#upstreamLog = new UpstreamLog(logger, this.#counts)
    this.#upstreams = new Upstreams(live, {
      onSuspicion: (upstream, backend) => send({ type: 'backend-failed', upstream, backend }),
      log: this.#upstreamLog,
      names: { subaddressSeparator: live.smtp.subaddressSeparator, homeDomain: live.smtp.localDomains[0] },
      onOutcome: (upstream, outcome) => {
        this.#counts.count('postern_upstream_connections_total', upstream, outcome).value++
      },
    })
    this.#upstreams.receive(start.backends)
    const store = openMaildirStore({
      root: mailRoot(start.config.start.dataDir),
      onChange: (account, mailbox) => hints.changed(account, mailbox),
      onProblem: (problem) => this.#log.storeProblem(problem),
      quotaOf: (account) => this.#authenticator.quotaOf(account),
    })
    this.#store = countedStore(withFolders(store), this.#counts)
  }

  get connections(): number {
    return this.#connections.size
  }

  /** Resolves when every listener accepts. */
  async listen(): Promise<void> {
    const { config, listeners, ticketKeys } = this.#start
    const { live } = config
    await this.#authenticator.prepare()
    const places = new Places(live.limits.maxConnectionsPerWorker)
    const handshakes = new Handshakes(live.limits.maxTlsHandshakesPerWorker)
    const awaitedHeaders = new AwaitedHeaders()
    const fleet = await this.#openFleet()
    this.#inspector = await this.#openInspector()
    this.#journal = await this.#openJournal()
    const policies = policiesFor(live.policy, {
      tallies: fleet === undefined ? this.#meters : fleetMeters(this.#meters, fleet, live.policy),
      guards: [this.#logins.policy],
      decisions: this.#decisions,
      ownNames: new Set([live.hostname.toLowerCase(), ...live.smtp.localDomains]),
      openDnsList: ({ zone, answers }) => this.#openDnsList(zone, answers),
      log: this.#log,
    })
    const ignoredHosts = networks(live.policy.ignoredHosts)
    this.#directories = await openLookups(live.lookups, this.#upstreamLog)
    const finder = new RouteFinder({
      table: this.#upstreams.routes,
      directories: this.#directories,
      upstreams: live.upstreams,
      log: this.#upstreamLog,
    })
    const parts: SharedParts = {
      live,
      policies,
      store: this.#store,
      authenticator: this.#authenticator,
      logins: this.#logins,
      finder,
      upstreams: this.#upstreams,
      upstreamLog: this.#upstreamLog,
      inspector: this.#inspector,
      journal: this.#journal,
    }
    const accepts = new Map<string, (socket: Socket) => Promise<void>>()
    for (const { name, protocol, tls } of config.start.listeners) {
      const settings = live.listeners.find((listener) => listener.name === name)
      if (settings === undefined) throw new Error(`listener ${name} has no live part`)
      const listener: ListenerInfo = { name, protocol, tls }
      const gate =
        tls === 'off'
          ? undefined
          : new TlsGate(
              listener,
              live.certificates,
              Buffer.from(ticketKeys, 'base64'),
              live.limits,
              handshakes,
              {
                certificates: settings.clientCertificates,
                ...(live.clientCa === undefined ? {} : { ca: live.clientCa }),
              },
              live.tls,
            )
      if (gate !== undefined) this.#gates.push(gate)
      accepts.set(
        name,
        createAcceptor({
          listener,
          proxy: settings.proxy,
          dialect: dialectOf(listener, settings, parts),
          tls: gate,
          policies,
          ignoredHosts,
          places: new Places(settings.maxConnections, places),
          awaitedHeaders,
          logger: this.#logger,
          counts: new ListenerCounts(this.#counts, name, this.#incidents),
          summary: this.#summary,
          connections: this.#connections,
          onSignIn: (event) => this.#logins.ended(event),
          names: protocol === 'imap' ? undefined : this.#names,
          backendsDown: this.#upstreams.troubleOf(listener, live),
          isShortOfMemory: () => this.#memory.isShort,
          isLeaving: () => this.#isLeaving,
          refusesWhenBackendsDown: settings.whenBackendsDown === 'refuse',
        }),
      )
    }
    await Promise.all(listeners.map(({ listener, fd }) => this.#serve(fd, accepts.get(listener)!)))
  }

  /** What the policies decided since this worker started. */
  get policyDecisions(): PolicyDecisions['counts'] {
    return this.#decisions.counts
  }

  receive(message: Exclude<ToWorker, WorkerStart | { readonly type: 'drain' }>): void {
    switch (message.type) {
      case 'tally':
        this.#meters.receive(message.meter, message)
        break
      case 'logins':
        this.#logins.learn(message)
        break
      case 'ticket-keys':
        for (const gate of this.#gates) gate.useTicketKeys(Buffer.from(message.ticketKeys, 'base64'))
        break
      case 'backends':
        this.#upstreams.receive(message.states)
        break
      case 'leave':
        this.#isLeaving = true
        break
      case 'sessions':
        this.#send(answerSessions(message, this.#connections.describe()))
        break
      case 'mailboxes-changed':
        for (const [account, mailbox] of message.mailboxes) this.#store.notify(account, mailbox)
    }
  }

  /** What was counted since it was asked last, and how this process is. */
  takeNews(): WorkerNews {
    const cpu = process.cpuUsage()
    const spentUs = cpu.user - this.#cpu.user + cpu.system - this.#cpu.system
    this.#cpu = cpu
    this.#counts.count('postern_process_cpu_seconds_total', 'workers').value += spentUs / 1e6
    const open = this.#counts.countsOf('postern_connections_open').map(({ labels, held }) => [labels[0], held.value])
    const incidents = this.#incidents.takeNews()
    return {
      type: 'news',
      counts: this.#counts.takeChanges(),
      vitals: {
        ...this.#eventLoop.take(),
        residentBytes: residentBytes(),
        passwordChecksWaiting: this.#authenticator.checksWaiting,
        messagesWaiting: this.#inspector?.waiting ?? 0,
        open: Object.fromEntries(open) as Record<string, number>,
      },
      ...(incidents === undefined ? {} : { incidents }),
    }
  }

  /**
   * Stops accepting, and resolves when the last connection has ended. Sessions of a retiring worker go on in their own
   * time, those of a stopping one are asked to finish; when the time is up all take leave. Asked again, it may only hurry.
   */
  drain(manner: DrainManner, withinMs: number): Promise<void> {
    this.#end ??= this.#drain(this.#connections.size)
    if (manner === 'stop') this.#connections.stop()
    const deadline = setTimeout(
      () => {
        this.#connections.stop()
        setTimeout(() => this.#cut(), limits.farewellMs)
        setTimeout(() => this.#hurry(), 2 * limits.farewellMs)
      },
      Math.max(0, withinMs - limits.farewellMs),
    )
    return this.#end.finally(() => clearTimeout(deadline))
  }

  #cut(): void {
    const cut = this.#connections.cut()
    this.#counts.count('postern_drained_sessions_total', 'cut').value += cut
    this.#counts.count('postern_drained_sessions_total', 'finished').value -= cut
  }

  /** @param open - connections that it begins with: they finish, unless they are cut. */
  async #drain(open: number): Promise<void> {
    this.#counts.count('postern_drained_sessions_total', 'finished').value += open
    const given = new Promise<void>((resolve) => {
      this.#hurry = resolve
    })
    const closed = this.#servers.map((server) => once(server.close(), 'close'))
    await Promise.race([Promise.all(closed), given])
    this.#eventLoop.stop()
    this.#summary.close()
    this.#memory.close()
    await Promise.all([...this.#directories.values()].map(({ lookup }) => lookup.close()))
    this.#upstreams.close()
    this.#journal?.close()
    this.#fleet?.close()
    await this.#inspector?.close()
    await this.#store.close()
  }

  /** What it takes is loaded where it is wanted: most gateways have neither. */
  async #openInspector(): Promise<Inspector | undefined> {
    const { config } = this.#start
    const { hostname, authentication, scanner, dns } = config.live
    if (authentication === undefined && scanner === undefined) return undefined
    const { Inspector: Opened } = await import('../inspect/inspector.ts')
    return new Opened({
      hostname,
      authentication,
      scanner,
      dns,
      spoolFolder: join(config.start.dataDir, 'spool'),
      decisions: this.#decisions,
      onInspected: (record) => this.#log.inspected(record),
      onAuthenticated: (found, ms) => countAuthentication(this.#counts, found, ms),
    })
  }

  async #openJournal(): Promise<FileJournal | undefined> {
    const { live, start } = this.#start.config
    if (live.smtp.multi !== 'fanout') return undefined
    const journal = new FileJournal({ folder: join(start.dataDir, 'delivered'), keepMs: limits.journalKeepMs })
    await journal.start()
    return journal
  }

  async #openFleet(): Promise<Fleet | undefined> {
    const { fleet: config } = this.#start.config.live.policy
    if (config === undefined) return undefined
    this.#fleet = await openFleet({ ...config, onAway: (trouble) => this.#log.fleet(trouble) })
    this.#logins.useFleet(this.#fleet)
    return this.#fleet
  }

  /** A resolver of its own for each list: one that is silent must not make us think that the DNS is. */
  #openDnsList(zone: string, answers: readonly string[]): DnsList {
    return new DnsList({
      zone,
      answers,
      resolver: new DnsResolver(this.#start.config.live.dns, () => {}),
      onTrouble: (trouble, family) => this.#log.dnsList(zone, family, trouble),
      onVerdict: (outcome, source) => {
        this.#counts.count('postern_dns_list_lookups_total', zone, outcome, source).value++
      },
    })
  }

  async #serve(fd: number, accept: (socket: Socket) => Promise<void>): Promise<void> {
    // Half-open: a client that closes its half after its last command still gets the replies.
    const server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: limits.keepAliveMs },
      (socket) => void accept(socket),
    )
    this.#servers.push(server)
    // As an argument of its own: beside `fd` Node takes no heed of an option `backlog`.
    server.listen({ fd }, limits.listenBacklog)
    await once(server, 'listening')
    // EMFILE and its kin: the system could not give us a connection. The server goes on; the next one may work.
    server.on('error', (error) => this.#log.acceptFailed(error))
  }
}
