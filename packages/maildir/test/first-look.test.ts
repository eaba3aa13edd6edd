/* What a process finds that knows nothing of a mailbox yet. It takes short cuts, and must end where one ends that followed it. */
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Mailbox, Uid } from '@postern/core'
import { expect, test, vi } from 'vitest'
import { flaggedName, knownPart, lettersOf, baseOf } from '../src/filename.ts'
import type { MessageState } from '../src/journal.ts'
import { KnownMessages } from '../src/known-messages.ts'
import { liveLines } from '../src/mailbox-uid-list.ts'
import type { UidListEntry } from '../src/uidlist.ts'
import { append, message, value } from './conformance.ts'
import { ann, lineOf, openTestStore } from './kit.ts'

// The disk of a busy machine is slow; no test waits for a time to pass.
vi.setConfig({ testTimeout: 120_000 })

const entry: fc.Arbitrary<UidListEntry> = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.boolean(), fc.nat())
  .map(([uid, isGone, salt]) => (isGone ? (uid as Uid) : lineOf(uid, `${uid}.${salt}`)))

test('of the entries of a UID list, in whatever order, the last of each UID counts', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 8 }), fc.boolean(), async (some, isAsWritten) => {
      // As our writers leave it: lines ascend, and nothing is gone before it came.
      const ascending = Array.from({ length: 4 }, (_, at) => lineOf(at + 1))
      const entries = isAsWritten ? [...ascending, ...some.filter((each) => typeof each === 'number')] : some
      const last = new Map<Uid, UidListEntry>()
      for (const each of entries) last.set(typeof each === 'number' ? each : each.uid, each)
      const expected = [...last.values()].filter((each) => typeof each !== 'number')
      const live = await liveLines(entries, 4)
      expect(live.toSorted((a, b) => a.uid - b.uid)).toEqual(expected.sort((a, b) => a.uid - b.uid))
    }),
  )
})

test('letters that mean nothing here are no part of what is recorded', () => {
  fc.assert(
    fc.property(fc.string(), (letters) => {
      expect(knownPart(letters)).toBe(letters.replaceAll(/[^DFPRSTa-z]/g, ''))
    }),
  )
})

const state: MessageState = { letters: '', extra: 0n, modseq: 7 }

test.each([
  ['all', [1, 2, 3]],
  ['some', [3, 1]],
  ['none', []],
])('messages of which %s are met leave their lines and states, and are shown by UID', async (_, uids) => {
  const known = new KnownMessages(2)
  await known.takeLines([lineOf(1), lineOf(2), lineOf(3)])
  for (const uid of [1, 2, 3]) known.early.set(uid as Uid, state)
  // A line that is expunged before, of a file that is there all the same.
  known.takeLine(lineOf(4))
  known.takeExpunged(4 as Uid)
  await known.meeting(true, async () => {
    for (const uid of uids) known.meet(lineOf(uid), { name: `${uid}.example:2,`, isNew: false })
    await Promise.resolve()
  })
  await known.publish()
  const left = [1, 2, 3].filter((uid) => !uids.includes(uid))
  expect(known.messages.map(({ uid }) => uid)).toEqual(uids.toSorted((a, b) => a - b))
  expect(known.messages.every(({ modseq }) => modseq === 7n)).toBe(true)
  expect(Array.from(known.unseen.values(), ({ uid }) => uid)).toEqual(left)
  expect([...known.early.keys()]).toEqual(left)
  expect(known.unjournaled.size).toBe(0)
})

test('a first look that fails half-way leaves what it met, and only that, behind', async () => {
  const known = new KnownMessages(2)
  await known.takeLines([lineOf(1), lineOf(2)])
  const failing = known.meeting(true, async () => {
    known.meet(lineOf(2), { name: '2.example:2,S', isNew: false })
    await Promise.resolve()
    throw new Error('EIO')
  })
  await expect(failing).rejects.toThrow('EIO')
  expect(Array.from(known.unseen.values(), ({ uid }) => uid)).toEqual([1])
  await known.meeting(false, async () => {
    known.meet(lineOf(1), { name: '1.example:2,', isNew: false })
    await Promise.resolve()
  })
  await known.publish()
  expect(known.messages.map(({ uid }) => uid)).toEqual([1, 2])
})

test('a process that opens a settled mailbox writes nothing: what is gone in the journal is not found missing', async () => {
  const opened = await openTestStore()
  try {
    for (const name of ['one', 'two', 'three']) await append(opened.store, ann, 'INBOX', name)
    const inbox = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-write'))
    const uids = inbox.records().map(({ uid }) => uid)
    value(await inbox.setFlags(uids, { op: 'add', flags: ['\\Flagged'] }))
    value(await inbox.setFlags(uids.slice(1), { op: 'add', flags: ['\\Deleted'] }))
    value(await inbox.expunge(uids.slice(1, 2)))
    const written = () =>
      Promise.all(['postern-journal', 'postern-uidlist'].map((name) => disk.readFile(join(opened.maildir, name))))
    const before = await written()
    const fresh = await openTestStore({ root: opened.root })
    const other = value(await (await fresh.store.openAccount(ann)).open('INBOX', 'read-write'))
    expect(other.records().map(({ uid }) => uid)).toEqual([1, 3])
    expect(await written()).toEqual(before)
    await fresh.store.close()
  } finally {
    await opened.end()
  }
})

// ── a process that followed the mailbox, and one that opens it ──────────────

const shown = (mailbox: Mailbox) => ({
  messages: mailbox.records().map(({ uid, flags, modseq, bytes }) => ({ uid, flags: flags.toSorted(), modseq, bytes })),
  uidNext: mailbox.uidNext(),
  highest: mailbox.highestModseq?.(),
})

type Step = readonly [kind: 'append' | 'flag' | 'expunge' | 'put' | 'rename' | 'unlink' | 'compare', salt: number]

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('append', 'append', 'flag', 'flag', 'expunge', 'put', 'rename', 'unlink', 'compare'),
  fc.nat({ max: 1_000 }),
)

test('whatever was changed, also by other programs: both see the same', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 14 }), async (steps) => {
      const opened = await openTestStore()
      try {
        const account = await opened.store.openAccount(ann)
        const inbox = value(await account.open('INBOX', 'read-write'))
        const cur = join(opened.maildir, 'cur')
        const nameAt = async (salt: number) => {
          const names = (await disk.readdir(cur)).toSorted()
          return names[salt % Math.max(1, names.length)]
        }
        const compare = async () => {
          const fresh = await openTestStore({ root: opened.root })
          try {
            const other = value(await (await fresh.store.openAccount(ann)).open('INBOX', 'read-write'))
            // What the new one found first has its number from it; and the other way about.
            await inbox.refresh()
            await other.refresh()
            expect(shown(other)).toEqual(shown(inbox))
            await other.close()
          } finally {
            await fresh.store.close()
          }
        }
        let count = 0
        for (const [kind, salt] of [...steps, ['compare', 0] as const]) {
          count += 1
          const uid = inbox.records()[salt % Math.max(1, inbox.records().length)]?.uid
          const name = await nameAt(salt)
          if (kind === 'append') await append(opened.store, ann, 'INBOX', `m${count}`)
          else if (kind === 'put') await disk.writeFile(join(cur, `${salt}.foreign${count}:2,S`), message('foreign'))
          else if (kind === 'compare') await compare()
          else if (kind === 'unlink' && name !== undefined) await disk.unlink(join(cur, name))
          else if (kind === 'rename' && name !== undefined) {
            const letters = lettersOf(name).includes('F') ? 'S' : 'F'
            await disk.rename(join(cur, name), join(cur, flaggedName(baseOf(name), letters)))
          } else if (kind === 'flag' && uid !== undefined) {
            const flags = salt % 2 === 0 ? ['\\Flagged'] : [`keyword${salt % 40}`]
            value(await inbox.setFlags([uid], { op: salt % 3 === 0 ? 'remove' : 'add', flags }))
          } else if (kind === 'expunge' && uid !== undefined) {
            value(await inbox.setFlags([uid], { op: 'add', flags: ['\\Deleted'] }))
            value(await inbox.expunge([uid]))
          }
          await inbox.refresh()
        }
        await inbox.close()
      } finally {
        await opened.end()
      }
    }),
    { numRuns: Number(process.env['POSTERN_MODEL_RUNS'] ?? 8) },
  )
})
