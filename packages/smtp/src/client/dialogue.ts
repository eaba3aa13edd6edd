/*
 * The client's side of a dialogue as a machine without a socket: commands go out, possibly several in one write; bytes
 * come in and become replies, which belong to the commands in the order in which these were sent (RFC 2920 §3.1).
 *
 * It fails once and for all: whatever is wrong ends the connection, and every question that still waits, and every later
 * one, is answered with that failure. A reply that nobody asked for is such a fault, since to keep it would be to pair
 * it with the next command.
 */
import type { UpstreamErrorCode } from '../errors.ts'
import type { SmtpClientLimits } from '../limits.ts'
import { ReplyReader } from '../wire/reply-reader.ts'
import type { Reply } from '../wire/reply.ts'
import { failed, sayOf, type Answer, type UpstreamFailure } from './failures.ts'

/** What a dialogue needs of its connection. */
export interface Link {
  /** Resolves when the bytes may be reused; also when they could not be sent, which `lost` has told then. */
  write(bytes: Buffer | string): Promise<void>
  /** `timedOut` is called after this time; never, when absent. Each call replaces the one before. */
  setDeadline(ms: number | undefined): void
  /** Ends the connection at once; what waits is not sent. */
  destroy(): void
}

export interface Question {
  /** With its CRLF. */
  readonly command: string
  readonly patienceMs: number
  /** 3yz is a reply to this one. To any other command it is nonsense. */
  readonly mayContinue?: true
  /** With 220 the dialogue in the clear is over (RFC 3207 §4): bytes behind that reply were put there by somebody. */
  readonly endsCleartext?: true
}

/** How many replies the end of a message has. */
export interface Verdicts {
  /** Accepted ones. */
  readonly recipients: number
  /**
   * `smtp`: one. `lmtp`: one for each recipient (RFC 2033 §4.2). `prdr`: 353, then one for each and one for the whole;
   * or one, as in SMTP, when the server has no more to say.
   */
  readonly manner: 'smtp' | 'lmtp' | 'prdr'
}

type Expected = Omit<Question, 'command'>

interface Waiting {
  readonly expected: Expected
  readonly resolve: (answer: Answer) => void
}

/** A connection to a backend, whose dialogue may be secured (RFC 3207). */
export interface Securable {
  readonly dialogue: UpstreamDialogue
  readonly isSecure: boolean
  /** The channel binding of RFC 9266; present with TLS 1.3. */
  readonly tlsExporter: Buffer | undefined
  /** Fails the dialogue when the handshake does. */
  startTls(): Promise<void>
}

export class UpstreamDialogue {
  readonly limits: SmtpClientLimits
  readonly #link: Link
  readonly #reader: ReplyReader
  readonly #waiting: Waiting[] = []
  #failure: UpstreamFailure | undefined
  /** DATA was answered 354, and its end was not sent. */
  #isSendingData = false

  constructor(link: Link, limits: SmtpClientLimits) {
    this.#link = link
    this.limits = limits
    this.#reader = new ReplyReader(limits)
  }

  get failure(): UpstreamFailure | undefined {
    return this.#failure
  }

  /** A reply that comes without a command: the greeting, and the second and later ones of LMTP. */
  expect(patienceMs: number): Promise<Answer> {
    return this.#expect({ patienceMs })
  }

  async ask(question: Question): Promise<Answer> {
    const [answer] = await this.askTogether([question])
    return answer
  }

  /** Sends the commands in one write (RFC 2920). The caller knows that PIPELINING was offered, when there are several. */
  askTogether<const Questions extends readonly Question[]>(
    questions: Questions,
  ): Promise<{ -readonly [Index in keyof Questions]: Answer }> {
    this.refuseHalfReply()
    if (this.#failure === undefined) void this.#link.write(questions.map(({ command }) => command).join(''))
    const answers = Promise.all(questions.map((question) => this.#expect(question)))
    return answers as Promise<{ -readonly [Index in keyof Questions]: Answer }>
  }

  /** A command with octets behind it, which are sent when the reply is there (RFC 3030 §2). */
  async askWithOctets(question: Question, octets: Buffer): Promise<Answer> {
    const answering = this.ask(question)
    await this.#link.write(octets)
    return answering
  }

  /** A piece of the data behind 354; returns when it was taken. */
  async sendData(bytes: Buffer): Promise<void> {
    if (this.#failure !== undefined) return
    this.#link.setDeadline(this.limits.blockPatienceMs)
    await this.#link.write(bytes)
    if (this.#failure === undefined && this.#waiting.length === 0) this.#link.setDeadline(undefined)
  }

  /** What has begun to come began before there was a question, so it is no reply to the one that comes now. */
  refuseHalfReply(): void {
    if (this.#waiting.length === 0 && this.#reader.hasPending) this.fail('SMTP_UPSTREAM_STRAY_REPLY', 'half a reply')
  }

  /** The end of the data, and what the backend makes of it. */
  endData(bytes: Buffer, verdicts: Verdicts): Promise<readonly Answer[]> {
    this.refuseHalfReply()
    this.#isSendingData = false
    if (this.#failure === undefined) void this.#link.write(bytes)
    return this.#expectVerdicts(verdicts)
  }

  /** The same for the last chunk, command and octets together (RFC 3030 §2). */
  endChunks(command: string, octets: Buffer, verdicts: Verdicts): Promise<readonly Answer[]> {
    this.refuseHalfReply()
    if (this.#failure === undefined) void this.#link.write(Buffer.concat([Buffer.from(command), octets]))
    return this.#expectVerdicts(verdicts)
  }

  #expectVerdicts({ manner, recipients }: Verdicts): Promise<readonly Answer[]> {
    const one = (): Promise<Answer> => this.expect(this.limits.finalPatienceMs)
    const each = (count: number): Promise<Answer[]> => Promise.all(Array.from({ length: count }, one))
    if (manner === 'smtp') return each(1)
    if (manner === 'lmtp') return each(recipients)
    return new Promise((resolve) => {
      this.#await({ patienceMs: this.limits.finalPatienceMs, mayContinue: true }, (first) => {
        if (first.ok && isIntermediate(first.reply) && first.reply.code !== 353) {
          resolve([this.fail('SMTP_UPSTREAM_REPLY', `out of place: ${sayOf(first.reply)}`)])
        } else if (!first.ok || first.reply.code !== 353) resolve([first])
        // What follows may have come with it, so it is expected before anything more is read.
        else
          resolve(
            Promise.all([each(recipients), one()]).then(([replies, last]) =>
              replies.map((reply) => within(last, reply)),
            ),
          )
      })
    })
  }

  /** @param bytes - a view of the read buffer; nothing of it is kept. */
  receive(bytes: Buffer): void {
    if (this.#failure !== undefined) return
    this.#reader.push(bytes)
    while (this.#failure === undefined) {
      const event = this.#reader.next()
      if (event.kind === 'more') return
      if (event.kind === 'bad') this.fail('SMTP_UPSTREAM_REPLY', event.detail)
      else this.#pair(event.reply)
    }
  }

  /** The connection ended, with or without an error. */
  lost(detail: string): void {
    this.fail('SMTP_UPSTREAM_LOST', detail)
  }

  timedOut(): void {
    if (this.#waiting.length > 0)
      this.fail('SMTP_UPSTREAM_TIMEOUT', `after ${this.#waiting[0]?.expected.patienceMs} ms`)
    else this.fail('SMTP_UPSTREAM_STALLED', `for ${this.limits.blockPatienceMs} ms`)
  }

  /** The first failure counts. */
  fail(code: UpstreamErrorCode, detail: string, reply?: Reply): Extract<Answer, { ok: false }> {
    if (this.#failure === undefined) {
      this.#failure = failed(code, detail, reply).failure
      this.#link.setDeadline(undefined)
      this.#link.destroy()
      for (const { resolve } of this.#waiting.splice(0)) resolve({ ok: false, failure: this.#failure })
    }
    return { ok: false, failure: this.#failure }
  }

  #expect(expected: Expected): Promise<Answer> {
    return new Promise((resolve) => {
      this.#await(expected, resolve)
    })
  }

  /** @param resolve - called when the reply was read, and before another one is. */
  #await(expected: Expected, resolve: Waiting['resolve']): void {
    const failure = this.#failure
    if (failure !== undefined) {
      resolve({ ok: false, failure })
      return
    }
    this.#waiting.push({ expected, resolve })
    if (this.#waiting.length === 1) this.#link.setDeadline(expected.patienceMs)
  }

  #pair(reply: Reply): void {
    const head = this.#waiting[0]
    // RFC 5321 §3.8: 421 may come to any command, and to none.
    if (reply.code === 421) this.fail('SMTP_UPSTREAM_UNAVAILABLE', sayOf(reply), reply)
    else if (head === undefined) this.#failForStray(reply)
    else if (isIntermediate(reply) && head.expected.mayContinue !== true) {
      this.fail('SMTP_UPSTREAM_REPLY', `out of place: ${sayOf(reply)}`)
    } else if (head.expected.endsCleartext === true && reply.code === 220 && this.#reader.hasPending) {
      this.fail('SMTP_UPSTREAM_INJECTION', 'behind 220 to STARTTLS')
    } else {
      this.#waiting.shift()
      this.#link.setDeadline(this.#waiting[0]?.expected.patienceMs)
      this.#isSendingData = reply.code === 354
      head.resolve({ ok: true, reply })
    }
  }

  /** In the middle of a message 2yz is a lie, and 4yz or 5yz a verdict that came early. */
  #failForStray(reply: Reply): void {
    const detail = sayOf(reply)
    if (!this.#isSendingData || isIntermediate(reply)) this.fail('SMTP_UPSTREAM_STRAY_REPLY', detail)
    else if (reply.code < 300) this.fail('SMTP_UPSTREAM_EARLY_ACCEPTANCE', detail)
    else this.fail('SMTP_UPSTREAM_EARLY_REFUSAL', detail, reply)
  }
}

/** PRDR: what was said to a recipient holds when the message was taken as a whole. */
function within(whole: Answer, reply: Answer): Answer {
  const isTaken = whole.ok && whole.reply.code < 300
  const wasAccepted = reply.ok && reply.reply.code < 300
  return wasAccepted && !isTaken ? whole : reply
}

function isIntermediate({ code }: Reply): boolean {
  return code >= 300 && code < 400
}
