/*
 * Two processes on one mailbox: what the second does is put in before every single call of the file system that the first
 * one makes. Whatever the order, nobody is told one message with two sets of flags under one modification sequence, and
 * who believes HIGHESTMODSEQ has missed nothing (RFC 7162 section 3.1.2.1): clients that come back ask by it.
 */
import * as fs from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Flag, Mailbox, MessageRecord, Uid } from '@postern/core'
import { expect, test, vi } from 'vitest'
import { openMaildirStore, type Disk, type MaildirStore } from '../src/index.ts'
import type { MaildirLimits } from '../src/limits.ts'
import { append, value } from './conformance.ts'
import { ann, openTestStore } from './kit.ts'

// The disk of a busy machine is slow; no test waits for a time to pass.
vi.setConfig({ testTimeout: 120_000 })

/** The file system without its syncs, which no order depends on, and with `before` called before every call. */
function diskWith(before: () => Promise<void> | undefined = () => undefined): Disk {
  const wrapped = (target: Disk | FileHandle, name: string | symbol): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (typeof member !== 'function') return member
    if (name === 'sync' || name === 'datasync') return async () => undefined
    return async (...args: unknown[]) => {
      await before()
      const result: unknown = await Reflect.apply(member, target, args)
      return name === 'open' ? new Proxy<FileHandle>(result as FileHandle, { get: wrapped }) : result
    }
  }
  return new Proxy<Disk>(fs, { get: wrapped })
}

interface Session {
  readonly store: MaildirStore
  readonly inbox: Mailbox
}

async function openSession(root: string, disk: Disk, hostname: string, limits = {}): Promise<Session> {
  const store = openMaildirStore({ root, hostname, disk, limits })
  return { store, inbox: value(await (await store.openAccount(ann)).open('INBOX', 'read-write')) }
}

/** What sessions were told, and when. */
class Ledger {
  readonly #flags = new Map<string, string>()
  readonly #looks: { readonly known: ReadonlyMap<Uid, bigint>; readonly highest: bigint; readonly next: Uid }[] = []
  readonly contradictions: string[] = []

  take(records: readonly MessageRecord[]): void {
    for (const { uid, modseq = 0n, flags } of records) {
      const key = `${uid} under ${modseq}`
      const now = flags.toSorted().join(' ')
      const before = this.#flags.get(key) ?? now
      if (before !== now) this.contradictions.push(`${key}: (${before}) and (${now})`)
      this.#flags.set(key, now)
    }
  }

  look({ inbox }: Session): void {
    const records = inbox.records()
    this.take(records)
    const known = new Map(records.map(({ uid, modseq = 0n }) => [uid, modseq]))
    this.#looks.push({ known, highest: inbox.highestModseq?.() ?? 0n, next: inbox.uidNext() })
  }

  /** What looks did not have, though they said that they know all up to a higher number, or that all to come have higher UIDs. */
  missedBy(truth: readonly MessageRecord[]): readonly string[] {
    return this.#looks.flatMap(({ known, highest, next }) => [
      ...truth
        .filter(({ uid, modseq = 0n }) => modseq <= highest && known.get(uid) !== modseq)
        .map(({ uid, modseq }) => `${uid} of ${modseq}, known up to ${highest}`),
      ...truth.filter(({ uid }) => uid < next && !known.has(uid)).map(({ uid }) => `${uid}, next was ${next}`),
    ])
  }
}

const flag = async ({ inbox }: Session, ledger: Ledger, uid: number, flags: readonly Flag[]): Promise<void> => {
  const changed = await inbox.setFlags([uid as Uid], { op: 'add', flags })
  if (changed.ok) ledger.take(changed.value.messages)
}

type Act = (session: Session, ledger: Ledger) => Promise<unknown>

const letterless = Array.from({ length: 30 }, (_, number) => `keyword${number}`)
const refresh: Act = ({ inbox }) => inbox.refresh()

/** `before`: by the second process, when the first one has looked last. */
interface Row {
  readonly before?: Act
  /** Of the first process. */
  readonly limits?: Partial<MaildirLimits>
  readonly mine: Act
  readonly theirs: Act
}

const rows: Readonly<Record<string, Row>> = {
  'a look, and a flag': { mine: refresh, theirs: (one, ledger) => flag(one, ledger, 2, ['\\Flagged']) },
  'a look at a delivery, and another delivery': {
    before: ({ store }) => append(store, ann, 'INBOX', 'four'),
    mine: refresh,
    theirs: ({ store }) => append(store, ann, 'INBOX', 'five'),
  },
  'a look at a delivery, and another delivery that comes into the journal together with it': {
    before: ({ store }) => append(store, ann, 'INBOX', 'four'),
    mine: refresh,
    theirs: async ({ store, inbox }) => {
      await append(store, ann, 'INBOX', 'five')
      await inbox.refresh()
    },
  },
  'a look that writes the journal anew, and a flag': {
    before: async (one, ledger) => {
      for (const each of ['\\Seen', '\\Draft', '\\Answered', '\\Flagged', '$Mine']) await flag(one, ledger, 1, [each])
    },
    limits: { minDeadLines: 1 },
    mine: refresh,
    theirs: (one, ledger) => flag(one, ledger, 2, ['\\Flagged']),
  },
  'a look, and a flag and an expunge': {
    mine: refresh,
    theirs: async (one, ledger) => {
      await flag(one, ledger, 3, ['\\Flagged'])
      await one.inbox.expunge()
    },
  },
  'a look and a flag, and another flag of the same message': {
    mine: async (one, ledger) => {
      await one.inbox.refresh()
      ledger.look(one)
      await flag(one, ledger, 2, ['\\Seen'])
    },
    theirs: (one, ledger) => flag(one, ledger, 2, ['\\Flagged']),
  },
  'flags of two messages, one of which has another name by now, and a flag of the other one': {
    before: (one, ledger) => flag(one, ledger, 3, ['\\Flagged']),
    mine: async ({ inbox }, ledger) => {
      ledger.take(value(await inbox.setFlags([1, 3] as Uid[], { op: 'add', flags: ['\\Seen'] })).messages)
    },
    theirs: (one, ledger) => flag(one, ledger, 1, ['\\Flagged']),
  },
  'a look and a new keyword, and another new keyword': {
    mine: async (one, ledger) => {
      await one.inbox.refresh()
      ledger.look(one)
      await flag(one, ledger, 1, ['$Mine'])
    },
    theirs: (one, ledger) => flag(one, ledger, 2, ['$Theirs']),
  },
  'a delivery with keywords that no file name tells, and a flag of what is found': {
    mine: ({ store }) => append(store, ann, 'INBOX', 'four', { flags: letterless }),
    theirs: async (one, ledger) => {
      await one.inbox.refresh()
      ledger.look(one)
      await flag(one, ledger, 4, ['\\Flagged'])
    },
  },
}

/** @returns how many calls were made, and what was wrong. */
async function interleave(
  { before, limits, mine, theirs }: Row,
  at: number,
): Promise<{ calls: number; wrong: readonly string[] }> {
  const opened = await openTestStore({ disk: diskWith() })
  for (const subject of ['one', 'two', 'three']) {
    await append(opened.store, ann, 'INBOX', subject, { flags: subject === 'one' ? ['\\Deleted'] : [] })
  }
  const ledger = new Ledger()
  let calls = -1
  let interrupt: (() => Promise<void>) | undefined
  const first = await openSession(
    opened.root,
    diskWith(() => (calls >= 0 && calls++ === at ? interrupt?.() : undefined)),
    'first',
    limits,
  )
  // Who holds the lock is not waited for: there it is no order that can be.
  const second = await openSession(opened.root, diskWith(), 'second', { lockWaitMs: 1, lockRetryMs: 1 })
  // Another session of the first process looks at the same time; its turn comes when it comes.
  const beside = { ...first, inbox: value(await (await first.store.openAccount(ann)).open('INBOX', 'read-write')) }
  let looking: Promise<unknown> = Promise.resolve()
  interrupt = async () => {
    looking = beside.inbox.refresh().then(() => ledger.look(beside))
    await theirs(second, ledger).catch(() => undefined)
  }
  await before?.(second, ledger)
  calls = 0
  await mine(first, ledger)
  const made = calls
  calls = -1
  await looking
  for (const session of [first, second, beside]) {
    ledger.look(session)
    await session.inbox.refresh()
    ledger.look(session)
  }
  const third = await openSession(opened.root, diskWith(), 'third')
  ledger.look(third)
  const missed = ledger.missedBy(third.inbox.records())
  for (const { store } of [first, second, third]) await store.close()
  await opened.end()
  return { calls: made, wrong: [...ledger.contradictions, ...missed] }
}

test.each(Object.entries(rows))('%s', async (_, row) => {
  const wrong: string[] = []
  let places = 0
  for (let at = 0; ; at += 1) {
    const end = await interleave(row, at)
    wrong.push(...end.wrong.map((what) => `before call ${at}: ${what}`))
    if (at >= end.calls) break
    places += 1
  }
  expect(wrong).toEqual([])
  expect(places).toBeGreaterThan(5)
})
