import type { ConnectionOptions } from 'node:tls'
import type { SaslClientCredentials, SaslMechanism, Tlv } from '@postern/core'
import type { UpstreamErrorCode } from '../errors.ts'
import type { SmtpClientLimits } from '../limits.ts'
import type { IdleConnections } from './idle-connections.ts'
import type { TransactionStart } from '../session/destination.ts'

/** Where an SMTP or LMTP server listens. */
export type Backend =
  | { readonly host: string; readonly port: number }
  /** The path of a UNIX socket. */
  | { readonly path: string }

/**
 * - `off`: never.
 * - `optional`: STARTTLS when it is offered, whoever answers; without it in the clear. Keeps out who only listens.
 * - `starttls`, `implicit`: TLS with a certificate that proves the backend's name, or no mail at all.
 */
export type UpstreamTls = 'off' | 'optional' | 'starttls' | 'implicit'

/**
 * How a backend learns who the client is. `proxy-v1` and `proxy-v2` must be agreed upon: they cannot be asked for.
 * XFORWARD serves the backend's log only.
 */
export type Announcement = 'none' | 'proxy-v1' | 'proxy-v2' | 'xclient' | 'xforward'

/** How a relay finds its backends, speaks to them, and announces the client. */
export interface RelayOptions {
  readonly protocol: 'smtp' | 'lmtp'
  /** Said in EHLO or LHLO. */
  readonly hostname: string
  /**
   * The backends that may take the message, in the order in which they are tried. The next one is asked for when the one
   * before has failed, so what is known by then may decide.
   *
   * @param forwardPath - the first recipient, who is not part of the envelope yet; empty where there is none.
   */
  readonly backends: (transaction: TransactionStart, forwardPath: string) => Iterable<Backend>
  /** Why `backends` gave none at all, for the operator. */
  readonly whyNone?: () => string
  readonly tls: UpstreamTls
  /** What `tls.connect` takes: `ca`, `servername`, a client certificate. The name of the backend is checked by default. */
  readonly tlsOptions?: ConnectionOptions
  /**
   * SHA-256 fingerprints of certificates, in lower-case hexadecimal: the backend's must be one of them, and then neither
   * who signed it nor its name matters. Holds for every mode of `tls` once TLS is spoken.
   */
  readonly pinnedFingerprints?: readonly string[]
  readonly announcement: Announcement
  /** Relay also where XCLIENT or XFORWARD is not offered: the backend then takes us for the client. Off by default. */
  readonly isAnnouncementOptional?: boolean
  /** Sent with `proxy-v2`; those that do not fit within `maxProxyHeaderBytes` are left out whole. */
  readonly proxyTlvs?: (transaction: TransactionStart) => readonly Tlv[]
  /** A CRC32C behind the TLVs of `proxy-v2`. */
  readonly hasProxyChecksum?: boolean
  /** Bound for the PROXY header. Exim reads 232 bytes, Postfix 536, which is the default. */
  readonly maxProxyHeaderBytes?: number
  /**
   * We sign in with these, by the strongest mechanism that the backend offers and they suit: for every transaction the same,
   * or what a transaction's user signed in with.
   */
  readonly credentials?: UpstreamCredentials | ((transaction: TransactionStart) => UpstreamCredentials | undefined)
  /** The mechanisms that may be used; all, when absent. A backend may offer what it cannot do for every user. */
  readonly mechanisms?: readonly SaslMechanism[]
  /** Credentials go out only under TLS. On by default; off only for tests and closed networks. */
  readonly authRequiresTls?: boolean
  /** BDAT instead of DATA where CHUNKING is offered (RFC 3030). BODY=BINARYMIME needs it in any case. */
  readonly prefersChunking?: boolean
  /**
   * LMTP gives a verdict for each recipient, and a client of SMTP takes only one for all, unless it asks for PRDR.
   * `together`, the default for clients that take them all: they get them (`commitEach`). `apart`, the default for the
   * others: the second recipient is answered 452 and sent separately, so every verdict reaches the sender. With
   * `together` mixed verdicts become 451 for these, and who had accepted the message gets it again.
   */
  readonly lmtpRecipients?: 'apart' | 'together'
  /**
   * Keeps connections for the next message, where they carry nothing of a client (`mayKeep`); without it each transaction has
   * a connection of its own.
   */
  readonly idle?: IdleConnections
  readonly observer?: RelayObserver
  /** Replaces single bounds of `clientLimits`. */
  readonly limits?: Partial<SmtpClientLimits>
}

/** What we sign in with at a backend: a password, or a token of OAuth 2.0, or either. */
export type UpstreamCredentials = SaslClientCredentials

/** Told what happened to backends, for logs, counters and health. No method may throw. */
export interface RelayObserver {
  /** A connection is opened, or one that was kept is used again: counts one until `gone`. */
  connecting?(event: { readonly transactionId: string; readonly backend: string }): void
  /** The opening succeeded: the backend answers, and offers this. */
  opened?(event: {
    readonly transactionId: string
    readonly backend: string
    readonly capabilities: ReadonlyMap<string, readonly string[]>
  }): void
  /** On a connection that was kept the backend takes another transaction. */
  reused?(event: { readonly transactionId: string; readonly backend: string }): void
  /** A connection is over, for whatever reason, or kept for another. Called once for each `connecting`. */
  gone?(event: { readonly transactionId: string; readonly backend: string }): void
  /** A backend failed; the next one is tried, if there is one and nothing of the message was accepted or sent. */
  failed?(event: {
    readonly transactionId: string
    readonly backend: string
    readonly code: UpstreamErrorCode
    readonly detail: string
    /** `opening`: before MAIL was said, so nothing of the message has a part in it. */
    readonly step: 'opening' | 'transaction'
  }): void
  /** A backend gave its verdict to the end of the data. */
  delivered?(event: {
    readonly transactionId: string
    readonly backend: string
    readonly replies: readonly string[]
  }): void
}

/** For logs. */
export function nameOf(backend: Backend): string {
  if ('path' in backend) return backend.path
  return backend.host.includes(':') ? `[${backend.host}]:${backend.port}` : `${backend.host}:${backend.port}`
}
