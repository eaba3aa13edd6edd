import {
  offeredMechanisms,
  type Awaitable,
  type ConnectionInfo,
  type Principal,
  type SaslMechanism,
} from '@postern/core'
import { limits, type SmtpLimits } from '../limits.ts'
import type { Admission } from './admission.ts'
import type { Answer } from './answer.ts'
import { Budget } from './budget.ts'
import type { IncomingMessage } from './message.ts'
import type { Hello } from '../wire/trace.ts'
import type { SmtpSessionOptions } from './options.ts'
import { usualExtensions, type DestinationExtension, type DestinationExtensions } from './destination-extensions.ts'
import type { ParameterExtension } from '../wire/params.ts'
import type { Transaction } from './transaction.ts'

/** Where a session is, for the order of commands (RFC 5321 §4.1.4). */
export type State =
  /** Neither EHLO nor HELO was said. */
  | 'greeted'
  /** No transaction is open. */
  | 'ready'
  /** MAIL was accepted, no RCPT yet. */
  | 'mail'
  | 'rcpt'
  /** A chunk of a message has come, and it is not the last (RFC 3030 §2). */
  | 'chunks'

const merged = new WeakMap<Partial<SmtpLimits>, SmtpLimits>()

/** The bounds of a listener: one object for all its sessions. */
function limitsOf({ limits: own }: SmtpSessionOptions): SmtpLimits {
  if (own === undefined) return limits
  let bounds = merged.get(own)
  if (bounds === undefined) merged.set(own, (bounds = { ...limits, ...own }))
  return bounds
}

/** A SASL exchange that waits for the client's next answer. */
export interface SaslExchange {
  answer(line: string): Awaitable<Answer>
}

/** What was said so far, and what is known of who says it: all that commands read and change. */
export class Dialogue {
  readonly options: SmtpSessionOptions
  readonly limits: SmtpLimits
  readonly budget: Budget
  connection: ConnectionInfo
  hello: Hello | undefined
  /** As destinations said at the last greeting: what was offered then is honoured. */
  extensions: DestinationExtensions = usualExtensions
  principal: Principal | undefined
  /** What policies counted for a client that a front end announced. */
  admission: Admission | undefined
  transaction: Transaction | undefined
  /** The message whose chunks are coming. */
  message: IncomingMessage | undefined
  exchange: SaslExchange | undefined
  #transactions = 0

  constructor(connection: ConnectionInfo, options: SmtpSessionOptions) {
    this.connection = connection
    this.options = options
    this.limits = limitsOf(options)
    this.budget = new Budget(this.limits)
  }

  /** RFC 2033: each recipient has a reply to the end of data. */
  get isLmtp(): boolean {
    return this.options.mode === 'lmtp'
  }

  get state(): State {
    if (this.hello === undefined) return 'greeted'
    if (this.transaction === undefined) return 'ready'
    if (this.message !== undefined) return 'chunks'
    return this.transaction.envelope.forwardPaths.length === 0 ? 'mail' : 'rcpt'
  }

  /** TLS protects the client's bytes: ours, or the balancer's by the word of a trusted header. */
  get isSecure(): boolean {
    return this.connection.security.kind === 'tls'
  }

  get offersStartTls(): boolean {
    return this.options.offersStartTls && !this.isSecure && !this.isBalancerItself
  }

  /** Signing in is possible on this channel, by whatever mechanism. */
  get takesAuthentication(): boolean {
    return !this.isBalancerItself && (this.isSecure || this.options.authRequiresTls === false)
  }

  /** The SASL mechanisms to offer, the strongest first. */
  get offeredMechanisms(): readonly SaslMechanism[] {
    const { authenticator } = this.options
    if (authenticator === undefined || !this.takesAuthentication) return []
    return offeredMechanisms({ authenticator, connection: this.connection })
  }

  get offersXclient(): boolean {
    return this.#mayAnnounce('XCLIENT')
  }

  get offersXforward(): boolean {
    return this.#mayAnnounce('XFORWARD')
  }

  #mayAnnounce(verb: 'XCLIENT' | 'XFORWARD'): boolean {
    if (this.options.mayAnnounce === undefined || this.isBalancerItself) return false
    return this.options.mayAnnounce(verb, this.connection.identity.client.address)
  }

  /** What destinations do not say they can do is not offered. */
  offers(extension: DestinationExtension): boolean {
    if (!this.extensions.extensions.has(extension)) return false
    // RFC 8689 §4.1: the promise begins with the client's own TLS, and a balancer's network is not a part of it.
    if (extension === 'REQUIRETLS') return this.#isTlsOurs
    return extension !== 'PRDR' || !this.isLmtp
  }

  /** RFC 1870: ours, or the least of the destinations when that is less. */
  get maxMessageBytes(): number {
    return Math.min(this.limits.maxMessageBytes, this.extensions.maxMessageBytes ?? Infinity)
  }

  /** Whether MAIL and RCPT may be given the parameters of the extension. */
  offersParametersOf(extension: ParameterExtension): boolean {
    return extension === 'AUTH' ? this.offeredMechanisms.length > 0 : this.offers(extension)
  }

  get #isTlsOurs(): boolean {
    const { security } = this.connection
    // Behind XCLIENT it is with the front end, and how its client came there nobody says.
    return security.kind === 'tls' && security.endedBy === 'gateway' && this.admission === undefined
  }

  /** A health check: nobody's client, so nobody's mail. */
  get isBalancerItself(): boolean {
    return this.connection.identity.origin === 'proxy-itself'
  }

  /** Unique, and made of what `Received` allows in an id without quotes (RFC 5321 §4.4). */
  nextTransactionId(): string {
    return `${this.connection.id}-${++this.#transactions}`
  }

  /** What is offered from now on. */
  learnExtensions(): void {
    this.extensions = this.options.destinationExtensions?.(this.connection) ?? usualExtensions
  }

  /** The transaction is over, however it ended; whatever of it is not delivered is given up. */
  endTransaction(): Awaitable<void> {
    const transaction = this.transaction
    this.transaction = undefined
    this.message = undefined
    return transaction?.abort()
  }

  /** Nothing counts that was said before: behind a handshake (RFC 3207 §4.2), and for another client. */
  startOver(connection: ConnectionInfo): void {
    this.connection = connection
    this.hello = undefined
    this.extensions = usualExtensions
    this.principal = undefined
    this.exchange = undefined
  }
}
