/*
 * What `MailStore` promises, as tests that any store can be put to. Each test has an account of its own in a store of
 * its own.
 */
import {
  MailboxGoneError,
  type Account,
  type Flag,
  type Mailbox,
  type MailStore,
  type MailboxChanges,
  type MessageWriter,
  type StoreOutcome,
  type StoreRefusal,
  type Uid,
} from '@postern/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

export interface ConformanceStore {
  readonly store: MailStore
  /** An account that exists and is empty. */
  readonly account: string
  readonly end: () => Promise<void>
}

export const message = (subject: string, body = 'hello'): Buffer =>
  Buffer.from(`Subject: ${subject}\r\nFrom: ann@example.org\r\n\r\n${body}\r\n`)

export function value<T>(outcome: StoreOutcome<T>): T {
  if (outcome.ok) return outcome.value
  throw new Error(`refused: ${outcome.refusal}, ${outcome.detail}`)
}

export function refusal(outcome: StoreOutcome<unknown>): StoreRefusal | 'ok' {
  return outcome.ok ? 'ok' : outcome.refusal
}

export async function append(
  store: MailStore,
  account: string,
  mailbox: string,
  subject: string,
  options: { readonly flags?: readonly Flag[]; readonly internalDate?: Date } = {},
): Promise<{ readonly uid: Uid; readonly uidValidity: number }> {
  const { flags = [], ...rest } = options
  const writer = value(await store.deliver(account, mailbox, { flags, ...rest }))
  await writer.write(message(subject))
  const placed = value(await writer.commit())
  if (placed === undefined) throw new Error('delivered without a UID')
  return placed
}

function commitTogether(
  first: MessageWriter,
  others: readonly MessageWriter[],
): ReturnType<NonNullable<MessageWriter['commitWith']>> {
  if (first.commitWith === undefined) throw new Error('the store cannot commit together')
  return first.commitWith(others)
}

export const nothing: MailboxChanges = { arrived: [], expunged: [], changed: [] }

const uidsOf = (records: readonly { readonly uid: Uid }[]): readonly number[] => records.map(({ uid }) => uid)

const since = async (mailbox: Mailbox, modseq: bigint) => await mailbox.expungedSince?.(modseq)
const highest = (mailbox: Mailbox): bigint => mailbox.highestModseq?.() ?? 0n
const modseqs = (mailbox: Mailbox): readonly bigint[] => mailbox.records().map(({ modseq = 0n }) => modseq)

export async function textOf(mailbox: Mailbox, uid: Uid): Promise<string | undefined> {
  const content = await mailbox.content(uid)
  if (content === undefined) return undefined
  const bytes = await content.read(0, content.bytes + 10)
  await content.close()
  return bytes.toString('latin1')
}

export function describeMailStore(storeName: string, open: () => Promise<ConformanceStore>): void {
  describe(`${storeName} as a MailStore`, () => {
    let opened: ConformanceStore
    let store: MailStore
    let ann: string
    let account: Account
    const select = async (mailbox = 'INBOX', mode: 'read-only' | 'read-write' = 'read-write') =>
      value(await account.open(mailbox, mode))

    beforeEach(async () => {
      opened = await open()
      ;({ store, account: ann } = opened)
      account = await store.openAccount(ann)
    })
    afterEach(async () => {
      await account.close()
      await opened.end()
    })

    describe('delivery', () => {
      test('a committed message is there with its bytes, size, flags and date', async () => {
        const internalDate = new Date('2024-02-03T04:05:06Z')
        const { uid } = await append(store, ann, 'INBOX', 'one', { flags: ['\\Seen', '\\Flagged'], internalDate })
        const inbox = await select()
        const [record] = inbox.records()
        expect(record?.uid).toBe(uid)
        expect(record?.bytes).toBe(message('one').length)
        expect(new Set(record?.flags)).toEqual(new Set(['\\Seen', '\\Flagged']))
        expect(record?.internalDate).toEqual(internalDate)
        expect(await textOf(inbox, uid)).toBe(message('one').toString())
      })

      test('nothing is visible before commit, and nothing is left after abort', async () => {
        const writer = value(await store.deliver(ann, 'INBOX', { flags: [] }))
        await writer.write(message('one'))
        const inbox = await select()
        expect(inbox.records()).toEqual([])
        await writer.abort()
        await writer.abort()
        expect(refusal(await writer.commit())).toBe('unavailable')
        expect(await inbox.refresh()).toEqual(nothing)
      })

      test('a message that is prepared is invisible before commit, and leaves nothing after abort', async () => {
        const kept = value(await store.deliver(ann, 'INBOX', { flags: [] }))
        const dropped = value(await store.deliver(ann, 'INBOX', { flags: [] }))
        for (const writer of [kept, dropped]) {
          await writer.write(message('one'))
          expect(refusal((await writer.prepare?.()) ?? { ok: true, value: undefined })).toBe('ok')
        }
        const inbox = await select()
        expect(inbox.records()).toEqual([])
        await dropped.abort()
        value(await kept.commit())
        expect((await inbox.refresh()).arrived).toHaveLength(1)
      })

      test('messages that are committed together are all there, in order, or none of them is', async () => {
        const write = async (text: string): Promise<MessageWriter> => {
          const writer = value(await store.deliver(ann, 'INBOX', { flags: text === 'two' ? ['\\Seen'] : [] }))
          await writer.write(message(text))
          return writer
        }
        const [one, two, three] = [await write('one'), await write('two'), await write('three')]
        value((await one.prepare?.()) ?? { ok: true, value: undefined })
        const inbox = await select()
        expect(inbox.records()).toEqual([])
        const placed = value(await commitTogether(one, [two, three]))
        const { arrived } = await inbox.refresh()
        expect(arrived.map(({ uid }) => uid)).toEqual(placed?.uids)
        expect(arrived.map(({ flags }) => flags)).toEqual([[], ['\\Seen'], []])
        const [kept, lost] = [await write('four'), await write('five')]
        await lost.abort()
        expect(refusal(await commitTogether(kept, [lost]))).toBe('unavailable')
        await kept.abort()
        expect(await inbox.refresh()).toEqual(nothing)
      })

      test('the caller may reuse its buffer once write has returned', async () => {
        const writer = value(await store.deliver(ann, 'INBOX', { flags: [] }))
        const chunk = Buffer.from('Subject: reused\r\n')
        await writer.write(chunk)
        chunk.fill('x')
        await writer.write(Buffer.from('\r\nbody\r\n'))
        const placed = value(await writer.commit())
        const inbox = await select()
        expect(await textOf(inbox, placed?.uid ?? (0 as Uid))).toBe('Subject: reused\r\n\r\nbody\r\n')
      })

      test('UIDs ascend, and UIDNEXT is above them', async () => {
        const first = await append(store, ann, 'INBOX', 'one')
        const second = await append(store, ann, 'INBOX', 'two')
        expect(second.uid).toBeGreaterThan(first.uid)
        expect(second.uidValidity).toBe(first.uidValidity)
        const inbox = await select()
        expect(inbox.uidValidity).toBe(first.uidValidity)
        expect(inbox.uidNext()).toBeGreaterThan(second.uid)
      })

      test('a missing mailbox is refused, so that the client may create it', async () => {
        expect(refusal(await store.deliver(ann, 'Nowhere', { flags: [] }))).toBe('no-such-mailbox')
        expect(refusal(await store.deliver('nobody@example.org', 'INBOX', { flags: [] }))).toBe('no-such-mailbox')
      })

      test('large messages come back at any offset', async () => {
        const body = Buffer.from(Array.from({ length: 40_000 }, (_, line) => `line ${line}\r\n`).join(''))
        const writer = value(await store.deliver(ann, 'INBOX', { flags: [] }))
        for (let at = 0; at < body.length; at += 7_001) await writer.write(body.subarray(at, at + 7_001))
        const uid = value(await writer.commit())?.uid as Uid
        const content = await (await select()).content(uid)
        expect(content?.bytes).toBe(body.length)
        for (const [offset, length] of [
          [0, 10],
          [65_530, 20],
          [body.length - 5, 100],
          [123_456, 70_000],
        ] as const) {
          expect(await content?.read(offset, length)).toEqual(body.subarray(offset, offset + length))
        }
        expect(await content?.read(body.length, 1)).toEqual(Buffer.alloc(0))
        await content?.close()
      })
    })

    describe('a session', () => {
      test('learns at refresh what others did, and not before', async () => {
        const reader = await select()
        const { uid } = await append(store, ann, 'INBOX', 'one')
        expect(reader.records()).toEqual([])
        const changes = await reader.refresh()
        expect(uidsOf(changes.arrived)).toEqual([uid])
        expect(uidsOf(reader.records())).toEqual([uid])
        expect(await reader.refresh()).toEqual(nothing)
      })

      test('is told of a flag that another session changed', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one')
        const [reader, writer] = [await select(), await select()]
        value(await writer.setFlags([uid], { op: 'add', flags: ['\\Answered'] }))
        expect(reader.records()[0]?.flags).toEqual([])
        const changes = await reader.refresh()
        expect(changes.changed.map(({ flags }) => flags)).toEqual([['\\Answered']])
        expect(reader.records()[0]?.flags).toEqual(['\\Answered'])
      })

      test('is not told again what it did itself', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one')
        await append(store, ann, 'INBOX', 'two', { flags: ['\\Deleted'] })
        const inbox = await select()
        const [changed] = value(await inbox.setFlags([uid], { op: 'replace', flags: ['\\Draft'] })).messages
        expect(changed?.flags).toEqual(['\\Draft'])
        expect(inbox.records()[0]?.flags).toEqual(['\\Draft'])
        value(await inbox.expunge())
        expect(uidsOf(inbox.records())).toEqual([uid])
        expect(await inbox.refresh()).toEqual(nothing)
      })

      test('hears of a delivery, a flag and an expunge by a hint', async () => {
        const [watcher, other] = [await select(), await select()]
        const { uid } = await append(store, ann, 'INBOX', 'one')
        await other.refresh()
        await watcher.refresh()
        for (const change of [
          () => append(store, ann, 'INBOX', 'two'),
          () => other.setFlags([uid], { op: 'add', flags: ['\\Deleted'] }),
          () => other.expunge(),
        ]) {
          const hinted = Promise.withResolvers<void>()
          const end = watcher.watch(hinted.resolve)
          await change()
          await expect(hinted.promise).resolves.toBeUndefined()
          end()
        }
      })

      test('that is the first to see a message finds it recent, and no other read-write session does', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one')
        const looker = await select('INBOX', 'read-only')
        expect([...looker.recent()]).toEqual([uid])
        const first = await select()
        const second = await select()
        expect([...first.recent()]).toEqual([uid])
        expect([...second.recent()]).toEqual([])
        await first.refresh()
        expect([...first.recent()]).toEqual([uid])
      })

      test('that is read-only changes nothing', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one', { flags: ['\\Deleted'] })
        value(await account.create('Away'))
        const looker = await select('INBOX', 'read-only')
        expect((await looker.setFlags([uid], { op: 'add', flags: ['\\Seen'] })).ok).toBe(false)
        expect((await looker.expunge()).ok).toBe(false)
        expect((await looker.move([uid], 'Away')).ok).toBe(false)
        expect(uidsOf((await select()).records())).toEqual([uid])
      })
    })

    describe('flags', () => {
      test('are added, removed and replaced; only the messages named are returned', async () => {
        const one = await append(store, ann, 'INBOX', 'one', { flags: ['\\Seen'] })
        const two = await append(store, ann, 'INBOX', 'two')
        const inbox = await select()
        const flagsAfter = async (op: 'add' | 'remove' | 'replace', flags: readonly Flag[]) =>
          new Set(value(await inbox.setFlags([one.uid], { op, flags })).messages[0]?.flags)
        expect(await flagsAfter('add', ['\\Flagged'])).toEqual(new Set(['\\Seen', '\\Flagged']))
        expect(await flagsAfter('remove', ['\\Seen', '\\Draft'])).toEqual(new Set(['\\Flagged']))
        expect(await flagsAfter('replace', ['\\Deleted'])).toEqual(new Set(['\\Deleted']))
        expect(inbox.records().find(({ uid }) => uid === two.uid)?.flags).toEqual([])
      })

      test('keywords are kept, shown in FLAGS, and the same in any case', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one', { flags: ['$Label1'] })
        const inbox = await select()
        expect(inbox.records()[0]?.flags).toEqual(['$Label1'])
        expect(inbox.keywords()).toContain('$Label1')
        const [changed] = value(
          await inbox.setFlags([uid], { op: 'add', flags: ['NonJunk', '$LABEL1', '$Forwarded'] }),
        ).messages
        expect(new Set(changed?.flags)).toEqual(new Set(['$Label1', 'NonJunk', '$Forwarded']))
        expect(new Set((await select()).records()[0]?.flags)).toEqual(new Set(['$Label1', 'NonJunk', '$Forwarded']))
      })

      test('of sessions that change at once are all kept', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one')
        const flags: Flag[] = ['\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft', 'k1', 'k2', 'k3']
        const sessions = await Promise.all(flags.map(() => select()))
        await Promise.all(
          sessions.map((session, at) => session.setFlags([uid], { op: 'add', flags: [flags[at] ?? ''] })),
        )
        expect(new Set((await select()).records()[0]?.flags)).toEqual(new Set(flags))
      })
    })

    describe('modification sequences (RFC 7162)', () => {
      test('an empty mailbox has one', async () => {
        expect(highest(await select())).toBeGreaterThan(0n)
      })

      test('each change has a higher one than all before it', async () => {
        const one = await append(store, ann, 'INBOX', 'one')
        const inbox = await select()
        const [first = 0n] = modseqs(inbox)
        expect(first).toBeGreaterThan(0n)
        expect(highest(inbox)).toBeGreaterThanOrEqual(first)
        await append(store, ann, 'INBOX', 'two')
        await inbox.refresh()
        const [, second = 0n] = modseqs(inbox)
        expect(second).toBeGreaterThan(first)
        expect(modseqs(inbox)[0]).toBe(first)
        const { messages } = value(await inbox.setFlags([one.uid], { op: 'add', flags: ['\\Seen'] }))
        expect(messages[0]?.modseq).toBeGreaterThan(second)
        await inbox.refresh()
        expect(highest(inbox)).toBe(messages[0]?.modseq)
        const before = highest(inbox)
        value(await inbox.setFlags([one.uid], { op: 'add', flags: ['\\Deleted'] }))
        value(await inbox.expunge())
        await inbox.refresh()
        expect(highest(inbox)).toBeGreaterThan(before)
      })

      test('a change that changes nothing has none', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one', { flags: ['\\Seen'] })
        const inbox = await select()
        const before = modseqs(inbox)
        for (const op of ['add', 'replace'] as const) value(await inbox.setFlags([uid], { op, flags: ['\\Seen'] }))
        value(await inbox.setFlags([uid], { op: 'remove', flags: ['\\Draft'] }))
        expect(modseqs(inbox)).toEqual(before)
        expect(await inbox.refresh()).toEqual(nothing)
      })

      test('another session sees the change and its modification sequence', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one')
        const [reader, writer] = [await select(), await select()]
        const { messages } = value(await writer.setFlags([uid], { op: 'add', flags: ['\\Answered'] }))
        const [changed] = (await reader.refresh()).changed
        expect(changed?.modseq).toBe(messages[0]?.modseq)
        expect(highest(reader)).toBe(changed?.modseq)
        expect((await select()).records()[0]?.modseq).toBe(changed?.modseq)
      })

      test('a message that was changed since keeps its flags, as STORE UNCHANGEDSINCE has it', async () => {
        const one = await append(store, ann, 'INBOX', 'one')
        const two = await append(store, ann, 'INBOX', 'two')
        const [inbox, other] = [await select(), await select()]
        const unchangedSince = highest(inbox)
        value(await other.setFlags([two.uid], { op: 'add', flags: ['\\Flagged'] }))
        const change = { op: 'add', flags: ['\\Seen'], unchangedSince } as const
        const outcome = value(await inbox.setFlags([one.uid, two.uid], change))
        expect(outcome.modified).toEqual([two.uid])
        expect(uidsOf(outcome.messages)).toEqual([one.uid])
        await inbox.refresh()
        expect(inbox.records().map(({ flags }) => flags)).toEqual([['\\Seen'], ['\\Flagged']])
      })

      test('of sessions that change a message at once if nobody has, one does', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one')
        const sessions = await Promise.all(Array.from({ length: 5 }, () => select()))
        const unchangedSince = highest(sessions[0] ?? (await select()))
        const outcomes = await Promise.all(
          sessions.map((session, at) => session.setFlags([uid], { op: 'add', flags: [`k${at}`], unchangedSince })),
        )
        expect(outcomes.filter((outcome) => value(outcome).messages.length === 1)).toHaveLength(1)
        expect((await select()).records()[0]?.flags).toHaveLength(1)
      })

      test('what was expunged is remembered', async () => {
        const [one, , three] = [
          await append(store, ann, 'INBOX', 'one', { flags: ['\\Deleted'] }),
          await append(store, ann, 'INBOX', 'two'),
          await append(store, ann, 'INBOX', 'three'),
        ]
        value(await account.create('Away'))
        const inbox = await select()
        const before = highest(inbox)
        expect(await since(inbox, before)).toEqual([])
        value(await inbox.expunge())
        await inbox.refresh()
        const between = highest(inbox)
        value(await inbox.move([three.uid], 'Away'))
        await inbox.refresh()
        expect(await since(inbox, before)).toEqual([one.uid, three.uid])
        expect(await since(inbox, between)).toEqual([three.uid])
        expect(await since(inbox, highest(inbox))).toEqual([])
      })

      test('STATUS tells the highest', async () => {
        await append(store, ann, 'INBOX', 'one')
        const { highestModseq } = value(await account.status('INBOX'))
        expect(highestModseq).toBe(highest(await select()))
      })
    })

    describe('ids and dates', () => {
      test('copies of a message have its id, and no other message has (RFC 8474)', async () => {
        const one = await append(store, ann, 'INBOX', 'one')
        await append(store, ann, 'INBOX', 'two')
        value(await account.create('Away'))
        const inbox = await select()
        const [first, second] = inbox.records().map(({ emailId }) => emailId)
        expect(first).toMatch(/^[A-Za-z0-9_-]{1,255}$/)
        expect(second).not.toBe(first)
        value(await inbox.copy([one.uid], 'Away'))
        value(await inbox.setFlags([one.uid], { op: 'add', flags: ['\\Seen'] }))
        expect(inbox.records()[0]?.emailId).toBe(first)
        const away = await select('Away')
        expect(away.records()[0]?.emailId).toBe(first)
        value(await away.move([1 as Uid], 'INBOX'))
        await inbox.refresh()
        expect(inbox.records().map(({ emailId }) => emailId)).toEqual([first, second, first])
      })

      test('a mailbox keeps its id when it is renamed, and has another when it is made again (RFC 8474)', async () => {
        const idOf = async (mailbox: string) => value(await account.status(mailbox)).mailboxId
        value(await account.create('Temp'))
        const id = await idOf('Temp')
        expect(id).toMatch(/^[A-Za-z0-9_-]{1,255}$/)
        expect((await select('Temp')).mailboxId).toBe(id)
        value(await account.rename('Temp', 'Other'))
        expect(await idOf('Other')).toBe(id)
        value(await account.create('Temp'))
        expect(new Set([id, await idOf('Temp'), await idOf('INBOX')]).size).toBe(3)
      })

      test('a message was saved when it came into this mailbox, whatever its date (RFC 8514)', async () => {
        const before = Date.now()
        const { uid } = await append(store, ann, 'INBOX', 'one', { internalDate: new Date('1999-01-01T00:00:00Z') })
        value(await account.create('Away'))
        const inbox = await select()
        const saved = inbox.records()[0]?.savedDate?.getTime() ?? 0
        // A file's time may be that of the kernel's last tick.
        expect(saved).toBeGreaterThanOrEqual(before - 20)
        expect(saved).toBeLessThanOrEqual(Date.now() + 1)
        value(await inbox.setFlags([uid], { op: 'add', flags: ['\\Seen'] }))
        expect(inbox.records()[0]?.savedDate?.getTime()).toBe(saved)
        await inbox.copy([uid], 'Away')
        const copied = (await select('Away')).records()[0]
        expect(copied?.savedDate?.getTime()).toBeGreaterThanOrEqual(saved)
        expect(copied?.internalDate).toEqual(inbox.records()[0]?.internalDate)
      })
    })

    describe('expunge', () => {
      test('removes what is deleted, of the named ones only, and never reuses a UID', async () => {
        const deleted: Flag[] = ['\\Deleted']
        const one = await append(store, ann, 'INBOX', 'one', { flags: deleted })
        const two = await append(store, ann, 'INBOX', 'two', { flags: deleted })
        const three = await append(store, ann, 'INBOX', 'three')
        const inbox = await select()
        expect(value(await inbox.expunge([two.uid, three.uid]))).toEqual([two.uid])
        expect(value(await inbox.expunge())).toEqual([one.uid])
        expect(uidsOf(inbox.records())).toEqual([three.uid])
        value(await inbox.setFlags([three.uid], { op: 'add', flags: deleted }))
        value(await inbox.expunge())
        const next = await append(store, ann, 'INBOX', 'four')
        expect(next.uid).toBeGreaterThan(three.uid)
      })

      test('by one session is a gap for the other: the message is gone, its UID too at the next refresh', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one', { flags: ['\\Deleted'] })
        const [reader, writer] = [await select(), await select()]
        value(await writer.expunge())
        expect(uidsOf(reader.records())).toEqual([uid])
        expect(await reader.content(uid)).toBeUndefined()
        expect(value(await reader.setFlags([uid], { op: 'add', flags: ['\\Seen'] })).messages).toEqual([])
        expect(await reader.refresh()).toEqual({ ...nothing, expunged: [uid] })
      })

      test('leaves alone what this session was not told of', async () => {
        const inbox = await select()
        const { uid } = await append(store, ann, 'INBOX', 'one', { flags: ['\\Deleted'] })
        expect(value(await inbox.expunge())).toEqual([])
        expect(uidsOf((await inbox.refresh()).arrived)).toEqual([uid])
      })
    })

    describe('copy and move', () => {
      test('a copy keeps flags, date and bytes, and tells both UIDs', async () => {
        const internalDate = new Date('2020-01-02T03:04:05Z')
        const one = await append(store, ann, 'INBOX', 'one', { flags: ['\\Seen', 'work'], internalDate })
        const two = await append(store, ann, 'INBOX', 'two')
        value(await account.create('Archive'))
        const inbox = await select()
        const copied = value(await inbox.copy([one.uid, two.uid], 'Archive'))
        const archive = await select('Archive')
        expect(copied.from).toEqual([one.uid, two.uid])
        expect(copied.to).toEqual(uidsOf(archive.records()))
        expect(copied.uidValidity).toBe(archive.uidValidity)
        expect(new Set(archive.records()[0]?.flags)).toEqual(new Set(['\\Seen', 'work']))
        expect(archive.records()[0]?.internalDate).toEqual(internalDate)
        expect(await textOf(archive, copied.to[1] ?? two.uid)).toBe(message('two').toString())
        expect(inbox.records()).toHaveLength(2)
      })

      test('a moved message is in the target only', async () => {
        const one = await append(store, ann, 'INBOX', 'one')
        const two = await append(store, ann, 'INBOX', 'two')
        value(await account.create('Archive'))
        const [inbox, other] = [await select(), await select()]
        const moved = value(await inbox.move([one.uid], 'Archive'))
        expect(moved.from).toEqual([one.uid])
        expect(uidsOf(inbox.records())).toEqual([two.uid])
        expect(await inbox.refresh()).toEqual(nothing)
        expect(await other.refresh()).toEqual({ ...nothing, expunged: [one.uid] })
        expect(uidsOf((await select('Archive')).records())).toEqual(moved.to)
      })

      test('within one mailbox makes new UIDs', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one')
        const inbox = await select()
        const { to } = value(await inbox.copy([uid], 'INBOX'))
        expect(uidsOf((await inbox.refresh()).arrived)).toEqual(to)
        value(await inbox.move([uid], 'INBOX'))
        expect(inbox.records()).toHaveLength(1)
        await inbox.refresh()
        expect(inbox.records()).toHaveLength(2)
      })

      test('to a missing mailbox changes nothing', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one')
        const inbox = await select()
        expect(refusal(await inbox.copy([uid], 'Nowhere'))).toBe('no-such-mailbox')
        expect(refusal(await inbox.move([uid], 'Nowhere'))).toBe('no-such-mailbox')
        expect(uidsOf(inbox.records())).toEqual([uid])
      })

      test('of a message that is gone leaves it out', async () => {
        const one = await append(store, ann, 'INBOX', 'one', { flags: ['\\Deleted'] })
        const two = await append(store, ann, 'INBOX', 'two')
        value(await account.create('Archive'))
        const [inbox, other] = [await select(), await select()]
        value(await other.expunge())
        expect(value(await inbox.copy([one.uid, two.uid], 'Archive')).from).toEqual([two.uid])
      })
    })

    describe('mailboxes', () => {
      // oxlint-disable-next-line unicorn/consistent-function-scoping -- of this group only, and it captures `account`
      const listed = async () =>
        Object.fromEntries((await account.list()).map(({ name, attributes }) => [name, attributes.join(' ')]))

      test('an account has INBOX, and nothing removes it', async () => {
        expect(await listed()).toEqual({ INBOX: '\\HasNoChildren' })
        expect((await account.delete('INBOX')).ok).toBe(false)
        expect(refusal(await account.create('INBOX'))).toBe('mailbox-exists')
      })

      test('create makes the levels above; special names have their use', async () => {
        value(await account.create('Work/2026/Q1'))
        value(await account.create('Sent'))
        expect(await listed()).toEqual({
          INBOX: '\\HasNoChildren',
          Sent: '\\HasNoChildren \\Sent',
          Work: '\\HasChildren',
          'Work/2026': '\\HasChildren',
          'Work/2026/Q1': '\\HasNoChildren',
        })
        expect(refusal(await account.create('Work'))).toBe('mailbox-exists')
      })

      test('a use that was asked for goes with its mailbox, and each use is of one mailbox', async () => {
        const uses = async (): Promise<readonly string[]> =>
          (await account.list()).flatMap(({ name, attributes }) =>
            attributes
              .filter((attribute) => !attribute.endsWith('Children'))
              .map((attribute) => `${name} ${attribute}`),
          )
        value(await account.create('Sent'))
        value(await account.create('Lists/Ausgang', '\\Drafts'))
        expect(await uses()).toEqual(['Lists/Ausgang \\Drafts', 'Sent \\Sent'])
        // What was asked for goes before what a name suggests.
        value(await account.create('Drafts'))
        expect(await uses()).toEqual(['Lists/Ausgang \\Drafts', 'Sent \\Sent'])
        for (const use of ['\\Drafts', '\\Sent'] as const) {
          expect(refusal(await account.create('Other', use))).toBe('bad-use')
        }
        value(await account.rename('Lists', 'Löcher'))
        expect(await uses()).toEqual(['Löcher/Ausgang \\Drafts', 'Sent \\Sent'])
        value(await account.delete('Löcher/Ausgang'))
        expect(await uses()).toEqual(['Drafts \\Drafts', 'Sent \\Sent'])
        value(await account.create('Löcher/Ausgang'))
        value(await account.delete('Drafts'))
        expect(await uses()).toEqual(['Sent \\Sent'])
      })

      test('a mailbox with children is deleted to a name without messages, and such a name only with its children', async () => {
        value(await account.create('Work/2026'))
        value(await account.delete('Work'))
        expect((await listed())['Work']).toBe('\\HasChildren \\Noselect')
        expect(refusal(await account.open('Work', 'read-only'))).toBe('no-such-mailbox')
        expect(refusal(await account.delete('Work'))).toBe('has-children')
        value(await account.delete('Work/2026'))
        expect(await listed()).toEqual({ INBOX: '\\HasNoChildren' })
        expect(refusal(await account.delete('Work'))).toBe('no-such-mailbox')
      })

      test('UIDVALIDITY is larger when a mailbox is made again', async () => {
        const seen: number[] = []
        for (let round = 0; round < 3; round++) {
          value(await account.create('Temp'))
          seen.push((await append(store, ann, 'Temp', 'one')).uidValidity)
          value(await account.delete('Temp'))
        }
        expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b))
      })

      const strayCommands: readonly (readonly [name: string, run: (old: Mailbox, uid: Uid) => Promise<unknown>])[] = [
        ['content', async (old, uid) => ({ ok: (await old.content(uid)) !== undefined })],
        ['setFlags', (old, uid) => old.setFlags([uid], { op: 'add', flags: ['\\Deleted'] })],
        ['copy', (old, uid) => old.copy([uid], 'Target')],
        ['move', (old, uid) => old.move([uid], 'Target')],
        ['expunge', (old) => old.expunge()],
      ]
      test.each(strayCommands)('a UID of a mailbox that was made again names no message: %s', async (_name, run) => {
        value(await account.create('Temp'))
        value(await account.create('Target'))
        const { uid } = await append(store, ann, 'Temp', 'old')
        const old = await select('Temp')
        value(await account.delete('Temp'))
        value(await account.create('Temp'))
        const fresh = await append(store, ann, 'Temp', 'fresh', { flags: ['\\Deleted'] })
        expect(fresh.uid).toBe(uid)
        const before = await select('Temp')
        const [record] = before.records()

        const found = await run(old, uid)

        expect(found).not.toMatchObject({ ok: true })
        await expect(old.refresh()).rejects.toBeInstanceOf(MailboxGoneError)
        await before.refresh()
        expect(before.records()).toEqual([record])
        expect(value(await account.status('Target')).messages).toBe(0)
        await before.close()
        await old.close()
      })

      test('rename takes children and messages along, and keeps UIDs and UIDVALIDITY', async () => {
        value(await account.create('Work/2026'))
        const before = await append(store, ann, 'Work/2026', 'one')
        value(await account.rename('Work', 'Old/Work'))
        const after = await select('Old/Work/2026')
        expect(uidsOf(after.records())).toEqual([before.uid])
        expect(after.uidValidity).toBe(before.uidValidity)
        expect(Object.keys(await listed())).toEqual(['INBOX', 'Old', 'Old/Work', 'Old/Work/2026'])
        expect(refusal(await account.rename('Work', 'Other'))).toBe('no-such-mailbox')
        expect(refusal(await account.rename('Old/Work', 'INBOX'))).toBe('mailbox-exists')
        expect((await account.rename('Old', 'Old/Work/Deeper')).ok).toBe(false)
      })

      test('rename of INBOX moves its messages and leaves it empty', async () => {
        const { uid } = await append(store, ann, 'INBOX', 'one', { flags: ['\\Seen'] })
        value(await account.rename('INBOX', 'Saved'))
        expect((await select('Saved')).records()).toHaveLength(1)
        const inbox = await select()
        expect(inbox.records()).toEqual([])
        expect((await append(store, ann, 'INBOX', 'two')).uid).toBeGreaterThan(uid)
      })

      test('subscriptions are of names, whether there is a mailbox or not', async () => {
        value(await account.create('Lists'))
        value(await account.subscribe('Lists', true))
        value(await account.subscribe('Gone/Away', true))
        value(await account.subscribe('INBOX', true))
        const subscribed = async () =>
          (await account.list()).filter(({ isSubscribed }) => isSubscribed).map(({ name }) => name)
        expect(await subscribed()).toEqual(['INBOX', 'Gone/Away', 'Lists'])
        expect((await listed())['Gone/Away']).toContain('\\NonExistent')
        value(await account.subscribe('Gone/Away', false))
        value(await account.subscribe('Never', false))
        expect(await subscribed()).toEqual(['INBOX', 'Lists'])
      })

      test('status counts without taking what is recent', async () => {
        await append(store, ann, 'INBOX', 'one')
        await append(store, ann, 'INBOX', 'two', { flags: ['\\Seen', '\\Deleted'] })
        const last = await append(store, ann, 'INBOX', 'three')
        const status = value(await account.status('INBOX'))
        expect(status).toMatchObject({ messages: 3, unseen: 2, deleted: 1, recent: 3, uidValidity: last.uidValidity })
        expect(status.bytes).toBe(['one', 'two', 'three'].reduce((sum, name) => sum + message(name).length, 0))
        expect(status.uidNext).toBeGreaterThan(last.uid)
        expect((await select()).recent().size).toBe(3)
        expect(refusal(await account.status('Nowhere'))).toBe('no-such-mailbox')
      })

      test.each([
        ['empty', ''],
        ['an empty level', 'a//b'],
        ['a leading separator', '/etc/passwd'],
        ['NUL', 'a\0b'],
        ['CR LF', 'a\r\nb'],
        ['half a surrogate pair', 'a\ud800'],
      ])('MB-01: a name with %s is refused', async (_, name) => {
        expect(refusal(await account.create(name))).toBe('bad-name')
        expect((await account.open(name, 'read-only')).ok).toBe(false)
        expect((await store.deliver(ann, name, { flags: [] })).ok).toBe(false)
      })

      test.each([
        ['a dot', 'v1.0'],
        ['only dots', '../../x'],
        ['a tilde', '~ann'],
        ['an ampersand', 'A&B'],
        ['what looks encoded', 'A&AC8-B'],
        ['words of the layout', 'cur/new/tmp'],
        ['other scripts', 'Entwürfe/受信箱/😀'],
        ['wildcards and quotes', 'a*b%c"d\\e'],
        ['blanks at its ends', ' a '],
      ])('MB-04: a name with %s is a name like any other', async (_, name) => {
        value(await account.create(name))
        const { uid } = await append(store, ann, name, 'one')
        expect((await account.list()).map((listing) => listing.name)).toContain(name)
        expect(uidsOf((await select(name)).records())).toEqual([uid])
        value(await account.delete(name))
      })
    })
  })
}
