import type { Awaitable, ConnectionInfo, Envelope, Principal, RecipientDsnRequest, Route } from '@postern/core'
import type { Reply } from '../wire/reply.ts'
import type { Hello } from '../wire/trace.ts'

/** A route that leads somewhere. */
export type DeliverableRoute = Exclude<Route, { readonly to: 'nowhere' }>

/** What takes the mail of a route: the embedded store, or another server. */
export interface Destination {
  /**
   * A transaction got its first recipient. Called before `addRecipient`; what a backend says to MAIL belongs to the
   * reply of the first `addRecipient`.
   */
  begin(transaction: TransactionStart): Awaitable<Delivery>
}

/** What a destination learns of a transaction before its first recipient. */
export interface TransactionStart {
  /** Stands in `Received` and in the reply to the end of data: the connection's id and a running number. */
  readonly id: string
  /** The reverse-path and its parameters; forward-paths appear in it as they are accepted. */
  readonly envelope: Envelope
  readonly connection: ConnectionInfo
  readonly principal?: Principal
  /** How the client greeted us. */
  readonly hello?: Hello
  /** The client takes a verdict for each recipient (LMTP, PRDR): the message ends with `commitEach`. */
  readonly takesVerdictForEach: boolean
  /** When MAIL was accepted. */
  readonly at: Date
}

/** What a destination answers. Without a status code it is said with that of its class, as in `2.0.0`. */
export interface DeliveryReply extends Reply {
  /** For the operator's log: what failed, and how to mend it. Never sent to the client. */
  readonly detail?: string
}

/**
 * One message on its way to one destination. The calls come in this order and never overlap: `addRecipient` for each
 * forward-path, `write` for each piece of the message, `commit`. `abort` may come at any time instead, and comes last.
 * Whatever rejects or throws is answered 451 4.3.0, and the delivery is aborted.
 */
export interface Delivery {
  /**
   * 2yz takes the recipient; anything else is passed to the client, and the recipient is not part of the message. The
   * same one may come twice.
   *
   * @param dsn - what the client asked of delivery reports; only where the destination said that it can do DSN.
   */
  addRecipient(forwardPath: string, route: DeliverableRoute, dsn?: RecipientDsnRequest): Awaitable<DeliveryReply>
  /**
   * A piece of the message, `Received` first: dots un-stuffed, lines ended by CRLF, cut anywhere.
   * A delivery that has failed takes the rest in silence and says so at `commit`.
   *
   * @param chunk - a view, valid until the call returns or its promise settles: copy what is kept.
   */
  write(chunk: Buffer): Awaitable<void>
  /** The end of the message. A 2yz here is the moment at which responsibility passes: the message is safe. */
  commit(): Awaitable<DeliveryReply>
  /**
   * The end of the message in LMTP and with PRDR: a reply for each accepted recipient, in order, duplicates included
   * (RFC 2033 §4.2).
   * A destination without it has one fate for all, and `commit` says it. What is refused leaves nothing behind; `abort`
   * is not called behind it.
   */
  commitEach?(): Awaitable<readonly DeliveryReply[]>
  /**
   * Why the message would be refused, when that is known before its end. Asked where several deliveries of one message are
   * committed together, so that none is when one cannot be.
   */
  trouble?(): DeliveryReply | undefined
  /** Leaves nothing behind. Also called after a `commit` that was not 2yz. */
  abort(): Awaitable<void>
}
