/** A look at a mailbox of which nothing changed costs no read; and whatever anybody changed, the very next look tells. */
import { lstatSync, readdirSync, renameSync, symlinkSync, unlinkSync, type Dirent } from 'node:fs'
import * as disk from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mailbox } from '@postern/core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { openMaildirStore, type Disk, type MaildirStore } from '../src/index.ts'
import { openLocalFile, type Caller, type OpenFile } from '../src/local-file.ts'
import { append, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

const ext4 = 0xef53
const nfs = 0x6969

/** A disk whose calls through threads are counted, on a file system of this type. */
function countingDisk(type: number, more: Partial<Disk> = {}): { readonly disk: Disk; calls: number } {
  const counting = { calls: 0, disk: disk as Disk }
  counting.disk = new Proxy<Disk>(
    { ...disk, lstatSync, statfs: async () => ({ type }), ...more },
    {
      get(target, key) {
        const member: unknown = Reflect.get(target, key)
        if (typeof member !== 'function' || key === 'statfs' || String(key).endsWith('Sync')) return member
        return (...args: unknown[]) => {
          counting.calls += 1
          return Reflect.apply(member, undefined, args) as unknown
        }
      },
    },
  )
  return counting
}

let opened: TestStore
const others: MaildirStore[] = []
beforeEach(async () => {
  opened = await openTestStore()
  for (const subject of ['one', 'two', 'three']) await append(opened.store, ann, 'INBOX', subject)
})
afterEach(async () => {
  for (const store of others.splice(0)) await store.close()
  await opened.end()
})

/** INBOX as another process sees it. */
async function elsewhere(of: Disk): Promise<Mailbox> {
  const store = openMaildirStore({ root: opened.root, hostname: 'other', disk: of })
  others.push(store)
  return value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
}

/** Looks until the times of all files are past, so that the look after it has nothing to read. */
async function settle(mailbox: Mailbox, counting: { calls: number }): Promise<void> {
  await vi.waitFor(
    async () => {
      counting.calls = 0
      await mailbox.refresh()
      expect(counting.calls).toBe(0)
    },
    { timeout: 20_000, interval: 5 },
  )
}

test('many sessions of a process that ask at once share a look: each is told, and one has the message as recent', async () => {
  const counting = countingDisk(nfs)
  const first = await elsewhere(counting.disk)
  const account = await others[0]!.openAccount(ann)
  const opening = Array.from({ length: 50 }, async () => value(await account.open('INBOX', 'read-write')))
  const sessions = [first, ...(await Promise.all(opening))]
  await append(opened.store, ann, 'INBOX', 'four')
  counting.calls = 0
  await first.refresh()
  const callsOfOne = counting.calls
  await Promise.all(sessions.map((session) => session.refresh()))

  await append(opened.store, ann, 'INBOX', 'five')
  counting.calls = 0
  const told = await Promise.all(sessions.map(async (session) => (await session.refresh()).arrived))
  expect(told.map((arrived) => arrived.length)).toEqual(sessions.map(() => 1))
  expect(counting.calls).toBeLessThanOrEqual(2 * callsOfOne)
  expect(sessions.filter((session) => session.recent().has(told[0]![0]!.uid))).toHaveLength(1)
})

test('a look that has begun is nobody else’s: who asks behind a change has it', async () => {
  // The first look has read the names in `new`, and is held; the change comes between the two.
  const seen = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  let mayHold = false
  const opendir = async (path: string, options: { readonly encoding: 'latin1' }): Promise<readonly Dirent[]> => {
    const names: Dirent[] = []
    for await (const entry of await disk.opendir(path, options)) names.push(entry)
    if (mayHold && path.endsWith('/new')) {
      mayHold = false
      seen.resolve()
      await held.promise
    }
    return names
  }
  const counting = countingDisk(nfs, { opendir: opendir as unknown as Disk['opendir'] })
  const first = await elsewhere(counting.disk)
  const second = value(await (await others[0]!.openAccount(ann)).open('INBOX', 'read-write'))
  // Names are read where the folder has changed since; on a machine that is slow the messages of the beginning are long past.
  const later = new Date(Date.now() + 60_000)
  await disk.utimes(join(opened.maildir, 'new'), later, later)
  mayHold = true
  const before = first.refresh()
  await seen.promise
  await append(opened.store, ann, 'INBOX', 'four')
  const behind = second.refresh()
  held.resolve()
  await before
  expect((await behind).arrived).toHaveLength(1)
})

describe('a look at a mailbox of which nothing changed', () => {
  test('waits for no call of the file system where it is local', async () => {
    const counting = countingDisk(ext4)
    const inbox = await elsewhere(counting.disk)
    await settle(inbox, counting)
    const { expunged, arrived, changed } = await inbox.refresh()
    expect([expunged, arrived, changed, counting.calls]).toEqual([[], [], [], 0])
  })

  test('opens the files each time where another machine may change them', async () => {
    const counting = countingDisk(nfs)
    const inbox = await elsewhere(counting.disk)
    for (let looks = 0; looks < 3; looks += 1) {
      counting.calls = 0
      await inbox.refresh()
      expect(counting.calls).toBeGreaterThan(4)
    }
  })

  test('after a change of our own is known as well, and the change is not told again', async () => {
    const counting = countingDisk(ext4)
    const inbox = await elsewhere(counting.disk)
    await settle(inbox, counting)
    const { uid } = inbox.records()[1]!
    value(await inbox.setFlags([uid], { op: 'add', flags: ['\\Flagged'] }))
    counting.calls = 0
    expect(await inbox.refresh()).toEqual({ arrived: [], expunged: [], changed: [] })
    expect(counting.calls).toBe(0)
  })
})

test('a mailbox that is changed again and again stays known, though its folder is read now and then', async () => {
  const opens: string[] = []
  const open: Disk['open'] = (path, ...args) => {
    opens.push(String(path))
    return disk.open(path, ...args)
  }
  const counting = countingDisk(ext4, { open })
  const store = openMaildirStore({ root: opened.root, disk: counting.disk, limits: { ownChangeRescanMs: 1 } })
  others.push(store)
  const inbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
  await settle(inbox, counting)
  const ofChanges: string[] = []
  const { uid } = inbox.records()[1]!
  for (let round = 0; round < 10; round += 1) {
    opens.length = 0
    value(await inbox.setFlags([uid], { op: round % 2 === 0 ? 'add' : 'remove', flags: ['\\Flagged'] }))
    ofChanges.push(...opens)
    // Until the folder has to be read again.
    await new Promise((resolve) => setTimeout(resolve, 2))
    await inbox.refresh()
  }
  // To write to the journal, and it stays open; no file is read.
  expect(ofChanges).toEqual([join(opened.maildir, 'postern-journal')])
})

test('a mailbox that takes in mail without a pause is not read whole for each message', async () => {
  let reads = 0
  const opendir: Disk['opendir'] = (path, ...args) => {
    if (String(path).endsWith('/cur')) reads += 1
    return disk.opendir(path, ...args)
  }
  const store = openMaildirStore({ root: opened.root, disk: { ...disk, opendir } })
  others.push(store)
  const inbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
  // No look comes so late that its tick of the clock is past.
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => void vi.useRealTimers())
  for (let round = 0; round < 20; round += 1) {
    await append(store, ann, 'INBOX', `mail ${round}`)
    expect((await inbox.refresh()).arrived).toHaveLength(1)
  }
  expect(reads).toBeLessThan(5)
})

test('a change of a flag waits for no thread where the file system is local, and whoever looks elsewhere is told', async () => {
  const counting = countingDisk(ext4, { renameSync, symlinkSync, unlinkSync, openLocalFile })
  const limits = { maxLoopWaitMs: Number.POSITIVE_INFINITY, inPlaceTurnMs: Number.POSITIVE_INFINITY }
  const store = openMaildirStore({ root: opened.root, disk: counting.disk, limits })
  others.push(store)
  const inbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
  await settle(inbox, counting)
  const { uid } = inbox.records()[1]!
  // This one opens the journal, which stays open.
  value(await inbox.setFlags([uid], { op: 'add', flags: ['\\Flagged'] }))
  let isTurned = false
  setImmediate(() => (isTurned = true))
  value(await inbox.setFlags([uid], { op: 'add', flags: ['\\Answered'] }))
  expect(isTurned).toBe(false)
  const there = await elsewhere(countingDisk(nfs).disk)
  expect(there.records().map(seen)).toEqual(inbox.records().map(seen))
})

/** A local disk on which everything may be made in place, and what goes through threads all the same. */
function threadsOf(): { readonly disk: Disk; readonly threads: string[]; locks: number } {
  const threads: string[] = []
  const told = (what: string, caller: Caller | undefined): Caller => {
    const direct: Caller = { call: (_, throughThread) => throughThread() }
    return {
      call: (onLoop, throughThread) =>
        (caller ?? direct).call(onLoop, () => {
          threads.push(what)
          return throughThread()
        }),
    }
  }
  const syncsTold = (file: OpenFile, path: string): OpenFile =>
    new Proxy(file, {
      get(target, key) {
        if (key === 'sync' || key === 'datasync') threads.push(`sync ${path}`)
        const member: unknown = Reflect.get(target, key, target)
        return typeof member === 'function' ? (member.bind(target) as unknown) : member
      },
    })
  const inPlace: Partial<Disk> = {
    lstatSync,
    readdirSync,
    renameSync,
    symlinkSync: (target, path) => {
      counted.locks += 1
      symlinkSync(target, path)
    },
    unlinkSync,
    statfs: async () => ({ type: ext4 }),
    openLocalFile: async (path, flags, mode, caller, reader) => {
      const name = String(path)
        .replace(/.*\/(?=tmp\/|new$|postern-)/, '')
        .replace(/\/.*/, '')
      const file = await openLocalFile(path, flags, mode, told(`write ${name}`, caller), told(`read ${name}`, reader))
      return syncsTold(file, name)
    },
  }
  const async = Object.entries(disk).filter(([, member]) => typeof member === 'function')
  const noted = async.map(([name, call]) => {
    const made = (...args: unknown[]): unknown => {
      threads.push(name)
      return Reflect.apply(call as () => unknown, disk, args)
    }
    return [name, made]
  })
  const counted = { threads, locks: 0, disk: { ...(Object.fromEntries(noted) as Disk), ...inPlace } }
  return counted
}

test('of an APPEND and the look behind it only the syncs go through threads, and the lock is taken twice', async () => {
  const told = threadsOf()
  const limits = { maxLoopWaitMs: Number.POSITIVE_INFINITY, inPlaceTurnMs: Number.POSITIVE_INFINITY }
  const store = openMaildirStore({ root: opened.root, disk: told.disk, limits })
  others.push(store)
  const inbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
  // The first ones open files for the first time, and beside them the mailbox is cleaned up.
  await vi.waitFor(
    async () => {
      told.threads.length = 0
      told.locks = 0
      await append(store, ann, 'INBOX', 'more')
      expect((await inbox.refresh()).arrived).toHaveLength(1)
      expect(told.threads).toEqual(['sync tmp', 'sync new', 'sync postern-uidlist'])
    },
    { timeout: 20_000, interval: 5 },
  )
  expect(told.locks).toBe(2)
  const there = await elsewhere(countingDisk(nfs).disk)
  expect(there.records().map(seen)).toEqual(inbox.records().map(seen))
})

test.each([
  ['one call', 4_096],
  ['pieces', 1],
])('the names of a folder are any bytes, read in %s', async (_, smallFolderBytes) => {
  const { disk: local } = threadsOf()
  const store = openMaildirStore({ root: opened.root, disk: local, limits: { smallFolderBytes } })
  others.push(store)
  const inbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
  const name = Buffer.concat([Buffer.from(join(opened.maildir, 'new/1.')), Buffer.from([0xe9, 0xff, 0x80])])
  await disk.writeFile(name, 'Subject: foreign\r\n\r\n')
  await disk.writeFile(join(opened.maildir, 'new/.hidden'), 'no message')
  const { arrived } = await inbox.refresh()
  expect(arrived).toHaveLength(1)
  const content = await inbox.content(arrived[0]!.uid)
  expect(content?.bytes).toBe(20)
  await content?.close()
})

const firstOf = async () => (await disk.readdir(join(opened.maildir, 'cur'))).sort()[0]

/**
 * Until a change gives `cur` a time that none of ours gave it: what another program changes in the same tick of the clock is
 * found when `cur` is read again (`ownChangeRescanMs`), and not by the very next look.
 */
async function behindOurTick(): Promise<void> {
  const clock = join(opened.maildir, 'clock')
  const { mtimeNs } = lstatSync(join(opened.maildir, 'cur'), { bigint: true })
  do await disk.writeFile(clock, '')
  while (lstatSync(clock, { bigint: true }).mtimeNs <= mtimeNs)
}

const seen = ({ uid, flags, modseq }: ReturnType<Mailbox['records']>[number]) => [uid, flags.toSorted(), modseq]

describe('a change of somebody else', () => {
  type Change = (here: Mailbox, at: number) => Promise<unknown>
  const changes: Readonly<Record<string, Change>> = {
    'a delivery': () => append(opened.store, ann, 'INBOX', 'more'),
    'a flag': async (here, at) => {
      const uids = here.records().map(({ uid }) => uid)
      const op = at % 2 === 0 ? 'add' : 'remove'
      if (uids.length > 0) value(await here.setFlags([uids[at % uids.length]!], { op, flags: ['\\Flagged'] }))
    },
    'a keyword': async (here, at) => {
      const [first] = here.records()
      if (first !== undefined) value(await here.setFlags([first.uid], { op: 'add', flags: [`keyword-${at % 4}`] }))
    },
    'an expunge': async (here) => {
      const [first] = here.records()
      if (first === undefined) return
      value(await here.setFlags([first.uid], { op: 'add', flags: ['\\Deleted'] }))
      value(await here.expunge([first.uid]))
    },
    'a flag of another program': async () => {
      const name = await firstOf()
      if (name === undefined) return
      const turned = name.endsWith('S') ? name.slice(0, -1) : `${name}S`
      await behindOurTick()
      await disk.rename(join(opened.maildir, 'cur', name), join(opened.maildir, 'cur', turned))
    },
    'a removal by another program': async () => {
      const name = await firstOf()
      if (name === undefined) return
      await behindOurTick()
      await disk.unlink(join(opened.maildir, 'cur', name))
    },
    'a delivery of another program': (_, at) =>
      disk.writeFile(join(opened.maildir, 'new', `1${at}.foreign`), 'Subject: foreign\r\n\r\n'),
  }

  test.each([
    ['local', () => countingDisk(ext4).disk],
    ['local, all of it in place', () => threadsOf().disk],
    ['remote', () => countingDisk(nfs).disk],
  ])('is told by the next look, whatever it is (%s)', async (_, diskThere) => {
    let named = 0
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...Object.keys(changes)), { maxLength: 6 }), async (names) => {
        const here = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-write'))
        const there = await elsewhere(diskThere())
        for (const name of names) {
          await changes[name]!(here, (named += 1))
          await there.refresh()
          await here.refresh()
          expect(there.records().map(seen)).toEqual(here.records().map(seen))
        }
        await here.close()
        await there.close()
      }),
      { numRuns: 12 },
    )
  })

  test('to the table of keywords, twice within one tick of the clock, is seen when the tick is past', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const here = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-write'))
    const there = await elsewhere(disk)
    const table = join(opened.maildir, 'dovecot-keywords')
    const uid = here.records()[0]!.uid
    value(await here.setFlags([uid], { op: 'add', flags: ['first'] }))
    const tick = new Date()
    await disk.utimes(table, tick, tick)
    await there.refresh()
    value(await here.setFlags([uid], { op: 'add', flags: ['second'] }))
    await disk.utimes(table, tick, tick)
    vi.setSystemTime(tick.getTime() + 60_000)
    await there.refresh()
    expect(there.records()[0]?.flags).toEqual(['first', 'second'])
  })

  test('to the table of keywords, made while we changed a flag under the lock, is seen by the next look', async () => {
    let isMeanwhile = false
    const counting = countingDisk(ext4, {
      rename: async (from, to) => {
        if (isMeanwhile) {
          await disk.writeFile(join(opened.maildir, 'foreign'), '0 $Theirs\n')
          await disk.rename(join(opened.maildir, 'foreign'), join(opened.maildir, 'dovecot-keywords'))
        }
        await disk.rename(from, to)
      },
    })
    const inbox = await elsewhere(counting.disk)
    await settle(inbox, counting)
    isMeanwhile = true
    value(await inbox.setFlags([inbox.records()[0]!.uid], { op: 'add', flags: ['\\Flagged'] }))
    await inbox.refresh()
    expect(inbox.keywords()).toContain('$Theirs')
  })

  test('is told though its header was written after we looked, in the same tick of the clock', async () => {
    // Without a letter in the name: such a keyword is told by the journal alone.
    const keywords = Array.from({ length: 27 }, (__, at) => `keyword-${at}`)
    const here = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-write'))
    const [first, second] = here.records().map(({ uid }) => uid)
    value(await here.setFlags([second!], { op: 'add', flags: keywords }))
    // Then the journal's time does not move, as within a tick of the clock.
    let isFrozen = false
    const stopped = BigInt(Date.now() + 60_000) * 1_000_000n
    const counting = countingDisk(ext4, {
      lstatSync: (path, options) => {
        const stats = lstatSync(path, options)
        if (isFrozen && String(path).endsWith('/postern-journal')) stats!.mtimeNs = stopped
        return stats
      },
    })
    const there = await elsewhere(counting.disk)
    await settle(there, counting)
    const asked = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const slow = await elsewhere({ ...disk, open: pausing(asked.resolve, goOn.promise) })
    isFrozen = true
    const changing = slow.setFlags([first!], { op: 'add', flags: ['keyword-26'] })
    await asked.promise
    // The record is there, and its header is not.
    await there.refresh()
    goOn.resolve()
    value(await changing)
    await there.refresh()
    expect(there.records()[0]?.flags).toEqual(['keyword-26'])
    expect(there.records()[0]?.modseq).toBe(slow.records()[0]?.modseq)
    await here.close()
  })
})

/** The journal's header is written only when `goOn` resolves. */
function pausing(onHeader: () => void, goOn: Promise<void>): Disk['open'] {
  return async (...args) => {
    const handle = await disk.open(...args)
    if (!String(args[0]).endsWith('/postern-journal')) return handle
    return new Proxy(handle, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key, target)
        if (key !== 'write') return typeof member === 'function' ? (member.bind(target) as unknown) : member
        return async (...write: unknown[]) => {
          if (write[3] === 0) {
            onHeader()
            await goOn
          }
          return (await Reflect.apply(member as FileHandle['write'], target, write)) as unknown
        }
      },
    })
  }
}
