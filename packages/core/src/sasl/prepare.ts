/**
 * A password as SCRAM salts it: SASLprep (RFC 4013), which RFC 5802 section 2.2 asks for, as far as it changes text. Spaces of
 * other scripts become ASCII spaces (2.1), what is invisible is taken out (2.1, RFC 3454 B.1), and NFKC makes one of all
 * ways to write a letter (2.2).
 *
 * What SASLprep forbids (2.3 to 2.5) is let through: a client that minds it never sends a proof for such a password, and
 * for one that does not mind, both sides salt the same text.
 *
 * @returns `undefined` when it is no well-formed text, or nothing is left.
 */
export function prepareScramPassword(password: string): string | undefined {
  if (!password.isWellFormed()) return undefined
  const prepared = password
    .replaceAll(/\p{Zs}/gu, ' ')
    .replaceAll(mappedToNothing, '')
    .normalize('NFKC')
  return prepared === '' ? undefined : prepared
}

/** RFC 3454 table B.1. */
// eslint-disable-next-line no-misleading-character-class -- code points, each for itself
const mappedToNothing = /[\u{ad}\u{34f}\u{1806}\u{180b}-\u{180d}\u{200b}-\u{200d}\u{2060}\u{fe00}-\u{fe0f}\u{feff}]/gu
