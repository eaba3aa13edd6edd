/*
 * Finds the parts of a message (RFC 2045, RFC 2046) as offsets into its octets, in one pass over chunks of any size. Only
 * the header of the part under way is held, never a body, so the cost in memory is the tree and not the message.
 *
 * Real mail breaks every rule, and IMAP must still number its parts: a boundary that never comes leaves one empty part, a
 * missing end delimiter ends with its parent, a header that runs into a delimiter has no body. What is nested deeper, or
 * has more parts, than the limits allow becomes one opaque part. Open parts are a list, so depth costs no stack.
 */
import type { ImapLimits } from '../limits.ts'
import { parseEnvelope, type AddressBudget, type Envelope } from './envelope.ts'
import { fieldValue, headerFields } from './fields.ts'
import { parameter, parseParameterized, withoutComments, type Parameterized } from './parameters.ts'

/** One body part, or the message itself. All strings hold one octet in each character, undecoded. */
export interface Part {
  /** Of its header, and of its body: where it begins and ends in the message. */
  readonly headerStart: number
  readonly bodyStart: number
  readonly bodyEnd: number
  /** Line ends in the body. */
  readonly lines: number
  readonly fields: PartFields
  /** Not empty for a multipart, and only then. */
  readonly children: readonly Part[]
  /** The message inside a message/rfc822 part, with its envelope. */
  readonly message?: Part & { readonly envelope: Envelope }
}

/** The MIME fields of a part, with the defaults of RFC 2045 section 5.2 filled in. */
export interface PartFields {
  readonly type: string
  readonly subtype: string
  readonly parameters: Parameterized['parameters']
  readonly id?: string
  readonly description?: string
  readonly encoding: string
  readonly md5?: string
  readonly disposition?: Parameterized
  readonly language?: readonly string[]
  readonly location?: string
}

type Bounds = Pick<ImapLimits, 'maxAddresses' | 'maxPartDepth' | 'maxParts' | 'maxPartHeaderBytes' | 'maxListElements'>

/** RFC 2046 section 5.1.1 allows 70; some senders exceed it. A longer one is no boundary. */
export const maxBoundaryLength = 200
/** As much of a line as a delimiter with its two hyphens on each side can be. */
const maxDelimiterLength = maxBoundaryLength + 4

const plainText: Parameterized['parameters'] = [['charset', 'us-ascii']]

class OpenPart implements Part {
  readonly headerStart: number
  readonly defaultType: 'text/plain' | 'message/rfc822'
  readonly isMessage: boolean
  bodyStart = 0
  bodyEnd = 0
  lines = 0
  /** Line ends before the body. */
  linesBefore = 0
  fields: PartFields = { type: 'text', subtype: 'plain', parameters: plainText, encoding: '7bit' }
  children: OpenPart[] = []
  message?: OpenPart & { envelope: Envelope }
  envelope?: Envelope
  /** Set while the delimiters of this multipart are looked for. */
  boundary: string | undefined

  constructor(headerStart: number, defaultType: OpenPart['defaultType'], isMessage: boolean) {
    this.headerStart = headerStart
    this.defaultType = defaultType
    this.isMessage = isMessage
  }
}

export class StructureScanner {
  readonly #bounds: Bounds
  readonly #root = new OpenPart(0, 'text/plain', true)
  /** From the outside in; the last one is where the next line belongs. */
  readonly #open: OpenPart[] = [this.#root]
  #isInHeader = true
  #header = ''
  #headerBytesLeft: number
  readonly #addresses: AddressBudget
  #parts = 1
  #offset = 0
  #lineEnds = 0
  /** The line under way began in an earlier chunk: its first octets, its length, and its last octet. */
  #carried = ''
  #carriedBytes = 0
  #carriedLast = 0
  /** Length of the line end before the line under way. */
  #endBefore = 0

  constructor(bounds: Bounds) {
    this.#bounds = bounds
    this.#headerBytesLeft = bounds.maxPartHeaderBytes
    this.#addresses = { left: bounds.maxAddresses }
  }

  /** Takes the next octets of the message. Nothing of `chunk` is kept. */
  push(chunk: Buffer): void {
    let from = 0
    for (;;) {
      const lf = chunk.indexOf(10, from)
      if (lf === -1) break
      this.#line(chunk, from, lf + 1)
      from = lf + 1
    }
    if (from < chunk.length) this.#carry(chunk, from)
    this.#offset += chunk.length
  }

  /**
   * The message ends.
   *
   * @param bytes - its length, which is more than was pushed when only its beginning was scanned.
   */
  end(bytes: number): Part {
    if (this.#carriedBytes > 0) {
      const lineStart = this.#offset - this.#carriedBytes
      if (!this.#delimiter(this.#carried, lineStart, this.#offset) && this.#isInHeader) this.#keepHeader(this.#carried)
    }
    if (this.#isInHeader) this.#endHeader(bytes)
    // Ending the header of a message/rfc822 part opens the message in it.
    if (this.#isInHeader) this.#endHeader(bytes)
    while (this.#open.length > 0) this.#close(bytes, this.#lineEnds)
    return this.#root
  }

  #carry(chunk: Buffer, from: number): void {
    const text = chunk.toString(
      'latin1',
      from,
      this.#isInHeader ? chunk.length : Math.min(chunk.length, from + maxDelimiterLength),
    )
    if (this.#isInHeader || this.#carried.length < maxDelimiterLength) {
      const room = Math.max(maxDelimiterLength, this.#isInHeader ? this.#headerBytesLeft : 0)
      this.#carried += text.slice(0, Math.max(0, room - this.#carried.length))
    }
    this.#carriedBytes += chunk.length - from
    this.#carriedLast = chunk[chunk.length - 1] ?? 0
  }

  /** One line `[from, to)` of the chunk, with what was carried before it. */
  #line(chunk: Buffer, from: number, to: number): void {
    const lineStart = this.#offset + from - this.#carriedBytes
    const lineEnd = this.#offset + to
    const beforeLf = to - from >= 2 ? chunk[to - 2] : this.#carriedLast
    const endLength = beforeLf === 13 && lineEnd - lineStart >= 2 ? 2 : 1
    const mayDelimit =
      this.#carriedBytes > 0 ? this.#carried.startsWith('-') : chunk[from] === 45 && chunk[from + 1] === 45
    let isDelimiter = false
    if (mayDelimit) {
      const stop = Math.min(to, from + maxDelimiterLength)
      isDelimiter = this.#delimiter(this.#carried + chunk.toString('latin1', from, stop), lineStart, lineEnd)
    }
    if (!isDelimiter && this.#isInHeader) {
      if (lineEnd - lineStart === endLength) {
        this.#lineEnds += 1
        this.#endHeader(lineEnd)
        this.#lineEnds -= 1
      } else {
        this.#keepHeader(this.#carried + chunk.toString('latin1', from, Math.min(to, from + this.#headerBytesLeft)))
      }
    }
    this.#lineEnds += 1
    this.#endBefore = endLength
    this.#carried = ''
    this.#carriedBytes = 0
    this.#carriedLast = 0
  }

  #keepHeader(text: string): void {
    const kept = text.slice(0, this.#headerBytesLeft)
    this.#header += kept
    this.#headerBytesLeft -= kept.length
  }

  /** The header of the innermost part is complete: `bodyStart` is known, and what the part is. */
  #endHeader(bodyStart: number): void {
    const part = this.#open.at(-1)
    if (part === undefined) return
    const block = this.#header
    this.#header = ''
    this.#isInHeader = false
    part.bodyStart = bodyStart
    part.linesBefore = this.#lineEnds
    part.fields = parsePartFields(block, part.defaultType, this.#bounds.maxListElements)
    if (part.isMessage && part !== this.#root) part.envelope = parseEnvelope(block, this.#addresses)
    const { type, subtype, parameters } = part.fields
    const isNestable = this.#open.length < this.#bounds.maxPartDepth && this.#parts < this.#bounds.maxParts
    if (/^multipart$/i.test(type)) {
      const boundary = parameter({ value: '', parameters }, 'boundary')?.trimEnd()
      if (!isNestable) part.fields = opaque(part.fields)
      else if (boundary !== undefined && boundary !== '' && boundary.length <= maxBoundaryLength)
        part.boundary = boundary
    } else if (/^message$/i.test(type) && /^(?:rfc822|global)$/i.test(subtype)) {
      if (!isNestable) {
        part.fields = opaque(part.fields)
        return
      }
      const message = new OpenPart(bodyStart, 'text/plain', true)
      part.message = message as OpenPart & { envelope: Envelope }
      this.#begin(message)
    }
  }

  #begin(part: OpenPart): void {
    this.#parts += 1
    this.#open.push(part)
    this.#isInHeader = true
  }

  /**
   * RFC 2046 section 5.1.1: a delimiter is `--` and the boundary at the start of a line; two more hyphens make it the
   * last. When one boundary is the beginning of another, the longer one that matches is meant.
   */
  #delimiter(line: string, lineStart: number, lineEnd: number): boolean {
    let at = -1
    let length = 0
    for (let index = this.#open.length - 1; index >= 0; index -= 1) {
      const boundary = this.#open[index]?.boundary
      if (boundary === undefined || boundary.length <= length || !line.startsWith(boundary, 2)) continue
      at = index
      length = boundary.length
    }
    const multipart = this.#open[at]
    if (multipart === undefined || !line.startsWith('--')) return false
    const isLast = line.startsWith('--', 2 + length)
    if (!isLast && this.#parts >= this.#bounds.maxParts) return false
    // The line end before a delimiter belongs to the delimiter.
    if (this.#isInHeader) this.#endHeader(lineStart)
    if (this.#isInHeader) this.#endHeader(lineStart)
    while (this.#open.length > at + 1) this.#close(Math.max(0, lineStart - this.#endBefore), this.#lineEnds - 1)
    if (isLast) {
      multipart.boundary = undefined
      return true
    }
    const isDigest = multipart.fields.subtype.toLowerCase() === 'digest'
    const child = new OpenPart(lineEnd, isDigest ? 'message/rfc822' : 'text/plain', false)
    multipart.children.push(child)
    this.#begin(child)
    return true
  }

  /** Closes the innermost open part. */
  #close(bodyEnd: number, lineEnds: number): void {
    const part = this.#open.pop()
    if (part === undefined) return
    part.bodyEnd = Math.max(part.bodyStart, bodyEnd)
    part.lines = Math.max(0, lineEnds - part.linesBefore)
    part.boundary = undefined
    if (/^multipart$/i.test(part.fields.type) && part.children.length === 0) {
      // body-type-mpart has at least one part (RFC 3501 section 9): an empty text stands for it.
      const empty = new OpenPart(part.bodyEnd, 'text/plain', false)
      empty.bodyStart = part.bodyEnd
      empty.bodyEnd = part.bodyEnd
      part.children.push(empty)
    }
  }
}

/** A part that is not looked into, so that nobody expects parts in it. */
function opaque(fields: PartFields): PartFields {
  return { ...fields, type: 'application', subtype: 'octet-stream', parameters: [] }
}

const mimeFields: ReadonlySet<string> = new Set([
  'content-type',
  'content-id',
  'content-description',
  'content-transfer-encoding',
  'content-md5',
  'content-disposition',
  'content-language',
  'content-location',
])

function parsePartFields(block: string, defaultType: OpenPart['defaultType'], maxElements: number): PartFields {
  const values = new Map<string, string>()
  for (const field of headerFields(block)) {
    if (mimeFields.has(field.name) && !values.has(field.name)) values.set(field.name, fieldValue(block, field))
  }
  const id = values.get('content-id')
  const description = values.get('content-description')
  const md5 = values.get('content-md5')
  const disposition = values.get('content-disposition')
  const languages = languageTags(values.get('content-language') ?? '', maxElements)
  const location = values.get('content-location')
  return {
    ...contentType(values.get('content-type'), defaultType, maxElements),
    ...(id === undefined ? {} : { id }),
    ...(description === undefined ? {} : { description }),
    encoding: /^[!#-'*+\-.0-9A-Z^-~]+/i.exec(values.get('content-transfer-encoding') ?? '')?.[0] ?? '7bit',
    ...(md5 === undefined ? {} : { md5 }),
    ...(disposition === undefined || disposition === ''
      ? {}
      : { disposition: parseParameterized(disposition, maxElements) }),
    ...(languages.length === 0 ? {} : { language: languages }),
    ...(location === undefined ? {} : { location }),
  }
}

/** RFC 3282 section 2: `Language-List = Language-Tag [CFWS] *("," [CFWS] Language-Tag [CFWS])` */
function languageTags(value: string, maxElements: number): readonly string[] {
  const tags = withoutComments(value)
    .split(',', maxElements)
    .map((tag) => tag.trim())
  return tags.filter((tag) => tag !== '')
}

function contentType(
  value: string | undefined,
  defaultType: OpenPart['defaultType'],
  maxParameters: number,
): Pick<PartFields, 'type' | 'subtype' | 'parameters'> {
  if (value !== undefined) {
    const { value: name, parameters } = parseParameterized(value, maxParameters)
    const found = /^([!#-'*+\-.0-9A-Z^-~]+)\s*\/\s*([!#-'*+\-.0-9A-Z^-~]+)$/i.exec(name)
    const [, type, subtype] = found ?? []
    if (type !== undefined && subtype !== undefined) return { type, subtype, parameters }
  }
  return defaultType === 'message/rfc822'
    ? { type: 'message', subtype: 'rfc822', parameters: [] }
    : { type: 'text', subtype: 'plain', parameters: plainText }
}
