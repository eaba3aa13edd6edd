/*
 * A process that dies in the middle of its work:
 * `node --conditions=@postern/source crash-worker.ts <root> <account> <n> <threads|in-place>`.
 * It goes through every kind of change once, and is killed before its n-th call of the file system, so that the rounds
 * 1, 2, 3, … cover each of them. What was answered is told on standard output before the next thing is begun.
 */
import { lstatSync, readdirSync, renameSync, symlinkSync, unlinkSync, writeSync } from 'node:fs'
import * as disk from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Flag, Mailbox, StoreOutcome, Uid } from '@postern/core'
import { openMaildirStore, type Disk, type OpenFile } from '../src/index.ts'
import { openLocalFile } from '../src/local-file.ts'

const [root = '', account = '', fatal = '0', how = 'threads'] = process.argv.slice(2)
let calls = 0

function count(): void {
  calls += 1
  if (calls === Number(fatal)) process.kill(process.pid, 'SIGKILL')
}

/** What reads nothing and changes nothing is no place to die at that the calls around it are not too. */
const quiet = new Set(['close', 'stat', 'lstat', 'readlink', 'realpath', 'fd'])

function counted<T extends object>(target: T): T {
  return new Proxy(target, {
    get(owner, key) {
      const member: unknown = Reflect.get(owner, key, owner)
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        if (!quiet.has(String(key))) count()
        const result: unknown = await Reflect.apply(member, owner, args)
        return key === 'open' ? counted(result as FileHandle) : result
      }
    },
  })
}

function value<T>(outcome: StoreOutcome<T>): T {
  if (outcome.ok) return outcome.value
  throw new Error(`${outcome.refusal}: ${outcome.detail}`)
}

function tell(fact: Record<string, unknown>): void {
  writeSync(1, `${JSON.stringify(fact, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each))}\n`)
}

/** A change on the event loop. */
const countedChange =
  <Given extends unknown[]>(call: (...given: Given) => void) =>
  (...given: Given): void => {
    count()
    call(...given)
  }

/** Whatever may be asked and changed in place is, on any file system. */
const localDisk: Disk = {
  ...counted(disk),
  statfs: async () => ({ type: 0xef53 }),
  lstatSync,
  readdirSync,
  renameSync: countedChange(renameSync),
  symlinkSync: countedChange(symlinkSync),
  unlinkSync: countedChange(unlinkSync),
  openLocalFile: async (...given): Promise<OpenFile> => {
    count()
    return counted(await openLocalFile(...given))
  },
}

const store = openMaildirStore({
  root,
  hostname: 'crash',
  disk: how === 'threads' ? (counted(disk) as Disk) : localDisk,
  limits: {
    // Both files are written anew several times within one round, and no change of several messages in one piece.
    minDeadLines: 6,
    maxExpungedLog: 50,
    namesPerTurn: 1,
    // After the first look and at the end, beside all the rest, a snapshot is written.
    minSnapshotMessages: 1,
    snapshotDelayMs: 0,
    snapshotPauseMs: 0,
    // However slow the machine is.
    maxLoopWaitMs: Number.POSITIVE_INFINITY,
    inPlaceTurnMs: Number.POSITIVE_INFINITY,
  },
})
const owner = await store.openAccount(account)

async function deliver(mailbox: string, subject: string, flags: readonly Flag[]): Promise<void> {
  const writer = value(await store.deliver(account, mailbox, { flags }))
  await writer.write(Buffer.from(`Subject: ${subject}\r\n\r\n`))
  await writer.write(Buffer.from(`${subject}\r\n`.repeat(100)))
  const placed = value(await writer.commit())
  tell({ did: 'deliver', mailbox, subject, flags, uid: placed?.uid })
}

async function change(inbox: Mailbox, uids: readonly number[], op: 'add' | 'remove', flags: readonly Flag[]) {
  const { messages } = value(await inbox.setFlags(uids as Uid[], { op, flags }))
  tell({ did: op, uids: messages.map(({ uid }) => uid), flags, modseq: messages[0]?.modseq })
}

const inbox = value(await owner.open('INBOX', 'read-write'))
tell({ did: 'open', highest: inbox.highestModseq?.() })
await deliver('INBOX', 'plain', [])
await deliver('INBOX', 'flagged', ['\\Seen', '\\Flagged'])
await deliver(
  'INBOX',
  'keywords',
  Array.from({ length: 30 }, (_, number) => `k${number}`),
)
await inbox.refresh()
await change(inbox, [1, 2], 'add', ['\\Flagged'])
await change(inbox, [3, 4], 'add', ['k29', 'k3'])
const copied = value(await inbox.copy([1, 2] as Uid[], 'Archive'))
tell({ did: 'copy', from: copied.from, to: copied.to })
const moved = value(await inbox.move([4] as Uid[], 'Archive'))
tell({ did: 'move', from: moved.from, to: moved.to })
await change(inbox, [5, 6], 'add', ['\\Deleted'])
const before = inbox.highestModseq?.()
tell({ did: 'expunge', uids: value(await inbox.expunge()), before })
for (let round = 0; round < 8; round++) await change(inbox, [2], round % 2 === 0 ? 'add' : 'remove', ['\\Draft', 'k28'])
await inbox.refresh()
for (const name of ['one', 'two', 'three']) {
  await deliver('INBOX', name, ['\\Deleted'])
  await inbox.refresh()
  tell({ did: 'expunge', uids: value(await inbox.expunge()), before: inbox.highestModseq?.() })
}
value(await owner.create('Made'))
tell({ did: 'create' })
value(await owner.rename('Made', 'Renamed'))
tell({ did: 'rename' })
await inbox.refresh()
tell({ did: 'end', calls, highest: inbox.highestModseq?.() })
await store.close()
