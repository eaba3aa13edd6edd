/*
 * CRC32c (RFC 4960 appendix B): reflected polynomial 0x82F63B78, initial value and final xor all ones.
 *
 * Eight bytes a step with eight tables ("slicing by 8"): table k holds the checksum of a byte that k zero bytes follow.
 */
const polynomial = 0x82f63b78

const tables = makeTables()

function makeTables(): Int32Array {
  const made = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ polynomial
    made[byte] = crc
  }
  for (let at = 256; at < made.length; at++) {
    const shorter = made[at - 256]!
    made[at] = (shorter >>> 8) ^ made[shorter & 255]!
  }
  return made
}

/** The CRC32c of `bytes` (RFC 4960 appendix B), 0 to 2^32 - 1. */
export function crc32c(bytes: Uint8Array): number {
  return finishCrc32c(updateCrc32c(startOfCrc32c, bytes, 0, bytes.length))
}

/** The state before the first byte. */
export const startOfCrc32c = -1

/** Carries a state over `bytes` from `start` up to `end`. */
export function updateCrc32c(state: number, bytes: Uint8Array, start: number, end: number): number {
  let crc = state
  let i = start
  for (const lastFull = end - 8; i <= lastFull; i += 8) {
    crc =
      tables[1792 | ((crc ^ bytes[i]!) & 255)]! ^
      tables[1536 | (((crc >>> 8) ^ bytes[i + 1]!) & 255)]! ^
      tables[1280 | (((crc >>> 16) ^ bytes[i + 2]!) & 255)]! ^
      tables[1024 | ((crc >>> 24) ^ bytes[i + 3]!)]! ^
      tables[768 | bytes[i + 4]!]! ^
      tables[512 | bytes[i + 5]!]! ^
      tables[256 | bytes[i + 6]!]! ^
      tables[bytes[i + 7]!]!
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ tables[(crc ^ bytes[i]!) & 255]!
  return crc
}

/** Carries a state over four zero bytes: the checksum's own field while it is computed (PROXY specification, section 2.2.3). */
export function updateCrc32cWithZeros(state: number): number {
  let crc = state
  for (let i = 0; i < 4; i++) crc = (crc >>> 8) ^ tables[crc & 255]!
  return crc
}

/** The checksum of a state, 0 to 2^32 - 1. */
export function finishCrc32c(state: number): number {
  return ~state >>> 0
}
