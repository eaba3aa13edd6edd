import type { Awaitable } from './awaitable.ts'
import type { ConnectionInfo } from './connection.ts'
import type { Decision, Envelope } from './policy.ts'
import type { Principal } from './auth.ts'

/** Where a recipient's mail goes. */
export type Route =
  | { readonly to: 'store'; readonly account: string; readonly mailbox?: string }
  /** A group of backends; or `server`, one address that is reached with the settings of the group. */
  | { readonly to: 'upstream'; readonly upstream: string; readonly server?: string }
  | { readonly to: 'nowhere'; readonly decision: Decision }

/** Whose mail goes somewhere. */
export interface RecipientQuestion {
  readonly forwardPath: string
  readonly envelope: Envelope
  readonly connection: ConnectionInfo
  readonly principal?: Principal | undefined
  /** How the client greeted. */
  readonly helo?: string | undefined
}

/** Chooses where mail goes. */
export interface Router {
  /** Asked once for each RCPT, when all policies passed. */
  forRecipient(at: RecipientQuestion): Awaitable<Route>
  /**
   * The destination refused the recipient for good. A router that remembers answers of others may have sent it to a place
   * that the recipient has left.
   *
   * @returns another route than the one before, which is then tried; nothing, when the refusal stands.
   */
  reconsider?(at: RecipientQuestion, before: Route): Awaitable<Route | undefined>
}
