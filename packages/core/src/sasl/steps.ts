import type { Authenticator, Principal } from '../contracts/auth.ts'
import type { ConnectionInfo } from '../contracts/connection.ts'
import type { Decision, Policy } from '../contracts/policy.ts'

/** Whom a client signs in to, and who has a say in it. */
export interface SaslContext {
  readonly connection: ConnectionInfo
  readonly authenticator: Authenticator
  /** Asked in order at `onAuthenticate`, as soon as the name is known and before anything is checked. */
  readonly policies: readonly Policy[]
}

/**
 * How an attempt to sign in ended. `username` is as the client gave it, unescaped, and empty where none was understood.
 *
 * - `denied`: the same for an unknown user and a wrong password. `actsAsOther`: the client asked for another identity than
 *   its own, which may be said, since it tells nothing of the password.
 * - `refused`: a policy objected, and nothing was checked.
 * - `unavailable`: nobody could be asked; not the client's fault.
 * - `malformed`: `base64` when not even that could be read.
 */
export type SaslEnd =
  | { readonly outcome: 'granted'; readonly username: string; readonly principal: Principal }
  | { readonly outcome: 'denied'; readonly username: string; readonly actsAsOther: boolean }
  | { readonly outcome: 'unavailable'; readonly username: string; readonly cause: unknown }
  | {
      readonly outcome: 'refused'
      readonly username: string
      readonly decision: Exclude<Decision, { readonly verdict: 'pass' }>
      /** The policy that objected. */
      readonly by: string
    }
  | { readonly outcome: 'cancelled'; readonly username: '' }
  | { readonly outcome: 'malformed'; readonly username: ''; readonly fault: 'base64' | 'message' }

/** A mechanism waits for the client's next message. */
export interface Challenge {
  /** Before base64. */
  readonly challenge: string
  take(response: Buffer): MechanismStep | Promise<MechanismStep>
}

/**
 * The end is certain, and the client is told why before it comes (RFC 7628 section 3.2.3). It stays the end whatever the
 * client says to that: who cancels then has failed all the same.
 */
export interface LastWord {
  /** Before base64. */
  readonly challenge: string
  readonly end: SaslEnd
}

export type MechanismStep = Challenge | LastWord | SaslEnd

export const malformedMessage: SaslEnd = Object.freeze({ outcome: 'malformed', username: '', fault: 'message' })
