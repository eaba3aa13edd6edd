import { limits } from '../limits.ts'

/**
 * A password as it is hashed and compared: the OpaqueString profile of RFC 8265 section 4.2. Spaces of other scripts
 * become ASCII spaces, and NFC makes one of the ways to write a letter; case, width and spaces at the ends stay.
 * `undefined` when it is empty, too long, or holds a control character or half a surrogate pair.
 */
export function preparePassword(text: string): string | undefined {
  if (text === '' || text.length > limits.maxPasswordBytes || !isPlainText(text)) return undefined
  const prepared = text.replaceAll(/\p{Zs}/gu, ' ').normalize('NFC')
  return Buffer.byteLength(prepared) <= limits.maxPasswordBytes ? prepared : undefined
}

/**
 * Whether this can be the name of an account. Names are compared byte by byte, with no folding of case or form: two
 * spellings are never one account, so none can be made to look at another's mail.
 */
export function isAccountName(name: string): boolean {
  return (
    name !== '' &&
    name.length <= limits.maxAccountNameBytes &&
    Buffer.byteLength(name) <= limits.maxAccountNameBytes &&
    isPlainText(name) &&
    !/\s/u.test(name) &&
    name.normalize('NFC') === name
  )
}

/** For the words of a problem. */
export const accountNameWords = 'a name without spaces and control characters, in NFC, as in "ann@example.org"'

function isPlainText(text: string): boolean {
  return text.isWellFormed() && !/\p{Cc}/u.test(text)
}
