/*
 * UIDVALIDITY values of one account: the file `postern-uidvalidity` holds the last one given. Each is larger than all
 * before it in the account, so a mailbox that is deleted and made again never shows an old one (RFC 9051 section
 * 2.3.1.1). Its lock is always the last one taken.
 */
import type { UidValidity } from '@postern/core'
import { readSmallFileOrNothing, replaceFile } from './durable.ts'
import { StoreError } from './errors.ts'
import type { MaildirLimits } from './limits.ts'
import type { LockFiles } from './lock.ts'
import type { Disk } from './options.ts'
import { maxUid, readUidListHeader } from './uidlist.ts'

const fileName = 'postern-uidvalidity'

/**
 * @param maildir - the account's Maildir, which is the folder of INBOX.
 * @param above - a value that this process knows to have been used, should the counter be lost too.
 */
export async function nextUidValidity(
  disk: Disk,
  locks: LockFiles,
  maildir: string,
  now: Date,
  limits: MaildirLimits,
  above = 0,
): Promise<UidValidity> {
  const lockPath = `${maildir}/${fileName}.lock`
  const lock = await locks.acquire(lockPath)
  try {
    const text = await readSmallFileOrNothing(disk, `${maildir}/${fileName}`, limits)
    const isKnown = text !== undefined && /^\d{1,10}\n$/.test(text)
    const last = Math.max(above, isKnown ? Number(text) : await largestInUse(disk, maildir, limits))
    // Seconds, as is the custom, until 2106; one more than the last when the clock is behind or the values are far ahead.
    const seconds = Math.floor(now.getTime() / 1000)
    const value = seconds > last && seconds <= maxUid ? seconds : last + 1
    if (value > maxUid) throw new StoreError('MAILDIR_UID_VALIDITY_SPENT', maildir)
    await replaceFile(disk, maildir, fileName, async (handle) => {
      await handle.writeFile(`${value}\n`)
    })
    return value as UidValidity
  } finally {
    await locks.release(lock, lockPath)
  }
}

/** When the counter is lost: nothing may be given that any mailbox still has. */
async function largestInUse(disk: Disk, maildir: string, limits: MaildirLimits): Promise<number> {
  let largest = (await readUidListHeader(disk, maildir))?.uidValidity ?? 0
  const folders = await disk.opendir(maildir, { bufferSize: limits.folderBufferEntries })
  for await (const entry of folders) {
    if (!entry.name.startsWith('.') || !entry.isDirectory()) continue
    const header = await readUidListHeader(disk, `${maildir}/${entry.name}`)
    largest = Math.max(largest, header?.uidValidity ?? 0)
  }
  return largest
}
