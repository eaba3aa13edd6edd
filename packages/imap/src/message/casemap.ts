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

/**
 * Text as the octets of its UTF-8, one in each character: the order of such strings is that of the code points, where
 * surrogates would come too early, and the engine compares them by itself.
 */
export function sortable(text: string): string {
  return Buffer.from(text).toString('latin1')
}
