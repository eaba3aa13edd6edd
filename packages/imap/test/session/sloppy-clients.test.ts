/* What the grammar does not allow and clients send all the same, and which can mean one thing only (ADR 0039). */
import { expect, test } from 'vitest'
import { selectedInbox, signedIn } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

function one(): { store: MemoryStore } {
  const store = new MemoryStore()
  store.put(account, 'INBOX', 'Subject: soup\r\n\r\nhot\r\n', ['\\Seen'])
  store.mailboxes(account).set('Sent', store.newMailbox())
  return { store }
}

test.for([
  ['NOOP   ', 'a OK Noop completed\r\n'],
  ['STORE 1  FLAGS.SILENT   (\\Deleted   \\Seen)', 'a OK Store completed\r\n'],
  ['STORE 1 FLAGS.SILENT \\Deleted \\Seen  ', 'a OK Store completed\r\n'],
  ['FETCH  1  (  UID   FLAGS )', '* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))\r\na OK Fetch completed\r\n'],
  [
    'FETCH 1 BODY.PEEK[HEADER.FIELDS ( Subject )]<0.12>',
    '* 1 FETCH (BODY[HEADER.FIELDS (Subject)]<0> "Subject: sou")\r\na OK Fetch completed\r\n',
  ],
  ['UID  FETCH 1 UID', '* 1 FETCH (UID 1)\r\na OK Fetch completed\r\n'],
  ['STATUS Sent (  MESSAGES  ) ', '* STATUS "Sent" (MESSAGES 0)\r\na OK Status completed\r\n'],
  ['LIST  ""   "Se*"  ', '* LIST (\\HasNoChildren) "/" "Sent"\r\na OK List completed\r\n'],
  ['SEARCH  ALL   NOT  DELETED ', '* SEARCH 1\r\na OK Search completed\r\n'],
  ['SORT  ( REVERSE   DATE )  UTF-8   ALL', '* SORT 1\r\na OK Sort completed\r\n'],
  ['ENABLE   X-UNKNOWN  ', '* ENABLED\r\na OK Enable completed\r\n'],
  ['CREATE   "A  B"   ', 'a OK [MAILBOXID (F1003)] Mailbox created\r\n'],
  ['SEARCH SUBJECT {4+}\r\nsoup  ', '* SEARCH 1\r\na OK Search completed\r\n'],
  ['SEARCH SUBJECT {6+}\r\nsoup  ', '* SEARCH\r\na OK Search completed\r\n'],
])('more spaces than one are one: %s', async ([line, answer]) => {
  const session = await selectedInbox(one())
  expect(await session.ask(`a ${line}`)).toBe(answer)
})

test('spaces at the end of a literal are part of it, and those behind it are not', async () => {
  const session = await signedIn(one())
  await session.send('a CREATE {6+}\r\nA  B  \r\n')
  expect(session.take()).toMatch(/^a OK /)
  expect(await session.ask('b LIST "" "A*"')).toContain('"A  B  "')
  await session.send('c APPEND  Sent  (\\Seen)   {6+}\r\na: b  \r\n')
  expect(session.take()).toMatch(/^c OK \[APPENDUID /)
  await session.send('d APPEND Sent {6+}\r\na: b\r\n   \r\n')
  expect(session.take()).toMatch(/^d OK \[APPENDUID /)
})

test('a tag is followed by one space and a command, and a word has no space in it', async () => {
  const session = await signedIn(one())
  expect(await session.ask('a  NOOP')).toBe('a BAD Command is malformed\r\n')
  expect(await session.ask(' NOOP')).toMatch(/^\* BAD /)
  expect(await session.ask('a STATUS Sent (MES SAGES)')).toMatch(/^a BAD /)
  expect(await session.ask('a STATUS Sent ()(MESSAGES)')).toMatch(/^a BAD /)
})

test.for([
  ['("name" probe)'],
  ['(name probe version 1.2.3)'],
  ['("name", "probe", "version", NIL)'],
  ['( "name"  "probe" )'],
  ['("name" "probe" "version" 1.2.3)'],
])('ID %s is answered', async ([pairs]) => {
  const session = await signedIn()
  expect(await session.ask(`a ID ${pairs}`)).toMatch(/^\* ID \("name" "Postern" .*\r\na OK /)
})

test.for(['', '(', '("name")', '("name" "probe"', '(,)', '("name" ("probe"))', '"name" "probe"'])(
  'ID %s is BAD',
  async (pairs) => {
    const session = await signedIn()
    expect(await session.ask(`a ID ${pairs}`)).toMatch(/^a BAD /)
  },
)
