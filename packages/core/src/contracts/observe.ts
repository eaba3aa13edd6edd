import type { ConnectionInfo } from './connection.ts'
import type { Envelope, ReasonCode } from './policy.ts'

/** Libraries tell what happened; who listens writes logs and counts. Every method is optional, none may throw. */
export interface SessionObserver {
  /** One command was answered. `verb` is from the command table, or `UNKNOWN`; arguments are never told. */
  command?(event: { readonly connection: ConnectionInfo; readonly verb: string; readonly reply: string }): void
  /** A sign-in ended; `username` is as the client gave it, unescaped. */
  authenticated?(event: {
    readonly connection: ConnectionInfo
    readonly mechanism: string
    readonly username: string
    readonly outcome: 'granted' | 'denied' | 'unavailable' | 'cancelled' | 'malformed'
    readonly detail?: string
  }): void
  /** A user was signed in at a backend, with which the client speaks from now on. */
  handedOn?(event: {
    readonly connection: ConnectionInfo
    readonly username: string
    /** The group, and which of its backends. */
    readonly upstream: string
    readonly backend: string
  }): void
  /** One SMTP transaction ended with the reply to the end of its data. */
  transaction?(event: {
    readonly connection: ConnectionInfo
    readonly id: string
    readonly envelope: Envelope
    readonly replyCode: number
    readonly bytes: number
    /**
     * What the message held that no line may hold: bare CRs and LFs, which no message keeps, and NULs. Present when there
     * was any; a signature over what was changed no longer holds.
     */
    readonly repairs?: { readonly newlines: number; readonly nuls: number }
    readonly detail?: string
  }): void
  /** The policy is to note bare CRs and LFs, and a message had some: whoever sends it is one that `reject` would refuse. */
  repaired?(event: { readonly connection: ConnectionInfo; readonly id: string; readonly newlines: number }): void
  /**
   * A front end said for whom it speaks. Behind XCLIENT, and behind ID in IMAP, that is the client of `connection`; XFORWARD
   * is for the log alone. `client` has what was announced, decoded and otherwise as it came.
   */
  announced?(event: {
    readonly connection: ConnectionInfo
    readonly verb: 'XCLIENT' | 'XFORWARD' | 'ID'
    readonly client: Readonly<Record<string, string>>
  }): void
  /** A command was refused by a policy, a limit or a rule: `detail` names the cause and the mend. */
  refused?(event: {
    readonly connection: ConnectionInfo
    readonly verb: string
    readonly reason:
      | ReasonCode
      | 'syntax'
      | 'sequence'
      | 'limit'
      | 'injection'
      | 'bare-line-end'
      | 'early-talker'
      | 'proxy-untrusted'
      | 'proxy-again'
    readonly detail: string
  }): void
}
