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
 * - A line of the UID list without a file: its message was removed, or was never put in place by one that died. It is
 *   looked for a second time like any missing message, and then marked as expunged.
 * - A base name that comes back after it was expunged is a new message: it gets a new UID.
 * - One base name in both folders, or twice with other flags: it was renamed while we read, when the name that we knew is
 *   gone. Otherwise these are two files: the one we did not know is given a base name of its own.
 */
import type { BigIntStats } from 'node:fs'
import type { Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { isErrno, StoreError } from './errors.ts'
import { baseOf, sortByArrival, flaggedName, lettersOf } from './filename.ts'
import { Keywords } from './keywords.ts'
import { measureFiles, pathOfFile, type FoundFile, type MeasuredFile } from './measure.ts'
import { indexOfUid, StoredMessage } from './message.ts'
import { yieldTurn } from './turns.ts'
import { nextUidValidity } from './uid-validity.ts'
import { maxUid, readUidList, UidListWriter, writeUidList } from './uidlist.ts'
import type { UidLine, UidListEntry, UidListHeader } from './uidlist.ts'

/** What one look at `new` or `cur` found out about the folder itself. */
interface FolderTime {
  readonly mtimeNs: bigint
  /** Same-tick changes may hide behind this time: read again when the clock of this process passed `untilMs`. */
  readonly mustReadAgain: boolean
  /** `cur` after our own change: read again from this moment on, ms since 1970. */
  readonly readAgainAtMs: number
}

/** What reading the folders brought. */
interface Look {
  /** Base names of known messages that were there. */
  readonly seen: Set<string>
  /** Files without UID, by base name. */
  readonly fresh: Map<string, FoundFile>
  /** Files with the base name of a message that has another name: it was renamed, or this is a second one. */
  readonly twins: FoundFile[]
}

type SubFolder = 'new' | 'cur'

export class MailboxIndex {
  readonly place: MailboxPlace
  readonly #context: StoreContext
  /** Runs `work` while this process holds the mailbox's lock file. */
  readonly #locked: <T>(work: () => Promise<T>) => Promise<T>

  /** Messages in place, ascending by UID; a new array at each change. */
  messages: readonly StoredMessage[] = []
  keywords: Keywords = new Keywords()
  /** In no order of UIDs. Holds what `messages` holds, between two looks perhaps more or less. */
  readonly #byBase = new Map<string, StoredMessage>()
  /** Lines of the UID list whose file was not seen yet. */
  readonly #unseen = new Map<string, UidLine>()
  readonly #times: Record<SubFolder, FolderTime | undefined> = { new: undefined, cur: undefined }
  /** Names that are no messages, reported once. */
  readonly #skipped = new Set<string>()
  #header: UidListHeader | undefined
  #keywordsTime = -1n
  #deadLines = 0
  #isChanged = false
  #mayHaveNew = false

  constructor(place: MailboxPlace, context: StoreContext, locked: <T>(work: () => Promise<T>) => Promise<T>) {
    this.place = place
    this.#context = context
    this.#locked = locked
  }

  get uidValidity(): UidValidity {
    return this.#knownHeader().uidValidity
  }

  get uidNext(): Uid {
    return this.#knownHeader().uidNext
  }

  #knownHeader(): UidListHeader {
    if (this.#header === undefined) throw new Error('the mailbox was not looked at yet')
    return this.#header
  }

  find(uid: Uid): StoredMessage | undefined {
    const at = indexOfUid(this.messages, uid)
    return at < 0 ? undefined : this.messages[at]
  }

  /**
   * Looks at the disk. Calls must not overlap.
   *
   * @param options.claim - take what is in `new` for a read-write session; its UIDs come back.
   * @param options.thorough - read both folders, whatever their times say.
   */
  async sync(options: { readonly claim: boolean; readonly thorough?: boolean }): Promise<readonly Uid[]> {
    // The list before the folders: a line that is read here has its file in place already.
    await this.#readUidList()
    const { mtimes, keywordsTime } = await this.#folderTimes()
    await this.#readKeywords(keywordsTime)
    const readNew = options.thorough === true || this.#mustRead('new', mtimes.new)
    const readCur = options.thorough === true || this.#mustRead('cur', mtimes.cur)
    const look: Look = { seen: new Set(), fresh: new Map(), twins: [] }
    if (readNew) await this.#read('new', mtimes.new, look)
    if (readCur) await this.#read('cur', mtimes.cur, look)
    if (look.twins.length > 0) await this.#resolveTwins(look)
    if (this.#unseen.size > 0 || this.#isAnyMissing(look.seen, readNew, readCur)) await this.#settle(look.fresh)
    if (look.fresh.size > 0) await this.#assign(look.fresh)
    const claimed = options.claim ? await this.#claim() : []
    if (this.#deadLines > Math.max(this.#context.limits.minDeadLines, this.#byBase.size / 4)) await this.#compact()
    this.#publish()
    return claimed
  }

  /** After our own rename, link or unlink, made under the lock: the new file name, or that it is gone. */
  note(message: StoredMessage, moved: FoundFile | undefined): StoredMessage | undefined {
    this.#isChanged = true
    const known = this.#byBase.get(message.base)
    if (moved === undefined) {
      if (known?.uid === message.uid) this.#byBase.delete(message.base)
      return undefined
    }
    const next = message.at(moved.name, moved.isNew, this.keywords)
    this.#put(next)
    return next
  }

  /** Shows what `note` was told. */
  publishNotes(): void {
    this.#publish()
  }

  /**
   * Around our own changes to `cur` under the lock: takes the folder's new time as known, when it was the known one
   * before.
   */
  async changingCur<T>(work: () => Promise<T>): Promise<T> {
    const before = await this.#context.disk.lstat(`${this.place.path}/cur`, { bigint: true })
    const known = this.#times.cur
    try {
      return await work()
    } finally {
      if (known !== undefined && !known.mustReadAgain && known.mtimeNs === before.mtimeNs) {
        const after = await this.#context.disk.lstat(`${this.place.path}/cur`, { bigint: true })
        const readAgainAtMs = Math.min(known.readAgainAtMs, Date.now() + this.#context.limits.ownChangeRescanMs)
        this.#times.cur = { mtimeNs: after.mtimeNs, mustReadAgain: false, readAgainAtMs }
      }
    }
  }

  /** Marks UIDs as expunged in the list; the lock is held. */
  async tombstone(uids: readonly Uid[]): Promise<void> {
    if (uids.length === 0) return
    const writer = await this.#openWriter()
    try {
      await writer.append(uids)
    } finally {
      await writer.close()
    }
  }

  /** Takes the keywords of `flags` into the table when they are new; the lock is held. */
  async adoptKeywords(missing: readonly string[]): Promise<boolean> {
    const { disk, limits } = this.#context
    // Another process may have added some since.
    this.keywords = await Keywords.read(disk, this.place.path, limits)
    const stillMissing = this.keywords.lettersOf(missing).missing
    if (stillMissing.length === 0) return true
    const grown = this.keywords.with(stillMissing, limits)
    if (grown === undefined) return false
    await grown.write(disk, this.place.path)
    this.keywords = grown
    return true
  }

  async #folderTimes(): Promise<{ readonly mtimes: Record<SubFolder, bigint>; readonly keywordsTime: bigint }> {
    const [fresh, current, table] = await Promise.all([
      this.#statFolder('new'),
      this.#statFolder('cur'),
      this.#statOrNone('dovecot-keywords'),
    ])
    return { mtimes: { new: fresh.mtimeNs, cur: current.mtimeNs }, keywordsTime: table?.mtimeNs ?? 0n }
  }

  async #statFolder(name: SubFolder): Promise<BigIntStats> {
    const path = `${this.place.path}/${name}`
    let stats = await this.#statOrNone(name)
    if (stats === undefined) {
      await this.#assertThere()
      // Other programs make `cur` and `new` only when they first need them.
      await this.#context.disk.mkdir(path, { mode: 0o700, recursive: true })
      stats = await this.#context.disk.lstat(path, { bigint: true })
    }
    if (stats.isDirectory()) return stats
    throw new StoreError('MAILDIR_SYMLINK', `${path} is no folder`, this.place)
  }

  #statOrNone(name: string): Promise<BigIntStats | undefined> {
    return this.#stat(`${this.place.path}/${name}`)
  }

  async #stat(path: string | Buffer): Promise<BigIntStats | undefined> {
    try {
      return await this.#context.disk.lstat(path, { bigint: true })
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }

  async #assertThere(): Promise<void> {
    try {
      if ((await this.#context.disk.lstat(this.place.path)).isDirectory()) return
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      throw new StoreError('MAILDIR_MAILBOX_GONE', this.place.path, { ...this.place, cause: error })
    }
    throw new StoreError('MAILDIR_SYMLINK', `${this.place.path} is no folder`, this.place)
  }

  #mustRead(folder: SubFolder, mtimeNs: bigint): boolean {
    const known = this.#times[folder]
    return known === undefined || known.mtimeNs !== mtimeNs || known.mustReadAgain || Date.now() >= known.readAgainAtMs
  }

  async #readKeywords(time: bigint): Promise<void> {
    if (time === this.#keywordsTime && this.#isTimeSettled(time)) return
    const { disk, limits } = this.#context
    const before = this.keywords.names.join(' ')
    const keywords = time === 0n ? new Keywords() : await Keywords.read(disk, this.place.path, limits)
    this.#keywordsTime = time
    if (keywords.names.join(' ') === before) return
    this.keywords = keywords
    for (const [base, message] of this.#byBase) {
      if (/[a-z]/.test(message.letters)) this.#byBase.set(base, message.at(message.file, message.isNew, keywords))
    }
    this.#isChanged = true
  }

  /** What others appended to the UID list since the last look; all of it at the first, and when it was written anew. */
  async #readUidList(): Promise<void> {
    const { disk, limits } = this.#context
    let read = await readUidList(disk, this.place.path, this.#header, limits)
    if (read.status !== 'read') {
      await this.#assertThere()
      // A writer may have been replacing it: only what the lock's holder finds counts.
      await this.#locked(async () => {
        read = await readUidList(disk, this.place.path, undefined, limits)
        if (read.status === 'read') return
        await this.#startAnew(read.status === 'damaged' ? read.detail : undefined)
        read = await readUidList(disk, this.place.path, undefined, limits)
      })
    }
    if (read.status !== 'read') throw new StoreError('MAILDIR_IO', 'the UID list cannot be read back', this.place)
    this.#take(read.header, read.entries, read.isWhole)
  }

  #take(header: UidListHeader, entries: readonly UidListEntry[], isWhole: boolean): void {
    this.#header = header
    if (isWhole) {
      const lines = new Map<Uid, UidLine>()
      for (const entry of entries) {
        if (typeof entry === 'number') lines.delete(entry)
        else lines.set(entry.uid, entry)
      }
      this.#deadLines = entries.length - lines.size
      this.#unseen.clear()
      for (const line of lines.values()) this.#unseen.set(line.base, line)
      for (const [base, message] of this.#byBase) {
        if (this.#unseen.get(base)?.uid === message.uid) {
          this.#unseen.delete(base)
        } else {
          this.#byBase.delete(base)
          this.#forgetTimes()
        }
      }
      this.#isChanged = true
      return
    }
    for (const entry of entries) {
      if (typeof entry !== 'number') {
        if (this.#byBase.get(entry.base)?.uid !== entry.uid) this.#unseen.set(entry.base, entry)
        continue
      }
      this.#deadLines += 2
      this.#isChanged = true
      const message = this.find(entry)
      if (message !== undefined && this.#byBase.get(message.base)?.uid === entry) this.#byBase.delete(message.base)
      for (const [base, line] of this.#unseen) if (line.uid === entry) this.#unseen.delete(base)
    }
  }

  #forgetTimes(): void {
    this.#times.new = undefined
    this.#times.cur = undefined
  }

  /** Reads one folder and updates the messages that are known. */
  async #read(folder: SubFolder, mtimeNs: bigint, look: Look): Promise<void> {
    const isNew = folder === 'new'
    // As of now, before reading: a change while we read is what might hide.
    const mustReadAgain = !this.#isTimeSettled(mtimeNs)
    await this.#eachName(folder, (name) => {
      const base = baseOf(name)
      const message = this.#byBase.get(base)
      if (message?.file === name && message.isNew === isNew) {
        look.seen.add(base)
        return
      }
      if (message !== undefined || look.seen.has(base) || look.fresh.has(base)) {
        if (message !== undefined) look.seen.add(base)
        look.twins.push({ name, isNew })
        return
      }
      const line = this.#unseen.get(base)
      if (line === undefined) {
        look.fresh.set(base, { name, isNew })
        return
      }
      look.seen.add(base)
      this.#meet(line, { name, isNew })
    })
    this.#times[folder] = { mtimeNs, mustReadAgain, readAgainAtMs: Number.POSITIVE_INFINITY }
  }

  /** The file of a line was found. */
  #meet(line: UidLine, file: FoundFile): void {
    this.#unseen.delete(line.base)
    this.#put(new StoredMessage(line, file.name, file.isNew, this.keywords))
  }

  #put(message: StoredMessage): void {
    this.#byBase.set(message.base, message)
    this.#mayHaveNew ||= message.isNew
    this.#isChanged = true
  }

  /** One base name, two names: mostly a rename; else one file with two names, or two messages. */
  async #resolveTwins(look: Look): Promise<void> {
    const doubles: FoundFile[] = []
    for (const twin of look.twins) {
      if (!(await this.#isRename(twin, look))) doubles.push(twin)
    }
    if (doubles.length === 0) return
    await this.#locked(async () => {
      for (const twin of doubles) {
        if (await this.#isRename(twin, look)) continue
        // Both names at one moment, as far as can be seen: the first, the twin, the first again.
        const isThere = (await this.#stat(this.#pathOf(twin))) !== undefined
        if (isThere && !(await this.#isRename(twin, look))) await this.#separate(twin)
      }
    })
    this.#forgetTimes()
  }

  /** The name we knew is gone, so the other one is the message's. */
  async #isRename(twin: FoundFile, look: Look): Promise<boolean> {
    const first = this.#firstOf(twin, look)
    // A folder that changes while it is read may show the same name twice.
    if (first?.name === twin.name && first.isNew === twin.isNew) return true
    if (first === undefined || (await this.#stat(this.#pathOf(first))) !== undefined) return false
    const message = this.#byBase.get(baseOf(twin.name))
    if (message === undefined) look.fresh.set(baseOf(twin.name), twin)
    else this.note(message, twin)
    return true
  }

  /**
   * The message that we knew keeps the base name and its UID; the twin is given its own at the next sync. Nothing is
   * unlinked, not even a second name of one file: with a foreign rename in between it might be the last name.
   */
  async #separate(twin: FoundFile): Promise<void> {
    const name = flaggedName(this.#context.names.next(), lettersOf(twin.name))
    try {
      await this.#context.disk.rename(this.#pathOf(twin), this.#pathOf({ name, isNew: twin.isNew }))
      this.#report('duplicate-name', twin.name)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
  }

  #firstOf(twin: FoundFile, look: Look): FoundFile | undefined {
    const message = this.#byBase.get(baseOf(twin.name))
    return message === undefined ? look.fresh.get(baseOf(twin.name)) : { name: message.file, isNew: message.isNew }
  }

  #pathOf(file: FoundFile): string | Buffer {
    return pathOfFile(this.place, file)
  }

  async #eachName(folder: SubFolder, visit: (name: string) => void): Promise<void> {
    const { disk, limits } = this.#context
    const path = `${this.place.path}/${folder}`
    // latin1: a character for each byte, so that names of any bytes come back as they are.
    const names = await disk.opendir(path, { encoding: 'latin1', bufferSize: limits.folderBufferEntries })
    let count = 0
    for await (const entry of names) {
      if (entry.name.startsWith('.')) continue
      visit(entry.name)
      count += 1
      if (count % limits.namesPerTurn === 0) await yieldTurn()
    }
  }

  /** Whether changes from now on give the folder another time than `mtimeNs`. */
  #isTimeSettled(mtimeNs: bigint): boolean {
    const { dirtyWindowMs, coarseDirtyWindowMs } = this.#context.limits
    const isCoarse = mtimeNs % 1_000_000_000n === 0n
    return Date.now() - Number(mtimeNs / 1_000_000n) > (isCoarse ? coarseDirtyWindowMs : dirtyWindowMs)
  }

  #isAnyMissing(seen: ReadonlySet<string>, readNew: boolean, readCur: boolean): boolean {
    if (!readNew && !readCur) return false
    for (const [base, message] of this.#byBase) {
      if ((message.isNew ? readNew : readCur) && !seen.has(base)) return true
    }
    return false
  }

  /** The second look: under the lock, at both folders, until nobody changes them meanwhile. */
  async #settle(fresh: Map<string, FoundFile>): Promise<void> {
    await this.#locked(async () => {
      await this.#readUidListLocked()
      for (let tries = 0; tries < this.#context.limits.settleScans; tries++) {
        const before = await this.#folderTimes()
        const found = new Map<string, FoundFile>()
        await this.#eachName('new', (name) => found.set(baseOf(name), { name, isNew: true }))
        await this.#eachName('cur', (name) => found.set(baseOf(name), { name, isNew: false }))
        const after = await this.#folderTimes()
        if (before.mtimes.new !== after.mtimes.new || before.mtimes.cur !== after.mtimes.cur) continue
        const gone: Uid[] = []
        for (const [base, message] of this.#byBase) {
          const file = found.get(base)
          if (file === undefined) gone.push(message.uid)
          else if (file.name !== message.file || file.isNew !== message.isNew) this.note(message, file)
          if (file === undefined) this.note(message, undefined)
        }
        for (const [base, line] of this.#unseen) {
          const file = found.get(base)
          if (file === undefined) gone.push(line.uid)
          else this.#meet(line, file)
        }
        this.#unseen.clear()
        this.#isChanged = true
        fresh.clear()
        for (const [base, file] of found) if (!this.#byBase.has(base)) fresh.set(base, file)
        await this.tombstone(gone)
        return
      }
      // Others are at work. Nothing is taken for gone, and the next sync reads both folders again.
      this.#forgetTimes()
    })
  }

  /** Within the lock: the list as it is, or a new one when it is missing or damaged. */
  async #readUidListLocked(): Promise<void> {
    const { disk, limits } = this.#context
    const read = await readUidList(disk, this.place.path, this.#header, limits)
    if (read.status === 'read') this.#take(read.header, read.entries, read.isWhole)
    else await this.makeUidList(read.status === 'damaged' ? read.detail : undefined)
  }

  /** A new list, since there is none or a damaged one; the lock is held. */
  async makeUidList(damage: string | undefined): Promise<void> {
    await this.#startAnew(damage)
    const read = await readUidList(this.#context.disk, this.place.path, undefined, this.#context.limits)
    if (read.status !== 'read') throw new StoreError('MAILDIR_IO', 'the UID list cannot be read back', this.place)
    this.#take(read.header, read.entries, true)
  }

  /** A new UIDVALIDITY, under which every message that is there will get a new UID. */
  async #startAnew(damage: string | undefined): Promise<void> {
    const { disk, limits, locks, now } = this.#context
    const used = this.#header?.uidValidity
    const uidValidity = await nextUidValidity(disk, locks, this.place.maildir, now(), limits, used)
    await writeUidList(disk, this.place.path, { uidValidity, uidNext: 1 as Uid }, [], limits)
    if (damage !== undefined) this.#report('uid-list-rebuilt', `${damage}; UIDVALIDITY is now ${uidValidity}`)
  }

  async #openWriter(): Promise<UidListWriter> {
    const { disk, limits } = this.#context
    const writer = await UidListWriter.open(disk, this.place.path, limits)
    if (writer instanceof UidListWriter) {
      // It may have taken over lines of a writer that died, which no reader has seen yet.
      if (writer.header.length !== this.#header?.length) await this.#readUidListLocked()
      return writer
    }
    await this.#startAnew(writer.status === 'damaged' ? writer.detail : undefined)
    const again = await UidListWriter.open(disk, this.place.path, limits)
    if (again instanceof UidListWriter) return again
    throw new StoreError('MAILDIR_IO', 'the UID list cannot be read back', this.place)
  }

  /** Gives UIDs to files that have none, in order of arrival. */
  async #assign(fresh: ReadonlyMap<string, FoundFile>): Promise<void> {
    const { limits } = this.#context
    const files = sortByArrival(fresh.values())
    for (let from = 0; from < files.length; from += limits.namesPerTurn) {
      const some = files.slice(from, from + limits.namesPerTurn)
      const measured = await measureFiles(some, this.place, this.#context, (name, why) => {
        this.#skip(name, why)
      })
      await this.#locked(async () => {
        await this.#readUidListLocked()
        await this.#append(measured)
      })
    }
  }

  async #append(measured: readonly MeasuredFile[]): Promise<void> {
    const writer = await this.#openWriter()
    try {
      const lines: UidLine[] = []
      const named: FoundFile[] = []
      let uid: number = writer.header.uidNext
      if (uid + measured.length > maxUid) {
        await this.makeUidList('the UIDs of this mailbox are used up')
        this.#forgetTimes()
        return
      }
      for (const file of measured) {
        const base = baseOf(file.name)
        if (this.#byBase.has(base)) continue
        const line = this.#unseen.get(base)
        if (line !== undefined) {
          this.#meet(line, file)
          continue
        }
        lines.push({ uid: uid++ as Uid, dateMs: file.dateMs, rawBytes: file.rawBytes, bytes: file.bytes, base })
        named.push(file)
      }
      if (lines.length > 0) await writer.append(lines)
      for (const [at, line] of lines.entries()) {
        const file = named[at]
        if (file !== undefined) this.#put(new StoredMessage(line, file.name, file.isNew, this.keywords))
      }
      // Nothing was appended by others since the list was read under this same lock.
      this.#header = writer.header
    } finally {
      await writer.close()
    }
  }

  #skip(name: string, why: string): void {
    if (this.#skipped.has(name) || this.#skipped.size >= this.#context.limits.maxReportedFiles) return
    this.#skipped.add(name)
    this.#report('skipped-file', `${name}: ${why}`)
  }

  /** Moves what is in `new` to `cur`; what this process moved, nobody saw before (RFC 3501 section 2.3.2). */
  async #claim(): Promise<readonly Uid[]> {
    if (!this.#mayHaveNew) return []
    this.#mayHaveNew = false
    const arrived = [...this.#byBase.values()].filter((message) => message.isNew)
    const claimed: Uid[] = []
    const { limits } = this.#context
    for (let from = 0; from < arrived.length; from += limits.messagesPerLock) {
      await this.#locked(() =>
        this.changingCur(async () => {
          for (const message of arrived.slice(from, from + limits.messagesPerLock)) {
            if (await this.#moveToCur(message)) claimed.push(message.uid)
            else this.#mayHaveNew = true
          }
        }),
      )
    }
    return claimed
  }

  async #moveToCur(message: StoredMessage): Promise<boolean> {
    const { disk } = this.#context
    const name = flaggedName(message.base, message.letters)
    // A rename would destroy another file of that name: the twins are told apart at the next sync.
    if ((await this.#stat(this.#pathOf({ name, isNew: false }))) !== undefined) {
      this.#forgetTimes()
      return false
    }
    try {
      await disk.rename(this.#pathOf({ name: message.file, isNew: true }), this.#pathOf({ name, isNew: false }))
    } catch (error) {
      // Another process was first, or the disk is full: then it stays in `new` for now.
      if (isErrno(error, 'ENOENT')) this.#forgetTimes()
      else if (!isErrno(error, 'ENOSPC', 'EDQUOT', 'EROFS', 'ENAMETOOLONG')) throw error
      return false
    }
    this.note(message, { name, isNew: false })
    return true
  }

  async #compact(): Promise<void> {
    const { disk, limits } = this.#context
    await this.#locked(async () => {
      await this.#readUidListLocked()
      const { uidValidity, uidNext } = this.#knownHeader()
      const lines: UidLine[] = [...this.#unseen.values()]
      for (const { uid, dateMs, rawBytes, bytes, base } of this.#byBase.values()) {
        lines.push({ uid, dateMs, rawBytes, bytes, base })
      }
      lines.sort((a, b) => a.uid - b.uid)
      this.#header = await writeUidList(disk, this.place.path, { uidValidity, uidNext }, lines, limits)
      this.#deadLines = 0
    })
  }

  #publish(): void {
    if (!this.#isChanged) return
    this.messages = [...this.#byBase.values()].sort((a, b) => a.uid - b.uid)
    this.#isChanged = false
  }

  #report(kind: 'skipped-file' | 'uid-list-rebuilt' | 'duplicate-name', detail: string): void {
    this.#context.report({ kind, account: this.place.account, mailbox: this.place.mailbox, detail })
  }
}
