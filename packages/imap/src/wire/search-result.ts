import { encodeString } from './response.ts'
import { encodeNumbers } from './sequence-set.ts'
import type { Tokens } from './tokens.ts'

/** What the client wants of a search: RFC 4731 section 3.1, RFC 5182 section 2, RFC 9394 section 3. */
export interface ResultOptions {
  readonly min: boolean
  readonly max: boolean
  readonly all: boolean
  readonly count: boolean
  readonly save: boolean
  readonly partial?: PartialRange
}

/** RFC 4731 section 3.1: no option is ALL. */
export const everything: ResultOptions = { min: false, max: false, all: true, count: false, save: false }

/** `partial-range`: places in the result, the first being 1, both ends included. */
export interface PartialRange {
  readonly first: number
  readonly last: number
  /** Counted from the end of the result. */
  readonly isFromEnd: boolean
}

/** `search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"`; `undefined` without. */
export function parseResultOptions(tokens: Tokens): ResultOptions | 'malformed' | undefined {
  const start = tokens.at
  if (!tokens.space() || !tokens.word('RETURN')) {
    tokens.at = start
    return undefined
  }
  if (!tokens.space()) return 'malformed'
  const partials: PartialRange[] = []
  const words = tokens.list(() => {
    const word = (['MIN', 'MAX', 'ALL', 'COUNT', 'SAVE'] as const).find((option) => tokens.word(option))
    if (word !== undefined) return word
    const partial = tokens.word('PARTIAL') && tokens.space() ? parsePartialRange(tokens) : undefined
    if (partial === undefined) return undefined
    partials.push(partial)
    return 'PARTIAL' as const
  })
  if (words === undefined) return 'malformed'
  const has = new Set(words)
  const [partial] = partials
  // RFC 9394 section 3.1: not both, and not twice.
  if (partials.length > 1 || (partial !== undefined && has.has('ALL'))) return 'malformed'
  return {
    min: has.has('MIN'),
    max: has.has('MAX'),
    // RFC 4731 section 3.1: no option is ALL.
    all: has.has('ALL') || has.size === 0,
    count: has.has('COUNT'),
    save: has.has('SAVE'),
    ...(partial === undefined ? {} : { partial }),
  }
}

/** `partial-range = nz-number ":" nz-number / "-" nz-number ":" "-" nz-number` (RFC 9394 section 4) */
export function parsePartialRange(tokens: Tokens): PartialRange | undefined {
  const isFromEnd = tokens.take('-')
  const one = tokens.number()
  if (one === undefined || one === 0 || !tokens.take(':') || tokens.take('-') !== isFromEnd) return undefined
  const other = tokens.number()
  if (other === undefined || other === 0) return undefined
  return { first: Math.min(one, other), last: Math.max(one, other), isFromEnd }
}

/** The part of a result that a range names, in the result's order. */
export function partOf<T>(found: readonly T[], { first, last, isFromEnd }: PartialRange): readonly T[] {
  if (!isFromEnd) return found.slice(first - 1, last)
  return found.slice(Math.max(0, found.length - last), Math.max(0, found.length - first + 1))
}

/**
 * What SAVE keeps (RFC 5182 section 2.4, RFC 9394 section 3.1): everything, unless the client asked for single places only.
 */
export function savedOf<T>(found: readonly T[], options: ResultOptions): ReadonlySet<T> {
  const { min, max, all, count, partial } = options
  if (all || count || (!min && !max && partial === undefined)) return new Set(found)
  return new Set([
    ...(min ? found.slice(0, 1) : []),
    ...(max ? found.slice(-1) : []),
    ...(partial === undefined ? [] : partOf(found, partial)),
  ])
}

/**
 * `esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)` (RFC 4731 section 4). Empty when
 * nothing but SAVE was asked for.
 *
 * @param found - in the order of the result: ascending for SEARCH, sorted for SORT (RFC 5267 section 3).
 * @param modseq - the highest of the messages that are told (RFC 4731 section 3.2), when MODSEQ was among the keys.
 */
export function encodeEsearch(
  tag: string,
  isUid: boolean,
  found: readonly number[],
  options: ResultOptions,
  modseq?: bigint,
): string {
  const { min, max, all, count, save, partial } = options
  if (save && !min && !max && !all && !count && partial === undefined) return ''
  const [first] = found
  const last = found.at(-1)
  const items: string[] = []
  if (min && first !== undefined) items.push(`MIN ${first}`)
  if (max && last !== undefined) items.push(`MAX ${last}`)
  if (count) items.push(`COUNT ${found.length}`)
  if (all && found.length > 0) items.push(`ALL ${encodeNumbers(found)}`)
  if (partial !== undefined) {
    const sign = partial.isFromEnd ? '-' : ''
    const part = partOf(found, partial)
    const numbers = part.length === 0 ? 'NIL' : encodeNumbers(part)
    items.push(`PARTIAL (${sign}${partial.first}:${sign}${partial.last} ${numbers})`)
  }
  if (modseq !== undefined) items.push(`MODSEQ ${modseq}`)
  return `* ESEARCH ${[`(TAG ${encodeString(tag)})`, ...(isUid ? ['UID'] : []), ...items].join(' ')}\r\n`
}
