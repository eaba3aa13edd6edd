/*
 * A message that was sent as literal8 (RFC 3516 section 4.4) may hold parts with `Content-Transfer-Encoding: binary`: any
 * octets, no lines. Stores and other clients know only lines, so such parts become base64 on their way in, as that
 * section allows; FETCH BINARY gives the octets back. One pass over chunks of any size; only the header of the part under
 * way is held.
 */
import { fieldValue, headerFields } from './fields.ts'
import { parameter, parseParameterized } from './parameters.ts'
import { maxBoundaryLength } from './structure.ts'

const LF = 10
const CR = 13
const HYPHEN = 45

/** Octets in one line of base64: 76 digits (RFC 2045 section 6.8). */
const octetsPerLine = 57

interface Bounds {
  readonly maxHeaderBytes: number
  readonly maxPartDepth: number
  readonly maxListElements: number
}

export class BinaryUpload {
  readonly #bounds: Bounds
  readonly #boundaries: string[] = []
  #mode: 'header' | 'text' | 'binary' = 'header'
  /** What may still be the beginning of a delimiter, or of a line end. */
  #held: Buffer = Buffer.alloc(0)
  #header: string[] = []
  #headerBytes = 0
  #isInsideLine = false
  /** The line end before a delimiter belongs to the delimiter (RFC 2046 section 5.1.1), so it waits for the next line. */
  #lineEnd: Buffer = Buffer.alloc(0)
  #octets: Buffer = Buffer.alloc(0)
  #isFirstLine = true
  #out: Buffer[] = []
  /** NUL stood where no part is declared binary: nothing can be made of that. */
  hasStrayNul = false

  constructor(bounds: Bounds) {
    this.#bounds = bounds
  }

  push(chunk: Buffer): Buffer {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    let from = 0
    for (let lf = bytes.indexOf(LF); lf !== -1; lf = bytes.indexOf(LF, from)) {
      this.#line(bytes.subarray(from, lf + 1))
      from = lf + 1
    }
    this.#hold(bytes.subarray(from))
    return this.#take()
  }

  /** The message ends. */
  end(): Buffer {
    if (this.#held.length > 0) this.#line(this.#held)
    if (this.#mode === 'header') this.#endHeader()
    if (this.#mode === 'binary') {
      this.#encode(this.#lineEnd)
      this.#endBinary()
      this.#out.push(Buffer.from('\r\n'))
    }
    return this.#take()
  }

  /** The start of a line without its end. */
  #hold(rest: Buffer): void {
    const mayDelimit = !this.#isInsideLine && (rest.length < 2 || (rest[0] === HYPHEN && rest[1] === HYPHEN))
    const keepsAll = this.#mode === 'header' || (mayDelimit && rest.length <= maxBoundaryLength + 4)
    if (keepsAll && rest.length + this.#headerBytes <= this.#bounds.maxHeaderBytes) {
      this.#held = Buffer.from(rest)
      return
    }
    const kept = rest.at(-1) === CR ? 1 : 0
    this.#body(rest.subarray(0, rest.length - kept))
    this.#held = Buffer.from(rest.subarray(rest.length - kept))
    this.#isInsideLine = true
  }

  /** The end of a line, and all of it unless some was let go before. */
  #line(line: Buffer): void {
    const isWhole = !this.#isInsideLine
    this.#isInsideLine = false
    if (isWhole && line[0] === HYPHEN && line[1] === HYPHEN && this.#delimiter(line)) return
    const text = line.at(-1) !== LF ? line.length : line.at(-2) === CR ? line.length - 2 : line.length - 1
    if (this.#mode !== 'header') {
      this.#body(line.subarray(0, text))
      this.#lineEnd = Buffer.from(line.subarray(text))
      if (this.#mode === 'text') this.#passLineEnd()
      return
    }
    this.#header.push(line.toString('latin1'))
    this.#headerBytes += line.length
    if (text === 0 || this.#headerBytes > this.#bounds.maxHeaderBytes) this.#endHeader()
  }

  #body(bytes: Buffer): void {
    if (this.#mode === 'header') this.#endHeader()
    if (this.#mode === 'binary') {
      this.#encode(this.#lineEnd)
      this.#lineEnd = Buffer.alloc(0)
      this.#encode(bytes)
    } else {
      if (bytes.includes(0)) this.hasStrayNul = true
      if (bytes.length > 0) this.#out.push(Buffer.from(bytes))
    }
  }

  #passLineEnd(): void {
    if (this.#lineEnd.length > 0) this.#out.push(this.#lineEnd)
    this.#lineEnd = Buffer.alloc(0)
  }

  /** Written with the encodings that the parts will have, and what follows is known. */
  #endHeader(): void {
    const block = this.#header.join('')
    this.#header = []
    this.#headerBytes = 0
    let type = ''
    let boundary: string | undefined
    let encoding: { start: number; end: number } | undefined
    for (const field of headerFields(block)) {
      if (field.name === 'content-type' && type === '') {
        const parsed = parseParameterized(fieldValue(block, field), this.#bounds.maxListElements)
        type = parsed.value.toLowerCase()
        boundary = parameter(parsed, 'boundary')?.trimEnd()
      } else if (field.name === 'content-transfer-encoding' && encoding === undefined) {
        if (/^binary\b/i.test(fieldValue(block, field))) encoding = { start: field.start, end: field.end }
      }
    }
    const isMultipart = type.startsWith('multipart/') && boundary !== undefined && boundary !== ''
    const isMessage = type === 'message/rfc822' || type === 'message/global'
    const isLeaf = !isMultipart && !isMessage
    if (block.includes('\0')) this.hasStrayNul = true
    if (encoding === undefined) {
      this.#out.push(Buffer.from(block, 'latin1'))
    } else {
      // A multipart and a message may have no encoding but these; what is binary in them is encoded in its place.
      const field = `Content-Transfer-Encoding: ${isLeaf ? 'base64' : '8bit'}\r\n`
      this.#out.push(Buffer.from(block.slice(0, encoding.start) + field + block.slice(encoding.end), 'latin1'))
    }
    this.#mode = isMessage ? 'header' : isLeaf && encoding !== undefined ? 'binary' : 'text'
    this.#isFirstLine = true
    if (isMultipart && boundary !== undefined && boundary.length <= maxBoundaryLength) {
      if (this.#boundaries.length < this.#bounds.maxPartDepth) this.#boundaries.push(boundary)
    }
  }

  /** The longest boundary that matches is meant, as where the parts are found later. */
  #delimiter(line: Buffer): boolean {
    const text = line.toString('latin1', 2, Math.min(line.length, maxBoundaryLength + 6))
    let at = -1
    for (const [index, boundary] of this.#boundaries.entries()) {
      if (text.startsWith(boundary) && boundary.length > (this.#boundaries[at]?.length ?? 0)) at = index
    }
    const boundary = this.#boundaries[at]
    if (boundary === undefined) return false
    if (this.#mode === 'header') this.#endHeader()
    if (this.#mode === 'binary') this.#endBinary()
    this.#passLineEnd()
    const isLast = text.startsWith('--', boundary.length)
    this.#boundaries.length = isLast ? at : at + 1
    this.#out.push(Buffer.from(line))
    this.#mode = isLast ? 'text' : 'header'
    return true
  }

  #encode(bytes: Buffer): void {
    if (bytes.length === 0) return
    const octets = this.#octets.length === 0 ? bytes : Buffer.concat([this.#octets, bytes])
    let at = 0
    for (; at + octetsPerLine <= octets.length; at += octetsPerLine)
      this.#digits(octets.subarray(at, at + octetsPerLine))
    this.#octets = Buffer.from(octets.subarray(at))
  }

  #endBinary(): void {
    if (this.#octets.length > 0) this.#digits(this.#octets)
    this.#octets = Buffer.alloc(0)
  }

  #digits(octets: Buffer): void {
    this.#out.push(Buffer.from(`${this.#isFirstLine ? '' : '\r\n'}${octets.toString('base64')}`))
    this.#isFirstLine = false
  }

  #take(): Buffer {
    const out = Buffer.concat(this.#out)
    this.#out = []
    return out
  }
}
