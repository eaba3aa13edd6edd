import { lstatSync, readdirSync, renameSync, symlinkSync, unlinkSync } from 'node:fs'
import * as disk from 'node:fs/promises'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MailboxGoneError, type Uid, type UidValidity } from '@postern/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { limits } from '../src/limits.ts'
import { openLocalFile, type Caller, type FileOpener } from '../src/local-file.ts'
import { readUidList, uidListName, UidListWriter, writeUidList, type UidLine } from '../src/uidlist.ts'
import { append, message, textOf, value } from './conformance.ts'
import { ann, openTestStore, unsyncedDisk } from './kit.ts'

const line = (uid: number, base = `17000000${uid}.M1P2Q${uid}.host,S=10,W=10`): UidLine => ({
  uid: uid as Uid,
  dateMs: 1_700_000_000_000 + uid,
  rawBytes: 10,
  bytes: 10 + uid,
  base,
})
const start = { uidValidity: 1_700_000_000 as UidValidity, uidNext: 1 as Uid }

describe('the UID list', () => {
  let folder: string
  let path: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postern-uidlist-'))
    path = join(folder, uidListName)
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  const appendEntries = async (...entries: (UidLine | Uid)[]) => {
    const writer = await UidListWriter.open(disk, folder, limits)
    if (!(writer instanceof UidListWriter)) throw new Error(writer.status)
    await writer.append(entries)
    await writer.close()
    return writer.header
  }
  const read = (since?: Parameters<typeof readUidList>[2]) => readUidList(disk, folder, since, limits)

  test('reads what was written, whatever bytes a base name has', async () => {
    const lines = [line(1), line(2, 'a b%\n\u00ff:x'), line(3, '-'), line(4, '%41')]
    await writeUidList(disk, folder, start, lines.slice(0, 2), limits)
    const header = await appendEntries(...lines.slice(2), 1 as Uid)
    expect(header.uidNext).toBe(5)
    expect(await read()).toEqual({ status: 'read', header, isWhole: true, entries: [...lines, 1] })
  })

  test('lets others have the event loop between two chunks, however promptly the disk answers', async () => {
    const lines = Array.from({ length: 1_000 }, (_, at) => line(at + 1))
    const chunkBytes = 8_192
    const { length } = await writeUidList(disk, folder, start, lines, limits)
    const onLoop: Caller = { call: (here) => here() }
    const prompt: FileOpener = { open: (name, flags, mode) => openLocalFile(name, flags, mode, onLoop, onLoop) }
    let turns = 0
    let next: NodeJS.Immediate
    const turn = () => {
      turns += 1
      next = setImmediate(turn)
    }
    next = setImmediate(turn)
    const found = await readUidList(prompt, folder, undefined, { ...limits, chunkBytes })
    clearImmediate(next)
    expect(found).toMatchObject({ status: 'read', entries: lines })
    expect(turns).toBeGreaterThanOrEqual(Math.floor(length / chunkBytes))
  })

  test('reads numbers as they were written, also dates before 1970 and between milliseconds', async () => {
    const lines = [-1, -86_400_000.5, 0, 0.25, 9_007_199_254_740_991, 253_402_300_799_999].map((dateMs, at) => ({
      ...line(at + 1),
      dateMs,
      bytes: 10 ** (at + 4),
    }))
    await writeUidList(disk, folder, start, [...lines, line(4_294_967_294)], limits)
    expect(await read()).toMatchObject({ entries: [...lines, line(4_294_967_294)] })
  })

  test('reads only what was appended since, until the list is written anew', async () => {
    const first = await writeUidList(disk, folder, start, [line(1)], limits)
    await appendEntries(line(2))
    expect(await read(first)).toMatchObject({ isWhole: false, entries: [line(2)] })
    await writeUidList(disk, folder, { ...start, uidNext: 3 as Uid }, [line(2)], limits)
    expect(await read(first)).toMatchObject({ isWhole: true, entries: [line(2)], header: { uidNext: 3 } })
  })

  test('what a writer that died left behind the header: whole lines are kept, the torn one is cut off', async () => {
    await writeUidList(disk, folder, start, [line(1)], limits)
    const before = await readFile(path)
    await appendEntries(line(2), line(3))
    const after = await readFile(path)
    // The header as it was: the writer was killed before it could say that the lines are durable.
    for (let cut = before.length; cut <= after.length; cut++) {
      await writeFile(path, Buffer.concat([before.subarray(0, 128), after.subarray(128, cut)]))
      expect(await read()).toMatchObject({ status: 'read', entries: [line(1)] })
      const header = await appendEntries(line(9))
      const result = await read()
      if (result.status !== 'read') throw new Error(result.status)
      const uids = result.entries.map((entry) => (typeof entry === 'number' ? undefined : entry.uid))
      expect([
        [1, 9],
        [1, 2, 9],
        [1, 2, 3, 9],
      ]).toContainEqual(uids)
      expect(header.uidNext).toBe(10)
    }
  })

  test('ST-07: cut at any byte, it is found damaged by reader and writer', async () => {
    await writeUidList(disk, folder, start, [line(1), line(2), line(3)], limits)
    await appendEntries(line(4), 2 as Uid)
    const whole = await readFile(path)
    for (let cut = 0; cut < whole.length; cut++) {
      await writeFile(path, whole.subarray(0, cut))
      expect((await read()).status).toBe('damaged')
      expect(await UidListWriter.open(disk, folder, limits)).toMatchObject({ status: 'damaged' })
    }
  })

  test('ST-07: a bit that flips anywhere is noticed', async () => {
    await writeUidList(disk, folder, start, [line(1), line(2), line(3)], limits)
    const whole = await readFile(path)
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole)
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
      await writeFile(path, flipped)
      expect((await read()).status).toBe('damaged')
    }
  })
})

describe('a mailbox whose UID list was damaged', () => {
  // Some two hundred starts, each of which writes the list anew.
  test('ST-07: cut at every byte: no UID is ever shown with another message', { timeout: 240_000 }, async () => {
    const first = await openTestStore()
    const subjects = ['one', 'two']
    const told = new Map<string, string>()
    for (const subject of subjects) {
      const { uid, uidValidity } = await append(first.store, ann, 'INBOX', subject)
      told.set(`${uidValidity}:${uid}`, message(subject).toString())
    }
    const path = join(first.maildir, uidListName)
    const whole = await readFile(path)
    const unsynced = unsyncedDisk({ lstatSync, readdirSync, renameSync, symlinkSync, unlinkSync, openLocalFile })
    let rebuilt = 0
    for (let cut = whole.length; cut >= 0; cut -= 1) {
      await writeFile(path, whole.subarray(0, cut))
      // A process that starts after the damage.
      const next = await openTestStore({ root: first.root, disk: unsynced })
      const account = await next.store.openAccount(ann)
      const inbox = value(await account.open('INBOX', 'read-only'))
      if (cut < whole.length) rebuilt += 1
      expect(inbox.records()).toHaveLength(subjects.length)
      for (const { uid } of cut % 16 === 0 ? inbox.records() : inbox.records().slice(0, 1)) {
        const text = (await textOf(inbox, uid)) ?? ''
        const key = `${inbox.uidValidity}:${uid}`
        expect(told.get(key) ?? text).toBe(text)
        told.set(key, text)
      }
      expect(next.problems.map(({ kind }) => kind)).toEqual(cut < whole.length ? ['uid-list-rebuilt'] : [])
      await inbox.close()
      await next.store.close()
    }
    expect(rebuilt).toBe(whole.length)
    await first.end()
  })

  test('its session is told to select again, and the new UIDVALIDITY is larger', async () => {
    const { store, maildir, end } = await openTestStore()
    await append(store, ann, 'INBOX', 'one')
    const account = await store.openAccount(ann)
    const inbox = value(await account.open('INBOX', 'read-write'))
    await rm(join(maildir, uidListName))
    await rm(join(maildir, 'postern-uidvalidity'))
    await expect(inbox.refresh()).rejects.toBeInstanceOf(MailboxGoneError)
    const again = value(await account.open('INBOX', 'read-write'))
    expect(again.records()).toHaveLength(1)
    expect(again.uidValidity).toBeGreaterThan(inbox.uidValidity)
    await end()
  })

  test('ST-08: UIDVALIDITY grows when the clock jumps back, or stands still', async () => {
    let now = new Date('2036-01-01T00:00:00Z')
    const { store, end } = await openTestStore({ now: () => now })
    const account = await store.openAccount(ann)
    const seen: number[] = []
    for (const next of ['2026-01-01', '2026-01-01', '2025-12-31', '2037-01-01']) {
      value(await account.create('Temp'))
      seen.push((await append(store, ann, 'Temp', 'one')).uidValidity)
      value(await account.delete('Temp'))
      now = new Date(next)
    }
    expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b))
    await end()
  })

  test('lines of expunged messages do not grow the list for ever', async () => {
    const { store, maildir, end } = await openTestStore({ limits: { minDeadLines: 10 } })
    const account = await store.openAccount(ann)
    const inbox = value(await account.open('INBOX', 'read-write'))
    let uid = 0
    for (let round = 0; round < 20; round++) {
      ;({ uid } = await append(store, ann, 'INBOX', 'one', { flags: ['\\Deleted'] }))
      await inbox.refresh()
      value(await inbox.expunge())
    }
    await inbox.refresh()
    expect((await readFile(join(maildir, uidListName), 'latin1')).split('\n').length).toBeLessThan(20)
    expect((await append(store, ann, 'INBOX', 'last')).uid).toBe(uid + 1)
    await end()
  })
})
