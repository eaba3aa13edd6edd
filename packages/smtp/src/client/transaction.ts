import type { TransactionStart } from '../session/destination.ts'
import type { Recipient } from '../session/transaction.ts'
import { DataEncoder } from '../wire/data-encoder.ts'
import type { Reply } from '../wire/reply.ts'
import type { Capabilities } from './capabilities.ts'
import type { UpstreamConnection } from './connect.ts'
import type { Question, Verdicts } from './dialogue.ts'
import { sayOf, type Answer, type UpstreamFailure } from './failures.ts'
import type { RelayOptions } from './options.ts'
import { decideMailParameters, decideRecipientParameters } from './parameters.ts'

/** One transaction with one backend: MAIL, RCPT as they come, the message, the verdicts. */
export class UpstreamTransaction {
  readonly #connection: UpstreamConnection
  readonly #capabilities: Capabilities
  readonly #options: RelayOptions
  readonly #start: TransactionStart
  readonly #usesChunks: boolean
  /** MAIL had PRDR. */
  readonly #asksForEach: boolean
  readonly #encoder: DataEncoder
  #recipients = 0
  /** What the backend refused since it took a message. */
  #refusals = 0
  #hasBegunMessage = false
  /** MAIL, DATA or a chunk was refused: the backend's verdict on the whole message. */
  #refusal: Reply | undefined
  /** The end of the message was sent: the point of no return. */
  #isReleased = false
  #hasDelivered = false
  #hasLeft = false

  constructor(
    connection: UpstreamConnection,
    capabilities: Capabilities,
    options: RelayOptions,
    start: TransactionStart,
  ) {
    const isBinary = start.envelope.body === 'BINARYMIME'
    this.#connection = connection
    this.#capabilities = capabilities
    this.#options = options
    this.#start = start
    this.#asksForEach = start.takesVerdictForEach && options.protocol === 'smtp' && capabilities.has('PRDR')
    this.#usesChunks = isBinary || (options.prefersChunking === true && capabilities.has('CHUNKING'))
    this.#encoder = new DataEncoder(isBinary ? 'octets' : this.#usesChunks ? 'lines' : 'dots')
  }

  get failure(): UpstreamFailure | undefined {
    return this.#connection.dialogue.failure
  }

  get refusal(): Reply | undefined {
    return this.#refusal
  }

  /** Refusals since the backend took a message. @param before - those that the connection had already. */
  refusalsAfter(before: number): number {
    return this.#hasDelivered ? this.#refusals : before + this.#refusals
  }

  /** Recipients that the backend accepted. */
  get recipients(): number {
    return this.#recipients
  }

  /** MAIL and the first RCPT, in one write where the backend offered PIPELINING (RFC 2920). */
  async begin(recipient: Recipient): Promise<Answer> {
    const { envelope } = this.#start
    const way = { isVerified: this.#connection.isVerified, asksForEach: this.#asksForEach }
    const parameters = decideMailParameters(envelope, this.#capabilities, way)
    if (!parameters.ok) return this.#refuse(parameters.reply)
    if (!isOneLine(envelope.reversePath) || !isWord(envelope.dsn?.envelopeId)) return this.#refuse(badSender)
    const mail = this.#question(`MAIL FROM:<${envelope.reversePath}>${parameters.text}`)
    const rcpt = this.#rcpt(recipient)
    if (!this.#capabilities.has('PIPELINING') || !rcpt.ok) {
      const answer = this.#judge(await this.#connection.dialogue.ask(mail))
      if (!answer.ok) return answer
      return answer.reply.code >= 300 ? this.#refuse(answer.reply) : this.addRecipient(recipient)
    }
    const [toMail, toRecipient] = await this.#connection.dialogue.askTogether([mail, rcpt.question])
    const judged = this.#judge(toMail)
    if (!judged.ok) return judged
    return judged.reply.code >= 300 ? this.#refuse(judged.reply) : this.#counted(this.#judge(toRecipient))
  }

  async addRecipient(recipient: Recipient): Promise<Answer> {
    const rcpt = this.#rcpt(recipient)
    if (!rcpt.ok) return rcpt.answer
    return this.#counted(this.#judge(await this.#connection.dialogue.ask(rcpt.question)))
  }

  #rcpt({ forwardPath, dsn }: Recipient): { ok: true; question: Question } | { ok: false; answer: Answer } {
    const parameters = decideRecipientParameters(dsn, this.#capabilities)
    return parameters.ok
      ? { ok: true, question: this.#question(`RCPT TO:<${forwardPath}>${parameters.text}`) }
      : { ok: false, answer: { ok: true, reply: parameters.reply } }
  }

  /** Says DATA where that is the way, and learns whether the backend wants the message. */
  async beginMessage(): Promise<void> {
    this.#hasBegunMessage = true
    if (this.#usesChunks) return
    const question: Question = { ...this.#question('DATA'), mayContinue: true }
    const answer = this.#judge(await this.#connection.dialogue.ask(question))
    if (!answer.ok || answer.reply.code === 354) return
    if (answer.reply.code >= 400) this.#refusal = answer.reply
    else this.#connection.dialogue.fail('SMTP_UPSTREAM_REPLY', `DATA: ${sayOf(answer.reply)}`)
  }

  /** Returns when the backend's machine has taken the piece, so that a slow backend slows our client. */
  async write(chunk: Buffer): Promise<void> {
    if (!this.#hasBegunMessage) await this.beginMessage()
    if (this.#isDecided) return
    const bytes = this.#encoder.encode(chunk)
    if (bytes.length === 0) return
    if (!this.#usesChunks) return this.#connection.dialogue.sendData(bytes)
    const answer = this.#judge(await this.#sendChunk(bytes))
    if (answer.ok && answer.reply.code >= 300) this.#refusal = answer.reply
  }

  /**
   * The end of the message.
   *
   * @returns the verdicts: one, or with LMTP and PRDR one for each accepted recipient in their order (RFC 2033 §4.2).
   */
  async commit(): Promise<readonly Answer[]> {
    if (!this.#hasBegunMessage) await this.beginMessage()
    const { dialogue } = this.#connection
    // A verdict that came before the end of the message must not be taken for the one behind it.
    if (!this.#isDecided) await this.#connection.settle()
    dialogue.refuseHalfReply()
    if (this.#refusal !== undefined) return [{ ok: true, reply: this.#refusal }]
    if (dialogue.failure !== undefined) return [{ ok: false, failure: dialogue.failure }]
    this.#isReleased = true
    const end = this.#encoder.end()
    const verdicts = { recipients: this.#recipients, manner: this.#manner }
    const answers = await (this.#usesChunks
      ? dialogue.endChunks(`BDAT ${end.length} LAST\r\n`, end, verdicts)
      : dialogue.endData(end, verdicts))
    const judged = answers.map((answer) => this.#judge(answer))
    if (judged.some((answer) => answer.ok && answer.reply.code < 300)) {
      this.#hasDelivered = true
      this.#refusals = 0
    }
    return judged
  }

  /** Leaves nothing behind. A message under way is cut off: its end is never sent. */
  leave(): void {
    if (this.#hasLeft) return
    this.#hasLeft = true
    if (this.#hasBegunMessage && !this.#isReleased && !this.#isDecided) this.#connection.dialogue.lost('given up')
    else this.#connection.quit()
  }

  /** As `leave`, but the connection stays. @returns whether it can take another transaction. */
  async end(): Promise<boolean> {
    if (this.#hasLeft) return false
    this.#hasLeft = true
    const { dialogue } = this.#connection
    if (this.#hasBegunMessage && !this.#isReleased && !this.#isDecided) dialogue.lost('given up')
    if (this.failure !== undefined) return false
    // RFC 5321 §4.1.1.4: whatever the reply to the end of the data is, it clears the envelope. That of BDAT need not.
    if (this.#isReleased && !this.#usesChunks) return true
    const answer = await dialogue.ask({ command: 'RSET\r\n', patienceMs: dialogue.limits.quitPatienceMs })
    return answer.ok && answer.reply.code === 250
  }

  get #isDecided(): boolean {
    return this.#refusal !== undefined || this.failure !== undefined
  }

  #refuse(reply: Reply): Answer {
    this.#refusal = reply
    return { ok: true, reply }
  }

  #counted(answer: Answer): Answer {
    if (answer.ok && answer.reply.code < 300) this.#recipients++
    return answer
  }

  /** RFC 3030 §2: bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CRLF, and the octets. */
  #sendChunk(octets: Buffer): Promise<Answer> {
    return this.#connection.dialogue.askWithOctets(this.#question(`BDAT ${octets.length}`), octets)
  }

  get #manner(): Verdicts['manner'] {
    if (this.#options.protocol === 'lmtp') return 'lmtp'
    return this.#asksForEach ? 'prdr' : 'smtp'
  }

  /** RFC 4954 §6: the backend wants us to sign in, or no longer believes us. That is our business, not the client's. */
  #judge(answer: Answer): Answer {
    if (!answer.ok) return this.#isReleased ? inDoubt(answer.failure) : answer
    const { code } = answer.reply
    if (code >= 400) this.#refusals++
    if (code !== 530 && code !== 535) return answer
    return this.#connection.dialogue.fail('SMTP_UPSTREAM_AUTHENTICATION', sayOf(answer.reply))
  }

  #question(command: string): Question {
    return { command: `${command}\r\n`, patienceMs: this.#connection.dialogue.limits.replyPatienceMs }
  }
}

/** 421 is a verdict: the backend says itself that it did not take the message. Anything else leaves the question open. */
function inDoubt(failure: UpstreamFailure): Answer {
  if (failure.code === 'SMTP_UPSTREAM_UNAVAILABLE' || failure.code === 'SMTP_UPSTREAM_AUTHENTICATION') {
    return { ok: false, failure }
  }
  return { ok: false, failure: { code: 'SMTP_UPSTREAM_IN_DOUBT', detail: failure.detail } }
}

const badSender: Reply = { code: 501, enhanced: '5.1.7', lines: ['Bad sender address'] }
export const badRecipient: Reply = { code: 501, enhanced: '5.1.3', lines: ['Bad recipient address'] }

/** Sessions let no other address through. This holds also for who calls the relay without one. */
export function isOneLine(path: string): boolean {
  return !/\p{Cc}/u.test(path)
}

/** The same for the value of a parameter, which a space would end. */
export function isWord(value: string = ''): boolean {
  return !/[\p{Cc}\p{Z}]/u.test(value)
}
