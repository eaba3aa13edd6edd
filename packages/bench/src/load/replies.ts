/*
 * Reads what a server says, as cheaply as can be: how many replies came, and of what kind. No reply is kept and none is
 * made a string.
 */

/** A reply is told as a number: the three digits of SMTP, or one of these for IMAP. */
export const imapCode = { ok: 1_000, no: 1_001, bad: 1_002, bye: 1_003, continuation: 1_004, greeting: 1_005 } as const
/** What is neither of SMTP nor of IMAP. */
export const garbled = 1_006
/** One more than the largest code. */
export const codes = 1_007

/** The name of a code, as it is printed. */
export function nameOfCode(code: number): string {
  const names = ['OK', 'NO', 'BAD', 'BYE', '+', 'greeting', 'garbled']
  return code >= 1_000 ? names[code - 1_000]! : String(code)
}

/** Reads a stream of replies, however it is split. */
export interface ReplyReader {
  /** @param length - octets of `bytes` that count; none of it is kept. */
  feed(bytes: Uint8Array, length: number, onReply: (code: number) => void): void
}

const lf = 0x0a
const cr = 0x0d
const zero = 0x30

/** RFC 5321 §4.2: a reply is a line, or several of which all but the last have a hyphen behind the code. */
export class SmtpReplies implements ReplyReader {
  /** Octets of this line that were looked at, at most 4. */
  #seen = 0
  #code = 0
  #isLast = true

  feed(bytes: Uint8Array, length: number, onReply: (code: number) => void): void {
    let at = 0
    while (at < length) {
      while (this.#seen < 4 && at < length && bytes[at] !== lf) this.#look(bytes[at++]!)
      const end = bytes.indexOf(lf, at)
      if (end < 0 || end >= length) return
      at = end + 1
      const code = this.#seen >= 3 && this.#code >= 0 ? this.#code : garbled
      const isLast = this.#isLast
      this.#seen = 0
      this.#code = 0
      this.#isLast = true
      if (isLast) onReply(code)
    }
  }

  #look(octet: number): void {
    if (this.#seen === 3) this.#isLast = octet !== 0x2d
    else if (this.#code >= 0) {
      const digit = octet - zero
      this.#code = digit >= 0 && digit <= 9 ? this.#code * 10 + digit : -1
    }
    this.#seen++
  }
}

/** Longest `~{4294967295+}` with its CR, and some. */
const maxLiteralText = 24

/**
 * RFC 9051 §7: tagged responses to the tag `a`, continuation requests, the greeting and BYE are told; other untagged data is
 * read over, and with it its literals, whose octets are never taken for responses.
 */
export class ImapResponses implements ReplyReader {
  /** The first octets of this line, and the last ones, as far as they came in earlier pieces. */
  #head = ''
  #tail = ''
  #literalLeft = 0
  /** Behind a literal a line goes on: it does not begin. */
  #isContinued = false
  #isGreeted = false

  feed(bytes: Uint8Array, length: number, onReply: (code: number) => void): void {
    let at = 0
    while (at < length) {
      if (this.#literalLeft > 0) {
        const skipped = Math.min(this.#literalLeft, length - at)
        this.#literalLeft -= skipped
        at += skipped
        continue
      }
      const found = bytes.indexOf(lf, at)
      const end = found < 0 || found >= length ? length : found
      if (this.#head.length < 6) this.#head += latin1(bytes, at, Math.min(end, at + 6 - this.#head.length))
      if (end === length) {
        this.#tail = (this.#tail + latin1(bytes, Math.max(at, end - maxLiteralText), end)).slice(-maxLiteralText)
        return
      }
      this.#literalLeft = this.#literalAt(bytes, at, end)
      if (!this.#isContinued) this.#told(onReply)
      this.#isContinued = this.#literalLeft > 0
      // A literal of no octets continues its line all the same.
      if (this.#literalLeft === emptyLiteral) this.#literalLeft = 0
      this.#head = ''
      this.#tail = ''
      at = end + 1
    }
  }

  /** The octets that a literal announces at the end of a line; 0 for none. */
  #literalAt(bytes: Uint8Array, from: number, end: number): number {
    const last = end - from >= 2 ? bytes[end - 2] : undefined
    if (last !== undefined && (last !== 0x7d || bytes[end - 1] !== cr)) return 0
    const text = this.#tail + latin1(bytes, Math.max(from, end - maxLiteralText), end)
    const size = /\{(\d{1,10})\}\r$/.exec(text)?.[1]
    if (size === undefined) return 0
    return Number(size) || emptyLiteral
  }

  #told(onReply: (code: number) => void): void {
    const head = this.#head
    if (head.startsWith('* ')) {
      const isBye = head.startsWith('BYE', 2)
      if (!this.#isGreeted) onReply(isBye ? imapCode.bye : imapCode.greeting)
      else if (isBye) onReply(imapCode.bye)
      this.#isGreeted = true
    } else if (head.startsWith('a OK')) onReply(imapCode.ok)
    else if (head.startsWith('a NO')) onReply(imapCode.no)
    else if (head.startsWith('a BAD')) onReply(imapCode.bad)
    else if (head.startsWith('+')) onReply(imapCode.continuation)
    else onReply(garbled)
  }
}

/** Stands for `{0}`. Above any size that ten digits can say, which never is one here. */
const emptyLiteral = Number.MAX_SAFE_INTEGER

function latin1(bytes: Uint8Array, from: number, to: number): string {
  let text = ''
  for (let at = from; at < to; at++) text += String.fromCharCode(bytes[at]!)
  return text
}
