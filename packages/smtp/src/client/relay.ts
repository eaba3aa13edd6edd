/*
 * Relaying, step by step with our client's own transaction: the client hears of each recipient what the backend says,
 * its data goes on as it comes, and it gets 250 when the backend has said so. There is no queue, and nothing is promised
 * that a backend has not promised us.
 *
 * Another backend is tried as long as no backend has accepted a recipient. From then on the transaction belongs to that
 * one: a second backend might refuse what the first accepted.
 */
import { performance } from 'node:perf_hooks'
import { headerAnnouncing, type HeaderToSend } from '@postern/core'
import { clientLimits, type SmtpClientLimits } from '../limits.ts'
import type { RecipientDsnRequest } from '@postern/core'
import type {
  DeliverableRoute,
  Delivery,
  DeliveryReply,
  Destination,
  TransactionStart,
} from '../session/destination.ts'
import type { Recipient } from '../session/transaction.ts'
import { otherRoute, someLacking } from '../wire/codes.ts'
import type { Reply } from '../wire/reply.ts'
import { connect, type Connecting } from './connect.ts'
import { failed, failureReply, sayOf, type Answer, type UpstreamFailure } from './failures.ts'
import { mayKeep, type IdleConnection } from './idle-connections.ts'
import { announceTransaction, open } from './opening.ts'
import { nameOf, type Backend, type RelayOptions } from './options.ts'
import { badRecipient, isOneLine, isWord, UpstreamTransaction } from './transaction.ts'

/** A destination that hands each step of a transaction to an SMTP or LMTP server. */
export function createRelay(options: RelayOptions): Destination {
  return { begin: (start) => new RelayDelivery(options, start) }
}

/** Each transaction has a connection for itself, and one that announced a client never serves another. */
class RelayDelivery implements Delivery {
  readonly #options: RelayOptions
  readonly #limits: SmtpClientLimits
  readonly #start: TransactionStart
  #backend: Backend | undefined
  #upstream: UpstreamTransaction | undefined
  #connection: IdleConnection | undefined
  #hasLeft = false
  /** What every step from here on is answered. */
  #verdict: DeliveryReply | undefined

  constructor(options: RelayOptions, start: TransactionStart) {
    this.#options = options
    this.#limits = { ...clientLimits, ...options.limits }
    this.#start = start
  }

  async addRecipient(forwardPath: string, _route: DeliverableRoute, dsn?: RecipientDsnRequest): Promise<DeliveryReply> {
    if (this.#verdict !== undefined) return this.#verdict
    if (!isOneLine(forwardPath) || !isWord(dsn?.originalRecipient)) return badRecipient
    const upstream = this.#upstream
    if (upstream === undefined) return this.#introduce({ forwardPath, dsn })
    const { protocol, lmtpRecipients = this.#start.takesVerdictForEach ? 'together' : 'apart' } = this.#options
    if (protocol === 'lmtp' && lmtpRecipients === 'apart' && upstream.recipients > 0) return otherRoute
    return this.#tell(await upstream.addRecipient({ forwardPath, dsn }))
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.#verdict === undefined) await this.#upstream?.write(chunk)
  }

  async commit(): Promise<DeliveryReply> {
    return summaryOf(await this.#finish())
  }

  async commitEach(): Promise<readonly DeliveryReply[]> {
    const replies = await this.#finish()
    const recipients = this.#upstream?.recipients ?? 0
    // A verdict on the whole message is one on every recipient.
    return replies.length === recipients ? replies : Array.from({ length: recipients }, () => summaryOf(replies))
  }

  /** What is known before the end of the message. */
  trouble(): DeliveryReply | undefined {
    const { failure, refusal } = this.#upstream ?? {}
    if (this.#verdict !== undefined) return this.#verdict
    if (failure !== undefined) return this.#replyTo(failure)
    return refusal === undefined ? undefined : this.#passOn(refusal)
  }

  abort(): void {
    this.#leave()
  }

  /** Once: from then on the connection may be another transaction's. Nobody waits for it. */
  #leave(): void {
    const upstream = this.#upstream
    if (upstream === undefined || this.#hasLeft) return
    this.#hasLeft = true
    if (mayKeep(this.#options)) void this.#keep(upstream)
    else upstream.leave()
  }

  /** The connection waits for another transaction, where it is fit for one. */
  async #keep(upstream: UpstreamTransaction): Promise<void> {
    const { idle } = this.#options
    const [used, backend] = [this.#connection, this.#backend]
    if (idle === undefined || used === undefined || backend === undefined) {
      upstream.leave()
      return
    }
    const isFit = await upstream.end()
    const refusals = upstream.refusalsAfter(used.refusals)
    if (isFit) idle.keep(nameOf(backend), { ...used, refusals, transactions: used.transactions + 1 })
    else used.connection.quit()
  }

  /** The end of the message: a verdict on all of it, or with LMTP and PRDR one for each recipient. */
  async #finish(): Promise<readonly DeliveryReply[]> {
    const upstream = this.#upstream
    if (this.#verdict !== undefined) return [this.#verdict]
    if (upstream === undefined) return [failureReply(nothingBegun)]
    const answers = await upstream.commit()
    const failure = answers.find((answer) => !answer.ok)?.failure
    if (failure !== undefined) this.#report(failure)
    this.#reportDelivery(answers)
    this.#leave()
    return answers.map((answer) => (answer.ok ? this.#passOn(answer.reply) : this.#replyTo(answer.failure)))
  }

  /** Finds a backend that answers MAIL and the first RCPT, whatever its answer is. */
  async #introduce(recipient: Recipient): Promise<DeliveryReply> {
    const startedAt = performance.now()
    let failure: UpstreamFailure | undefined
    for (const backend of this.#options.backends(this.#start, recipient.forwardPath)) {
      if (this.#leftMs(startedAt) <= 0) break
      this.#backend = backend
      const resumed = await this.#resume(backend, recipient)
      if (resumed?.ok === true) return this.#tell(resumed)
      // Said only if there is no time for another.
      if (resumed !== undefined) failure = resumed.failure
      if (this.#leftMs(startedAt) <= 0) break
      const reaching = await this.#reach(backend, this.#options, this.#leftMs(startedAt))
      const answer = reaching.ok ? await reaching.upstream.begin(recipient) : reaching
      if (answer.ok && reaching.ok) {
        this.#upstream = reaching.upstream
        return this.#tell(answer)
      }
      if (answer.ok) continue
      failure = answer.failure
      this.#report(failure, reaching.ok ? 'transaction' : 'opening')
    }
    this.#verdict = this.#replyTo(failure ?? noBackend(this.#options))
    return this.#verdict
  }

  #leftMs(startedAt: number): number {
    return Math.floor(this.#limits.openingPatienceMs - (performance.now() - startedAt))
  }

  /**
   * A transaction on a connection that was kept.
   *
   * @returns nothing where there is none. Where that fails, or is refused for a reason that may lie in the connection, a new
   *   one is opened: nothing was promised yet.
   */
  async #resume(backend: Backend, recipient: Recipient): Promise<Answer | undefined> {
    const { idle, observer } = this.#options
    if (idle === undefined) return undefined
    if (!mayKeep(this.#options)) {
      idle.makeRoom(nameOf(backend))
      return undefined
    }
    const kept = idle.take(nameOf(backend))
    if (kept === undefined) return undefined
    const { connection, capabilities } = kept
    const event = { transactionId: this.#start.id, backend: nameOf(backend) }
    connection.resume(() => observer?.gone?.(event))
    observer?.connecting?.(event)
    connection.bound(this.#limits.resumedPatienceMs)
    const opening = await announceTransaction(connection.dialogue, this.#options, capabilities, this.#start)
    const upstream = new UpstreamTransaction(connection, capabilities, this.#options, this.#start)
    const answer = opening.ok ? await upstream.begin(recipient) : opening
    connection.opened()
    if (!answer.ok) {
      // What ended this one, as a backend that was started anew, has hardly spared the others.
      idle.leave(nameOf(backend))
      return answer
    }
    // A server that has had enough of a connection may say so to MAIL, and go on with the next one.
    if (upstream.refusal !== undefined && (upstream.refusal.code < 500 || upstream.refusal.code === 503)) {
      upstream.leave()
      return undefined
    }
    observer?.reused?.(event)
    this.#connection = kept
    this.#upstream = upstream
    return answer
  }

  async #reach(
    backend: Backend,
    options: RelayOptions,
    leftMs: number,
  ): Promise<{ readonly ok: true; readonly upstream: UpstreamTransaction } | Extract<Answer, { ok: false }>> {
    const startedAt = performance.now()
    const connecting = await this.#connect(backend, options, leftMs)
    if (!connecting.ok) return connecting
    const { connection } = connecting
    const opening = await open(connection, options, this.#start)
    if (opening.ok) {
      connection.opened()
      const { capabilities } = opening
      this.#connection = { connection, capabilities, transactions: 0, refusals: 0, openedAt: performance.now() }
      options.observer?.opened?.({ transactionId: this.#start.id, backend: nameOf(backend), capabilities })
      return { ok: true, upstream: new UpstreamTransaction(connection, opening.capabilities, options, this.#start) }
    }
    if (options.tls !== 'optional' || opening.failure.code !== 'SMTP_UPSTREAM_TLS') return opening
    // A handshake that failed leaves a connection that nobody can trust, so the cleartext begins on a new one.
    return this.#reach(backend, { ...options, tls: 'off' }, leftMs - (performance.now() - startedAt))
  }

  #connect(backend: Backend, options: RelayOptions, leftMs: number): Promise<Connecting> {
    const event = { transactionId: this.#start.id, backend: nameOf(backend) }
    options.observer?.connecting?.(event)
    return connect(backend, options, headerFor(options, this.#start), leftMs, () => options.observer?.gone?.(event))
  }

  /** What the backend said to RCPT, or why it cannot be asked any more. */
  #tell(answer: Answer): DeliveryReply {
    const refusal = this.#upstream?.refusal
    if (!answer.ok) {
      this.#report(answer.failure)
      this.#verdict = this.#replyTo(answer.failure)
      return this.#verdict
    }
    const reply = this.#passOn(answer.reply)
    if (refusal !== undefined) this.#verdict = reply
    return reply
  }

  #passOn(reply: Reply): DeliveryReply {
    const lines = reply.lines.map((line) => cut(line, this.#limits.maxPassedLineBytes))
    return { ...reply, lines, detail: `${this.#backendName} said: ${sayOf(reply)}` }
  }

  #replyTo(failure: UpstreamFailure): DeliveryReply {
    const reply = failureReply(failure)
    return { ...this.#passOn(reply), detail: `${this.#backendName}: ${reply.detail}` }
  }

  get #backendName(): string {
    return this.#backend === undefined ? 'no backend' : nameOf(this.#backend)
  }

  #report({ code, detail }: UpstreamFailure, step: 'opening' | 'transaction' = 'transaction'): void {
    this.#options.observer?.failed?.({ transactionId: this.#start.id, backend: this.#backendName, code, detail, step })
  }

  #reportDelivery(answers: readonly Answer[]): void {
    const replies = answers.filter((answer) => answer.ok).map(({ reply }) => sayOf(reply))
    if (replies.length === 0) return
    this.#options.observer?.delivered?.({ transactionId: this.#start.id, backend: this.#backendName, replies })
  }
}

function noBackend({ whyNone }: RelayOptions): UpstreamFailure {
  return failed('SMTP_UPSTREAM_UNREACHABLE', whyNone?.() ?? 'there is none to try').failure
}

const nothingBegun = failed('SMTP_UPSTREAM_LOST', 'no recipient was accepted').failure

/** The PROXY header that announces the client, where that is how it is announced. */
export function headerFor(
  { announcement, proxyTlvs, hasProxyChecksum = false }: RelayOptions,
  start: TransactionStart,
): HeaderToSend | undefined {
  if (announcement !== 'proxy-v1' && announcement !== 'proxy-v2') return undefined
  const header = headerAnnouncing(start.connection.identity, announcement === 'proxy-v1' ? 1 : 2)
  const isBinary = header.version === 2 && header.command === 'proxy'
  return isBinary ? { ...header, tlvs: proxyTlvs?.(start) ?? [], hasChecksum: hasProxyChecksum } : header
}

/** One reply for all recipients, as SMTP wants it. */
function summaryOf(replies: readonly DeliveryReply[]): DeliveryReply {
  const [first = failureReply(nothingBegun)] = replies
  if (replies.every(({ code }) => code < 300)) return first
  const detail = replies.map((reply) => reply.detail).join('; ')
  if (replies.some(({ code }) => code < 300)) return { ...someLacking, detail }
  // What is permanent for one only must not be permanent for all.
  const worst = replies.find(({ code }) => code < 500) ?? first
  return { ...worst, detail }
}

/** At a whole character. */
function cut(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text
  let kept = ''
  let bytes = 0
  for (const char of text) {
    bytes += Buffer.byteLength(char)
    if (bytes > maxBytes) break
    kept += char
  }
  return kept
}
