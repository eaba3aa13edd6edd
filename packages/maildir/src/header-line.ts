/*
 * The header of our files: fields in a line of a fixed length, filled up with spaces, with a checksum of all before it at the
 * end. Who reads one while it is written over sees that it is not whole.
 */
import { crc32 } from 'node:zlib'

/** `H`, eight digits, LF. */
const sealLength = 10

export function encodeHeaderLine(fields: string, bytes: number): Buffer {
  const head = fields.padEnd(bytes - sealLength, ' ')
  return Buffer.from(`${head}H${hex(crc32(head))}\n`, 'latin1')
}

/** Whether a line of this length is as it was written. */
export function isIntactHeader(line: string, bytes: number): boolean {
  const head = line.slice(0, bytes - sealLength)
  return line === `${head}H${hex(crc32(head))}\n`
}

/** The field at its fixed width. */
export const digits = (value: number, width: number): string => String(value).padStart(width, '0')

/** A checksum of 32 bits. */
export const hex = (value: number): string => value.toString(16).padStart(8, '0')
