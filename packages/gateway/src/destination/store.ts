import type { MailStore, MessageWriter, StoreOutcome, StoreRefusal } from '@postern/core'
import type {
  Delivery,
  DeliveryReply,
  DeliverableRoute,
  Destination,
  DestinationExtensions,
  TransactionStart,
} from '@postern/smtp'

/**
 * Delivers into the embedded store: a copy for each account, once however many of its names were given.
 *
 * All copies are written and synced before the first is linked into place. A failure up to there leaves nothing
 * anywhere; a failure between two links, which a sync that succeeded makes unlikely, is answered 4yz like any other, and
 * who has the message already gets it a second time when the client tries again: a duplicate is allowed, a loss is not
 * (RFC 1047).
 */
export function storeDestination(store: MailStore): Destination {
  return { begin: (transaction) => new StoreDelivery(store, transaction) }
}

/**
 * What the store can do. It sends no reports, so DSN is not among it. REQUIRETLS asks how a message goes on, and here it
 * goes nowhere (RFC 8689 §4.2).
 */
export const storeExtensions: DestinationExtensions = {
  extensions: new Set(['8BITMIME', 'SMTPUTF8', 'PRDR', 'REQUIRETLS']),
}

class StoreDelivery implements Delivery {
  readonly #store: MailStore
  readonly #transaction: TransactionStart
  /** Accounts of the accepted recipients, in order. */
  readonly #recipients: string[] = []
  /** By account. */
  readonly #copies = new Map<string, MessageWriter>()

  constructor(store: MailStore, transaction: TransactionStart) {
    this.#store = store
    this.#transaction = transaction
  }

  async addRecipient(_forwardPath: string, route: DeliverableRoute): Promise<DeliveryReply> {
    if (route.to !== 'store') throw new Error(`a route to ${route.to} does not lead into the store`)
    if (this.#copies.has(route.account)) {
      this.#recipients.push(route.account)
      return taken
    }
    const { at, envelope } = this.#transaction
    const message = {
      flags: [],
      internalDate: at,
      ...(envelope.declaredBytes === undefined ? {} : { bytes: envelope.declaredBytes }),
    }
    let opened = await this.#store.deliver(route.account, route.mailbox ?? 'INBOX', message)
    // A mailbox that an address asks for is a wish: whoever writes to it need not know which ones there are.
    if (!opened.ok && route.mailbox !== undefined && isNoMailbox.has(opened.refusal)) {
      opened = await this.#store.deliver(route.account, 'INBOX', message)
    }
    if (!opened.ok) return refusedFor(route.account, opened)
    this.#copies.set(route.account, opened.value)
    this.#recipients.push(route.account)
    // RFC 5321 section 4.4: the store is where the message leaves SMTP, so the reverse-path becomes a header field.
    await opened.value.write(Buffer.from(`Return-Path: <${envelope.reversePath}>\r\n`))
    return taken
  }

  write(chunk: Buffer): Promise<void> | void {
    const waits: Promise<void>[] = []
    for (const copy of this.#copies.values()) {
      const wait = copy.write(chunk)
      if (wait instanceof Promise) waits.push(wait)
    }
    if (waits.length > 0) return settleAll(waits)
  }

  async commit(): Promise<DeliveryReply> {
    for (const [account, copy] of this.#copies) {
      const prepared = await copy.prepare?.()
      if (prepared?.ok === false) return refusedFor(account, prepared)
    }
    for (const [account, copy] of this.#copies) {
      const committed = await copy.commit()
      if (!committed.ok) return refusedFor(account, committed)
    }
    return this.#delivered
  }

  /** LMTP and PRDR: each account has a fate of its own. */
  async commitEach(): Promise<readonly DeliveryReply[]> {
    const replies = new Map<string, DeliveryReply>()
    for (const [account, copy] of this.#copies) {
      const reply = await this.#commitAlone(account, copy)
      if (reply.code >= 300) await copy.abort()
      replies.set(account, reply)
    }
    return this.#recipients.map((account) => replies.get(account) ?? replyTo('unavailable'))
  }

  async #commitAlone(account: string, copy: MessageWriter): Promise<DeliveryReply> {
    try {
      const prepared = (await copy.prepare?.()) ?? { ok: true }
      if (!prepared.ok) return refusedFor(account, prepared)
      const committed = await copy.commit()
      return committed.ok ? this.#delivered : refusedFor(account, committed)
    } catch (error) {
      // The message of another account may be stored already, and that reply must be said.
      return { ...replyTo('unavailable'), detail: (error as Error).message }
    }
  }

  get #delivered(): DeliveryReply {
    return { code: 250, enhanced: '2.0.0', lines: [`OK, delivered as ${this.#transaction.id}`] }
  }

  async abort(): Promise<void> {
    await settleAll([...this.#copies.values()].map((copy) => copy.abort()))
  }
}

const isNoMailbox: ReadonlySet<StoreRefusal> = new Set(['no-such-mailbox', 'bad-name', 'limit'] as const)

type Refused = Extract<StoreOutcome<unknown>, { readonly ok: false }>

const taken: DeliveryReply = { code: 250, enhanced: '2.1.5', lines: ['Recipient OK'] }

/** A full mailbox is its owner's, so the log says whose it is. */
function refusedFor(account: string, { refusal, detail }: Refused): DeliveryReply {
  return { ...replyTo(refusal), detail: refusal === 'over-quota' ? `${account}: ${detail}` : detail }
}

/**
 * What the disk refuses is temporary, whatever it is: an operator mends it, and no mail bounces meanwhile (RFC 3463
 * sections 3.3 and 3.4).
 */
function replyTo(refusal: StoreRefusal): DeliveryReply {
  if (refusal === 'no-space') return { code: 452, enhanced: '4.3.1', lines: ['Insufficient system storage'] }
  if (refusal === 'over-quota') return { code: 452, enhanced: '4.2.2', lines: ['Mailbox full'] }
  return { code: 451, enhanced: '4.3.0', lines: ['The mail store is not available, try again later'] }
}

/** Waits for all, also when one fails: nothing may still be writing when the caller goes on. */
async function settleAll(waits: readonly Promise<void>[]): Promise<void> {
  for (const settled of await Promise.allSettled(waits)) if (settled.status === 'rejected') throw settled.reason
}
