/*
 * A message to several places at once, for clients that take a verdict for each recipient (RFC 2033 §4.2, PRDR): each
 * recipient gets the verdict of the place where it went, and what fails at one place is no matter of the others.
 */
import type { RecipientDsnRequest } from '@postern/core'
import { localError } from '../wire/codes.ts'
import type { DeliverableRoute, Delivery, DeliveryReply, Destination, TransactionStart } from './destination.ts'

/** The delivery of one place. */
export interface Place {
  readonly route: DeliverableRoute
  readonly delivery: Delivery
  /** Accepted there. */
  recipients: number
  /** It threw: what every recipient there is answered. */
  failure: DeliveryReply | undefined
  /** It was committed, or given up: nothing more is said to it. */
  isOver: boolean
}

export class FanOut implements Delivery {
  readonly #start: TransactionStart
  readonly #destinationFor: (route: DeliverableRoute) => Destination
  readonly #places: Place[]
  /** For each accepted recipient, in order: where it went. */
  readonly #placeOf: Place[]

  /** @param first - the place that has all recipients so far. */
  constructor(
    start: TransactionStart,
    destinationFor: (route: DeliverableRoute) => Destination,
    first: { readonly route: DeliverableRoute; readonly delivery: Delivery; readonly recipients: number },
  ) {
    const place = { ...first, failure: undefined, isOver: false }
    this.#start = start
    this.#destinationFor = destinationFor
    this.#places = [place]
    this.#placeOf = Array.from({ length: first.recipients }, () => place)
  }

  get places(): number {
    return this.#places.length
  }

  /** A recipient with this route needs no place more. */
  reaches(route: DeliverableRoute): boolean {
    return this.#places.some((place) => leadToOnePlace(place.route, route))
  }

  async addRecipient(forwardPath: string, route: DeliverableRoute, dsn?: RecipientDsnRequest): Promise<DeliveryReply> {
    let place = this.#places.find((each) => leadToOnePlace(each.route, route))
    if (place?.failure !== undefined) return place.failure
    try {
      if (place === undefined) {
        const delivery = await this.#destinationFor(route).begin(this.#start)
        place = { route, delivery, recipients: 0, failure: undefined, isOver: false }
        this.#places.push(place)
      }
      const reply = await place.delivery.addRecipient(forwardPath, route, dsn)
      if (reply.code < 300) {
        place.recipients++
        this.#placeOf.push(place)
      }
      return reply
    } catch (error) {
      return place === undefined ? failureReply(error) : failPlace(place, error)
    }
  }

  write(chunk: Buffer): Promise<void> {
    return writeToAll(this.#places, chunk)
  }

  async commitEach(): Promise<readonly DeliveryReply[]> {
    const verdicts = new Map<Place, DeliveryReply[]>()
    await Promise.all(
      this.#places.map(async (place) => {
        verdicts.set(place, [...(await commitPlace(place))])
      }),
    )
    // Each place answers for its own recipients in their order.
    return this.#placeOf.map((place) => verdicts.get(place)?.shift() ?? localError)
  }

  /** One verdict on all: the worst, since somebody lacks the message. */
  async commit(): Promise<DeliveryReply> {
    const replies = await this.commitEach()
    return replies.toSorted((a, b) => b.code - a.code)[0] ?? localError
  }

  async abort(): Promise<void> {
    await Promise.allSettled(this.#places.map(async ({ delivery, isOver }) => (isOver ? undefined : delivery.abort())))
  }
}

/** The slowest place sets the pace. */
export async function writeToAll(places: readonly Place[], chunk: Buffer): Promise<void> {
  await Promise.all(
    places.map(async (place) => {
      if (place.failure !== undefined || place.recipients === 0) return
      try {
        await place.delivery.write(chunk)
      } catch (error) {
        await failPlace(place, error)
      }
    }),
  )
}

/** The end of the message there: a reply for each of its recipients, in their order. */
export async function commitPlace(place: Place): Promise<readonly DeliveryReply[]> {
  const { delivery, recipients } = place
  const forAll = (reply: DeliveryReply): DeliveryReply[] => Array.from({ length: recipients }, () => reply)
  place.isOver = true
  // Nobody was accepted there, so there is nothing to keep.
  if (recipients === 0) {
    await delivery.abort()
    return []
  }
  if (place.failure !== undefined) return forAll(place.failure)
  try {
    if (delivery.commitEach === undefined) {
      const reply = await delivery.commit()
      if (reply.code >= 300) await delivery.abort()
      return forAll(reply)
    }
    const replies = await delivery.commitEach()
    if (replies.length === recipients) return replies
    throw new Error('not a reply for each recipient')
  } catch (error) {
    return forAll(await failPlace(place, error))
  }
}

/** The place is given up; the others go on. */
export async function failPlace(place: Place, error: unknown): Promise<DeliveryReply> {
  place.failure = failureReply(error)
  place.isOver = true
  try {
    await place.delivery.abort()
  } catch {
    // What failed first is what the operator must hear of.
  }
  return place.failure
}

export function failureReply(error: unknown): DeliveryReply {
  return { ...localError, detail: error instanceof Error ? error.message : String(error) }
}

/** The embedded store is one place, whoever the account is; each upstream is another, and so is each address of one. */
export function leadToOnePlace(a: DeliverableRoute, b: DeliverableRoute): boolean {
  if (a.to === 'store') return b.to === 'store'
  return b.to === 'upstream' && a.upstream === b.upstream && a.server === b.server
}
