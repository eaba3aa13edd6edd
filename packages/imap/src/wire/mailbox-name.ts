import { isUtf8 as isUtf8Octets } from 'node:buffer'

/** The one delimiter between levels of a name that clients see. */
export const hierarchyDelimiter = '/'

/**
 * Decodes a mailbox name as it is sent to Unicode in NFC, `INBOX` folded to that spelling (RFC 3501 section 5.1). It is
 * modified UTF-7 (section 5.1.3); or, when the client enabled that, UTF-8 (RFC 6855 section 3, RFC 9051 section 5.1).
 *
 * @param text - one octet in each character.
 * @returns `undefined` when the name is not valid in its only allowed form, or holds control characters.
 */
export function decodeMailboxName(text: string, isUtf8 = false): string | undefined {
  const name = (isUtf8 ? decodeUtf8(text) : decodeModifiedUtf7(text))?.normalize('NFC')
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (name === undefined || /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)) return undefined
  return foldInbox(name)
}

function decodeUtf8(text: string): string | undefined {
  const octets = Buffer.from(text, 'latin1')
  return isUtf8Octets(octets) ? octets.toString('utf8') : undefined
}

function foldInbox(name: string): string {
  return /^inbox(?:\/|$)/i.test(name) ? `INBOX${name.slice(5)}` : name
}

/** A name that can be created: no empty level, none that is `.` or `..`, none over 255 octets. */
export function isCreatableName(name: string): boolean {
  return name
    .split(hierarchyDelimiter)
    .every((level) => level !== '' && level !== '.' && level !== '..' && Buffer.byteLength(level) <= 255)
}

/** Unicode to modified UTF-7, or to UTF-8 for who enabled it; one octet in each character. */
export function encodeMailboxName(name: string, isUtf8 = false): string {
  if (isUtf8) return Buffer.from(name, 'utf8').toString('latin1')
  return name.replaceAll(/&|[^\x20-\x7e]+/g, (run) => (run === '&' ? '&-' : `&${encodeRun(run)}-`))
}

function encodeRun(run: string): string {
  const utf16 = Buffer.alloc(run.length * 2)
  for (let at = 0; at < run.length; at += 1) utf16.writeUInt16BE(run.charCodeAt(at), at * 2)
  return utf16.toString('base64').replaceAll('=', '').replaceAll('/', ',')
}

/**
 * The rules that leave one spelling for each name: printable ASCII stands for itself, `&` is `&-`, two shifted runs never
 * touch, the spare bits of base64 are zero, and surrogates come in pairs.
 */
function decodeModifiedUtf7(text: string): string | undefined {
  let name = ''
  let at = 0
  for (;;) {
    const shift = text.indexOf('&', at)
    const plain = text.slice(at, shift === -1 ? undefined : shift)
    if (/[^\x20-\x7e]/.test(plain)) return undefined
    name += plain
    if (shift === -1) return name
    const end = text.indexOf('-', shift)
    if (end === -1) return undefined
    const run = text.slice(shift + 1, end)
    if (run === '') {
      name += '&'
    } else {
      const decoded = decodeRun(run)
      if (decoded === undefined || (text.startsWith('&', end + 1) && text[end + 2] !== '-')) return undefined
      name += decoded
    }
    at = end + 1
  }
}

function decodeRun(run: string): string | undefined {
  if (!/^[A-Za-z0-9+,]+$/.test(run)) return undefined
  const octets = Buffer.from(run.replaceAll(',', '/'), 'base64')
  let decoded = ''
  for (let at = 0; at + 1 < octets.length; at += 2) decoded += String.fromCharCode(octets.readUInt16BE(at))
  // Encoding it again shows every other spelling: odd octets, spare bits, ASCII that needed no encoding.
  if (!decoded.isWellFormed() || /[\x20-\x7e]/.test(decoded) || encodeRun(decoded) !== run) return undefined
  return decoded
}
