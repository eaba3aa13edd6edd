/*
 * The first bytes of a connection. Some clients speak something else: a balancer that nobody trusts sends a PROXY
 * header, a browser HTTP, a TLS client its handshake. None of it may be read as commands.
 */
import { looksLikeProxyHeader, mayBecomeProxyHeader } from '@postern/core'

export type Opening = 'smtp' | 'proxy-v1' | 'proxy-v2' | 'tls'

/** `PROXY UNKNOWN` is the longest thing that tells a header. */
const tellingBytes = 13
/** RFC 8446 §5.1: ContentType handshake. */
const tlsHandshake = 0x16
const lf = 0x0a
/** For all connections: an empty buffer of its own would be a fiftieth of what an idle one holds. */
const nothing = Buffer.alloc(0)

/** Watches the first bytes of a connection until they tell what it is, however they are cut. */
export class OpeningDetector {
  /** What came before the chunk that told: to be read first. */
  earlier: Buffer = nothing

  /**
   * @param chunk - what was received; only read, and copied while nothing is told.
   * @returns undefined while it may still become either: the binary signature begins with two empty lines, which must
   * not be answered until it is known that they are lines.
   */
  detect(chunk: Buffer): Opening | undefined {
    const bytes = Buffer.concat([this.earlier, chunk.subarray(0, tellingBytes)])
    if (bytes[0] === tlsHandshake) return 'tls'
    const isText = bytes[0] === 0x50
    if (looksLikeProxyHeader(bytes)) return isText ? 'proxy-v1' : 'proxy-v2'
    const isTold = bytes.length >= tellingBytes || (isText && bytes.includes(lf)) || !mayBecomeProxyHeader(bytes)
    if (isTold) return 'smtp'
    this.earlier = bytes
    return undefined
  }
}

/** Verbs of HTTP (RFC 9110 §9.3, RFC 5789, RFC 9113 §3.4), and what SSH begins with (RFC 4253 §4.2). */
const foreign = /^(?:(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI) |SSH-)/i

/** The line is the first of another protocol: what follows may hold commands that a web page chose (ALPACA, 2021). */
export function isForeignLine(line: Buffer): boolean {
  return foreign.test(line.toString('latin1', 0, 8))
}
