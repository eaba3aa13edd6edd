import type { Awaitable, Envelope, RecipientDsnRequest } from '@postern/core'
import { after, attempt } from './awaitable.ts'
import type { DeliverableRoute, Delivery, DeliveryReply, Destination, TransactionStart } from './destination.ts'
import { FanOut, leadToOnePlace } from './fan-out.ts'
import { RememberedFanOut, type Remembering } from './remembered-fan-out.ts'
import { localError } from '../wire/codes.ts'

/** What RCPT said. */
export interface Recipient {
  readonly forwardPath: string
  readonly dsn: RecipientDsnRequest | undefined
}

/** One envelope, and the one destination that its first accepted recipient fixed; or several, with a verdict for each. */
export class Transaction {
  readonly start: TransactionStart
  readonly #forwardPaths: string[] = []
  readonly #destinationFor: (route: DeliverableRoute) => Destination
  /** To several places for one verdict: how that is made safe. Absent where the first recipient fixes the place. */
  readonly #remembering: Remembering | undefined
  #route: DeliverableRoute | undefined
  #delivery: Delivery | undefined
  /** RCPT commands that were refused, for whatever reason. */
  refusedRecipients = 0
  /** Of these: for the limit, or for another route. */
  deferredRecipients = 0
  /** The destination threw: the operator is told this, and the client 451. */
  failure: unknown

  constructor(
    start: Omit<TransactionStart, 'envelope'>,
    envelope: Omit<Envelope, 'forwardPaths'>,
    destinationFor: (route: DeliverableRoute) => Destination,
    remembering?: Remembering,
  ) {
    this.start = { ...start, envelope: { ...envelope, forwardPaths: this.#forwardPaths } }
    this.#destinationFor = destinationFor
    // Whoever takes a verdict for each recipient is told what is true, and there is nothing to remember.
    this.#remembering = start.takesVerdictForEach ? undefined : remembering
  }

  get envelope(): Envelope {
    return this.start.envelope
  }

  get hasFailed(): boolean {
    return this.failure !== undefined
  }

  /** What the destination threw, for the operator. */
  get failureText(): string {
    return this.failure instanceof Error ? this.failure.message : String(this.failure)
  }

  /**
   * The recipient's route leads elsewhere than that of those accepted before, so another transaction must take it. With a
   * verdict for each recipient one transaction may lead to several places, up to a bound.
   *
   * @param maxPlaces - each costs a connection, or a file.
   */
  isElsewhere(route: DeliverableRoute, maxPlaces: number): boolean {
    if (this.#remembering !== undefined) return false
    if (this.#delivery instanceof FanOut) return this.#delivery.places >= maxPlaces && !this.#delivery.reaches(route)
    if (this.#forwardPaths.length === 0 || this.#route === undefined || leadToOnePlace(this.#route, route)) return false
    return !this.start.takesVerdictForEach || maxPlaces < 2
  }

  /** Offers a recipient to its destination; with 2yz it is part of the envelope. */
  offer({ forwardPath, dsn }: Recipient, route: DeliverableRoute): Awaitable<DeliveryReply> {
    // Another delivery would lack the recipients accepted before.
    if (this.hasFailed) return localError
    return this.#attempt(() =>
      after(this.#deliveryFor(route), (delivery) =>
        after(delivery.addRecipient(forwardPath, route, dsn), (reply) => {
          if (reply.code < 300) this.#forwardPaths.push(forwardPath)
          return withStatus(reply)
        }),
      ),
    )
  }

  /** The message as it came, in pieces: beside what is written, which has our fields. */
  digest(content: Buffer): void {
    if (this.#delivery instanceof RememberedFanOut) this.#delivery.digest(content)
  }

  /** Nothing is written any more once something has failed. */
  write(chunk: Buffer): Awaitable<void> {
    const delivery = this.#delivery
    if (delivery === undefined) return
    return attempt(
      () => delivery.write(chunk),
      (error) => this.#fail(error),
    )
  }

  commit(): Awaitable<DeliveryReply> {
    const delivery = this.#delivery
    if (delivery === undefined) return localError
    return this.#attempt(() =>
      after(delivery.commit(), (reply) => {
        if (reply.code >= 300) return after(this.abort(), () => withStatus(reply))
        this.#delivery = undefined
        return withStatus(reply)
      }),
    )
  }

  /** RFC 2033 §4.2, and PRDR: a reply for each recipient that was accepted, in order. */
  commitEach(): Awaitable<readonly DeliveryReply[]> {
    const delivery = this.#delivery
    const forAll = (reply: DeliveryReply): DeliveryReply[] => this.#forwardPaths.map(() => reply)
    if (delivery?.commitEach === undefined) return after(this.commit(), forAll)
    return attempt<readonly DeliveryReply[]>(
      () =>
        after(delivery.commitEach?.() ?? [], (replies) => {
          if (replies.length !== this.#forwardPaths.length) throw new Error('not a reply for each recipient')
          this.#delivery = undefined
          return replies.map(withStatus)
        }),
      (error) => after(this.#fail(error), () => forAll(localError)),
    )
  }

  /** Leaves nothing behind. Safe to call at any time but during another call. */
  abort(): Awaitable<void> {
    const delivery = this.#delivery
    this.#delivery = undefined
    return delivery?.abort()
  }

  /** When all recipients so far were refused, their route fixed nothing. */
  #deliveryFor(route: DeliverableRoute): Awaitable<Delivery> {
    if (this.#delivery instanceof FanOut || this.#delivery instanceof RememberedFanOut) return this.#delivery
    if (this.#remembering !== undefined) {
      this.#route = route
      this.#delivery = new RememberedFanOut(this.start, this.#destinationFor, this.#remembering)
      return this.#delivery
    }
    if (this.#delivery !== undefined && this.#route !== undefined) {
      if (leadToOnePlace(this.#route, route)) return this.#delivery
      if (this.start.takesVerdictForEach && this.#forwardPaths.length > 0)
        return this.#fanOut(this.#route, this.#delivery)
    }
    return after(this.abort(), () =>
      after(this.#destinationFor(route).begin(this.start), (delivery) => {
        this.#route = route
        this.#delivery = delivery
        return delivery
      }),
    )
  }

  #fanOut(route: DeliverableRoute, delivery: Delivery): FanOut {
    const first = { route, delivery, recipients: this.#forwardPaths.length }
    const fanOut = new FanOut(this.start, this.#destinationFor, first)
    this.#delivery = fanOut
    return fanOut
  }

  #attempt(call: () => Awaitable<DeliveryReply>): Awaitable<DeliveryReply> {
    return attempt(call, (error) => after(this.#fail(error), () => localError))
  }

  #fail(error: unknown): Awaitable<void> {
    this.failure = error ?? new Error('the destination failed without a word')
    return attempt(
      () => this.abort(),
      () => {
        // What failed first is what the operator must hear of.
      },
    )
  }
}

/**
 * RFC 2034 §3: every reply of 2yz, 4yz and 5yz has a status code, also where a backend or a program gave none. X.0.0 is
 * the one that says no more than the class (RFC 3463 §3.1).
 */
function withStatus(reply: DeliveryReply): DeliveryReply {
  return reply.enhanced === undefined ? { ...reply, enhanced: `${Math.trunc(reply.code / 100)}.0.0` } : reply
}
