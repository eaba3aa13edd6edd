/*
 * From the folders `new` and `cur` and the UID list to what this process knows of a mailbox.
 *
 * The races, and how each is met:
 *
 * - readdir is not atomic. A file that is renamed while a folder is read (a flag changed) may be seen under both names or
 *   under none. Absent once is therefore not expunged: a missing message is looked for again in both folders, while our
 *   own processes are kept out by the mailbox's lock, and the folders' times must be the same before and after that
 *   second look. Does another program keep changing them, the message is kept until the next sync.
 * - Another program moves a message from `new` to `cur`. `new` is read before `cur`, so a message that moves in between
 *   is seen; twice at most, and then `cur` counts. When only `new` changed and a message vanished from it, the second
 *   look finds it.
 * - Another program renames a file after we read its name. Every use of a name may meet ENOENT, and looks again.
 * - A change in the same tick of the file system's clock as our look leaves the folder's time as it was. A folder whose
 *   time is that close to the look is read again at the next one.
 * - Our own renames change the time of `cur`, and to read a hundred thousand names after each flag would be slow. Under
 *   the lock, a time that was as expected before our change is taken as expected after it; in case another program
 *   changed something in between, `cur` is read again a moment later all the same.
 * - Two processes find the same new file. UIDs are given under the lock, after reading what others appended.
 * - A delivery is linked into `new` before its UID is appended. Whoever comes first gives the UID; the other finds it.
 * - Messages come while the folders are read, and of two only the later one is seen; or files that were seen get their UIDs
 *   behind those of others that were not. A message is told before those with higher UIDs, since a client asks from UIDNEXT on: so
 *   the look is made a second time, under the lock.
 * - A line of the UID list without a file: its message was removed, or is just being moved here (`move.ts`), or was not put
 *   in place by one that died. It is looked for a second time like any missing message, and then marked as expunged.
 * - A base name that comes back after it was expunged is a new message: it gets a new UID.
 * - Flags differ from what the journal says: another program changed them, or one of our processes did and has not
 *   recorded it yet, or did so after we looked. Under the lock the name that we know is looked for: is it there, then the
 *   change is recorded as one of this moment; is it not, then both folders are read again.
 * - One base name in both folders, or twice with other flags: it was renamed while we read, when the name that we knew is
 *   gone. Otherwise these are two files: the one we did not know is given a base name of its own.
 * - A process that begins with a snapshot is where another one was, perhaps long ago, and then looks as that one would look
 *   again. Between the two the UID list and the journal have grown, and the snapshot is ignored when they are other files
 *   by now. A folder is read unless its inode, mtime and ctime are those of a moment when all of it was read and the tick
 *   of the clock was over: a time may be set back, ctime not.
 */
import type { Uid, UidValidity } from '@postern/core'
import { claimNew } from './claim.ts'
import type { MailboxPlace, StoreContext } from './context.ts'
import { waitForRoom } from './errors.ts'
import { baseOf, sortByArrival } from './filename.ts'
import { readJournal } from './journal.ts'
import { Keywords, keywordsName, type Marks } from './keywords.ts'
import { KnownMessages } from './known-messages.ts'
import { bootId } from './lock.ts'
import { Look } from './look.ts'
import type { MailboxParts } from './mailbox-parts.ts'
import { MailboxJournal } from './mailbox-journal.ts'
import { MailboxUidList } from './mailbox-uid-list.ts'
import { measureFiles, pathOfFile, type FoundFile } from './measure.ts'
import type { PlacedFiles, PreparedFile } from './placing.ts'
import { QuickLook } from './quick-look.ts'
import { SnapshotFile, type Snapshot, type SnapshotHeader } from './snapshot.ts'
import { SubFolders } from './sub-folders.ts'
import { inTurns } from './turns.ts'
import { resolveTwins } from './twins.ts'
import { readUidList } from './uidlist.ts'

/** One mailbox as this process knows it, compared with the disk. */
export class MailboxIndex {
  readonly known: KnownMessages
  readonly subFolders: SubFolders
  readonly quickLook: QuickLook
  readonly uidList: MailboxUidList
  readonly journal: MailboxJournal
  readonly #parts: MailboxParts
  /** Names that are no messages, reported once. */
  readonly #skipped = new Set<string>()
  /** Of the table of keywords when it was read; `undefined` when it may have been replaced in the same tick of the clock since. */
  #keywordsTime: bigint | undefined

  #begunWith: SnapshotHeader | undefined

  constructor(place: MailboxPlace, context: StoreContext, locked: MailboxParts['locked']) {
    this.known = new KnownMessages(context.limits.namesPerTurn)
    this.subFolders = new SubFolders(place, context)
    this.quickLook = new QuickLook(place, this.subFolders)
    this.#parts = { place, context, known: this.known, subFolders: this.subFolders, locked }
    this.uidList = new MailboxUidList(this.#parts)
    this.journal = new MailboxJournal(this.#parts)
  }

  /**
   * Looks at the disk. Calls must not overlap.
   *
   * @param options.claim - take what is in `new` for a read-write session; its UIDs come back.
   * @param options.thorough - read both folders, whatever their times say.
   */
  async sync(options: { readonly claim: boolean; readonly thorough?: boolean }): Promise<readonly Uid[]> {
    const isDone = options.thorough !== true && this.isSettled && !(options.claim && this.known.inNew.size > 0)
    if (isDone && this.quickLook.isAsSeen()) return []
    await this.subFolders.quick.prepare()
    if (!this.uidList.isRead && this.journal.position === undefined) await this.#restore()
    const stamp = this.quickLook.take()
    const claimed: Uid[] = []
    const { maxLooks } = this.#parts.context.limits
    // The journal is read last, and may tell of messages that came meanwhile. Their files and lines are in place by now.
    try {
      for (let looks = 0; looks < maxLooks && (looks === 0 || this.known.early.size > 0); looks += 1) {
        // One by one: as arguments of one call a hundred thousand of them are more than the stack has room for.
        for (const uid of await this.#look(options)) claimed.push(uid)
        await this.#followJournal()
      }
      await this.#knowAllKeywords()
    } catch (error) {
      // Not all that was found in them was taken up, and their times would tell that it was.
      this.subFolders.forgetTimes()
      throw error
    }
    this.quickLook.keep(stamp)
    return claimed
  }

  /** The last look left nothing for the next one to do, should the mailbox be as it was. */
  get isSettled(): boolean {
    const { early, keywords, unseen } = this.known
    return (
      early.size === 0 && unseen.size === 0 && !keywords.sawUnknown && this.journal.isUpToDate && !this.journal.isLoose
    )
  }

  /** The snapshot that this process began with; `undefined` when it looked at all of the mailbox. */
  get begunWith(): SnapshotHeader | undefined {
    return this.#begunWith
  }

  /** What is known, for a process that begins with it; `undefined` unless that would know all that this one does. */
  capture(): Snapshot | undefined {
    const { known, uidList, journal, subFolders } = this
    const boot = bootId()
    // A file that is no message now may be one later, and nothing but reading the folder tells.
    if (boot === '' || !subFolders.quick.isLocal || !this.isSettled || this.#skipped.size > 0) return undefined
    const { messages } = known
    if (journal.position === undefined || messages.length !== known.size) return undefined
    const header = {
      boot,
      messages: messages.length,
      uidList: uidList.header,
      deadLines: uidList.deadLines,
      journal: journal.position.header,
      deadRecords: journal.position.deadRecords,
      folders: { new: subFolders.asRead('new'), cur: subFolders.asRead('cur') },
    }
    return { header, messages }
  }

  /**
   * Begins where a process was that wrote a snapshot, as long as the files that it followed are still the same and have only
   * grown. The look that comes next is then one as that process would make it.
   */
  async #restore(): Promise<void> {
    const { known, uidList, journal, subFolders } = this
    const { place, context } = this.#parts
    const { quick } = subFolders
    if (!quick.isLocal) return
    try {
      const file = await SnapshotFile.open(quick, place.path, context.limits)
      if (file === undefined) return
      try {
        const { header } = file
        if (header.boot !== bootId() || !(await this.#isOfTheseFiles(header))) return
        // Before the messages, so that none has to be made a second time.
        await this.followKeywords()
        const messages = await file.read(known.keywords, context.limits)
        if (messages === undefined) return
        known.restore(messages)
        uidList.restore(header.uidList, header.deadLines)
        journal.restore(header.journal, header.deadRecords)
        subFolders.restore('new', header.folders.new)
        subFolders.restore('cur', header.folders.cur)
        this.#begunWith = header
      } finally {
        await file.close()
      }
    } catch {
      // It is a cache: whatever is wrong with it, or with the disk, is met again by the look at all of the mailbox.
    }
  }

  async #isOfTheseFiles({ uidList, journal }: SnapshotHeader): Promise<boolean> {
    const { place, context, subFolders } = this.#parts
    const list = await readUidList(subFolders.quick, place.path, uidList, context.limits)
    if (list.status !== 'read' || list.isWhole) return false
    const log = await readJournal(subFolders.quick, place.path, journal)
    if (log.status !== 'read' || log.isWhole) return false
    // Of as many records nothing is read, and nothing compared.
    return log.header.length > journal.length || log.header.chain === journal.chain
  }

  async #look(options: { readonly claim: boolean; readonly thorough?: boolean }): Promise<readonly Uid[]> {
    const { journal, known, subFolders, uidList } = this
    // The list before the folders: a line that is read here has its file in place already, or gets it under the lock.
    await uidList.read()
    // To a process that knows nothing yet: messages that meet their files have their states at once, and not at a second pass.
    if (known.size === 0 && known.unseen.size > 0) await journal.read(uidList.header.uidValidity)
    const [folders, keywordsTime] = await Promise.all([subFolders.times(), this.#timeOfKeywords()])
    await this.#readKeywords(keywordsTime)
    const readNew = options.thorough === true || subFolders.mustRead('new', folders.new.mtimeNs)
    const readCur = options.thorough === true || subFolders.mustRead('cur', folders.cur.mtimeNs)
    if (readNew || readCur) await known.index()
    const look = new Look(known)
    await known.meeting(look.isFirst, async () => {
      if (readNew) await subFolders.read('new', folders.new, (name) => look.take(name, true))
      if (readCur) await subFolders.read('cur', folders.cur, (name) => look.take(name, false))
    })
    if (look.twins.length > 0) await resolveTwins(look, this.#parts)
    const isAnyMissing = !look.isFirst && (await known.isAnyMissing(look.seen, readNew, readCur))
    let mustSettle = known.unseen.size > 0 || isAnyMissing
    const { maxLooks } = this.#parts.context.limits
    for (let tries = 0; tries < maxLooks && (tries === 0 || mustSettle); tries++) {
      if (mustSettle) await this.#settle(look.fresh)
      if (look.fresh.size > 0) await this.#assignIfRoom(look.fresh)
      await known.publish()
      mustSettle = known.isAnyHidden()
    }
    const claimed = options.claim ? await claimNew(this.#parts, (moved) => this.#recordMoved(moved)) : []
    await uidList.compact()
    await known.publish()
    return claimed
  }

  /**
   * A keyword is in the table before a message has it; but the table was read before the messages were. Without this a
   * message would be told without a keyword under the same modification sequence as later with it.
   */
  async #knowAllKeywords(): Promise<void> {
    if (!this.known.keywords.sawUnknown) return
    await this.followKeywords()
    await this.known.publish()
  }

  /** Modification sequences: what others recorded, and what nobody has recorded yet. */
  async #followJournal(): Promise<void> {
    const { journal, known, uidList } = this
    const { uidValidity, uidNext } = uidList.header
    const isThere = await journal.read(uidValidity)
    if (isThere && !journal.isBehind && !journal.isLoose && known.lostUids(uidNext).length === 0) return
    try {
      // Whoever takes the lock may be told of one more change, of a file that was not seen with it: that is settled under it.
      await this.#parts.locked(async () => {
        await this.#recordLocked()
        if (journal.isLoose) await journal.compact(uidList.header.uidValidity)
      })
    } catch (error) {
      await journal.defer(error)
    }
  }

  /** Within the lock: the journal as it is. With another UIDVALIDITY than `of`, it is read for that one. */
  async readJournalLocked(of: UidValidity): Promise<void> {
    const { journal, known, uidList } = this
    if (!(await journal.read(of))) {
      await uidList.readLocked()
      await known.publish()
      await journal.readLocked(uidList.header.uidValidity)
    }
    await this.#knowAllKeywords()
  }

  /** Within the lock, of messages that were just moved under it: there is no need to take it once more for them. */
  async #recordMoved(moved: ReadonlySet<Uid>): Promise<void> {
    const { uidValidity } = this.uidList.header
    try {
      await this.readJournalLocked(uidValidity)
      // Otherwise these are the UIDs of other messages by now.
      if (this.uidList.header.uidValidity === uidValidity) await this.journal.record(moved)
    } catch {
      // They were moved all the same. The journal is read once more at the end of the look, and what is wrong with it met there.
    }
  }

  async #recordLocked(): Promise<void> {
    const { journal, known, uidList } = this
    await uidList.readLocked()
    await known.publish()
    await journal.readLocked(uidList.header.uidValidity)
    for (const uid of known.lostUids(uidList.header.uidNext)) known.takeExpunged(uid)
    if (await this.#isAnyElsewhere()) await this.#lookTwice(new Map())
    await known.publish()
    await journal.record()
  }

  /** Whether the name that we know of a changed message is not its name any more; the lock is held. */
  async #isAnyElsewhere(): Promise<boolean> {
    const { known, subFolders } = this
    for (const uid of known.unjournaled) {
      const message = known.find(uid)
      // One that nobody recorded was changed by none of ours.
      if (message === undefined || message.state.modseq === 0) continue
      if (
        (await subFolders.stat(pathOfFile(this.#parts.place, { name: message.file, isNew: message.isNew }))) ===
        undefined
      )
        return true
    }
    return false
  }

  /** Keywords without a letter are nowhere but in the journal; whatever else there is to record waits for a look. */
  async recordMarks(files: readonly PreparedFile[], { uidValidity, uids }: PlacedFiles): Promise<void> {
    const marks = new Map<Uid, Marks>()
    for (const [at, file] of files.entries()) {
      const uid = uids[at]
      if (uid !== undefined && file.marks.extra !== 0n) marks.set(uid, file.marks)
    }
    if (marks.size === 0) return
    // Nobody looked since the mailbox was made anew: what is known is none of what its journal tells of.
    if (this.uidList.isRead && this.uidList.header.uidValidity !== uidValidity) {
      await this.uidList.readLocked()
      await this.known.publish()
    }
    await this.journal.recordMarks(uidValidity, marks)
  }

  /** Takes the keywords of `flags` into the table when they are new; the lock is held. */
  async adoptKeywords(missing: readonly string[]): Promise<boolean> {
    const { context, place } = this.#parts
    const { disk, limits } = context
    // What is known from here on was not read at a known time: another mailbox without a table may have this name by now.
    this.#keywordsTime = undefined
    // Another process may have added some since.
    await this.known.useKeywords(await Keywords.read(disk, place.path, limits))
    const stillMissing = this.known.keywords.marksOf(missing).missing
    if (stillMissing.length === 0) return true
    const grown = this.known.keywords.with(stillMissing, limits)
    if (grown === undefined) return false
    await grown.write(disk, place.path)
    await this.known.useKeywords(grown)
    return true
  }

  /** The table of keywords as it is now. */
  async followKeywords(): Promise<void> {
    await this.#readKeywords(await this.#timeOfKeywords())
  }

  async #timeOfKeywords(): Promise<bigint> {
    const table = await this.subFolders.statKnown(`${this.#parts.place.path}/${keywordsName}`)
    return table?.mtimeNs ?? 0n
  }

  async #readKeywords(time: bigint): Promise<void> {
    if (time === this.#keywordsTime) return
    const { context, place } = this.#parts
    // As of now, before reading: a table that replaces it later has another time then.
    const isSettled = this.subFolders.isTimeSettled(time)
    const keywords = time === 0n ? new Keywords() : await Keywords.read(context.disk, place.path, context.limits)
    this.#keywordsTime = isSettled ? time : undefined
    await this.known.useKeywords(keywords)
  }

  /** The second look: under the lock, at both folders, until nobody changes them meanwhile. */
  async #settle(fresh: Map<string, FoundFile>): Promise<void> {
    await this.#parts.locked(async () => {
      await this.uidList.readLocked()
      await this.#lookTwice(fresh)
    })
  }

  /** @param fresh - becomes the files without UID. */
  async #lookTwice(fresh: Map<string, FoundFile>): Promise<void> {
    const { known, subFolders, uidList } = this
    const { settleScans, namesPerTurn } = this.#parts.context.limits
    for (let tries = 0; tries < settleScans; tries++) {
      const before = await subFolders.times()
      const found = new Map<string, FoundFile>()
      await subFolders.eachName('new', (name) => found.set(baseOf(name), { name, isNew: true }))
      await subFolders.eachName('cur', (name) => found.set(baseOf(name), { name, isNew: false }))
      const after = await subFolders.times()
      if (before.new.mtimeNs !== after.new.mtimeNs || before.cur.mtimeNs !== after.cur.mtimeNs) continue
      const gone: Uid[] = []
      await inTurns(known.byBase, namesPerTurn, ([base, message]) => {
        const file = found.get(base)
        if (file === undefined) gone.push(message.uid)
        else if (file.name !== message.file || file.isNew !== message.isNew) known.note(message, file)
        if (file === undefined) known.note(message, undefined)
      })
      await inTurns(known.unseen, namesPerTurn, ([base, line]) => {
        const file = found.get(base)
        if (file === undefined) gone.push(line.uid)
        else known.meet(line, file)
      })
      known.forgetUnseen()
      fresh.clear()
      await inTurns(found, namesPerTurn, ([base, file]) => {
        if (!known.byBase.has(base)) fresh.set(base, file)
      })
      // Whoever reads the list from its start finds out by itself: a full disk keeps nobody from reading.
      await uidList.tombstone(gone, uidList.header.uidValidity).catch(waitForRoom)
      return
    }
    // Others are at work. Nothing is taken for gone, and the next sync reads both folders again.
    subFolders.forgetTimes()
  }

  /** On a full disk files wait for their UIDs, and others are read: whoever makes room by removing mail has to see it. */
  async #assignIfRoom(fresh: ReadonlyMap<string, FoundFile>): Promise<void> {
    try {
      await this.#assign(fresh)
    } catch (error) {
      waitForRoom(error)
      this.subFolders.forgetTimes()
    }
  }

  /** Gives UIDs to files that have none, in order of arrival. */
  async #assign(fresh: ReadonlyMap<string, FoundFile>): Promise<void> {
    const { place, context, locked } = this.#parts
    const { namesPerTurn } = context.limits
    const files = await sortByArrival(fresh.values(), namesPerTurn)
    for (let from = 0; from < files.length; from += namesPerTurn) {
      const some = files.slice(from, from + namesPerTurn)
      const measured = await measureFiles(some, place, context, (name, why) => {
        this.#skip(name, why)
      })
      await locked(async () => {
        await this.uidList.readLocked()
        await this.uidList.append(measured)
      })
    }
  }

  #skip(name: string, why: string): void {
    const { place, context } = this.#parts
    if (this.#skipped.has(name) || this.#skipped.size >= context.limits.maxReportedFiles) return
    this.#skipped.add(name)
    const { account, mailbox } = place
    context.report({ kind: 'skipped-file', account, mailbox, detail: `${name}: ${why}` })
  }
}
