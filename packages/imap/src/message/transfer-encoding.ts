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

export function decodeBase64(text: string): Buffer {
  return Buffer.from(text.replaceAll(/[^A-Za-z0-9+/]/g, ''), 'base64')
}

/** The Q encoding of RFC 2047 section 4.2. */
export function decodeQ(text: string): Buffer {
  return decodeHexEscapes(Buffer.from(text.replaceAll('_', ' '), 'latin1'))
}

class Base64Decoder implements TransferDecoder {
  #held = ''

  push(chunk: Buffer): Buffer {
    const digits = this.#held + chunk.toString('latin1').replaceAll(/[^A-Za-z0-9+/]/g, '')
    const whole = digits.length - (digits.length % 4)
    this.#held = digits.slice(whole)
    return Buffer.from(digits.slice(0, whole), 'base64')
  }

  end(): Buffer {
    return Buffer.from(this.#held, 'base64')
  }
}

class QuotedPrintableDecoder implements TransferDecoder {
  #held: Buffer = nothing

  push(chunk: Buffer): Buffer {
    const octets = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    // An escape may go on in the next chunk.
    const last = octets.lastIndexOf(EQUALS)
    const whole = last !== -1 && last > octets.length - 3 ? last : octets.length
    this.#held = Buffer.from(octets.subarray(whole))
    return decodeHexEscapes(octets.subarray(0, whole))
  }

  end(): Buffer {
    return decodeHexEscapes(this.#held)
  }
}

const EQUALS = 61

/** `=XX` becomes an octet, `=` at a line end vanishes with it, any other `=` stays. */
function decodeHexEscapes(octets: Buffer): Buffer {
  const from = octets.indexOf(EQUALS)
  if (from === -1) return octets
  const decoded = Buffer.allocUnsafe(octets.length)
  let length = octets.copy(decoded, 0, 0, from)
  for (let at = from; at < octets.length; at += 1) {
    const octet = octets[at] ?? 0
    if (octet !== EQUALS) {
      decoded[length] = octet
      length += 1
      continue
    }
    const high = hexDigit(octets[at + 1])
    const low = hexDigit(octets[at + 2])
    if (high !== undefined && low !== undefined) {
      decoded[length] = high * 16 + low
      length += 1
      at += 2
    } else if (octets[at + 1] === 10) {
      at += 1
    } else if (octets[at + 1] === 13 && octets[at + 2] === 10) {
      at += 2
    } else {
      decoded[length] = octet
      length += 1
    }
  }
  return decoded.subarray(0, length)
}

function hexDigit(octet: number | undefined): number | undefined {
  if (octet === undefined) return undefined
  if (octet >= 48 && octet <= 57) return octet - 48
  const letter = octet | 0x20
  return letter >= 97 && letter <= 102 ? letter - 87 : undefined
}
