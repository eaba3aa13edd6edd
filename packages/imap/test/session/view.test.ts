import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Believer } from '../believer.ts'
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
