/*
 * RFC 3461 §4, for XCLIENT and XFORWARD:
 *
 *   xtext   = *( xchar / hexchar )
 *   xchar   = any ASCII CHAR between "!" (33) and "~" (126) inclusive, except for "+" and "="
 *   hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits
 */
const plain = /^[\x21-\x2a\x2c-\x3c\x3e-\x7e]*$/

/** @param text - anything; what is not ASCII goes as the octets of its UTF-8. */
export function encodeXtext(text: string): string {
  if (plain.test(text)) return text
  let encoded = ''
  for (const octet of Buffer.from(text)) {
    const char = String.fromCodePoint(octet)
    encoded += plain.test(char) ? char : `+${octet.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}
