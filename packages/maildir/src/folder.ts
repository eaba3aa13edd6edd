import type { Flag, MessageContent, StoreOutcome, Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { messageContent, openMessageFile } from './content.ts'
import { unlinkIfThere } from './durable.ts'
import { accepted, isErrno, refused, StoreError } from './errors.ts'
import { flaggedName, pathOf, sortLetters } from './filename.ts'
import type { StoredMessage } from './message.ts'
import { MailboxIndex } from './sync.ts'
import { Turns } from './turns.ts'
import { readUidList, readUidListHeader, UidListWriter } from './uidlist.ts'
import type { UidLine, UidListHeader } from './uidlist.ts'
import { ChangeWatch } from './watch.ts'

export interface FlagChange {
  readonly op: 'add' | 'remove' | 'replace'
  readonly flags: readonly Flag[]
}

/** A file that waits in `tmp/` to become a message. */
export interface PreparedFile {
  /** Name in `tmp/`. */
  readonly tmp: string
  /** Base name under which it becomes visible. */
  readonly base: string
  readonly letters: string
  readonly dateMs: number
  readonly rawBytes: number
  readonly bytes: number
}

export interface PlacedFiles {
  readonly uidValidity: UidValidity
  /** In the order of the files. */
  readonly uids: readonly Uid[]
}

export const lockName = 'postern-uidlist.lock'

/**
 * One mailbox as this process knows it, shared by all its sessions. Work on it goes one after the other here; between
 * processes the lock file orders what must be ordered, for milliseconds each time.
 */
export class Folder {
  readonly place: MailboxPlace
  readonly watch: ChangeWatch
  readonly #context: StoreContext
  readonly #index: MailboxIndex
  readonly #turns = new Turns()
  readonly #announce: (folder: Folder) => void
  /** Sessions and operations that use this object now. */
  users = 0

  constructor(place: MailboxPlace, context: StoreContext, announce: (folder: Folder) => void) {
    this.place = place
    this.#context = context
    this.#announce = announce
    this.watch = new ChangeWatch(context.disk, context.limits, place.path)
    this.#index = new MailboxIndex(place, context, (work) => this.#locked(work))
  }

  get messages(): readonly StoredMessage[] {
    return this.#index.known.messages
  }

  get uidValidity(): UidValidity {
    return this.#index.uidList.header.uidValidity
  }

  get uidNext(): Uid {
    return this.#index.uidList.header.uidNext
  }

  get keywords(): readonly string[] {
    return this.#index.known.keywords.names
  }

  /** Looks at the disk. With `claim`, takes what is in `new` and returns its UIDs. */
  async refresh(claim: boolean): Promise<readonly Uid[]> {
    const claimed = await this.#turns.run(() => this.#index.sync({ claim }))
    if (claimed.length > 0) this.#changed()
    return claimed
  }

  /** Runs `work` alone: no other session of this process and no other process changes the mailbox meanwhile. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(() => this.#locked(work))
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
      }
    })
  }

  /** A message's bytes; `undefined` when it is gone. Whoever renames it meanwhile is followed. */
  async content(uid: Uid, of: UidValidity): Promise<MessageContent | undefined> {
    for (let tries = 0; tries <= this.#context.limits.renameRetries; tries++) {
      const message = this.#find(uid, of)
      if (message === undefined) return undefined
      const folder = `${this.place.path}/${message.isNew ? 'new' : 'cur'}`
      const handle = await openMessageFile(this.#context.disk, folder, pathOf(folder, message.file))
      if (handle !== undefined) return await messageContent(handle, message, this.#context.limits)
      await this.#turns.run(() => this.#index.sync({ claim: false, thorough: true }))
    }
    return undefined
  }

  /** The messages as they are afterwards; those that are gone are left out. */
  async changeFlags(
    uids: readonly Uid[],
    of: UidValidity,
    change: FlagChange,
  ): Promise<StoreOutcome<readonly StoredMessage[]>> {
    const changed = new Map<Uid, StoredMessage>()
    const outcome = await this.#turns.run(async () => {
      const letters = await this.#lettersOf(change.flags, change.op !== 'remove')
      if (!letters.ok) return letters
      await this.#eachMessage(uids, of, async (message) => {
        const next = letteredBy(change.op, message.letters, letters.value)
        const now = next === message.letters ? await this.#verify(message) : await this.#rename(message, next)
        if (now !== undefined) changed.set(now.uid, now)
        return now !== undefined
      })
      return accepted(undefined)
    })
    if (!outcome.ok) return outcome
    this.#changed()
    return accepted([...changed.values()].sort((a, b) => a.uid - b.uid))
  }

  /** Removes messages for which `isMeant` holds as they are on the disk now. Returns what was removed, ascending. */
  async remove(
    uids: readonly Uid[],
    of: UidValidity,
    isMeant: (message: StoredMessage) => boolean,
  ): Promise<readonly Uid[]> {
    const removed: Uid[] = []
    let told = 0
    await this.#turns.run(async () => {
      await this.#index.sync({ claim: false })
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
          return true
        },
        // The names are gone for good before the UIDs are: a message never comes back after it was told as expunged.
        async () => {
          for (const folder of touched) await this.#context.folders.sync(`${this.place.path}/${folder}`)
          await this.#index.uidList.tombstone(removed.slice(told))
          told = removed.length
        },
      )
    })
    if (removed.length > 0) this.#changed()
    return removed.sort((a, b) => a - b)
  }

  /** The letters for flags, with new keywords taken into the table. */
  prepareLetters(flags: readonly Flag[]): Promise<StoreOutcome<string>> {
    return this.#turns.run(() => this.#lettersOf(flags, true))
  }

  /** For COPY: as many of the flags as this mailbox has letters for; a mailbox full of keywords still takes messages. */
  async lettersForCopy(flags: readonly Flag[]): Promise<string> {
    const letters = await this.prepareLetters(flags)
    return letters.ok ? letters.value : this.#index.known.keywords.lettersOf(flags).letters
  }

  /**
   * Makes prepared files messages: in place and durable when it resolves, with UIDs in one ascending run. Rejects when
   * one of them could not be placed or made durable; then none is there, unless the process died on the way.
   *
   * @param demandUids - for COPY: without UIDs it did not happen. A delivery is kept, and given its UID later.
   */
  async put(files: readonly PreparedFile[], demandUids: boolean): Promise<PlacedFiles | undefined> {
    const { disk } = this.#context
    // Only spares reading the whole list later; a list that cannot be read must not keep a message out.
    const since = await readUidListHeader(disk, this.place.path).catch(() => undefined)
    const placed: (string | Buffer)[] = []
    const place = async () => {
      try {
        for (const file of files) {
          const target = this.#targetOf(file)
          await disk.rename(`${this.place.path}/tmp/${file.tmp}`, target)
          placed.push(target)
        }
        for (const folder of new Set(files.map(subFolderOf))) {
          await this.#context.folders.sync(`${this.place.path}/${folder}`)
        }
      } catch (error) {
        for (const path of placed) await unlinkIfThere(disk, path).catch(() => false)
        throw error
      }
    }
    if (!demandUids) await place()
    const outcome = await this.exclusive(async () => {
      if (demandUids) await place()
      try {
        return await this.#giveUids(files, since)
      } catch (error) {
        if (demandUids) for (const path of placed) await unlinkIfThere(disk, path).catch(() => false)
        throw error
      }
    }).catch((error: unknown) => {
      if (demandUids) throw error
      // The message is safe; whoever looks at the mailbox next gives the UID.
      const { account, mailbox } = this.place
      this.#context.report({ kind: 'uid-deferred', account, mailbox, detail: String(error) })
      return undefined
    })
    this.#changed()
    return outcome
  }

  /** Where a message's file is now, if it is. */
  async locate(uids: readonly Uid[], of: UidValidity): Promise<readonly StoredMessage[]> {
    await this.#turns.run(() => this.#index.sync({ claim: false }))
    return uids.map((uid) => this.#find(uid, of)).filter((message) => message !== undefined)
  }

  /** Locates one message whose name just turned out to be old. */
  relocate(uid: Uid, of: UidValidity): Promise<StoredMessage | undefined> {
    return this.#turns.run(async () => {
      await this.#index.sync({ claim: false, thorough: true })
      return this.#find(uid, of)
    })
  }

  /** Other programs make these only when they first need them. */
  async makeSubFolders(): Promise<void> {
    try {
      const stats = await this.#context.disk.lstat(this.place.path)
      if (!stats.isDirectory()) throw new StoreError('MAILDIR_SYMLINK', `${this.place.path} is no folder`, this.place)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      throw new StoreError('MAILDIR_MAILBOX_GONE', this.place.path, { ...this.place, cause: error })
    }
    for (const name of ['tmp', 'new', 'cur']) {
      await this.#context.disk.mkdir(`${this.place.path}/${name}`, { mode: 0o700, recursive: true })
    }
  }

  close(): void {
    this.watch.close()
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

  #targetOf(file: PreparedFile): string {
    return file.letters === ''
      ? `${this.place.path}/new/${file.base}`
      : `${this.place.path}/cur/${flaggedName(file.base, file.letters)}`
  }

  async #acquire() {
    try {
      return await this.#context.locks.acquire(`${this.place.path}/${lockName}`)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      throw new StoreError('MAILDIR_MAILBOX_GONE', this.place.path, { ...this.place, cause: error })
    }
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    const lock = await this.#acquire()
    try {
      return await work()
    } finally {
      await this.#context.locks.release(lock, `${this.place.path}/${lockName}`)
    }
  }

  async #lettersOf(flags: readonly Flag[], adopt: boolean): Promise<StoreOutcome<string>> {
    const known = this.#index.known.keywords.lettersOf(flags)
    if (known.missing.length === 0 || !adopt) return accepted(known.letters)
    const isAdopted = await this.#locked(() => this.#index.adoptKeywords(known.missing))
    if (!isAdopted) return refused('limit', `no letter is left for the keyword ${known.missing.join(', ')}`)
    return accepted(this.#index.known.keywords.lettersOf(flags).letters)
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
    try {
      for (let tries = 0; left.length > 0 && tries <= renameRetries; tries++) {
        if (tries > 0) await this.#index.sync({ claim: false, thorough: true })
        const again: Uid[] = []
        for (let from = 0; from < left.length; from += messagesPerLock) {
          const some = left.slice(from, from + messagesPerLock)
          await this.#locked(() =>
            this.#index.subFolders.changingCur(async () => {
              try {
                for (const uid of some) {
                  const message = this.#find(uid, of)
                  if (message !== undefined && !(await visit(message))) again.push(uid)
                }
              } finally {
                await beforeUnlock()
              }
            }),
          )
        }
        left = again
      }
    } finally {
      this.#index.known.publish()
    }
  }

  async #rename(message: StoredMessage, letters: string): Promise<StoredMessage | undefined> {
    const name = flaggedName(message.base, letters)
    try {
      await this.#context.disk.rename(this.#pathOf(message), pathOf(`${this.place.path}/cur`, name))
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
    return this.#index.known.note(message, { name, isNew: false })
  }

  /** Nothing to change, if the flags still are what we think they are. */
  async #verify(message: StoredMessage): Promise<StoredMessage | undefined> {
    try {
      await this.#context.disk.lstat(this.#pathOf(message))
      return message
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Under the lock: UIDs for files that were just placed, except those that another process met first. */
  async #giveUids(files: readonly PreparedFile[], since: UidListHeader | undefined): Promise<PlacedFiles> {
    const { disk, limits } = this.#context
    let writer = await UidListWriter.open(disk, this.place.path, limits)
    if (!(writer instanceof UidListWriter)) {
      await this.#index.uidList.makeAnew(writer.status === 'damaged' ? writer.detail : undefined)
      writer = await UidListWriter.open(disk, this.place.path, limits)
    }
    if (!(writer instanceof UidListWriter)) throw new StoreError('MAILDIR_IO', 'no UID list', this.place)
    try {
      const given = new Map<string, Uid>()
      if (since?.generation !== writer.header.generation || since.length !== writer.header.length) {
        // Others wrote meanwhile: perhaps they met our files already.
        const read = await readUidList(disk, this.place.path, since, limits)
        if (read.status !== 'read') throw new StoreError('MAILDIR_IO', 'the UID list is damaged', this.place)
        const ours = new Set(files.map((file) => file.base))
        for (const entry of read.entries) {
          if (typeof entry !== 'number' && ours.has(entry.base)) given.set(entry.base, entry.uid)
        }
      }
      let uid: number = writer.header.uidNext
      const lines: UidLine[] = []
      for (const { base, dateMs, rawBytes, bytes } of files) {
        if (!given.has(base)) lines.push({ uid: uid++ as Uid, dateMs, rawBytes, bytes, base })
      }
      if (lines.length > 0) await writer.append(lines)
      for (const line of lines) given.set(line.base, line.uid)
      const uids = files.map((file) => given.get(file.base)).filter((found) => found !== undefined)
      return { uidValidity: writer.header.uidValidity, uids }
    } finally {
      await writer.close()
    }
  }
}

const subFolderOf = (file: PreparedFile): string => (file.letters === '' ? 'new' : 'cur')

function letteredBy(op: FlagChange['op'], before: string, letters: string): string {
  switch (op) {
    case 'add':
      return sortLetters(before + letters)
    case 'remove':
      return without(before, letters)
    case 'replace':
      return letters
    default:
      throw new Error('no such change of flags')
  }
}

function without(before: string, letters: string): string {
  let left = ''
  for (const letter of before) if (!letters.includes(letter)) left += letter
  return left
}
