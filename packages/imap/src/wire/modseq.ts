import type { NumberRanges } from './sequence-set.ts'
import { encodeRanges, parseSequenceSet, type SequenceSet } from './sequence-set.ts'
import type { Tokens } from './tokens.ts'

/** RFC 7162 section 7: modification sequences have 63 bits. */
const maxModseq = 0x7fff_ffff_ffff_ffffn

/** `mod-sequence-valzer = "0" / mod-sequence-value`. Zero is taken everywhere: clients without a cache send it. */
export function parseModseq(tokens: Tokens): bigint | undefined {
  const start = tokens.at
  const digits = /^\d{1,19}$/.exec(tokens.atom() ?? '')
  const value = digits === null ? undefined : BigInt(digits[0])
  if (value !== undefined && value <= maxModseq) return value
  tokens.at = start
  return undefined
}

/** What a client that comes back knows of a mailbox: the parameter QRESYNC of SELECT (RFC 7162 section 3.2.5). */
export interface KnownMailbox {
  readonly uidValidity: number
  readonly modseq: bigint
  /** The UIDs it knows; absent: all that there ever were. */
  readonly uids?: SequenceSet
  /** Some sequence numbers and the UIDs that it believes they have, in the same order. */
  readonly pairs?: { readonly numbers: SequenceSet; readonly uids: SequenceSet }
}

export interface SelectParameters {
  readonly condstore: boolean
  readonly qresync?: KnownMailbox
}

/** `select-params = SP "(" select-param *(SP select-param) ")"` (RFC 4466 section 2.1); nothing is no parameter. */
export function parseSelectParameters(tokens: Tokens): SelectParameters | undefined {
  if (tokens.isAtEnd) return { condstore: false }
  let condstore = false
  let qresync: KnownMailbox | undefined
  const parameters = tokens.space()
    ? tokens.list((): true | undefined => {
        if (tokens.word('CONDSTORE')) {
          if (condstore) return undefined
          condstore = true
          return true
        }
        if (qresync !== undefined || !tokens.word('QRESYNC') || !tokens.space()) return undefined
        qresync = parseKnownMailbox(tokens)
        return qresync === undefined ? undefined : true
      })
    : undefined
  if (parameters === undefined || parameters.length === 0) return undefined
  return qresync === undefined ? { condstore } : { condstore, qresync }
}

/**
 * `"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`, with
 * `seq-match-data = "(" known-sequence-set SP known-uid-set ")"`; none of the sets holds a star.
 */
function parseKnownMailbox(tokens: Tokens): KnownMailbox | undefined {
  if (!tokens.take('(')) return undefined
  const uidValidity = tokens.number()
  const modseq = uidValidity !== undefined && uidValidity > 0 && tokens.space() ? parseModseq(tokens) : undefined
  if (uidValidity === undefined || modseq === undefined) return undefined
  let uids: SequenceSet | undefined
  let pairs: KnownMailbox['pairs']
  if (tokens.space() && tokens.text[tokens.at] !== '(') {
    uids = parseKnownSet(tokens)
    if (uids === undefined) return undefined
    if (tokens.text[tokens.at] !== ')' && !tokens.space()) return undefined
  }
  if (tokens.take('(')) {
    const numbers = parseKnownSet(tokens)
    const paired = numbers !== undefined && tokens.space() ? parseKnownSet(tokens) : undefined
    if (numbers === undefined || paired === undefined || !tokens.take(')')) return undefined
    pairs = { numbers, uids: paired }
  }
  if (!tokens.take(')')) return undefined
  return { uidValidity, modseq, ...(uids === undefined ? {} : { uids }), ...(pairs === undefined ? {} : { pairs }) }
}

function parseKnownSet(tokens: Tokens): SequenceSet | undefined {
  const text = tokens.sequenceSet()
  if (text === undefined || text.includes('*')) return undefined
  return parseSequenceSet(text, tokens.limits.maxSequenceRanges)
}

/** `expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids` (RFC 7162 section 3.2.10); empty for no UIDs. */
export function encodeVanished(uids: NumberRanges, isEarlier: boolean): string {
  const set = encodeRanges(uids)
  return set === '' ? '' : `* VANISHED ${isEarlier ? '(EARLIER) ' : ''}${set}\r\n`
}
