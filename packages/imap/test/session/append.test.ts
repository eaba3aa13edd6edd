import { expect, test } from 'vitest'
import { dialogue, play, selectedInbox, signedIn, TestSession } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

test('APPEND with flags and date; the message shows with its UID', async () => {
  const session = await selectedInbox()
  session.take()
  await play(
    session,
    `
    C: a APPEND INBOX (\\Seen $Forwarded) " 7-Feb-1994 21:52:25 -0800" {10}
    S: + Ready for the message
    C: a: b
    C:
    C: xy
    S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)
    S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded \\*)] Flags permitted
    S: * 1 EXISTS
    S: * 1 RECENT
    S: a OK [APPENDUID 1001 1] Append completed
    C: b FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])
    S: * 1 FETCH (FLAGS (\\Seen \\Recent $Forwarded) INTERNALDATE " 8-Feb-1994 05:52:25 +0000" BODY[] {10}
    S: a: b
    S:
    S: xy)
    S: b OK *
    `,
  )
})

test('without a date the clock gives it; line ends become CRLF; literals that do not wait', async () => {
  const session = await selectedInbox()
  session.take()
  await session.send('a APPEND {5+}\r\ninbox {7+}\r\na: b\n\nx\r\n')
  expect(session.take()).toBe('* 1 EXISTS\r\n* 1 RECENT\r\na OK [APPENDUID 1001 1] Append completed\r\n')
  expect(await session.ask('b FETCH 1 (INTERNALDATE RFC822.SIZE)')).toContain(
    '(INTERNALDATE " 3-Feb-2026 04:05:06 +0000" RFC822.SIZE 9)',
  )
})

test.for([
  ['a missing mailbox', 'nowhere {10}', 'NO [TRYCREATE] No such mailbox'],
  ['too big', 'INBOX {100001}', 'NO [TOOBIG] Message is too big'],
  ['IM-03: 4 GiB', 'INBOX {4294967295}', 'NO [TOOBIG] Message is too big'],
  ['empty', 'INBOX {0}', 'NO [CANNOT] A message cannot be empty'],
  ['an unknown system flag', 'INBOX (\\Bogus) {10}', 'BAD A client cannot set this flag'],
  ['a broken date', 'INBOX "yesterday" {10}', 'BAD Arguments are missing or malformed'],
  ['flags after the date', 'INBOX " 7-Feb-1994 21:52:25 -0800" () {10}', 'BAD Arguments are missing or malformed'],
  ['a bad name', '&bad {10}', 'NO [CANNOT] Not a name for a mailbox'],
  ['no message', 'INBOX', 'BAD Arguments are missing or malformed'],
  ['IM-03: 2^64-1', 'INBOX {18446744073709551615}', 'BAD Arguments are missing or malformed'],
  ['IM-03: hexadecimal', 'INBOX {0x10}', 'BAD Arguments are missing or malformed'],
  ['IM-03: negative', 'INBOX {-1}', 'BAD Arguments are missing or malformed'],
  ['leading zeros', 'INBOX {00}', 'BAD Arguments are missing or malformed'],
  ['a name that is too long a literal', '{70000}', 'NO [TOOBIG] Literal is too big'],
])('APPEND is refused before its message is asked for: %s', async ([, args, answer]) => {
  const session = await signedIn()
  expect(await session.ask(`a APPEND ${args}`)).toBe(`a ${answer}\r\n`)
  expect(await session.ask('b NOOP')).toBe('b OK Noop completed\r\n')
})

test('what a client sent without waiting for the refusal is skipped, not read as commands', async () => {
  const session = await signedIn()
  session.take()
  await session.send('a APPEND nowhere {12+}\r\nx DELETE a\r\n\r\nb NOOP\r\n')
  expect(session.take()).toBe('a NO [TRYCREATE] No such mailbox\r\nb OK Noop completed\r\n')
})

test('IM-05: a message that breaks off leaves nothing', async () => {
  const store = new MemoryStore()
  const session = await signedIn({ store })
  await session.send('a APPEND INBOX {10}\r\n12345')
  await session.machine.ended('connection-lost')
  expect(store.mailboxes(account).get('INBOX')?.messages.size).toBe(0)
})

test('MULTIAPPEND: two messages in one APPEND (RFC 3502 section 6.3.11)', async () => {
  const store = new MemoryStore()
  const session = await signedIn({ store })
  session.take()
  await session.send('a APPEND INBOX (\\Seen) {10}\r\n')
  expect(session.take()).toBe('+ Ready for the message\r\n')
  await session.send('A: one\r\n\r\n (\\Seen $Later) " 7-Feb-1994 22:43:04 -0800" {11+}\r\nA: two\r\n\r\nx')
  await session.send('\r\n')
  expect(session.take()).toBe('a OK [APPENDUID 1001 1:2] Append completed\r\n')
  expect(await session.ask('b EXAMINE INBOX')).toMatch(/^\* 2 EXISTS\r$/m)
  expect(await session.ask('c FETCH 2 (FLAGS INTERNALDATE BODY[])')).toBe(
    '* 2 FETCH (FLAGS (\\Seen $Later) INTERNALDATE " 8-Feb-1994 06:43:04 +0000" BODY[] {11}\r\nA: two\r\n\r\nx)\r\n' +
      'c OK Fetch completed\r\n',
  )
})

test.for([
  ['the second is empty', '{0+}\r\n\r\n', 'NO [CANNOT] A message cannot be empty'],
  ['the second is too big', '{100001}\r\n', 'NO [TOOBIG] Message is too big'],
  ['the second has no size', '(\\Seen)\r\n', 'BAD Arguments are missing or malformed'],
  ['the second has a bad date', '"x" {1+}\r\nx\r\n', 'BAD Arguments are missing or malformed'],
  ['the second is to be recent', '(\\Recent) {1+}\r\nx\r\n', 'BAD A client cannot set this flag'],
  ['the second has an unknown flag', '(\\Odd) {1+}\r\nx\r\n', 'BAD A client cannot set this flag'],
  ['the third is one too many', '{1+}\r\nx {1+}\r\ny\r\n', 'NO [LIMIT] Too many messages'],
  ['the second holds NUL', '{1+}\r\n\0\r\n', 'BAD NUL needs a literal8'],
])('MULTIAPPEND: nothing is added when %s', async ([, second, answer]) => {
  const store = new MemoryStore()
  const session = await signedIn({ store, limits: { maxAppendMessages: 2 } })
  session.take()
  await session.send(`a APPEND INBOX {1+}\r\nx ${second}b NOOP\r\n`)
  expect(session.take()).toBe(`a ${answer}\r\nb OK Noop completed\r\n`)
  expect(store.mailboxes(account).get('INBOX')?.messages.size).toBe(0)
})

test('MULTIAPPEND: nothing is added when the client leaves behind the first message', async () => {
  const store = new MemoryStore()
  const session = await signedIn({ store })
  await session.send('a APPEND INBOX {1+}\r\nx {3+}\r\ny')
  await session.machine.ended('connection-lost')
  expect(store.mailboxes(account).get('INBOX')?.messages.size).toBe(0)
})

test('MULTIAPPEND is offered by a store that commits together, and by no other', async () => {
  const store = new MemoryStore()
  expect(await (await signedIn({ store })).ask('a CAPABILITY')).toMatch(/ MULTIAPPEND /)
  store.can = []
  expect(await (await signedIn({ store })).ask('a CAPABILITY')).not.toMatch(/ MULTIAPPEND /)
})

test('without MULTIAPPEND a second message is BAD, and nothing is added', async () => {
  const store = new MemoryStore()
  store.can = []
  const session = await signedIn({ store })
  session.take()
  await session.send('a APPEND INBOX {1+}\r\nx {3+}\r\nabc\r\nb APPEND INBOX {1}\r\n')
  await session.send('y {7}\r\n')
  expect(session.take()).toBe(
    'a BAD One message is expected\r\n+ Ready for the message\r\nb BAD One message is expected\r\n',
  )
  expect(await session.ask('c NOOP')).toBe('c OK Noop completed\r\n')
  expect(store.mailboxes(account).get('INBOX')?.messages.size).toBe(0)
})

test('a session that stops lets a message under way arrive', async () => {
  const store = new MemoryStore()
  const session = await signedIn({ store })
  session.take()
  await session.send('a APPEND INBOX {10}\r\n12345')
  await session.stop()
  await session.send('67890\r\nb NOOP\r\n')
  expect(session.take()).toBe(
    '+ Ready for the message\r\na OK [APPENDUID 1001 1] Append completed\r\n* BYE [UNAVAILABLE] imap.example Shutting down\r\n',
  )
  expect(session.closed).toBe('stopping')
})

test('a growing message keeps the session alive', async () => {
  const session = await signedIn()
  await session.send('a APPEND INBOX {10}\r\n')
  await session.send('123')
  expect(session.wishes.at(-1)).toEqual({ next: 'read', patienceMs: 1_800_000 })
})

test('the store has no room', async () => {
  const store = new MemoryStore()
  const session = await signedIn({ store })
  store.refuses = 'no-space'
  expect(await session.ask('a APPEND INBOX {3}')).toBe('a NO [UNAVAILABLE] No space left, try again later\r\n')
  store.refuses = 'over-quota'
  expect(await session.ask('a APPEND INBOX {3}')).toBe('a NO [OVERQUOTA] Over quota\r\n')
})

test(
  'APPEND before login is BAD and invites nothing',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a APPEND INBOX {3}
    S: a BAD Command is not valid in this state
    `,
  ),
)

test('every split of an APPEND gives the same answer', async () => {
  const input = 'a APPEND {5+}\r\nINBOX (\\Draft) {12+}\r\na: b\r\n\r\nx{3}\r\nb NOOP\r\n'
  for (let cut = 1; cut < input.length; cut += 1) {
    const session = await signedIn()
    session.take()
    await session.send(input.slice(0, cut))
    await session.send(input.slice(cut))
    expect(session.take(), `cut at ${cut}`).toBe('a OK [APPENDUID 1001 1] Append completed\r\nb OK Noop completed\r\n')
  }
})

test('a refused APPEND before login does not wait for its octets', async () => {
  const session = new TestSession({ security: 'tls' })
  await session.start()
  session.take()
  await session.send('a APPEND INBOX {3+}\r\nxyz\r\nb NOOP\r\n')
  expect(session.take()).toBe('a BAD Command is not valid in this state\r\nb OK Noop completed\r\n')
})
