import type { Uid } from '@postern/core'
import type { KnownMailbox } from '../wire/modseq.ts'
import { NumberRanges, rangesOf } from '../wire/sequence-set.ts'
import type { SelectedMailbox } from './selected.ts'

/**
 * UIDs that were expunged since a modification sequence, for VANISHED (EARLIER) of RFC 7162: what the store remembers, or
 * else every UID that is missing. Messages that this session still shows are not among them.
 *
 * @param known - only these; absent: all that there ever were.
 * @param pairs - sequence numbers and UIDs that the client believes belong together; they spare it UIDs that it knows
 *   are missing, where the store does not remember.
 */
export async function vanishedSince(
  selected: SelectedMailbox,
  modseq: bigint,
  known: NumberRanges | undefined,
  pairs?: KnownMailbox['pairs'],
): Promise<NumberRanges> {
  const { mailbox, view } = selected
  const remembered = await mailbox.expungedSince?.(modseq)
  const gone =
    remembered === undefined
      ? missingUids(selected, firstUnknown(selected, pairs))
      : rangesOf(remembered.filter((uid) => view.byUid(uid) === undefined))
  return known === undefined ? gone : gone.and(known)
}

/** Every UID from `first` that was given and is not there. */
function missingUids({ mailbox, view }: SelectedMailbox, first: number): NumberRanges {
  const gaps: { first: number; last: number }[] = []
  let next = first
  for (const { uid } of view.records) {
    if (uid < next) continue
    if (uid > next) gaps.push({ first: next, last: uid - 1 })
    next = uid + 1
  }
  const last = mailbox.uidNext() - 1
  if (next <= last) gaps.push({ first: next, last })
  return NumberRanges.of(gaps)
}

/** RFC 7162 section 3.2.5.2: behind the last pair that is as the client believes, everything before it is too. */
function firstUnknown({ view }: SelectedMailbox, pairs: KnownMailbox['pairs']): number {
  if (pairs === undefined) return 1
  const matches = (number: number, uid: number) => view.records[number - 1]?.uid === (uid as Uid)
  let first = 1
  const uids = each(pairs.uids)
  for (const number of each(pairs.numbers)) {
    const uid = uids.next().value
    if (uid === undefined || number > view.exists || !matches(number, uid)) break
    first = uid + 1
  }
  return first
}

function* each(set: Iterable<{ readonly first: number; readonly last: number }>): Generator<number, undefined> {
  for (const { first, last } of set) for (let number = first; number <= last; number += 1) yield number
  return undefined
}
