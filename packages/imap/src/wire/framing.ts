/*
 * Finds the commands in what the client sends (RFC 3501 sections 2.2.1 and 4.3). A line that ends with `{n}` goes on
 * after n octets of anything, so where a command ends cannot be told from line ends alone. This file only finds the
 * frame; what stands in it is read by `tokens.ts` from the same octets, literals in their places.
 *
 * At each announced literal the session decides before an octet of it is taken: keep it, stream it (a message), or
 * refuse it. Nothing is ever allocated by what a client claims, only by what it has sent.
 */
import type { ImapLimits } from '../limits.ts'

export type Frame =
  /** Nothing complete is left. */
  | { readonly kind: 'more' }
  /** A whole command without its last line end; literals stand in it as `{n}` CRLF octets. */
  | { readonly kind: 'command'; readonly text: string }
  /** A literal is announced: answer with `keepLiteral`, `streamLiteral` or `refuseLiteral`. `head` is what came before. */
  | ({ readonly kind: 'literal'; readonly head: string } & AnnouncedLiteral)
  /** Octets of a streamed literal; a view, valid until the next call of `feed`. `isLast`: nothing of it is missing. */
  | { readonly kind: 'content'; readonly bytes: Buffer; readonly isLast: boolean }
  /** What followed a streamed literal up to the line end. Up to another literal, `literal` comes with it as its head. */
  | { readonly kind: 'rest'; readonly text: string }
  /** The end of a command that was refused has been found. */
  | { readonly kind: 'skipped' }
  /** The line is longer than allowed: `skipCommand` goes on, or the session closes. */
  | { readonly kind: 'overlong'; readonly head: string }
  /** More was skipped than allowed, or the client sends a literal whose length cannot be understood. */
  | { readonly kind: 'lost' }

/** A literal that is announced, and has not been taken. */
export interface AnnouncedLiteral {
  readonly bytes: number
  /** The client waits for our word before it sends. */
  readonly isSync: boolean
  /** RFC 3516 section 4.4, `literal8`: any octet may stand in it, NUL too. */
  readonly isBinary: boolean
}

type Bounds = Pick<ImapLimits, 'maxLineBytes' | 'maxCommandBytes' | 'maxSkippedBytes' | 'maxSkippedLiteralBytes'>

const LF = 10
const CR = 13
const SPACE = 32
const QUOTE = 34
const BACKSLASH = 92
const CLOSING_BRACE = 125

const more: Frame = { kind: 'more' }
const nothing: Buffer = Buffer.alloc(0)

export class CommandReader {
  /** Changed at login. */
  bounds: Bounds
  /** The next line is no command but the client's turn in AUTHENTICATE or IDLE: braces mean nothing in it. */
  expectsPlainLine = false

  #bytes: Buffer = nothing
  /** `#bytes` is our own copy, with room behind `#end`. */
  #isOwned = false
  #end = 0
  /** Where the command under way begins, its current line begins, and how far that line was looked through. */
  #start = 0
  #lineStart = 0
  #scanned = 0
  /** Octets of the command's lines that are complete, literals not counted. */
  #lineBytes = 0
  #mode: 'line' | 'announced' | 'literal' | 'content' | 'rest' | 'skip-line' | 'skip-literal' = 'line'
  #literalBytes = 0
  #isSync = true
  #skipped = 0
  #skippedOfLiterals = 0

  constructor(bounds: Bounds) {
    this.bounds = bounds
  }

  /** Octets were received that have not been given out. */
  get hasUnread(): boolean {
    return this.#end > this.#start
  }

  /** Something of a command has come, but not all of it. */
  get isInsideCommand(): boolean {
    return this.hasUnread || this.#mode !== 'line'
  }

  /** Adds received bytes. They are only looked at until `release`. */
  feed(chunk: Buffer): void {
    if (this.#start === this.#end) {
      this.#rebase(chunk, false, chunk.length)
      return
    }
    const unread = this.#end - this.#start
    if (this.#isOwned && this.#bytes.length - this.#end >= chunk.length) {
      this.#end += chunk.copy(this.#bytes, this.#end)
      return
    }
    const room = Buffer.allocUnsafe(Math.max(256, (unread + chunk.length) * 2))
    this.#bytes.copy(room, 0, this.#start, this.#end)
    chunk.copy(room, unread)
    this.#rebase(room, true, unread + chunk.length)
  }

  /** Lets go of the fed buffer: what is unread is copied. Call it before the buffer can change. */
  release(): void {
    if (this.#start === this.#end) {
      this.#rebase(nothing, false, 0)
    } else if (!this.#isOwned) {
      const unread = Buffer.from(this.#bytes.subarray(this.#start, this.#end))
      this.#rebase(unread, true, unread.length)
    }
  }

  /** Everything that was received and not given out, as an owned copy: somebody else reads on from here. */
  takeUnread(): Buffer {
    const unread = Buffer.from(this.#bytes.subarray(this.#start, this.#end))
    this.reset()
    return unread
  }

  /** Throws away everything received and begins anew (STARTTLS). */
  reset(): void {
    this.#rebase(nothing, false, 0)
    this.#beginCommand(0)
    this.expectsPlainLine = false
  }

  next(): Frame {
    switch (this.#mode) {
      case 'announced':
        return more
      case 'literal':
        if (this.#end - this.#lineStart < this.#literalBytes) return more
        this.#beginLine(this.#lineStart + this.#literalBytes)
        this.#mode = 'line'
        return this.#nextLine()
      case 'content':
        return this.#nextContent()
      case 'skip-literal':
      case 'skip-line':
        return this.#skip()
      case 'line':
      case 'rest':
        return this.#nextLine()
    }
    return more
  }

  /** Takes the announced literal into the command. */
  keepLiteral(): void {
    this.#mode = 'literal'
  }

  /** Gives out the announced literal as `content`, then the end of its line as `rest`. The head is forgotten. */
  streamLiteral(): void {
    this.#start = this.#lineStart
    this.#mode = 'content'
  }

  /**
   * Takes nothing of the announced literal. A client that waits for our word sends none of it: the command is over, and
   * `true` comes back. One that does not wait has sent it already: it is skipped, and `skipped` follows.
   */
  refuseLiteral(): boolean {
    this.#start = this.#lineStart
    if (this.#isSync) {
      this.#beginCommand(this.#start)
      return true
    }
    this.#mode = 'skip-literal'
    this.#skipped = 0
    this.#skippedOfLiterals = 0
    return false
  }

  /** Looks for the end of a command that is too long; `skipped` or `lost` follows. */
  skipCommand(): void {
    this.#mode = 'skip-line'
    this.#skipped = 0
    this.#skippedOfLiterals = 0
  }

  #nextLine(): Frame {
    const lf = this.#bytes.subarray(0, this.#end).indexOf(LF, this.#scanned)
    const lineBytes = this.#lineBytes + (lf === -1 ? this.#end : lf) - this.#lineStart
    const commandBytes = (lf === -1 ? this.#end : lf) - this.#start
    if (lineBytes > this.bounds.maxLineBytes || commandBytes > this.bounds.maxCommandBytes) {
      return { kind: 'overlong', head: this.#text(this.#start, Math.min(this.#end, this.#start + 256)) }
    }
    this.#scanned = this.#end
    if (lf === -1) return more
    // A bare LF ends a line too, as in every server in use: people type commands by hand.
    const lineEnd = lf > this.#lineStart && this.#bytes[lf - 1] === CR ? lf - 1 : lf
    const announced = this.expectsPlainLine ? undefined : this.#announced(lineEnd)
    if (announced === 'malformed') return { kind: 'lost' }
    if (announced === undefined) {
      const text = this.#text(this.#start, this.expectsPlainLine ? lineEnd : this.#withoutBlanks(lineEnd))
      const kind = this.#mode === 'rest' ? 'rest' : 'command'
      this.#beginCommand(lf + 1)
      return { kind, text }
    }
    const { bytes, isSync, isBinary, width } = announced
    const head = this.#text(this.#start, lineEnd - width)
    this.#announce(announced, lf + 1, lineBytes)
    return { kind: 'literal', head, bytes, isSync, isBinary }
  }

  /** Where the line ends without the spaces at its end, which mean nothing (ADR 0039); those of a literal stay. */
  #withoutBlanks(lineEnd: number): number {
    let end = lineEnd
    while (end > this.#lineStart && this.#bytes[end - 1] === SPACE) end -= 1
    return end
  }

  #announce(announced: Announced, after: number, lineBytes: number): void {
    this.#lineBytes = lineBytes
    this.#lineStart = after
    this.#mode = 'announced'
    this.#literalBytes = announced.bytes
    this.#isSync = announced.isSync
  }

  #nextContent(): Frame {
    const available = Math.min(this.#literalBytes, this.#end - this.#start)
    if (available === 0 && this.#literalBytes > 0) return more
    const bytes = this.#bytes.subarray(this.#start, this.#start + available)
    this.#literalBytes -= available
    const isLast = this.#literalBytes === 0
    this.#beginCommand(this.#start + available)
    this.#mode = isLast ? 'rest' : 'content'
    return { kind: 'content', bytes, isLast }
  }

  #skip(): Frame {
    for (;;) {
      if (this.#mode === 'skip-literal') {
        const left = this.bounds.maxSkippedLiteralBytes - this.#skippedOfLiterals
        if (this.#literalBytes > left) return { kind: 'lost' }
        const available = Math.min(this.#literalBytes, this.#end - this.#start)
        this.#literalBytes -= available
        this.#skippedOfLiterals += available
        this.#beginLine((this.#start += available))
        if (this.#literalBytes > 0) return more
        this.#mode = 'skip-line'
      }
      const lf = this.#bytes.subarray(0, this.#end).indexOf(LF, this.#lineStart)
      if (lf === -1) {
        // The last octets stay, since they may announce a literal when the line ends.
        const kept = Math.min(this.#end - this.#lineStart, 32)
        this.#skipped += this.#end - this.#lineStart - kept
        this.#beginLine((this.#start = this.#end - kept))
        return this.#skipped > this.bounds.maxSkippedBytes ? { kind: 'lost' } : more
      }
      this.#skipped += lf - this.#lineStart
      const announced = this.#announced(lf > this.#lineStart && this.#bytes[lf - 1] === CR ? lf - 1 : lf)
      this.#beginLine((this.#start = lf + 1))
      if (announced === 'malformed') return { kind: 'lost' }
      if (announced === undefined || announced.isSync) {
        this.#beginCommand(this.#start)
        return { kind: 'skipped' }
      }
      this.#mode = 'skip-literal'
      this.#literalBytes = announced.bytes
    }
  }

  /**
   * The literal announced at the end of the line `[#lineStart, lineEnd)`: RFC 3501 section 9, `literal = "{" number "}"
   * CRLF *CHAR8`, RFC 7888 adds `"+"`, RFC 3516 the `"~"` before it. An argument follows a space or an opening parenthesis; braces elsewhere, or
   * inside quotes, are part of the line.
   */
  #announced(lineEnd: number): Announced | 'malformed' | undefined {
    if (lineEnd - this.#lineStart < 4 || this.#bytes[lineEnd - 1] !== CLOSING_BRACE) return undefined
    const tail = this.#text(Math.max(this.#lineStart, lineEnd - 24), lineEnd)
    const found = announcement.exec(tail)
    if (found === null || this.#isInQuotes(lineEnd)) {
      // A client that does not wait has sent its octets already, and they must not be read as commands.
      return tail.endsWith('+}') && !this.#isInQuotes(lineEnd) ? 'malformed' : undefined
    }
    const [all, tilde, digits = '', plus] = found
    const bytes = Number(digits)
    const isSync = plus === ''
    if (bytes > 0xffff_ffff) return isSync ? undefined : 'malformed'
    return { bytes, isSync, isBinary: tilde === '~', width: all.length - 1 }
  }

  #isInQuotes(lineEnd: number): boolean {
    let isInQuotes = false
    for (let at = this.#lineStart; at < lineEnd; at += 1) {
      const octet = this.#bytes[at]
      if (octet === QUOTE) isInQuotes = !isInQuotes
      else if (octet === BACKSLASH && isInQuotes) at += 1
    }
    return isInQuotes
  }

  #beginCommand(at: number): void {
    this.#start = at
    this.#lineBytes = 0
    this.#mode = 'line'
    this.#beginLine(at)
  }

  #beginLine(at: number): void {
    this.#lineStart = at
    this.#scanned = at
  }

  /** Moves to another buffer that begins with what was unread. */
  #rebase(bytes: Buffer, isOwned: boolean, end: number): void {
    this.#bytes = bytes
    this.#isOwned = isOwned
    this.#end = end
    this.#lineStart -= this.#start
    this.#scanned -= this.#start
    this.#start = 0
  }

  #text(from: number, to: number): string {
    return this.#bytes.toString('latin1', from, to)
  }
}

interface Announced extends AnnouncedLiteral {
  /** Octets of the announcement itself. */
  readonly width: number
}

/** No leading zeros: `{00}` and `{007}` are nothing that a client sends. */
const announcement = /[ (](~?)\{(0|[1-9]\d{0,19})(\+?)\}$/
