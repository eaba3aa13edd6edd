/* Modification sequences, expunged UIDs and keywords without a letter: what the journal of a mailbox keeps. */
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import type { Account, Mailbox, Uid } from '@postern/core'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Disk, MaildirStore } from '../src/index.ts'
import { openMaildirStore } from '../src/index.ts'
import { append, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

let opened: TestStore
let account: Account
let inbox: Mailbox
const others: MaildirStore[] = []

const at = (...names: string[]) => join(opened.maildir, ...names)
const journal = () => at('postern-journal')
const modseqOf = (mailbox: Mailbox, uid: number): bigint =>
  mailbox.records().find((record) => record.uid === uid)?.modseq ?? 0n
const highest = (mailbox: Mailbox): bigint => mailbox.highestModseq?.() ?? 0n
const gone = async (mailbox: Mailbox, since: bigint) => await mailbox.expungedSince?.(since)

/** INBOX as a process sees it that has not seen it before. */
async function elsewhere(limits = {}): Promise<Mailbox> {
  const store = openMaildirStore({ root: opened.root, hostname: 'other', limits })
  others.push(store)
  return value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
}

beforeEach(async () => {
  opened = await openTestStore()
  account = await opened.store.openAccount(ann)
  for (const subject of ['one', 'two', 'three']) await append(opened.store, ann, 'INBOX', subject)
  inbox = value(await account.open('INBOX', 'read-write'))
})
afterEach(async () => {
  for (const store of others.splice(0)) await store.close()
  await opened.end()
})

async function curName(uid: number): Promise<string> {
  // Microseconds are not padded in a name: as text, the 99,999th comes behind the 100,000th.
  const names = (await disk.readdir(at('cur'))).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  return names[uid - 1] ?? ''
}

describe('changes that no process of ours made', () => {
  test('a flag set while nobody looked is a change of the moment it is found', async () => {
    const before = highest(inbox)
    await inbox.close()
    const name = await curName(2)
    await disk.rename(at('cur', name), at('cur', `${name}F`))
    const mailbox = await elsewhere()
    expect(mailbox.records()[1]?.flags).toEqual(['\\Flagged'])
    expect(modseqOf(mailbox, 2)).toBeGreaterThan(before)
    expect(modseqOf(mailbox, 1)).toBeLessThanOrEqual(before)
    expect(highest(mailbox)).toBe(modseqOf(mailbox, 2))
  })

  test('a message removed while nobody looked is remembered as expunged', async () => {
    const before = highest(inbox)
    await disk.unlink(at('cur', await curName(1)))
    const mailbox = await elsewhere()
    expect(await gone(mailbox, before)).toEqual([1])
    expect(await gone(mailbox, highest(mailbox))).toEqual([])
  })

  test('a process that died between the rename and its record: the next one records it', async () => {
    // What is on the disk then is what another program would leave.
    const name = await curName(3)
    await disk.rename(at('cur', name), at('cur', `${name}S`))
    const [first, second] = [await elsewhere(), await elsewhere()]
    expect(modseqOf(first, 3)).toBeGreaterThan(modseqOf(inbox, 3))
    expect(modseqOf(second, 3)).toBe(modseqOf(first, 3))
  })
})

test('two processes agree on the modification sequences, whoever looks first', async () => {
  const other = await elsewhere()
  expect(other.records().map(({ modseq }) => modseq)).toEqual(inbox.records().map(({ modseq }) => modseq))
  value(await other.setFlags([1 as Uid, 3 as Uid], { op: 'add', flags: ['\\Seen'] }))
  await append(opened.store, ann, 'INBOX', 'four')
  await other.refresh()
  await inbox.refresh()
  expect(modseqOf(other, 1)).toBe(modseqOf(other, 3))
  expect(inbox.records().map(({ modseq }) => modseq)).toEqual(other.records().map(({ modseq }) => modseq))
  expect(highest(inbox)).toBe(highest(other))
})

test('of two processes that change a message at once if nobody has, one does', async () => {
  for (let round = 0; round < 10; round++) {
    const mailboxes = [await elsewhere(), await elsewhere()]
    const unchangedSince = highest(mailboxes[1] ?? inbox)
    const flags = [`a${round % 10}`, `b${round % 10}`]
    const outcomes = await Promise.all(
      mailboxes.map((mailbox, side) =>
        mailbox.setFlags([2 as Uid], { op: 'add', flags: [flags[side] ?? ''], unchangedSince }),
      ),
    )
    expect(outcomes.map((outcome) => value(outcome).modified.length).toSorted((a, b) => a - b)).toEqual([0, 1])
  }
})

describe('a journal that was lost or damaged', () => {
  test('never gives out a modification sequence that was given before, and admits what it does not remember', async () => {
    value(await inbox.setFlags([1 as Uid], { op: 'add', flags: ['\\Deleted'] }))
    value(await inbox.expunge())
    await inbox.refresh()
    const before = highest(inbox)
    await disk.unlink(journal())
    const mailbox = await elsewhere()
    expect(modseqOf(mailbox, 2)).toBeGreaterThan(before)
    expect(await gone(mailbox, before)).toBeUndefined()
    expect(await gone(mailbox, highest(mailbox))).toEqual([])
    // The session that has it open goes on, and tells the new numbers.
    expect((await inbox.refresh()).changed.map(({ uid }) => uid)).toEqual([2, 3])
    expect(highest(inbox)).toBe(highest(mailbox))
  })

  test('cut, or with a byte changed: numbers only grow, and flags and UIDs are as they were', async () => {
    value(await inbox.setFlags([1 as Uid], { op: 'add', flags: ['\\Seen', '$Label1'] }))
    const before = highest(inbox)
    const whole = await disk.readFile(journal())
    // Each byte of the header is one case, and some of the records, which are all alike.
    const bytes = Array.from({ length: whole.length }, (_, byte) => byte).filter((byte) => byte < 192 || byte % 9 === 0)
    const damages = bytes.map((byte) =>
      byte % 2 === 0 ? whole.subarray(0, byte) : Buffer.from(whole).fill((whole[byte] ?? 0) ^ 0x40, byte, byte + 1),
    )
    const store = openMaildirStore({ root: opened.root, limits: { maxIdleMailboxes: 0, maxIdleMessages: 0 } })
    others.push(store)
    const owner = await store.openAccount(ann)
    for (const damage of damages) {
      await disk.writeFile(journal(), damage)
      const mailbox = value(await owner.open('INBOX', 'read-write'))
      expect(mailbox.records().map(({ uid }) => uid)).toEqual([1, 2, 3])
      expect(new Set(mailbox.records()[0]?.flags)).toEqual(new Set(['\\Seen', '$Label1']))
      for (const { modseq } of mailbox.records()) expect(modseq).toBeGreaterThan(before)
      await mailbox.close()
    }
  })

  test('older than the last start of this machine: a power cut may have taken back its end, so all begins anew', async () => {
    const before = highest(inbox)
    const text = await disk.readFile(journal(), 'latin1')
    const head = text
      .slice(0, 182)
      .replace(/T\d{13} B[0-9a-f]*/, (found) => `T0000000000001 B${'f'.repeat(found.length - 16)}`)
    const { crc32 } = await import('node:zlib')
    const header = `${head}H${crc32(head).toString(16).padStart(8, '0')}\n`
    await disk.writeFile(journal(), header + text.slice(192), 'latin1')
    const mailbox = await elsewhere()
    expect(modseqOf(mailbox, 1)).toBeGreaterThan(before)
    expect(await gone(mailbox, before)).toBeUndefined()
  })

  test('that cannot be written keeps nobody from reading, and is written when there is room again', async () => {
    let isFull = true
    const full: typeof disk = {
      ...disk,
      open: (path, flags, ...rest) =>
        isFull && String(path).includes('postern-journal') && (flags === 'wx' || (Number(flags) & 3) !== 0)
          ? Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'open' }))
          : disk.open(path, flags, ...rest),
    }
    await disk.unlink(journal())
    const store = openMaildirStore({ root: opened.root, disk: full })
    others.push(store)
    const mailbox = value(await (await store.openAccount(ann)).open('INBOX', 'read-write'))
    const before = highest(mailbox)
    expect(modseqOf(mailbox, 2)).toBeGreaterThan(0n)
    isFull = false
    await mailbox.refresh()
    const later = await elsewhere()
    expect(modseqOf(later, 2)).toBeGreaterThanOrEqual(before)
    expect(modseqOf(mailbox, 2)).toBe(modseqOf(later, 2))
  })
})

describe('a journal does not grow for ever', () => {
  const limits = { minDeadLines: 10, maxExpungedLog: 3 }

  test.each([
    ['each look reads the mailbox', 0],
    ['the times of the files say to each look that nobody else was there', 60_000],
  ])('records that count no more go; what they said stays: %s', async (_, laterMs) => {
    // Times of the last tick of the clock prove nothing: see QuickLook.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + laterMs })
    onTestFinished(() => void vi.useRealTimers())
    const mailbox = await elsewhere(limits)
    for (let round = 0; round < 100; round++) {
      value(await mailbox.setFlags([2 as Uid], { op: round % 2 === 0 ? 'add' : 'remove', flags: ['\\Flagged'] }))
      await mailbox.refresh()
    }
    expect((await disk.stat(journal())).size).toBeLessThan(192 + 32 * 40)
    await inbox.refresh()
    expect(modseqOf(inbox, 2)).toBe(modseqOf(mailbox, 2))
    expect(modseqOf(await elsewhere(), 1)).toBe(modseqOf(mailbox, 1))
  })

  test('written anew by another process, it is the new one that further changes go to', async () => {
    const [uid] = inbox.records().map((record) => record.uid)
    const other = await elsewhere(limits)
    const generations = new Set<string | undefined>()
    for (let round = 0; round < 60; round++) {
      // In turns, so that each of them has its journal open while the other writes it anew.
      const [here, there] = round % 2 === 0 ? [inbox, other] : [other, inbox]
      const op = round % 4 < 2 ? 'add' : 'remove'
      value(await here.setFlags([uid!], { op, flags: ['\\Flagged', `k${round % 2}`] }))
      await here.refresh()
      await there.refresh()
      expect(there.records()[0]?.flags.toSorted()).toEqual(here.records()[0]?.flags.toSorted())
      expect(modseqOf(there, uid!)).toBe(modseqOf(here, uid!))
      generations.add(/ G([0-9a-f]{16}) /.exec(await disk.readFile(journal(), 'latin1'))?.[1])
    }
    expect(generations.size).toBeGreaterThan(2)
    expect(opened.problems).toEqual([])
  })

  test('of the expunged the last ones are remembered, and before them it says so', async () => {
    const mailbox = await elsewhere(limits)
    const marks: bigint[] = []
    for (let round = 0; round < 40; round++) {
      const { uid } = await append(opened.store, ann, 'INBOX', 'gone', { flags: ['\\Deleted'] })
      await mailbox.refresh()
      marks.push(highest(mailbox))
      expect(value(await mailbox.expunge())).toEqual([uid])
      await mailbox.refresh()
    }
    const last = marks.at(-1) ?? 0n
    expect(await gone(mailbox, last)).toEqual([43])
    expect(await gone(mailbox, marks[0] ?? 0n)).toBeUndefined()
  })
})

describe('keywords without a letter', () => {
  const names = Array.from({ length: 70 }, (_, number) => `keyword${number}`)

  test('70 of them on one message are told, changed, and seen by another process', async () => {
    value(await inbox.setFlags([1 as Uid], { op: 'add', flags: names }))
    expect(new Set(inbox.records()[0]?.flags)).toEqual(new Set(names))
    expect(new Set((await elsewhere()).records()[0]?.flags)).toEqual(new Set(names))
    value(await inbox.setFlags([1 as Uid], { op: 'remove', flags: names.slice(0, 69) }))
    expect(inbox.records()[0]?.flags).toEqual(['keyword69'])
    const other = await elsewhere()
    expect(other.records()[0]?.flags).toEqual(['keyword69'])
    expect(modseqOf(other, 1)).toBe(modseqOf(inbox, 1))
    value(await other.setFlags([1 as Uid], { op: 'replace', flags: ['keyword40'] }))
    await inbox.refresh()
    expect(inbox.records()[0]?.flags).toEqual(['keyword40'])
  })

  test('come along with APPEND and COPY, and are found in FLAGS', async () => {
    value(await account.create('Target'))
    const { uid } = await append(opened.store, ann, 'INBOX', 'four', { flags: [...names, '\\Seen'] })
    await inbox.refresh()
    expect(new Set(inbox.records()[3]?.flags)).toEqual(new Set([...names, '\\Seen']))
    expect(inbox.keywords()).toEqual(expect.arrayContaining(names))
    value(await inbox.copy([uid], 'Target'))
    const target = value(await account.open('Target', 'read-write'))
    expect(new Set(target.records()[0]?.flags)).toEqual(new Set([...names, '\\Seen']))
  })

  test('outlive a journal whose end is damaged', async () => {
    value(await inbox.setFlags([1 as Uid], { op: 'add', flags: names }))
    value(await inbox.setFlags([2 as Uid], { op: 'add', flags: ['\\Flagged'] }))
    const { size } = await disk.stat(journal())
    await disk.truncate(journal(), size - 5)
    expect(new Set((await elsewhere()).records()[0]?.flags)).toEqual(new Set(names))
  })

  test.each([
    ['its checksum', 183],
    ['its highest modification sequence', 31],
    ['the length of its records', 66],
    ['the spaces at its end', 150],
  ])('outlive a journal whose header is damaged: %s', async (_, byte) => {
    value(await inbox.setFlags([1 as Uid], { op: 'add', flags: names }))
    value(await inbox.setFlags([2 as Uid], { op: 'add', flags: ['\\Flagged'] }))
    const before = highest(inbox)
    const damage = await disk.readFile(journal())
    damage[byte] = (damage[byte] ?? 0) ^ 0x01
    await disk.writeFile(journal(), damage)
    const mailbox = await elsewhere()
    expect(new Set(mailbox.records()[0]?.flags)).toEqual(new Set(names))
    for (const uid of [1, 2, 3]) expect(modseqOf(mailbox, uid)).toBeGreaterThan(before)
  })

  test('are not taken from a damaged journal of another UIDVALIDITY, whose UIDs were other messages', async () => {
    value(await inbox.setFlags([1 as Uid], { op: 'add', flags: names }))
    const damage = await disk.readFile(journal())
    for (const byte of [28, 183]) damage[byte] = damage[byte] === 0x31 ? 0x32 : 0x31
    await disk.writeFile(journal(), damage)
    const letters = (await elsewhere()).records()[0]?.flags.filter((flag) => names.indexOf(flag) >= 26)
    expect(letters).toEqual([])
  })
})

test('a message that comes between the look at the folders and the journal is not left behind', async () => {
  let meanwhile: (() => Promise<void>) | undefined
  const open = (async (...args: Parameters<Disk['open']>) => {
    const happens = String(args[0]).endsWith('/postern-journal') ? meanwhile : undefined
    if (happens !== undefined) {
      meanwhile = undefined
      await happens()
    }
    return disk.open(...args)
  }) as Disk['open']
  const store = openMaildirStore({ root: opened.root, hostname: 'other', disk: { ...disk, open } })
  others.push(store)
  // It takes nothing from `new`: what is moved is recorded at once, under the lock, where nobody else comes.
  const other = value(await (await store.openAccount(ann)).open('INBOX', 'read-only'))
  await append(opened.store, ann, 'INBOX', 'four')
  meanwhile = async () => {
    await append(opened.store, ann, 'INBOX', 'five')
    await inbox.refresh()
  }
  await other.refresh()
  // Both came into the journal at once: who is told of one is told of both, and HIGHESTMODSEQ is not below them.
  expect(other.records().map(({ uid }) => uid)).toEqual([1, 2, 3, 4, 5])
  expect(highest(other)).toBe(modseqOf(other, 4))
})
