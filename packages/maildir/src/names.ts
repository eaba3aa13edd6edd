/*
 * Mailbox names and the folders they live in.
 *
 *   INBOX          the Maildir itself
 *   Archive/2026   .Archive.2026
 *   Entwürfe       .Entw&APw-rfe
 *   v1.0           .v1&AC4-0
 *
 * A level is written in modified UTF-7 (RFC 3501 section 5.1.3), as Dovecot and Courier do, and a dot inside a level
 * is encoded too, as Courier does, since Maildir++ separates levels with it. So a folder name holds no slash, no NUL,
 * and no dot but the separators, whatever a client sends, and always begins with a dot: it can be neither `cur`, `new`,
 * `tmp`, nor `..`.
 *
 * Each name has one folder and each folder one name: names are NFC, INBOX in any ASCII case is folded as a first level,
 * and a folder whose name is not spelled the way this file would spell it is not shown.
 */
import { accepted, refused } from './errors.ts'
import type { MaildirLimits } from './limits.ts'
import type { StoreOutcome } from '@postern/core'

export interface MailboxName {
  /** As clients know it: Unicode, NFC, `/` between levels. */
  readonly name: string
  /** Inside the Maildir; empty for INBOX, which is the Maildir itself. */
  readonly folder: string
}

/** RFC 6855 section 3: no C0 or C1 controls, no DEL, no line or paragraph separator. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const forbidden = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

export function parseMailboxName(text: string, limits: MaildirLimits): StoreOutcome<MailboxName> {
  // Normalising may lengthen, never to less than a third: what is far too long is refused before work is done on it.
  if (text.length > 4 * limits.maxElementBytes) return refused('limit', 'mailbox name too long')
  if (!text.isWellFormed()) return refused('bad-name', 'not well-formed Unicode')
  const levels = text.normalize('NFC').split('/')
  if (forbidden.test(text)) return refused('bad-name', 'control character or line separator in the name')
  if (levels.includes('')) return refused('bad-name', 'empty level in the name')
  if (isInbox(levels[0] ?? '')) levels[0] = 'INBOX'
  const name = levels.join('/')
  if (name === 'INBOX') return accepted({ name, folder: '' })
  const folder = levels.map((level) => `.${encodeLevel(level)}`).join('')
  if (folder.length > limits.maxElementBytes) return refused('limit', 'mailbox name too long for a folder')
  return accepted({ name, folder })
}

/** The name of a folder of the Maildir; `undefined` when it is not the canonical spelling of any. */
export function mailboxNameOf(folder: string, limits: MaildirLimits): string | undefined {
  if (!folder.startsWith('.') || folder.length > limits.maxElementBytes) return undefined
  const levels: string[] = []
  for (const encoded of folder.slice(1).split('.')) {
    const level = decodeLevel(encoded)
    if (level === undefined || level.includes('/')) return undefined
    levels.push(level)
  }
  const parsed = parseMailboxName(levels.join('/'), limits)
  return parsed.ok && parsed.value.folder === folder ? parsed.value.name : undefined
}

/** The levels above a name, outermost first. */
export function parentsOf(name: string): string[] {
  const parents: string[] = []
  for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1)) {
    parents.push(name.slice(0, slash))
  }
  return parents
}

/** Only ASCII letters fold (RFC 9051 section 5.1): a Kelvin sign or full-width letters make another name. */
function isInbox(level: string): boolean {
  return /^[iI][nN][bB][oO][xX]$/.test(level)
}

/** Printable ASCII stands for itself, but `&` and the separator do not. */
function encodeLevel(level: string): string {
  return level.replaceAll(/&|[^\x20-\x25\x27-\x2d\x2f-\x7e]+/g, (run) => {
    if (run === '&') return '&-'
    const utf16 = Buffer.from(run, 'utf16le').swap16()
    return `&${utf16.toString('base64').replaceAll('=', '').replaceAll('/', ',')}-`
  })
}

function decodeLevel(encoded: string): string | undefined {
  if (!/^(?:[\x20-\x25\x27-\x7e]|&[A-Za-z0-9+,]*-)*$/.test(encoded)) return undefined
  return encoded.replaceAll(/&([A-Za-z0-9+,]*)-/g, (_, run: string) => {
    if (run === '') return '&'
    const utf16 = Buffer.from(run.replaceAll(',', '/'), 'base64')
    return utf16
      .subarray(0, utf16.length & ~1)
      .swap16()
      .toString('utf16le')
  })
}
