/*
 * Where the responses of a backend begin and end, by counting: line ends and literals, nothing else (RFC 3501 section 2.2.2).
 * So a BYE of ours can stand between two responses and never inside one, where a client would take it for mail.
 */

const LF = 10

/** An announcement of a literal and its line end: `~{9223372036854775807+}` CR (RFC 9051 section 9, `number64`). */
const tailOctets = 24
/** As much of a response as tells what it is. */
const headOctets = 48

export class ResponseTracker {
  /** Octets of the literal under way that are still to come. */
  #literal = 0
  /** The last octets of the line under way, if it began in an earlier chunk. */
  #tail = ''
  /** The first octets of the response under way. */
  #head = ''
  /** The line under way is the first of its response. */
  #isFirstLine = true
  /** Something of the line under way has come. */
  #isInLine = false
  #hasSaidBye = false

  /** The last octet that was seen is the last of a response. */
  get isAtBoundary(): boolean {
    return this.#isFirstLine && !this.#isInLine
  }

  /** The backend took its leave: `* BYE`. */
  get hasSaidBye(): boolean {
    return this.#hasSaidBye
  }

  /** @param bytes - only looked at. */
  feed(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#literal > 0) {
        const skipped = Math.min(this.#literal, bytes.length - at)
        this.#literal -= skipped
        at += skipped
        continue
      }
      const lf = bytes.indexOf(LF, at)
      const end = lf === -1 ? bytes.length : lf
      if (this.#isFirstLine && this.#head.length < headOctets) {
        this.#head += bytes.toString('latin1', at, Math.min(end, at + headOctets - this.#head.length))
      }
      const from = Math.max(at, end - tailOctets)
      const tail = bytes.toString('latin1', from, end)
      this.#tail = from > at ? tail : (this.#tail + tail).slice(-tailOctets)
      if (lf === -1) {
        this.#isInLine ||= end > at
        return
      }
      this.#endLine()
      at = lf + 1
    }
  }

  #endLine(): void {
    const announced = this.#isText ? undefined : /\{(\d{1,19})\+?\}\r?$/.exec(this.#tail)?.[1]
    this.#tail = ''
    this.#isInLine = false
    if (announced !== undefined) {
      this.#literal = Number(announced)
      this.#isFirstLine = false
      return
    }
    if (this.#isFirstLine && /^\* BYE\b/i.test(this.#head)) this.#hasSaidBye = true
    this.#isFirstLine = true
    this.#head = ''
  }

  /** RFC 3501 section 9, `resp-text`: text for people, in which braces mean nothing. */
  get #isText(): boolean {
    return this.#isFirstLine && /^(?:\+|\S+ (?:OK|NO|BAD|BYE|PREAUTH)\b)/i.test(this.#head)
  }
}

/**
 * Whether a client may have asked for compression (RFC 4978). Behind that nothing of the other direction can be read, so one
 * word too many matters little, and one too few would have us write into a compressed stream.
 */
export class CompressionWatch {
  #last = ''
  mayBeCompressed = false

  /** @param bytes - of the client; only looked at. */
  feed(bytes: Buffer): void {
    if (this.mayBeCompressed) return
    const border = this.#last + bytes.toString('latin1', 0, needleOctets - 1)
    this.mayBeCompressed = needles.some((needle) => border.includes(needle) || bytes.includes(needle))
    this.#last = (this.#last + bytes.toString('latin1', Math.max(0, bytes.length - needleOctets + 1))).slice(
      1 - needleOctets,
    )
  }
}

/** As clients write it; one that writes it otherwise may lose our BYE in its stream, and nothing else. */
const needles = ['COMPRESS', 'compress', 'Compress']
const needleOctets = 8
