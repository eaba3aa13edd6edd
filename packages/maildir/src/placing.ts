/*
 * Files that wait in `tmp/` become messages: put in place, made durable, and given UIDs.
 */
import type { Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { unlinkIfThere } from './durable.ts'
import { StoreError } from './errors.ts'
import { flaggedName } from './filename.ts'
import type { Marks } from './keywords.ts'
import type { MailboxUidList } from './mailbox-uid-list.ts'
import type { Usage } from './quota.ts'
import { readUidList, UidListWriter } from './uidlist.ts'
import type { UidLine, UidListHeader } from './uidlist.ts'

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

export function usageOf(files: readonly PreparedFile[]): Usage {
  return { bytes: files.reduce((sum, { rawBytes }) => sum + rawBytes, 0), messages: files.length }
}

/** Puts all of the files in place and syncs their folders, or leaves none of them there. Returns where they are. */
export async function placeFiles(
  files: readonly PreparedFile[],
  place: MailboxPlace,
  { disk, folders }: StoreContext,
): Promise<readonly string[]> {
  const placed: string[] = []
  try {
    for (const file of files) {
      const target = targetOf(file, place)
      await disk.rename(`${place.path}/tmp/${file.tmp}`, target)
      placed.push(target)
    }
    await folders.sync(`${place.path}/new`)
    return placed
  } catch (error) {
    await takeBack(placed, disk)
    throw error
  }
}

export async function takeBack(placed: readonly string[], disk: StoreContext['disk']): Promise<void> {
  for (const path of placed) await unlinkIfThere(disk, path).catch(() => false)
}

/**
 * Under the lock: UIDs for files that were just placed, except those that another process met first.
 *
 * @param since - the list's header from before they were placed.
 */
export async function giveUids(
  files: readonly PreparedFile[],
  since: UidListHeader | undefined,
  place: MailboxPlace,
  { disk, limits }: StoreContext,
  uidList: MailboxUidList,
): Promise<PlacedFiles> {
  let writer = await UidListWriter.open(disk, place.path, limits)
  if (!(writer instanceof UidListWriter)) {
    await uidList.makeAnew(writer.status === 'damaged' ? writer.detail : undefined)
    writer = await UidListWriter.open(disk, place.path, limits)
  }
  if (!(writer instanceof UidListWriter)) throw new StoreError('MAILDIR_IO', 'no UID list', place)
  try {
    const given = new Map<string, Uid>()
    if (since?.generation !== writer.header.generation || since.length !== writer.header.length) {
      // Others wrote meanwhile: perhaps they met our files already.
      const read = await readUidList(disk, place.path, since, limits)
      if (read.status !== 'read') throw new StoreError('MAILDIR_IO', 'the UID list is damaged', place)
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

/**
 * In `new/`, with flags too: no session took it yet, so it is recent to the first that does (RFC 3501 section 2.3.2).
 * Programs that move it to `cur/` keep a suffix that is there.
 */
function targetOf({ base, marks }: PreparedFile, place: MailboxPlace): string {
  return `${place.path}/new/${marks.letters === '' ? base : flaggedName(base, marks.letters)}`
}
