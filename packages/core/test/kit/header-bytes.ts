/*
 * Headers written by hand, field by field: the tests' own writer, so that the encoder under test never judges itself.
 */

/** Hex with blanks and line ends between fields; `;` starts a comment up to the end of the line. */
export function hex(fields: string): Buffer {
  const digits = fields.replaceAll(/;.*$/gm, '').replaceAll(/\s/g, '')
  const bytes = Buffer.from(digits, 'hex')
  if (bytes.length * 2 !== digits.length) throw new Error(`not hex: ${digits}`)
  return bytes
}

export const signatureHex = '0d0a0d0a 000d0a51 5549540a'

/** A binary header with its length filled in. */
export function v2(parts: {
  readonly versionAndCommand?: number
  readonly familyAndTransport?: number
  readonly block?: Uint8Array
  readonly tlvs?: readonly Uint8Array[]
  readonly length?: number
}): Buffer {
  const { versionAndCommand = 0x21, familyAndTransport = 0x11, block = inetBlock, tlvs = [] } = parts
  const body = Buffer.concat([block, ...tlvs])
  const length = parts.length ?? body.length
  const fixed = Buffer.of(versionAndCommand, familyAndTransport, length >>> 8, length & 255)
  return Buffer.concat([hex(signatureHex), fixed, body])
}

/** 192.0.2.1:56324 to 198.51.100.2:443. */
export const inetBlock: Buffer = hex('c0000201 c6336402 dc04 01bb')
/** [2001:db8::1]:56324 to [2001:db8::2]:443. */
export const inet6Block: Buffer = hex(
  '20010db8 00000000 00000000 00000001 20010db8 00000000 00000000 00000002 dc04 01bb',
)

/** `/run/a.sock` to `/run/b.sock`, NUL padded. */
export function unixBlock(source: string = '/run/a.sock', destination: string = '/run/b.sock'): Buffer {
  const block = Buffer.alloc(216)
  block.write(source, 0, 108, 'latin1')
  block.write(destination, 108, 108, 'latin1')
  return block
}

export function tlv(type: number, value: Uint8Array | string, length: number = value.length): Buffer {
  const bytes = typeof value === 'string' ? text(value) : value
  return Buffer.concat([Buffer.of(type, length >>> 8, length & 255), bytes])
}

/** An SSL TLV: its fixed part and nested TLVs. */
export function ssl(client: number, verify: number, ...nested: readonly Uint8Array[]): Buffer {
  const fixed = Buffer.of(client, verify >>> 24, (verify >>> 16) & 255, (verify >>> 8) & 255, verify & 255)
  return tlv(0x20, Buffer.concat([fixed, ...nested]))
}

/** Fills in the checksums of a header, as the specification says: over all of it with zeros in their place. */
export function withChecksum(header: Buffer, ...offsets: readonly number[]): Buffer {
  const bytes = Buffer.from(header)
  for (const at of offsets) bytes.writeUInt32BE(0, at)
  const sum = slowCrc32c(bytes)
  for (const at of offsets) bytes.writeUInt32BE(sum, at)
  return bytes
}

/** RFC 4960 appendix B, bit by bit. */
export function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f6_3b78 : 0)
  }
  return ~crc >>> 0
}

export function text(line: string): Buffer {
  return Buffer.from(line, 'latin1')
}
