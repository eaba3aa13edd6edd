/*
 * The TLVs of a binary header (PROXY protocol specification, section 2.2): type u8, length u16 big endian, value.
 */
import { isUtf8 } from 'node:buffer'
import { limits } from '../limits.ts'

/** The registered types (sections 2.2.1 to 2.2.8). */
export const tlvType = {
  alpn: 0x01,
  authority: 0x02,
  crc32c: 0x03,
  noop: 0x04,
  uniqueId: 0x05,
  ssl: 0x20,
  netns: 0x30,
} as const

/** One TLV of a header (section 2.2). */
export interface Tlv {
  /** 0 to 255. */
  readonly type: number
  /** A view into the header's buffer. */
  readonly value: Buffer
}

/** The TLVs of one header, in the order sent. A view over the caller's buffer: copy what is kept. */
export interface Tlvs extends Iterable<Tlv> {
  /** The value of the first TLV of this type. Duplicates are legal; the first speaks. */
  find(type: number): Buffer | undefined
}

/**
 * Steps over TLVs without making an object for each: `type`, and the value from `start` up to `end` in `bytes`. The span
 * must be well-formed, as every span of a parsed header is.
 */
export class TlvCursor {
  type = 0
  start = 0
  end: number
  bytes: Buffer
  #spanEnd: number

  constructor(bytes: Buffer, spanStart: number, spanEnd: number) {
    this.bytes = bytes
    this.end = spanStart
    this.#spanEnd = spanEnd
  }

  /** Starts over, over another span: one cursor can serve any number of headers. */
  reset(bytes: Buffer, spanStart: number, spanEnd: number): void {
    this.bytes = bytes
    this.end = spanStart
    this.#spanEnd = spanEnd
  }

  /** Moves to the next TLV; false when there is none. */
  next(): boolean {
    const at = this.end
    if (at >= this.#spanEnd) return false
    const { bytes } = this
    this.type = bytes[at]!
    this.start = at + 3
    this.end = at + 3 + ((bytes[at + 1]! << 8) | bytes[at + 2]!)
    return true
  }
}

/** Views over a well-formed span. */
export class TlvSpan implements Tlvs {
  readonly #bytes: Buffer
  readonly #start: number
  readonly #end: number

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes
    this.#start = start
    this.#end = end
  }

  *[Symbol.iterator](): Iterator<Tlv> {
    const cursor = new TlvCursor(this.#bytes, this.#start, this.#end)
    while (cursor.next()) yield { type: cursor.type, value: this.#bytes.subarray(cursor.start, cursor.end) }
  }

  find(type: number): Buffer | undefined {
    const cursor = new TlvCursor(this.#bytes, this.#start, this.#end)
    while (cursor.next()) if (cursor.type === type) return this.#bytes.subarray(cursor.start, cursor.end)
    return undefined
  }
}

/** Nothing is wrong. */
export const noFault = -1
/** Nothing is wrong, and there is a checksum to verify. */
export const noFaultWithChecksum = -2

/**
 * Looks for the first TLV of the span that breaks a rule; bytes behind `available` have not come yet and are not judged.
 *
 * - R-TLV-03: a TLV that runs past the span; one or two stray bytes at its end
 * - R-CRC-04: a checksum that is not four bytes long
 * - section 2.2.5: a unique id of more than 128 bytes
 * - section 2.2.6: an SSL TLV too short for its fixed part, or whose own TLVs do not fill it. One level is looked
 *   into: the specification nests no deeper.
 *
 * @returns the offset of the TLV at fault, or `noFault`, or `noFaultWithChecksum`.
 */
export function findFault(bytes: Uint8Array, start: number, end: number, available: number): number {
  let verdict = noFault
  let at = start
  while (at < end) {
    if (end - at < 3) return at
    if (available - at < 3) return noFault
    const type = bytes[at]!
    const length = (bytes[at + 1]! << 8) | bytes[at + 2]!
    const next = at + 3 + length
    if (next > end) return at
    if (type === tlvType.crc32c) {
      if (length !== 4) return at
      verdict = noFaultWithChecksum
    } else if (type === tlvType.uniqueId) {
      if (length > limits.maxUniqueIdBytes) return at
    } else if (type === tlvType.ssl) {
      if (length < 5) return at
      const nested = findFrameFault(bytes, at + 8, next, available)
      if (nested !== noFault) return nested
    }
    at = next
  }
  return verdict
}

/** The grammar alone, whatever the types. */
export function findFrameFault(bytes: Uint8Array, start: number, end: number, available: number): number {
  let at = start
  while (at < end) {
    if (end - at < 3) return at
    if (available - at < 3) return noFault
    const next = at + 3 + ((bytes[at + 1]! << 8) | bytes[at + 2]!)
    if (next > end) return at
    at = next
  }
  return noFault
}

// ── values ──────────────────────────────────────────────────────────────────

/** AUTHORITY (section 2.2.2): UTF-8, usually the SNI. `undefined` when it is no name that may be shown or compared. */
export function readAuthority(value: Buffer): string | undefined {
  return value.length > limits.maxAuthorityBytes ? undefined : readUtf8(value)
}

/** ALPN (section 2.2.1) is bytes; `undefined` unless they are printable ASCII, as every registered id is. */
export function readAlpn(value: Buffer): string | undefined {
  return readAscii(value)
}

/** NETNS (section 2.2.7): the name of the namespace. `undefined` unless it is printable ASCII. */
export function readNetns(value: Buffer): string | undefined {
  return readAscii(value)
}

/** UNIQUE_ID (section 2.2.5) is opaque: lower-case hexadecimal. `undefined` when it is empty. */
export function readUniqueId(value: Buffer): string | undefined {
  return value.length === 0 ? undefined : value.toString('hex')
}

/** CRC32C (section 2.2.3): sent in network order. */
export function readCrc32c(value: Buffer): number {
  return ((value[0]! << 24) | (value[1]! << 16) | (value[2]! << 8) | value[3]!) >>> 0
}

/** Valid UTF-8 without control characters, or `undefined`; empty text is no text. */
export function readUtf8(value: Buffer): string | undefined {
  if (value.length === 0 || !isUtf8(value)) return undefined
  const text = value.toString('utf8')
  return /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text) ? undefined : text
}

/** Printable US-ASCII, or `undefined`; empty text is no text. */
export function readAscii(value: Buffer): string | undefined {
  const text = value.toString('latin1')
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined
}
