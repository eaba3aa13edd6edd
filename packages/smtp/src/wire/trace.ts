/*
 * Trace information (RFC 5321 §4.4):
 *
 *   Time-stamp-line = "Received:" FWS Stamp CRLF
 *   Stamp           = From-domain By-domain Opt-info [CFWS] ";" FWS date-time
 *   From-domain     = "FROM" FWS Extended-Domain             the argument of EHLO, and the client's address
 *   Opt-info        = [Via] [With] [ID] [For] …
 *   Return-path-line = "Return-Path:" FWS Reverse-path CRLF
 */
import type { ChannelSecurity, ConnectionInfo, IpAddress } from '@postern/core'

/** How the client greeted. */
export interface Hello {
  readonly verb: 'EHLO' | 'HELO' | 'LHLO'
  readonly domain: string
}

export interface Stamp {
  readonly connection: ConnectionInfo
  readonly hello: Hello
  readonly hostname: string
  /** The client's name, verified by us or by a front end. */
  readonly clientName?: string
  readonly isAuthenticated: boolean
  readonly isSmtpUtf8: boolean
  readonly transactionId: string
  readonly forwardPaths: readonly string[]
  readonly at: Date
}

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3). */
export function addressLiteral(address: IpAddress): string {
  return address.family === 4 ? `[${address.toString()}]` : `[IPv6:${address.toString()}]`
}

/** The Received field of a message, line end included. The client is the real one; its balancer is named beside the id. */
export function receivedField(stamp: Stamp): string {
  const { connection, hello, forwardPaths } = stamp
  const { identity, security } = connection
  const tls = security.kind === 'tls' ? ` (${tlsComment(security)})` : ''
  const via = identity.origin === 'proxied' ? ` (via ${identity.peer.address.toString()})` : ''
  const name = stamp.clientName === undefined ? '' : `${stamp.clientName} `
  const [only] = forwardPaths
  // With several recipients, naming one would tell the others of it (RFC 5321 §7.2).
  const forClause = forwardPaths.length === 1 && only !== undefined ? `\r\n\tfor <${only}>` : ''
  return (
    `Received: from ${hello.domain} (${name}${addressLiteral(identity.client.address)})\r\n` +
    `\tby ${stamp.hostname} with ${protocolOf(stamp)}${tls}\r\n` +
    `\tid ${stamp.transactionId}${via}${forClause};\r\n` +
    `\t${dateTime(stamp.at)}\r\n`
  )
}

/** The Return-Path field, which final delivery writes before everything else and nobody else writes. */
export function returnPathField(reversePath: string): string {
  return `Return-Path: <${reversePath}>\r\n`
}

/** RFC 5322 §3.6.1, for a message that its author's program left without. */
export function dateField(at: Date): string {
  return `Date: ${dateTime(at)}\r\n`
}

/** RFC 5322 §3.6.4: the id is unique in the world by the name of this host, and in it by transaction and time. */
export function messageIdField(transactionId: string, hostname: string, at: Date): string {
  return `Message-ID: <${at.getTime().toString(36)}.${transactionId}@${hostname}>\r\n`
}

/** RFC 3848, and RFC 6531 §4.3 for UTF8SMTP. TLS that a trusted balancer ended is TLS. */
function protocolOf({ hello, isSmtpUtf8, connection, isAuthenticated }: Stamp): string {
  if (hello.verb === 'HELO') return 'SMTP'
  const secure = connection.security.kind === 'tls' ? 'S' : ''
  const plain = hello.verb === 'LHLO' ? 'LMTP' : 'ESMTP'
  const utf8 = hello.verb === 'LHLO' ? 'UTF8LMTP' : 'UTF8SMTP'
  return `${isSmtpUtf8 ? utf8 : plain}${secure}${isAuthenticated ? 'A' : ''}`
}

/** What a balancer claims passes through a header of somebody else: only what version and cipher names are made of. */
function tlsComment(security: Extract<ChannelSecurity, { readonly kind: 'tls' }>): string {
  const words = [security.version, security.cipher, security.endedBy === 'proxy' ? 'ended by the proxy' : '']
  const clean = words.map((word) => word.replaceAll(/[^\w .-]/g, '').trim()).filter((word) => word !== '')
  return clean.length === 0 ? 'TLS' : clean.join(' ')
}

/** The last second that was written, since a busy server writes it again and again. */
let second = Number.NaN
let secondText = ''

/** RFC 5322 §3.3: date-time, in UTC. */
function dateTime(at: Date): string {
  const asked = Math.floor(at.getTime() / 1000)
  if (asked !== second) {
    second = asked
    secondText = at.toUTCString().replace('GMT', '+0000')
  }
  return secondText
}
