import type { ProxyErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import { HeaderFields, type ParseStatus, type ProxyHeader } from './header.ts'
import { readV1, shortestV1Bytes } from './v1.ts'
import { prefixBytes, readV2 } from './v2.ts'

export type ProxyParse =
  /** `header` is a view over the bytes; its `length` bytes are the header, the rest is the application's. */
  | { readonly status: 'done'; readonly header: ProxyHeader }
  /** Every verdict takes at least this many bytes, counted from the first. */
  | { readonly status: 'more'; readonly atLeast: number }
  | { readonly status: 'bad'; readonly code: ProxyErrorCode; readonly at: number }

/**
 * Reads a PROXY header, text or binary, from the start of `bytes`.
 *
 * @param bytes - everything received so far; only read. The header that comes back is a view over it.
 * @param maxBytes - bound for a whole header; a text header is also bound by the protocol's 107 bytes.
 * @returns `done` with the header; `more` with the least total needed; `bad` with a stable code and the offset at fault.
 *   Once bytes are bad, no further bytes change that or the code.
 * @see PROXY protocol specification, sections 2.1 and 2.2.
 */
export function parseProxyHeader(bytes: Buffer, maxBytes: number = limits.maxHeaderBytes): ProxyParse {
  const reader = new ProxyHeaderReader()
  const status = reader.read(bytes, maxBytes)
  if (status === 'done') return { status, header: reader }
  if (status === 'more') return { status, atLeast: reader.atLeast }
  return { status, code: reader.code, at: reader.at }
}

/**
 * The same for hot paths: one reader reads any number of headers and allocates nothing. What it holds is that of the last
 * `read`: the fields of the header after `done`, `atLeast` after `more`, `code` and `at` after `bad`.
 */
export class ProxyHeaderReader extends HeaderFields {
  read(bytes: Buffer, maxBytes: number = limits.maxHeaderBytes): ParseStatus {
    switch (bytes[0]) {
      case 0x0d:
        if (bytes.length >= prefixBytes && hasSignature(bytes)) return readV2(bytes, maxBytes, this)
        return this.#match(bytes, signature) === 'bad' ? 'bad' : readV2(bytes, maxBytes, this)
      case 0x50:
        return this.#match(bytes, textStart) === 'bad' ? 'bad' : readV1(bytes, maxBytes, this)
      case undefined:
        return this.more(shortestV1Bytes)
      default:
        return this.bad('PROXY_NO_SIGNATURE', 0)
    }
  }

  #match(bytes: Buffer, start: Buffer): ParseStatus {
    const end = Math.min(bytes.length, start.length)
    for (let i = 0; i < end; i++) if (bytes[i] !== start[i]) return this.bad('PROXY_NO_SIGNATURE', i)
    return 'done'
  }
}

/** R-V2-01. The NUL in it makes it no text of any protocol. */
export const signature: Buffer = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const textStart = Buffer.from('PROXY', 'latin1')
const textStarts = ['PROXY TCP4 ', 'PROXY TCP6 ', 'PROXY UNKNOWN'].map((text) => Buffer.from(text, 'latin1'))

/** Every byte by its index: the fastest way there is to compare so few. */
function hasSignature(bytes: Buffer): boolean {
  return (
    bytes[0] === 0x0d &&
    bytes[1] === 0x0a &&
    bytes[2] === 0x0d &&
    bytes[3] === 0x0a &&
    bytes[4] === 0x00 &&
    bytes[5] === 0x0d &&
    bytes[6] === 0x0a &&
    bytes[7] === 0x51 &&
    bytes[8] === 0x55 &&
    bytes[9] === 0x49 &&
    bytes[10] === 0x54 &&
    bytes[11] === 0x0a
  )
}

/**
 * The bytes begin like a whole header's start: the binary signature, or `PROXY` with a family word. For recognising a
 * header where none may be; it says nothing of whether the header is valid.
 */
export function looksLikeProxyHeader(bytes: Uint8Array): boolean {
  return startsWith(bytes, signature) || textStarts.some((start) => startsWith(bytes, start))
}

function startsWith(bytes: Uint8Array, start: Buffer): boolean {
  return bytes.length >= start.length && start.every((byte, i) => bytes[i] === byte)
}
