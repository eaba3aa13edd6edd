/*
 * PROXY headers on datagrams (PROXY protocol specification, section 2): header and payload in one datagram, and each
 * datagram is read on its own, so there is no waiting for more.
 */
import type { ProxyErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import { encodeProxyHeader, type Encoded, type EncodeOptions, type HeaderToSend } from './encode.ts'
import type { ProxyHeader } from './header.ts'
import { parseProxyHeader } from './parse.ts'

/** What `parseProxyDatagram` found. */
export type ProxyDatagram =
  /** Views over the datagram. */
  | { readonly ok: true; readonly header: ProxyHeader; readonly payload: Buffer }
  /** `at` is the offset of the byte at fault; a datagram that ends inside its header is `PROXY_TRUNCATED` at its end. */
  | { readonly ok: false; readonly code: ProxyErrorCode; readonly at: number }

/**
 * Splits a datagram into its binary header and its payload. The text header knows no datagrams and is refused with
 * `PROXY_FAMILY`.
 *
 * @param datagram - one whole datagram; only read. What comes back is a view over it.
 * @param maxBytes - bound for the header.
 * @see PROXY protocol specification, section 2.
 */
export function parseProxyDatagram(datagram: Buffer, maxBytes: number = limits.maxHeaderBytes): ProxyDatagram {
  const parse = parseProxyHeader(datagram, maxBytes)
  if (parse.status === 'bad') return { ok: false, code: parse.code, at: parse.at }
  // R-UDP-02: what has not come will not come.
  if (parse.status === 'more') return { ok: false, code: 'PROXY_TRUNCATED', at: datagram.length }
  if (parse.header.version === 1) return { ok: false, code: 'PROXY_FAMILY', at: 0 }
  return { ok: true, header: parse.header, payload: datagram.subarray(parse.header.length) }
}

/**
 * A binary header and the payload as one datagram (S-12), in a buffer of its own.
 *
 * @returns what `encodeProxyHeader` returns; `maxBytes` bounds the header, not the datagram.
 * @see PROXY protocol specification, section 2.
 */
export function encodeProxyDatagram(
  header: Extract<HeaderToSend, { version: 2 }>,
  payload: Uint8Array,
  options: Omit<EncodeOptions, 'into' | 'at'> = {},
): Encoded {
  const encoded = encodeProxyHeader(header, options)
  return encoded.ok ? { ...encoded, bytes: Buffer.concat([encoded.bytes, payload]) } : encoded
}
