import type { BigIntStats } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { Flag, FlagChange, MessageContent, StoreOutcome, Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { messageContent, openMessageFile } from './content.ts'
import { unlinkIfThere } from './durable.ts'
import { accepted, isErrno, refused, StoreError } from './errors.ts'
import { changedBits, changedLetters, flaggedName, pathOf } from './filename.ts'
import type { Marks } from './keywords.ts'
import type { NameChanges } from './local-changes.ts'
import type { FileOpener } from './local-file.ts'
import type { HeldLock } from './lock.ts'
import { MailboxNotes } from './mailbox-notes.ts'
import { MailboxSnapshot } from './mailbox-snapshot.ts'
import type { StoredMessage } from './message.ts'
import { exclusiveOfBoth, moveLocked, type MovedMessages } from './move.ts'
import { forgetUsage, hasRoom, noteUsage, type Usage } from './quota.ts'
import { Arrivals, type PlacedFiles, type PreparedFile, usageOf } from './placing.ts'
import type { Snapshot } from './snapshot.ts'
import { MailboxIndex } from './sync.ts'
import { Turns } from './turns.ts'
import { ChangeWatch, messageFolders } from './watch.ts'

/**
 * A mailbox as of the end of a look: what sessions see. In the middle of one, or of a change, a message may have flags that
 * are not recorded yet, or be recorded with flags that its file was not seen with yet.
 */
interface ShownMailbox {
  readonly messages: readonly StoredMessage[]
  readonly uidValidity: UidValidity
  readonly uidNext: Uid
  readonly highestModseq: bigint
}

/** What became of a change of flags. */
export interface ChangedMessages {
  /** Ascending by UID. */
  readonly messages: readonly StoredMessage[]
  /** Left as they were, since they were changed meanwhile. */
  readonly modified: readonly Uid[]
}

export const lockName = 'postern-uidlist.lock'

/**
 * One mailbox as this process knows it, shared by all its sessions. Work on it goes one after the other here; between
 * processes the lock file orders what must be ordered, for milliseconds each time.
 */
export class Folder {
  readonly place: MailboxPlace
  readonly watch: ChangeWatch
  readonly notes: MailboxNotes
  readonly snapshot: MailboxSnapshot
  readonly #context: StoreContext
  readonly #index: MailboxIndex
  readonly #turns = new Turns()
  /** Looks that wait for their turn. */
  readonly #awaited: Partial<Record<'claiming' | 'looking', Promise<readonly Uid[]> | undefined>> = {}
  readonly #arrivals: Arrivals
  #shown: ShownMailbox | undefined
  /** Until when other processes may take the lock first, ms of the monotonic clock. */
  #givesWayUntilMs = 0
  readonly #announce: (folder: Folder) => void
  /** Sessions and operations that use this object now. */
  users = 0

  constructor(place: MailboxPlace, context: StoreContext, announce: (folder: Folder) => void) {
    this.place = place
    this.#context = context
    this.#announce = announce
    this.watch = new ChangeWatch(context.disk, context.limits, messageFolders(place.path))
    this.#index = new MailboxIndex(place, context, (work) => this.#locked(work))
    this.notes = new MailboxNotes(this, context)
    this.snapshot = new MailboxSnapshot(this, context)
    this.#arrivals = new Arrivals({
      place,
      context,
      changes: this.changes,
      uidList: this.#index.uidList,
      inTurn: (work) => this.#turns.run(work),
      locked: (work) => this.#locked(work),
      recordMarks: (each, placed) => this.#index.recordMarks(each, placed),
    })
  }

  /** The mailbox is on a file system of this machine, as far as was asked. */
  get isLocal(): boolean {
    return this.#index.subFolders.quick.isLocal
  }

  /** Its own folder, asked in place: only when `isLocal`. */
  statFolder(): BigIntStats | undefined {
    return this.#index.subFolders.quick.of(this.place.path)
  }

  get messages(): readonly StoredMessage[] {
    return this.#shown?.messages ?? []
  }

  get uidValidity(): UidValidity {
    return this.#look.uidValidity
  }

  get uidNext(): Uid {
    return this.#look.uidNext
  }

  get keywords(): readonly string[] {
    return this.#index.known.keywords.names
  }

  /** No change that was seen has a higher modification sequence. */
  get highestModseq(): bigint {
    return this.#look.highestModseq
  }

  /** UIDs expunged since; `undefined` when that is not remembered so far back. */
  expungedSince(of: UidValidity, modseq: bigint): Promise<readonly Uid[] | undefined> {
    return this.#index.journal.expungedSince(of, modseq)
  }

  /**
   * Looks at the disk. With `claim`, takes what is in `new` and returns its UIDs.
   *
   * A look that nobody has begun yet is as good as one of one's own: thousands of sessions that one change has woken make two
   * or three of them. What it takes is the first one's.
   */
  async refresh(claim: boolean): Promise<readonly Uid[]> {
    const kind = claim ? 'claiming' : 'looking'
    const awaited = this.#awaited[kind]
    if (awaited !== undefined) {
      await awaited
      return []
    }
    const look = this.#turns.run(() => {
      this.#awaited[kind] = undefined
      return this.#sync({ claim })
    })
    this.#awaited[kind] = look
    const claimed = await look
    if (claimed.length > 0) this.#changed()
    return claimed
  }

  /** Looks at the disk, and reads both folders, whatever their times say. */
  async refreshAll(): Promise<void> {
    await this.#turns.run(() => this.#sync({ claim: false, thorough: true }))
  }

  /** What is known of it, as another process may begin with it; after a look, when `look` is set. */
  capture(look: boolean): Promise<Snapshot | undefined> {
    return this.#turns.run(async () => {
      if (look) await this.#sync({ claim: false })
      return this.#index.capture()
    })
  }

  /** Runs `work` alone: no other session of this process and no other process changes the mailbox meanwhile. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(() => this.#locked(work))
  }

  /** As `exclusive`, when nobody has to be waited for; `undefined` otherwise. */
  async exclusiveAtOnce<T>(work: () => Promise<T>): Promise<{ readonly value: T } | undefined> {
    if (!this.#turns.isIdle) return undefined
    return this.#turns.run(async () => {
      const lock = await this.#acquire(0).catch((error: unknown) => {
        if (error instanceof StoreError && error.code === 'MAILDIR_LOCK_BUSY') return undefined
        throw error
      })
      return lock === undefined ? undefined : { value: await this.#holding(lock, work) }
    })
  }

  /** As `exclusive`, around work that moves the folder: the lock goes with it. */
  exclusiveMove(work: () => Promise<string>): Promise<void> {
    return this.#turns.run(async () => {
      const lock = await this.#acquire()
      let path = this.place.path
      try {
        path = await work()
      } finally {
        await this.#context.locks.release(lock, `${path}/${lockName}`)
        // Sessions that have it selected go along, or are told.
        this.#changed()
      }
    })
  }

  /** A message's bytes; `undefined` when it is gone. Whoever renames it meanwhile is followed. */
  async content(uid: Uid, of: UidValidity): Promise<MessageContent | undefined> {
    for (let tries = 0; tries <= this.#context.limits.renameRetries; tries++) {
      const message = this.#find(uid, of)
      if (message === undefined) return undefined
      const folder = `${this.place.path}/${message.isNew ? 'new' : 'cur'}`
      const handle = await openMessageFile(this.#index.subFolders.quick, folder, pathOf(folder, message.file))
      if (handle !== undefined) return await messageContent(handle, message, this.#context.limits)
      await this.refreshAll()
    }
    return undefined
  }

  /** The messages as they are afterwards; those that are gone are left out. */
  async changeFlags(uids: readonly Uid[], of: UidValidity, change: FlagChange): Promise<StoreOutcome<ChangedMessages>> {
    const reached: Uid[] = []
    const modified: Uid[] = []
    const outcome = await this.#turns.run(async () => {
      const marks = await this.#marksOf(change.flags, change.op !== 'remove')
      if (!marks.ok) return marks
      const { unchangedSince } = change
      await this.#eachMessage(uids, of, async (message) => {
        const extra = changedBits(change.op, message.state.extra, marks.value.extra)
        const letters = changedLetters(change.op, message.letters, marks.value.letters)
        const isKept = unchangedSince !== undefined && this.#isChangedSince(message, unchangedSince)
        const isSame = letters === message.letters && extra === message.state.extra
        if (isKept || letters === message.letters) {
          if (!(await this.#isInPlace(message))) return false
          if (!isKept && !isSame) this.#index.known.note(message, { name: message.file, isNew: message.isNew }, extra)
        } else if (!(await this.#rename(message, letters, extra))) {
          return false
        }
        ;(isKept ? modified : reached).push(message.uid)
        return true
      })
      // Between two takes of the lock others may have changed one that was reached: then it is known by its record only.
      if (reached.some((uid) => this.#index.known.unjournaled.has(uid))) await this.#sync({ claim: false })
      else this.#showIfSettled()
      return accepted(reached.map((uid) => this.#find(uid, of)).filter((message) => message !== undefined))
    })
    if (!outcome.ok) return outcome
    this.#changed()
    const messages = outcome.value.sort((a, b) => a.uid - b.uid)
    return accepted({ messages, modified: modified.sort((a, b) => a - b) })
  }

  /** Removes messages for which `isMeant` holds as they are on the disk now. Returns what was removed, ascending. */
  async remove(
    uids: readonly Uid[],
    of: UidValidity,
    isMeant: (message: StoredMessage) => boolean,
  ): Promise<readonly Uid[]> {
    const removed: Uid[] = []
    let bytes = 0
    let told = 0
    await this.#turns.run(async () => {
      await this.#lookAt({ claim: false })
      const meant = uids.filter((uid) => {
        const message = this.#find(uid, of)
        return message !== undefined && isMeant(message)
      })
      const touched = new Set<string>()
      await this.#eachMessage(
        meant,
        of,
        async (message) => {
          if (!isMeant(message)) return true
          if (!(await unlinkIfThere(this.#context.disk, this.#pathOf(message)))) return false
          touched.add(message.isNew ? 'new' : 'cur')
          this.#index.known.note(message, undefined)
          removed.push(message.uid)
          bytes += message.rawBytes
          return true
        },
        // The names are gone for good before the UIDs are: a message never comes back after it was told as expunged.
        async () => {
          for (const folder of touched) await this.#context.folders.sync(`${this.place.path}/${folder}`)
          await this.#index.uidList.tombstone(removed.slice(told), of)
          told = removed.length
        },
      )
      this.#showIfSettled()
    })
    if (removed.length > 0) {
      this.#changed()
      await this.#noteUsage({ bytes: -bytes, messages: -removed.length })
    }
    return removed.sort((a, b) => a - b)
  }

  /**
   * The marks for flags, with new keywords taken into the table. It is read first: since the last look the mailbox may have been
   * deleted and made again, and then its letters stand for other keywords.
   */
  prepareMarks(flags: readonly Flag[]): Promise<StoreOutcome<Marks>> {
    return this.#turns.run(async () => {
      await this.#index.followKeywords()
      return this.#marksOf(flags, true)
    })
  }

  /** For COPY, behind a look: as many of the flags as there is room for; a mailbox full of keywords still takes messages. */
  async marksForCopy(flags: readonly Flag[]): Promise<Marks> {
    const marks = await this.#turns.run(() => this.#marksOf(flags, true))
    return marks.ok ? marks.value : this.#index.known.keywords.marksOf(flags).marks
  }

  /**
   * Makes prepared files messages; see `Arrivals.add`.
   *
   * @param demandUids - for COPY: without UIDs it did not happen. A delivery is kept, and given its UID later.
   */
  async put(files: readonly PreparedFile[], demandUids: boolean): Promise<PlacedFiles | undefined> {
    const placed = await this.#arrivals.add(files, demandUids)
    this.#changed()
    await this.#noteUsage(usageOf(files))
    return placed
  }

  /** Whether the account may hold so much more. */
  async hasRoomFor(more: Usage): Promise<boolean> {
    const limits = await this.#context.quotaOf(this.place.account)
    return limits === undefined || (await hasRoom(this.place.maildir, limits, more, this.#context))
  }

  /** What came or went did so, whatever becomes of the count. */
  async #noteUsage(change: Usage): Promise<void> {
    try {
      const limits = await this.#context.quotaOf(this.place.account)
      if (limits !== undefined) await noteUsage(this.place, change, this.#context)
    } catch {
      await forgetUsage(this.place.maildir, this.#context).catch(() => undefined)
    }
  }

  /**
   * Moves messages to another mailbox, or within this one, no more of them than a lock is held for. Both were looked at; see
   * `move.ts`.
   */
  async moveTo(target: Folder, uids: readonly Uid[], of: UidValidity): Promise<MovedMessages> {
    for (const folder of [this, target]) await folder.#index.known.index()
    const moved = await exclusiveOfBoth([this, target], this.#context.limits, async () => {
      const done = await this.#moveLocked(target, uids, of)
      await this.#index.known.publish()
      this.#showIfSettled()
      return done
    })
    this.#changed()
    if (target !== this) target.#changed()
    return moved
  }

  #moveLocked(target: Folder, uids: readonly Uid[], of: UidValidity): Promise<MovedMessages> {
    return this.#changing(async (isKnown) => {
      if (!isKnown) await this.#index.readJournalLocked(of)
      const messages = uids.map((uid) => this.#find(uid, of)).filter((message) => message !== undefined)
      const sides = [this, target].map((folder) => ({ place: folder.place, index: folder.#index }))
      return moveLocked(this.#context, sides[0]!, sides[1]!, messages)
    })
  }

  /** Where a message's file is now, if it is. */
  async locate(uids: readonly Uid[], of: UidValidity): Promise<readonly StoredMessage[]> {
    await this.#turns.run(() => this.#sync({ claim: false }))
    return uids.map((uid) => this.#find(uid, of)).filter((message) => message !== undefined)
  }

  /** Locates one message whose name just turned out to be old. */
  relocate(uid: Uid, of: UidValidity): Promise<StoredMessage | undefined> {
    return this.#turns.run(async () => {
      await this.#sync({ claim: false, thorough: true })
      return this.#find(uid, of)
    })
  }

  /** Other programs make these only when they first need them. */
  makeSubFolders(): Promise<void> {
    return this.#index.subFolders.make()
  }

  close(): void {
    this.watch.close()
  }

  closeFiles(): Promise<void> {
    return this.#index.journal.closeFile()
  }

  /** Changes files of this mailbox, and opens those that are written. */
  get changes(): NameChanges & FileOpener {
    return this.#index.subFolders.changes
  }

  get #look(): ShownMailbox {
    if (this.#shown === undefined) throw new Error('the mailbox was not looked at yet')
    return this.#shown
  }

  /** Within a turn: looks at the disk, and shows sessions what it found. */
  async #sync(options: Parameters<MailboxIndex['sync']>[0]): Promise<readonly Uid[]> {
    const isFirst = this.#shown === undefined
    const claimed = await this.#lookAt(options)
    this.#show()
    if (isFirst) this.#mayWriteSnapshot()
    return claimed
  }

  async #lookAt(options: Parameters<MailboxIndex['sync']>[0]): Promise<readonly Uid[]> {
    try {
      return await this.#index.sync(options)
    } catch (error) {
      // Deleted or renamed in the middle of the look: that is no fault of the disk.
      if (isErrno(error, 'ENOENT')) await this.#index.subFolders.assertThere()
      throw error
    }
  }

  /** For the process that opens the mailbox next. */
  #mayWriteSnapshot(): void {
    const { begunWith } = this.#index
    if (begunWith !== undefined) this.snapshot.begunWith(begunWith)
    this.snapshot.due()
  }

  #show(): void {
    const { known, uidList, journal } = this.#index
    const { uidValidity, uidNext } = uidList.header
    this.#shown = {
      messages: known.messages,
      uidValidity,
      uidNext: known.nextToShow(uidNext),
      highestModseq: BigInt(journal.highest),
    }
  }

  /** After a change of our own: what others did meanwhile may be half known, and then the next look shows all. */
  #showIfSettled(): void {
    if (!this.#index.journal.isBehind && this.#index.known.unseen.size === 0) this.#show()
  }

  #changed(): void {
    this.watch.hint()
    this.#announce(this)
  }

  /**
   * A UID names a message only together with its UIDVALIDITY (RFC 3501 section 2.3.1.1). Any look at the disk may find
   * that the mailbox was deleted and made again, or its list rebuilt, and then the same number is another message.
   */
  #find(uid: Uid, of: UidValidity): StoredMessage | undefined {
    if (this.#index.uidList.header.uidValidity === of) return this.#index.known.find(uid)
    throw new StoreError('MAILDIR_UID_VALIDITY_CHANGED', 'the mailbox was made anew', this.place)
  }

  #pathOf(message: StoredMessage): string | Buffer {
    return pathOf(`${this.place.path}/${message.isNew ? 'new' : 'cur'}`, message.file)
  }

  async #acquire(waitMs?: number): Promise<HeldLock> {
    const pauseMs = this.#givesWayUntilMs - performance.now()
    if (pauseMs >= 1) await pause(pauseMs)
    try {
      const { changes } = this.#index.subFolders
      return await this.#context.locks.acquire(`${this.place.path}/${lockName}`, changes, waitMs)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      throw new StoreError('MAILDIR_MAILBOX_GONE', this.place.path, { ...this.place, cause: error })
    }
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    return await this.#holding(await this.#acquire(), work)
  }

  async #holding<T>(lock: HeldLock, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } finally {
      const { changes } = this.#index.subFolders
      await this.#context.locks.release(lock, `${this.place.path}/${lockName}`, this.isLocal, changes)
      // A disk that is slow to sync makes a process whose clients are many hold it for all but the whole time.
      const { lockPauseShare, lockRetryMs } = this.#context.limits
      const nowMs = performance.now()
      this.#givesWayUntilMs = nowMs + Math.min((nowMs - lock.sinceMs) * lockPauseShare, lockRetryMs)
    }
  }

  /** The lock is held, and the journal was read under it. */
  #isChangedSince(message: StoredMessage, modseq: bigint): boolean {
    return message.modseq > modseq || this.#index.known.unjournaled.has(message.uid)
  }

  async #marksOf(flags: readonly Flag[], adopt: boolean): Promise<StoreOutcome<Marks>> {
    const known = this.#index.known.keywords.marksOf(flags)
    if (known.missing.length === 0) return accepted(known.marks)
    if (!adopt) {
      // Another process may have taken them in since our last look: only then is there anything to take away.
      await this.#sync({ claim: false })
      return accepted(this.#index.known.keywords.marksOf(flags).marks)
    }
    const isAdopted = await this.#locked(() => this.#index.adoptKeywords(known.missing))
    if (!isAdopted) return refused('limit', `no room is left for the keyword ${known.missing.join(', ')}`)
    return accepted(this.#index.known.keywords.marksOf(flags).marks)
  }

  /**
   * Visits messages under the lock, some at a time. A visit that finds the file renamed by another program answers
   * false, and is made again after a thorough look; a message that is gone is not visited.
   */
  async #eachMessage(
    uids: readonly Uid[],
    of: UidValidity,
    visit: (message: StoredMessage) => Promise<boolean>,
    beforeUnlock: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const { messagesPerLock, renameRetries } = this.#context.limits
    let left = uids
    await this.#index.known.index()
    try {
      for (let tries = 0; left.length > 0 && tries <= renameRetries; tries++) {
        if (tries > 0) await this.#lookAt({ claim: false, thorough: true })
        const again: Uid[] = []
        for (let from = 0; from < left.length; from += messagesPerLock) {
          const some = left.slice(from, from + messagesPerLock)
          await this.#locked(() =>
            this.#changing(async (isKnown) => {
              if (!isKnown) await this.#index.readJournalLocked(of)
              try {
                for (const uid of some) {
                  const message = this.#find(uid, of)
                  if (message !== undefined && !(await visit(message))) again.push(uid)
                }
              } finally {
                await beforeUnlock()
                await this.#index.journal.record(new Set(some))
              }
            }),
          )
        }
        left = again
      }
    } finally {
      await this.#index.known.publish()
    }
  }

  /** Around changes of our own to `cur` and the files beside it, under the lock; `work` is told whether those are known. */
  #changing<T>(work: (isKnown: boolean) => Promise<T>): Promise<T> {
    const index = this.#index
    return index.quickLook.changing((isAsSeen) => index.subFolders.changingCur(() => work(isAsSeen && index.isSettled)))
  }

  /** False when the file has another name by now. */
  async #rename(message: StoredMessage, letters: string, extra: bigint): Promise<boolean> {
    const name = flaggedName(message.base, letters)
    try {
      await this.#index.subFolders.changes.rename(this.#pathOf(message), pathOf(`${this.place.path}/cur`, name))
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false
      throw error
    }
    this.#index.known.note(message, { name, isNew: false }, extra === message.state.extra ? undefined : extra)
    return true
  }

  /** The flags still are what we think they are. */
  async #isInPlace(message: StoredMessage): Promise<boolean> {
    return (await this.#index.subFolders.stat(this.#pathOf(message))) !== undefined
  }
}
