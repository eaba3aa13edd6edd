/*
 * MOVE while others are at work: a message is in one mailbox at every moment, whoever looks and whoever moves it too
 * (RFC 6851 section 3.3).
 */
import * as fs from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mailbox, Uid, UidValidity } from '@postern/core'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openMaildirStore, type Disk, type MaildirStore } from '../src/index.ts'
import { lockName } from '../src/folder.ts'
import { limits as usualLimits } from '../src/limits.ts'
import { LockFiles } from '../src/lock.ts'
import { exclusiveOfBoth } from '../src/move.ts'
import { readUidList, writeUidList } from '../src/uidlist.ts'
import { append, textOf, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

// The disk of a busy machine is slow; no test waits for a time to pass.
vi.setConfig({ testTimeout: 120_000 })

const names = ['INBOX', 'Left', 'Right']
const subjects = ['one', 'two', 'three']

let opened: TestStore
const stores: MaildirStore[] = []

beforeEach(async () => {
  opened = await openTestStore({ disk: diskWith(async () => undefined) })
  const account = await opened.store.openAccount(ann)
  for (const name of ['Left', 'Right']) value(await account.create(name))
  for (const subject of subjects) await append(opened.store, ann, 'INBOX', subject, { flags: ['\\Flagged', 'kept'] })
})
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
  await opened.end()
})

/** The file system without its syncs, and with `before` called before every call. */
function diskWith(before: () => Promise<void>): Disk {
  const wrapped = (target: Disk | FileHandle, name: string | symbol): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (typeof member !== 'function') return member
    if (name === 'sync' || name === 'datasync') return before
    return async (...args: unknown[]) => {
      await before()
      const result: unknown = await Reflect.apply(member, target, args)
      return name === 'open' ? new Proxy<FileHandle>(result as FileHandle, { get: wrapped }) : result
    }
  }
  return new Proxy<Disk>(fs, { get: wrapped })
}

/** As `diskWith`; `tried` is called whenever the lock at `path` is tried. */
function diskTelling(path: string, tried: () => void): Disk {
  return new Proxy<Disk>(
    diskWith(async () => undefined),
    {
      get(target, name: keyof Disk) {
        if (name !== 'symlink') return Reflect.get(target, name, target) as unknown
        return async (owner: string, at: string) => {
          if (at === path) tried()
          await target.symlink(owner, at)
        }
      },
    },
  )
}

async function openBox(
  name: string,
  before: () => Promise<void> = async () => undefined,
  limits = {},
): Promise<Mailbox> {
  const store = openMaildirStore({ root: opened.root, hostname: `mx${stores.length}`, disk: diskWith(before), limits })
  stores.push(store)
  return value(await (await store.openAccount(ann)).open(name, 'read-write'))
}

/** Who holds a lock is not waited for: what comes then is refused, and that is no order that can be. */
const impatient = { lockWaitMs: 1, lockRetryMs: 1 }

/** Where each message is, by one who comes now; `undefined` when a lock keeps it from looking. */
async function places(limits = {}): Promise<readonly string[] | undefined> {
  const store = openMaildirStore({
    root: opened.root,
    hostname: 'looks',
    disk: diskWith(async () => undefined),
    limits,
  })
  const found: string[] = []
  try {
    const account = await store.openAccount(ann)
    for (const name of names) {
      const mailbox = await account.open(name, 'read-only')
      if (!mailbox.ok) return undefined
      for (const { uid, flags } of mailbox.value.records()) {
        const text = (await textOf(mailbox.value, uid)) ?? ''
        found.push(`${/^Subject: (\w+)/.exec(text)?.[1]} ${flags.toSorted().join(' ')}`)
      }
    }
    return found.toSorted()
  } finally {
    await store.close()
  }
}

const everyOnce = subjects.map((subject) => `${subject} \\Flagged kept`).toSorted()

test('whoever looks before any call of a MOVE finds each message in one mailbox', async () => {
  let calls = -1
  const looks: (readonly string[] | undefined)[] = []
  const inbox = await openBox('INBOX', async () => {
    if (calls < 0) return
    calls += 1
    looks.push(await places(impatient))
  })
  calls = 0
  const { from } = value(await inbox.move([1, 2, 3] as Uid[], 'Left'))
  calls = -1
  expect(from).toEqual([1, 2, 3])
  const told = looks.filter((look) => look !== undefined)
  expect(told.length).toBeGreaterThan(5)
  expect(told).toEqual(told.map(() => everyOnce))
})

test('two sessions that move the same messages, the one before any call of the other: each message is moved once', async () => {
  let calls = -1
  let at = 0
  let both: readonly Uid[] = []
  let theirs: readonly Uid[] = []
  const other = await openBox('INBOX', undefined, impatient)
  const inbox = await openBox('INBOX', async () => {
    if (calls < 0 || calls++ !== at) return
    const moved = await other.move(both, 'Right')
    if (moved.ok) theirs = moved.value.from
  })
  const everything = [...everyOnce]
  for (let isOver = false; !isOver; at += 1) {
    both = []
    for (const subject of [`first${at}`, `second${at}`]) {
      both = [...both, (await append(opened.store, ann, 'INBOX', subject)).uid]
      everything.push(`${subject} `)
    }
    await inbox.refresh()
    await other.refresh()
    theirs = []
    calls = 0
    const { from } = value(await inbox.move(both, 'Left'))
    isOver = calls <= at
    calls = -1
    expect([...theirs, ...from], `before call ${at}`).toEqual(both)
  }
  expect(at).toBeGreaterThan(10)
  expect(await places()).toEqual(everything.toSorted())
})

test('moves that cross each other do not wait for each other', async () => {
  const boxes = ['INBOX', 'Left', 'INBOX', 'Left'].map((name) => openBox(name, undefined, { lockWaitMs: 60_000 }))
  const [one, two, three, four] = await Promise.all(boxes)
  const ways = [
    [one, 'Left'],
    [two, 'INBOX'],
    [three, 'Left'],
    [four, 'INBOX'],
  ] as const
  const toldFrom: number[] = []
  for (let round = 0; round < 10; round++) {
    await Promise.all(
      ways.map(async ([box, target]) => {
        await box?.refresh()
        const moved = await box?.move(
          box.records().map(({ uid }) => uid),
          target,
        )
        if (moved?.ok === true) toldFrom.push(moved.value.from.length)
      }),
    )
  }
  // None was refused, as one that waits for a lock for too long is.
  expect(toldFrom).toHaveLength(40)
  expect(await places()).toEqual(everyOnce)
})

test.each([
  ['INBOX', 'Left', '.Left'],
  ['Left', 'INBOX', ''],
])('a MOVE from %s that waits for %s leaves the other free', async (from, to, held) => {
  const path = join(opened.maildir, held, lockName)
  const patient = { lockWaitMs: 600_000 }
  const { promise: waiting, resolve: waits } = Promise.withResolvers<void>()
  const mover = openMaildirStore({
    root: opened.root,
    hostname: 'mover',
    limits: patient,
    disk: diskTelling(path, waits),
  })
  stores.push(mover)
  const account = await mover.openAccount(ann)
  const box = value(await account.open(from, 'read-write'))
  const { uid } = await append(opened.store, ann, from, 'last')
  await box.refresh()
  // So that the first look at it is over.
  value(await account.open(to, 'read-only'))
  const locks = new LockFiles(fs, usualLimits, () => undefined)
  const lock = await locks.acquire(path)
  const moved = box.move([uid], to)
  await waiting
  // By another process, and by another session of this one.
  const other = openMaildirStore({ root: opened.root, hostname: 'other', limits: patient })
  stores.push(other)
  for (const store of [other, mover, other, mover]) await append(store, ann, from, 'meanwhile')
  await locks.release(lock, path)
  expect(value(await moved).from).toEqual([uid])
})

test('a MOVE that waited while the UID list was made anew takes no other message from the new list', async () => {
  const { promise: waiting, resolve: waits } = Promise.withResolvers<void>()
  let isLooking = true
  const path = join(opened.maildir, lockName)
  const disk = diskTelling(path, () => {
    if (!isLooking) waits()
  })
  const mover = openMaildirStore({ root: opened.root, hostname: 'mover', disk, limits: { lockWaitMs: 600_000 } })
  stores.push(mover)
  const inbox = value(await (await mover.openAccount(ann)).open('INBOX', 'read-write'))
  await inbox.refresh()
  isLooking = false
  const locks = new LockFiles(fs, usualLimits, () => undefined)
  const lock = await locks.acquire(path)
  const moved = inbox.move([1] as Uid[], 'Left')
  await waiting
  const list = await readUidList(fs, opened.maildir, undefined, usualLimits)
  if (list.status !== 'read') throw new Error(list.status)
  const lines = list.entries.filter((entry) => typeof entry !== 'number')
  // As one that died before it could make the journal anew; it met the files in another order.
  const uidValidity = (inbox.uidValidity + 1) as UidValidity
  const renumbered = lines.map((line) => ({ ...line, uid: (lines.length + 1 - line.uid) as Uid })).toReversed()
  await writeUidList(fs, opened.maildir, { uidValidity, uidNext: 4 as Uid }, renumbered, usualLimits)
  await locks.release(lock, path)
  await moved
  const now = await openBox('INBOX')
  expect(now.uidValidity).toBe(uidValidity)
  const left = now.records().map(({ uid }) => uid)
  expect(await Promise.all(left.map((uid) => textOf(now, uid)))).toEqual([
    expect.stringContaining('Subject: three'),
    expect.stringContaining('Subject: two'),
  ])
  expect(left).toEqual([1, 2])
})

test('two mailboxes that are never free together are waited for, INBOX last', async () => {
  const begun: string[] = []
  const boxes = ['Maildir', 'Maildir/.Left'].map((path) => ({
    place: { path, account: ann, mailbox: path, maildir: 'Maildir' },
    exclusive: async <T>(work: () => Promise<T>) => {
      begun.push(path)
      return work()
    },
    exclusiveAtOnce: async () => undefined,
  }))
  const [inbox, left] = boxes
  for (const both of [
    [inbox!, left!],
    [left!, inbox!],
  ] as const) {
    begun.length = 0
    expect(await exclusiveOfBoth(both, { lockPairTries: 3 }, async () => 'done')).toBe('done')
    // Three tries, and then the one within the other.
    expect(begun).toEqual(['Maildir/.Left', 'Maildir', 'Maildir/.Left', 'Maildir/.Left', 'Maildir'])
  }
})

test('a large mailbox is not read again since a message was moved out of it', async () => {
  const reads: string[] = []
  const root = opened.root
  const disk = new Proxy<Disk>(fs, {
    get(target, name: keyof Disk) {
      const member: unknown = Reflect.get(target, name, target)
      if (name !== 'opendir') return member
      return (...args: Parameters<Disk['opendir']>) => {
        reads.push(String(args[0]))
        return target.opendir(...args)
      }
    },
  })
  // So that no look is too close to a change before it.
  const limits = { dirtyWindowMs: -1, coarseDirtyWindowMs: -1, ownChangeRescanMs: 3_600_000 }
  const store = openMaildirStore({ root, hostname: 'counts', disk, limits })
  stores.push(store)
  const inbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
  await inbox.refresh()
  reads.length = 0
  expect(value(await inbox.move([1] as Uid[], 'Left')).from).toEqual([1])
  // Of messages that are gone nothing is written.
  expect(value(await inbox.move([1] as Uid[], 'Left')).from).toEqual([])
  expect(await inbox.refresh()).toEqual({ arrived: [], expunged: [], changed: [] })
  expect(reads.filter((path) => path.endsWith('/Maildir/cur'))).toEqual([])
  expect(await places()).toEqual(everyOnce)
})

test('a mailbox is looked at as often, however many messages come into it or leave it', async () => {
  const reads: string[] = []
  const unsynced = diskWith(async () => undefined)
  const disk = new Proxy<Disk>(unsynced, {
    get(target, name: keyof Disk) {
      if (name !== 'opendir') return Reflect.get(target, name, target) as unknown
      return (...args: Parameters<Disk['opendir']>) => {
        reads.push(String(args[0]))
        return target.opendir(...args)
      }
    },
  })
  const store = openMaildirStore({ root: opened.root, hostname: 'counts', disk, limits: { messagesPerLock: 1 } })
  stores.push(store)
  const inbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
  expect(value(await inbox.move([1, 2, 3] as Uid[], 'Left')).from).toEqual([1, 2, 3])
  expect(reads.filter((path) => path.endsWith('/.Left/new'))).toHaveLength(1)
  expect(await places()).toEqual(everyOnce)
  // And as often, however many leave it that no session has taken yet.
  for (const subject of ['four', 'five', 'six', 'seven']) await append(opened.store, ann, 'INBOX', subject)
  reads.length = 0
  value(await (await store.openAccount(ann)).rename('INBOX', 'Old'))
  // One look to find them, and one before they are moved: not one for each.
  expect(reads.filter((path) => path.endsWith('/Maildir/new')).length).toBeLessThanOrEqual(2)
})
