import type { Awaitable } from '@postern/core'
import { smtpErrors, type SmtpErrorCode } from '../errors.ts'
import { DataDecoder } from '../wire/data.ts'
import { HeaderSection } from '../wire/header-section.ts'
import { repeated, type Answer, type Octets } from './answer.ts'
import { after } from './awaitable.ts'
import type { DeliveryReply } from './destination.ts'
import type { Dialogue } from './dialogue.ts'
import { faultAnswer } from './faults.ts'
import type { Reply } from '../wire/reply.ts'
import type { Transaction } from './transaction.ts'
import { dateField, messageIdField } from '../wire/trace.ts'

/**
 * The message of a transaction while it comes in: decoded, watched, handed to the destination. It ends at a dot (DATA),
 * or when it is told to (BDAT): `counted` is text in chunks, `binary` is handed on as it comes.
 */
export class IncomingMessage implements Octets {
  readonly verb = 'DATA'
  /** Only its content tells where it ends. */
  readonly wants: number = Number.POSITIVE_INFINITY
  readonly #dialogue: Dialogue
  readonly #transaction: Transaction
  /** None for binary data, in which there is nothing to decode. */
  readonly #decoder: DataDecoder | undefined
  readonly #header: HeaderSection
  #bytes = 0
  /** Why it will be refused at its end; from then on it is only read over. */
  #fault: SmtpErrorCode | undefined

  constructor(dialogue: Dialogue, transaction: Transaction, framing: 'dots' | 'counted' | 'binary') {
    this.#dialogue = dialogue
    this.#transaction = transaction
    const { hostname: authservId, nul = 'reject' } = dialogue.options
    this.#header = new HeaderSection({ authservId, missing: missingFields(dialogue, transaction) })
    if (framing !== 'binary') this.#decoder = new DataDecoder(framing, nul === 'strip')
  }

  /** The end of data was found. */
  get isDone(): boolean {
    return this.#decoder?.isDone === true
  }

  get consumed(): number {
    return this.#decoder?.consumed ?? 0
  }

  /** Whatever else comes of it, it will be refused. */
  get hasFailed(): boolean {
    return this.#fault !== undefined || this.#transaction.hasFailed
  }

  /** So many octets are announced: what is surely too big is not stored first. */
  expect(bytes: number): void {
    if (this.#bytes + bytes > this.#dialogue.maxMessageBytes) this.#fault ??= 'SMTP_MESSAGE_SIZE'
  }

  receive(bytes: Buffer): Awaitable<void> {
    return this.#take(this.#decoder === undefined ? bytes : this.#decoder.decode(bytes))
  }

  #take(content: Buffer): Awaitable<void> {
    this.#bytes += content.length
    if (this.#fault !== undefined) return
    this.#transaction.digest(content)
    return this.#handOn(this.#header.isOver ? content : this.#header.pass(content))
  }

  #handOn(content: Buffer): Awaitable<void> {
    this.#fault = this.#findFault()
    if (this.#fault !== undefined) return this.#transaction.abort()
    if (content.length > 0) return this.#transaction.write(content)
  }

  /** Both ends of it: the last line may lack its own, and the message may end in its header section. */
  #flush(): Awaitable<void> {
    const rest = this.isDone ? undefined : this.#decoder?.end()
    return after(rest === undefined ? undefined : this.#take(rest), () => {
      if (this.#fault === undefined) return this.#handOn(this.#header.end())
    })
  }

  /**
   * The answer to the end of data, with which the transaction is over. A 2yz of the destination is passed on, and with
   * it the responsibility.
   *
   * @param isEnd - false for a chunk with which the message fails before its end: that has one reply in LMTP, too.
   */
  finish(isEnd: boolean = true): Awaitable<Answer> {
    return after(this.#flush(), () =>
      after(this.#judge(isEnd && this.#transaction.start.takesVerdictForEach), (answer) =>
        after(this.#dialogue.endTransaction(), () => answer),
      ),
    )
  }

  #judge(forEach: boolean): Awaitable<Answer> {
    const fault = this.#fault
    const transaction = this.#transaction
    if (fault !== undefined) {
      const answer = faultAnswer(fault)
      this.#report(answer.reply?.code ?? 0, smtpErrors[fault])
      // A message that is refused whole has one reply with PRDR, and in LMTP one for each.
      return forEach && this.#dialogue.isLmtp ? repeated(answer, transaction.envelope.forwardPaths.length) : answer
    }
    return forEach
      ? after(transaction.commitEach(), (replies) => this.#conclude(replies))
      : after(transaction.commit(), (reply) => this.#conclude([reply]))
  }

  /** The observer is told the worst of several replies, since somebody did not get the message. */
  #conclude(replies: readonly DeliveryReply[]): Answer {
    const transaction = this.#transaction
    const worst = replies.length === 1 ? replies[0] : replies.toSorted((a, b) => b.code - a.code)[0]
    this.#report(worst?.code ?? 0, transaction.hasFailed ? transaction.failureText : worst?.detail)
    if (replies.some(({ code }) => code < 300)) this.#dialogue.budget.restore()
    const [reply, ...more] = replies
    if (reply === undefined) return {}
    if (more.length === 0) return { reply }
    if (this.#dialogue.isLmtp) return { reply, more }
    return { reply: verdictsFollow, more: [...replies, verdictOnAll(replies)] }
  }

  #findFault(): SmtpErrorCode | undefined {
    const { limits, options } = this.#dialogue
    if (this.#nuls > 0 && options.nul !== 'strip') return 'SMTP_MESSAGE_NUL'
    if (this.#oddNewlines > 0 && options.bareNewline === 'reject') return 'SMTP_MESSAGE_NEWLINE'
    if (this.#bytes > this.#dialogue.maxMessageBytes) return 'SMTP_MESSAGE_SIZE'
    if (this.#header.bytes > limits.maxHeaderSectionBytes) return 'SMTP_MESSAGE_HEADER'
    if (this.#header.hops > limits.maxHops) return 'SMTP_MESSAGE_HOPS'
    return undefined
  }

  get #oddNewlines(): number {
    return this.#decoder?.oddNewlines ?? 0
  }

  get #nuls(): number {
    return this.#decoder?.nuls ?? 0
  }

  /** Bytes that were changed are told: that may break a signature, and somebody may have tried to smuggle. */
  #report(replyCode: number, detail: string | undefined): void {
    const { connection, options } = this.#dialogue
    const { envelope, start } = this.#transaction
    const repairs = { newlines: this.#oddNewlines, nuls: this.#nuls }
    const details = [
      detail,
      repairs.newlines === 0 ? undefined : `${repairs.newlines} bare CR or LF`,
      repairs.nuls === 0 ? undefined : `${repairs.nuls} NUL`,
    ].filter((text) => text !== undefined)
    options.observer?.transaction?.({
      connection,
      id: start.id,
      envelope,
      replyCode,
      bytes: this.#bytes,
      ...(repairs.newlines + repairs.nuls === 0 ? {} : { repairs }),
      ...(details.length === 0 ? {} : { detail: details.join('; ') }),
    })
    if (options.bareNewline === 'note' && repairs.newlines > 0) {
      options.observer?.repaired?.({ connection, id: start.id, newlines: repairs.newlines })
    }
  }
}

/** PRDR: behind 353 stand the replies for each recipient and one for the whole; with a single recipient that one will do. */
const verdictsFollow: Reply = { code: 353, lines: ['A reply for each recipient follows'] }

/** Somebody has the message, so the client is free of it; or nobody, and then it may try those again who said 4yz. */
function verdictOnAll(replies: readonly Reply[]): Reply {
  if (replies.some(({ code }) => code < 300)) return { code: 250, enhanced: '2.0.0', lines: ['OK, as said for each'] }
  return replies.find(({ code }) => code < 500) ?? replies[0]!
}

const none: ReadonlyMap<string, string> = new Map()

/** RFC 6409 §8.2 and §8.3: what a user's program left out, its first server adds. Mail of others is left as it is. */
function missingFields({ options }: Dialogue, { start }: Transaction): ReadonlyMap<string, string> {
  if (options.mode !== 'submission') return none
  return new Map([
    ['date', dateField(start.at)],
    ['message-id', messageIdField(start.id, options.hostname, start.at)],
  ])
}
