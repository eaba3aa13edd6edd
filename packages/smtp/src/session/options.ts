import type { Authenticator, ConnectionInfo, IpAddress, Policy, Router, SessionObserver } from '@postern/core'
import type { SmtpLimits } from '../limits.ts'
import type { DeliverableRoute, Destination } from './destination.ts'
import type { DestinationExtensions } from './destination-extensions.ts'
import type { DeliveredJournal } from './remembered-fan-out.ts'

/**
 * `mx`: mail from other hosts to our recipients, in the clear or not. `submission`: mail from our users, who must sign
 * in first (RFC 6409 §4.3). `lmtp`: RFC 2033, mail for our recipients from a host that keeps the queue, with a reply for each
 * of them.
 */
export type SmtpMode = 'mx' | 'submission' | 'lmtp'

/**
 * What becomes of a CR or LF that stands alone inside a message. Whatever the policy, it never ends the message, and
 * never leaves as it came.
 *
 * - `normalize`: a line ended by LF alone, or by several CRs and LF, is ended by CRLF; any other CR becomes a space.
 *   Command lines may end in LF alone, as people type them.
 * - `note`: the same for messages, and the observer is told of each (`repaired`): who would be refused by `reject`?
 *   Command lines must end in CRLF.
 * - `reject`: 550 5.6.11 at the end of the data, and the connection is closed. Command lines must end in CRLF.
 */
export type BareNewlinePolicy = 'normalize' | 'reject' | 'note'

/** What becomes of a message with NULs: `reject` is 554 5.6.0; `strip` leaves them out. Binary messages may have them. */
export type NulPolicy = 'reject' | 'strip'

/** A greeting that comes late, on purpose: a program that does not wait for it is none that delivers mail. */
export interface GreetingDelay {
  /** Milliseconds from the beginning of the session. Who speaks earlier is answered 421. */
  readonly delayMs: number
  /**
   * The first line of the greeting is sent at once and says that another follows (RFC 5321 §4.2). Programs that look for
   * any 220 give themselves away by it.
   */
  readonly isTeasing?: boolean
}

/** What is known of a connection's first bytes before its session begins. */
export interface SessionOpening {
  /** It is greeted at once whatever the delay: a health check waits for nobody. */
  readonly isGreetedAtOnce?: boolean
  /**
   * Octets that came in one piece with the PROXY header. Who packed them together was the balancer, so they are not
   * held against the client; they are answered behind the greeting.
   */
  readonly bytesWithHeader?: number
}

/** What an SMTP session is given by the program that embeds it. One object may serve every session of a listener. */
export interface SmtpSessionOptions {
  /** Named in the greeting, the replies and `Received`. */
  readonly hostname: string
  readonly mode: SmtpMode
  /** The listener can start TLS. It is still not offered on a channel that is secure already, by us or by the balancer. */
  readonly offersStartTls: boolean
  /**
   * Nothing but EHLO, STARTTLS, NOOP and QUIT is taken in the clear (RFC 3207 §4): 530 5.7.0. Not for a server that is
   * named in MX records, which must take mail from anybody.
   */
  readonly requiresTls?: boolean
  /** AUTH is offered and taken only on a secure channel. On by default; off only for tests and closed networks. */
  readonly authRequiresTls?: boolean
  /** Without one, AUTH is not offered. */
  readonly authenticator?: Authenticator
  /** Asked in order at each moment. The first that does not pass decides. */
  readonly policies: readonly Policy[]
  readonly router: Router
  /** Asked for the route of a transaction's first recipient; the others must go the same way, unless there is a `journal`. */
  readonly destinationFor: (route: DeliverableRoute) => Destination
  /**
   * With it the recipients of one message may go to several places also where its client takes one verdict for all. When
   * some have it and others not, the client is told to send it again, and the journal keeps it from those who have it. Without
   * it, and in LMTP and with PRDR, nothing is remembered.
   */
  readonly journal?: DeliveredJournal
  /**
   * What every destination can do that mail of this connection may reach: EHLO offers no more. Asked at each greeting,
   * and held until the next one, so it must answer at once. Without it: 8BITMIME and SMTPUTF8.
   */
  readonly destinationExtensions?: (connection: ConnectionInfo) => DestinationExtensions
  /** Whether a client may announce another one. Without it neither XCLIENT nor XFORWARD is offered. */
  readonly mayAnnounce?: (verb: 'XCLIENT' | 'XFORWARD', by: IpAddress) => boolean
  readonly observer?: SessionObserver
  /** The clock, for `Received`. */
  readonly now: () => Date
  /** `normalize` by default. */
  readonly bareNewline?: BareNewlinePolicy
  /** `reject` by default. */
  readonly nul?: NulPolicy
  /** Without it the greeting is sent at once, and what came earlier is answered behind it. */
  readonly greetingDelay?: GreetingDelay
  /** Replaces single bounds of `limits`. */
  readonly limits?: Partial<SmtpLimits>
}
