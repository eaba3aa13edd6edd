import type { RecipientDsnRequest } from '@postern/core'
import type { DeliverableRoute, Delivery, DeliveryReply, Destination, TransactionStart } from '../src/index.ts'

export interface StoredMessage {
  readonly transaction: TransactionStart
  readonly recipients: readonly string[]
  /** What was asked of delivery reports for each of them. */
  readonly dsn: readonly (RecipientDsnRequest | undefined)[]
  readonly bytes: Buffer
}

type Call = 'begin' | 'addRecipient' | 'write' | 'commit'

/** A destination in memory that keeps what it took, and fails where it is told to. */
export class MemoryDestination implements Destination {
  readonly messages: StoredMessage[] = []
  /** Deliveries that were begun and neither committed nor aborted. */
  open = 0
  aborted = 0
  /** Everything takes a turn of the event loop, as a disk does. */
  isSlow = false
  /** Throws there. */
  breaksAt: Call | undefined
  commitReply: DeliveryReply | undefined
  /** When set, each recipient has a fate of its own at the end: these are refused. */
  eachReplies: ReadonlyMap<string, DeliveryReply> | undefined
  /** What is known to be refused before the end. */
  troubleNow: DeliveryReply | undefined
  /** How `commitEach` goes wrong. */
  eachFails: 'breaks' | 'too-few' | undefined
  recipientReplies: ReadonlyMap<string, DeliveryReply> = new Map()
  /** When set, `commit` waits for it. */
  commitGate: Promise<void> | undefined

  begin(transaction: TransactionStart): Delivery | Promise<Delivery> {
    return this.#do('begin', () => {
      this.open++
      const delivery = new MemoryDelivery(this, transaction)
      return this.eachReplies === undefined ? delivery : delivery.withEach(this.eachReplies)
    })
  }

  #do<T>(call: Call, action: () => T): T | Promise<T> {
    if (this.isSlow) return Promise.resolve().then(() => this.run(call, action))
    return this.run(call, action)
  }

  run<T>(call: Call, action: () => T): T {
    if (this.breaksAt === call) throw new Error(`broken at ${call}`)
    return action()
  }

  perform<T>(call: Call, action: () => T): T | Promise<T> {
    return this.#do(call, action)
  }
}

class MemoryDelivery implements Delivery {
  readonly #destination: MemoryDestination
  readonly #transaction: TransactionStart
  readonly #recipients: string[] = []
  readonly #dsn: (RecipientDsnRequest | undefined)[] = []
  readonly #chunks: Buffer[] = []
  #isOver = false

  constructor(destination: MemoryDestination, transaction: TransactionStart) {
    this.#destination = destination
    this.#transaction = transaction
  }

  addRecipient(
    forwardPath: string,
    _route: DeliverableRoute,
    dsn?: RecipientDsnRequest,
  ): DeliveryReply | Promise<DeliveryReply> {
    return this.#destination.perform('addRecipient', () => {
      const reply = this.#destination.recipientReplies.get(forwardPath)
      if (reply !== undefined && reply.code >= 300) return reply
      this.#recipients.push(forwardPath)
      this.#dsn.push(dsn)
      return reply ?? { code: 250, enhanced: '2.1.5', lines: ['OK'] }
    })
  }

  write(chunk: Buffer): void | Promise<void> {
    return this.#destination.perform('write', () => {
      this.#chunks.push(Buffer.from(chunk))
    })
  }

  trouble(): DeliveryReply | undefined {
    return this.#destination.troubleNow
  }

  async commit(): Promise<DeliveryReply> {
    await this.#destination.commitGate
    return this.#destination.run('commit', () => {
      const reply = this.#destination.commitReply
      if (reply !== undefined && reply.code >= 300) return reply
      this.#end()
      this.#destination.messages.push({
        transaction: this.#transaction,
        recipients: this.#recipients,
        dsn: this.#dsn,
        bytes: Buffer.concat(this.#chunks),
      })
      return reply ?? { code: 250, enhanced: '2.0.0', lines: [`OK ${this.#transaction.id}`] }
    })
  }

  /** The same, with a fate for each recipient. */
  withEach(refusals: ReadonlyMap<string, DeliveryReply>): Delivery {
    return {
      addRecipient: (forwardPath, route, dsn) => this.addRecipient(forwardPath, route, dsn),
      write: (chunk) => this.write(chunk),
      commit: () => this.commit(),
      commitEach: async () => {
        if (this.#destination.eachFails === 'breaks') throw new Error('broken at commitEach')
        if (this.#destination.eachFails === 'too-few') return []
        this.#end()
        return this.#recipients.map(
          (name) => refusals.get(name) ?? { code: 250, enhanced: '2.0.0', lines: [`OK ${name}`] },
        )
      },
      abort: () => this.abort(),
    }
  }

  async abort(): Promise<void> {
    this.#destination.aborted++
    this.#end()
  }

  #end(): void {
    if (this.#isOver) throw new Error('a delivery ended twice')
    this.#isOver = true
    this.#destination.open--
  }
}
