import { randomBytes } from 'node:crypto'
import type { Config, UpstreamConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { Lifecycle } from '../observe/lifecycle.ts'
import { MachineLogins } from '../policy/machine-logins.ts'
import { MachineMeters } from '../policy/machine-meters.ts'
import type { BackendState } from '../upstream/backend-group.ts'
import { HealthChecks, type HealthCheckOptions } from '../upstream/health-checks.ts'
import type { FromReadyWorker, SessionsAnswer, ToWorker, WorkerNews, WorkerStart } from './messages.ts'
import type { SupervisedWorker } from './worker-process.ts'

/** What a worker says that others or all must know. */
export type ForTheMachine = Exclude<FromReadyWorker, WorkerNews | SessionsAnswer>

export interface MachineOptions {
  readonly config: Config
  /** Of a supervisor that this one takes over from. */
  readonly ticketKeys: string | undefined
  readonly workers: () => readonly SupervisedWorker[]
  readonly look: HealthCheckOptions['look']
  readonly log: Pick<Lifecycle, 'banned' | 'backends'>
}

/**
 * What holds for the whole machine, whichever worker a client meets: how many connections and failed sign-ins it has, which
 * backends are there, and by which keys TLS sessions are resumed.
 */
export class Machine {
  readonly #workers: () => readonly SupervisedWorker[]
  readonly #meters: MachineMeters
  readonly #logins: MachineLogins
  readonly #backends: HealthChecks
  #ticketKeys: string
  #timers: readonly NodeJS.Timeout[] = []

  constructor({ config, ticketKeys, workers, look, log }: MachineOptions) {
    const { policy } = config.live
    this.#workers = workers
    this.#meters = new MachineMeters(policy, config.start.workers, (serial, message) =>
      workers()
        .find((worker) => worker.serial === serial)
        ?.send(message),
    )
    this.#logins = new MachineLogins(
      policy,
      (message) => this.tell(message),
      (of, key, forMs) => log.banned(of, key, forMs),
    )
    this.#backends = new HealthChecks({
      look,
      onChange: (state) => this.tell({ type: 'backends', states: [state] }),
      log: log.backends,
    })
    this.#ticketKeys = ticketKeys ?? newTicketKeys()
  }

  /** Looks at backends, and tidies and renews what is shared, until it is closed. */
  start(upstreams: readonly UpstreamConfig[]): void {
    this.#backends.use(upstreams)
    this.#timers = [
      setInterval(() => this.#meters.tidy(), limits.tallyTidyMs),
      setInterval(() => this.#rotateTicketKeys(), limits.ticketKeyMs),
    ]
  }

  /** What a worker that starts must know. */
  get forStart(): Pick<WorkerStart, 'ticketKeys' | 'backends' | 'logins'> {
    return { ticketKeys: this.#ticketKeys, backends: this.#backends.states, logins: this.#logins.news }
  }

  get ticketKeys(): string {
    return this.#ticketKeys
  }

  get backends(): readonly BackendState[] {
    return this.#backends.states
  }

  /** The worker accepts connections from now on. */
  join(worker: SupervisedWorker): void {
    this.#meters.join(worker.serial)
  }

  /** The worker is gone, and its connections with it. */
  leave(worker: SupervisedWorker): void {
    this.#meters.leave(worker.serial)
  }

  receive(worker: SupervisedWorker, message: ForTheMachine): void {
    switch (message.type) {
      case 'tally':
        return this.#meters.receive(worker.serial, message.meter, message)
      case 'login-failed':
        return this.#logins.failed(message.client, message.user)
      case 'login-ban':
        return this.#logins.ban(message.of, message.key, message.forMs)
      case 'login-known':
        return this.#logins.known(message.pair)
      case 'backend-failed':
        return this.#backends.suspect(message.upstream, message.backend)
      case 'mailboxes-changed':
        for (const other of this.#workers()) if (other !== worker) other.send(message)
    }
  }

  tell(message: ToWorker): void {
    for (const worker of this.#workers()) worker.send(message)
  }

  use({ start, live }: Config): void {
    this.#meters.rebound(live.policy, start.workers)
    this.#logins.rebound(live.policy)
    this.#backends.use(live.upstreams)
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#backends.stop()
  }

  #rotateTicketKeys(): void {
    this.#ticketKeys = newTicketKeys()
    this.tell({ type: 'ticket-keys', ticketKeys: this.#ticketKeys })
  }
}

/** 48 bytes, as `tls.createSecureContext` wants them: name, HMAC key and AES key of a session ticket. */
function newTicketKeys(): string {
  return randomBytes(48).toString('base64')
}
