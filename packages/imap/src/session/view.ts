/*
 * What one client believes of its mailbox. Message sequence numbers exist only here: the store speaks UIDs.
 *
 * A client counts. Its number 7 is the seventh message it was told of, less those it was told are gone, whatever has
 * happened on the disk since. So news is kept back until it may be told, and the numbers change in the same moment as
 * the words are written:
 *
 * - new messages (EXISTS) and changed flags (FETCH) may be told with any command;
 * - EXPUNGE may not be told while FETCH, STORE or SEARCH is answered, as the client would not know which of its numbers
 *   meant what (RFC 3501 section 7.4.1), nor before the numbers among the keys of UID SEARCH are looked up; and never when no command is in progress, IDLE being one.
 *
 * A message that is gone but not yet told keeps its number and its last known flags.
 */
import type { MailboxChanges, MessageRecord, Uid } from '@postern/core'
import { encodeFlags, sameFlags } from '../wire/flags.ts'
import { encodeVanished } from '../wire/modseq.ts'
import { exceeds, NumberRanges, rangesOf, type SequenceSet } from '../wire/sequence-set.ts'
import type { Enableable, WantedNews } from './state.ts'

/** A message as its client names it. */
export interface NumberedMessage {
  readonly number: number
  readonly record: MessageRecord
}

export class MailboxView {
  /** By sequence number less one; ascending by UID. */
  #told: readonly MessageRecord[]
  /** `#told` is the store's, as are the views of other sessions: whoever changes it makes a copy first. */
  #isShared = true
  #arrived: MessageRecord[] = []
  /** Made when it is needed, as the next one: an empty set takes some 200 bytes, and most sessions rest with nothing to tell. */
  #gone: Set<Uid> | undefined
  /** Some of the gone were removed by the client itself. */
  #mustTellGone = false
  /** Told by the last `tell`. */
  #justArrived: readonly MessageRecord[] = []
  #altered: Set<Uid> | undefined
  readonly #enabled: ReadonlySet<Enableable>
  /** How many recent messages the client was told of last. */
  #recentTold: number

  /**
   * @param recent - how many of them the client is told of as recent.
   * @param enabled - what the client has switched on, as of each moment.
   */
  constructor(records: readonly MessageRecord[], recent: number, enabled: ReadonlySet<Enableable> = new Set()) {
    this.#told = records
    this.#recentTold = recent
    this.#enabled = enabled
  }

  /** The number of messages that the client knows of. */
  get exists(): number {
    return this.#told.length
  }

  get records(): readonly MessageRecord[] {
    return this.#told
  }

  /** It was expunged, and the client has not been told. */
  isGone(uid: Uid): boolean {
    return this.#gone?.has(uid) === true
  }

  /** The message with this UID, as far as the client knows of it. */
  byUid(uid: Uid): NumberedMessage | undefined {
    const index = this.#firstFrom(uid)
    const record = this.#told[index]
    return record?.uid === uid ? { number: index + 1, record } : undefined
  }

  /**
   * The messages that a set of sequence numbers names, ascending, each once; `undefined` when it names one that the
   * client cannot know of. The cost is bounded by the mailbox, whatever the set.
   */
  byNumbers(set: SequenceSet): NumberedMessage[] | undefined {
    if (exceeds(set, this.exists)) return undefined
    const messages: NumberedMessage[] = []
    for (const { first, last } of new NumberRanges(set, this.exists)) {
      this.#collect(messages, Math.max(0, first - 1), (index) => index < last)
    }
    return messages
  }

  /** The messages that a set of UIDs names, ascending, each once; unknown UIDs name nothing (section 6.4.8). */
  byUids(set: SequenceSet): NumberedMessage[] {
    const messages: NumberedMessage[] = []
    for (const { first, last } of new NumberRanges(set, this.#told.at(-1)?.uid ?? 0)) {
      this.#collect(messages, this.#firstFrom(first), (_index, record) => record.uid <= last)
    }
    return messages
  }

  /** Takes in what the store found. Nothing is told yet. */
  absorb({ arrived, expunged, changed }: MailboxChanges): void {
    const newest = this.#arrived.at(-1)?.uid ?? this.#told.at(-1)?.uid ?? 0
    for (const record of arrived) if (record.uid > newest) this.#arrived.push(record)
    this.#forget(expunged)
    for (const record of changed) {
      const known = this.#replace(record)
      const tellsModseq = this.#enabled.has('CONDSTORE') && known?.modseq !== record.modseq
      if (known !== undefined && (tellsModseq || !sameFlags(known.flags, record.flags)))
        (this.#altered ??= new Set()).add(record.uid)
    }
  }

  /** The client removed these: it is told whatever news it wants. */
  expunge(uids: readonly Uid[]): void {
    this.#mustTellGone ||= uids.length > 0
    this.#forget(uids)
  }

  /** These are gone, to be told when it may be told. */
  #forget(uids: readonly Uid[]): void {
    if (uids.length === 0) return
    const gone = new Set(uids)
    // What was never told of need not be told gone.
    this.#arrived = this.#arrived.filter((record) => !gone.has(record.uid))
    for (const uid of uids) if (this.byUid(uid) !== undefined) (this.#gone ??= new Set()).add(uid)
  }

  /** These flags are told by whoever calls, in its own words. */
  update(record: MessageRecord): void {
    this.#replace(record)
    this.#altered?.delete(record.uid)
  }

  /** These flags are news to the client. */
  alter(record: MessageRecord): void {
    if (this.#replace(record) !== undefined) (this.#altered ??= new Set()).add(record.uid)
  }

  /** Something was expunged, and the client has not been told. */
  get hasUntoldGone(): boolean {
    return this.#gone !== undefined
  }

  get #altersAny(): boolean {
    return this.#altered !== undefined && this.#altered.size > 0
  }

  /** There is something that the client has not been told, wanted or not. */
  get hasUntold(): boolean {
    return this.#gone !== undefined || this.#arrived.length > 0 || this.#altersAny
  }

  /** There is something that may be told now. */
  hasNews(mayExpunge: boolean, wanted: WantedNews): boolean {
    return (
      (wanted.messages && this.#arrived.length > 0) ||
      (wanted.flags && this.#altersAny) ||
      (mayExpunge && this.#gone !== undefined && (wanted.messages || this.#mustTellGone))
    )
  }

  /** The messages that were new in the last `tell`, once. */
  takeArrived(): readonly MessageRecord[] {
    const arrived = this.#justArrived
    this.#justArrived = []
    return arrived
  }

  /**
   * Everything that may be told now, as responses; from then on the client knows it.
   *
   * @param recent - messages with `\Recent` for this session; absent for a client that knows none.
   * @param wanted - what is not among it waits.
   */
  tell(mayExpunge: boolean, recent: ReadonlySet<Uid> | undefined, wanted: WantedNews): string {
    let text = mayExpunge && (wanted.messages || this.#mustTellGone) ? this.#tellGone() : ''
    const hasArrived = wanted.messages && this.#arrived.length > 0
    this.#justArrived = []
    if (hasArrived) {
      if (wanted.items.length > 0) this.#justArrived = this.#arrived
      const told = this.#own()
      for (const record of this.#arrived) told.push(record)
      this.#arrived = []
      text += `* ${this.exists} EXISTS\r\n`
    }
    // Recent messages can be among the expunged, too. Who asks for VANISHED keeps no count of them.
    const mayHaveFewer = mayExpunge && !this.#enabled.has('QRESYNC')
    if (recent !== undefined && (hasArrived || (mayHaveFewer && recent.size !== this.#recentTold))) {
      text += `* ${recent.size} RECENT\r\n`
      this.#recentTold = recent.size
    }
    // RFC 7162 section 3.2.4: from the first use of CONDSTORE on.
    const tellsModseq = this.#enabled.has('CONDSTORE')
    // RFC 9051 section 7.5.2; RFC 5465 section 5.1 wants it for whoever asked to be told.
    const tellsUid = tellsModseq || this.#enabled.has('IMAP4rev2') || wanted.atOnce !== 'nothing'
    if (!wanted.flags) return text
    for (const uid of this.#altered ?? []) {
      const message = this.byUid(uid)
      if (message === undefined) continue
      const flags = encodeFlags(message.record.flags, recent?.has(uid) === true)
      const name = tellsUid ? `UID ${uid} ` : ''
      const modseq = tellsModseq ? ` MODSEQ (${message.record.modseq ?? 0n})` : ''
      text += `* ${message.number} FETCH (${name}FLAGS ${flags}${modseq})\r\n`
    }
    this.#altered = undefined
    return text
  }

  /** Each EXPUNGE counts in the numbers that the ones before it left; VANISHED names UIDs (RFC 7162 section 3.2.10). */
  #tellGone(): string {
    this.#mustTellGone = false
    const gone = this.#gone
    if (gone === undefined) return ''
    const tellsVanished = this.#enabled.has('QRESYNC')
    let text = tellsVanished ? encodeVanished(rangesOf([...gone].sort((a, b) => a - b)), false) : ''
    const left: MessageRecord[] = []
    for (const record of this.#told) {
      if (!gone.has(record.uid)) left.push(record)
      else if (!tellsVanished) text += `* ${left.length + 1} EXPUNGE\r\n`
    }
    this.#told = left
    this.#isShared = false
    for (const uid of gone) this.#altered?.delete(uid)
    this.#gone = undefined
    return text
  }

  #collect(
    messages: NumberedMessage[],
    from: number,
    isWanted: (index: number, record: MessageRecord) => boolean,
  ): void {
    for (let index = from; index < this.#told.length; index += 1) {
      const record = this.#told[index]
      if (record === undefined || !isWanted(index, record)) return
      messages.push({ number: index + 1, record })
    }
  }

  /**
   * The store's look at the mailbox, when the client has been told all of it: kept in place of a copy, so that a hundred
   * sessions in one mailbox hold one list of its messages.
   */
  share(records: readonly MessageRecord[]): void {
    if (this.#isShared || this.hasUntold || records.length !== this.#told.length) return
    if (!records.every((record, index) => isSame(record, this.#told[index]))) return
    this.#told = records
    this.#isShared = true
  }

  #own(): MessageRecord[] {
    const own = this.#isShared ? [...this.#told] : (this.#told as MessageRecord[])
    this.#told = own
    this.#isShared = false
    return own
  }

  /** @returns the record that stood there before. */
  #replace(record: MessageRecord): MessageRecord | undefined {
    const index = this.#firstFrom(record.uid)
    const known = this.#told[index]
    if (known?.uid === record.uid) {
      this.#own()[index] = record
      return known
    }
    const waiting = this.#arrived.findIndex(({ uid }) => uid === record.uid)
    if (waiting !== -1) this.#arrived[waiting] = record
    return undefined
  }

  /** Index of the first message with this UID or a larger one. */
  #firstFrom(uid: number): number {
    let low = 0
    let high = this.#told.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#told[middle]?.uid ?? Infinity) < uid) low = middle + 1
      else high = middle
    }
    return low
  }
}

function isSame(one: MessageRecord, other: MessageRecord | undefined): boolean {
  if (one === other) return true
  return one.uid === other?.uid && one.modseq === other.modseq && sameFlags(one.flags, other.flags)
}
