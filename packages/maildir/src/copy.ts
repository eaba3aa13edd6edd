/*
 * COPY. A copy is a second link to the file, since message bytes never change: no byte is read, INTERNALDATE comes along.
 * Links are made in the target's `tmp/` first, so that all of them exist before one becomes visible; then all are placed,
 * synced and given their UIDs under one lock.
 */
import type { CopiedUids, StoreOutcome, Uid, UidValidity } from '@postern/core'
import type { StoreContext } from './context.ts'
import { openMessageFile } from './content.ts'
import { unlinkIfThere } from './durable.ts'
import { accepted, isErrno, refusalOf, refused } from './errors.ts'
import { pathOf } from './filename.ts'
import type { Folder } from './folder.ts'
import type { StoredMessage } from './message.ts'
import { copyOf, takeBack, type PreparedFile } from './placing.ts'

/**
 * Messages that are gone are left out; of the others all are copied, or none.
 *
 * @param of - the UIDVALIDITY of the source under which `uids` were told.
 */
export async function copyMessages(
  context: StoreContext,
  source: Folder,
  target: Folder,
  uids: readonly Uid[],
  of: UidValidity,
): Promise<StoreOutcome<CopiedUids>> {
  const prepared: { readonly uid: Uid; readonly file: PreparedFile }[] = []
  try {
    await target.refresh(false)
    const located = await source.locate(uids, of)
    const bytes = located.reduce((sum, { rawBytes }) => sum + rawBytes, 0)
    if (!(await target.hasRoomFor({ bytes, messages: located.length }))) {
      return refused('over-quota', 'the quota of the account')
    }
    for (const message of located) {
      const file = await prepare(context, source, target, message, of)
      if (file !== undefined) prepared.push({ uid: message.uid, file })
    }
    if (prepared.length === 0) return accepted({ uidValidity: target.uidValidity, from: [], to: [] })
    const placed = await target.put(
      prepared.map(({ file }) => file),
      true,
    )
    if (placed === undefined) throw new Error('messages were placed without UIDs')
    return accepted({ uidValidity: placed.uidValidity, from: prepared.map(({ uid }) => uid), to: placed.uids })
  } catch (error) {
    for (const { file } of prepared) {
      await unlinkIfThere(context.disk, `${target.place.path}/tmp/${file.tmp}`).catch(() => false)
    }
    return refusalOf(error)
  }
}

/** The message as a file in the target's `tmp/`; `undefined` when it is gone. */
async function prepare(
  context: StoreContext,
  source: Folder,
  target: Folder,
  message: StoredMessage,
  of: UidValidity,
): Promise<PreparedFile | undefined> {
  const { disk, names, limits } = context
  const tmp = names.next()
  const path = `${target.place.path}/tmp/${tmp}`
  let found: StoredMessage | undefined = message
  for (let tries = 0; found !== undefined && tries <= limits.renameRetries; tries++) {
    const folder = `${source.place.path}/${found.isNew ? 'new' : 'cur'}`
    if (await linkOrCopy(context, folder, found.file, path)) {
      return copyOf(found, names, tmp, await target.marksForCopy(found.flags))
    }
    await target.makeSubFolders()
    found = await source.relocate(message.uid, of)
  }
  await unlinkIfThere(disk, path)
  return undefined
}

/** False when the source is not there, or `tmp/` is not. */
export async function linkOrCopy(context: StoreContext, folder: string, name: string, path: string): Promise<boolean> {
  try {
    await context.disk.link(pathOf(folder, name), path)
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    // No hard links here, too many to this file, or another file system.
    if (!isErrno(error, 'EPERM', 'EMLINK', 'EXDEV', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error
  }
  const from = await openMessageFile(context.disk, folder, pathOf(folder, name))
  if (from === undefined) return false
  try {
    const to = await context.disk.open(path, 'wx', 0o600)
    try {
      const chunk = Buffer.alloc(context.limits.chunkBytes)
      for (let position = 0; ;) {
        const { bytesRead } = await from.read(chunk, 0, chunk.length, position)
        if (bytesRead === 0) break
        await to.writeFile(chunk.subarray(0, bytesRead))
        position += bytesRead
      }
      const { atime, mtime } = await from.stat()
      await to.utimes(atime, mtime)
      await to.sync()
      return true
    } catch (error) {
      await takeBack([path], context.disk)
      throw error
    } finally {
      await to.close()
    }
  } finally {
    await from.close()
  }
}
