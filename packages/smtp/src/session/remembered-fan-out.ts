/*
 * A message to several places for a client of SMTP, which takes one verdict for all: RFC 5321 has no other. When some took it
 * and others not, the client is told to send it again, and whoever has it already must not get it twice. So who has it is
 * written down before that reply, by sender, recipient and content (`DeliveredJournal`), and crossed out when all have it.
 *
 * When it comes again, the content is known only at its end, and each place must be told its recipients before. Hence a
 * recipient of whom the journal knows anything goes separately, by a delivery of its own: at the end it is committed, or
 * given up because this very message is there. All others go as ever.
 *
 * No end is sent while one of the places is known to have failed: then nobody has it, and there is nothing to remember.
 */
import { createHash, type Hash } from 'node:crypto'
import type { RecipientDsnRequest } from '@postern/core'
import { otherRoute, someLacking } from '../wire/codes.ts'
import type { DeliverableRoute, Delivery, DeliveryReply, Destination, TransactionStart } from './destination.ts'
import { commitPlace, failPlace, failureReply, leadToOnePlace, writeToAll, type Place } from './fan-out.ts'

/** Whose message: the two ends of an envelope. */
export interface DeliveredPair {
  readonly reversePath: string
  readonly forwardPath: string
}

/**
 * Remembers who has a message whose client was told to send it again. All may reject: then the recipient, or the message,
 * is deferred, or what was noted stays.
 */
export interface DeliveredJournal {
  /** SHA-256, in hexadecimal, of what was delivered to this recipient from this sender; for nearly all, nothing. */
  delivered(pair: DeliveredPair): Promise<ReadonlySet<string>>
  /** Resolves when it is durable. */
  note(pairs: readonly DeliveredPair[], sha256: string): Promise<void>
  /** It came again, and its client hears that all have it: what comes now with the same content is another message. */
  forget(pairs: readonly DeliveredPair[], sha256: string): Promise<void>
}

/** What a fan-out for one verdict works with. */
export interface Remembering {
  readonly journal: DeliveredJournal
  /** Places of one transaction: each costs a connection, or a file. */
  readonly maxPlaces: number
}

interface RememberedPlace extends Place {
  /** Accepted there, in order. */
  readonly forwardPaths: string[]
  /** What its one recipient has already; nothing for a place of many. */
  readonly had: ReadonlySet<string>
}

export class RememberedFanOut implements Delivery {
  readonly #start: TransactionStart
  readonly #destinationFor: (route: DeliverableRoute) => Destination
  readonly #remembering: Remembering
  readonly #places: RememberedPlace[] = []
  readonly #hash: Hash = createHash('sha256')

  constructor(
    start: TransactionStart,
    destinationFor: (route: DeliverableRoute) => Destination,
    remembering: Remembering,
  ) {
    // Places that can tell recipients apart shall: what is true of one need not be deferred for another.
    this.#start = { ...start, takesVerdictForEach: true }
    this.#destinationFor = destinationFor
    this.#remembering = remembering
  }

  async addRecipient(forwardPath: string, route: DeliverableRoute, dsn?: RecipientDsnRequest): Promise<DeliveryReply> {
    let place: RememberedPlace | undefined
    try {
      const had = await this.#remembering.journal.delivered(this.#pair(forwardPath))
      place = this.#placeFor(forwardPath, route, had)
      if (place?.failure !== undefined) return place.failure
      if (place === undefined) {
        if (this.#places.length >= this.#remembering.maxPlaces) return otherRoute
        const delivery = await this.#destinationFor(route).begin(this.#start)
        place = { route, delivery, recipients: 0, failure: undefined, isOver: false, forwardPaths: [], had }
        this.#places.push(place)
      }
      const reply = await place.delivery.addRecipient(forwardPath, route, dsn)
      if (reply.code < 300) {
        place.recipients++
        place.forwardPaths.push(forwardPath)
      }
      return reply
    } catch (error) {
      return place === undefined ? failureReply(error) : failPlace(place, error)
    }
  }

  /** The message as the client sent it: what we add to it is another each time. */
  digest(content: Buffer): void {
    this.#hash.update(content)
  }

  write(chunk: Buffer): Promise<void> {
    return writeToAll(this.#places, chunk)
  }

  async commit(): Promise<DeliveryReply> {
    const sha256 = this.#hash.digest('hex')
    const used = this.#places.filter(({ recipients }) => recipients > 0)
    const done = used.filter(({ had }) => had.has(sha256))
    const open = used.filter((place) => !done.includes(place))
    await leave(this.#places.filter((place) => !open.includes(place)))
    const trouble = troubleOf(open)
    if (trouble !== undefined) {
      await leave(open)
      return trouble
    }
    const verdicts = await Promise.all(open.map(async (place) => ({ place, replies: await commitPlace(place) })))
    return this.#conclude(
      verdicts.flatMap(({ place, replies }) =>
        replies.map((reply, index) => ({ reply, forwardPath: place.forwardPaths[index] ?? '' })),
      ),
      done.flatMap(({ forwardPaths }) => forwardPaths),
      sha256,
    )
  }

  async abort(): Promise<void> {
    await leave(this.#places)
  }

  async #conclude(
    verdicts: readonly { readonly reply: DeliveryReply; readonly forwardPath: string }[],
    done: readonly string[],
    sha256: string,
  ): Promise<DeliveryReply> {
    const taken = verdicts.filter(({ reply }) => reply.code < 300)
    const lacking = verdicts.filter(({ reply }) => reply.code >= 300).map(({ reply }) => reply)
    if (lacking.length === 0) {
      const [first] = taken
      if (done.length > 0) await this.#forget(done, sha256)
      return first !== undefined && verdicts.length === 1 && done.length === 0 ? first.reply : this.#taken
    }
    const worst = worstOf(lacking) ?? someLacking
    if (taken.length + done.length === 0) return worst
    const have = taken.length + done.length
    const counts = `${have} of ${have + lacking.length} recipients have the message`
    const detail = [counts, ...lacking.flatMap((reply) => reply.detail ?? reply.lines)].join('; ')
    if (worst.code >= 500) {
      // Nobody sends it again after that, and the same content may come as another message.
      if (done.length > 0) await this.#forget(done, sha256)
      return { ...worst, detail }
    }
    try {
      if (taken.length > 0) {
        await this.#remembering.journal.note(
          taken.map(({ forwardPath }) => this.#pair(forwardPath)),
          sha256,
        )
      }
    } catch (error) {
      const told = error instanceof Error ? error.message : String(error)
      return { ...someLacking, detail: `${detail}; they will get it again: ${told}` }
    }
    return { ...someLacking, detail }
  }

  async #forget(forwardPaths: readonly string[], sha256: string): Promise<void> {
    try {
      await this.#remembering.journal.forget(
        forwardPaths.map((forwardPath) => this.#pair(forwardPath)),
        sha256,
      )
    } catch {
      // All have it, and that is what the client must hear.
    }
  }

  get #taken(): DeliveryReply {
    return { code: 250, enhanced: '2.0.0', lines: [`OK, taken as ${this.#start.id}`] }
  }

  #placeFor(forwardPath: string, route: DeliverableRoute, had: ReadonlySet<string>): RememberedPlace | undefined {
    return this.#places.find((place) => {
      if (!leadToOnePlace(place.route, route)) return false
      if (had.size === 0) return place.had.size === 0
      return place.had.size > 0 && place.forwardPaths[0] === forwardPath
    })
  }

  #pair(forwardPath: string): DeliveredPair {
    return { reversePath: this.#start.envelope.reversePath, forwardPath }
  }
}

/** What one of them would answer already now. */
function troubleOf(places: readonly Place[]): DeliveryReply | undefined {
  return worstOf(places.flatMap(({ failure, delivery }) => failure ?? delivery.trouble?.() ?? []))
}

/** What is permanent for one must not be so for those who may still get it. */
function worstOf(refusals: readonly DeliveryReply[]): DeliveryReply | undefined {
  return refusals.find(({ code }) => code < 500) ?? refusals[0]
}

async function leave(places: readonly Place[]): Promise<void> {
  const open = places.filter(({ isOver }) => !isOver)
  for (const place of open) place.isOver = true
  await Promise.allSettled(open.map(async ({ delivery }) => delivery.abort()))
}
