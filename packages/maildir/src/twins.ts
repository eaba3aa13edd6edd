/*
 * One base name, two names: mostly a rename that was met half-way; else one file with two names, or two messages.
 */
import { isErrno } from './errors.ts'
import { baseOf, flaggedName, lettersOf } from './filename.ts'
import type { Look } from './look.ts'
import type { MailboxParts } from './mailbox-parts.ts'
import { pathOfFile, type FoundFile } from './measure.ts'

export async function resolveTwins(look: Look, mailbox: MailboxParts): Promise<void> {
  const doubles: FoundFile[] = []
  for (const twin of look.twins) {
    if (!(await isRename(twin, look, mailbox))) doubles.push(twin)
  }
  if (doubles.length === 0) return
  const { place, subFolders, locked } = mailbox
  await locked(async () => {
    for (const twin of doubles) {
      if (await isRename(twin, look, mailbox)) continue
      // Both names at one moment, as far as can be seen: the first, the twin, the first again.
      const isThere = (await subFolders.stat(pathOfFile(place, twin))) !== undefined
      if (isThere && !(await isRename(twin, look, mailbox))) await separate(twin, mailbox)
    }
  })
  subFolders.forgetTimes()
}

/** The name we knew is gone, so the other one is the message's. */
async function isRename(twin: FoundFile, look: Look, { place, known, subFolders }: MailboxParts): Promise<boolean> {
  const message = known.byBase.get(baseOf(twin.name))
  const first = message === undefined ? look.fresh.get(baseOf(twin.name)) : { name: message.file, isNew: message.isNew }
  // A folder that changes while it is read may show the same name twice.
  if (first?.name === twin.name && first.isNew === twin.isNew) return true
  if (first === undefined || (await subFolders.stat(pathOfFile(place, first))) !== undefined) return false
  const messageNow = known.byBase.get(baseOf(twin.name))
  if (messageNow === undefined) look.fresh.set(baseOf(twin.name), twin)
  else known.note(messageNow, twin)
  return true
}

/**
 * The message that we knew keeps the base name and its UID; the twin is given its own at the next sync. Nothing is
 * unlinked, not even a second name of one file: with a foreign rename in between it might be the last name.
 */
async function separate(twin: FoundFile, { place, context }: MailboxParts): Promise<void> {
  const name = flaggedName(context.names.next(), lettersOf(twin.name))
  try {
    await context.disk.rename(pathOfFile(place, twin), pathOfFile(place, { name, isNew: twin.isNew }))
    context.report({ kind: 'duplicate-name', account: place.account, mailbox: place.mailbox, detail: twin.name })
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
}
