/*
 * DER (ITU-T X.690), only the writing and only the types that a certificate of our own needs. Tags are universal and
 * the lengths definite, as DER wants.
 */

/** Tag, length, content. */
export function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body])
}

/** X.690 section 8.1.3: up to 127 in one byte; else the number of bytes, then the bytes. */
function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const bytes = Buffer.from(length.toString(16).padStart(length > 0xff ? 4 : 2, '0'), 'hex')
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes])
}

export function sequence(...content: readonly Uint8Array[]): Buffer {
  return der(0x30, ...content)
}

export function set(...content: readonly Uint8Array[]): Buffer {
  return der(0x31, ...content)
}

/** A positive number; a byte of zeros keeps a set first bit from meaning a negative one. */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0)
  const digits = first === -1 ? Buffer.from([0]) : bytes.subarray(first)
  return der(0x02, (digits[0] ?? 0) < 0x80 ? digits : Buffer.concat([Buffer.from([0]), digits]))
}

export function bool(isTrue: boolean): Buffer {
  return der(0x01, Buffer.from([isTrue ? 0xff : 0]))
}

export function octetString(...content: readonly Uint8Array[]): Buffer {
  return der(0x04, ...content)
}

/** Whole bytes: no unused bits. */
export function bitString(content: Uint8Array): Buffer {
  return der(0x03, Buffer.from([0]), content)
}

/** X.690 section 8.19: the first two numbers share one; each in base 128, with the top bit set on all bytes but the last. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f]
    for (let high = arc >>> 7; high > 0; high >>>= 7) groups.unshift((high & 0x7f) | 0x80)
    return groups
  })
  return der(0x06, Buffer.from(bytes))
}

export function utf8String(text: string): Buffer {
  return der(0x0c, Buffer.from(text))
}

/** RFC 5280 section 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050 on; seconds and Z. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return date.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits))
}

/** `[number]`, constructed: a tag of the surrounding structure's own. */
export function contextual(number: number, ...content: readonly Uint8Array[]): Buffer {
  return der(0xa0 | number, ...content)
}

/** `[number]` in place of the tag of a primitive type. */
export function implicit(number: number, content: Uint8Array): Buffer {
  return der(0x80 | number, content)
}
