/* OBJECTID (RFC 8474) and SAVEDATE (RFC 8514). */
import { describe, expect, test } from 'vitest'
import { inInbox, selectedInbox, signedIn, type DialogueSetup } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

/** The store makes ids of sizes. */
function three(): DialogueSetup & { readonly store: MemoryStore } {
  const store = new MemoryStore()
  const inbox = store.newMailbox()
  store.mailboxes(account).set('INBOX', inbox)
  store.put(account, 'INBOX', 'a: b\r\n\r\n', [], new Date('1999-01-02T00:00:00Z'))
  inbox.savedDate = new Date('2020-05-06T23:59:59Z')
  store.put(account, 'INBOX', 'a: b\r\n\r\nx\r\n', [], new Date('1999-01-02T00:00:00Z'))
  inbox.savedDate = undefined
  store.put(account, 'INBOX', 'a: b\r\n\r\nxyz\r\n', [], new Date('2001-01-02T00:00:00Z'))
  return { store }
}

test(
  'ids and save dates are fetched and searched for',
  inInbox(
    three,
    `
    C: a FETCH 1:2 (EMAILID THREADID UID)
    S: * 1 FETCH (EMAILID (M8) THREADID NIL UID 1)
    S: * 2 FETCH (EMAILID (M11) THREADID NIL UID 2)
    S: a OK *
    C: b FETCH 1:3 SAVEDATE
    S: * 1 FETCH (SAVEDATE " 3-Feb-2026 04:05:06 +0000")
    S: * 2 FETCH (SAVEDATE " 6-May-2020 23:59:59 +0000")
    S: * 3 FETCH (SAVEDATE NIL)
    S: b OK *
    C: c SEARCH EMAILID M11
    S: * SEARCH 2
    S: c OK *
    C: d SEARCH THREADID T1
    S: * SEARCH
    S: d OK *
    C: e SEARCH SAVEDON 6-May-2020
    S: * SEARCH 2
    S: e OK *
    C: f SEARCH SAVEDSINCE 7-May-2020
    S: * SEARCH 1
    S: f OK *
    C: g SEARCH SAVEDBEFORE 7-May-2020
    S: * SEARCH 2 3
    S: g OK *
    C: h SEARCH SAVEDATESUPPORTED
    S: * SEARCH 1 2 3
    S: h OK *
    C: i SEARCH EMAILID "not an id"
    S: i BAD *
    C: j STATUS INBOX (MAILBOXID)
    S: * STATUS "INBOX" (MAILBOXID (F1001))
    S: j OK *
    `,
  ),
)

test('SELECT and CREATE tell the id of the mailbox', async () => {
  const session = await signedIn(three())
  expect(await session.ask('a SELECT INBOX')).toContain('* OK [MAILBOXID (F1001)] ')
  expect(await session.ask('b CREATE New')).toContain('b OK [MAILBOXID (F1003)] ')
})

function without(): DialogueSetup {
  const { store } = three()
  store.can = []
  return { store }
}

describe('without a store that can', () => {
  test('nothing of it is offered', async () => {
    expect(await (await signedIn(without())).ask('a CAPABILITY')).not.toMatch(/OBJECTID|SAVEDATE/)
  })

  test.each(['FETCH 1 EMAILID', 'FETCH 1 THREADID', 'FETCH 1 SAVEDATE'])('%s is BAD', async (command) => {
    expect(await (await selectedInbox(without())).ask(`a ${command}`)).toMatch(/^a BAD/)
  })

  test('a search for save dates goes by INTERNALDATE, and SAVEDATESUPPORTED finds nothing', async () => {
    const session = await selectedInbox(without())
    expect(await session.ask('a SEARCH SAVEDATESUPPORTED')).toContain('* SEARCH\r\n')
  })
})
