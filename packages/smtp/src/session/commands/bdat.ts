/*
 * RFC 3030 §2, CHUNKING: a message in counted chunks.
 *
 * A chunk that is refused has been sent all the same, since clients need not wait between chunks: it is read over
 * before the reply, so that no octet of it is ever taken for a command. Where its size cannot be read, nothing behind
 * the line can be told apart any more, and the session ends.
 */
import type { Awaitable } from '@postern/core'
import { parseChunkHeader, type ChunkHeader } from '../../wire/bdat.ts'
import { repeated, type Answer, type Octets } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer } from '../faults.ts'
import { IncomingMessage } from '../message.ts'
import { beginMessage, objectionToMessage } from '../trace.ts'
import type { Transaction } from '../transaction.ts'

/** RFC 3030 §2: BDAT. */
export function bdat(dialogue: Dialogue, argument: string): Awaitable<Answer> {
  const header = parseChunkHeader(argument)
  if (!header.ok) return faultAnswer(header.code)
  const { bytes, isLast } = header.value
  const { transaction } = dialogue
  const objection = objectionToMessage(dialogue)
  if (objection !== undefined || transaction === undefined) {
    return readOver(bytes, objection ?? faultAnswer('SMTP_SEQUENCE'))
  }
  if (bytes === 0 && !isLast) dialogue.budget.countIdleCommand()
  const replies = isLast && dialogue.isLmtp ? transaction.envelope.forwardPaths.length : 1
  return after(messageOf(dialogue, transaction), (message) =>
    message instanceof IncomingMessage
      ? { next: { octets: new Chunk(message, header.value) } }
      : readOver(bytes, repeated(message, replies)),
  )
}

/** The message that the first chunk begins and the others continue, or why there can be none. */
function messageOf(dialogue: Dialogue, transaction: Transaction): Awaitable<IncomingMessage | Answer> {
  if (dialogue.message !== undefined) return dialogue.message
  return after(beginMessage(dialogue, transaction), (failure) => {
    if (failure !== undefined) return failure
    const framing = transaction.envelope.body === 'BINARYMIME' ? 'binary' : 'counted'
    return (dialogue.message = new IncomingMessage(dialogue, transaction, framing))
  })
}

class Chunk implements Octets {
  readonly verb = 'BDAT'
  wants: number
  consumed = 0
  readonly #message: IncomingMessage
  readonly #header: ChunkHeader

  constructor(message: IncomingMessage, header: ChunkHeader) {
    this.#message = message
    this.#header = header
    this.wants = header.bytes
    message.expect(header.bytes)
  }

  get isDone(): boolean {
    return this.wants === 0
  }

  receive(bytes: Buffer): Awaitable<void> {
    this.wants -= bytes.length
    this.consumed = bytes.length
    return this.#message.receive(bytes)
  }

  /** What went wrong is told at the first chunk that knows; behind it there is no transaction (RFC 3030 §2). */
  finish(): Awaitable<Answer> {
    const { bytes, isLast } = this.#header
    if (isLast || this.#message.hasFailed) return this.#message.finish(isLast)
    return { reply: { code: 250, enhanced: '2.0.0', lines: [`${bytes} octets received`] } }
  }
}

function readOver(bytes: number, answer: Answer): Answer {
  return { next: { octets: new RefusedChunk(bytes, answer) } }
}

class RefusedChunk implements Octets {
  readonly verb = 'BDAT'
  wants: number
  consumed = 0
  readonly #answer: Answer

  constructor(bytes: number, answer: Answer) {
    this.wants = bytes
    this.#answer = answer
  }

  get isDone(): boolean {
    return this.wants === 0
  }

  receive(bytes: Buffer): void {
    this.wants -= bytes.length
    this.consumed = bytes.length
  }

  finish(): Answer {
    return this.#answer
  }
}
