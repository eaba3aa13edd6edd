import { parsePartialRange, type PartialRange } from './search-result.ts'
import type { Tokens } from './tokens.ts'

/** What stands behind the items of FETCH (RFC 4466 section 2.4). */
export interface FetchModifiers {
  /** RFC 9394 section 3.3: only these places among the messages of the set. */
  readonly partial?: PartialRange
}

/** `fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"`; nothing is no modifier. */
export function parseFetchModifiers(tokens: Tokens): FetchModifiers | undefined {
  if (tokens.isAtEnd) return {}
  let partial: PartialRange | undefined
  const modifiers = tokens.space()
    ? tokens.list((): true | undefined => {
        if (partial !== undefined || !tokens.word('PARTIAL') || !tokens.space()) return undefined
        partial = parsePartialRange(tokens)
        return partial === undefined ? undefined : true
      })
    : undefined
  if (modifiers === undefined || modifiers.length === 0) return undefined
  return partial === undefined ? {} : { partial }
}
