import { hierarchyDelimiter } from './mailbox-name.ts'

/** Whether a name matches one of the patterns of LIST; both as they are sent, in modified UTF-7. */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, name))
}

/**
 * RFC 3501 section 6.3.8: `*` matches anything, `%` anything within a level.
 *
 * All places of the pattern that the name can have reached are followed at once, so a pattern of wildcards costs its
 * length times the name's, and never more.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  // More literal characters than the name has: no need to look.
  if (pattern.replaceAll(/[*%]/g, '').length > name.length) return false
  // A run of wildcards is the widest of them.
  const compact = pattern.replaceAll(/[*%]+/g, (run) => (run.includes('*') ? '*' : '%'))
  let reached = new Uint8Array(compact.length + 1)
  reached[0] = 1
  passWildcards(compact, reached)
  for (const char of name) {
    const next = new Uint8Array(compact.length + 1)
    let isAnywhere = false
    for (let at = 0; at < compact.length; at += 1) {
      if (reached[at] === 0) continue
      const wanted = compact[at]
      if (wanted === '*' || (wanted === '%' && char !== hierarchyDelimiter)) next[at] = 1
      else if (wanted === char) next[at + 1] = 1
      else continue
      isAnywhere = true
    }
    if (!isAnywhere) return false
    passWildcards(compact, next)
    reached = next
  }
  return reached[compact.length] === 1
}

/** A wildcard may match nothing. */
function passWildcards(pattern: string, reached: Uint8Array): void {
  for (let at = 0; at < pattern.length; at += 1) {
    if (reached[at] === 1 && (pattern[at] === '*' || pattern[at] === '%')) reached[at + 1] = 1
  }
}
