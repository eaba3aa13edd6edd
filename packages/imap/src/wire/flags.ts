import type { Flag } from '@postern/core'
import type { Tokens } from './tokens.ts'

/** The system flags that a client may set (RFC 3501 section 2.3.2), in the order they are told. */
export const systemFlags = ['\\Answered', '\\Flagged', '\\Deleted', '\\Seen', '\\Draft'] as const

/**
 * `flag = "\Answered" / … / flag-keyword / flag-extension`, system flags in the spelling of the standard. `\Recent` and
 * unknown flags with a backslash come back as they are, for the caller to refuse.
 */
export function parseFlag(tokens: Tokens): Flag | undefined {
  const start = tokens.at
  if (!tokens.take('\\')) return tokens.atom()
  const name = tokens.atom()?.toLowerCase()
  if (name === undefined) {
    tokens.at = start
    return undefined
  }
  return systemFlags.find((flag) => flag.toLowerCase() === `\\${name}`) ?? `\\${name}`
}

/** `flag-list = "(" [flag *(SP flag)] ")"` */
export function parseFlagList(tokens: Tokens): Flag[] | undefined {
  return tokens.list(() => parseFlag(tokens))
}

export type FlagFault = 'not-settable' | 'limit'

/**
 * The flags to store: known system flags, and keywords in the spelling that the mailbox already uses for them, since
 * flags are compared without regard to case. `\Recent` is none of them: no client may alter it (RFC 3501 section 2.3.2).
 */
export function settableFlags(
  flags: readonly Flag[],
  keywords: readonly string[],
  bounds: { readonly maxKeywords: number; readonly maxKeywordBytes: number },
): readonly Flag[] | FlagFault {
  const known = new Map(keywords.map((keyword) => [keyword.toLowerCase(), keyword]))
  const settable = new Set<Flag>()
  for (const flag of flags) {
    if (flag.startsWith('\\')) {
      if (!isSystemFlag(flag)) return 'not-settable'
      settable.add(flag)
      continue
    }
    if (flag.length > bounds.maxKeywordBytes) return 'limit'
    const key = flag.toLowerCase()
    if (!known.has(key)) {
      if (known.size >= bounds.maxKeywords) return 'limit'
      known.set(key, flag)
    }
    settable.add(known.get(key) ?? flag)
  }
  return [...settable]
}

/** System flags in one order, `\Recent` behind them, then the keywords: whichever was set first. */
export function encodeFlags(flags: readonly Flag[], isRecent: boolean): string {
  if (flags.length < 2 && !isRecent) return `(${flags.join('')})`
  const told: Flag[] = systemFlags.filter((flag) => flags.includes(flag))
  if (isRecent) told.push('\\Recent')
  for (const flag of flags) if (!isSystemFlag(flag)) told.push(flag)
  return `(${told.join(' ')})`
}

const isSystemFlag = (flag: Flag): boolean => (systemFlags as readonly Flag[]).includes(flag)

/** Same flags, whatever their order. */
export function sameFlags(some: readonly Flag[], others: readonly Flag[]): boolean {
  return some.length === others.length && some.every((flag) => others.includes(flag))
}
