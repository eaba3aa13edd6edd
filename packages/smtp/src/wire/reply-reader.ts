import { escapeBytes, LineReader } from '@postern/core'
import type { SmtpClientLimits } from '../limits.ts'
import type { Reply } from './reply.ts'

export type ReplyEvent =
  | { readonly kind: 'reply'; readonly reply: Reply }
  /** No whole reply is there. What is left has been copied, so the pushed chunk may be reused. */
  | { readonly kind: 'more' }
  /** What came is no reply, or too much of one. From here on nothing can be told apart, so this is told for ever. */
  | { readonly kind: 'bad'; readonly detail: string }

const more: ReplyEvent = Object.freeze({ kind: 'more' })

/** RFC 5321 §4.2: Reply-code = %x32-35 %x30-35 %x30-39. Servers are met whose second digit is larger. */
const replyLine = /^([2-5]\d\d)(?:([ -])(.*))?$/s
/** RFC 3463 §2: class "." subject "." detail */
const statusCode = /^([245]\.\d{1,3}\.\d{1,3})(?: |$)/

/**
 * Replies out of what a server sends, strictly: a reader that repairs may pair the reply to one command with another.
 * Usage: `push` what was received, then call `next` until it answers something else than `reply`.
 */
export class ReplyReader {
  readonly #limits: SmtpClientLimits
  readonly #reader: LineReader
  /** Of the reply under way. */
  #code = ''
  #lines: string[] = []
  #enhanced: string | undefined
  #bytes = 0
  #bad: ReplyEvent | undefined

  constructor(limits: SmtpClientLimits) {
    this.#limits = limits
    this.#reader = new LineReader(limits.maxReplyLineBytes)
  }

  /** Something came that is part of no reply told so far. */
  get hasPending(): boolean {
    return this.#reader.pendingBytes > 0 || this.#lines.length > 0
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk)
  }

  next(): ReplyEvent {
    while (this.#bad === undefined) {
      const event = this.#reader.next()
      if (event.kind === 'more') return more
      if (event.kind !== 'line') return this.#fail(oddities[event.kind])
      this.#bytes += event.bytes.length + 2
      if (this.#bytes > this.#limits.maxReplyBytes) return this.#fail('a reply too long')
      const reply = this.#take(event.bytes)
      if (reply !== undefined) return reply
    }
    return this.#bad
  }

  /** Adds a line; with the last one the reply is whole. */
  #take(bytes: Buffer): ReplyEvent | undefined {
    if (bytes.includes(0)) return this.#fail('a NUL in a reply')
    const match = replyLine.exec(bytes.toString())
    if (match === null) return this.#fail(`no reply: ${escapeBytes(bytes)}`)
    const [, code = '', separator = ' ', text = ''] = match
    if (this.#lines.length > 0 && code !== this.#code) return this.#fail('a reply with two codes')
    if (this.#lines.length === this.#limits.maxReplyLines) return this.#fail('a reply with too many lines')
    if (this.#lines.length === 0) {
      this.#code = code
      this.#enhanced = statusOf(code, text)
    }
    this.#lines.push(statusOf(code, text) === undefined ? text : text.replace(statusCode, ''))
    return separator === ' ' ? this.#finish() : undefined
  }

  #finish(): ReplyEvent {
    const enhanced = this.#enhanced
    const reply: Reply = {
      code: Number(this.#code),
      lines: this.#lines,
      ...(enhanced === undefined ? {} : { enhanced }),
    }
    this.#lines = []
    this.#bytes = 0
    return { kind: 'reply', reply }
  }

  #fail(detail: string): ReplyEvent {
    this.#reader.clear()
    this.#lines = []
    this.#bad = { kind: 'bad', detail }
    return this.#bad
  }
}

const oddities = {
  'too-long': 'a reply line too long',
  'bare-cr': 'a bare CR in a reply',
  'bare-lf': 'a reply line ended by LF alone',
} as const

/** RFC 2034 §4: the class of the enhanced code is that of the reply; anything else is words that look like one. */
function statusOf(code: string, text: string): string | undefined {
  const status = statusCode.exec(text)?.[1]
  return status?.[0] === code[0] ? status : undefined
}
