// REPLACE and UID REPLACE (RFC 8508).
import { expect, test } from 'vitest'
import { selectedInbox, signedIn, type TestSession } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

function drafts(): MemoryStore {
  const store = new MemoryStore()
  store.put(account, 'INBOX', 'Subject: one\r\n\r\n')
  store.put(account, 'INBOX', 'Subject: two\r\n\r\n', ['\\Seen', '\\Draft'])
  store.put(account, 'Drafts', 'Subject: other\r\n\r\n')
  return store
}

async function inbox(store: MemoryStore): Promise<TestSession> {
  const session = await selectedInbox({ store })
  session.take()
  return session
}

test('REPLACE within the mailbox tells the new UID, the new message, and that the old one is gone', async () => {
  const session = await inbox(drafts())
  await session.send('a REPLACE 2 INBOX (\\Seen \\Draft) {17}\r\n')
  expect(session.take()).toBe('+ Ready for the message\r\n')
  await session.send('Subject: new\r\n\r\nx\r\n')
  expect(session.take()).toBe(
    '* OK [APPENDUID 1001 3] Replacement is there\r\n* 2 EXPUNGE\r\n* 2 EXISTS\r\n* 2 RECENT\r\na OK Replace completed\r\n',
  )
  expect(await session.ask('b FETCH 1:* (UID FLAGS)')).toBe(
    '* 1 FETCH (UID 1 FLAGS (\\Recent))\r\n* 2 FETCH (UID 3 FLAGS (\\Seen \\Draft \\Recent))\r\nb OK Fetch completed\r\n',
  )
})

test('UID REPLACE into another mailbox', async () => {
  const store = drafts()
  const session = await inbox(store)
  await session.send('a UID REPLACE 1 {6+}\r\nDrafts {3+}\r\nnew\r\n')
  expect(session.take()).toBe(
    '* OK [APPENDUID 1002 2] Replacement is there\r\n* 1 EXPUNGE\r\n* 1 RECENT\r\na OK Replace completed\r\n',
  )
  expect(store.mailboxes(account).get('Drafts')?.messages.size).toBe(2)
})

test.for([
  ['REPLACE 3 INBOX', 'BAD No such message'],
  ['REPLACE 0 INBOX', 'BAD Arguments are missing or malformed'],
  ['REPLACE 1:2 INBOX', 'BAD Arguments are missing or malformed'],
  ['REPLACE 1,2 INBOX', 'BAD Arguments are missing or malformed'],
  ['REPLACE INBOX', 'BAD Arguments are missing or malformed'],
  ['UID REPLACE 9 INBOX', 'NO [NONEXISTENT] No such message'],
  ['REPLACE 1 Nowhere', 'NO [TRYCREATE] No such mailbox'],
  ['REPLACE 1 INBOX (\\Odd)', 'BAD A client cannot set this flag'],
])('%s is refused before the message is sent', async ([command, answer]) => {
  const store = drafts()
  const session = await inbox(store)
  expect(await session.ask(`a ${command} {3}`)).toBe(`a ${answer}\r\n`)
  expect(store.mailboxes(account).get('INBOX')?.messages.size).toBe(2)
})

test('REPLACE takes one message', async () => {
  const store = drafts()
  const session = await inbox(store)
  await session.send('a REPLACE 1 INBOX {1+}\r\nx {1+}\r\ny\r\n')
  expect(session.take()).toBe('a BAD One message is expected\r\n')
  expect(await session.ask('b REPLACE 1 INBOX')).toMatch(/^b BAD /)
  await session.send('c REPLACE 1 INBOX {3+}\r\na\0b\r\n')
  expect(session.take()).toMatch(/^c BAD /)
  expect(store.mailboxes(account).get('INBOX')?.messages.size).toBe(2)
})

test('a message that cannot be taken away is told; the new one is there', async () => {
  const store = drafts()
  const session = await inbox(store)
  await session.send('a REPLACE 1 INBOX {3+}\r\nne')
  store.refuses = 'unavailable'
  await session.send('w\r\n')
  expect(session.take()).toMatch(/^\* OK \[APPENDUID 1001 3\][^]*a NO \[UNAVAILABLE\]/)
  expect(store.mailboxes(account).get('INBOX')?.messages.size).toBe(3)
})

test('REPLACE changes nothing in a mailbox that is only read, and needs one', async () => {
  const session = await signedIn({ store: drafts() })
  expect(await session.ask('a REPLACE 1 INBOX {3}')).toMatch(/^a BAD /)
  await session.ask('b EXAMINE INBOX')
  expect(await session.ask('c REPLACE 1 INBOX {3}')).toBe('c NO Mailbox is read-only\r\n')
})
