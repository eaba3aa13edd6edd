/*
 * Lines of SMTP and IMAP: bytes up to CRLF, with a bound. A CR or LF alone is no line end (RFC 5321 section 2.3.8); it
 * is reported and never repaired, since to repair it is to disagree with somebody else about where a command ends.
 */
import { ByteQueue } from './byte-queue.ts'

/** What `LineReader.next` found. */
export type LineEvent =
  /** A whole line without its CRLF. `bytes` is a view, valid until the next `push` or the answer `more`. */
  | { readonly kind: 'line'; readonly bytes: Buffer }
  /** No whole line is there. What is left has been copied, so the pushed chunk may be reused. */
  | { readonly kind: 'more' }
  /** A line passed the bound. Told once, at once; the rest of that line, through its LF, is dropped without a word. */
  | { readonly kind: 'too-long' }
  /** A line, ended by CRLF, with a CR in it that no LF follows. `bytes` as in `line`. */
  | { readonly kind: 'bare-cr'; readonly bytes: Buffer }
  /** A line that was ended by LF alone, which is consumed. `bytes` as in `line`. */
  | { readonly kind: 'bare-lf'; readonly bytes: Buffer }

const more: LineEvent = Object.freeze({ kind: 'more' })
const tooLong: LineEvent = Object.freeze({ kind: 'too-long' })

/**
 * Usage: `push` what was received, then call `next` until it answers `more`. Between lines, `take` hands out raw bytes
 * (the content of a literal, message data).
 */
export class LineReader {
  /** The bound for a line with its CRLF, in bytes. May be changed between lines. */
  maxLineBytes: number
  readonly #queue = new ByteQueue()
  /** Bytes at the start of the queue that are known to hold no LF. */
  #searched = 0
  #isDropping = false

  constructor(maxLineBytes: number) {
    this.maxLineBytes = maxLineBytes
  }

  /** How many received bytes were not handed out yet. */
  get pendingBytes(): number {
    return this.#queue.length
  }

  /** Adds what was received: viewed, not copied, until `next` answers `more`. */
  push(chunk: Buffer): void {
    this.#queue.push(chunk)
  }

  /** The next line, or what is wrong with it; `more` when no whole line is there. Never throws, whatever the bytes. */
  next(): LineEvent {
    if (this.#isDropping && !this.#dropToLf()) {
      this.#queue.keep()
      return more
    }
    const lf = this.#queue.indexOfLf(this.#searched)
    if (lf === -1) {
      this.#searched = this.#queue.length
      if (this.#searched >= this.maxLineBytes) {
        this.#isDropping = true
        return tooLong
      }
      this.#queue.keep()
      return more
    }
    this.#searched = 0
    const line = this.#queue.take(lf + 1)
    if (line.length > this.maxLineBytes) return tooLong
    const cr = line.indexOf(0x0d)
    if (lf === 0 || line[lf - 1] !== 0x0d) return { kind: 'bare-lf', bytes: line.subarray(0, lf) }
    return { kind: cr === lf - 1 ? 'line' : 'bare-cr', bytes: line.subarray(0, lf - 1) }
  }

  /** Takes up to `maxBytes` of what waits, lines or not: a view, valid until the next `push` or the answer `more`. */
  take(maxBytes: number): Buffer {
    this.#searched = 0
    return this.#queue.take(maxBytes)
  }

  /** Forgets all that was received, as STARTTLS demands (RFC 3207 section 4.2). */
  clear(): void {
    this.#queue.clear()
    this.#searched = 0
    this.#isDropping = false
  }

  /** The rest of a line that was too long goes; answers whether its end was found. */
  #dropToLf(): boolean {
    const lf = this.#queue.indexOfLf()
    this.#queue.drop(lf === -1 ? this.#queue.length : lf + 1)
    this.#searched = 0
    this.#isDropping = lf === -1
    return !this.#isDropping
  }
}
