import type { Uid } from '@postern/core'
import { isErrno } from './errors.ts'
import { flaggedName } from './filename.ts'
import type { MailboxParts } from './mailbox-parts.ts'
import { pathOfFile } from './measure.ts'
import type { StoredMessage } from './message.ts'

/**
 * Moves what is in `new` to `cur`; what this process moved, nobody saw before (RFC 3501 section 2.3.2).
 *
 * @param record - records what was moved, under the same lock.
 */
export async function claimNew(
  mailbox: MailboxParts,
  record: (moved: ReadonlySet<Uid>) => Promise<void>,
): Promise<readonly Uid[]> {
  const { context, known, subFolders, locked } = mailbox
  if (known.inNew.size > 0) await known.index()
  const arrived = [...known.inNew]
  const claimed: Uid[] = []
  const { messagesPerLock } = context.limits
  for (let from = 0; from < arrived.length; from += messagesPerLock) {
    await locked(() =>
      subFolders.changingCur(async () => {
        const moved = new Set<Uid>()
        for (const base of arrived.slice(from, from + messagesPerLock)) {
          // As it is known now: to record those before may have told more of it.
          const message = known.byBase.get(base)
          if (message?.isNew === true && (await moveToCur(message, mailbox))) moved.add(message.uid)
        }
        claimed.push(...moved)
        if (moved.size > 0) await record(moved)
      }),
    )
  }
  return claimed
}

async function moveToCur(message: StoredMessage, { place, known, subFolders }: MailboxParts): Promise<boolean> {
  const name = flaggedName(message.base, message.letters)
  const target = pathOfFile(place, { name, isNew: false })
  // A rename would destroy another file of that name: the twins are told apart at the next sync.
  if ((await subFolders.statKnown(target)) !== undefined) {
    subFolders.forgetTimes()
    return false
  }
  try {
    await subFolders.changes.rename(pathOfFile(place, { name: message.file, isNew: true }), target)
  } catch (error) {
    // Another process was first, or the disk is full: then it stays in `new` for now.
    if (isErrno(error, 'ENOENT')) subFolders.forgetTimes()
    else if (!isErrno(error, 'ENOSPC', 'EDQUOT', 'EROFS', 'ENAMETOOLONG')) throw error
    return false
  }
  known.note(message, { name, isNew: false })
  return true
}
