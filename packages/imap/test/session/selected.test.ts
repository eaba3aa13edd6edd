import { expect, test } from 'vitest'
import { inInbox, play, selectedInbox, signedIn } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

function three(): { store: MemoryStore } {
  const store = new MemoryStore()
  store.put(account, 'INBOX', 'Subject: one\r\n\r\nfirst\r\n', ['\\Seen'], new Date('1996-07-17T09:44:25Z'))
  store.put(account, 'INBOX', 'Subject: two\r\n\r\nsecond\r\n')
  store.put(account, 'INBOX', 'Subject: three\r\n\r\nthird\r\n', ['\\Flagged', '$label1'])
  store.mailboxes(account).set('Sent', store.newMailbox())
  return { store }
}

test('SELECT tells everything of RFC 3501 section 6.3.1', async () => {
  const session = await signedIn(three())
  session.take()
  await play(
    session,
    `
    C: a SELECT Inbox
    S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $label1)
    S: * 3 EXISTS
    S: * 3 RECENT
    S: * OK [UNSEEN 2] First unseen message
    S: * OK [UIDVALIDITY 1001] UIDs valid
    S: * OK [UIDNEXT 4] Predicted next UID
    S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $label1 \\*)] Flags permitted
    S: * OK [HIGHESTMODSEQ 4] Highest modification sequence
    S: * OK [MAILBOXID *
    S: a OK [READ-WRITE] Mailbox opened
    C: b EXAMINE INBOX
    S: * FLAGS *
    S: * 3 EXISTS
    S: * 0 RECENT
    S: * OK [UNSEEN 2] First unseen message
    S: * OK [UIDVALIDITY 1001] UIDs valid
    S: * OK [UIDNEXT 4] Predicted next UID
    S: * OK [PERMANENTFLAGS ()] Flags permitted
    S: * OK [HIGHESTMODSEQ 4] Highest modification sequence
    S: * OK [MAILBOXID *
    S: b OK [READ-ONLY] Mailbox opened
    C: c STORE 1 FLAGS ()
    S: c NO Mailbox is read-only
    C: d EXPUNGE
    S: d NO Mailbox is read-only
    C: e SELECT nowhere
    S: e NO [NONEXISTENT] No such mailbox
    C: f FETCH 1 FLAGS
    S: f BAD Command is not valid in this state
    `,
  )
})

test(
  'STORE in all its forms',
  inInbox(
    three,
    `
    C: a STORE 1:2 +FLAGS (\\Deleted)
    S: * 1 FETCH (FLAGS (\\Deleted \\Seen \\Recent))
    S: * 2 FETCH (FLAGS (\\Deleted \\Recent))
    S: a OK Store completed
    C: b UID STORE 2 -FLAGS \\deleted
    S: * 2 FETCH (UID 2 FLAGS (\\Recent))
    S: b OK *
    C: c STORE 2 FLAGS.SILENT (\\Answered $LABEL1)
    S: c OK *
    C: d FETCH 2 FLAGS
    S: * 2 FETCH (FLAGS (\\Answered \\Recent $label1))
    S: d OK *
    C: e STORE 2 +FLAGS new
    S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $label1 new)
    S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $label1 new \\*)] Flags permitted
    S: * 2 FETCH (FLAGS (\\Answered \\Recent $label1 new))
    S: e OK *
    C: f STORE 2 FLAGS \\Recent
    S: f BAD A client cannot set this flag
    C: g STORE 2 FLAGS \\Bogus
    S: g BAD A client cannot set this flag
    C: h STORE 4 FLAGS ()
    S: h BAD No such message
    C: i UID STORE 99 FLAGS ()
    S: i OK *
    `,
  ),
)

test(
  'EXPUNGE counts down as it goes; UID EXPUNGE takes only its own',
  inInbox(
    three,
    `
    C: a STORE 1:3 +FLAGS.SILENT \\Deleted
    S: a OK *
    C: b UID EXPUNGE 2:2
    S: * 2 EXPUNGE
    S: * 2 RECENT
    S: b OK Expunge completed
    C: c EXPUNGE
    S: * 1 EXPUNGE
    S: * 1 EXPUNGE
    S: * 0 RECENT
    S: c OK *
    C: d NOOP
    S: d OK *
    `,
  ),
)

test(
  'CLOSE expunges without a word, UNSELECT not at all',
  inInbox(
    three,
    `
    C: a STORE 1 +FLAGS.SILENT \\Deleted
    S: a OK *
    C: b UNSELECT
    S: b OK Mailbox closed
    C: c STATUS INBOX (MESSAGES)
    S: * STATUS "INBOX" (MESSAGES 3)
    S: c OK *
    C: d SELECT INBOX
    S: * FLAGS *
    S: * 3 EXISTS
    S: * 0 RECENT
    S: * OK [UNSEEN 2] *
    S: * OK [UIDVALIDITY 1001] *
    S: * OK [UIDNEXT 4] *
    S: * OK [PERMANENTFLAGS *
    S: * OK [HIGHESTMODSEQ 5] *
    S: * OK [MAILBOXID *
    S: d OK *
    C: e CLOSE
    S: e OK Mailbox closed
    C: f STATUS INBOX (MESSAGES)
    S: * STATUS "INBOX" (MESSAGES 2)
    S: f OK *
    `,
  ),
)

test(
  'COPY and MOVE tell where messages went',
  inInbox(
    three,
    `
    C: a COPY 2:3 Sent
    S: a OK [COPYUID 1002 2:3 1:2] Copy completed
    C: b UID MOVE 1,3 Sent
    S: * OK [COPYUID 1002 1,3 3:4] Moved to Sent
    S: * 1 EXPUNGE
    S: * 2 EXPUNGE
    S: * 1 RECENT
    S: b OK Move completed
    C: c COPY 1 Nowhere
    S: c NO [TRYCREATE] No such mailbox
    C: d UID COPY 77 Sent
    S: d OK No messages matched
    C: e COPY 2 Sent
    S: e BAD No such message
    C: f COPY 1 INBOX
    S: * 2 EXISTS
    S: * 2 RECENT
    S: f OK [COPYUID 1001 2 4] *
    `,
  ),
)

test('what others did is told with NOOP, and EXPUNGE never with FETCH, STORE or SEARCH', async () => {
  const { store } = three()
  const session = await selectedInbox({ store })
  const other = await selectedInbox({ store })
  await other.ask('x STORE 1 +FLAGS \\Deleted')
  await other.ask('y EXPUNGE')
  await other.ask('z STORE 1 +FLAGS \\Seen')
  store.put(account, 'INBOX', 'Subject: four\r\n\r\nfourth\r\n')
  await play(
    session,
    `
    C: a SEARCH ALL
    S: * 4 EXISTS
    S: * 3 RECENT
    S: * 2 FETCH (FLAGS (\\Seen \\Recent))
    S: * SEARCH 2 3 4
    S: a OK *
    C: b FETCH 1:3 (UID FLAGS)
    S: * 1 FETCH (UID 1 FLAGS (\\Seen))
    S: * 2 FETCH (UID 2 FLAGS (\\Seen \\Recent))
    S: * 3 FETCH (UID 3 FLAGS (\\Flagged \\Recent $label1))
    S: b OK *
    C: c STORE 3 FLAGS.SILENT ()
    S: c OK *
    C: d NOOP
    S: * 1 EXPUNGE
    S: d OK *
    C: e UID FETCH 2:* FLAGS
    S: * 1 FETCH (UID 2 FLAGS (\\Seen \\Recent))
    S: * 2 FETCH (UID 3 FLAGS (\\Recent))
    S: * 3 FETCH (UID 4 FLAGS (\\Recent))
    S: e OK *
    `,
  )
})

test('IM-22: a message that another session expunged is never another message', async () => {
  const { store } = three()
  const session = await selectedInbox({ store })
  const other = await selectedInbox({ store })
  await other.ask('x STORE 2 +FLAGS \\Deleted')
  await other.ask('y EXPUNGE')
  await play(
    session,
    `
    C: a FETCH 2:3 BODY.PEEK[TEXT]
    S: * 3 FETCH (BODY[TEXT] {7}
    S: third
    S: )
    S: a OK [EXPUNGEISSUED] Some of the messages are gone
    C: b STORE 2 +FLAGS \\Seen
    S: b OK [EXPUNGEISSUED] *
    C: c UID STORE 2 +FLAGS \\Seen
    S: c OK [EXPUNGEISSUED] Some of the messages are gone
    C: c NOOP
    S: * 2 EXPUNGE
    S: * 2 RECENT
    S: c OK *
    C: d FETCH 2 BODY.PEEK[TEXT]
    S: * 2 FETCH (BODY[TEXT] {7}
    S: third
    S: )
    S: d OK *
    `,
  )
})

test('RFC 2180 section 4.4.1: messages that are all gone were not copied, nor moved; of some of them the others were', async () => {
  const { store } = three()
  const sessions = [
    await selectedInbox({ store }),
    await selectedInbox({ store }),
    await selectedInbox({ store }),
  ] as const
  await sessions[0].ask('w CREATE Sent')
  await sessions[0].ask('x STORE 1:2 +FLAGS \\Deleted')
  await sessions[0].ask('y EXPUNGE')
  await play(
    sessions[1],
    `
    C: a COPY 1:2 Sent
    S: * 1 EXPUNGE
    S: * 1 EXPUNGE
    S: a NO [EXPUNGEISSUED] None of the messages is there any more
    C: b UID MOVE 1:2 Sent
    S: b OK No messages matched
    `,
  )
  await play(
    sessions[2],
    `
    C: a MOVE 2:3 Sent
    S: * OK [COPYUID 1002 3 1] Moved to Sent
    S: * 1 EXPUNGE
    S: * 1 EXPUNGE
    S: * 1 EXPUNGE
    S: a OK *
    `,
  )
})

test('RFC 6851 section 3.3: a MOVE that fails half-way tells what it moved, and that it failed', async () => {
  const { store } = three()
  const session = await selectedInbox({ store })
  store.refuses = 'no-space'
  await play(
    session,
    `
    C: a MOVE 1:3 Sent
    S: * OK [COPYUID 1002 1 1] Moved to Sent
    S: * 1 EXPUNGE
    S: * 2 RECENT
    S: a NO [UNAVAILABLE] No space left, try again later
    C: b UID SEARCH ALL
    S: * SEARCH 2 3
    S: b OK *
    `,
  )
})

test('.SILENT keeps back only what the client knows', async () => {
  const { store } = three()
  const session = await selectedInbox({ store })
  const other = await selectedInbox({ store })
  await other.ask('x STORE 2 +FLAGS \\Answered')
  await play(
    session,
    `
    C: a STORE 2 +FLAGS.SILENT \\Seen
    S: * 2 FETCH (FLAGS (\\Answered \\Seen \\Recent))
    S: a OK *
    `,
  )
})

test('IDLE tells what comes, keeps the line warm, and ends with DONE', async () => {
  const { store } = three()
  const session = await selectedInbox({ store })
  session.take()
  await play(session, 'C: a IDLE\nS: + idling')
  expect(session.wishes.at(-1)).toEqual({ next: 'read', patienceMs: 120_000 })
  store.put(account, 'INBOX', 'Subject: four\r\n\r\nfourth\r\n')
  await play(session, '!rest\nS: * 4 EXISTS\nS: * 4 RECENT\n!tick\nS: * OK Still here')
  const other = await selectedInbox({ store })
  await other.ask('x STORE 1 +FLAGS.SILENT \\Deleted')
  await play(session, '!rest\nS: * 1 FETCH (FLAGS (\\Deleted \\Seen \\Recent))')
  await other.ask('y EXPUNGE')
  await play(session, '!rest\nS: * 1 EXPUNGE\nS: * 3 RECENT\nC: done\nS: a OK Idle completed')
  store.put(account, 'INBOX', 'Subject: five\r\n\r\n')
  await play(session, '!rest\nC: b NOOP\nS: * 4 EXISTS\nS: * 4 RECENT\nS: b OK *')
})

test('IM-18: all who idle may hear of one change: others have the event loop before each of them is told', async () => {
  const { store } = three()
  const session = await selectedInbox({ store })
  await play(session, 'C: a IDLE\nS: + idling')
  const before = session.turns
  store.put(account, 'INBOX', 'Subject: four\r\n\r\nfourth\r\n')
  await play(session, '!rest\nS: * 4 EXISTS\nS: * 4 RECENT')
  expect(session.turns).toBe(before + 1)
})

test('IM-18: anything but DONE ends IDLE as BAD; DONE may be pipelined', async () => {
  const session = await selectedInbox(three())
  session.take()
  await session.send('a IDLE\r\nDONE\r\nb IDLE\r\nc LOGIN {3}\r\nd NOOP\r\n')
  expect(session.take()).toBe(
    '+ idling\r\na OK Idle completed\r\n+ idling\r\nb BAD DONE was expected\r\nd OK Noop completed\r\n',
  )
})

test(
  'stopping says BYE',
  inInbox(
    three,
    `
    !stop
    S: * BYE [UNAVAILABLE] imap.example Shutting down
    !close stopping
    `,
  ),
)

test(
  'half an hour without a command ends the session',
  inInbox(
    three,
    `
    !tick
    S: * BYE Autologout, idle for too long
    !close timeout
    `,
  ),
)

test('IM-13: pipelined commands are answered in order, and nothing after LOGOUT', async () => {
  const { store } = three()
  const session = await selectedInbox({ store })
  session.take()
  await session.send('a NOOP\r\nb FETCH 1 UID\r\nc LOGOUT\r\nd CREATE Late\r\n')
  expect(session.take()).toBe(
    'a OK Noop completed\r\n* 1 FETCH (UID 1)\r\nb OK Fetch completed\r\n* BYE imap.example logging out\r\nc OK Logout completed\r\n',
  )
  expect(store.mailboxes(account).has('Late')).toBe(false)
})

test('nothing is told of the mailbox behind the BYE of LOGOUT', async () => {
  const { store } = three()
  const session = await selectedInbox({ store })
  const other = await selectedInbox({ store })
  await other.ask('a STORE 1 +FLAGS.SILENT (\\Deleted)')
  await other.ask('b EXPUNGE')
  // It has looked, and may not say so yet.
  expect(await session.ask('c SEARCH DELETED')).toBe('* SEARCH\r\nc OK Search completed\r\n')
  expect(await session.ask('d LOGOUT')).toBe('* BYE imap.example logging out\r\nd OK Logout completed\r\n')
})

test.for([
  ['NOOP', ''],
  ['CHECK', ''],
  ['CREATE Other', 't OK [MAILBOXID (F1004)] Mailbox created'],
  ['UID FETCH 1:* FLAGS', 't NO [UNAVAILABLE] Selected mailbox is gone'],
  ['IDLE', '+ idling\r\nt NO [UNAVAILABLE] Selected mailbox is gone'],
])('a mailbox that another session deleted ends the session, and is no bug: %s', async ([command = '', answer]) => {
  const { store } = three()
  store.mailboxes('ann@example.org').set('Temp', store.newMailbox())
  const session = await selectedInbox({ store })
  await session.ask('a SELECT Temp')
  await (await selectedInbox({ store })).ask('b DELETE Temp')
  const told = answer === '' ? '' : `${answer}\r\n`
  expect(await session.ask(`t ${command}`)).toBe(`${told}* BYE Selected mailbox was deleted\r\n`)
  expect(session.closed).toBe('refused')
})
