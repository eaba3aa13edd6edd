import type { Awaitable } from './awaitable.ts'
import type { ConnectionInfo, ListenerInfo } from './connection.ts'
import type { ClientIdentity } from './identity.ts'
import type { Principal } from './auth.ts'

/** Closed list: SMTP and IMAP turn each into their own reply; logs and metrics count by it. */
export type ReasonCode =
  | 'listed'
  | 'rate'
  | 'concurrency'
  | 'no-relay'
  | 'unknown-recipient'
  | 'auth-required'
  | 'tls-required'
  | 'sender-mismatch'
  | 'size'
  | 'route'
  | 'unavailable'
  | 'quota'
  | 'health-check'
  | 'dns-list'
  | 'hello'
  | 'banned'
  | 'sender-authentication'
  | 'content'

/**
 * What a policy says. `defer` is a temporary refusal (SMTP 4yz), `refuse` a permanent one (5yz), `drop` closes without
 * a word.
 */
export type Decision =
  | { readonly verdict: 'pass' }
  | {
      readonly verdict: 'defer' | 'refuse' | 'drop'
      readonly reason: ReasonCode
      /** For the operator's log: what matched, and how to mend it. Never sent to the client. */
      readonly detail?: string
      /** What the operator configured to be said instead of the default words. */
      readonly reply?: {
        readonly smtpCode?: number
        /** RFC 3463, as in `5.7.1`, of the class of the code. */
        readonly enhanced?: string
        /** Absent: the default words stay. */
        readonly text?: string
      }
    }

/** Why a connection is refused before it has a session, beside the decision of a policy: SMTP and IMAP have words for each. */
export type AcceptRefusal =
  | 'proxy-timeout'
  | 'proxy-missing'
  | 'proxy-malformed'
  | 'proxy-untrusted'
  | 'not-trusted'
  | 'overloaded'
  /** Nothing behind us takes mail or logins now. */
  | 'backends-down'
  | 'stopping'
  | 'internal-error'

/** When a sender wants to be told of a recipient (RFC 3461 section 4.1). `NEVER` stands alone. */
export type DsnCondition = 'NEVER' | 'SUCCESS' | 'FAILURE' | 'DELAY'

/** What MAIL asks of delivery reports (RFC 3461 sections 4.3 and 4.4). */
export interface DsnRequest {
  readonly returns?: 'FULL' | 'HDRS'
  /** ENVID as it came: xtext. */
  readonly envelopeId?: string
}

/** What RCPT asks of delivery reports (RFC 3461 sections 4.1 and 4.2). */
export interface RecipientDsnRequest {
  readonly notify?: readonly DsnCondition[]
  /** ORCPT as it came: an address type, a semicolon, and xtext or what RFC 6533 allows. */
  readonly originalRecipient?: string
}

/** An SMTP envelope so far (RFC 5321 section 2.3.1). Below smtp, since policies and routers see it. */
export interface Envelope {
  /** Empty for the null reverse-path `<>`. */
  readonly reversePath: string
  readonly forwardPaths: readonly string[]
  readonly isSmtpUtf8: boolean
  readonly body: '7BIT' | '8BITMIME' | 'BINARYMIME'
  /** SIZE= of MAIL (RFC 1870), when the client declared it. */
  readonly declaredBytes?: number
  /** Absent when the client asked for nothing of the kind. */
  readonly dsn?: DsnRequest
  /** REQUIRETLS of MAIL (RFC 8689): the message goes on under verified TLS, or not at all. */
  readonly requiresTls?: true
}

/** A rule that plugs in at named moments of a connection. A moment that it lacks is passed. */
export interface Policy {
  readonly name: string
  /** Before the greeting, and before implicit TLS. */
  onConnect?(at: { readonly identity: ClientIdentity; readonly listener: ListenerInfo }): Awaitable<Decision>
  /** EHLO, HELO or LHLO was said. */
  onGreeting?(at: { readonly connection: ConnectionInfo; readonly domain: string }): Awaitable<Decision>
  /**
   * A command came, and has not been looked at; the lines and octets that belong to it are no commands. What is refused
   * here ends the session. Asked of every command, so it should answer at once.
   *
   * @param at.verb - from the command table, or `UNKNOWN`.
   */
  onCommand?(at: { readonly connection: ConnectionInfo; readonly verb: string }): Awaitable<Decision>
  /** Before a password is checked. In a SCRAM exchange before each of its steps: it must count nothing. */
  onAuthenticate?(at: { readonly connection: ConnectionInfo; readonly username: string }): Awaitable<Decision>
  /** IMAP: a user signed in whose mail is in the store here, and their session is about to begin. */
  onSession?(at: { readonly connection: ConnectionInfo; readonly principal: Principal }): Awaitable<Decision>
  /**
   * The session that passed `onSession` has ended, or its user signed out: give back what was counted. Called exactly
   * once.
   */
  onSessionEnd?(at: { readonly connection: ConnectionInfo; readonly principal: Principal }): void
  /** MAIL. */
  onReversePath?(at: {
    readonly connection: ConnectionInfo
    readonly principal?: Principal | undefined
    readonly envelope: Envelope
  }): Awaitable<Decision>
  /** RCPT, before its route is chosen. */
  onForwardPath?(at: {
    readonly connection: ConnectionInfo
    readonly principal?: Principal | undefined
    readonly envelope: Envelope
    readonly forwardPath: string
  }): Awaitable<Decision>
  /** The connection that passed `onConnect` has ended: give back what was counted. Called exactly once. */
  onClose?(at: { readonly identity: ClientIdentity; readonly listener: ListenerInfo }): void
}
