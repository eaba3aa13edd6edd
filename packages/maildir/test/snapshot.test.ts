/* A process that opens a mailbox with a snapshot of it knows what one knows that looks at all of it, or ignores the snapshot. */
import { execFileSync } from 'node:child_process'
import { lstatSync } from 'node:fs'
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Mailbox, Uid } from '@postern/core'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { baseOf, flaggedName, lettersOf } from '../src/filename.ts'
import { openMaildirStore, type Disk, type MaildirStore, type MaildirStoreOptions } from '../src/index.ts'
import { Keywords } from '../src/keywords.ts'
import { limits } from '../src/limits.ts'
import { openLocalFile, type FileOpener, type OpenFile } from '../src/local-file.ts'
import { StoredMessage } from '../src/message.ts'
import { encodeHeader, SnapshotFile, snapshotName, writeSnapshot, type SnapshotHeader } from '../src/snapshot.ts'
import { append, message, value } from './conformance.ts'
import { ann, filesBelow, openTestStore, snapshotsAtOnce, type TestStore } from './kit.ts'

// The disk of a busy machine is slow; no test waits for a time to pass but for that of a folder to be past.
vi.setConfig({ testTimeout: 120_000 })

let opened: TestStore
const others: MaildirStore[] = []
afterEach(async () => {
  for (const store of others.splice(0)) await store.close()
})

/** Each test has a mailbox of its own. */
function eachItsOwn(): void {
  beforeEach(async () => {
    opened = await openTestStore()
    await fill()
  })
  afterEach(() => opened.end())
}

const at = (...names: string[]) => join(opened.maildir, ...names)
const file = () => at(snapshotName)
/** Where a snapshot is written before it is in place. */
const isInTmp = (path: unknown) => /\/(?:Maildir|\.Box)\/tmp\//.test(String(path))
const isThere = () =>
  disk.access(file()).then(
    () => true,
    () => false,
  )

/** A local disk that notes which folders are read. */
function watchedDisk(more: Partial<Disk> = {}): { readonly disk: Disk; readonly folders: string[] } {
  const folders: string[] = []
  const opendir = (async (path: string, ...rest: []) => {
    folders.push(path.slice(path.lastIndexOf('/') + 1))
    return disk.opendir(path, ...rest)
  }) as unknown as Disk['opendir']
  return {
    disk: { ...disk, opendir, lstatSync, openLocalFile, statfs: async () => ({ type: 0xef53 }), ...more },
    folders,
  }
}

/** Another process over the same root. */
function another(options: Partial<MaildirStoreOptions> = {}): MaildirStore {
  const store = openMaildirStore({ root: opened.root, hostname: 'other', ...options })
  others.push(store)
  return store
}

const select = async (store: MaildirStore, name = 'INBOX', mode: 'read-write' | 'read-only' = 'read-write') =>
  value(await (await store.openAccount(ann)).open(name, mode))

/** A process that opens the mailbox and ends: what it knew by then is in the snapshot. */
async function leaveSnapshot(mode: 'read-write' | 'read-only' = 'read-write', name = 'INBOX'): Promise<void> {
  // No clock of a file system ticks more slowly than every ten milliseconds.
  const bounds = { ...snapshotsAtOnce, snapshotDelayMs: 600_000, dirtyWindowMs: 15 }
  const store = another({ limits: bounds, disk: watchedDisk().disk })
  await (await select(store, name, mode)).close()
  await store.close()
}

/** Likewise, when the times of both folders are past. */
async function leaveSettled(mode: 'read-write' | 'read-only' = 'read-write', folder = '.'): Promise<void> {
  await vi.waitFor(
    async () => {
      await leaveSnapshot(mode, folder === '.' ? 'INBOX' : folder.slice(1))
      expect(await disk.readFile(at(folder, snapshotName), 'latin1')).toMatch(/^[^\n]+ N[0-9a-f.]{50} C[0-9a-f.]{50} /)
    },
    { timeout: 30_000, interval: 5 },
  )
}

const shown = (mailbox: Mailbox) => ({
  messages: mailbox.records().map((each) => ({
    uid: each.uid,
    flags: each.flags.toSorted(),
    modseq: each.modseq,
    bytes: each.bytes,
    date: each.internalDate.getTime(),
    email: each.emailId,
  })),
  uidValidity: mailbox.uidValidity,
  uidNext: mailbox.uidNext(),
  keywords: mailbox.keywords().toSorted(),
  highest: mailbox.highestModseq?.(),
})

/** What a process shows that begins with the snapshot, when there is one, and which folders it read. */
async function openWith(
  mode: 'read-write' | 'read-only' = 'read-write',
): Promise<{ readonly shown: ReturnType<typeof shown>; readonly folders: readonly string[] }> {
  const { disk: watched, folders } = watchedDisk()
  const store = another({ disk: watched })
  const mailbox = await select(store, 'INBOX', mode)
  const read = folders.filter((name) => name === 'cur' || name === 'new')
  const seen = shown(mailbox)
  await mailbox.close()
  await store.close()
  return { shown: seen, folders: read }
}

/** What one shows that reads no snapshot. */
async function openWithout(): Promise<ReturnType<typeof shown>> {
  const store = another({ limits: { maxSnapshotBytes: 0 } })
  const mailbox = await select(store)
  const seen = shown(mailbox)
  await mailbox.close()
  await store.close()
  return seen
}

async function fill(): Promise<void> {
  for (const subject of ['one', 'two', 'three']) await append(opened.store, ann, 'INBOX', subject)
  const inbox = await select(opened.store)
  // With a letter each, and without.
  const many = Array.from({ length: 30 }, (_, number) => `k${number}`)
  value(await inbox.setFlags([1 as Uid, 2 as Uid], { op: 'add', flags: ['plain', ...many] }))
  await inbox.close()
}

describe('a mailbox as it was', () => {
  eachItsOwn()

  test('is opened without a folder being read, and is the same', async () => {
    await leaveSettled()
    const found = await openWith()
    expect(found.folders).toEqual([])
    expect(found.shown).toEqual(await openWithout())
  })

  test('is so with an empty message too', async () => {
    value(await value(await opened.store.deliver(ann, 'INBOX', { flags: [] })).commit())
    await leaveSettled('read-only')
    const found = await openWith('read-only')
    expect(found.shown.messages.map(({ bytes }) => bytes)).toContain(0)
    expect(found.folders).toEqual([])
    expect(found.shown).toEqual(await openWithout())
  })

  test('can be changed from there', async () => {
    await leaveSettled()
    const store = another(watchedDisk())
    const inbox = await select(store)
    const [first, second, third] = inbox.records().map(({ uid }) => uid)
    value(await inbox.setFlags([first!, second!], { op: 'add', flags: ['\\Deleted', '\\Flagged'] }))
    value(await inbox.setFlags([third!], { op: 'remove', flags: ['k1'] }))
    expect(value(await inbox.expunge([first!]))).toEqual([first])
    await append(store, ann, 'INBOX', 'four')
    expect((await inbox.refresh()).arrived).toHaveLength(1)
    expect(shown(inbox)).toEqual(await openWithout())
  })

  test('with mail that nobody took yet: the next session takes it, and is the first to see it', async () => {
    await append(opened.store, ann, 'INBOX', 'new')
    await leaveSettled('read-only')
    const { disk: watched, folders } = watchedDisk()
    const inbox = await select(another({ disk: watched }))
    expect(folders.filter((name) => name === 'new' || name === 'cur')).toEqual([])
    expect([...inbox.recent()]).toEqual([4])
    expect(await disk.readdir(at('new'))).toEqual([])
    expect(shown(inbox)).toEqual(await openWithout())
  })

  test('stays known under another name', async () => {
    const account = await opened.store.openAccount(ann)
    value(await account.create('Old'))
    await append(opened.store, ann, 'Old', 'one')
    await leaveSettled('read-write', '.Old')
    value(await account.rename('Old', 'New'))
    const { disk: watched, folders } = watchedDisk()
    const mailbox = await select(another({ disk: watched }), 'New')
    expect(folders.filter((name) => name === 'new' || name === 'cur')).toEqual([])
    expect(mailbox.records()).toHaveLength(1)
  })
})

describe('a mailbox that was changed since', () => {
  eachItsOwn()

  test.each<[string, () => Promise<unknown>]>([
    ['a delivery', () => append(opened.store, ann, 'INBOX', 'later')],
    [
      'flags, by another process',
      async () => {
        const inbox = await select(opened.store)
        value(await inbox.setFlags([1 as Uid], { op: 'replace', flags: ['\\Answered', 'other'] }))
      },
    ],
    [
      'an expunge, by another process',
      async () => {
        const inbox = await select(opened.store)
        value(await inbox.setFlags([2 as Uid], { op: 'add', flags: ['\\Deleted'] }))
        value(await inbox.expunge())
      },
    ],
    ['a file of another program', () => disk.writeFile(at('cur', '17.foreign:2,F'), message('foreign'))],
    [
      'a file that another program put there, setting the folder back to the time it had',
      async () => {
        // To the nanosecond, which `utimes` of Node does not.
        execFileSync('touch', ['-r', at('cur'), at('tmp', 'as-it-was')])
        await disk.writeFile(at('cur', '17.foreign:2,F'), message('foreign'))
        execFileSync('touch', ['-r', at('tmp', 'as-it-was'), at('cur')])
      },
    ],
    [
      'a table of keywords that another program wrote',
      async () => {
        const table = await disk.readFile(at('dovecot-keywords'), 'utf8')
        await disk.writeFile(at('dovecot-keywords'), table.replace('plain', 'foreign'))
      },
    ],
    ['its journal was lost', () => disk.rm(at('postern-journal'))],
    [
      'its UID list was written anew without lines of the dead',
      async () => {
        const store = another({ limits: { minDeadLines: 0 } })
        const inbox = await select(store)
        value(await inbox.setFlags([2 as Uid], { op: 'add', flags: ['\\Deleted'] }))
        value(await inbox.expunge())
        await inbox.refresh()
      },
    ],
    [
      'a copy of it took its place',
      async () => {
        await disk.cp(at(), at('..', 'copy'), { recursive: true })
        await disk.rm(at(), { recursive: true })
        await disk.rename(at('..', 'copy'), at())
      },
    ],
  ])('%s: the process that begins with the snapshot finds it at its first look', async (_what, change) => {
    await leaveSettled()
    await change()
    // First, so that it finds all of it by itself: the other one would record it.
    const found = await openWith()
    expect(found.shown).toEqual(await openWithout())
  })

  test('a UID list that was lost gives another UIDVALIDITY, and nothing of the snapshot stays', async () => {
    await leaveSettled()
    const before = await openWith()
    await disk.rm(at('postern-uidlist'))
    const found = await openWith()
    expect(found.shown.uidValidity).toBeGreaterThan(before.shown.uidValidity)
    expect(found.shown).toEqual(await openWithout())
  })
})

type Step = readonly [
  kind: 'append' | 'flag' | 'expunge' | 'put' | 'rename' | 'unlink' | 'snapshot' | 'settle' | 'compare',
  salt: number,
]

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom(
    'append',
    'append',
    'flag',
    'flag',
    'expunge',
    'put',
    'rename',
    'unlink',
    'snapshot',
    'settle',
    'compare',
  ),
  fc.nat({ max: 1_000 }),
)

test('whatever was changed after the snapshot, also by other programs: with it and without it is the same', async () => {
  let unread = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 14 }), async (steps) => {
      opened = await openTestStore()
      const inbox = await select(opened.store)
      const compare = async () => {
        const found = await openWith()
        if (found.folders.length === 0) unread += 1
        expect(found.shown).toEqual(await openWithout())
        await inbox.refresh()
        expect(shown(inbox)).toEqual(found.shown)
      }
      let count = 0
      for (const [kind, salt] of [...steps, ['settle', 0] as const, ['compare', 0] as const]) {
        count += 1
        const names = (await disk.readdir(at('cur'))).toSorted()
        const name = names[salt % Math.max(1, names.length)]
        const uid = inbox.records()[salt % Math.max(1, inbox.records().length)]?.uid
        if (kind === 'append') await append(opened.store, ann, 'INBOX', `m${count}`)
        else if (kind === 'put') await disk.writeFile(at('cur', `${salt}.foreign${count}:2,S`), message('foreign'))
        else if (kind === 'snapshot') await leaveSnapshot()
        else if (kind === 'settle' && names.length > 0) await leaveSettled()
        else if (kind === 'compare') await compare()
        else if (kind === 'unlink' && name !== undefined) await disk.unlink(at('cur', name))
        else if (kind === 'rename' && name !== undefined) {
          const letters = lettersOf(name).includes('F') ? 'S' : 'F'
          await disk.rename(at('cur', name), at('cur', flaggedName(baseOf(name), letters)))
        } else if (kind === 'flag' && uid !== undefined) {
          const flags = salt % 2 === 0 ? ['\\Flagged'] : [`keyword${salt % 40}`]
          value(await inbox.setFlags([uid], { op: salt % 3 === 0 ? 'remove' : 'add', flags }))
        } else if (kind === 'expunge' && uid !== undefined) {
          value(await inbox.setFlags([uid], { op: 'add', flags: ['\\Deleted'] }))
          value(await inbox.expunge([uid]))
        }
        // What is done is not always known here, and the snapshot is of a process that found it.
        if (salt % 4 > 0) await inbox.refresh()
      }
      for (const store of others.splice(0)) await store.close()
      await opened.end()
    }),
    { numRuns: Number(process.env['POSTERN_MODEL_RUNS'] ?? 6) },
  )
  // Of the last comparisons, behind a settled snapshot, all but those of an empty mailbox.
  expect(unread).toBeGreaterThan(0)
})

/** What is in the snapshot; its messages are `undefined` when they are not to be believed. */
const open = async (most = limits, files: FileOpener = { open: openLocalFile }) => {
  const found = await SnapshotFile.open(files, opened.maildir, most)
  try {
    return found && { header: found.header, messages: await found.read(new Keywords(), most) }
  } finally {
    await found?.close()
  }
}

/** Room for the few messages of these tests, so that it is quickly had thousands of times. */
const small = { ...limits, namesPerTurn: 4 }

/** A file of these octets, whatever is on the disk. */
const holding = (octets: Buffer): FileOpener => ({
  open: async () => {
    const stub: Partial<OpenFile> = {
      stat: async () => ({ size: octets.length, atime: new Date(), mtime: new Date(), isFile: () => true }),
      read: async (buffer, offset, length, position) => ({
        bytesRead: octets.copy(buffer, offset, position, position + length),
      }),
      close: () => Promise.resolve(),
    }
    return stub as OpenFile
  },
})

const header = async (): Promise<SnapshotHeader> => (await open())!.header

/** With another header, and everything that follows from it. */
async function rewriteHeader(to: SnapshotHeader): Promise<void> {
  const messages = (await open())?.messages ?? []
  await writeSnapshot(disk, opened.maildir, 'crafted', { header: to, messages }, limits)
}

/** With a last message that no process of ours wrote. */
async function craft(line: Partial<StoredMessage>, name = 'x:2,'): Promise<void> {
  const { header: known, messages = [] } = (await open())!
  const last = messages.at(-1)!
  const { uid, bytes, rawBytes, dateMs } = last
  const crafted = new StoredMessage({ uid, bytes, rawBytes, dateMs, ...line }, name, false, last.state, new Keywords())
  const all = { header: known, messages: [...messages.slice(0, -1), crafted] }
  await writeSnapshot(disk, opened.maildir, 'crafted', all, limits)
}

describe('a snapshot that is not to be believed', () => {
  let whole: Buffer
  // None of these tests changes the mailbox, but for the snapshot.
  beforeAll(async () => {
    opened = await openTestStore()
    await fill()
    await leaveSettled()
    whole = await disk.readFile(file())
  })
  beforeEach(async () => {
    await disk.rm(file(), { recursive: true, force: true })
    await disk.writeFile(file(), whole)
  })
  afterAll(() => opened.end())

  test('cut off at any octet it tells nothing', async () => {
    expect((await open(small, holding(whole)))?.messages).toHaveLength(3)
    for (let length = 0; length < whole.length; length += 1) {
      expect((await open(small, holding(whole.subarray(0, length))))?.messages, `cut at ${length}`).toBeUndefined()
    }
  })

  test('with any octet changed it tells nothing', async () => {
    for (const flip of [1, 0xff]) {
      for (let place = 0; place < whole.length; place += 1) {
        const damaged = Buffer.from(whole)
        damaged[place]! ^= flip
        expect((await open(small, holding(damaged)))?.messages, `octet ${place} ^ ${flip}`).toBeUndefined()
      }
    }
  })

  test('damaged, a process that opens the mailbox does without it, and replaces it', async () => {
    const expected = await openWithout()
    const places = Array.from({ length: 12 }, (_, number) => Math.floor((number * whole.length) / 12))
    for (const place of places) {
      const damaged = Buffer.from(whole)
      damaged[place]! ^= 0x20
      await disk.writeFile(file(), damaged)
      expect((await openWith()).shown).toEqual(expected)
    }
    await leaveSettled()
    expect((await open())?.messages).toHaveLength(3)
  })

  test.each<[string, () => Promise<unknown>]>([
    ['of another boot', async () => rewriteHeader({ ...(await header()), boot: '00000000' })],
    [
      'of another UID list',
      async () =>
        rewriteHeader({ ...(await header()), uidList: { ...(await header()).uidList, generation: '0'.repeat(16) } }),
    ],
    [
      'that had read more of the UID list than there is',
      async () => rewriteHeader({ ...(await header()), uidList: { ...(await header()).uidList, length: 10_000 } }),
    ],
    [
      'of the journal of another',
      async () => rewriteHeader({ ...(await header()), journal: { ...(await header()).journal, chain: 1 } }),
    ],
    [
      'that is a symbolic link',
      async () => {
        await disk.rename(file(), at('elsewhere'))
        await disk.symlink(at('elsewhere'), file())
      },
    ],
    [
      'that is a folder',
      async () => {
        await disk.rm(file())
        await disk.mkdir(file())
      },
    ],
    [
      'that is a FIFO',
      async () => {
        await disk.rm(file())
        execFileSync('mkfifo', [file()])
      },
    ],
    ['of a message that is none', () => craft({ dateMs: Number.NaN })],
    ['of a message of a size that is none', () => craft({ rawBytes: -1 })],
    ['of a name that leads out of the mailbox', () => craft({}, '../tmp/x')],
    ['of a name that is hidden', () => craft({}, '.hidden')],
    ['of a UID twice', () => craft({ uid: 2 as Uid })],
    ['of a UID that was not given yet', () => craft({ uid: 99 as Uid })],
  ])('%s: all of the mailbox is looked at', async (_what, spoil) => {
    await spoil()
    const found = await openWith()
    expect(found.folders).toEqual(['new', 'cur'])
    expect(found.shown).toEqual(await openWithout())
  })

  test('on a file system of another machine it is not looked for', async () => {
    const opens: string[] = []
    const noting: Disk['open'] = (path, ...rest) => {
      opens.push(String(path))
      return disk.open(path, ...rest)
    }
    const store = another({ disk: { ...disk, lstatSync, open: noting, statfs: async () => ({ type: 0x6969 }) } })
    expect((await select(store)).records()).toHaveLength(3)
    expect(opens).not.toContain(file())
    expect(opens).toContain(at('postern-uidlist'))
  })

  test('larger than its bound it is neither read nor written', async () => {
    const { size } = await disk.stat(file())
    const least = { ...limits, maxSnapshotBytes: size }
    expect((await open(least))?.messages).toHaveLength(3)
    const less = { ...limits, maxSnapshotBytes: size - 1 }
    expect(await open(less)).toBeUndefined()
    const { header: known, messages = [] } = (await open())!
    await expect(writeSnapshot(disk, opened.maildir, 'larger', { header: known, messages }, less)).rejects.toThrow(
      RangeError,
    )
    expect(await disk.readdir(at('tmp'))).toEqual([])
  })

  test('has the same header when it would be the same', async () => {
    expect(encodeHeader(await header())).toEqual(whole.subarray(0, 512))
  })

  test('in blocks of any number of messages it is the same', async () => {
    const { header: known, messages = [] } = (await open())!
    for (const namesPerTurn of [1, 2, 3, 4]) {
      await writeSnapshot(disk, opened.maildir, 'blocks', { header: known, messages }, { ...limits, namesPerTurn })
      expect((await open({ ...limits, namesPerTurn }))?.messages).toEqual(messages)
    }
  })
})

describe('a snapshot is written', () => {
  eachItsOwn()

  test('after the first look, without any session waiting for it', async () => {
    const inbox = await select(another({ ...watchedDisk(), limits: snapshotsAtOnce }))
    await vi.waitFor(async () => expect(await isThere()).toBe(true), { timeout: 30_000 })
    expect(inbox.records()).toHaveLength(3)
    expect((await disk.stat(file())).mode & 0o777).toBe(0o600)
  })

  test('after the last session left, with what it changed', async () => {
    const store = another({ ...watchedDisk(), limits: snapshotsAtOnce })
    const inbox = await select(store)
    await vi.waitFor(async () => expect(await isThere()).toBe(true), { timeout: 30_000 })
    value(await inbox.setFlags([3 as Uid], { op: 'add', flags: ['\\Answered'] }))
    const before = await disk.readFile(file())
    await inbox.close()
    await vi.waitFor(async () => expect(await disk.readFile(file())).not.toEqual(before), { timeout: 30_000 })
    expect((await openWith()).shown).toEqual(await openWithout())
  })

  test('when the memory is needed for other mailboxes', async () => {
    const store = another({
      ...watchedDisk(),
      limits: { ...snapshotsAtOnce, snapshotDelayMs: 600_000, maxIdleMailboxes: 0 },
    })
    await (await select(store)).close()
    await vi.waitFor(async () => expect(await isThere()).toBe(true), { timeout: 30_000 })
  })

  test.each([
    ['of few messages', { minSnapshotMessages: 4 }],
    ['that would be too large', { maxSnapshotBytes: 700 }],
  ])('not %s', async (_what, other) => {
    const store = another({ ...watchedDisk(), limits: { ...snapshotsAtOnce, ...other } })
    await (await select(store)).close()
    await store.close()
    expect(await isThere()).toBe(false)
    expect(await disk.readdir(at('tmp'))).toEqual([])
  })

  test('not of a mailbox with a file that is no message now and may be one later', async () => {
    await disk.writeFile(at('cur', '17.empty:2,'), '')
    await leaveSnapshot()
    expect(await isThere()).toBe(false)
  })

  test('not soon after another, whoever wrote that, and not again when it would be the same', async () => {
    await leaveSettled()
    const first = await disk.readFile(file())
    await append(opened.store, ann, 'INBOX', 'later')
    const store = another({ ...watchedDisk(), limits: { ...snapshotsAtOnce, snapshotPauseMs: 3_600_000 } })
    await (await select(store)).close()
    await store.close()
    expect(await disk.readFile(file())).toEqual(first)
    await leaveSettled()
    const settled = await disk.stat(file())
    expect(await disk.readFile(file())).not.toEqual(first)
    await leaveSnapshot()
    expect((await disk.stat(file())).ctimeMs).toBe(settled.ctimeMs)
  })

  test('or not, when the disk is full: nobody hears of it, and nothing is left behind', async () => {
    let isFull = true
    const full: Disk['open'] = async (path, ...rest) => {
      const handle = await disk.open(path, ...rest)
      if (!isFull || !String(path).includes('/tmp/')) return handle
      return new Proxy(handle, {
        get(target, key) {
          const member: unknown = Reflect.get(target, key, target)
          if (key !== 'write') return typeof member === 'function' ? (member.bind(target) as unknown) : member
          return () => Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }))
        },
      })
    }
    const problems: unknown[] = []
    const options = { limits: snapshotsAtOnce, onProblem: (problem: unknown) => problems.push(problem) }
    const store = another({ disk: watchedDisk({ open: full }).disk, ...options })
    await (await select(store)).close()
    await store.close()
    expect([await isThere(), await disk.readdir(at('tmp')), problems]).toEqual([false, [], []])
    isFull = false
    await leaveSnapshot()
    expect(await isThere()).toBe(true)
  })

  test('that takes no folder for read whose inode changed a moment ago, whatever time it was given', async () => {
    await disk.utimes(at('cur'), 1_000, 1_000)
    const store = another({
      ...watchedDisk(),
      limits: { ...snapshotsAtOnce, snapshotDelayMs: 600_000, dirtyWindowMs: 600_000 },
    })
    await (await select(store, 'INBOX', 'read-only')).close()
    await store.close()
    expect(await disk.readFile(file(), 'latin1')).toMatch(/^[^\n]+ C- /)
  })

  test('one at a time, however many mailboxes are left at once', async () => {
    const account = await opened.store.openAccount(ann)
    value(await account.create('Box'))
    await append(opened.store, ann, 'Box', 'one')
    let writing = 0
    let most = 0
    const noting: Disk['open'] = (path, ...rest) => {
      if (isInTmp(path)) most = Math.max(most, (writing += 1))
      return disk.open(path, ...rest)
    }
    const slow: Disk['rename'] = async (from, to) => {
      await pause(20)
      await disk.rename(from, to)
      if (String(to).endsWith(snapshotName)) writing -= 1
    }
    const bounds = { ...snapshotsAtOnce, snapshotDelayMs: 600_000 }
    const store = another({ disk: watchedDisk({ open: noting, rename: slow }).disk, limits: bounds })
    for (const name of ['INBOX', 'Box']) await (await select(store, name, 'read-only')).close()
    await store.close()
    expect([most, writing, await isThere()]).toEqual([1, 0, true])
  })

  test('not soon after one could not be written', async () => {
    let tries = 0
    const full: Disk['open'] = (path, ...rest) => {
      if (!isInTmp(path)) return disk.open(path, ...rest)
      tries += 1
      return Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }))
    }
    const bounds = { ...snapshotsAtOnce, snapshotPauseMs: 3_600_000 }
    const store = another({ disk: watchedDisk({ open: full }).disk, limits: bounds })
    await (await select(store)).close()
    await vi.waitFor(() => expect(tries).toBe(1), { timeout: 30_000 })
    await (await select(store)).close()
    await store.close()
    expect(tries).toBe(1)
  })

  test('and not into what was deleted and made again meanwhile', async () => {
    const account = await opened.store.openAccount(ann)
    value(await account.create('Box'))
    await append(opened.store, ann, 'Box', 'one')
    const store = another({ ...watchedDisk(), limits: { ...snapshotsAtOnce, snapshotDelayMs: 600_000 } })
    await (await select(store, 'Box')).close()
    value(await (await store.openAccount(ann)).delete('Box'))
    value(await account.create('Box'))
    await store.close()
    expect((await filesBelow(at('.Box'))).filter((path) => path.endsWith(snapshotName))).toEqual([])
  })
})
