import type { Uid } from '@postern/core'
import { baseOf, knownPart } from './filename.ts'
import type { JournalRecord, MessageState } from './journal.ts'
import { Keywords } from './keywords.ts'
import type { FoundFile } from './measure.ts'
import { indexOfUid, StoredMessage, unknownState } from './message.ts'
import { inTurns, sortInTurns, yieldTurn } from './turns.ts'
import type { UidLine } from './uidlist.ts'

/** What this process knows of a mailbox's messages. Nothing here looks at the disk. */
export class KnownMessages {
  /** Messages in place, ascending by UID; a new array at each change. */
  messages: readonly StoredMessage[] = []
  keywords: Keywords = new Keywords()
  /** What the journal says of messages that were not met yet. */
  readonly early: Map<Uid, MessageState> = new Map()
  /** Messages whose flags are not what the journal says. */
  readonly unjournaled: Set<Uid> = new Set()
  /** UIDs that are gone, as the journal does not know yet. */
  readonly goneUnjournaled: Set<Uid> = new Set()
  /** Base names of the messages in `new`. */
  readonly inNew: Set<string> = new Set()
  /** What changed since the last time that it was shown; `undefined` is gone. */
  readonly #changes = new Map<Uid, StoredMessage | undefined>()
  readonly #byBase = new Map<string, StoredMessage>()
  /** Messages of a snapshot, and how many of them are in `#byBase` by now. */
  #restored: readonly StoredMessage[] = []
  #indexed = 0
  /** Something is to be shown where nothing was: then it is all of `byBase`, and no change is noted for each. */
  #isFirstToShow = false
  /** Within `meeting` of a first look: lines and states that were used, and are still in their tables. */
  #met: { lines: number; states: number } | undefined
  readonly #unseen = new Map<string, UidLine>()
  /** Expunged, and perhaps still among the unseen: they are found there by one pass for all of them. */
  readonly #expungedUnseen = new Set<Uid>()
  readonly #perTurn: number

  /** @param perTurn - messages handled before others have the event loop. */
  constructor(perTurn: number) {
    this.#perTurn = perTurn
  }

  /** In no order of UIDs. Holds what `messages` holds, between two looks perhaps more or less. */
  get byBase(): Map<string, StoredMessage> {
    this.#indexTo(this.#restored.length)
    return this.#byBase
  }

  /** Of `byBase`, without making it. */
  get size(): number {
    return this.#byBase.size + this.#restored.length - this.#indexed
  }

  /** Takes over what another process knew; nothing was known here. They ascend by UID. */
  restore(messages: readonly StoredMessage[]): void {
    this.messages = messages
    for (const message of messages) if (message.isNew) this.inNew.add(message.base)
    this.#restored = messages
  }

  /**
   * Before many messages are asked for by base name. A mailbox that is as it was in its snapshot needs no such table to be
   * selected, and to make it for a hundred thousand takes as long as all the rest.
   */
  async index(): Promise<void> {
    while (this.#indexed < this.#restored.length) {
      this.#indexTo(Math.min(this.#indexed + this.#perTurn, this.#restored.length))
      await yieldTurn()
    }
  }

  #indexTo(end: number): void {
    if (this.#restored.length === 0) return
    for (; this.#indexed < end; this.#indexed += 1) {
      const message = this.#restored[this.#indexed]
      if (message !== undefined) this.#byBase.set(message.base, message)
    }
    if (end < this.#restored.length) return
    this.#restored = []
    this.#indexed = 0
  }

  /** Lines of the UID list whose file was not seen yet, by base name. */
  get unseen(): Map<string, UidLine> {
    this.#dropExpunged()
    return this.#unseen
  }

  #dropExpunged(): void {
    if (this.#expungedUnseen.size === 0) return
    for (const [base, { uid }] of this.#unseen) if (this.#expungedUnseen.has(uid)) this.#unseen.delete(base)
    this.#expungedUnseen.clear()
  }

  find(uid: Uid): StoredMessage | undefined {
    const at = indexOfUid(this.messages, uid)
    return at < 0 ? undefined : this.messages[at]
  }

  put(message: StoredMessage, base: string = message.base): void {
    this.byBase.set(base, message)
    if (message.isNew) this.inNew.add(base)
    else this.inNew.delete(base)
    if (isJournaled(message)) this.unjournaled.delete(message.uid)
    else this.unjournaled.add(message.uid)
    this.#note(message.uid, message)
  }

  /**
   * The file of a line was found.
   *
   * @param base - the base name as the caller has it. One string for all tables is hashed once, and found again without
   *   its characters being compared; cut from the file name, it keeps no part of the UID list in memory as that of the
   *   line would.
   */
  meet(line: UidLine, file: FoundFile, base: string = baseOf(file.name)): void {
    const state = this.early.get(line.uid)
    if (this.#met === undefined) {
      this.unseen.delete(base)
      this.early.delete(line.uid)
    } else {
      this.#met.lines += 1
      if (state !== undefined) this.#met.states += 1
    }
    this.put(new StoredMessage(line, file.name, file.isNew, state ?? unknownState, this.keywords), base)
  }

  /**
   * While the folders are read. At the first look all that is met leaves its tables at once afterwards, which is less work
   * than one by one: mostly they are empty then.
   */
  async meeting(isFirst: boolean, read: () => Promise<void>): Promise<void> {
    if (!isFirst) return await read()
    const met = { lines: 0, states: 0 }
    // So that the lines that are left can be counted.
    this.#dropExpunged()
    this.#met = met
    try {
      await read()
    } finally {
      this.#met = undefined
      if (met.lines === this.#unseen.size && met.states === this.early.size) {
        this.forgetUnseen()
        this.early.clear()
      } else {
        await inTurns(this.byBase, this.#perTurn, ([base, { uid }]) => {
          this.#unseen.delete(base)
          this.early.delete(uid)
        })
      }
    }
  }

  /**
   * After our own rename, link or unlink, made under the lock: the new file name, or that it is gone.
   *
   * @param extra - keywords without a letter, when they changed.
   */
  note(message: StoredMessage, moved: FoundFile | undefined, extra?: bigint): StoredMessage | undefined {
    const known = this.byBase.get(message.base)
    if (moved === undefined) {
      if (known?.uid === message.uid) this.#drop(message)
      return undefined
    }
    const next = message.at(moved.name, moved.isNew, this.keywords)
    this.put(extra === undefined ? next : next.as({ ...next.state, extra, modseq: 0 }, this.keywords))
    return this.byBase.get(message.base)
  }

  /** What the UID list says, all of it. False when messages that were known are none of its lines. */
  async takeLines(lines: Iterable<UidLine>): Promise<boolean> {
    let isAsKnown = true
    await this.index()
    this.forgetUnseen()
    await inTurns(lines, this.#perTurn, (line) => this.#unseen.set(line.base, line))
    await inTurns(this.byBase, this.#perTurn, ([base, message]) => {
      if (this.unseen.get(base)?.uid === message.uid) {
        this.unseen.delete(base)
      } else {
        this.#drop(message)
        isAsKnown = false
      }
    })
    return isAsKnown
  }

  /** A line that was appended to the UID list. */
  takeLine(line: UidLine): void {
    // A UID that is expunged is never given again: there is no need to look for those first.
    if (this.byBase.get(line.base)?.uid !== line.uid) this.#unseen.set(line.base, line)
  }

  /** A UID that the list says is expunged. */
  takeExpunged(uid: Uid): void {
    const message = this.find(uid)
    if (message !== undefined && this.byBase.get(message.base)?.uid === uid) {
      this.#drop(message)
    }
    if (this.#unseen.size > 0) this.#expungedUnseen.add(uid)
    if (this.early.delete(uid)) this.goneUnjournaled.add(uid)
  }

  /** What the journal says of a message. All that are in place must have been published. */
  takeRecord({ uid, state }: JournalRecord): void {
    if (state === undefined) {
      this.takeExpunged(uid)
      this.goneUnjournaled.delete(uid)
      return
    }
    const found = this.find(uid)
    const message = found === undefined ? undefined : this.byBase.get(found.base)
    if (message?.uid !== uid) this.early.set(uid, state)
    else if (message.state !== state && !isSameState(message.state, state)) this.put(message.as(state, this.keywords))
  }

  /** UIDs that the journal knows, though they are neither in place nor lines of the UID list. */
  lostUids(uidNext: Uid): readonly Uid[] {
    if (this.early.size === 0) return []
    const listed = new Set(Array.from(this.unseen.values(), ({ uid }) => uid))
    return [...this.early.keys()].filter((uid) => uid < uidNext && !listed.has(uid))
  }

  /** A message with a lower UID than one of `messages` was not met yet. */
  isAnyHidden(): boolean {
    const last = this.messages.at(-1)?.uid ?? 0
    for (const { uid } of this.unseen.values()) if (uid < last) return true
    return false
  }

  /** UIDNEXT for who is shown `messages`: what has a line, but was not met yet, comes later than this is told. */
  nextToShow(uidNext: Uid): Uid {
    const last = this.messages.at(-1)?.uid ?? 0
    let next = uidNext
    for (const { uid } of this.unseen.values()) if (uid > last && uid < next) next = uid
    return next
  }

  /** Nothing of what the journal said counts any more. */
  forgetStates(): void {
    this.early.clear()
    this.goneUnjournaled.clear()
    for (const { uid } of this.byBase.values()) this.unjournaled.add(uid)
  }

  /** Lines whose files are nowhere are lines of the dead. */
  forgetUnseen(): void {
    this.#unseen.clear()
    this.#expungedUnseen.clear()
  }

  /** The table of keywords, as it is now. */
  async useKeywords(keywords: Keywords): Promise<void> {
    if (keywords.isAs(this.keywords)) return
    this.keywords = keywords
    await this.index()
    await inTurns(this.byBase, this.#perTurn, ([base, message]) => {
      if (message.state.extra !== 0n || /[a-z]/.test(message.letters)) {
        const renamed = message.at(message.file, message.isNew, keywords)
        this.byBase.set(base, renamed)
        this.#note(message.uid, renamed)
      }
    })
  }

  /** Whether a message of a folder that was read was not seen in it. */
  async isAnyMissing(seen: ReadonlySet<string>, readNew: boolean, readCur: boolean): Promise<boolean> {
    // Mail comes into `new` one by one, while a hundred thousand messages lie in `cur`.
    if (!readCur) return readNew && [...this.inNew].some((base) => !seen.has(base))
    let isAnyMissing = false
    await inTurns(this.byBase, this.#perTurn, ([base, message]) => {
      isAnyMissing ||= (readNew || !message.isNew) && !seen.has(base)
    })
    return isAnyMissing
  }

  /** Shows sessions what changed since the last time. */
  async publish(): Promise<void> {
    if (this.#isFirstToShow) {
      this.messages = await this.#all()
      this.#isFirstToShow = false
      return
    }
    if (this.#changes.size === 0) return
    // To copy a hundred thousand messages takes a tenth of a millisecond, to merge them a few dozen.
    this.messages = this.#changes.size > this.messages.length / 8 ? await this.#merged() : this.#withChanges()
    this.#changes.clear()
  }

  /** Behind its UID stands the place of each, in one number: numbers alone are sorted by the engine itself. */
  async #all(): Promise<StoredMessage[]> {
    const found = [...this.byBase.values()]
    if (found.length >= maxPlaces) return (await sortInTurns(found, this.#perTurn, (a, b) => a.uid - b.uid)).slice()
    const messages: StoredMessage[] = []
    await inTurns(Float64Array.from(found, ({ uid }, at) => uid * maxPlaces + at).sort(), this.#perTurn, (key) => {
      const message = found[key % maxPlaces]
      if (message !== undefined) messages.push(message)
    })
    return messages
  }

  /** One pass over both. Numbers alone are sorted by the engine itself, ten times as fast as messages by their numbers. */
  async #merged(): Promise<StoredMessage[]> {
    const before = this.messages
    const messages: StoredMessage[] = []
    let at = 0
    await inTurns(Uint32Array.from(this.#changes.keys()).sort(), this.#perTurn, (uid) => {
      for (let old = before[at]; old !== undefined && old.uid <= uid; old = before[at]) {
        if (old.uid < uid) messages.push(old)
        at += 1
      }
      const changed = this.#changes.get(uid as Uid)
      if (changed !== undefined) messages.push(changed)
    })
    for (const old of before.slice(at)) messages.push(old)
    return messages
  }

  #withChanges(): StoredMessage[] {
    const messages = this.messages.slice()
    const added: StoredMessage[] = []
    let gone = 0
    for (const [uid, message] of this.#changes) {
      const at = indexOfUid(this.messages, uid)
      if (message === undefined) gone += at < 0 ? 0 : 1
      else if (at < 0) added.push(message)
      else messages[at] = message
    }
    const left = gone === 0 ? messages : messages.filter(({ uid }) => this.#isIn(uid))
    if (added.length === 0) return left
    const last = left.at(-1)?.uid ?? 0
    for (const message of added) left.push(message)
    // New UIDs are mostly above all others, and in order.
    const isInOrder = added.every(({ uid }, index) => uid > (index === 0 ? last : (added[index - 1]?.uid ?? 0)))
    return isInOrder ? left : left.sort((a, b) => a.uid - b.uid)
  }

  #isIn(uid: Uid): boolean {
    return !this.#changes.has(uid) || this.#changes.get(uid) !== undefined
  }

  #note(uid: Uid, message: StoredMessage | undefined): void {
    if (this.messages.length === 0) this.#isFirstToShow = true
    else this.#changes.set(uid, message)
  }

  #drop(message: StoredMessage): void {
    this.byBase.delete(message.base)
    this.inNew.delete(message.base)
    this.#note(message.uid, undefined)
    this.unjournaled.delete(message.uid)
    this.goneUnjournaled.add(message.uid)
  }
}

/** A UID has 32 bits; so many places are left in a number that is exact. */
const maxPlaces = 2 ** 21

function isJournaled({ state, letters }: StoredMessage): boolean {
  return state.modseq > 0 && state.letters === knownPart(letters)
}

function isSameState(one: MessageState, other: MessageState): boolean {
  return one.modseq === other.modseq && one.extra === other.extra && one.letters === other.letters
}
