import type { Awaitable } from '@postern/core'
import type { Delivery, DeliveryReply, TransactionStart } from '../session/destination.ts'
import { attempt } from '../session/awaitable.ts'
import type { Reply } from '../wire/reply.ts'
import { MessageStream } from '../server/message-stream.ts'
import type { CompatError, CompatOptions, CompatStream } from './options.ts'
import type { CompatSession } from './session.ts'

/** Calls a callback of the program and waits for its answer. One that is not there has no say. */
export function asked<T>(
  call: ((callback: (error?: CompatError | null, value?: T) => void) => void) | undefined,
): Promise<T | undefined> {
  if (call === undefined) return Promise.resolve(undefined)
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (error === undefined || error === null) resolve(value)
      else reject(error)
    })
  })
}

/** The words of a program's error, as smtp-server says them. */
export function refusalOf(error: unknown, usualCode: number): Reply {
  const { responseCode, message } = error as Partial<CompatError>
  const code = responseCode !== undefined && responseCode >= 400 && responseCode < 600 ? responseCode : usualCode
  return { code, lines: [message ?? 'Refused'] }
}

const noRecipients: DeliveryReply = { code: 451, enhanced: '4.3.0', lines: ['Nobody takes the message'] }

/** One message on its way to `onData`, and the recipients before it to `onRcptTo`. */
export class CompatDelivery implements Delivery {
  readonly #options: CompatOptions
  readonly #session: CompatSession
  readonly #start: TransactionStart
  readonly #stream = Object.assign(new MessageStream(), { byteLength: 0, sizeExceeded: false }) satisfies CompatStream
  #hasReceived = false
  #answer: Promise<string | readonly (string | CompatError)[] | undefined> | undefined

  constructor(options: CompatOptions, session: CompatSession, start: TransactionStart) {
    this.#options = options
    this.#session = session
    this.#start = start
  }

  async addRecipient(address: string): Promise<DeliveryReply> {
    const path = { address, args: false } as const
    const { onRcptTo } = this.#options
    return attempt<DeliveryReply>(
      async () => {
        await asked(onRcptTo && ((callback) => onRcptTo(path, this.#session, callback)))
        this.#session.envelope.rcptTo.push(path)
        return { code: 250, enhanced: '2.1.5', lines: ['OK'] }
      },
      (error) => refusalOf(error, 550),
    )
  }

  /** What comes first is our Received field, which programs of smtp-server write by themselves. */
  write(chunk: Buffer): Awaitable<void> {
    if (!this.#hasReceived) {
      this.#hasReceived = true
      return
    }
    this.#answer ??= this.#ask()
    this.#stream.byteLength += chunk.length
    return this.#stream.give(chunk)
  }

  async commit(): Promise<DeliveryReply> {
    const [reply = noRecipients] = await this.#end()
    return reply
  }

  async commitEach(): Promise<readonly DeliveryReply[]> {
    const replies = await this.#end()
    const [only = noRecipients] = replies
    const count = this.#start.envelope.forwardPaths.length
    return replies.length === count ? replies : Array.from({ length: count }, () => only)
  }

  async #end(): Promise<readonly DeliveryReply[]> {
    this.#answer ??= this.#ask()
    this.#stream.end()
    return attempt<readonly DeliveryReply[]>(
      async () => {
        const said = await this.#answer
        return Array.isArray(said) ? said.map((one: string | CompatError) => replyFrom(one)) : [replyFrom(said)]
      },
      (error) => [refusalOf(error, 450)],
    )
  }

  /** Without `onData` the message is read over and taken, as smtp-server does. */
  #ask(): Promise<string | readonly (string | CompatError)[] | undefined> {
    const { onData } = this.#options
    if (onData === undefined) this.#stream.resume()
    const answer = asked<string | readonly (string | CompatError)[]>(
      onData && ((callback) => onData(this.#stream, this.#session, callback)),
    )
    answer.catch(ignore)
    return answer
  }

  abort(): void {
    this.#stream.destroy(new Error('the message was given up: its client is gone, or it was refused'))
  }
}

function replyFrom(said: unknown): DeliveryReply {
  if (said instanceof Error) return refusalOf(said, 450)
  return { code: 250, enhanced: '2.0.0', lines: [typeof said === 'string' ? said : 'OK: message queued'] }
}

function ignore(): void {}
