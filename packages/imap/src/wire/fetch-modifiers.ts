import { parseModseq } from './modseq.ts'
import { parsePartialRange, type PartialRange } from './search-result.ts'
import type { Tokens } from './tokens.ts'

/** What stands behind the items of FETCH (RFC 4466 section 2.4). */
export interface FetchModifiers {
  /** RFC 9394 section 3.3: only these places among the messages of the set. */
  readonly partial?: PartialRange
  /** RFC 7162 section 3.1.4.1: only messages that were changed since. */
  readonly changedSince?: bigint
  /** RFC 7162 section 3.2.6: tell what was expunged since, too. */
  readonly vanished: boolean
}

/** `fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"`; nothing is no modifier. */
export function parseFetchModifiers(tokens: Tokens): FetchModifiers | undefined {
  if (tokens.isAtEnd) return { vanished: false }
  let partial: PartialRange | undefined
  let changedSince: bigint | undefined
  let vanished = false
  const modifiers = tokens.space()
    ? tokens.list((): true | undefined => {
        if (!vanished && tokens.word('VANISHED')) return (vanished = true)
        if (changedSince === undefined && tokens.word('CHANGEDSINCE')) {
          changedSince = tokens.space() ? parseModseq(tokens) : undefined
          return changedSince === undefined ? undefined : true
        }
        if (partial !== undefined || !tokens.word('PARTIAL') || !tokens.space()) return undefined
        partial = parsePartialRange(tokens)
        return partial === undefined ? undefined : true
      })
    : undefined
  if (modifiers === undefined || modifiers.length === 0) return undefined
  return {
    vanished,
    ...(partial === undefined ? {} : { partial }),
    ...(changedSince === undefined ? {} : { changedSince }),
  }
}
