/*
 * How values are written (RFC 3501 section 9). Everything here is text with one octet in each character, like the tokens
 * of a command: raw header octets pass through without being decoded. `toWire` turns it into what an output takes.
 */
import { encodeMailboxName } from './mailbox-name.ts'

/** Response codes that this server sends, or passes on from a backend (RFC 3501 section 7.1, RFC 4315, RFC 5530). */
export type ResponseCode =
  | 'ALERT'
  | 'ALREADYEXISTS'
  | 'AUTHENTICATIONFAILED'
  | 'AUTHORIZATIONFAILED'
  | 'CANNOT'
  | 'CLIENTBUG'
  | 'CLOSED'
  | 'COMPRESSIONACTIVE'
  | 'CONTACTADMIN'
  | 'EXPIRED'
  | 'EXPUNGEISSUED'
  | 'HASCHILDREN'
  | 'INUSE'
  | 'LIMIT'
  | 'NONEXISTENT'
  | 'NOTIFICATIONOVERFLOW'
  | 'OVERQUOTA'
  | 'PRIVACYREQUIRED'
  | 'READ-ONLY'
  | 'READ-WRITE'
  | 'SERVERBUG'
  | 'TOOBIG'
  | 'TRYCREATE'
  | 'UNAVAILABLE'
  | 'UNKNOWN-CTE'
  | 'USEATTR'
  | `APPENDUID ${number} ${number | string}`
  | `BADCHARSET (${string})`
  | `BADEVENT (${string})`
  | `CAPABILITY ${string}`
  | `HIGHESTMODSEQ ${bigint}`
  | `MAILBOXID (${string})`
  | `MODIFIED ${string}`
  | `COPYUID ${number} ${string} ${string}`

/** The end of a command: `response-tagged = tag SP resp-cond-state CRLF`. */
export interface Completion {
  readonly status: 'OK' | 'NO' | 'BAD'
  readonly code?: ResponseCode
  readonly text: string
}

export function encodeCompletion(tag: string, { status, code, text }: Completion): string {
  return `${tag} ${status} ${code === undefined ? '' : `[${code}] `}${text}\r\n`
}

export const ok = (text: string, code?: ResponseCode): Completion => completion('OK', text, code)
export const no = (text: string, code?: ResponseCode): Completion => completion('NO', text, code)
export const bad = (text: string, code?: ResponseCode): Completion => completion('BAD', text, code)

function completion(status: Completion['status'], text: string, code: ResponseCode | undefined): Completion {
  return code === undefined ? { status, text } : { status, text, code }
}

/** Longer ones go as literals: some clients read a line into a buffer of a few kilobytes. */
const maxQuotedLength = 1_000

/**
 * `string = quoted / literal`. Quoted only for what quotes can hold: 7-bit text without NUL, CR and LF, with the quote
 * and the backslash escaped.
 */
export function encodeString(value: string): string {
  // eslint-disable-next-line no-control-regex -- these are the characters that quotes cannot hold
  if (value.length > maxQuotedLength || /[^\x01-\x7f]|[\r\n]/.test(value)) {
    return `{${value.length}}\r\n${value}`
  }
  return quote(value)
}

function quote(value: string): string {
  return `"${value.replaceAll(/["\\]/g, '\\$&')}"`
}

/** `nstring = string / nil` */
export function encodeNstring(value: string | undefined): string {
  return value === undefined ? 'NIL' : encodeString(value)
}

/** `astring`, without quotes where none are needed. */
export function encodeAstring(value: string): string {
  return /^[!#$&'+-[\]-z|}~]+$/.test(value) ? value : encodeString(value)
}

/** `mailbox = "INBOX" / astring`, from Unicode. Always quoted, as clients expect from LIST. */
export function encodeMailbox(name: string, isUtf8 = false): string {
  const octets = encodeMailboxName(name, isUtf8)
  // Who enabled UTF-8 reads it in quotes too (RFC 6855 section 3); names hold no control characters.
  return isUtf8 && octets.length <= maxQuotedLength ? quote(octets) : encodeString(octets)
}

/** An output writes strings as UTF-8, which for ASCII is the octets themselves; anything else goes as a buffer. */
export function toWire(text: string): string | Buffer {
  // eslint-disable-next-line no-control-regex -- the range is ASCII, control characters included
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'latin1')
}
