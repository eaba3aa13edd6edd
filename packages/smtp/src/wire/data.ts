/*
 * The data of a message: where it ends, and what it is (RFC 5321 §4.1.1.4 and §4.5.2).
 *
 *   end of data    CRLF "." CRLF, where the CRLF that ended the DATA command counts as the first. Nothing else: not
 *                  LF.LF, not LF.CRLF, not CRLF.CR CRLF. Servers that end a message at one of those, behind servers that
 *                  do not, let a client smuggle a second message into the first (CVE-2023-51764, -51765, -51766).
 *   dot-stuffing   a line that begins with "." loses it. A line begins behind a true CRLF and nowhere else, so that
 *                  LF ".." keeps both dots.
 *   odd newlines   a LF without CR before it, or a CR without LF behind it, is no line end (RFC 5321 §2.3.8). Passed on
 *                  as it is, it would put the next reader at risk, so none is: a LF, or several CRs and a LF, become
 *                  CRLF; any other CR becomes a space, as in Postfix. Several CRs and a LF still hold a true CRLF at
 *                  their end, as every other reader would find it.
 *   NUL            no line of a message has one (RFC 5321 §2.3.8, RFC 5322 §4), and readers written in C end a line at
 *                  it. It is counted, and left out where that is wanted.
 *
 * Speed: clean data is handed on as a view of what was received. Four bytes at a time are tried for being below 0x0e,
 * which only CR, LF, NUL, TAB and their like are; looking for LF and CR with `indexOf` takes twice as long on lines of
 * usual length, since each call into native code costs as much as a line.
 */

const nul = 0x00
const lf = 0x0a
const cr = 0x0d
const dot = 0x2e
const space = 0x20
/** The first byte value that is surely content. */
const content = 0x0e

const nothing = Buffer.alloc(0)
const crlf = Buffer.from('\r\n')

/** CRs in a row whose fate may wait for the next chunk. More than that end no line of anybody's. */
const maxHeldCrs = 4_096

type Position =
  /** Behind a true CRLF. */
  | 'line-start'
  | 'text'
  /** `#crs` CRs were taken and not handed on. */
  | 'cr'
  /** A dot at a line start was taken. */
  | 'dot'
  /** The same, and a CR behind it. */
  | 'dot-cr'

export class DataDecoder {
  /** The end of data was found. */
  isDone = false
  /** How many bytes of the last chunk belong to the data, its end included. */
  consumed = 0
  /** Line ends and CRs met that were no CRLF. */
  oddNewlines = 0
  nuls = 0

  readonly #dropsNuls: boolean
  readonly #hasDots: boolean
  #position: Position = 'line-start'
  #crs = 0
  /** Made when a chunk cannot be handed on as it is; the chunk is copied into it up to `#copiedTo`. */
  #out: Buffer | undefined
  #outBytes = 0
  #copiedTo = 0

  /**
   * @param framing - `dots` end the data and are stuffed; `counted` data has them as content, and `end` says when it is
   * over (RFC 3030 §2).
   * @param dropsNuls - they are left out of the content; else they are in it, for whoever refuses the message.
   */
  constructor(framing: 'dots' | 'counted' = 'dots', dropsNuls: boolean = false) {
    this.#dropsNuls = dropsNuls
    this.#hasDots = framing === 'dots'
  }

  /**
   * Takes the next chunk, up to the end of data.
   *
   * @returns the content in it, un-stuffed: a view of `bytes` where that is possible, else a buffer of its own. Empty
   * when all of it is framing, or waits for the next chunk.
   */
  decode(bytes: Buffer): Buffer {
    const scanner = new ControlScanner(bytes)
    const length = bytes.length
    this.#out = undefined
    this.#outBytes = 0
    this.#copiedTo = 0
    let at = 0
    let end = length

    while (at < length && !this.isDone) {
      switch (this.#position) {
        case 'text': {
          at = scanner.next(at)
          if (at === length) break
          const byte = bytes[at]
          if (byte === cr) {
            if (bytes[at + 1] === lf) {
              at += 2
              this.#position = 'line-start'
            } else {
              if (at + 1 === length) end = at
              else this.#skip(bytes, at, at + 1)
              at++
              this.#crs = 1
              this.#position = 'cr'
            }
          } else {
            if (byte === lf) this.#bareLf(bytes, at)
            else if (byte === nul) this.#nul(bytes, at)
            at++
          }
          break
        }
        case 'line-start':
          if (bytes[at] !== dot || !this.#hasDots) {
            this.#position = 'text'
          } else if (bytes[at + 1] === cr && bytes[at + 2] === lf) {
            end = at
            at += 3
            this.isDone = true
          } else if (at + 1 === length || (bytes[at + 1] === cr && at + 2 === length)) {
            this.#position = at + 1 === length ? 'dot' : 'dot-cr'
            end = at
            at = length
          } else {
            this.#skip(bytes, at, at + 1)
            at++
            this.#position = 'text'
          }
          break
        case 'dot':
          if (bytes[at] === cr) {
            at++
            this.#copiedTo = at
            this.#position = 'dot-cr'
          } else {
            this.#position = 'text'
          }
          break
        case 'dot-cr':
          if (bytes[at] === lf) {
            at++
            end = this.#copiedTo = at
            this.isDone = true
          } else {
            this.#crs = 1
            this.#position = 'cr'
          }
          break
        case 'cr':
          if (bytes[at] === cr) {
            this.#crs++
            at++
            this.#copiedTo = at
          } else {
            at = this.#endCrs(bytes, at)
          }
          break
      }
    }
    this.consumed = at
    if (this.#position === 'cr' && this.#crs > maxHeldCrs) {
      end = this.#copiedTo = length
      this.#emitCrs(bytes, this.#crs - 1)
      this.#crs = 1
    }
    return this.#taken(bytes, end)
  }

  /**
   * Counted data is over.
   *
   * @returns what was held back, and the end that the last line lacks: every reader ends it there, and one that is
   * handed the message by DATA cannot do otherwise.
   */
  end(): Buffer {
    if (this.#position === 'line-start') return nothing
    const held = this.#position === 'cr' ? this.#crs : 0
    this.oddNewlines += held
    this.#position = 'line-start'
    return Buffer.concat([Buffer.alloc(held, space), crlf])
  }

  /** What follows the held CRs decides what they are. Answers where to go on. */
  #endCrs(bytes: Buffer, at: number): number {
    if (bytes[at] !== lf) {
      this.#emitCrs(bytes, this.#crs)
      this.#position = 'text'
      return at
    }
    if (this.#crs > 1) this.oddNewlines++
    this.#emit(bytes, cr, 1)
    this.#position = 'line-start'
    return at + 1
  }

  /** CRs that end no line. */
  #emitCrs(bytes: Buffer, count: number): void {
    this.oddNewlines += count
    this.#emit(bytes, space, count)
  }

  #bareLf(bytes: Buffer, at: number): void {
    this.oddNewlines++
    this.#skip(bytes, at, at)
    this.#emit(bytes, cr, 1)
  }

  #nul(bytes: Buffer, at: number): void {
    this.nuls++
    if (this.#dropsNuls) this.#skip(bytes, at, at + 1)
  }

  /** Hands on what came before `from`, and leaves out what is from there to `to`. */
  #skip(bytes: Buffer, from: number, to: number): void {
    const out = this.#ownOutput(bytes)
    this.#outBytes += bytes.copy(out, this.#outBytes, this.#copiedTo, from)
    this.#copiedTo = to
  }

  #emit(bytes: Buffer, byte: number, count: number): void {
    const out = this.#ownOutput(bytes)
    out.fill(byte, this.#outBytes, this.#outBytes + count)
    this.#outBytes += count
  }

  /** Room for a chunk of bare LFs, each of which becomes two bytes, and for the CRs that waited. */
  #ownOutput(bytes: Buffer): Buffer {
    return (this.#out ??= Buffer.allocUnsafe(2 * bytes.length + this.#crs + 1))
  }

  #taken(bytes: Buffer, end: number): Buffer {
    const out = this.#out
    if (out === undefined) return bytes.subarray(Math.min(this.#copiedTo, end), end)
    if (this.#copiedTo < end) this.#outBytes += bytes.copy(out, this.#outBytes, this.#copiedTo, end)
    return out.subarray(0, this.#outBytes)
  }
}

/** Finds bytes below 0x0e, four at a time. */
class ControlScanner {
  readonly #bytes: Buffer
  readonly #words: Int32Array
  /** The index in `#bytes` of the first word: memory is read in words only where it is aligned. */
  readonly #firstWord: number

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#firstWord = -bytes.byteOffset & 3
    const words = Math.max(0, (bytes.length - this.#firstWord) >> 2)
    this.#words = new Int32Array(bytes.buffer, words === 0 ? 0 : bytes.byteOffset + this.#firstWord, words)
  }

  /** The index of the first such byte at or behind `from`; the length when there is none. */
  next(from: number): number {
    const bytes = this.#bytes
    const words = this.#words
    const length = bytes.length
    let at = from
    for (; at < length && ((at - this.#firstWord) & 3) !== 0; at++) if (bytes[at]! < content) return at
    let word = (at - this.#firstWord) >> 2
    for (; word < words.length; word++) {
      const value = words[word]!
      // Not zero exactly when one of the four bytes is below 0x0e.
      if (((value - 0x0e0e0e0e) & ~value & 0x80808080) !== 0) break
    }
    at = Math.max(at, this.#firstWord + 4 * word)
    while (at < length && bytes[at]! >= content) at++
    return at
  }
}
