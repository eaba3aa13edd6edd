/**
 * Text as `i;unicode-casemap` compares it (RFC 5051 section 2): each character in its simple titlecase, then decomposed.
 * Characters whose upper case is several characters have no simple one, and stay.
 */
export function casemap(text: string): string {
  // eslint-disable-next-line no-control-regex -- the range is ASCII
  if (/^[\x00-\x7f]*$/.test(text)) return copyOf(text.toUpperCase())
  let mapped = ''
  for (const char of text) {
    const upper = char.toUpperCase()
    mapped += upper.length <= char.length ? upper : char
  }
  return mapped.normalize('NFKD')
}

/**
 * Octets, one in each character, as a string of their own. A part of a string keeps the whole alive: what SORT and THREAD
 * keep of each message would keep its header.
 */
export function copyOf(octets: string): string {
  return Buffer.from(octets, 'latin1').toString('latin1')
}

/** The order of the octets in UTF-8, which is that of the code points; surrogates would come too early. */
export function compareCodePoints(one: string, other: string): number {
  const end = Math.min(one.length, other.length)
  for (let at = 0; at < end; at += 1) {
    const a = one.charCodeAt(at)
    const b = other.charCodeAt(at)
    if (a === b) continue
    const isSurrogate = a >= 0xd800 && a < 0xe000
    if (isSurrogate !== (b >= 0xd800 && b < 0xe000)) return isSurrogate ? 1 : -1
    return a - b
  }
  return one.length - other.length
}
