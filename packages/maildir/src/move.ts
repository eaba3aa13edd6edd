/*
 * MOVE. A message is moved by a rename of its file into the other mailbox: at each moment it is in one of the two, and who
 * renames it is who moved it (RFC 6851 section 3.3). A process that is killed leaves it in one place, not in both.
 *
 * The locks of both mailboxes are held, so that of two sessions that move one message the second finds it gone before it does
 * anything. One is waited for while nothing of the other is held: deliveries into INBOX do not stand because somebody holds an
 * archive for long, and no two moves wait for each other.
 *
 * The order is the promise. UIDs are given first, and what only the journal keeps of a message is recorded under them: a line
 * of the UID list without a file is nothing to anybody, and tells of none once the lock is free. Then the files are renamed.
 * A rename reaches the disk whole on every file system with a journal of its own; both folders are synced, and only then is
 * the message told to be gone from where it was.
 */
import type { CopiedUids, MovedUids, StoreOutcome, StoreRefusal, Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { linkOrCopy } from './copy.ts'
import { unlinkIfThere } from './durable.ts'
import { accepted, isErrno, refusalOf } from './errors.ts'
import { pathOf } from './filename.ts'
import type { Folder } from './folder.ts'
import type { MaildirLimits } from './limits.ts'
import type { StoredMessage } from './message.ts'
import { copyOf, giveUids, takeBack, targetOf, type PreparedFile } from './placing.ts'
import type { MailboxIndex } from './sync.ts'

/** A mailbox whose lock is held. */
export interface HeldMailbox {
  readonly place: MailboxPlace
  readonly index: MailboxIndex
}

/** A mailbox that one can be alone in, waiting for it or not. */
type Lockable = Pick<Folder, 'place' | 'exclusive' | 'exclusiveAtOnce'>

/**
 * Runs `work` alone in both mailboxes: in the one after a wait, in the other if it is free at that moment, else the other way
 * round. Where both are wanted all the time that may never be; then they are waited for in order of their paths, which is the
 * same for all, and INBOX comes last. A lock goes with its folder when that is renamed, so a path that means another mailbox by
 * now is another lock.
 */
export async function exclusiveOfBoth<T>(
  [one, other]: readonly [Lockable, Lockable],
  { lockPairTries }: Pick<MaildirLimits, 'lockPairTries'>,
  work: () => Promise<T>,
): Promise<T> {
  if (one === other) return one.exclusive(work)
  const [first, last] = one.place.path > other.place.path ? [one, other] : [other, one]
  for (let tries = 0; tries < lockPairTries; tries++) {
    const [awaited, free] = tries % 2 === 0 ? [first, last] : [last, first]
    const done = await awaited.exclusive(() => free.exclusiveAtOnce(work))
    if (done !== undefined) return done.value
  }
  return first.exclusive(() => last.exclusive(work))
}

/** What became of some messages. */
export interface MovedMessages extends CopiedUids {
  /** Not found under the names that were known: another program renamed or removed them. */
  readonly missed: readonly Uid[]
  /** Why others are where they were. */
  readonly failure?: unknown
}

/**
 * Messages that are gone are left out. Of the others some may have been moved before one could not be: those are told, and
 * why the rest was not.
 *
 * @param of - the UIDVALIDITY of the source under which `uids` were told.
 */
export async function moveMessages(
  { limits }: StoreContext,
  source: Folder,
  target: Folder,
  uids: readonly Uid[],
  of: UidValidity,
): Promise<StoreOutcome<MovedUids>> {
  const { messagesPerLock, renameRetries } = limits
  // Renamed there and back, it is known twice here.
  const from = source.place.path === target.place.path ? target : source
  let told: CopiedUids | undefined
  let refusal: StoreRefusal | undefined
  let left = uids
  try {
    // Once: to look at what has come or gone behind each hundreds of them is a look at all of it in the end.
    await target.refresh(false)
    for (let tries = 0; tries === 0 || (left.length > 0 && tries <= renameRetries); tries++) {
      await (tries === 0 ? from.refresh(false) : from.refreshAll())
      const missed: Uid[] = []
      for (let at = 0; at === 0 || at < left.length; at += messagesPerLock) {
        const moved = await from.moveTo(target, left.slice(at, at + messagesPerLock), of)
        missed.push(...moved.missed)
        told = told === undefined ? moved : both(told, moved)
        if (moved.failure !== undefined) throw moved.failure
      }
      left = missed
    }
  } catch (error) {
    const refused = refusalOf(error)
    if (told === undefined || told.from.length === 0) return refused
    ;({ refusal } = refused)
  }
  if (told === undefined) throw new Error('nothing was tried')
  const moved = { uidValidity: told.uidValidity, from: told.from, to: told.to }
  return accepted(refusal === undefined ? moved : { ...moved, refusal })
}

/** What came to a mailbox that was deleted and made again meanwhile has no UID there any more. */
function both(before: CopiedUids, { uidValidity, from, to }: CopiedUids): CopiedUids {
  if (before.uidValidity !== uidValidity) return { uidValidity, from, to }
  return { uidValidity, from: [...before.from, ...from], to: [...before.to, ...to] }
}

/** Within the locks of both, in `source.index.quickLook.changing`. `source` and `target` may be one mailbox. */
export async function moveLocked(
  context: StoreContext,
  source: HeldMailbox,
  target: HeldMailbox,
  messages: readonly StoredMessage[],
): Promise<MovedMessages> {
  if (messages.length === 0) {
    return { uidValidity: target.index.uidList.header.uidValidity, from: [], to: [], missed: [] }
  }
  const { uidValidity: of } = source.index.uidList.header
  const files = await prepare(context, target, messages)
  const { changes } = target.index.subFolders
  const { uidValidity, uids } = await giveUids(files, {
    place: target.place,
    context,
    changes,
    uidList: target.index.uidList,
  })
  const moves = messages.map((message, at): Move => {
    const file = files[at] as PreparedFile
    return {
      message,
      uid: uids[at] as Uid,
      file,
      folder: `${source.place.path}/${message.isNew ? 'new' : 'cur'}`,
      to: targetOf(file, target.place),
    }
  })
  let moved: Move[] = []
  const missed: Uid[] = []
  let failure: unknown
  try {
    await target.index.recordMarks(files, { uidValidity, uids })
    for (const move of moves) {
      if (await carry(context, source, target, move)) moved.push(move)
      else missed.push(move.message.uid)
    }
  } catch (error) {
    failure = error
  }
  let isDurable = true
  try {
    const folders = new Set(moved.map(({ folder }) => folder))
    if (moved.length > 0) await context.folders.sync(`${target.place.path}/new`, changes)
    for (const folder of folders) await context.folders.sync(folder, source.index.subFolders.changes)
  } catch (error) {
    failure = error
    isDurable = false
    moved = await returnAll(moved, context)
  }
  const arrived = new Set(moved.map(({ uid }) => uid))
  // Whoever looks next finds out by itself what cannot be written now: lines without files, and files that are gone.
  const unused = uids.filter((uid) => !arrived.has(uid))
  await target.index.uidList.tombstone(unused, uidValidity).catch(() => undefined)
  const from = moved.map(({ message }) => message.uid)
  for (const { message } of moved) source.index.known.note(message, undefined)
  await source.index.uidList.tombstone(from, of).catch(() => undefined)
  await source.index.journal.record(new Set(from))
  const told = isDurable ? { from, to: [...arrived] } : { from: [], to: [] }
  return { uidValidity, ...told, missed, ...(failure === undefined ? {} : { failure }) }
}

/** Back to where they were, each under its name. Returns those that cannot go back. */
async function returnAll(moved: readonly Move[], { disk }: StoreContext): Promise<Move[]> {
  const stuck: Move[] = []
  for (const move of moved) {
    try {
      await disk.rename(move.to, pathOf(move.folder, move.message.file))
    } catch {
      stuck.push(move)
    }
  }
  return stuck
}

interface Move {
  readonly message: StoredMessage
  /** In the target. */
  readonly uid: Uid
  readonly file: PreparedFile
  /** Where the file is. */
  readonly folder: string
  readonly to: string
}

/** The messages as files of the target, with as many of their keywords as it has room for. */
async function prepare(
  { names }: StoreContext,
  { index }: HeldMailbox,
  messages: readonly StoredMessage[],
): Promise<readonly PreparedFile[]> {
  await index.followKeywords()
  const { missing } = index.known.keywords.marksOf([...new Set(messages.flatMap(({ flags }) => flags))])
  if (missing.length > 0 && !(await index.adoptKeywords(missing))) {
    for (const keyword of missing) if (!(await index.adoptKeywords([keyword]))) break
  }
  return messages.map((message) => {
    const { marks } = index.known.keywords.marksOf(message.flags)
    return copyOf(message, names, names.next(), marks)
  })
}

/** False when the file is not there. */
async function carry(
  context: StoreContext,
  source: HeldMailbox,
  target: HeldMailbox,
  { message, file, folder, to }: Move,
): Promise<boolean> {
  const from = pathOf(folder, message.file)
  try {
    await source.index.subFolders.changes.rename(from, to)
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    if (!isErrno(error, 'EXDEV')) throw error
  }
  // One of the two was mounted from elsewhere: the copy is safe before the message goes.
  const copy = `${target.place.path}/tmp/${file.tmp}`
  if (!(await linkOrCopy(context, folder, message.file, copy))) return false
  try {
    await context.disk.rename(copy, to)
    await context.folders.sync(`${target.place.path}/new`, target.index.subFolders.changes)
    if (await unlinkIfThere(context.disk, from)) return true
  } catch (error) {
    await takeBack([copy, to], context.disk)
    throw error
  }
  await takeBack([to], context.disk)
  return false
}
