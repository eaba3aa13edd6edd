/** Notes of sessions about messages: a cache, so nothing about it may harm anybody, and nothing wrong may come out of it. */
import { constants } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import type { Mailbox, Uid, UidValidity } from '@postern/core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openMaildirStore, type MaildirStore, type MaildirStoreOptions } from '../src/index.ts'
import { limits } from '../src/limits.ts'
import { MailboxNotes, NotesInMemory } from '../src/mailbox-notes.ts'
import { appendNotes, NoteArena, writeNotes } from '../src/notes.ts'
import { append, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

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

const file = () => join(opened.maildir, 'postern-notes')

/** INBOX as another process sees it, and the end of that process. */
async function elsewhere(
  options: Partial<MaildirStoreOptions> = {},
): Promise<{ readonly inbox: Mailbox; readonly end: () => Promise<void> }> {
  const store = openMaildirStore({ root: opened.root, hostname: 'other', ...options })
  others.push(store)
  const inbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
  return { inbox, end: () => store.close() }
}

const uidsOf = (inbox: Mailbox): readonly Uid[] => inbox.records().map(({ uid }) => uid)

async function recallAll(inbox: Mailbox): Promise<readonly (string | undefined)[]> {
  const notes: (string | undefined)[] = []
  for (const uid of uidsOf(inbox)) notes.push(await inbox.recall?.(uid))
  return notes
}

/** Notes about all messages, by a process that then ends. */
async function note(text: (uid: Uid) => string, options: Partial<MaildirStoreOptions> = {}): Promise<void> {
  const { inbox, end } = await elsewhere(options)
  await recallAll(inbox)
  for (const uid of uidsOf(inbox)) inbox.remember?.(uid, text(uid))
  await end()
}

async function found(): Promise<readonly (string | undefined)[]> {
  const { inbox, end } = await elsewhere()
  const notes = await recallAll(inbox)
  await end()
  return notes
}

test('what one process noted, the next one knows; the last word on a message counts', async () => {
  expect(await found()).toEqual([undefined, undefined, undefined])
  await note((uid) => `first ${uid}`)
  await note((uid) => `\xff\0 second ${uid}`)
  expect(await found()).toEqual(['\xff\0 second 1', '\xff\0 second 2', '\xff\0 second 3'])
  expect((await stat(file())).mode & 0o777).toBe(0o600)
})

test('a process that has the mailbox open learns what another notes meanwhile', async () => {
  const here = await elsewhere({ limits: { notesFreshMs: 0 } })
  expect(await here.inbox.recall?.(1 as Uid)).toBeUndefined()
  await note((uid) => `theirs ${uid}`)
  expect(await here.inbox.recall?.(1 as Uid)).toBe('theirs 1')
  here.inbox.remember?.(2 as Uid, 'ours 2')
  await note((uid) => `later ${uid}`)
  await here.end()
  expect(await found()).toEqual(['later 1', 'ours 2', 'later 3'])
})

test('a note in memory comes at once', async () => {
  const { inbox } = await elsewhere()
  await recallAll(inbox)
  inbox.remember?.(1 as Uid, 'here')
  expect(inbox.recall?.(1 as Uid)).toBe('here')
})

describe('a file that was damaged', () => {
  const notes = ['note 1', 'note 2', 'note 3']

  test('ST-08: cut at any byte, or with any byte changed: a note is right or none, and can be made again', async () => {
    await note((uid) => `note ${uid}`)
    const whole = await readFile(file())
    for (let at = 0; at < whole.length; at += 1) {
      const changed = Buffer.from(whole)
      changed[at] = changed[at]! ^ 0x55
      for (const bytes of [whole.subarray(0, at), changed]) {
        await writeFile(file(), bytes)
        for (const [index, one] of (await found()).entries()) expect([notes[index], undefined]).toContain(one)
      }
    }
    await note((uid) => `note ${uid}`)
    expect(await found()).toEqual(notes)
  })

  test('what a process that died left half-written is cut off by the next one', async () => {
    await note((uid) => `note ${uid}`)
    const whole = await readFile(file())
    await writeFile(file(), Buffer.concat([whole, Buffer.from([4, 0, 0, 0, 200, 0, 0, 0, 1, 2])]))
    await note((uid) => `again ${uid}`)
    expect(await found()).toEqual(['again 1', 'again 2', 'again 3'])
  })

  test('of the UIDs of another UIDVALIDITY it tells nothing', async () => {
    await note((uid) => `note ${uid}`)
    await writeFile(join(opened.maildir, 'postern-uidlist'), 'damaged')
    expect(await found()).toEqual([undefined, undefined, undefined])
    await note((uid) => `new ${uid}`)
    expect(await found()).toEqual(['new 1', 'new 2', 'new 3'])
  })

  test('a symbolic link in its place is not followed', async () => {
    const target = join(opened.root, 'target')
    await writeFile(target, 'as it was')
    await disk.symlink(target, file())
    await note((uid) => `note ${uid}`)
    expect(await readFile(target, 'utf8')).toBe('as it was')
  })
})

test('a disk that refuses keeps nobody from noting in memory', async () => {
  const open = ((path: string, ...rest: [number, number]) => {
    if (path.includes('postern-notes')) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
    return disk.open(path, ...rest)
  }) as typeof disk.open
  const { inbox, end } = await elsewhere({ disk: { ...disk, open } })
  await recallAll(inbox)
  inbox.remember?.(1 as Uid, 'note')
  expect(await inbox.recall?.(1 as Uid)).toBe('note')
  await end()
  expect(opened.problems).toEqual([])
})

const visit = async (store: MaildirStore, work: (mailbox: Mailbox, name: string) => Promise<void>) => {
  const there = await store.openAccount(ann)
  for (const name of ['A', 'B', 'C']) await work(value(await there.open(name, 'read-write')), name)
}

describe('bounds', () => {
  test('too long a note, and one too many, are not kept', async () => {
    await note((uid) => 'x'.repeat(uid === 2 ? 101 : 100), { limits: { maxNoteBytes: 100 } })
    expect((await found()).map((one) => one?.length)).toEqual([100, undefined, 100])
    await note((uid) => `${uid}`.repeat(50), { limits: { maxNotesBytes: 300 } })
    expect((await stat(file())).size).toBeLessThan(600)
  })

  test('notes of messages that are gone go when there are too many', async () => {
    const chunkBytes = 400
    await note((uid) => `${uid}`.repeat(100), { limits: { chunkBytes } })
    const { inbox, end } = await elsewhere()
    value(await inbox.setFlags([1, 2] as Uid[], { op: 'add', flags: ['\\Deleted'] }))
    value(await inbox.expunge())
    await end()
    // Each time over again, so that most of the file is dead.
    for (let round = 0; round < 6; round += 1)
      await note((uid) => `${uid}${round}`.repeat(50), { limits: { chunkBytes } })
    expect((await stat(file())).size).toBeLessThan(64 + 2 * 400 + 112)
    expect((await readFile(file())).includes('1111')).toBe(false)
    expect(await found()).toEqual(['35'.repeat(50)])
  })

  test.each([
    // More have gone than are there.
    ['a mailbox that messages pass through', { chunkBytes: 400 }, 0],
    // Fewer have gone, and those that are there leave no room for one more.
    ['a mailbox whose notes are full', { chunkBytes: 400, notesTidyMs: 0 }, 10],
  ] as const)('of %s: notes of messages that are gone make room', async (_name, more, staying) => {
    const bounds = { maxNotesBytes: 4_000, ...more }
    const { inbox, end } = await elsewhere({ limits: bounds })
    const noteNext = async (): Promise<Uid> => {
      await append(opened.store, ann, 'INBOX', 'next')
      await inbox.refresh()
      const uid = uidsOf(inbox).at(-1)!
      await inbox.recall?.(uid)
      inbox.remember?.(uid, `${uid}`.padEnd(100, '.'))
      return uid
    }
    for (let count = 0; count < staying; count += 1) await noteNext()
    for (let count = 0; count < 25; count += 1) {
      const uid = await noteNext()
      value(await inbox.setFlags([uid], { op: 'add', flags: ['\\Deleted'] }))
      value(await inbox.expunge([uid]))
    }
    const last = await noteNext()
    const text = `${last}`.padEnd(100, '.')
    // Room is made behind the back of whoever makes notes.
    const again = async () => {
      inbox.remember?.(last, text)
      return inbox.recall?.(last)
    }
    await expect.poll(again).toBe(text)
    await end()
    expect((await found()).at(-1)).toBe(text)
    expect((await stat(file())).size).toBeLessThan(bounds.maxNotesBytes)
  })

  test('when none was left, and the file was written anew: what is noted from then on stays in memory', async () => {
    const uidValidity = 1 as UidValidity
    const empty = await writeNotes(disk, opened.maildir, uidValidity, [])
    const arena = new NoteArena()
    const records = [arena.set(1 as Uid, 'one'), arena.set(2 as Uid, 'two')]
    await appendNotes(disk, opened.maildir, uidValidity, empty, arena, records.slice(0, 1), limits)
    expect([arena.get(1 as Uid), arena.get(2 as Uid)]).toEqual(['one', 'two'])
  })

  test('what is noted while they are written anew stays in memory', async () => {
    const during = Promise.withResolvers<void>()
    let inbox: Mailbox | undefined
    const open = (async (path: string, ...rest: [string, number]) => {
      const handle = await disk.open(path, ...rest)
      if (path.endsWith('/postern-notes.new') && inbox !== undefined) {
        inbox.remember?.(3 as Uid, 'meanwhile')
        during.resolve()
      }
      return handle
    }) as typeof disk.open
    await note((uid) => `first ${uid}`)
    const here = await elsewhere({ disk: { ...disk, open }, limits: { chunkBytes: 10, notesDelayMs: 0 } })
    await recallAll(here.inbox)
    inbox = here.inbox
    for (let round = 0; round < 6; round += 1) inbox.remember?.(1 as Uid, `again ${round}`)
    await during.promise
    await here.inbox.refresh()
    expect(await here.inbox.recall?.(3 as Uid)).toBe('meanwhile')
    await here.end()
    expect(await found()).toEqual(['again 5', 'first 2', 'meanwhile'])
  })

  test('whoever reads them while they are written anew brings none back of messages that are gone', async () => {
    let isRead: Promise<void> | undefined
    const open = (async (path: string, flags: number, mode?: number) => {
      const handle = await disk.open(path, flags, mode)
      if (path.endsWith('/postern-notes') && (flags & constants.O_RDWR) === 0) await isRead
      return handle
    }) as typeof disk.open
    const bounds = { ...limits, chunkBytes: 100, notesDelayMs: 600_000, notesFreshMs: 0 }
    const there = {
      disk: { ...disk, open },
      limits: bounds,
      notesInMemory: new NotesInMemory(limits.maxNotesMemoryBytes),
    }
    const mailbox = {
      place: { account: ann, mailbox: 'INBOX', path: opened.maildir, maildir: opened.maildir },
      uidValidity: 1 as UidValidity,
      messages: Array.from({ length: 20 }, (_, at) => ({ uid: (at + 1) as Uid })),
      exclusive: <T>(work: () => Promise<T>) => work(),
    }
    const notes = new MailboxNotes(mailbox, there)
    await notes.get(1 as Uid)
    for (const { uid } of mailbox.messages) notes.set(uid, `note ${uid}`)
    await notes.flush()
    mailbox.messages = mailbox.messages.slice(0, 1)
    const { promise, resolve } = Promise.withResolvers<void>()
    isRead = promise
    const late = notes.get(21 as Uid)
    notes.set(1 as Uid, 'again')
    await notes.flush()
    const { bytes } = notes
    resolve()
    await late
    expect(notes.bytes).toBe(bytes)
    expect([notes.get(1 as Uid), await notes.get(2 as Uid)]).toEqual(['again', undefined])
  })

  test('of many mailboxes those used longest ago are let go, and read again', async () => {
    const account = await opened.store.openAccount(ann)
    for (const name of ['A', 'B', 'C']) {
      value(await account.create(name))
      await append(opened.store, ann, name, 'x')
    }
    await visit(opened.store, async (mailbox, name) => {
      await mailbox.recall?.(1 as Uid)
      mailbox.remember?.(1 as Uid, name.repeat(8_000))
    })
    await opened.store.close()
    let opens = 0
    const open = ((path: string, ...rest: [number, number]) => {
      if (path.endsWith('/postern-notes')) opens += 1
      return disk.open(path, ...rest)
    }) as typeof disk.open
    for (const [maxNotesMemoryBytes, expected] of [
      [20_000, 6],
      [40_000, 3],
    ] as const) {
      opens = 0
      const bounds = { maxNotesMemoryBytes, notesFreshMs: 60_000 }
      const store = openMaildirStore({ root: opened.root, limits: bounds, disk: { ...disk, open } })
      others.push(store)
      const lengths: (number | undefined)[] = []
      const read = async (mailbox: Mailbox) => {
        lengths.push((await mailbox.recall?.(1 as Uid))?.length)
      }
      await visit(store, read)
      await visit(store, read)
      expect([lengths, opens]).toEqual([Array.from({ length: 6 }, () => 8_000), expected])
    }
  })
})

test('an arena gives back what it was given last, and takes no more of its records than are right', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.string({ unit: 'binary-ascii', maxLength: 40 })), {
        maxLength: 30,
      }),
      fc.nat(),
      async (sets, cut) => {
        const arena = new NoteArena()
        const model = new Map<number, string>()
        const records = sets.map(([uid, text]) => {
          model.set(uid, text)
          return arena.set(uid as Uid, text)
        })
        for (const [uid, text] of model) expect(arena.get(uid as Uid)).toBe(text)
        expect(arena.liveBytes).toBe([...model.values()].reduce((sum, text) => sum + 12 + text.length, 0))
        const bytes = Buffer.concat(records)
        const kept = cut % (bytes.length + 1)
        const again = new NoteArena()
        const taken = await again.take(bytes.subarray(0, kept), limits)
        expect(taken).toBeLessThanOrEqual(kept)
        await again.take(bytes, limits)
        for (const [uid, text] of model) expect(again.get(uid as Uid)).toBe(text)
      },
    ),
  )
})
