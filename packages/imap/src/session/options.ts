import type { Authenticator, MailStore, Policy, SessionObserver } from '@postern/core'
import type { ImapLimits } from '../limits.ts'

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
  readonly observer?: SessionObserver
  /** The clock, for the date of a message that APPEND gives none. */
  readonly now: () => Date
  /** Replaces single bounds of `limits`. */
  readonly limits?: Partial<ImapLimits>
  /** The largest message that APPEND takes, told as APPENDLIMIT (RFC 7889). */
  readonly maxAppendBytes: number
}
