import type { IpAddress } from '../contracts/address.ts'

/**
 * An address as four 32-bit words, the most significant first; IPv4 has its one word in `w0`. The words are signed,
 * since V8 keeps signed 32-bit integers inside the object and puts larger ones on the heap.
 *
 * Made by the functions of this file and of `text.ts`, never by `new`, so that an IPv4-mapped address cannot exist.
 */
export class AddressWords implements IpAddress {
  readonly family: 4 | 6
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
  #text: string | undefined

  constructor(family: 4 | 6, w0: number, w1: number, w2: number, w3: number) {
    this.family = family
    this.w0 = w0 | 0
    this.w1 = w1 | 0
    this.w2 = w2 | 0
    this.w3 = w3 | 0
    this.#text = undefined
  }

  toString(): string {
    this.#text ??= this.family === 4 ? formatIpv4(this.w0) : formatIpv6(this.w0, this.w1, this.w2, this.w3)
    return this.#text
  }

  toJSON(): string {
    return this.toString()
  }

  equals(other: IpAddress): boolean {
    const { family, w0, w1, w2, w3 } = wordsOf(other)
    return this.family === family && this.w0 === w0 && this.w1 === w1 && this.w2 === w2 && this.w3 === w3
  }

  network(prefixBits: number): IpAddress {
    return new AddressWords(
      this.family,
      this.w0 & maskWord(prefixBits, 0),
      this.w1 & maskWord(prefixBits, 32),
      this.w2 & maskWord(prefixBits, 64),
      this.w3 & maskWord(prefixBits, 96),
    )
  }
}

/**
 * An IPv4 address from a number.
 *
 * @param value - the address as one number, 0 to 2^32 - 1 (a signed 32-bit number is taken by its bits).
 */
export function ipv4FromNumber(value: number): IpAddress {
  return new AddressWords(4, value, 0, 0, 0)
}

/**
 * Reads four bytes in network order; keeps nothing of the buffer.
 *
 * @param at - offset of the first byte; the caller makes sure that all four are there.
 */
export function ipv4FromBytes(bytes: Uint8Array, at: number = 0): IpAddress {
  return new AddressWords(4, wordAt(bytes, at), 0, 0, 0)
}

/** Four 32-bit words, the most significant first. IPv4-mapped addresses (`::ffff:0:0/96`, RFC 4291 section 2.5.5.2) become IPv4. */
export function ipv6FromWords(w0: number, w1: number, w2: number, w3: number): IpAddress {
  const isMapped = w0 === 0 && w1 === 0 && w2 === 0xffff
  return isMapped ? new AddressWords(4, w3, 0, 0, 0) : new AddressWords(6, w0, w1, w2, w3)
}

/**
 * Reads sixteen bytes in network order; keeps nothing of the buffer. IPv4-mapped addresses become IPv4.
 *
 * @param at - offset of the first byte; the caller makes sure that all sixteen are there.
 */
export function ipv6FromBytes(bytes: Uint8Array, at: number = 0): IpAddress {
  return ipv6FromWords(wordAt(bytes, at), wordAt(bytes, at + 4), wordAt(bytes, at + 8), wordAt(bytes, at + 12))
}

/** The numbers of any implementation of the contract; for values made here it is the value itself. */
export function wordsOf(address: IpAddress): AddressWords {
  if (address instanceof AddressWords) return address
  throw new TypeError('an IpAddress is made by parseIpAddress, ipv4From… or ipv6From…')
}

/** Four bytes in network order as a signed word. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

/** The mask of `prefixBits` as far as it falls into the word that begins at bit `from`. */
function maskWord(prefixBits: number, from: number): number {
  const bits = prefixBits - from
  if (bits <= 0) return 0
  return bits >= 32 ? -1 : -1 << (32 - bits)
}

function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`
}

/** RFC 5952 section 4: lower case, no leading zeros, `::` for the longest run of at least two zero groups, the first of equals. */
function formatIpv6(w0: number, w1: number, w2: number, w3: number): string {
  const groups = [w0 >>> 16, w0 & 0xffff, w1 >>> 16, w1 & 0xffff, w2 >>> 16, w2 & 0xffff, w3 >>> 16, w3 & 0xffff]
  let gapStart = -1
  let gapLength = 1
  for (let start = 0; start < 8; start++) {
    let end = start
    while (groups[end] === 0) end++
    if (end - start > gapLength) {
      gapStart = start
      gapLength = end - start
    }
    if (end > start) start = end
  }
  if (gapStart === -1) return hex(groups)
  return `${hex(groups.slice(0, gapStart))}::${hex(groups.slice(gapStart + gapLength))}`
}

function hex(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(':')
}
