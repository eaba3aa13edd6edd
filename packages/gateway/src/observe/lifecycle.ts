import type { ConfigProblem, ConfigWarning, LogLevel } from '../config/schema.ts'
import type { BoundListener } from '../supervisor/supervisor.ts'
import type { WorkerEnd, SupervisedWorker } from '../supervisor/worker-process.ts'
import type { FailureOf } from '../policy/bans.ts'
import type { Logger } from './logger.ts'
import { UpstreamLog } from './upstream-log.ts'
import type { AcmeFailure } from '../acme/failure.ts'
import { printable, printableStack } from './text.ts'

/** What an operator can do about the errors of the system that stop a start most often; `reason` names the address. */
const startMends: ReadonlyMap<string, string> = new Map([
  ['EADDRINUSE', 'another program has this address: stop it, or change `bind` (of a listener or of [admin])'],
  ['EADDRNOTAVAIL', 'this machine has no such address: change `bind` (of a listener or of [admin])'],
  ['EACCES', 'the rights are missing: a port below 1024 takes CAP_NET_BIND_SERVICE, a data-dir its owner'],
  ['ENOTDIR', 'a part of the path is no folder: change server.data-dir'],
  ['ENOSPC', 'the disk of server.data-dir is full'],
])

/** What the supervisor tells of the gateway and its processes. Records of connections are in `connection-log.ts`. */
export class Lifecycle {
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** What the looks at backends found. */
  get backends(): UpstreamLog {
    return new UpstreamLog(this.#logger)
  }

  set level(level: LogLevel) {
    this.#logger.level = level
  }

  ready(listeners: readonly BoundListener[], workers: number): void {
    this.#logger.info({ event: 'gateway.ready', workers, listeners }, 'every listener accepts')
  }

  failed(error: Error): void {
    const mend = startMends.get((error as NodeJS.ErrnoException).code ?? '')
    const message = mend === undefined ? 'the gateway cannot run' : `the gateway cannot run: ${mend}`
    this.#logger.fatal({ event: 'gateway.failed', reason: printable(error.message) }, message)
  }

  fault(error: unknown): void {
    this.#logger.error(
      { event: 'internal-error', stack: printableStack(error) },
      'the supervisor goes on; what it was about came to nothing',
    )
  }

  startFailed(failures: number): void {
    this.#logger.fatal({ event: 'gateway.failed', failures }, 'workers died before they accepted: giving up')
  }

  configWarning({ file, line, path, message }: ConfigWarning): void {
    this.#logger.warn({ event: 'config.warning', file, line, path }, printable(message))
  }

  reloadRefused(problems: readonly ConfigProblem[]): void {
    this.#logger.error(
      { event: 'gateway.reload-refused', problems },
      'the new configuration has problems: nothing changed',
    )
  }

  /** Of many failed sign-ins this is the one line that the supervisor writes. */
  banned(of: FailureOf, who: string, forMs: number): void {
    const fields = { of, who: printable(who), seconds: Math.round(forMs / 1000), event: 'policy.banned' }
    const mend =
      of === 'client'
        ? 'too many failed sign-ins: many users behind one address belong in policy.exempt-networks'
        : 'too many failed sign-ins as this user: only clients from where the user signed in before may try'
    this.#logger.warn(fields, mend)
  }

  /** @param reason - of the system, when an address cannot be bound; absent when a worker did not start. */
  handOverFailed(reason?: string): void {
    const fields = { event: 'gateway.reload-failed', ...(reason === undefined ? {} : { reason: printable(reason) }) }
    const what = reason === undefined ? 'a successor did not start' : 'an address could not be taken'
    this.#logger.error(fields, `${what}: back to the configuration before`)
  }

  /** @param paths - what changed of listeners, workers and the like. */
  reloaded(paths: readonly string[]): void {
    this.#logger.info({ event: 'gateway.reloaded', paths }, 'every worker runs with the new configuration')
  }

  certificatesChanged(): void {
    this.#logger.info({ event: 'certificates.changed' }, 'the files of certificates were replaced: a reload follows')
  }

  certificateObtained(names: readonly string[], endsAt: Date): void {
    const fields = { event: 'acme.obtained', names, until: endsAt.toISOString() }
    this.#logger.info(fields, 'a certificate was ordered and has come: a reload follows')
  }

  /** @param inARow - failures since the last one that came. */
  certificateNotObtained(names: readonly string[], failure: AcmeFailure, inARow: number, retryMs: number): void {
    const { reason, cause, mend } = failure
    const retrySeconds = Math.round(retryMs / 1000)
    const fields = { event: 'acme.failed', names, reason, cause: printable(cause), inARow, retrySeconds }
    this.#logger.error(fields, mend)
  }

  upgrading(): void {
    this.#logger.info({ event: 'gateway.upgrading' }, 'a new supervisor starts on the same sockets')
  }

  upgradeFailed(reason: string): void {
    this.#logger.error({ event: 'gateway.upgrade-failed', reason: printable(reason) }, 'this supervisor goes on')
  }

  /** The successor has another process id, and whoever watches this one must know. */
  replaced(successorPid: number): void {
    this.#logger.info({ event: 'gateway.replaced', successorPid }, 'sessions finish here; new ones begin there')
  }

  leaving(noticeMs: number): void {
    this.#logger.info(
      { event: 'gateway.leaving', noticeMs },
      'health checks fail from now on, so that balancers turn to others; clients are served meanwhile',
    )
  }

  stopped(finished: number, cut: number, inDoubt: number): void {
    this.#logger.info(
      { event: 'gateway.stopped', finished, cut, inDoubt },
      'what was not acknowledged comes again; what is in doubt may come twice',
    )
  }

  stopping(workers: number, withinMs: number): void {
    this.#logger.info({ event: 'gateway.stopping', workers, withinMs }, 'no new connections; sessions may finish')
  }

  workerReady(worker: SupervisedWorker): void {
    this.#logger.info({ event: 'worker.ready', ...named(worker), ms: Math.round(performance.now() - worker.startedAt) })
  }

  workerCrashed(worker: SupervisedWorker, how: WorkerEnd, failures: number, restartMs: number): void {
    this.#logger.error({ event: 'worker.crashed', ...named(worker), ...how, failures, restartMs }, 'a worker died')
  }

  workerHung(worker: SupervisedWorker): void {
    this.#logger.error({ event: 'worker.hung', ...named(worker) }, 'a worker said nothing for too long and is killed')
  }

  workerDrained(worker: SupervisedWorker, how: WorkerEnd): void {
    this.#logger.info({ event: 'worker.drained', ...named(worker), ...how })
  }
}

function named({ slot, serial, pid }: SupervisedWorker): {
  readonly slot: number
  readonly worker: number
  readonly workerPid: number
} {
  return { slot, worker: serial, workerPid: pid }
}
