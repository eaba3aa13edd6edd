/* A directory outside of this gateway that says where mail or a login goes: what it is asked, and what it may answer. */

import type { Secret } from '@postern/core'

export interface LookupQuestion {
  /** What is routed: a recipient's mail, or somebody who signs in. */
  readonly kind: 'mail' | 'login'
  readonly protocol: 'smtp' | 'submission' | 'lmtp' | 'imap'
  readonly listener: string
  readonly connectionId: string
  readonly client: { readonly address: string; readonly port: number; readonly name?: string }
  /** The argument of EHLO. */
  readonly helo?: string
  /** Who signed in, or wants to. */
  readonly username?: string
  readonly reversePath?: string
  readonly recipient?: string
  /** SNI. */
  readonly serverName?: string
  readonly authority?: string
}

export type LookupAnswer =
  /** It knows nothing of this: the routes behind go on. */
  | { readonly found: 'nothing' }
  | { readonly found: 'store' }
  | { readonly found: 'refusal'; readonly isTemporary: boolean; readonly text?: string }
  /** A group of backends, or one address to reach with its settings; each may be absent for what the route itself names. */
  | {
      readonly found: 'upstream'
      readonly upstream?: string
      readonly server?: string
      readonly credentials?: GivenCredentials
    }

/** With what the user is signed in at an IMAP backend; what is absent is the user's own. */
export interface GivenCredentials {
  readonly username?: string
  readonly password?: Secret
  readonly token?: Secret
}

/** Rejects when there is no answer that can be used, in bounded time: down, slow, or not understood. */
export interface Lookup {
  ask(question: LookupQuestion): Promise<LookupAnswer>
  /**
   * What it answered has proved wrong, so the next question is for the directory itself. Where that has no answer, the one
   * before still stands.
   *
   * @returns whether there was something to forget: only then it is worth asking again.
   */
  forget?(question: LookupQuestion): boolean
  /** Lets go of its connections. */
  close(): Promise<void>
}
