import type { Readable } from 'node:stream'
import type { Awaitable, ConnectionInfo, Credentials, Policy, Principal } from '@postern/core'
import type { TransactionStart } from '../session/destination.ts'
import type { Reply } from '../wire/reply.ts'

/** Nothing, or a reply of 2yz, takes what is offered. A reply of 4yz or 5yz refuses it, and is said to the client. */
export type Verdict = Reply | undefined | void

/** What is known when a client says MAIL: who it is, who has signed in, and the reverse-path with its parameters. */
export type ReversePathMoment = Parameters<NonNullable<Policy['onReversePath']>>[0]

/**
 * What a server asks of the program that embeds it, in the order in which a client comes to it. Only `data` is needed.
 *
 * What throws or rejects is a fault of the program, and none of the client's: that is answered 4yz and may come again,
 * and the observer is told (`failed`).
 */
export interface SmtpBackend {
  /** A client has come, behind its PROXY header and behind implicit TLS. A refusal is said instead of the greeting. */
  connection?(at: ConnectionInfo): Awaitable<Verdict>
  /**
   * Whose password this is; nobody's, when it is wrong, or when `actAs` asks for what is not theirs. Without it AUTH is not
   * offered, save by `authenticator`.
   */
  authentication?(credentials: Credentials, at: ConnectionInfo): Awaitable<Principal | undefined>
  /** MAIL. */
  reversePath?(at: ReversePathMoment): Awaitable<Verdict>
  /** RCPT. Without it every recipient is taken: on the open network that is a relay for everybody. */
  recipient?(forwardPath: string, at: TransactionStart): Awaitable<Verdict>
  /**
   * The message: our Received field, then what the client sent, dots un-stuffed and lines ended by CRLF. It comes as fast
   * as it is read. When the client is lost or the message refused it ends with an error, and whatever is made of it must
   * not be kept.
   *
   * @returns the verdict, when the message has ended. 2yz passes the responsibility; one that comes before the end lets
   * the rest be read over.
   */
  data(message: Readable, at: TransactionStart): Awaitable<Verdict>
}
