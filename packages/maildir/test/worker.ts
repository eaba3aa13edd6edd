/*
 * A process of its own over a shared root: `node --conditions=@postern/source worker.ts <root> <account> <task> <count> <mailbox>`.
 * Tells on standard output, a line each, what was acknowledged: `<uidValidity> <uid> <text>`. Each line is written
 * before the next message is begun.
 */
import { writeSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { lockName } from '../src/folder.ts'
import { openMaildirStore, type Disk } from '../src/index.ts'
import { LockFiles } from '../src/lock.ts'
import { limits } from '../src/limits.ts'

const [root = '', account = '', task = '', count = '0', boxName = 'INBOX'] = process.argv.slice(2)
const lockFile = join(root, account, 'Maildir', boxName === 'INBOX' ? '' : `.${boxName}`, lockName)

/** Called with a lock that is not free. */
let onBusy = (_path: string): void => undefined
const disk: Disk = {
  ...fs,
  symlink: async (target, path) => {
    await fs.symlink(target, path).catch((error: unknown) => {
      onBusy(String(path))
      throw error
    })
  },
}
// Four of them share a lock here, on a disk that others may use as well.
const store = openMaildirStore({
  root,
  hostname: 'worker',
  limits: { lockWaitMs: 60_000 },
  ...(task === 'move-once' ? { disk } : {}),
})

async function isThere(path: string): Promise<boolean> {
  return await fs.lstat(path).then(
    () => true,
    () => false,
  )
}

async function deliver(text: string, flags: readonly string[]): Promise<void> {
  const outcome = await store.deliver(account, 'INBOX', { flags })
  if (!outcome.ok) throw new Error(outcome.detail)
  const head = `Subject: ${text}\r\n\r\n`
  await outcome.value.write(Buffer.from(head))
  // More than one write, so that a kill finds messages half-written.
  await outcome.value.write(Buffer.from(`${text}\r\n`.repeat(8_000)))
  const committed = await outcome.value.commit()
  if (!committed.ok) throw new Error(committed.detail)
  writeSync(1, `${committed.value?.uidValidity ?? '-'} ${committed.value?.uid ?? '-'} ${text}\n`)
}

switch (task) {
  case 'deliver':
    for (let made = 0; made < Number(count); made++)
      await deliver(`${process.pid}-${made}`, made % 3 === 0 ? ['\\Seen'] : [])
    break
  case 'move': {
    const opened = await store.openAccount(account)
    for (let at = 0; at < Number(count); at++) {
      const [from, to] = at % 2 === 0 ? ['INBOX', 'Archive'] : ['Archive', 'INBOX']
      const mailbox = await opened.open(from, 'read-write')
      if (!mailbox.ok) throw new Error(mailbox.detail)
      const uids = mailbox.value.records().map(({ uid }) => uid)
      await mailbox.value.move(uids, to)
      await mailbox.value.close()
    }
    break
  }
  case 'move-once': {
    // All of INBOX, once somebody holds the lock of the mailbox. Tells when that is found not free.
    const opened = await store.openAccount(account)
    const inbox = await opened.open('INBOX', 'read-write')
    const target = await opened.open(boxName, 'read-only')
    if (!inbox.ok || !target.ok) throw new Error('no such mailbox')
    writeSync(1, 'opened\n')
    while (!(await isThere(lockFile))) await pause(1)
    onBusy = (path) => {
      if (path !== lockFile) return
      writeSync(1, 'waits\n')
      onBusy = () => undefined
    }
    const moved = await inbox.value.move(
      inbox.value.records().map(({ uid }) => uid),
      boxName,
    )
    writeSync(1, `moved ${moved.ok ? moved.value.from.length : moved.detail}\n`)
    break
  }
  case 'hold': {
    // Takes the mailbox's lock and dies with it.
    await new LockFiles(fs, limits, () => undefined).acquire(lockFile)
    writeSync(1, 'held\n')
    await pause(600_000)
    break
  }
  default:
    throw new Error(`no such task: ${task}`)
}
await store.close()
