/*
 * Keeps the certificate of `tls.acme` from ending: looks when it is due, orders a new one, and tells when it is there. One
 * process of a machine does it, the supervisor. What fails is tried again, ever later, since authorities count failures too.
 */
import { X509Certificate } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { AcmeConfig, BindAddress } from '../config/schema.ts'
import { namesOf } from '../accept/tls.ts'
import { readTextFile, reasonOf } from '../config/read-file.ts'
import { limits } from '../limits.ts'
import { printable } from '../observe/text.ts'
import { openChallengeServer, type Challenges, type ChallengeServer } from './challenges.ts'
import { failureFor, type AcmeFailure } from './failure.ts'
import { accountKeyIn, certificateFile, isFromElsewhere, keepCertificate } from './files.ts'
import { orderCertificate, type OrderOutcome, type OrderParts } from './order.ts'
import { placeOf } from './place.ts'

/** How it goes, for `/status` and `postern doctor`. */
export interface AcmeStatus {
  readonly names: readonly string[]
  readonly state: 'waiting' | 'ordering'
  /** When the certificate ends, milliseconds since 1970; absent until there is one. */
  readonly endsAt?: number
  /** When it is looked after next, milliseconds since 1970. */
  readonly nextAt: number
  /** Of the last order, until one succeeds. */
  readonly failure?: Pick<AcmeFailure, 'reason' | 'cause' | 'mend'> & { readonly at: number; readonly inARow: number }
}

/** Told what came of orders. */
export interface AcmeListeners {
  obtained(names: readonly string[], endsAt: Date): void
  failed(names: readonly string[], failure: AcmeFailure, inARow: number, retryMs: number): void
}

export class CertificateKeeper {
  readonly #challenges: Challenges
  readonly #listeners: AcmeListeners
  readonly #order: (config: AcmeConfig, parts: OrderParts) => Promise<OrderOutcome>
  readonly #ending = new AbortController()
  #config: AcmeConfig | undefined
  #server: ChallengeServer | undefined
  #timer: NodeJS.Timeout | undefined
  #isRunning = false
  #isOrdering = false
  #looks = 0
  #nextAt = 0
  /** By the clock of this process, which nobody sets: when an order may be tried, and when one was tried last. */
  #notBefore = 0
  /** The same for a certificate that is there, and is due because it ends. */
  #notAgainBefore = 0
  #triedAt = Number.NEGATIVE_INFINITY
  #endsAt: number | undefined
  #failure: AcmeStatus['failure']

  constructor(challenges: Challenges, listeners: AcmeListeners, order: typeof orderCertificate = orderCertificate) {
    this.#challenges = challenges
    this.#listeners = listeners
    this.#order = order
  }

  get status(): AcmeStatus | undefined {
    if (this.#config === undefined) return undefined
    return {
      names: this.#config.names,
      state: this.#isOrdering ? 'ordering' : 'waiting',
      nextAt: this.#nextAt,
      ...(this.#endsAt !== undefined && { endsAt: this.#endsAt }),
      ...(this.#failure !== undefined && { failure: this.#failure }),
    }
  }

  /** Where challenges are answered, as it was asked for; absent while no port of their own is open. */
  get bind(): BindAddress | undefined {
    return this.#server?.bind
  }

  /**
   * Opens the port for challenges, while the rights for it are there. Rejects when it cannot be bound.
   *
   * @param isOurs - the supervisor before has it still.
   */
  async open(config: AcmeConfig | undefined, isOurs: boolean): Promise<void> {
    if (isDeepStrictEqual(config?.bind, this.#server?.bind)) return
    this.#closeServer()
    if (config?.bind !== undefined) this.#server = await openChallengeServer(config.bind, this.#challenges, isOurs)
  }

  /** Takes a configuration, and looks at once: an operator who reloads has changed something. */
  use(config: AcmeConfig | undefined): void {
    if (!isDeepStrictEqual(config, this.#config)) {
      this.#config = config
      this.#failure = undefined
      this.#endsAt = undefined
      this.#notBefore = 0
      this.#notAgainBefore = 0
    } else if (this.#failure !== undefined && this.#failure.reason !== 'rate-limited') {
      // What hindered may be mended. However often somebody reloads, an authority is not asked more often than that.
      this.#notBefore = this.#triedAt + limits.minAcmeRetryMs
    }
    if (!isDeepStrictEqual(config?.bind, this.#server?.bind)) this.#closeServer()
    if (this.#isRunning) this.#lookIn(0)
  }

  /** From now on certificates are ordered. */
  run(): void {
    this.#isRunning = true
    this.#lookIn(0)
  }

  /** An order under way is given up. */
  stop(): void {
    this.#isRunning = false
    clearTimeout(this.#timer)
    this.#ending.abort()
    this.#closeServer()
  }

  #closeServer(): void {
    this.#server?.close()
    this.#server = undefined
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer)
    // Not for months: a clock that is set, and a file that somebody replaced, are noticed within the hour.
    const waitMs = Math.min(Math.max(0, ms), limits.acmeLookMs)
    this.#nextAt = Date.now() + ms
    this.#timer = setTimeout(() => void this.#look(), waitMs)
  }

  /** Neither looks nor orders now. */
  get isAtRest(): boolean {
    return this.#looks === 0
  }

  async #look(): Promise<void> {
    this.#looks++
    try {
      await this.#lookNow()
    } finally {
      this.#looks--
    }
  }

  async #lookNow(): Promise<void> {
    const config = this.#config
    if (config === undefined || this.#isOrdering) return
    const due = await dueOf(config)
    this.#endsAt = due.endsAt
    // While the file was read, another look may have begun, or be on its way for another configuration.
    if (this.#isOrdering || config !== this.#config || !this.#isRunning) return
    const notBefore = due.isOfItself ? Math.max(this.#notBefore, this.#notAgainBefore) : this.#notBefore
    const waitMs = Math.max(due.inMs, notBefore - performance.now())
    if (waitMs > 0) return this.#lookIn(waitMs)
    this.#isOrdering = true
    this.#triedAt = performance.now()
    const outcome = await this.#try(config)
    this.#isOrdering = false
    if (!this.#isRunning) return
    if (outcome.ok) await this.#obtained(config)
    else if (config === this.#config) this.#failed(config, outcome.failure)
    // One that came meanwhile has not been looked at.
    if (config !== this.#config) this.#lookIn(0)
  }

  async #obtained(config: AcmeConfig): Promise<void> {
    const { inMs, endsAt = Date.now(), lifeMs = 0 } = await dueOf(config)
    // By a clock that is wrong each certificate is due when it comes.
    const leastMs = Math.min(lifeMs / 3, limits.minAcmeRenewalMs)
    this.#listeners.obtained(config.names, new Date(endsAt))
    if (config !== this.#config) return
    this.#failure = undefined
    this.#endsAt = endsAt
    this.#notBefore = performance.now() + limits.minAcmeRetryMs
    this.#notAgainBefore = performance.now() + leastMs
    this.#lookIn(Math.max(inMs, leastMs))
  }

  #failed(config: AcmeConfig, failure: AcmeFailure): void {
    const inARow = (this.#failure?.inARow ?? 0) + 1
    const { reason, cause, mend, notBeforeMs = 0 } = failure
    const doubledMs = limits.firstAcmeRetryMs * 2 ** (inARow - 1)
    const retryMs = Math.max(Math.min(doubledMs, limits.maxAcmeRetryMs), notBeforeMs)
    this.#failure = { reason, cause: printable(cause), mend, at: Date.now(), inARow }
    this.#notBefore = performance.now() + retryMs
    this.#listeners.failed(config.names, failure, inARow, retryMs)
    this.#lookIn(retryMs)
  }

  async #try(config: AcmeConfig): Promise<OrderOutcome> {
    try {
      // A reload may have wanted a port that could not be had then.
      await this.open(config, false)
      const accountKey = await accountKeyIn(config)
      const { signal } = this.#ending
      const outcome = await this.#order(config, { accountKey, challenges: this.#challenges, signal })
      if (outcome.ok) await keepCertificate(config, outcome.pem)
      return outcome
    } catch (error) {
      // An order rejects never: it was the folder, or the address.
      return { ok: false, failure: failureFor('system', reasonOf(error), placeOf(config)) }
    }
  }
}

interface Due {
  readonly inMs: number
  /** Because it ends, and not because another one is wanted. */
  readonly isOfItself?: true
  readonly endsAt?: number
  readonly lifeMs?: number
}

/** When the next order is due, by the certificate that is there: at once, when there is none or it is for other names. */
async function dueOf(config: AcmeConfig): Promise<Due> {
  const reading = await readTextFile(certificateFile(config))
  if (!reading.ok) return { inMs: 0 }
  try {
    const certificate = new X509Certificate(reading.text)
    const [from, endsAt] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()]
    const names = namesOf(certificate)
    const isForAll = config.names.every((name) => names.includes(name))
    if (!isForAll || isFromElsewhere(config, reading.text)) return { inMs: 0, endsAt }
    // A short-lived one is renewed in the last third of its life, whatever is configured.
    const aheadMs = Math.min(config.renewBeforeMs, (endsAt - from) / 3)
    return { inMs: endsAt - aheadMs - Date.now(), endsAt, lifeMs: endsAt - from, isOfItself: true }
  } catch {
    return { inMs: 0 }
  }
}
