import { foldAddress } from '../route/patterns.ts'

/** How names of users and addresses of recipients are one and the same person here. */
export interface UserNames {
  /** Behind it a local part is a sub-address (RFC 5233). */
  readonly subaddressSeparator?: string | undefined
  /** The domain of a user who signs in without one. */
  readonly homeDomain?: string | undefined
}

/**
 * Whom `hash-user` goes by. The recipient of a message and the user who reads it are written in different ways, and must
 * come to one backend: `Ann+lists@Example.org`, `"ann"@example.org`, `ann@example.org` and, at home there, `ann`.
 */
export function userKey(written: string, { subaddressSeparator, homeDomain }: UserNames): string {
  const folded = foldAddress(written)
  const at = folded.lastIndexOf('@')
  const local = unquoted(at === -1 ? folded : folded.slice(0, at))
  const domain = at === -1 ? homeDomain : folded.slice(at + 1)
  // A local part that begins with the separator has no name before it.
  const detail = subaddressSeparator === undefined ? -1 : local.indexOf(subaddressSeparator, 1)
  const name = detail === -1 ? local : local.slice(0, detail)
  return domain === undefined ? name : `${name}@${domain}`
}

/** RFC 5321 section 4.1.2: the quotes are no part of the name. */
function unquoted(local: string): string {
  return /^".*"$/s.test(local) ? local.slice(1, -1).replaceAll(/\\(.)/gs, '$1') : local
}
