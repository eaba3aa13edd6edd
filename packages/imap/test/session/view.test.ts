import type { MessageRecord, Uid } from '@postern/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Believer } from '../believer.ts'
import { wantsAll } from '../../src/session/state.ts'
import { MailboxView } from '../../src/session/view.ts'
import { selectedInbox } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

const step = fc.record({
  who: fc.nat(1),
  what: fc.constantFrom(
    'NOOP',
    'EXPUNGE',
    'SEARCH ALL',
    'UID SEARCH ALL',
    'UID SEARCH {n}',
    'FETCH {n} (UID FLAGS)',
    'FETCH 1:* (UID)',
    'UID FETCH 1:* (FLAGS)',
    'STORE {n} +FLAGS.SILENT (\\Deleted)',
    'STORE {n} -FLAGS (\\Deleted)',
    'UID STORE 1:* +FLAGS (\\Seen)',
    'FETCH {n} BODY[]',
    'COPY {n} INBOX',
    'MOVE {n} Other',
    'IDLE\r\nDONE',
    'put',
  ),
  number: fc.nat(1000),
})

test('IM-22: whatever two sessions do in whatever order, numbers mean to each what it was told', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const store = new MemoryStore()
      for (let count = 0; count < 5; count += 1) store.put(account, 'INBOX', `Subject: ${count}\r\n\r\nx`)
      store.mailboxes(account).set('Other', store.newMailbox())
      const clients = [
        new Believer(await selectedInbox({ store }), [1, 2, 3, 4, 5]),
        new Believer(await selectedInbox({ store }), [1, 2, 3, 4, 5]),
      ]
      for (const { who, what, number } of steps) {
        const client = clients[who]
        if (what === 'put') store.put(account, 'INBOX', 'Subject: new\r\n\r\nx')
        else if (client !== undefined && client.uids.length > 0) {
          await client.ask(what.replace('{n}', String((number % client.uids.length) + 1)))
        }
      }
      for (const client of clients) {
        await client.ask('NOOP')
        await client.ask('UID FETCH 1:* (UID)')
        expect(client.faults).toEqual([])
        expect(client.uids).toEqual([...(store.mailboxes(account).get('INBOX')?.messages.keys() ?? [])])
      }
    }),
    {
      numRuns: 200,
      // The number was sent before its client could know that another message has it now.
      examples: [
        [
          [
            { who: 0, what: 'MOVE {n} Other', number: 0 },
            { who: 1, what: 'UID SEARCH {n}', number: 0 },
          ],
        ],
      ],
    },
  )
})

const record = (uid: number, flags: readonly string[] = []): MessageRecord => ({
  uid: uid as Uid,
  flags,
  bytes: 1,
  internalDate: new Date(0),
})

test('a view keeps the list of the store while it says the same, and a list of its own from the first change', () => {
  const first = [record(1), record(2), record(3)]
  const before = [...first]
  const view = new MailboxView(first, 0)
  expect(view.records).toBe(first)
  view.update(record(2, ['\\Seen']))
  expect(view.records).not.toBe(first)
  expect(first).toEqual(before)
  // Another flag than the client was told, fewer messages, and more.
  for (const other of [first, first.slice(0, 2), [...first, record(4)]]) {
    view.share(other)
    expect(view.records).not.toBe(other)
  }
  const same = [record(1), record(2, ['\\Seen']), record(3)]
  view.expunge([3 as Uid])
  view.share(same)
  expect(view.records).not.toBe(same)
  view.tell(true, undefined, wantsAll)
  const left = same.slice(0, 2)
  view.share(left)
  expect(view.records).toBe(left)
})
