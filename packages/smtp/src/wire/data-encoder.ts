/*
 * A message as it goes out: the other side of `data.ts`. What leaves never holds a bare CR or LF, whoever wrote the
 * content and whatever checks it passed: a bare LF becomes CRLF, a bare CR a space. Dots are stuffed behind true line
 * ends only (RFC 5321 §4.5.2), and by then every line end is true. So no reader behind us, however lax, can find the
 * end of the data anywhere but where it is.
 */

const lf = 0x0a
const cr = 0x0d
const dot = 0x2e
const space = 0x20

/**
 * - `dots`: for DATA, dots stuffed and the end of data at the end.
 * - `lines`: for BDAT of text (RFC 3030 §2): line ends repaired, nothing stuffed.
 * - `octets`: for BODY=BINARYMIME, where CR and LF are octets like any other.
 */
export type Framing = 'dots' | 'lines' | 'octets'

export class DataEncoder {
  readonly #framing: Framing
  #isLineStart = true
  /** The last chunk ended in a CR; whether it is a line end is not known yet. */
  #holdsCr = false
  #out: Buffer = empty
  #outBytes = 0
  #copiedTo = 0

  constructor(framing: Framing) {
    this.#framing = framing
  }

  /**
   * @param chunk - content, cut anywhere; only read.
   * @returns what to send: a view of `chunk` where nothing had to be changed, else a buffer of its own.
   */
  encode(chunk: Buffer): Buffer {
    if (this.#framing === 'octets' || chunk.length === 0) return chunk
    this.#out = empty
    this.#outBytes = 0
    this.#copiedTo = 0
    let at = this.#holdsCr ? this.#endHeldCr(chunk) : 0
    let end = chunk.length
    while (at < chunk.length) {
      if (this.#isLineStart && chunk[at] === dot && this.#framing === 'dots') this.#insert(chunk, at, dot)
      at = indexOfLineEnd(chunk, at)
      if (at === chunk.length) {
        this.#isLineStart = false
      } else if (chunk[at] === lf) {
        this.#insert(chunk, at, cr)
        this.#isLineStart = true
        at++
      } else if (chunk[at + 1] === lf) {
        this.#isLineStart = true
        at += 2
      } else if (at + 1 === chunk.length) {
        this.#holdsCr = true
        end = at
        at++
      } else {
        this.#insert(chunk, at, space)
        this.#isLineStart = false
        at++
        this.#copiedTo = at
      }
    }
    return this.#taken(chunk, end)
  }

  /** What comes behind the content. A last line without an end gets one: neither DATA nor a mailbox can do without. */
  end(): Buffer {
    if (this.#framing === 'octets') return empty
    const lineEnd = this.#isLineStart && !this.#holdsCr ? '' : '\r\n'
    return Buffer.from(this.#framing === 'dots' ? `${lineEnd}.\r\n` : lineEnd)
  }

  /** The CR of the chunk before, and the LF that makes a line end of it, or not. Answers where to go on. */
  #endHeldCr(chunk: Buffer): number {
    this.#holdsCr = false
    this.#isLineStart = chunk[0] === lf
    this.#insert(chunk, 0, this.#isLineStart ? cr : space)
    return this.#isLineStart ? 1 : 0
  }

  #insert(chunk: Buffer, at: number, byte: number): void {
    // Each byte is doubled at worst, and a CR may have waited.
    if (this.#out === empty) this.#out = Buffer.allocUnsafe(2 * chunk.length + 1)
    this.#outBytes += chunk.copy(this.#out, this.#outBytes, this.#copiedTo, at)
    this.#out[this.#outBytes++] = byte
    this.#copiedTo = at
  }

  #taken(chunk: Buffer, end: number): Buffer {
    if (this.#out === empty) return chunk.subarray(0, end)
    if (this.#copiedTo < end) this.#outBytes += chunk.copy(this.#out, this.#outBytes, this.#copiedTo, end)
    return this.#out.subarray(0, this.#outBytes)
  }
}

const empty = Buffer.alloc(0)

/** The first CR or LF at or behind `from`; the length when there is none. */
function indexOfLineEnd(bytes: Buffer, from: number): number {
  let at = from
  for (; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === lf || byte === cr) break
  }
  return at
}
