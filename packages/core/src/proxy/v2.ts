/*
 * The binary header (PROXY protocol specification, section 2.2):
 *
 *    0  signature, 12 bytes
 *   12  version (high nibble, 2) and command (low nibble)
 *   13  address family (high nibble) and transport (low nibble)
 *   14  length of all that follows, u16 big endian
 *   16  addresses and ports by family: INET 12 bytes, INET6 36, UNIX 216
 *       TLVs
 */
import { wordAt } from '../ip/address.ts'
import { finishCrc32c, startOfCrc32c, updateCrc32c, updateCrc32cWithZeros } from './crc32c.ts'
import { familyInet, familyInet6, familyUnix, familyUnspec, type HeaderFields, type ParseStatus } from './header.ts'
import { findFault, noFault, noFaultWithChecksum, TlvCursor, tlvType } from './tlv.ts'

/** Signature, version and command, family and transport, length. */
export const prefixBytes = 16

/** The signature is there. */
export function readV2(bytes: Buffer, maxBytes: number, into: HeaderFields): ParseStatus {
  const available = bytes.length
  if (available < 13) return into.more(prefixBytes)
  const versionAndCommand = bytes[12]!
  // D-01, D-02: the nibble alone tells the version, and a signature with another version is a bad header, not none.
  if (versionAndCommand >>> 4 !== 2) return into.bad('PROXY_VERSION', 12)
  const command = versionAndCommand & 15
  if (command > 1) return into.bad('PROXY_COMMAND', 12)
  if (available < 14) return into.more(prefixBytes)
  const familyAndTransport = bytes[13]!
  // D-04: LOCAL discards the family, so that it cannot be wrong.
  const isUndefined = familyAndTransport >>> 4 > 3 || (familyAndTransport & 15) > 2
  if (command === 1 && isUndefined) return into.bad('PROXY_FAMILY', 13)
  if (available < prefixBytes) return into.more(prefixBytes)

  const length = prefixBytes + ((bytes[14]! << 8) | bytes[15]!)
  // R-V2-14, D-11: what the length alone condemns is refused before the bytes come.
  if (length > maxBytes) return into.bad('PROXY_TOO_LONG', 14)
  const hasAddresses = command === 1 && familyAndTransport >>> 4 !== 0 && (familyAndTransport & 15) !== 0
  if (!hasAddresses) return readWithoutAddresses(bytes, length, command, familyAndTransport, into)

  const family = familyAndTransport >>> 4
  const tlvStart = prefixBytes + blockBytes(family)
  if (length < tlvStart) return into.bad('PROXY_LENGTH', 14)
  const verdict = tlvStart < length ? findFault(bytes, tlvStart, length, available) : noFault
  if (verdict >= 0) return into.bad('PROXY_TLV', verdict)
  if (available < length) return into.more(length)
  if (verdict === noFaultWithChecksum) {
    const fault = findChecksumFault(bytes, tlvStart, length)
    if (fault !== noFault) return into.bad('PROXY_CHECKSUM', fault)
  }
  into.version = 2
  into.command = 'proxy'
  into.bytes = bytes
  into.length = length
  into.familyNumber = family
  into.transportNumber = familyAndTransport & 15
  into.tlvStart = tlvStart
  if (family === familyInet) readInet(bytes, into)
  else if (family === familyInet6) readInet6(bytes, into)
  return 'done'
}

function blockBytes(family: number): number {
  switch (family) {
    case familyInet:
      return 12
    case familyInet6:
      return 36
    case familyUnix:
      return 216
    default:
      return 0
  }
}

function readInet(bytes: Buffer, into: HeaderFields): void {
  into.source0 = wordAt(bytes, 16)
  into.destination0 = wordAt(bytes, 20)
  into.sourcePort = (bytes[24]! << 8) | bytes[25]!
  into.destinationPort = (bytes[26]! << 8) | bytes[27]!
}

function readInet6(bytes: Buffer, into: HeaderFields): void {
  into.source0 = wordAt(bytes, 16)
  into.source1 = wordAt(bytes, 20)
  into.source2 = wordAt(bytes, 24)
  into.source3 = wordAt(bytes, 28)
  into.destination0 = wordAt(bytes, 32)
  into.destination1 = wordAt(bytes, 36)
  into.destination2 = wordAt(bytes, 40)
  into.destination3 = wordAt(bytes, 44)
  into.sourcePort = (bytes[48]! << 8) | bytes[49]!
  into.destinationPort = (bytes[50]! << 8) | bytes[51]!
}

/**
 * LOCAL, and PROXY where family or transport is UNSPEC (R-V2-03, R-V2-09, D-05, D-06): the block is skipped by its length
 * and nothing in it is offered, since where its TLVs begin is not defined (R-TLV-04).
 */
function readWithoutAddresses(
  bytes: Buffer,
  length: number,
  command: number,
  familyAndTransport: number,
  into: HeaderFields,
): ParseStatus {
  if (bytes.length < length) return into.more(length)
  const fault = findUndefinedChecksumFault(bytes, length, familyAndTransport >>> 4)
  if (fault !== noFault) return into.bad('PROXY_CHECKSUM', fault)
  into.version = 2
  into.command = command === 1 ? 'proxy' : 'local'
  into.bytes = bytes
  into.length = length
  into.familyNumber = familyUnspec
  into.transportNumber = 0
  into.tlvStart = length
  return 'done'
}

/**
 * D-03: TLVs may begin at once (AWS health checks) or behind the addresses that the family would have. A checksum counts
 * where such a reading is clean, and fails the header only when no clean reading bears it out.
 */
function findUndefinedChecksumFault(bytes: Buffer, length: number, family: number): number {
  const atOnce = findCleanChecksumFault(bytes, prefixBytes, length)
  const block = blockBytes(family)
  if (atOnce === 'verified' || block === 0) return typeof atOnce === 'number' ? atOnce : noFault
  const behind = findCleanChecksumFault(bytes, prefixBytes + block, length)
  if (behind === 'verified') return noFault
  if (typeof atOnce === 'number') return atOnce
  return typeof behind === 'number' ? behind : noFault
}

/** @returns the offset of a checksum that does not hold, `verified`, or `absent` when nothing there claims one. */
function findCleanChecksumFault(bytes: Buffer, start: number, length: number): number | 'verified' | 'absent' {
  if (findFault(bytes, start, length, length) !== noFaultWithChecksum) return 'absent'
  const fault = findChecksumFault(bytes, start, length)
  return fault === noFault ? 'verified' : fault
}

const cursor = new TlvCursor(Buffer.alloc(0), 0, 0)

/**
 * Section 2.2.3: the checksum is over the whole header, its own four bytes taken as zero. Where it occurs twice, both
 * must hold with both taken as zero (D-14).
 *
 * @param tlvStart - start of a well-formed span of TLVs that ends at `length` and has a checksum.
 * @returns the offset of a CRC32C TLV that does not hold, or `noFault`.
 */
function findChecksumFault(bytes: Buffer, tlvStart: number, length: number): number {
  let state = startOfCrc32c
  let counted = 0
  cursor.reset(bytes, tlvStart, length)
  while (cursor.next()) {
    if (cursor.type !== tlvType.crc32c) continue
    state = updateCrc32cWithZeros(updateCrc32c(state, bytes, counted, cursor.start))
    counted = cursor.end
  }
  const sum = finishCrc32c(updateCrc32c(state, bytes, counted, length))
  cursor.reset(bytes, tlvStart, length)
  while (cursor.next()) {
    if (cursor.type !== tlvType.crc32c) continue
    if (wordAt(bytes, cursor.start) >>> 0 !== sum) return cursor.start - 3
  }
  return noFault
}
