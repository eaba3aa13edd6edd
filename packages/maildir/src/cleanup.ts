/*
 * What killed processes leave behind, removed in the background: files in `tmp/` that nobody finished, mailboxes that
 * were being deleted or made.
 */
import type { MailboxPlace, StoreContext } from './context.ts'
import { lstatIfThere, unlinkIfThere } from './durable.ts'
import { pathOf } from './filename.ts'

export const deletedPrefix = 'postern-deleted.'
export const creatingPrefix = 'postern-creating.'

/** Removes files of `tmp/` that are older than 36 hours, some at a time; maildir(5). */
export async function cleanTmp(place: MailboxPlace, context: StoreContext): Promise<void> {
  const { disk, limits } = context
  const tmp = `${place.path}/tmp`
  let left = limits.tmpFilesPerCleanup
  for await (const entry of await disk.opendir(tmp, { encoding: 'latin1', bufferSize: limits.folderBufferEntries })) {
    if (left-- <= 0) return
    if (!entry.isFile()) continue
    const path = pathOf(tmp, entry.name)
    // The time of the last change of the inode: unlike the file's date, a delivery cannot set it back.
    const stats = await lstatIfThere(disk, path)
    if (stats !== undefined && Date.now() - Number(stats.ctimeMs) > limits.staleTmpMs) await unlinkIfThere(disk, path)
  }
}

/** Removes mailboxes whose deletion was begun, and those whose making was given up. */
export async function cleanMaildir(maildir: string, context: StoreContext): Promise<void> {
  const { disk, limits } = context
  for await (const entry of await disk.opendir(maildir, { bufferSize: limits.folderBufferEntries })) {
    const path = `${maildir}/${entry.name}`
    if (entry.name.startsWith(deletedPrefix)) {
      await disk.rm(path, { recursive: true, force: true })
    } else if (entry.name.startsWith(creatingPrefix)) {
      const stats = await lstatIfThere(disk, path)
      if (stats !== undefined && Date.now() - Number(stats.ctimeMs) > limits.staleTmpMs) {
        await disk.rm(path, { recursive: true, force: true })
      }
    }
  }
}
