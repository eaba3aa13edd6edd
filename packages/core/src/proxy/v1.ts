/*
 * The text header (PROXY protocol specification, section 2.1), US-ASCII, one blank between fields:
 *
 *   "PROXY" SP ("TCP4" | "TCP6") SP source SP destination SP source-port SP destination-port CRLF
 *   "PROXY" SP "UNKNOWN" [SP anything] CRLF
 *
 * It is read from its first byte each time, since it has 107 at most. The first byte that no header has at its place
 * ends it, so a line is refused as soon as it can be, and with the same code however it was split.
 */
import { AddressScanner, scanBad, scanEnded } from '../ip/scan.ts'
import { limits } from '../limits.ts'
import type { HeaderFields, ParseStatus } from './header.ts'

const cr = 0x0d
const lf = 0x0a
const space = 0x20

/** The shortest text header: `PROXY UNKNOWN` CRLF. */
export const shortestV1Bytes = 15

// `shape` of the header by its family word.
const shapeTcp4 = 0x1111
const shapeTcp6 = 0x1121
const shapeUnknown = 0x1100

const unknownWord = Buffer.from('UNKNOWN', 'latin1')
const scanner = new AddressScanner()

/** What must at least follow each field: ` 0.0.0.0 0 0` CRLF behind an IPv4 source, and so on. */
const leastAfterSource4 = 14
const leastAfterSource6 = 9
const leastAfterDestination = 6
const leastAfterSourcePort = 4
const leastAfterDestinationPort = 2

/**
 * The first bytes are `PROXY`, as far as there are any.
 *
 * R-V1-07: a line that no CRLF can end within the bound is too long as soon as that is sure, and byte 108 is never asked
 * for. Where it was sure before the byte at fault, that is the verdict, since it was one however the line was split.
 */
export function readV1(bytes: Buffer, maxBytes: number, into: HeaderFields): ParseStatus {
  const bound = Math.min(maxBytes, limits.maxV1HeaderBytes)
  const status = readLine(bytes, Math.min(bytes.length, bound), into)
  if (status === 'done') return status
  if (status === 'more') return into.atLeast > bound ? into.bad('PROXY_TOO_LONG', bound - 1) : status
  const { code, at } = into
  readLine(bytes, at, into)
  return into.atLeast > bound ? into.bad('PROXY_TOO_LONG', bound - 1) : into.bad(code, at)
}

function readLine(bytes: Buffer, available: number, into: HeaderFields): ParseStatus {
  if (available <= 5) return into.more(shortestV1Bytes)
  if (bytes[5] !== space) return into.bad('PROXY_LINE', 5)
  if (available === 6) return into.more(shortestV1Bytes)
  if (bytes[6] === 0x55 /* U */) return readUnknown(bytes, available, into)
  // "TCP4" or "TCP6", then a blank; the shortest such line is `PROXY TCP6 :: :: 0 0` CRLF.
  const shortest = 22
  if (bytes[6] !== 0x54 /* T */) return into.bad('PROXY_FAMILY', 6)
  if (available === 7) return into.more(shortest)
  if (bytes[7] !== 0x43 /* C */) return into.bad('PROXY_FAMILY', 7)
  if (available === 8) return into.more(shortest)
  if (bytes[8] !== 0x50 /* P */) return into.bad('PROXY_FAMILY', 8)
  if (available === 9) return into.more(shortest)
  const digit = bytes[9]!
  if (digit !== 0x34 && digit !== 0x36) return into.bad('PROXY_FAMILY', 9)
  const isIpv4 = digit === 0x34
  const afterSource = isIpv4 ? leastAfterSource4 : leastAfterSource6
  if (available === 10) return into.more(11 + (isIpv4 ? 7 : 2) + afterSource)
  if (bytes[10] !== space) return into.bad('PROXY_FAMILY', 10)

  // R-V1-04: the family word fixes the form of both addresses.
  let at = isIpv4 ? scanner.scanIpv4(bytes, 11, available) : scanner.scanIpv6(bytes, 11, available)
  if (at < 0) return noAddress(at, available, afterSource, into)
  into.source0 = scanner.w0
  into.source1 = scanner.w1
  into.source2 = scanner.w2
  into.source3 = scanner.w3
  if (at === available) return into.more(available + afterSource)
  if (bytes[at] !== space) return into.bad('PROXY_ADDRESS', at)

  at = isIpv4 ? scanner.scanIpv4(bytes, at + 1, available) : scanner.scanIpv6(bytes, at + 1, available)
  if (at < 0) return noAddress(at, available, leastAfterDestination, into)
  into.destination0 = scanner.w0
  into.destination1 = scanner.w1
  into.destination2 = scanner.w2
  into.destination3 = scanner.w3
  if (at === available) return into.more(available + leastAfterDestination)
  if (bytes[at] !== space) return into.bad('PROXY_ADDRESS', at)

  at = scanPort(bytes, at + 1, available)
  if (at < 0) return noPort(at, available, leastAfterSourcePort, into)
  into.sourcePort = port
  if (at === available) return into.more(available + leastAfterSourcePort)
  if (bytes[at] !== space) return into.bad('PROXY_PORT', at)

  at = scanPort(bytes, at + 1, available)
  if (at < 0) return noPort(at, available, leastAfterDestinationPort, into)
  into.destinationPort = port
  if (at === available) return into.more(available + leastAfterDestinationPort)
  // R-V1-10: CRLF and nothing else ends the line.
  if (bytes[at] !== cr) return into.bad('PROXY_LINE', at)
  if (at + 1 === available) return into.more(available + 1)
  if (bytes[at + 1] !== lf) return into.bad('PROXY_LINE', at + 1)

  return done(bytes, at + 2, isIpv4 ? shapeTcp4 : shapeTcp6, into)
}

/** R-V1-12, R-V1-13: everything up to CRLF is ignored; a CR or LF alone is not CRLF. */
function readUnknown(bytes: Buffer, available: number, into: HeaderFields): ParseStatus {
  for (let i = 1; i < unknownWord.length; i++) {
    if (6 + i === available) return into.more(shortestV1Bytes)
    if (bytes[6 + i] !== unknownWord[i]) return into.bad('PROXY_FAMILY', 6 + i)
  }
  if (available === 13) return into.more(shortestV1Bytes)
  if (bytes[13] === cr) {
    if (available === 14) return into.more(shortestV1Bytes)
    if (bytes[14] !== lf) return into.bad('PROXY_LINE', 14)
    return done(bytes, 15, shapeUnknown, into)
  }
  if (bytes[13] !== space) return into.bad('PROXY_FAMILY', 13)
  for (let i = 15; i < available; i++) {
    if (bytes[i] === lf && bytes[i - 1] === cr) return done(bytes, i + 1, shapeUnknown, into)
  }
  return into.more(available + (bytes[available - 1] === cr ? 1 : 2))
}

function done(bytes: Buffer, length: number, shape: number, into: HeaderFields): 'done' {
  into.shape = shape
  into.bytes = bytes
  into.length = length
  into.tlvStart = length
  return 'done'
}

function noAddress(outcome: number, available: number, leastAfter: number, into: HeaderFields): ParseStatus {
  if (outcome === scanBad) return into.bad('PROXY_ADDRESS', scanner.at)
  return into.more(available + scanner.missing + leastAfter)
}

/** After `scanPort`: the port, or the offset at fault. */
let port = 0
let portFault = 0

/** R-V1-05: decimal, 0 to 65535, no leading zero. */
function scanPort(bytes: Buffer, from: number, available: number): number {
  if (from === available) return scanEnded
  let value = bytes[from]! - 0x30
  if (value < 0 || value > 9) {
    portFault = from
    return scanBad
  }
  let at = from + 1
  const isZero = value === 0
  for (; at < available && isDigit(bytes[at]!); at++) {
    value = value * 10 + bytes[at]! - 0x30
    if (isZero || value > 65_535) {
      portFault = at
      return scanBad
    }
  }
  port = value
  return at
}

function noPort(outcome: number, available: number, leastAfter: number, into: HeaderFields): ParseStatus {
  if (outcome === scanBad) return into.bad('PROXY_PORT', portFault)
  return into.more(available + 1 + leastAfter)
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}
