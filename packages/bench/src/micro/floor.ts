/*
 * The floor: what reading a v2 TCP4 header must cost in this language at the least, written by hand for that one header.
 * It checks what the specification demands of these 28 bytes, and knows no other version, family, bound or error.
 */

export interface InetFields {
  source: number
  destination: number
  sourcePort: number
  destinationPort: number
}

/** @returns the header's length, or 0 when it is any other header. */
export function readInetByHand(bytes: Buffer, into: InetFields): number {
  if (
    bytes.length < 28 ||
    bytes[0] !== 0x0d ||
    bytes[1] !== 0x0a ||
    bytes[2] !== 0x0d ||
    bytes[3] !== 0x0a ||
    bytes[4] !== 0x00 ||
    bytes[5] !== 0x0d ||
    bytes[6] !== 0x0a ||
    bytes[7] !== 0x51 ||
    bytes[8] !== 0x55 ||
    bytes[9] !== 0x49 ||
    bytes[10] !== 0x54 ||
    bytes[11] !== 0x0a ||
    bytes[12] !== 0x21 ||
    bytes[13] !== 0x11 ||
    bytes[14] !== 0 ||
    bytes[15] !== 12
  ) {
    return 0
  }
  into.source = (bytes[16]! << 24) | (bytes[17]! << 16) | (bytes[18]! << 8) | bytes[19]!
  into.destination = (bytes[20]! << 24) | (bytes[21]! << 16) | (bytes[22]! << 8) | bytes[23]!
  into.sourcePort = (bytes[24]! << 8) | bytes[25]!
  into.destinationPort = (bytes[26]! << 8) | bytes[27]!
  return 28
}
