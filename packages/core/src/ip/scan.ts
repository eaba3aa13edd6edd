/*
 * Address text, byte by byte: the one place that knows the grammar, used for the v1 header and for text elsewhere.
 *
 *   IPv4address   RFC 3986 section 3.2.2: four decimal octets 0 to 255, without leading zeros
 *   IPv6address   RFC 4291 section 2.2, all three forms: groups of one to four hexadecimal digits, at most one "::"
 *                 (which stands for at least one group), and optionally a dotted IPv4 tail
 *
 * A scan also tells text that is wrong from text that has merely ended, so that a header that comes in pieces is
 * refused at the first byte that no continuation can mend.
 */

/** The bytes ended inside an address that more of them could complete. */
export const scanEnded = -1
/** `at` holds the offset of the byte that no address has there. */
export const scanBad = -2

const dot = 0x2e
const colon = 0x3a

export class AddressScanner {
  /** The words of the last address, as in `AddressWords`. */
  w0 = 0
  w1 = 0
  w2 = 0
  w3 = 0
  /** After `scanBad`: the offset at fault. */
  at = 0
  /** After `scanEnded`: the least number of bytes that complete the address. */
  missing = 0

  readonly #groups = new Uint16Array(8)

  /** @returns the offset behind the address, or `scanEnded` or `scanBad`. */
  scanIpv4(bytes: Uint8Array, from: number, end: number): number {
    let word = 0
    let i = from
    for (let octet = 0; octet < 4; octet++) {
      if (octet > 0) {
        if (i >= end) return this.#ended(8 - 2 * octet)
        if (bytes[i] !== dot) return this.#bad(i)
        i++
      }
      if (i >= end) return this.#ended(7 - 2 * octet)
      let value = bytes[i]! - 0x30
      if (value < 0 || value > 9) return this.#bad(i)
      const hasLeadingZero = value === 0
      i++
      while (i < end) {
        const digit = bytes[i]! - 0x30
        if (digit < 0 || digit > 9) break
        value = value * 10 + digit
        if (hasLeadingZero || value > 255) return this.#bad(i)
        i++
      }
      word = (word << 8) | value
    }
    this.w0 = word
    this.w1 = this.w2 = this.w3 = 0
    return i
  }

  /** @returns the offset behind the address, or `scanEnded` or `scanBad`. Does not fold IPv4-mapped addresses. */
  scanIpv6(bytes: Uint8Array, from: number, end: number): number {
    const groups = this.#groups
    let count = 0
    /** How many groups stand before the "::"; -1 while there is none. */
    let gap = -1
    let i = from
    if (i < end && bytes[i] === colon) {
      if (i + 1 >= end) return this.#ended(1)
      if (bytes[i + 1] !== colon) return this.#bad(i + 1)
      gap = 0
      i += 2
    }
    /** The text so far ends with "::", so that the address may end here. */
    let isAfterGap = gap === 0
    for (;;) {
      if (i >= end) {
        if (isAfterGap) break
        return this.#ended(count === 0 ? 2 : 1)
      }
      let value = hexDigit(bytes[i]!)
      if (value < 0) {
        if (isAfterGap) break
        if (bytes[i] !== colon || gap >= 0 || count === 0) return this.#bad(i)
        gap = count
        isAfterGap = true
        i++
        continue
      }
      // "::" stands for at least one group, so that no eighth may follow it.
      if (isAfterGap && count === 7) return this.#bad(i)
      isAfterGap = false
      const start = i
      i++
      for (let digit = i < end ? hexDigit(bytes[i]!) : -1; digit >= 0; digit = i < end ? hexDigit(bytes[i]!) : -1) {
        if (i - start === 4) return this.#bad(i)
        value = (value << 4) | digit
        i++
      }
      if (i < end && bytes[i] === dot) {
        const hasRoom = gap < 0 ? count === 6 : count <= 5
        if (!hasRoom) return this.#bad(i)
        const behind = this.scanIpv4(bytes, start, end)
        if (behind < 0) return behind
        groups[count++] = this.w0 >>> 16
        groups[count++] = this.w0 & 0xffff
        i = behind
        break
      }
      groups[count++] = value
      if (i < end && bytes[i] === colon) {
        if (count === (gap < 0 ? 8 : 7)) return this.#bad(i)
        i++
        continue
      }
      if (gap < 0 && count < 8) return i < end ? this.#bad(i) : this.#ended(2)
      break
    }
    if (gap >= 0) {
      // What stands behind the "::" moves to the end, and zeros take its place.
      const missing = 8 - count
      for (let to = 7; to >= gap; to--) groups[to] = to - missing >= gap ? groups[to - missing]! : 0
    }
    this.w0 = (groups[0]! << 16) | groups[1]!
    this.w1 = (groups[2]! << 16) | groups[3]!
    this.w2 = (groups[4]! << 16) | groups[5]!
    this.w3 = (groups[6]! << 16) | groups[7]!
    return i
  }

  #bad(at: number): number {
    this.at = at
    return scanBad
  }

  #ended(missing: number): number {
    this.missing = missing
    return scanEnded
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
