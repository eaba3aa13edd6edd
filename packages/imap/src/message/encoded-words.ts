import { decodeOctets } from './charset.ts'
import { decodeBase64, decodeQ } from './transfer-encoding.ts'

/**
 * A field's value as Unicode: encoded words decoded (RFC 2047), 8-bit octets taken for UTF-8. Blanks between two encoded
 * words vanish (section 6.2); octets of neighbours in one charset are joined first, since some senders split characters.
 *
 * @param value - one octet in each character.
 */
export function decodeFieldText(value: string): string {
  let text = ''
  let at = 0
  let pending: { charset: string; octets: Buffer[] } | undefined
  const flush = (): void => {
    if (pending !== undefined) text += decodeOctets(Buffer.concat(pending.octets), pending.charset)
    pending = undefined
  }
  for (const found of value.matchAll(encodedWord)) {
    const [word, label = '', encoding = '', content = ''] = found
    const between = value.slice(at, found.index)
    if (pending === undefined || /[^ \t\r\n]/.test(between)) {
      flush()
      text += decodePlain(between)
    }
    // RFC 2231 section 5: a language may follow the charset.
    const charset = (label.split('*', 1)[0] ?? '').toLowerCase()
    const octets = encoding.toUpperCase() === 'B' ? decodeBase64(content) : decodeQ(content)
    if (pending !== undefined && pending.charset !== charset) flush()
    pending ??= { charset, octets: [] }
    pending.octets.push(octets)
    at = found.index + word.length
  }
  flush()
  return text + decodePlain(value.slice(at))
}

/** `encoded-word = "=?" charset "?" encoding "?" encoded-text "?="`; the bound on the charset keeps the search linear. */
const encodedWord = /=\?([^?\s]{1,64})\?([bq])\?([^?\s]*)\?=/gi

function decodePlain(value: string): string {
  return decodeOctets(Buffer.from(value, 'latin1'), undefined)
}
