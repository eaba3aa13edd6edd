import type { Authenticator, IpAddress, MailStore, Policy, SessionObserver } from '@postern/core'
import type { ImapLimits, ImapProxyLimits } from '../limits.ts'
import type { ImapLogins } from '../proxy/backends.ts'

/** What an IMAP session is given by the program that embeds it. One object may serve every session of a listener. */
export interface ImapSessionOptions {
  /** Named in the greeting and in BYE. */
  readonly hostname: string
  /** The listener can start TLS. It is still not offered on a channel that is secure already, by us or by the balancer. */
  readonly offersStartTls: boolean
  /** Asked in order at `onAuthenticate`, before a password is looked at. The first that does not pass decides. */
  readonly policies: readonly Policy[]
  readonly authenticator: Authenticator
  readonly store: MailStore
  /** The mail of some users, or of all, is at backends, to which their clients are handed on. Absent: all of it is in the store. */
  readonly logins?: ImapLogins
  /** Whether somebody may say by ID for which client it speaks (Dovecot's `x-originating-ip` and its fellows). Nobody, when absent. */
  readonly mayAnnounce?: (by: IpAddress) => boolean
  /** Whether a connection may be signed out of, and serve another user then (RFC 8437). It may, when absent. */
  readonly mayUnauthenticate?: boolean
  readonly observer?: SessionObserver
  /** The clock, for the date of a message that APPEND gives none. */
  readonly now: () => Date
  /** Replaces single bounds of `limits`. */
  readonly limits?: Partial<ImapLimits>
  /** Replaces single bounds of `proxyLimits`. */
  readonly proxyLimits?: Partial<ImapProxyLimits>
  /** The largest message that APPEND takes, told as APPENDLIMIT (RFC 7889). */
  readonly maxAppendBytes: number
}
