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
import {
  familyInet,
  familyInet6,
  familyUnix,
  shapeLocal,
  shapeUnspec,
  type HeaderFields,
  type ParseStatus,
} from './header.ts'
import { findFault, noFault, noFaultWithChecksum, TlvCursor, tlvType } from './tlv.ts'

/** Signature, version and command, family and transport, length. */
export const prefixBytes = 16

/** Version 2 and the command. */
const local = 0x20
const proxy = 0x21

/** R-V2-12: where the TLVs of a PROXY header begin, by its byte 13; 0 where it has no addresses that may be used. */
const tlvStarts = Uint8Array.from({ length: 256 }, (_, familyAndTransport) => {
  const transport = familyAndTransport & 15
  const block = transport === 0 || transport > 2 ? 0 : blockBytes(familyAndTransport >>> 4)
  return block === 0 ? 0 : prefixBytes + block
})

/**
 * Judges as much of the prefix as there is behind the signature: refuses it at the first byte that is wrong.
 *
 * - R-V2-02, D-01, D-02: the nibble alone tells the version, and a signature with another one is a bad header, not none.
 * - R-V2-05: LOCAL or PROXY.
 * - R-V2-06, R-V2-07: defined families and transports. LOCAL discards them, so that they cannot be wrong (D-04).
 */
export function readPartOfV2(bytes: Buffer, into: HeaderFields): ParseStatus {
  if (bytes.length <= 12) return into.more(prefixBytes)
  const versionAndCommand = bytes[12]!
  if (versionAndCommand >>> 4 !== 2) return into.bad('PROXY_VERSION', 12)
  if ((versionAndCommand & 15) > 1) return into.bad('PROXY_COMMAND', 12)
  if (bytes.length > 13 && versionAndCommand === proxy) {
    const familyAndTransport = bytes[13]!
    if (familyAndTransport >>> 4 > familyUnix || (familyAndTransport & 15) > 2) return into.bad('PROXY_FAMILY', 13)
  }
  return into.more(prefixBytes)
}

/** The signature and all of the prefix are there. */
export function readV2(bytes: Buffer, maxBytes: number, into: HeaderFields): ParseStatus {
  const tlvStart = bytes[12] === proxy ? tlvStarts[bytes[13]!]! : 0
  if (tlvStart === 0) return readWithoutAddresses(bytes, maxBytes, into)
  const length = prefixBytes + ((bytes[14]! << 8) | bytes[15]!)
  // R-V2-14, D-11: what the length alone condemns is refused before the bytes come.
  if (length > maxBytes) return into.bad('PROXY_TOO_LONG', 14)
  if (length < tlvStart) return into.bad('PROXY_LENGTH', 14)
  if (length > tlvStart) {
    const status = checkTlvs(bytes, tlvStart, length, into)
    if (status !== 'done') return status
  }
  if (bytes.length < length) return into.more(length)
  into.shape = (proxy << 8) | bytes[13]!
  into.bytes = bytes
  into.length = length
  into.tlvStart = tlvStart
  return 'done'
}

function checkTlvs(bytes: Buffer, tlvStart: number, length: number, into: HeaderFields): ParseStatus {
  const available = bytes.length
  const fault = findFault(bytes, tlvStart, length, available)
  if (fault >= 0) return into.bad('PROXY_TLV', fault)
  if (available < length) return into.more(length)
  if (fault === noFaultWithChecksum) {
    const wrong = findChecksumFault(bytes, tlvStart, length)
    if (wrong !== noFault) return into.bad('PROXY_CHECKSUM', wrong)
  }
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

/**
 * LOCAL, and PROXY where family or transport is UNSPEC (R-V2-03, R-V2-09, D-05, D-06): the block is skipped by its length
 * and nothing in it is offered, since where its TLVs begin is not defined (R-TLV-04). All other prefixes are bad.
 */
function readWithoutAddresses(bytes: Buffer, maxBytes: number, into: HeaderFields): ParseStatus {
  const status = readPartOfV2(bytes, into)
  if (status === 'bad') return status
  const length = prefixBytes + ((bytes[14]! << 8) | bytes[15]!)
  if (length > maxBytes) return into.bad('PROXY_TOO_LONG', 14)
  if (bytes.length < length) return into.more(length)
  const fault = findUndefinedChecksumFault(bytes, length, bytes[13]! >>> 4)
  if (fault !== noFault) return into.bad('PROXY_CHECKSUM', fault)
  into.shape = bytes[12] === local ? shapeLocal : shapeUnspec
  into.bytes = bytes
  into.length = length
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
