/*
 * PROXY headers, written from the specification and from nothing of this project: what the tests send must not share a
 * mistake with what reads it. It writes what it is told, right or wrong.
 */
import { isIPv4 } from 'node:net'

export interface Ends {
  readonly source: string
  readonly sourcePort: number
  readonly destination: string
  readonly destinationPort: number
}

/** The ends of most tests: a client of TEST-NET-3, to a mail exchanger of TEST-NET-2 (RFC 5737). */
export const ends: Ends = {
  source: '203.0.113.7',
  sourcePort: 45_678,
  destination: '198.51.100.5',
  destinationPort: 25,
}

/** Section 2.1. */
export function v1({ source, sourcePort, destination, destinationPort }: Ends = ends): Buffer {
  const family = isIPv4(source) ? 'TCP4' : 'TCP6'
  return Buffer.from(`PROXY ${family} ${source} ${destination} ${sourcePort} ${destinationPort}\r\n`, 'latin1')
}

export const signature: Buffer = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

export interface V2 {
  /** The low nibble of byte 13: 0 LOCAL, 1 PROXY. */
  readonly command?: number
  /** The high nibble of byte 13. */
  readonly version?: number
  /** Byte 14: address family and transport. */
  readonly family?: number
  /** The address block and whatever else follows the prefix. */
  readonly block?: Uint8Array
  readonly tlvs?: readonly Uint8Array[]
  /** Appends TLV 0x03 over everything. */
  readonly crc?: boolean
  /** Instead of the true one, for headers that lie. */
  readonly length?: number
}

/** Section 2.2, any header at all. */
export function v2Bytes(header: V2): Buffer {
  const { command = 1, version = 2, family = 0x11, block = new Uint8Array(), tlvs = [], crc = false } = header
  const parts = [block, ...tlvs, ...(crc ? [tlv(0x03, Buffer.alloc(4))] : [])]
  const rest = Buffer.concat(parts)
  const prefix = Buffer.from([version * 16 + command, family, 0, 0])
  prefix.writeUInt16BE(header.length ?? rest.length, 2)
  const bytes = Buffer.concat([signature, prefix, rest])
  if (crc) bytes.writeUInt32BE(crc32c(bytes), bytes.length - 4)
  return bytes
}

/** PROXY over TCP, between two ends of one family. */
export function v2(at: Ends = ends, more: Pick<V2, 'tlvs' | 'crc'> = {}): Buffer {
  const isV4 = isIPv4(at.source)
  const portBytes = Buffer.alloc(4)
  portBytes.writeUInt16BE(at.sourcePort, 0)
  portBytes.writeUInt16BE(at.destinationPort, 2)
  const block = Buffer.concat([addressBytes(at.source), addressBytes(at.destination), portBytes])
  return v2Bytes({ family: isV4 ? 0x11 : 0x21, block, ...more })
}

/** A health check: section 2.2, command LOCAL. */
export const v2Local: Buffer = v2Bytes({ command: 0, family: 0 })

/** Section 2.2: type, length in network order, value. */
export function tlv(type: number, value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value)
  const head = Buffer.from([type, 0, 0])
  head.writeUInt16BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** Section 2.2.6: client bits, verify, sub-TLVs. */
export function sslTlv(client: number, verify: number, subs: readonly Uint8Array[]): Buffer {
  const head = Buffer.from([client, 0, 0, 0, 0])
  head.writeUInt32BE(verify, 1)
  return tlv(0x20, Buffer.concat([head, ...subs]))
}

/** RFC 4960 appendix B: reflected polynomial 0x82F63B78, bit by bit as the definition reads. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1
  }
  return (crc ^ 0xffff_ffff) >>> 0
}

function addressBytes(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number))
  const [head = '', tail] = text.split('::')
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => 0)
  const bytes = Buffer.alloc(16)
  for (const [index, group] of [...left, ...zeros, ...right].entries()) bytes.writeUInt16BE(group, index * 2)
  return bytes
}

function groups(text: string): readonly number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}
