/*
 * Files that wait in `tmp/` become messages: renamed into `new/`, that folder synced, and given UIDs. All of it under the
 * mailbox's lock, so that nobody of ours gives a UID to a file that may have to be taken back.
 *
 * Whoever comes while a group is on its way to the disk belongs to the next one: one lock, one append to the UID list and
 * two syncs for all of them. Each is answered when its group is durable, and fails alone where the failure is its own.
 */
import type { Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { unlinkIfThere } from './durable.ts'
import { StoreError } from './errors.ts'
import { emailIdOf, flaggedName, type UniqueNames } from './filename.ts'
import type { Marks } from './keywords.ts'
import type { NameChanges } from './local-changes.ts'
import type { FileOpener } from './local-file.ts'
import type { MailboxUidList } from './mailbox-uid-list.ts'
import type { StoredMessage } from './message.ts'
import type { Usage } from './quota.ts'
import { maxUid, UidListWriter } from './uidlist.ts'
import type { UidLine } from './uidlist.ts'

/** A file that waits in `tmp/` to become a message. */
export interface PreparedFile {
  /** Name in `tmp/`. */
  readonly tmp: string
  /** Base name under which it becomes visible. */
  readonly base: string
  readonly marks: Marks
  readonly dateMs: number
  readonly rawBytes: number
  readonly bytes: number
}

export interface PlacedFiles {
  readonly uidValidity: UidValidity
  /** In the order of the files. */
  readonly uids: readonly Uid[]
}

/** A message as it comes to another mailbox: under a name of its own, and with the EMAILID that it has (RFC 8474 section 5.1). */
export function copyOf(
  { base, dateMs, rawBytes, bytes }: StoredMessage,
  names: UniqueNames,
  tmp: string,
  marks: Marks,
): PreparedFile {
  return { tmp, base: `${names.sized(tmp, rawBytes, bytes)},E=${emailIdOf(base)}`, marks, dateMs, rawBytes, bytes }
}

export function usageOf(files: readonly PreparedFile[]): Usage {
  return { bytes: files.reduce((sum, { rawBytes }) => sum + rawBytes, 0), messages: files.length }
}

/** What placing files needs of their mailbox. */
export interface Mailroom {
  readonly place: MailboxPlace
  readonly context: StoreContext
  readonly changes: NameChanges & FileOpener
  readonly uidList: MailboxUidList
  /** Runs `work` in this mailbox's next turn. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
  /** Runs `work` while this process holds the mailbox's lock file. */
  readonly locked: (work: () => Promise<void>) => Promise<void>
  /** Under the lock: keywords of files that were given UIDs. */
  readonly recordMarks: (files: readonly PreparedFile[], placed: PlacedFiles) => Promise<void>
}

/** Files that become messages together. */
interface Arrival {
  readonly files: readonly PreparedFile[]
  readonly demandUids: boolean
  readonly resolve: (placed: PlacedFiles | undefined) => void
  readonly reject: (error: unknown) => void
}

/** Those who wait to come into one mailbox. */
export class Arrivals {
  readonly #mailroom: Mailroom
  #waiting: Arrival[] = []

  constructor(mailroom: Mailroom) {
    this.#mailroom = mailroom
  }

  /**
   * In place and durable when it resolves, with UIDs in one ascending run. Rejects when one of the files could not be placed
   * or made durable; then none is there, unless the process died on the way.
   *
   * @param demandUids - for COPY: without UIDs it did not happen. A delivery is kept, and given its UID later.
   */
  add(files: readonly PreparedFile[], demandUids: boolean): Promise<PlacedFiles | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ files, demandUids, resolve, reject })
      // The first of a group asks for its turn; the others are found waiting when it comes.
      if (this.#waiting.length === 1) void this.#mailroom.inTurn(() => this.#placeGroup())
    })
  }

  async #placeGroup(): Promise<void> {
    const group = this.#takeGroup()
    if (this.#waiting.length > 0) void this.#mailroom.inTurn(() => this.#placeGroup())
    let isPlaced = false
    try {
      await this.#mailroom.locked(async () => {
        await placeLocked(group, this.#mailroom)
        isPlaced = true
      })
    } catch (error) {
      // Answered: that the lock could not be released changes nothing for them.
      if (isPlaced) return
      for (const arrival of group) await placeUnlocked(arrival, error, this.#mailroom)
    }
  }

  /** As many as one lock is held for. What arrives together stays so, however many messages that are. */
  #takeGroup(): readonly Arrival[] {
    const { messagesPerLock } = this.#mailroom.context.limits
    let messages = 0
    const end = this.#waiting.findIndex(({ files }, at) => {
      messages += files.length
      return at > 0 && messages > messagesPerLock
    })
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end)
  }
}

/** Under the lock. Every one of the group is answered when it resolves. */
async function placeLocked(group: readonly Arrival[], mailroom: Mailroom): Promise<void> {
  const { place, context, changes } = mailroom
  const inPlace = new Map<Arrival, readonly string[]>()
  for (const arrival of group) {
    try {
      inPlace.set(arrival, await renameFiles(arrival.files, mailroom))
    } catch (error) {
      arrival.reject(error)
    }
  }
  if (inPlace.size === 0) return
  try {
    await context.folders.sync(`${place.path}/new`, changes)
  } catch (error) {
    for (const [arrival, paths] of inPlace) {
      await takeBack(paths, context.disk)
      arrival.reject(error)
    }
    return
  }
  const files = [...inPlace.keys()].flatMap((arrival) => arrival.files)
  const [given] = await Promise.allSettled([giveUids(files, mailroom)])
  let next = 0
  for (const [arrival, paths] of inPlace) {
    const from = next
    next += arrival.files.length
    try {
      if (given.status === 'rejected') throw given.reason
      const placed = { ...given.value, uids: given.value.uids.slice(from, next) }
      await mailroom.recordMarks(arrival.files, placed)
      arrival.resolve(placed)
    } catch (error) {
      if (!arrival.demandUids) {
        deferUid(arrival, error, mailroom)
        continue
      }
      await takeBack(paths, context.disk)
      arrival.reject(error)
    }
  }
}

/** The lock cannot be had: a delivery is safe without a UID. */
async function placeUnlocked(arrival: Arrival, why: unknown, mailroom: Mailroom): Promise<void> {
  const { place, context, changes } = mailroom
  if (arrival.demandUids) {
    arrival.reject(why)
    return
  }
  let paths: readonly string[] = []
  try {
    paths = await renameFiles(arrival.files, mailroom)
    await context.folders.sync(`${place.path}/new`, changes)
    deferUid(arrival, why, mailroom)
  } catch (error) {
    await takeBack(paths, context.disk)
    arrival.reject(error)
  }
}

/** The message is safe; whoever looks at the mailbox next gives the UID. */
function deferUid(arrival: Arrival, why: unknown, { place, context }: Mailroom): void {
  const { account, mailbox } = place
  context.report({ kind: 'uid-deferred', account, mailbox, detail: String(why) })
  arrival.resolve(undefined)
}

/** Puts all of the files in place, or leaves none of them there. Returns where they are. */
async function renameFiles(
  files: readonly PreparedFile[],
  { place, context, changes }: Mailroom,
): Promise<readonly string[]> {
  const placed: string[] = []
  try {
    for (const file of files) {
      const target = targetOf(file, place)
      await changes.rename(`${place.path}/tmp/${file.tmp}`, target)
      placed.push(target)
    }
    return placed
  } catch (error) {
    await takeBack(placed, context.disk)
    throw error
  }
}

export async function takeBack(placed: readonly string[], disk: StoreContext['disk']): Promise<void> {
  for (const path of placed) await unlinkIfThere(disk, path).catch(() => false)
}

/** UIDs for files that are put in place under this same lock: nobody of ours can have met them. */
export async function giveUids(
  files: readonly PreparedFile[],
  { place, context, changes, uidList }: Pick<Mailroom, 'place' | 'context' | 'changes' | 'uidList'>,
): Promise<PlacedFiles> {
  let writer = await UidListWriter.open(changes, place.path, context.limits)
  if (!(writer instanceof UidListWriter)) {
    await uidList.makeAnew(writer.status === 'damaged' ? writer.detail : undefined)
    writer = await UidListWriter.open(changes, place.path, context.limits)
  }
  if (!(writer instanceof UidListWriter)) throw new StoreError('MAILDIR_IO', 'no UID list', place)
  try {
    const { uidValidity, uidNext } = writer.header
    // Whoever looks at the mailbox next begins it anew, and gives them theirs.
    if (uidNext + files.length > maxUid) throw new StoreError('MAILDIR_IO', 'the UIDs are used up', place)
    const lines = files.map(({ dateMs, rawBytes, bytes, base }, at): UidLine => {
      return { uid: (uidNext + at) as Uid, dateMs, rawBytes, bytes, base }
    })
    await writer.append(lines)
    return { uidValidity, uids: lines.map(({ uid }) => uid) }
  } finally {
    await writer.close()
  }
}

/**
 * In `new/`, with flags too: no session took it yet, so it is recent to the first that does (RFC 3501 section 2.3.2).
 * Programs that move it to `cur/` keep a suffix that is there.
 */
export function targetOf({ base, marks }: PreparedFile, place: MailboxPlace): string {
  return `${place.path}/new/${marks.letters === '' ? base : flaggedName(base, marks.letters)}`
}
