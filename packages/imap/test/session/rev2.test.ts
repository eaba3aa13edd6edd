// IMAP4rev2 (RFC 9051) where it differs from IMAP4rev1, and UTF8=ACCEPT (RFC 6855).
import { expect, test } from 'vitest'
import { play, selectedInbox, signedIn, TestSession } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

/** One octet in each character, as it goes over the wire. */
const octets = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

function mail(): MemoryStore {
  const store = new MemoryStore()
  store.put(account, 'INBOX', 'Subject: one\r\n\r\n', ['\\Seen', '\\Deleted'])
  store.put(account, 'INBOX', 'Subject: two\r\n\r\n')
  store.put(account, 'Entwürfe', 'Subject: three\r\n\r\n')
  return store
}

async function enabled(extension: string, store: MemoryStore = mail()): Promise<TestSession> {
  const session = await signedIn({ store })
  await session.ask(`e ENABLE ${extension}`)
  return session
}

test('ENABLE tells what it enabled, and enables nothing before login', async () => {
  const session = new TestSession({ security: 'tls' })
  await session.start()
  expect(await session.ask('a ENABLE IMAP4rev2')).toBe('* ENABLED\r\na OK Enable completed\r\n')
  await session.ask('b LOGIN ann secret')
  expect(await session.ask('c SELECT INBOX')).toMatch(/ RECENT\r\n/)
  expect(await session.ask('d ENABLE X-OTHER utf8=accept imap4REV2 IMAP4rev2')).toBe(
    '* ENABLED IMAP4rev2 UTF8=ACCEPT\r\nd OK Enable completed\r\n',
  )
  expect(await session.ask('e ENABLE')).toMatch(/^e BAD /)
})

test('SELECT tells LIST, and neither RECENT nor UNSEEN; a second one tells CLOSED (sections 6.3.2 and 7.1)', async () =>
  play(
    await enabled('IMAP4rev2'),
    `
    C: a SELECT INBOX
    S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 1001] UIDs valid
    S: * OK [UIDNEXT 3] Predicted next UID
    S: * OK [PERMANENTFLAGS *
    S: * OK [HIGHESTMODSEQ *
    S: * OK [MAILBOXID *
    S: * LIST (\\HasNoChildren) "/" "INBOX"
    S: a OK [READ-WRITE] Mailbox opened
    C: b FETCH 2 FLAGS
    S: * 2 FETCH (FLAGS ())
    S: b OK Fetch completed
    C: c EXAMINE nowhere
    S: * OK [CLOSED] Mailbox closed
    S: c NO [NONEXISTENT] No such mailbox
    C: d FETCH 1 FLAGS
    S: d BAD Command is not valid in this state
    C: e EXAMINE INBOX
    S: * FLAGS *
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY *
    S: * OK [UIDNEXT *
    S: * OK [PERMANENTFLAGS ()] Flags permitted
    S: * OK [HIGHESTMODSEQ *
    S: * OK [MAILBOXID *
    S: * LIST (\\HasNoChildren) "/" "INBOX"
    S: e OK [READ-ONLY] Mailbox opened
    `,
  ))

test('IMAP4rev1 tells no CLOSED', async () => {
  const session = await selectedInbox({ store: mail() })
  expect(await session.ask('a SELECT INBOX')).not.toMatch(/CLOSED/)
})

test('a name in another spelling is told with the one that counts (section 6.3.9.7)', async () => {
  const session = await enabled('IMAP4rev2')
  const ask = (line: string): Promise<string> => session.ask(octets(line))
  expect(await ask('a SELECT inbox')).toContain('* LIST (\\HasNoChildren) "/" "INBOX" ("OLDNAME" ("inbox"))\r\n')
  expect(await ask('b EXAMINE "Entwu\u0308rfe"')).toContain(
    octets('* LIST (\\HasNoChildren) "/" "Entwürfe" ("OLDNAME" ("Entwu\u0308rfe"))\r\n'),
  )
  expect(await ask('c CREATE "e\u0301/"')).toContain(octets('* LIST () "/" "é" ("OLDNAME" ("e\u0301/"))\r\nc OK '))
  expect(await ask('d RENAME "e\u0301" u')).toContain(octets('* LIST () "/" "u" ("OLDNAME" ("e\u0301"))\r\nd OK '))
  expect(await ask('e RENAME u "u\u0308"')).toContain(octets('* LIST () "/" "ü" ("OLDNAME" ("u"))\r\ne OK '))
  await session.send(octets('f APPEND "u\u0308" {1+}\r\nx\r\n'))
  expect(session.take()).toContain(octets('* LIST () "/" "ü" ("OLDNAME" ("u\u0308"))\r\nf OK '))
  expect(await ask('g DELETE "u\u0308"')).toBe(
    octets('* LIST (\\NonExistent) "/" "ü" ("OLDNAME" ("u\u0308"))\r\ng OK Mailbox deleted\r\n'),
  )
  // Refused, or spelled as it is: nothing to tell.
  expect(await ask('h DELETE "u\u0308"')).toMatch(/^h NO /)
  expect(await ask('i CREATE "ü"')).toMatch(/^i OK /)
  expect(await ask('j CREATE plain/')).toMatch(/^j OK /)
})

test.for(['CONDSTORE', 'UTF8=ACCEPT'])('%s alone tells no other spelling', async (extension) => {
  const session = await enabled(extension)
  expect(await session.ask('a SELECT inbox')).not.toContain('LIST')
})

test('SELECT tells the attributes that LIST tells (section 6.3.2)', async () => {
  const store = mail()
  store.mailboxes(account).set('Sent/old', store.newMailbox())
  store.mailboxes(account).set('Sent', Object.assign(store.newMailbox(), { attributes: ['\\Sent'] }))
  const session = await enabled('IMAP4rev2', store)
  await session.ask('a SUBSCRIBE Sent')
  expect(await session.ask('b SELECT Sent')).toContain('* LIST (\\Sent \\HasChildren \\Subscribed) "/" "Sent"\r\n')
})

test('what others changed is told with the UID, as IDLE wants it (section 6.3.13)', async () => {
  const store = mail()
  const session = await enabled('IMAP4rev2', store)
  await session.ask('a SELECT INBOX')
  await (await selectedInbox({ store })).ask('b STORE 1 +FLAGS.SILENT (\\Flagged)')
  expect(await session.ask('c IDLE')).toMatch(/^\+ idling\r\n\* 1 FETCH \(UID 1 FLAGS \(\\Flagged.*\)\)\r\n$/)
})

test('new messages are told with the UID, whatever NOTIFY asked for (section 7.5.2)', async () => {
  const store = mail()
  const session = await enabled('IMAP4rev2', store)
  await session.ask('a SELECT INBOX')
  for (const items of ['FLAGS', 'FLAGS UID']) {
    await session.ask(`b NOTIFY SET (selected (MessageNew (${items}) MessageExpunge))`)
    store.put(account, 'INBOX', 'Subject: new\r\n\r\n')
    session.take()
    await session.rest()
    expect(session.take()).toMatch(/^\* (\d) EXISTS\r\n\* \1 FETCH \((?:UID \1 FLAGS \(\)|FLAGS \(\) UID \1)\)\r\n$/)
  }
})

test('news tells no RECENT', async () => {
  const store = mail()
  const session = await enabled('IMAP4rev2', store)
  await session.ask('a SELECT INBOX')
  store.put(account, 'INBOX', 'Subject: new\r\n\r\n')
  expect(await session.ask('b NOOP')).toBe('* 3 EXISTS\r\nb OK Noop completed\r\n')
  expect(await session.ask('c STORE 3 +FLAGS (\\Seen)')).toBe('* 3 FETCH (FLAGS (\\Seen))\r\nc OK Store completed\r\n')
})

test('what is enabled in the selected state counts from then on', async () => {
  const session = await selectedInbox({ store: mail() })
  expect(await session.ask('a FETCH 2 FLAGS')).toMatch(/Recent/)
  await session.ask('b ENABLE IMAP4rev2')
  expect(await session.ask('c FETCH 2 FLAGS')).toMatch(/FLAGS \(\)/)
})

test('SEARCH is answered by ESEARCH (section 6.4.4)', async () => {
  const session = await enabled('IMAP4rev2')
  await session.ask('a SELECT INBOX')
  expect(await session.ask('b SEARCH ALL')).toBe('* ESEARCH (TAG "b") ALL 1:2\r\nb OK Search completed\r\n')
  expect(await session.ask('c UID SEARCH DRAFT')).toBe('* ESEARCH (TAG "c") UID\r\nc OK Search completed\r\n')
  expect(await session.ask('d SEARCH RETURN (COUNT) CHARSET UTF-8 SEEN')).toMatch(/^\* ESEARCH \(TAG "d"\) COUNT 1\r\n/)
})

test('STATUS tells DELETED and SIZE (section 6.3.11)', async () => {
  const session = await enabled('IMAP4rev2')
  expect(await session.ask('a STATUS INBOX (MESSAGES DELETED SIZE UNSEEN)')).toBe(
    '* STATUS "INBOX" (MESSAGES 2 DELETED 1 SIZE 32 UNSEEN 1)\r\na OK Status completed\r\n',
  )
})

test.for(['IMAP4rev2', 'UTF8=ACCEPT'])('%s: names are UTF-8 in both directions', async (extension) => {
  const session = await enabled(extension)
  const ask = (line: string): Promise<string> => session.ask(octets(line))
  expect(await ask('a LIST "" *')).toContain(octets('"Entwürfe"'))
  expect(await ask('b STATUS "Entwu\u0308rfe" (MESSAGES)')).toContain(octets('* STATUS "Entwürfe" (MESSAGES 1)'))
  expect(await ask('c CREATE "受信箱 & \\"co\\""')).toMatch(/^c OK /)
  expect(await ask('d LIST "" "受*"')).toBe(
    octets('* LIST (\\HasNoChildren) "/" "受信箱 & \\"co\\""\r\nd OK List completed\r\n'),
  )
  expect(await ask('e LIST "" "Entwu\u0308r%"')).toContain(octets('"Entwürfe"'))
  // What is encoded for IMAP4rev1 means itself.
  expect(await ask('f STATUS "Entw&APw-rfe" (MESSAGES)')).toMatch(/^f NO \[NONEXISTENT\]/)
  expect(await session.ask('g CREATE "\xff\xfe"')).toMatch(/^g NO \[CANNOT\]/)
  expect(await ask('h LSUB "" *')).toMatch(/^h OK /)
})

test('names stay in modified UTF-7 for who enabled nothing', async () => {
  const session = await signedIn({ store: mail() })
  expect(await session.ask('a LIST "" E*')).toContain('"Entw&APw-rfe"')
  expect(await session.ask(octets('b STATUS "Entwürfe" (MESSAGES)'))).toMatch(/^b NO \[CANNOT\]/)
})

test('a level that is no mailbox is told as such (section 7.3.1)', async () => {
  const store = mail()
  store.mailboxes(account).set('a/b', store.newMailbox())
  const session = await enabled('IMAP4rev2', store)
  expect(await session.ask('a LIST "" a')).toContain('* LIST (\\NonExistent \\HasChildren) "/" "a"')
})

test('UTF8=ACCEPT: SEARCH names no charset (RFC 6855 section 3)', async () => {
  const session = await enabled('UTF8=ACCEPT')
  await session.ask('a SELECT INBOX')
  expect(await session.ask('b SEARCH CHARSET UTF-8 ALL')).toMatch(/^b BAD /)
  expect(await session.ask('c SEARCH RETURN (MIN) CHARSET UTF-8 ALL')).toMatch(/^c BAD /)
  expect(await session.ask(octets('d SEARCH SUBJECT "ö"'))).toBe('* SEARCH\r\nd OK Search completed\r\n')
})

test('UTF8=ACCEPT: APPEND UTF8 (~{n} …) (RFC 6855 section 4)', async () => {
  const store = mail()
  const session = await enabled('UTF8=ACCEPT', store)
  const subject = octets('Subject: ö\r\n\r\n')
  session.take()
  await session.send(`a APPEND INBOX (\\Seen) UTF8 (~{${subject.length}+}\r\n${subject})\r\n`)
  expect(session.take()).toMatch(/^a OK \[APPENDUID 1001 3\]/)
  await session.send(`b APPEND INBOX UTF8 (~{1+}\r\nx) (\\Seen) UTF8 (~{1+}\r\ny)\r\n`)
  expect(session.take()).toMatch(/^b OK \[APPENDUID 1001 4:5\]/)
  await session.send(
    'c APPEND INBOX UTF8 (~{1+}\r\nx\r\nd APPEND INBOX UTF8 ({1+}\r\nx)\r\ne APPEND INBOX UTF8 ~{1+}\r\nx\r\n',
  )
  expect(session.take()).toMatch(/^c BAD .*\r\nd BAD .*\r\ne BAD .*\r\n$/)
  expect(store.mailboxes(account).get('INBOX')?.messages.size).toBe(5)
})

test('UTF8=ACCEPT: APPEND UTF8 needs ENABLE', async () => {
  const session = await signedIn()
  session.take()
  await session.send('a APPEND INBOX UTF8 (~{1+}\r\nx)\r\n')
  expect(session.take()).toBe('a BAD UTF-8 is not enabled\r\n')
})
