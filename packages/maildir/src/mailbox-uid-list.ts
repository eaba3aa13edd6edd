import type { Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { StoreError, waitForRoom } from './errors.ts'
import { baseOf } from './filename.ts'
import type { KnownMessages } from './known-messages.ts'
import type { MailboxParts } from './mailbox-parts.ts'
import type { FoundFile, MeasuredFile } from './measure.ts'
import type { SubFolders } from './sub-folders.ts'
import { inTurns } from './turns.ts'
import { nextUidValidity } from './uid-validity.ts'
import { maxUid, readUidList, UidListWriter, writeUidList } from './uidlist.ts'
import type { UidLine, UidListEntry, UidListHeader } from './uidlist.ts'

/**
 * The UID list of one mailbox as this process follows it: what others append is taken into the known messages, and what
 * this process finds or removes is appended. Its format is in `uidlist.ts`.
 */
export class MailboxUidList {
  readonly #place: MailboxPlace
  readonly #context: StoreContext
  readonly #known: KnownMessages
  readonly #subFolders: SubFolders
  readonly #locked: MailboxParts['locked']
  #header: UidListHeader | undefined
  #deadLines = 0

  constructor({ place, context, known, subFolders, locked }: MailboxParts) {
    this.#place = place
    this.#context = context
    this.#known = known
    this.#subFolders = subFolders
    this.#locked = locked
  }

  get header(): UidListHeader {
    if (this.#header === undefined) throw new Error('the mailbox was not looked at yet')
    return this.#header
  }

  /** Something was read of it. */
  get isRead(): boolean {
    return this.#header !== undefined
  }

  /** Lines that do not count. */
  get deadLines(): number {
    return this.#deadLines
  }

  /** Goes on where another process was that followed this same list. */
  restore(header: UidListHeader, deadLines: number): void {
    this.#header = header
    this.#deadLines = deadLines
  }

  /** What others appended since the last look; all of it at the first, and when it was written anew. */
  async read(): Promise<void> {
    const { limits } = this.#context
    let read = await readUidList(this.#subFolders.changes, this.#place.path, this.#header, limits)
    if (read.status !== 'read') {
      await this.#subFolders.assertThere()
      // A writer may have been replacing it: only what the lock's holder finds counts.
      await this.#locked(async () => {
        read = await readUidList(this.#subFolders.changes, this.#place.path, undefined, limits)
        if (read.status === 'read') return
        await this.#startAnew(read.status === 'damaged' ? read.detail : undefined)
        read = await readUidList(this.#subFolders.changes, this.#place.path, undefined, limits)
      })
    }
    if (read.status !== 'read') throw unreadable(this.#place)
    await this.#take(read.header, read.entries, read.isWhole)
  }

  /** Within the lock: the list as it is, or a new one when it is missing or damaged. */
  async readLocked(): Promise<void> {
    const { limits } = this.#context
    const read = await readUidList(this.#subFolders.changes, this.#place.path, this.#header, limits)
    if (read.status === 'read') await this.#take(read.header, read.entries, read.isWhole)
    else await this.makeAnew(read.status === 'damaged' ? read.detail : undefined)
  }

  /** A new list, since there is none or a damaged one; the lock is held. */
  async makeAnew(damage: string | undefined): Promise<void> {
    await this.#startAnew(damage)
    const read = await readUidList(this.#subFolders.changes, this.#place.path, undefined, this.#context.limits)
    if (read.status !== 'read') throw unreadable(this.#place)
    await this.#take(read.header, read.entries, true)
  }

  /** Gives UIDs to files, in their order, unless they have one; the lock is held, and the list was read under it. */
  async append(measured: readonly MeasuredFile[]): Promise<void> {
    const known = this.#known
    const writer = await this.#openWriter()
    try {
      const lines: UidLine[] = []
      const named: FoundFile[] = []
      let uid: number = writer.header.uidNext
      if (uid + measured.length > maxUid) {
        await this.makeAnew('the UIDs of this mailbox are used up')
        this.#subFolders.forgetTimes()
        return
      }
      for (const file of measured) {
        const base = baseOf(file.name)
        if (known.byBase.has(base)) continue
        const line = known.unseen.get(base)
        if (line !== undefined) {
          known.meet(line, file)
          continue
        }
        lines.push({ uid: uid++ as Uid, dateMs: file.dateMs, rawBytes: file.rawBytes, bytes: file.bytes, base })
        named.push(file)
      }
      if (lines.length > 0) await writer.append(lines)
      for (const [at, line] of lines.entries()) {
        const file = named[at]
        if (file !== undefined) known.meet(line, file)
      }
      // Nothing was appended by others since the list was read under this same lock.
      this.#header = writer.header
    } finally {
      await writer.close()
    }
  }

  /** Marks UIDs as expunged, unless the same numbers are other messages by now; the lock is held. */
  async tombstone(uids: readonly Uid[], of: UidValidity): Promise<void> {
    if (uids.length === 0) return
    const writer = await this.#openWriter()
    try {
      if (writer.header.uidValidity !== of) return
      await writer.append(uids)
      this.#header = writer.header
      this.#deadLines += 2 * uids.length
      for (const uid of uids) this.#known.takeExpunged(uid)
    } finally {
      await writer.close()
    }
  }

  /** Writes the list anew when too many of its lines are dead. */
  async compact(): Promise<void> {
    const { disk, limits } = this.#context
    const known = this.#known
    if (this.#deadLines <= Math.max(limits.minDeadLines, known.size / 4)) return
    await this.#locked(async () => {
      await this.readLocked()
      const { uidValidity, uidNext } = this.header
      const lines: UidLine[] = [...known.unseen.values()]
      for (const { uid, dateMs, rawBytes, bytes, base } of known.byBase.values()) {
        lines.push({ uid, dateMs, rawBytes, bytes, base })
      }
      lines.sort((a, b) => a.uid - b.uid)
      // Also when there is no room: it is tried again when as much has come together once more.
      this.#deadLines = 0
      try {
        this.#header = await writeUidList(disk, this.#place.path, { uidValidity, uidNext }, lines, limits)
      } catch (error) {
        waitForRoom(error)
      }
    })
  }

  /** Others have the event loop now and then meanwhile; nobody looks at a mailbox before a look at it has ended. */
  async #take(header: UidListHeader, entries: readonly UidListEntry[], isWhole: boolean): Promise<void> {
    const { namesPerTurn } = this.#context.limits
    const isOther = this.#header !== undefined && this.#header.uidValidity !== header.uidValidity
    this.#header = header
    if (isWhole) {
      const lines = await liveLines(entries, namesPerTurn)
      this.#deadLines = entries.length - lines.length
      if (!(await this.#known.takeLines(lines))) this.#subFolders.forgetTimes()
      // The same numbers are other messages now.
      if (isOther) this.#known.forgetStates()
      return
    }
    if (entries.length > 0) await this.#known.index()
    await inTurns(entries, namesPerTurn, (entry) => {
      if (typeof entry === 'number') {
        this.#deadLines += 2
        this.#known.takeExpunged(entry)
      } else {
        this.#known.takeLine(entry)
      }
    })
  }

  /** A new UIDVALIDITY, under which every message that is there will get a new UID. */
  async #startAnew(damage: string | undefined): Promise<void> {
    const { disk, limits, locks, now, report } = this.#context
    const { account, mailbox, maildir, path } = this.#place
    const used = this.#header?.uidValidity
    const uidValidity = await nextUidValidity(disk, locks, maildir, now(), limits, used)
    await writeUidList(disk, path, { uidValidity, uidNext: 1 as Uid }, [], limits)
    if (damage === undefined) return
    report({ kind: 'uid-list-rebuilt', account, mailbox, detail: `${damage}; UIDVALIDITY is now ${uidValidity}` })
  }

  async #openWriter(): Promise<UidListWriter> {
    const { limits } = this.#context
    const writer = await UidListWriter.open(this.#subFolders.changes, this.#place.path, limits)
    if (writer instanceof UidListWriter) {
      // It may have taken over lines of a writer that died, which no reader has seen yet, or be another list by now.
      const { generation, length } = writer.header
      if (generation !== this.#header?.generation || length !== this.#header.length) await this.readLocked()
      return writer
    }
    await this.#startAnew(writer.status === 'damaged' ? writer.detail : undefined)
    const again = await UidListWriter.open(this.#subFolders.changes, this.#place.path, limits)
    if (again instanceof UidListWriter) return again
    throw unreadable(this.#place)
  }
}

/** The lines that no later entry takes back or replaces. */
export async function liveLines(entries: readonly UidListEntry[], perTurn: number): Promise<readonly UidLine[]> {
  const lines: UidLine[] = []
  const gone = new Set<Uid>()
  let last = 0
  let isInOrder = true
  await inTurns(entries, perTurn, (entry) => {
    if (typeof entry === 'number') {
      gone.add(entry)
      isInOrder &&= entry <= last
    } else {
      lines.push(entry)
      isInOrder &&= entry.uid > last
      last = entry.uid
    }
  })
  if (isInOrder) return gone.size === 0 ? lines : lines.filter(({ uid }) => !gone.has(uid))
  // Not as we write them, but with the right checksum: the last entry of a UID counts.
  const live = new Map<Uid, UidLine>()
  await inTurns(entries, perTurn, (entry) => {
    if (typeof entry === 'number') live.delete(entry)
    else live.set(entry.uid, entry)
  })
  return [...live.values()]
}

function unreadable(place: MailboxPlace): StoreError {
  return new StoreError('MAILDIR_IO', 'the UID list cannot be read back', place)
}
