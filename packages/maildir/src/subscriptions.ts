/*
 * The file `subscriptions` of an account: one mailbox a line, spelled as its folder is but without the first dot, as
 * Dovecot does (`INBOX`, `Archive.2026`). Replaced by rename under the account's lock. Lines that are no mailbox names
 * are not shown, and kept.
 */
import { readSmallFile, readSmallFileOrNothing, replaceFile } from './durable.ts'
import type { MaildirLimits } from './limits.ts'
import { mailboxNameOf, type MailboxName } from './names.ts'
import type { Disk } from './options.ts'

export const subscriptionsName = 'subscriptions'

export async function readSubscriptions(disk: Disk, maildir: string, limits: MaildirLimits): Promise<Set<string>> {
  const names = new Set<string>()
  const text = await readSmallFileOrNothing(disk, `${maildir}/${subscriptionsName}`, limits)
  for (const line of linesOf(text)) {
    const name = line === 'INBOX' ? 'INBOX' : mailboxNameOf(`.${line}`, limits)
    if (name !== undefined && names.size < limits.maxSubscriptions) names.add(name)
  }
  return names
}

/** False when there are as many as the limit allows. The account's lock is held. */
export async function changeSubscription(
  disk: Disk,
  maildir: string,
  mailbox: MailboxName,
  isSubscribed: boolean,
  limits: MaildirLimits,
): Promise<boolean> {
  const lines = linesOf(await readSmallFile(disk, `${maildir}/${subscriptionsName}`, limits))
  const line = mailbox.folder === '' ? 'INBOX' : mailbox.folder.slice(1)
  if (lines.includes(line) === isSubscribed) return true
  if (isSubscribed && lines.length >= limits.maxSubscriptions) return false
  const next = isSubscribed ? [...lines, line] : lines.filter((other) => other !== line)
  await replaceFile(disk, maildir, subscriptionsName, async (handle) => {
    await handle.writeFile(next.map((other) => `${other}\n`).join(''))
  })
  return true
}

const linesOf = (text: string | undefined): string[] => (text ?? '').split('\n').filter((line) => line !== '')
