import type { Awaitable } from '@postern/core'
import { smtpErrors, type SmtpErrorCode } from '../errors.ts'
import { DataDecoder } from '../wire/data.ts'
import { HeaderSection } from '../wire/header-section.ts'
import type { Answer } from './answer.ts'
import { after } from './awaitable.ts'
import type { DeliveryReply } from './destination.ts'
import type { Dialogue } from './dialogue.ts'
import { faultAnswer } from './faults.ts'
import type { Transaction } from './transaction.ts'

/** The message of a transaction while it comes in: decoded, watched, handed to the destination. */
export class IncomingMessage {
  readonly #dialogue: Dialogue
  readonly #transaction: Transaction
  readonly #decoder: DataDecoder
  readonly #header = new HeaderSection()
  #bytes = 0
  /** Why it will be refused at its end; from then on it is only read over. */
  #fault: SmtpErrorCode | undefined

  constructor(dialogue: Dialogue, transaction: Transaction) {
    this.#dialogue = dialogue
    this.#transaction = transaction
    this.#decoder = new DataDecoder((dialogue.options.bareNewline ?? 'normalize') === 'normalize')
  }

  /** The end of data was found. */
  get isDone(): boolean {
    return this.#decoder.isDone
  }

  /** How many bytes of the last chunk belonged to it. */
  get consumed(): number {
    return this.#decoder.consumed
  }

  /** @param bytes - the next chunk, up to the end of data or beyond it. */
  receive(bytes: Buffer): Awaitable<void> {
    const content = this.#decoder.decode(bytes)
    this.#bytes += content.length
    if (this.#fault !== undefined) return
    if (!this.#header.isOver) this.#header.scan(content)
    this.#fault = this.#findFault()
    if (this.#fault !== undefined) return this.#transaction.abort()
    if (content.length > 0) return this.#transaction.write(content)
  }

  /** The answer to the end of data. A 2yz of the destination is passed on, and with it the responsibility. */
  finish(): Awaitable<Answer> {
    const fault = this.#fault
    if (fault !== undefined) {
      const answer = faultAnswer(fault)
      this.#report(answer.reply?.code ?? 0, smtpErrors[fault])
      return answer
    }
    return after(this.#transaction.commit(), (reply) => this.#conclude(reply))
  }

  #conclude(reply: DeliveryReply): Answer {
    const transaction = this.#transaction
    const detail = transaction.hasFailed ? transaction.failureText : reply.detail
    this.#report(reply.code, detail)
    if (reply.code < 300) this.#dialogue.budget.restore()
    return { reply }
  }

  #findFault(): SmtpErrorCode | undefined {
    const { limits, options } = this.#dialogue
    if (this.#decoder.hasNul) return 'SMTP_MESSAGE_NUL'
    if (this.#decoder.oddNewlines > 0 && options.bareNewline === 'reject') return 'SMTP_MESSAGE_NEWLINE'
    if (this.#bytes > limits.maxMessageBytes) return 'SMTP_MESSAGE_SIZE'
    if (this.#header.bytes > limits.maxHeaderSectionBytes) return 'SMTP_MESSAGE_HEADER'
    if (this.#header.hops > limits.maxHops) return 'SMTP_MESSAGE_HOPS'
    return undefined
  }

  /** Odd newlines are told: repairing them may break a signature, and somebody may have tried to smuggle. */
  #report(replyCode: number, detail: string | undefined): void {
    const { connection, options } = this.#dialogue
    const { envelope, start } = this.#transaction
    const odd = this.#decoder.oddNewlines
    const details = [detail, odd === 0 ? undefined : `${odd} bare CR or LF`].filter((text) => text !== undefined)
    options.observer?.transaction?.({
      connection,
      id: start.id,
      envelope,
      replyCode,
      bytes: this.#bytes,
      ...(details.length === 0 ? {} : { detail: details.join('; ') }),
    })
  }
}
