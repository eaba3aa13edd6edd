import { expect, test } from 'vitest'
import { play, signedIn } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

async function run(script: string, store: MemoryStore = new MemoryStore()): Promise<void> {
  await play(await signedIn({ store }), script)
}

function tree(...names: readonly string[]): MemoryStore {
  const store = new MemoryStore()
  for (const name of names) store.mailboxes(account).set(name, store.newMailbox())
  return store
}

test('CREATE, RENAME and DELETE', () =>
  run(`
    C: a CREATE Work/
    S: a OK [MAILBOXID (F1002)] Mailbox created
    C: b CREATE work
    S: b OK [MAILBOXID (F1003)] Mailbox created
    C: c CREATE Work
    S: c NO [ALREADYEXISTS] Mailbox exists already
    C: d CREATE Work/2026
    S: d OK *
    C: e DELETE Work
    S: e NO [HASCHILDREN] Mailbox has children
    C: f RENAME Work/2026 "Old stuff"
    S: f OK Mailbox renamed
    C: g DELETE "Old stuff"
    S: g OK Mailbox deleted
    C: h DELETE "Old stuff"
    S: h NO [NONEXISTENT] No such mailbox
    C: i CREATE inbox
    S: i NO [ALREADYEXISTS] *
    C: j DELETE Inbox
    S: j NO [CANNOT] *
  `))

test('RFC 2180 section 3.4: a selected mailbox that is renamed stays selected, for whoever renamed it and for others', async () => {
  const store = tree('Work')
  store.put(account, 'Work', 'Subject: one\r\n\r\nfirst\r\n')
  const other = await signedIn({ store })
  await other.ask('a SELECT Work')
  const idling = await signedIn({ store })
  await idling.ask('a SELECT Work')
  await idling.ask('b IDLE')
  const session = await signedIn({ store })
  await session.ask('a SELECT Work')
  await play(
    session,
    `
    C: b RENAME Work Play
    S: b OK Mailbox renamed
    C: c FETCH 1 (UID BODY.PEEK[TEXT])
    S: * 1 FETCH (UID 1 BODY[TEXT] {7}
    S: first
    S: )
    S: c OK *
    C: d STATUS Work (MESSAGES)
    S: d NO [NONEXISTENT] *
    `,
  )
  await play(
    other,
    `
    C: c STORE 1 +FLAGS (\\Flagged)
    S: * 1 FETCH (FLAGS (\\Flagged *
    S: c OK *
    C: d DELETE Play
    S: d OK Mailbox deleted
    C: e FETCH 1 FLAGS
    S: e BAD Command is not valid in this state
    `,
  )
  expect(await idling.ask('DONE')).toBe('b OK Idle completed\r\n')
  expect(await idling.ask('c NOOP')).toBe('* BYE Selected mailbox was deleted\r\n')
})

test.for([
  ['..', 'CANNOT'],
  ['a/../b', 'CANNOT'],
  ['/', 'CANNOT'],
  ['a//b', 'CANNOT'],
  ['"a\\\\b"', ''],
  ['&Jjo', 'CANNOT'],
  ['&AGE-', 'CANNOT'],
  ['"\x07"', 'CANNOT'],
  ['a'.repeat(256), 'CANNOT'],
  ['a'.repeat(2000), 'CANNOT'],
  ['__proto__', ''],
  ['constructor', ''],
])('IM-11: CREATE %s', async ([name, code]) => {
  const session = await signedIn()
  expect(await session.ask(`a CREATE ${name}`)).toMatch(code === '' ? /^a OK / : `a NO [${code}]`)
})

test('LIST tells what matches, levels between included', () =>
  run(
    `
    C: a LIST "" ""
    S: * LIST (\\Noselect) "/" ""
    S: a OK *
    C: b LIST "" %
    S: * LIST (\\HasNoChildren) "/" "INBOX"
    S: * LIST (\\HasNoChildren) "/" "Sent Items"
    S: * LIST (\\Noselect \\HasChildren) "/" "a"
    S: b OK List completed
    C: c LIST a/ %
    S: * LIST (\\HasChildren) "/" "a/b"
    S: c OK *
    C: d LIST "" "*c"
    S: * LIST (\\HasNoChildren) "/" "a/b/c"
    S: d OK *
    C: e LIST "" inbox
    S: * LIST (\\HasNoChildren) "/" "INBOX"
    S: e OK *
    `,
    tree('a/b', 'a/b/c', 'Sent Items'),
  ))

test('names outside ASCII come and go in modified UTF-7', () =>
  run(`
    C: a CREATE Entw&APw-rfe
    S: a OK *
    C: b LIST "" E*
    S: * LIST (\\HasNoChildren) "/" "Entw&APw-rfe"
    S: b OK *
    C: c STATUS Entw&APw-rfe (MESSAGES)
    S: * STATUS "Entw&APw-rfe" (MESSAGES 0)
    S: c OK *
    C: d CREATE "R&-D"
    S: d OK *
    C: e LIST "" R*
    S: * LIST (\\HasNoChildren) "/" "R&-D"
    S: e OK *
  `))

test('SUBSCRIBE and LSUB; a subscribed name outlives its mailbox', () =>
  run(
    `
    C: a SUBSCRIBE a/b
    S: a OK Subscribed
    C: b LSUB "" *
    S: * LSUB () "/" "a/b"
    S: b OK *
    C: c LSUB "" %
    S: * LSUB (\\Noselect) "/" "a"
    S: c OK *
    C: d DELETE a/b
    S: d OK *
    C: e LSUB "" *
    S: * LSUB (\\Noselect) "/" "a/b"
    S: e OK *
    C: f LIST "" a*
    S: f OK *
    C: g UNSUBSCRIBE a/b
    S: g OK Unsubscribed
    C: h LSUB "" *
    S: h OK *
    `,
    tree('a/b'),
  ))

test('LIST-EXTENDED, SPECIAL-USE and LIST-STATUS', () => {
  const store = tree('Sent', 'a', 'a/b', 'Trash')
  const sent = store.mailboxes(account).get('Sent')
  if (sent !== undefined) sent.attributes = ['\\Sent']
  store.put(account, 'Sent', 'Subject: x\r\n\r\nhello')
  return run(
    `
    C: a LIST (SPECIAL-USE) "" *
    S: * LIST (\\Sent \\HasNoChildren) "/" "Sent"
    S: a OK *
    C: b LIST "" (INBOX Tr%) RETURN (SUBSCRIBED CHILDREN)
    S: * LIST (\\HasNoChildren) "/" "INBOX"
    S: * LIST (\\HasNoChildren) "/" "Trash"
    S: b OK *
    C: c LIST "" Sent RETURN (SPECIAL-USE STATUS (MESSAGES UNSEEN SIZE))
    S: * LIST (\\Sent \\HasNoChildren) "/" "Sent"
    S: * STATUS "Sent" (MESSAGES 1 UNSEEN 1 SIZE 19)
    S: c OK *
    C: d SUBSCRIBE a/b
    S: d OK *
    C: e SUBSCRIBE gone
    S: e OK *
    C: f LIST (SUBSCRIBED) "" *
    S: * LIST (\\HasNoChildren \\Subscribed) "/" "a/b"
    S: * LIST (\\NonExistent \\Subscribed) "/" "gone"
    S: f OK *
    C: g LIST (SUBSCRIBED RECURSIVEMATCH) "" %
    S: * LIST (\\HasChildren) "/" "a" ("CHILDINFO" ("SUBSCRIBED"))
    S: * LIST (\\NonExistent \\Subscribed) "/" "gone"
    S: g OK *
    C: h LIST (RECURSIVEMATCH) "" %
    S: h BAD *
    C: i LIST () "" INBOX
    S: * LIST (\\HasNoChildren) "/" "INBOX"
    S: i OK *
    C: j SUBSCRIBE Sent
    S: j OK *
    C: k LIST (SUBSCRIBED RECURSIVEMATCH) "" (a Sent) RETURN (STATUS (MESSAGES))
    S: * LIST (\\Sent \\HasNoChildren \\Subscribed) "/" "Sent"
    S: * STATUS "Sent" (MESSAGES 1)
    S: * LIST (\\HasChildren) "/" "a" ("CHILDINFO" ("SUBSCRIBED"))
    S: k OK *
    `,
    store,
  )
})

test('STATUS, NAMESPACE, ID, ENABLE', () => {
  const store = new MemoryStore()
  store.put(account, 'INBOX', 'a: b\r\n\r\n', ['\\Seen'])
  store.put(account, 'INBOX', 'a: b\r\n\r\n')
  return run(
    `
    C: a STATUS inbox (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE APPENDLIMIT)
    S: * STATUS "INBOX" (MESSAGES 2 RECENT 2 UIDNEXT 3 UIDVALIDITY 1001 UNSEEN 1 SIZE 16 APPENDLIMIT 100000)
    S: a OK Status completed
    C: b STATUS nowhere (MESSAGES)
    S: b NO [NONEXISTENT] *
    C: c STATUS INBOX (MESSAGES FLAVOUR)
    S: c BAD *
    C: d STATUS INBOX ()
    S: d BAD *
    C: e NAMESPACE
    S: * NAMESPACE (("" "/")) NIL NIL
    S: e OK *
    C: f ID ("name" "probe" "version" NIL)
    S: * ID ("name" "Postern" "version" "0.1.0")
    S: f OK *
    C: g ID NIL
    S: * ID *
    S: g OK *
    C: h ID (name probe
    S: h BAD *
    C: i ENABLE CONDSTORE UTF8=ACCEPT X-UNKNOWN
    S: * ENABLED UTF8=ACCEPT CONDSTORE
    S: i OK *
    `,
    store,
  )
})

test('IM-17: an ID of more than 30 pairs, or with a value over 1024 octets, is BAD', async () => {
  const session = await signedIn()
  expect(await session.ask(`a ID (${'"k" "v" '.repeat(31).trim()})`)).toMatch(/^a BAD /)
  expect(await session.ask(`b ID ("k" "${'v'.repeat(1025)}")`)).toMatch(/^b BAD /)
  expect(await session.ask(`c ID ("k" "${'v'.repeat(1024)}")`)).toMatch(/c OK /)
})

test('CREATE with a use (RFC 6154 section 3)', () =>
  run(`
    C: a CREATE MySpecial (USE (\\Drafts))
    S: a OK [MAILBOXID *
    C: b LIST (SPECIAL-USE) "" *
    S: * LIST (\\Drafts \\HasNoChildren) "/" "MySpecial"
    S: b OK *
    C: c CREATE Other (USE (\\drafts))
    S: c NO [USEATTR] Another mailbox has that use
    C: d CREATE Everything (USE (\\All))
    S: d NO [USEATTR] No such use for a mailbox
    C: e CREATE Two (USE (\\Sent \\Trash))
    S: e NO [USEATTR] No such use for a mailbox
    C: f CREATE Plain (USE ())
    S: f OK [MAILBOXID *
    C: g CREATE Bad (USE \\Sent)
    S: g BAD *
    C: h CREATE Bad (USE (Sent))
    S: h BAD *
    C: i CREATE Bad ()
    S: i BAD *
    C: j CREATE Bad (USE (\\Sent) USE (\\Junk))
    S: j BAD *
    C: k CREATE Bad (USE (\\Sent)
    S: k BAD *
    C: l STATUS Bad (MESSAGES)
    S: l NO *
  `))

test('a store that keeps no uses is asked for none', async () => {
  const store = new MemoryStore()
  store.can = []
  const session = await signedIn({ store })
  expect(await session.ask('a CAPABILITY')).not.toMatch(/CREATE-SPECIAL-USE/)
  expect(await session.ask('b CREATE x (USE (\\Sent))')).toMatch(/^b NO \[USEATTR\]/)
})
