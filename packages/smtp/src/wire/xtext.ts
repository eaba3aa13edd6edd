/*
 * RFC 3461 §4, for DSN, AUTH=, XCLIENT and XFORWARD:
 *
 *   xtext   = *( xchar / hexchar )
 *   xchar   = any ASCII CHAR between "!" (33) and "~" (126) inclusive, except for "+" and "="
 *   hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits
 */
const plain = /^[\x21-\x2a\x2c-\x3c\x3e-\x7e]*$/
const xtext = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[\dA-F]{2})*$/
/** What stands for a printable character or a space: +20 to +7E. Encoded line ends must come out nowhere. */
const printable = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+(?:[2-6][\dA-F]|7[\dA-E]))+$/

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

export function isXtext(text: string): boolean {
  return xtext.test(text)
}

/** RFC 3461 §4.2, §4.4: ENVID and ORCPT consist of printable US-ASCII before they are encoded. */
export function isPrintableXtext(text: string): boolean {
  return printable.test(text)
}

/** addr-type = atom (RFC 5322 §3.2.3) */
const addressType = /^[\w!#$%&'*+\-/=?^`{|}~]+$/

/**
 * RFC 3461 §4.2: original-recipient-address = addr-type ";" xtext. With the type `utf-8` it is not xtext (RFC 6533 §3):
 *
 *   utf-8-addr-xtext   = 1*( QCHAR / EmbeddedUnicodeChar )       goes everywhere
 *   utf-8-addr-unitext = 1*( QUCHAR / EmbeddedUnicodeChar )      only with SMTPUTF8
 */
export function isOriginalRecipient(text: string, isSmtpUtf8: boolean): boolean {
  const semicolon = text.indexOf(';')
  if (semicolon === -1 || !addressType.test(text.slice(0, semicolon))) return false
  const address = text.slice(semicolon + 1)
  if (text.slice(0, semicolon).toLowerCase() !== 'utf-8') return isPrintableXtext(address)
  return (isSmtpUtf8 ? unitext : utf8Xtext).test(address) && [...address.matchAll(embedded)].every(isPrintableChar)
}

/** QCHAR: printable ASCII but "\", "+" and "="; and the hexadecimal escape, without superfluous zeros. */
const utf8Xtext = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]|\\x\{[\dA-F]{2,6}\})+$/
const unitext = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e\u0080-\u{10ffff}]|\\x\{[\dA-F]{2,6}\})+$/u
const embedded = /\\x\{([\dA-F]+)\}/g

/** A character and no control, spelled in the shortest way: two digits at least, then none that is a leading zero. */
function isPrintableChar([, digits = '']: RegExpExecArray): boolean {
  const code = Number.parseInt(digits, 16)
  if (code > 0x10_ff_ff || (code >= 0xd8_00 && code <= 0xdf_ff)) return false
  return digits === code.toString(16).toUpperCase().padStart(2, '0') && !/\p{Cc}/u.test(String.fromCodePoint(code))
}
