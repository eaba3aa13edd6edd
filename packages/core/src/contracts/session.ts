import type { Duplex } from 'node:stream'
import type { Awaitable } from './awaitable.ts'
import type { ConnectionInfo } from './connection.ts'

/**
 * Where a session writes. What it writes in one step goes out as one write, so a pipelined group of commands is
 * answered by one segment.
 */
export interface Output {
  /** Adds to what goes out when the step ends. Strings go as UTF-8. A buffer is kept until sent: do not reuse it. */
  write(chunk: Buffer | string): void
  /** More waits than a slow reader may hold: await `drained()` before writing on. */
  readonly isFull: boolean
  /** Sends what waits and resolves when the reader has caught up. Rejects when the connection is lost. */
  drained(): Promise<void>
}

/** What a session wants next. */
export type Wish =
  | {
      readonly next: 'read'
      /** How long the client may take from now, in milliseconds. */
      readonly patienceMs: number
      /** The deadline that runs already still holds: bytes came, but no command ended (no slow loris). */
      readonly keepsDeadline?: boolean
      /**
       * What was written waits so long before it is sent, and nothing is read meanwhile, in milliseconds: who errs again
       * and again is slowed. The patience begins behind it.
       */
      readonly afterMs?: number
    }
  /** Send what waits, start TLS, then call `secured`. Whatever arrived in the clear meanwhile is thrown away. */
  | { readonly next: 'upgrade-tls' }
  /**
   * Send what waits, and from then on compress in both directions (RFC 4978); then read on. What arrived behind the
   * request is taken for compressed. Not after compression has begun.
   */
  | { readonly next: 'compress'; readonly patienceMs: number }
  /**
   * Send what waits, and from then on pass bytes between the client and somebody else as they come, until one of them
   * ends. Of the machine only `woken`, `stopping`, `timedOut` for the session, `failed` and `ended` are called then; what
   * it writes stands between what is passed on, and `read` says to go on.
   */
  | { readonly next: 'splice'; readonly splice: Splice }
  /** Send what waits, then close. */
  | { readonly next: 'close'; readonly reason: CloseReason }

/** To whom a client is handed on: a backend that it is signed in at. */
export interface Splice {
  /** Nobody listens to it any more. It belongs to the pump from now on, which destroys it in the end. */
  readonly other: Duplex
  /** What the client has sent already and nobody has read: the first bytes that go over. */
  readonly first: Buffer
  /** Sees what goes over, before it goes. The bytes are only lent. */
  readonly onPassing?: (bytes: Buffer, to: 'client' | 'other') => void
  /** `other` is gone, having closed its half or without that: may write a last word, and says why the connection ends. */
  readonly onOtherEnd: (how: 'closed' | 'lost') => CloseReason
}

/** Why a connection ended; a word of `connection.close` in the log. */
export type CloseReason =
  | 'quit'
  | 'client-closed'
  | 'timeout'
  | 'refused'
  | 'too-many-errors'
  | 'protocol'
  | 'tls-failed'
  | 'stalled'
  | 'stopping'
  | 'connection-lost'
  | 'backend-lost'
  | 'internal-error'

/**
 * One connection's dialogue as a machine: bytes in; output and a wish out. It knows no socket, timer or clock. Calls
 * never overlap: the next comes when the promise of the one before has settled.
 */
export interface SessionMachine {
  /** Writes the greeting. */
  start(): Awaitable<Wish>
  /** `bytes` is a view of the read buffer, valid until the returned promise settles; copy what is kept. */
  receive(bytes: Buffer): Awaitable<Wish>
  /** TLS is up: forget everything that was said before (RFC 3207 section 4.2). */
  secured(connection: ConnectionInfo): Awaitable<Wish>
  /** The session called `wake` of its context from outside a step. */
  woken(): Awaitable<Wish>
  /**
   * Time is up: `patience`, the deadline of the last wish; `session`, that of the whole connection, which grants no
   * further one.
   */
  timedOut(of: 'patience' | 'session'): Awaitable<Wish>
  /** The worker drains. A `read` wish asks to finish what is under way; `stopping` is then not called again. */
  stopping(): Wish
  /**
   * Another call threw, which is a bug, or the time to stop is up: take leave in the protocol's grammar (421, BYE).
   * Nothing else is called but `ended`.
   */
  failed(): void
  /** The connection is over, for whatever reason: abort what is open. Called exactly once, last. */
  ended(reason: CloseReason): Awaitable<void>
}

/** What a pump gives a session. */
export interface SessionContext {
  /** Behind a handshake, the secured one. */
  readonly connection: ConnectionInfo
  readonly output: Output
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal
  /** Lets other connections have their turn: for long work on what is in memory, which waits for nothing by itself. */
  turn(): Promise<void>
  /** Asks for a call of `woken`, soon, from a change that did not come from the client. Cheap; may be called often. */
  wake(): void
}
