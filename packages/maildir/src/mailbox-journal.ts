import { uptime } from 'node:os'
import type { Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { isErrno } from './errors.ts'
import { knownPart } from './filename.ts'
import {
  appendToJournal,
  journalName,
  openJournalToAppend,
  readJournal,
  recordBytes,
  recordsIn,
  salvageRecords,
  writeJournal,
} from './journal.ts'
import type { JournalHeader, JournalRecord, MessageState } from './journal.ts'
import type { KnownMessages } from './known-messages.ts'
import type { FolderChanges } from './local-changes.ts'
import { bootId } from './lock.ts'
import type { OpenFile } from './local-file.ts'
import type { MailboxParts } from './mailbox-parts.ts'
import type { QuickStat } from './quick-stat.ts'
import { inTurns } from './turns.ts'

/**
 * The journal of one mailbox as this process follows it. Its format is in `journal.ts`.
 *
 * Own changes are recorded within the lock that they are made under. Whatever else differs between the files and the
 * journal was made by another program, or by one of ours that died before it could record it: whoever finds it records
 * it, under the lock, as a change of this moment. So a modification sequence is always later than the change, and never
 * told before it is recorded.
 */
export class MailboxJournal {
  readonly #place: MailboxPlace
  readonly #context: StoreContext
  readonly #known: KnownMessages
  readonly #quick: QuickStat
  readonly #changes: FolderChanges
  readonly #path: string
  #header: JournalHeader | undefined
  /** Records that do not count any more, as far as this process can tell. */
  #deadRecords = 0
  /** Given out while the journal could not be written. */
  #provisional = 0

  constructor({ place, context, known, subFolders }: Omit<MailboxParts, 'locked'>) {
    this.#place = place
    this.#context = context
    this.#known = known
    this.#quick = subFolders.quick
    this.#changes = subFolders.changes
    this.#path = `${place.path}/${journalName}`
  }

  /** How far it was read; `undefined` before it was. */
  get position(): { readonly header: JournalHeader; readonly deadRecords: number } | undefined {
    return this.#header && { header: this.#header, deadRecords: this.#deadRecords }
  }

  /** Goes on where another process was that followed this same journal. */
  restore(header: JournalHeader, deadRecords: number): void {
    this.#header = header
    this.#deadRecords = deadRecords
  }

  /** No change that sessions can see has a higher modification sequence, and none that they cannot has a lower one. */
  get highest(): number {
    let highest = Math.max(this.#provisional, this.#header?.highest ?? 0)
    for (const { modseq } of this.#known.early.values()) highest = Math.min(highest, modseq - 1)
    return highest
  }

  /**
   * What others recorded since the last look. Messages in place must have been published.
   *
   * @returns false when there is no journal to believe: then it is made anew within the lock.
   */
  async read(uidValidity: UidValidity): Promise<boolean> {
    const read = await readJournal(this.#changes, this.#place.path, this.#header)
    if (read.status !== 'read' || read.header.uidValidity !== uidValidity) return false
    if (read.isWhole && this.#mayBeCutBack(read.header)) return false
    await this.#take(read.header, read.records, read.isWhole)
    return true
  }

  /** Within the lock: the journal as it is, or a new one. */
  async readLocked(uidValidity: UidValidity): Promise<void> {
    if (!(await this.read(uidValidity))) await this.#makeAnew(uidValidity)
  }

  /** It could be read or written, and holds all that is known. */
  get isUpToDate(): boolean {
    return this.#header !== undefined && !this.isBehind
  }

  /** Something is to be recorded. */
  get isBehind(): boolean {
    const { unjournaled, goneUnjournaled } = this.#known
    return unjournaled.size > 0 || goneUnjournaled.size > 0
  }

  /**
   * Records what is known and was not recorded, as one change; the lock is held, and the journal was read under it.
   *
   * @param only - of the messages in place these, as nobody looked whether the others are as we know them.
   */
  async record(only?: ReadonlySet<Uid>): Promise<void> {
    const header = this.#header
    if (!this.isBehind || header === undefined) return
    const modseq = this.#next(header.highest)
    const records = await this.#unrecorded(modseq, only)
    if (records.length === 0) return
    try {
      this.#header = await this.#append(header, records)
    } catch (error) {
      await this.defer(error, only)
      return
    }
    this.#deadRecords += records.length
    this.#provisional = 0
    this.#known.goneUnjournaled.clear()
    await this.#giveStates(records)
  }

  /**
   * The disk refuses, being full or read-only: that keeps nobody from reading. Sessions get modification sequences that
   * are recorded nowhere, and it is tried again at the next look.
   */
  async defer(error: unknown, only?: ReadonlySet<Uid>): Promise<void> {
    if (!isErrno(error, 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EIO', 'EMFILE', 'ENFILE')) throw error
    const { account, mailbox } = this.#place
    this.#context.report({ kind: 'journal-deferred', account, mailbox, detail: String(error) })
    const modseq = this.#next(this.#header?.highest ?? 0)
    this.#provisional = modseq
    const unrecorded = await this.#unrecorded(modseq, only)
    const records = unrecorded.filter(({ state }) => state !== undefined)
    await this.#giveStates(records)
    for (const { uid } of records) this.#known.unjournaled.add(uid)
  }

  /** Records marks of messages that this process does not know yet; the lock is held. */
  async recordMarks(uidValidity: UidValidity, marks: ReadonlyMap<Uid, Omit<MessageState, 'modseq'>>): Promise<void> {
    await this.readLocked(uidValidity)
    const header = this.#header
    if (header === undefined) return
    const modseq = this.#next(header.highest)
    const records = Array.from(marks, ([uid, { letters, extra }]) => {
      // Others may have met the file before it had its keywords here, and changed its flags: those stay.
      const met = this.#known.early.get(uid) ?? this.#messageOf(uid)?.state
      const now = met === undefined || met.modseq === 0 ? knownPart(letters) : met.letters
      return { uid, modseq, state: { letters: now, extra: extra | (met?.extra ?? 0n), modseq } }
    })
    this.#header = await this.#append(header, records)
    for (const record of records) this.#known.takeRecord(record)
  }

  /** UIDs that were expunged later than `modseq`, ascending; `undefined` when the journal does not reach back so far. */
  async expungedSince(uidValidity: UidValidity, modseq: bigint): Promise<readonly Uid[] | undefined> {
    const read = await readJournal(this.#changes, this.#place.path, undefined)
    if (read.status !== 'read' || read.header.uidValidity !== uidValidity) return undefined
    if (modseq < BigInt(read.header.floor) || this.#mayBeCutBack(read.header)) return undefined
    const since = Number(modseq)
    const gone: Uid[] = []
    for (const record of recordsIn(read.records)) {
      if (record.state === undefined && record.modseq > since) gone.push(record.uid)
    }
    return gone.sort((a, b) => a - b)
  }

  /** Whether most of its records do not count any more. */
  get isLoose(): boolean {
    const { limits } = this.#context
    return this.#deadRecords > Math.max(limits.minDeadLines, this.#known.size / 4, this.#recordCount / 2)
  }

  /** Writes the journal anew without what does not count; the lock is held. */
  async compact(uidValidity: UidValidity): Promise<void> {
    const { disk, limits } = this.#context
    const read = await readJournal(this.#changes, this.#place.path, undefined)
    if (read.status !== 'read' || read.header.uidValidity !== uidValidity) return
    const live = new Map<Uid, JournalRecord>()
    const gone = new Map<Uid, JournalRecord>()
    await inTurns(recordsIn(read.records), limits.namesPerTurn, (record) => {
      if (record.state === undefined) live.delete(record.uid)
      ;(record.state === undefined ? gone : live).set(record.uid, record)
    })
    const log = [...gone.values()].sort((a, b) => a.modseq - b.modseq)
    const dropped = log.splice(0, Math.max(0, log.length - limits.maxExpungedLog)).at(-1)
    const { highest } = read.header
    const floor = Math.max(read.header.floor, dropped?.modseq ?? 0)
    const records = [...log, ...live.values()]
    try {
      this.#header = await writeJournal(
        disk,
        this.#place.path,
        { uidValidity, highest, floor, ...this.#writtenNow() },
        records,
        limits.namesPerTurn,
      )
    } catch (error) {
      await this.defer(error)
    }
    // Also when the disk refused: it is tried again when as much has come together once more.
    this.#deadRecords = 0
  }

  get #recordCount(): number {
    return (this.#header?.length ?? 0) / recordBytes
  }

  /** Everything in place gets one modification sequence, higher than any that was given; keywords are saved if they can be. */
  async #makeAnew(uidValidity: UidValidity): Promise<void> {
    const { disk, limits, report } = this.#context
    const known = this.#known
    const read = await readJournal(this.#changes, this.#place.path, undefined)
    const saved = new Map<Uid, bigint>()
    let given = Math.max(this.#header?.highest ?? 0, this.#provisional)
    if (read.status !== 'absent') {
      // Of another UIDVALIDITY: what happened to the UID list was reported.
      const isOurs = read.status === 'damaged' || read.header.uidValidity === uidValidity
      if (read.status === 'read') given = Math.max(given, read.header.highest)
      const records =
        read.status === 'read'
          ? recordsIn(read.records)
          : await salvageRecords(this.#quick, this.#place.path, uidValidity, limits.maxSalvagedBytes)
      for (const { uid, modseq, state } of records) {
        given = Math.max(given, modseq)
        if (isOurs) saved.set(uid, state?.extra ?? 0n)
      }
      const { account, mailbox } = this.#place
      const detail = read.status === 'damaged' ? read.detail : 'the machine was started since its last write'
      if (isOurs) report({ kind: 'journal-rebuilt', account, mailbox, detail })
    }
    known.forgetStates()
    const modseq = this.#next(given)
    const records: JournalRecord[] = []
    await inTurns(known.byBase.values(), limits.namesPerTurn, (message) => {
      const extra = saved.get(message.uid) ?? (this.#header?.uidValidity === uidValidity ? message.state.extra : 0n)
      const state = this.#shared(knownPart(message.letters), extra, modseq)
      records.push({ uid: message.uid, modseq, state })
    })
    const start = { uidValidity, highest: modseq, floor: modseq, ...this.#writtenNow() }
    this.#deadRecords = 0
    try {
      this.#header = await writeJournal(disk, this.#place.path, start, records, limits.namesPerTurn)
    } catch (error) {
      this.#header = undefined
      this.#provisional = given
      await this.defer(error)
      return
    }
    await known.publish()
    await inTurns(records, limits.namesPerTurn, (record) => {
      known.takeRecord(record)
    })
    await known.publish()
  }

  async #giveStates(records: readonly JournalRecord[]): Promise<void> {
    const known = this.#known
    await inTurns(records, this.#context.limits.namesPerTurn, ({ uid, state }) => {
      const message = state === undefined ? undefined : this.#messageOf(uid)
      if (state !== undefined && message !== undefined) known.put(message.as(state, known.keywords))
    })
    await known.publish()
  }

  /** Others have the event loop now and then meanwhile; nobody looks at a mailbox before a look at it has ended. */
  async #take(header: JournalHeader, bytes: Buffer, isWhole: boolean): Promise<void> {
    const { namesPerTurn } = this.#context.limits
    const isNews = bytes.length > 0 || isWhole
    this.#header = header
    if (!isNews) return
    const known = this.#known
    await known.index()
    if (!isWhole) {
      // Each replaces an earlier one, or will be replaced by a later one: what is dead is only estimated.
      this.#deadRecords += bytes.length / recordBytes
      await inTurns(recordsIn(bytes), namesPerTurn, (record) => {
        known.takeRecord(record)
      })
      await known.publish()
      return
    }
    known.early.clear()
    if (known.byBase.size === 0) {
      await this.#takeEarly(bytes)
      await known.publish()
      return
    }
    const last = new Map<Uid, JournalRecord>()
    await inTurns(recordsIn(bytes), namesPerTurn, (record) => last.set(record.uid, record))
    this.#deadRecords = bytes.length / recordBytes - last.size
    await inTurns(last.values(), namesPerTurn, (record) => {
      known.takeRecord(record)
    })
    // A message that is known and not recorded: it may have been, in a journal that was lost.
    await inTurns(known.byBase.values(), namesPerTurn, ({ uid, state }) => {
      if (state.modseq > 0 && last.get(uid)?.state === undefined) known.unjournaled.add(uid)
    })
    await known.publish()
  }

  /** All of a journal, by one who knows no message: none is to be changed, and what is told last of each UID stays. */
  async #takeEarly(bytes: Buffer): Promise<void> {
    const { early, goneUnjournaled } = this.#known
    const gone = new Set<Uid>()
    await inTurns(recordsIn(bytes), this.#context.limits.namesPerTurn, ({ uid, state }) => {
      if (state === undefined) {
        early.delete(uid)
        gone.add(uid)
      } else {
        early.set(uid, state)
        if (gone.size > 0) gone.delete(uid)
      }
    })
    // Whoever knows no message has none to lose: what is gone has no line in the UID list, or soon has none.
    for (const uid of gone) goneUnjournaled.delete(uid)
    this.#deadRecords = bytes.length / recordBytes - early.size - gone.size
  }

  /** Nobody changes the mailbox through this any more. */
  closeFile(): Promise<void> {
    return this.#context.openJournals.drop(this)
  }

  async #append(header: JournalHeader, records: readonly JournalRecord[]): Promise<JournalHeader> {
    const { openJournals, limits } = this.#context
    const { file, ino } = await this.#openToAppend()
    let next: JournalHeader
    try {
      next = await appendToJournal(file, header, records, this.#writing(), limits.namesPerTurn)
    } catch (error) {
      await file.close()
      throw error
    }
    if (ino === undefined) await file.close()
    else await openJournals.keep(this, { file, ino })
    return next
  }

  /** The journal that is there now, under the lock. Without its number it cannot be told later whether it still is. */
  async #openToAppend(): Promise<{ readonly file: OpenFile; readonly ino: bigint | undefined }> {
    const ino = this.#quick.isLocal ? this.#quick.of(this.#path)?.ino : undefined
    const kept = this.#context.openJournals.take(this)
    if (kept !== undefined && kept.ino === ino) return kept
    await kept?.file.close()
    return { file: await openJournalToAppend(this.#changes, this.#place.path), ino }
  }

  async #unrecorded(modseq: number, only: ReadonlySet<Uid> | undefined): Promise<JournalRecord[]> {
    const known = this.#known
    const records: JournalRecord[] = []
    await inTurns(known.unjournaled, this.#context.limits.namesPerTurn, (uid) => {
      const message = this.#messageOf(uid)
      if (message === undefined || only?.has(uid) === false) return
      records.push({ uid, modseq, state: this.#shared(knownPart(message.letters), message.state.extra, modseq) })
    })
    for (const uid of known.goneUnjournaled) records.push({ uid, modseq, state: undefined })
    return records
  }

  #messageOf(uid: Uid) {
    const found = this.#known.find(uid)
    const message = found === undefined ? undefined : this.#known.byBase.get(found.base)
    return message?.uid === uid ? message : undefined
  }

  #lastShared: MessageState | undefined

  #shared(letters: string, extra: bigint, modseq: number): MessageState {
    const last = this.#lastShared
    if (last?.letters === letters && last.extra === extra && last.modseq === modseq) return last
    this.#lastShared = { letters, extra, modseq }
    return this.#lastShared
  }

  #next(highest: number): number {
    const byClock = Math.min(this.#context.now().getTime() * 1024, maxByClock)
    return Math.max(highest + 1, this.#provisional + 1, byClock)
  }

  /** A power cut may have taken back what was written last: this machine started after that, and it did not write it. */
  #mayBeCutBack({ boot, writtenMs }: JournalHeader): boolean {
    return boot !== bootId() && writtenMs < startedAtMs
  }

  #writing() {
    const { writtenMs, boot } = this.#writtenNow()
    return { nowMs: writtenMs, boot }
  }

  #writtenNow() {
    return { writtenMs: Math.max(0, Math.min(Date.now(), 9_999_999_999_999)), boot: bootId() }
  }
}

/** The clock's word counts until the year 2112, so that numbers stay exact whatever it says. */
const maxByClock = 2 ** 52

/** When this machine started, by its own clock. */
const startedAtMs = Date.now() - uptime() * 1000
