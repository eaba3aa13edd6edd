import type { Delivery, DeliveryReply, Destination, TransactionStart } from '@postern/smtp'
import { limits } from '../limits.ts'
import { editHeaderSection, endOfHeaderSection, hasEdits, type HeaderEdits } from './header-edits.ts'

/** A look at one message, which all its deliveries share. */
export interface Inspection {
  /**
   * A piece of the message.
   *
   * @param offset - where it begins: of several deliveries, each brings the same.
   */
  append(offset: number, chunk: Buffer): Promise<void> | void
  /** Asked when the message is whole; the same for everyone who asks. */
  verdict(): Promise<InspectionVerdict>
  /** The message, from the start. */
  read(): AsyncIterable<Buffer>
  /** A delivery needs it no longer. */
  release(): Promise<void>
}

export type InspectionVerdict =
  | { readonly refused: DeliveryReply }
  | { readonly refused?: undefined; readonly edits: HeaderEdits }

/**
 * A destination that gets its messages only when they are whole and have been looked at. Recipients go on at once, so that
 * a backend's word on each is heard in time.
 *
 * @param inspect - begins a look; `undefined` for messages that nobody looks at.
 */
export function inspectedDestination(
  destination: Destination,
  inspect: (transaction: TransactionStart) => Inspection | undefined,
): Destination {
  return {
    begin: async (transaction) => {
      const delivery = await destination.begin(transaction)
      const inspection = inspect(transaction)
      if (inspection === undefined) return delivery
      const inspected = new InspectedDelivery(delivery, inspection)
      return delivery.commitEach === undefined
        ? inspected
        : Object.assign(inspected, { commitEach: () => inspected.commitForEach() })
    },
  }
}

class InspectedDelivery implements Delivery {
  readonly #delivery: Delivery
  readonly #inspection: Inspection
  #offset = 0
  #recipients = 0
  #isReleased = false

  constructor(delivery: Delivery, inspection: Inspection) {
    this.#delivery = delivery
    this.#inspection = inspection
  }

  async addRecipient(...recipient: Parameters<Delivery['addRecipient']>): Promise<DeliveryReply> {
    const reply = await this.#delivery.addRecipient(...recipient)
    if (reply.code < 300) this.#recipients++
    return reply
  }

  write(chunk: Buffer): Promise<void> | void {
    const at = this.#offset
    this.#offset += chunk.length
    return this.#inspection.append(at, chunk)
  }

  async commit(): Promise<DeliveryReply> {
    const refused = await this.#handOn()
    return refused ?? this.#delivery.commit()
  }

  async commitForEach(): Promise<readonly DeliveryReply[]> {
    const refused = await this.#handOn()
    if (refused === undefined) return (await this.#delivery.commitEach?.()) ?? []
    await this.#delivery.abort()
    return Array.from({ length: this.#recipients }, () => refused)
  }

  /** The destination may have lost its backend while the message was gathered. */
  trouble(): DeliveryReply | undefined {
    return this.#delivery.trouble?.()
  }

  async abort(): Promise<void> {
    await this.#release()
    await this.#delivery.abort()
  }

  /** Gives the message to the destination, or says why not. */
  async #handOn(): Promise<DeliveryReply | undefined> {
    try {
      const verdict = await this.#inspection.verdict()
      if (verdict.refused !== undefined) return verdict.refused
      for await (const piece of edited(this.#inspection.read(), verdict.edits)) await this.#delivery.write(piece)
      return undefined
    } finally {
      await this.#release()
    }
  }

  async #release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    await this.#inspection.release()
  }
}

/** The message with its edits. Only the header section is gathered, which the session has bounded. */
export async function* edited(message: AsyncIterable<Buffer>, edits: HeaderEdits): AsyncGenerator<Buffer> {
  for (const field of edits.onTop) yield Buffer.from(field)
  if (!hasEdits(edits)) {
    yield* message
    return
  }
  let head: Buffer | undefined = Buffer.alloc(0)
  for await (const chunk of message) {
    if (head === undefined) {
      yield chunk
      continue
    }
    // A copy, since pieces are only lent.
    head = Buffer.concat([head, chunk])
    const end = endOfHeaderSection(head)
    if (end === -1 && head.length < limits.maxEditedHeaderBytes) continue
    yield end === -1 ? head : editHeaderSection(head.subarray(0, end), edits)
    if (end !== -1) yield head.subarray(end)
    head = undefined
  }
  if (head !== undefined) yield editHeaderSection(head, edits)
}
