import { decodeFieldText } from './encoded-words.ts'

/** A subject without what replies and forwards add to it, and whether there was any of that. */
export interface BaseSubject {
  readonly text: string
  readonly isReply: boolean
}

/**
 * RFC 5256 section 2.1, in its numbered steps:
 *
 *     subj-refwd  = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
 *     subj-blob   = "[" *BLOBCHAR "]" *WSP
 *     subj-leader = (*subj-blob subj-refwd) / WSP
 *     subj-trailer = "(fwd)" / WSP
 *
 * One pass from each end: what was looked at is not looked at again.
 *
 * @param value - the field, unfolded, one octet in each character.
 */
export function baseSubject(value: string): BaseSubject {
  // (1)
  const text = decodeFieldText(value).replaceAll(/\s+/g, ' ')
  let from = 0
  let to = text.length
  let isReply = false
  /** No reply marker follows the blobs up to here. */
  let blobsEnd = 0
  for (;;) {
    // (2)
    for (;;) {
      if (to > from && text[to - 1] === ' ') to -= 1
      else if (to - from >= 5 && text.slice(to - 5, to).toLowerCase() === '(fwd)') {
        to -= 5
        isReply = true
      } else break
    }
    // (3) to (5)
    for (;;) {
      if (from < to && text[from] === ' ') {
        from += 1
        continue
      }
      const leader = from < blobsEnd ? undefined : leaderEnd(text, from, to)
      if (leader?.isReply === true) {
        from = leader.end
        isReply = true
        continue
      }
      if (leader !== undefined) blobsEnd = leader.end
      const blob = matchAt(subjBlob, text, from)
      if (blob === undefined || blob >= to) break
      from = blob
    }
    // (6)
    if (text[to - 1] !== ']' || text.slice(from, from + 5).toLowerCase() !== '[fwd:') break
    from += 5
    to -= 1
    isReply = true
    blobsEnd = 0
  }
  return { text: text.slice(from, Math.max(from, to)), isReply }
}

/** Behind `*subj-blob subj-refwd`; or, when it is none, behind the blobs. */
function leaderEnd(text: string, from: number, to: number): { readonly end: number; readonly isReply: boolean } {
  let at = from
  for (let next = matchAt(subjBlob, text, at); next !== undefined && next <= to; next = matchAt(subjBlob, text, at)) {
    at = next
  }
  const end = matchAt(subjRefwd, text, at)
  return end === undefined || end > to ? { end: at, isReply: false } : { end, isReply: true }
}

const subjBlob = /\[[^[\]]*\] */y
const subjRefwd = /(?:re|fwd?) *(?:\[[^[\]]*\] *)?:/iy

function matchAt(pattern: RegExp, text: string, at: number): number | undefined {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : undefined
}
