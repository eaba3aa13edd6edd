/** R-V2-01: what a binary header begins with. The NUL in it makes it no text of any protocol. */
export const signature: Buffer = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

const text = Buffer.from('PROXY', 'latin1')
const textStarts = ['PROXY TCP4 ', 'PROXY TCP6 ', 'PROXY UNKNOWN'].map((start) => Buffer.from(start, 'latin1'))

/** Every byte by its index, which is the fastest way to compare so few. `bytes` has at least 12. */
export function hasSignature(bytes: Uint8Array): boolean {
  return (
    bytes[0] === 0x0d &&
    bytes[1] === 0x0a &&
    bytes[2] === 0x0d &&
    bytes[3] === 0x0a &&
    bytes[4] === 0x00 &&
    bytes[5] === 0x0d &&
    bytes[6] === 0x0a &&
    bytes[7] === 0x51 &&
    bytes[8] === 0x55 &&
    bytes[9] === 0x49 &&
    bytes[10] === 0x54 &&
    bytes[11] === 0x0a
  )
}

/** The offset of the first byte that differs from the binary signature; -1 when none does, as far as there are bytes. */
export function differsFromSignature(bytes: Uint8Array): number {
  return firstDifference(bytes, signature)
}

/** The same for `PROXY`. */
export function differsFromText(bytes: Uint8Array): number {
  return firstDifference(bytes, text)
}

function firstDifference(bytes: Uint8Array, start: Buffer): number {
  const end = Math.min(bytes.length, start.length)
  for (let i = 0; i < end; i++) if (bytes[i] !== start[i]) return i
  return -1
}

/**
 * The bytes begin as a whole header's start: the binary signature, or `PROXY` with a family word. For recognising a
 * header where none may be; it says nothing of whether the header is valid.
 */
export function looksLikeProxyHeader(bytes: Uint8Array): boolean {
  return startsWith(bytes, signature) || textStarts.some((start) => startsWith(bytes, start))
}

function startsWith(bytes: Uint8Array, start: Buffer): boolean {
  return bytes.length >= start.length && firstDifference(bytes, start) === -1
}

/** A header may still come of the bytes: they are the start of a signature, or begin with one. True of no bytes. */
export function mayBecomeProxyHeader(bytes: Uint8Array): boolean {
  return differsFromSignature(bytes) === -1 || differsFromText(bytes) === -1
}
