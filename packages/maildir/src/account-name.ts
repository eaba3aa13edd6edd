import { join } from 'node:path'
import { StoreError } from './errors.ts'

/**
 * An account name as one folder name. Lower-case letters, digits, `@`, `_`, `-`, `+`, and `.` inside the name stand for
 * themselves; every other byte of the UTF-8 form is `%XX`. So no name can leave the root, begin with a dot or hold a
 * slash or NUL, and two different names never share a folder, not even where the file system ignores case.
 */
export function encodeAccountName(account: string, maxBytes: number): string | undefined {
  if (account === '' || account.length > maxBytes || !account.isWellFormed()) return undefined
  let encoded = ''
  for (const byte of Buffer.from(account, 'utf8')) {
    const char = String.fromCharCode(byte)
    const isPlain = /[a-z0-9@_+-]/.test(char) || (char === '.' && encoded !== '')
    encoded += isPlain ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded.length > maxBytes ? undefined : encoded
}

/** The Maildir of an account: `<root>/<encoded account>/Maildir`. */
export function maildirPath(root: string, account: string, maxBytes: number): string {
  const encoded = encodeAccountName(account, maxBytes)
  if (encoded === undefined) {
    throw new StoreError('MAILDIR_BAD_ACCOUNT', 'empty, too long, or not well-formed Unicode', { account })
  }
  return join(root, encoded, 'Maildir')
}
