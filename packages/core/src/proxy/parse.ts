import type { ProxyErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import { HeaderFields, type ParseStatus, type ProxyHeader } from './header.ts'
import { differsFromSignature, differsFromText, hasSignature } from './signature.ts'
import { readV1, shortestV1Bytes } from './v1.ts'
import { prefixBytes, readPartOfV2, readV2 } from './v2.ts'

// A constant of the module costs the hot path less than a property.
const defaultMaxBytes = limits.maxHeaderBytes

/** What `parseProxyHeader` answers. */
export type ProxyParse =
  /** `header` is a view over the bytes; its `length` bytes are the header, the rest is the application's. */
  | { readonly status: 'done'; readonly header: ProxyHeader }
  /** No header that begins so is shorter, counted from the first byte; that it is a bad one may show before. */
  | { readonly status: 'more'; readonly atLeast: number }
  /** `at` is the offset of the byte at fault, from 0. */
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
export function parseProxyHeader(bytes: Buffer, maxBytes: number = defaultMaxBytes): ProxyParse {
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
  /**
   * Reads a header from the start of `bytes`, as `parseProxyHeader` does, into this object.
   *
   * @param bytes - everything received so far; only read. After `done` this object is a view over it.
   * @param maxBytes - bound for a whole header.
   */
  read(bytes: Buffer, maxBytes: number = defaultMaxBytes): ParseStatus {
    if (bytes.length >= prefixBytes && hasSignature(bytes)) return readV2(bytes, maxBytes, this)
    switch (bytes[0]) {
      case 0x0d:
        return this.#isNone(differsFromSignature(bytes)) ? 'bad' : readPartOfV2(bytes, this)
      case 0x50:
        return this.#isNone(differsFromText(bytes)) ? 'bad' : readV1(bytes, maxBytes, this)
      case undefined:
        return this.more(shortestV1Bytes)
      default:
        return this.bad('PROXY_NO_SIGNATURE', 0)
    }
  }

  #isNone(difference: number): boolean {
    if (difference !== -1) this.bad('PROXY_NO_SIGNATURE', difference)
    return difference !== -1
  }
}
