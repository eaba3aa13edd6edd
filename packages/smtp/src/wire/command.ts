import { isUtf8 } from 'node:buffer'
import type { SmtpErrorCode } from '../errors.ts'

/** A command line, taken apart. */
export interface CommandLine {
  /** In capitals; empty when the line begins with none. */
  readonly verb: string
  /** What stands behind the verb and a space, without white space at its end. */
  readonly argument: string
  /** Why the argument must not be looked at, when that is so. The verb holds nonetheless. */
  readonly fault?: SmtpErrorCode
}

const verbEnd = /[^A-Za-z]/
const nonAscii = /[^\0-\x7f]/
const control = /\p{Cc}/u
/** Beside controls: what looks like a space or a line end and is none, and what turns the order of writing round. */
const unprintable = /[\p{Cc}\p{Bidi_Control}[\p{Z}--\x20]]/v

/**
 * RFC 5321 §4.1.1: verbs in any case, then their arguments behind a space; white space before the CRLF is tolerated.
 *
 * @param bytes - the line without its end; only read.
 */
export function parseCommand(bytes: Buffer): CommandLine {
  const text = bytes.toString('latin1', 0, lengthWithoutTrailingSpace(bytes))
  const end = text.search(verbEnd)
  const verb = (end === -1 ? text : text.slice(0, end)).toUpperCase()
  if (end === -1) return { verb, argument: '' }
  if (text[end] !== ' ') return { verb: '', argument: '' }
  const argument = text.slice(end + 1)
  if (!nonAscii.test(argument))
    return control.test(argument) ? { verb, argument: '', fault: 'SMTP_CONTROL' } : { verb, argument }

  const raw = bytes.subarray(end + 1, text.length)
  if (!isUtf8(raw)) return { verb, argument: '', fault: 'SMTP_UTF8' }
  const decoded = raw.toString()
  return unprintable.test(decoded) ? { verb, argument: '', fault: 'SMTP_CONTROL' } : { verb, argument: decoded }
}

function lengthWithoutTrailingSpace(bytes: Buffer): number {
  let end = bytes.length
  while (end > 0 && (bytes[end - 1] === 0x20 || bytes[end - 1] === 0x09)) end--
  return end
}
