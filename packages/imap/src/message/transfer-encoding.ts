/** Turns the octets of a body into what they stand for, chunk by chunk (RFC 2045 section 6). Never refuses. */
export interface TransferDecoder {
  /** The result may be a view of `chunk`. */
  push(chunk: Buffer): Buffer
  /** What was still held back. */
  end(): Buffer
}

const nothing: Buffer = Buffer.alloc(0)

/** 7bit, 8bit, binary and unknown encodings stand for themselves. */
export function transferDecoder(encoding: string): TransferDecoder {
  switch (encoding.toLowerCase()) {
    case 'base64':
      return new Base64Decoder()
    case 'quoted-printable':
      return new QuotedPrintableDecoder()
    default:
      return { push: (chunk) => chunk, end: () => nothing }
  }
}

/** One of RFC 2045 section 6.1: what it stands for is known. */
export function isKnownEncoding(encoding: string): boolean {
  return /^(?:7bit|8bit|binary|base64|quoted-printable)$/i.test(encoding)
}

export function decodeBase64(text: string): Buffer {
  return Buffer.from(text.replaceAll(/[^A-Za-z0-9+/]/g, ''), 'base64')
}

/** The Q encoding of RFC 2047 section 4.2. */
export function decodeQ(text: string): Buffer {
  return decodeHexEscapes(Buffer.from(text.replaceAll('_', ' '), 'latin1'))
}

class Base64Decoder implements TransferDecoder {
  #held = ''

  /** Padding ends what was encoded (RFC 2045 section 6.8); behind it another may begin, where a sender joined two. */
  push(chunk: Buffer): Buffer {
    const parts = (this.#held + chunk.toString('latin1').replaceAll(/[^A-Za-z0-9+/=]/g, '')).split(/=+/)
    const digits = parts.pop() ?? ''
    const whole = digits.length - (digits.length % 4)
    this.#held = digits.slice(whole)
    const decoded = Buffer.from(digits.slice(0, whole), 'base64')
    return parts.length === 0 ? decoded : Buffer.concat([...parts.map((part) => Buffer.from(part, 'base64')), decoded])
  }

  end(): Buffer {
    return Buffer.from(this.#held, 'base64')
  }
}

class QuotedPrintableDecoder implements TransferDecoder {
  #held: Buffer = nothing

  push(chunk: Buffer): Buffer {
    const octets = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    // More blanks than any line has are no padding: they wait no longer.
    const whole = undecidedFrom(octets)
    const decided = octets.length - whole > maxHeldBlanks ? octets.length : whole
    this.#held = Buffer.from(octets.subarray(decided))
    return decodeQuotedPrintable(octets.subarray(0, decided), false)
  }

  end(): Buffer {
    const decoded = decodeQuotedPrintable(this.#held, true)
    this.#held = nothing
    return decoded
  }
}

const maxHeldBlanks = 65_536

/** Where an escape or blanks begin whose meaning the next octets decide. */
function undecidedFrom(octets: Buffer): number {
  let at = octets.length
  if (at > 0 && octets[at - 1] === CR) at -= 1
  while (at > 0 && isBlank(octets[at - 1])) at -= 1
  if (at > 0 && octets[at - 1] === EQUALS) return at - 1
  if (at === octets.length && at > 1 && octets[at - 2] === EQUALS) return at - 2
  return at
}

/**
 * RFC 2045 section 6.7: `=XX` becomes an octet; `=` at a line end vanishes with it, and so do blanks there, which are
 * padding of the way (rule 3). Any other `=` stays.
 *
 * @param isEnd - the body ends here, and with it the line.
 */
function decodeQuotedPrintable(octets: Buffer, isEnd: boolean): Buffer {
  const decoded = Buffer.allocUnsafe(octets.length)
  let length = 0
  for (let at = 0; at < octets.length; at += 1) {
    const octet = octets[at] ?? 0
    const isEscape = octet === EQUALS
    if (isEscape) {
      const high = hexDigit(octets[at + 1])
      const low = hexDigit(octets[at + 2])
      if (high !== undefined && low !== undefined) {
        decoded[length] = high * 16 + low
        length += 1
        at += 2
        continue
      }
    }
    if (isEscape || isBlank(octet)) {
      let blanksEnd = at + 1
      while (isBlank(octets[blanksEnd])) blanksEnd += 1
      const lineEnd =
        octets[blanksEnd] === LF
          ? blanksEnd + 1
          : octets[blanksEnd] === CR && octets[blanksEnd + 1] === LF
            ? blanksEnd + 2
            : undefined
      if (lineEnd !== undefined || (isEnd && blanksEnd === octets.length)) {
        at = (isEscape ? (lineEnd ?? blanksEnd) : blanksEnd) - 1
        continue
      }
      length += octets.copy(decoded, length, at, blanksEnd)
      at = blanksEnd - 1
      continue
    }
    decoded[length] = octet
    length += 1
  }
  return decoded.subarray(0, length)
}

function isBlank(octet: number | undefined): boolean {
  return octet === 0x20 || octet === 0x09
}

const LF = 10
const CR = 13
const EQUALS = 61

/** RFC 2047 section 4.2: `=XX` becomes an octet, any other `=` stays. */
function decodeHexEscapes(octets: Buffer): Buffer {
  const from = octets.indexOf(EQUALS)
  if (from === -1) return octets
  const decoded = Buffer.allocUnsafe(octets.length)
  let length = octets.copy(decoded, 0, 0, from)
  for (let at = from; at < octets.length; at += 1) {
    const octet = octets[at] ?? 0
    const high = octet === EQUALS ? hexDigit(octets[at + 1]) : undefined
    const low = high === undefined ? undefined : hexDigit(octets[at + 2])
    decoded[length] = high === undefined || low === undefined ? octet : high * 16 + low
    length += 1
    if (high !== undefined && low !== undefined) at += 2
  }
  return decoded.subarray(0, length)
}

function hexDigit(octet: number | undefined): number | undefined {
  if (octet === undefined) return undefined
  if (octet >= 48 && octet <= 57) return octet - 48
  const letter = octet | 0x20
  return letter >= 97 && letter <= 102 ? letter - 87 : undefined
}
