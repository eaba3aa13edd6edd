/* QUOTA: RFC 9208. */
import { expect, test } from 'vitest'
import { play, signedIn, type DialogueSetup } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

function limited(): DialogueSetup & { readonly store: MemoryStore } {
  const store = new MemoryStore()
  store.put(account, 'INBOX', 'a: b\r\n\r\n', ['\\Deleted'])
  store.put(account, 'INBOX', 'a: b\r\n\r\n')
  store.quota = { storage: { used: 1_025, limit: 10_300 }, messages: { used: 2, limit: 100 } }
  return { store }
}

test('one root for all mailboxes, in units of 1024 octets, and messages', async () => {
  const session = await signedIn(limited())
  expect(await session.ask('a CAPABILITY')).toMatch(/ QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE /)
  await play(
    session,
    `
    C: b GETQUOTAROOT inbox
    S: * QUOTAROOT "INBOX" ""
    S: * QUOTA "" (STORAGE 2 10 MESSAGE 2 100)
    S: b OK Getquotaroot completed
    C: c GETQUOTA ""
    S: * QUOTA "" (STORAGE 2 10 MESSAGE 2 100)
    S: c OK Getquota completed
    C: d GETQUOTA other
    S: d NO [NONEXISTENT] No such quota root
    C: e GETQUOTAROOT missing
    S: e NO [NONEXISTENT] *
    C: f GETQUOTA
    S: f BAD *
    C: g GETQUOTA "" x
    S: g BAD *
    C: h GETQUOTAROOT
    S: h BAD *
    C: i SETQUOTA "" (STORAGE 1)
    S: i BAD *
    C: j STATUS INBOX (DELETED DELETED-STORAGE)
    S: * STATUS "INBOX" (DELETED 1 DELETED-STORAGE 8)
    S: j OK *
    `,
  )
})

test('an account without limits has no root', async () => {
  const { store } = limited()
  store.quota = undefined
  await play(
    await signedIn({ store }),
    `
    C: a GETQUOTAROOT INBOX
    S: * QUOTAROOT "INBOX"
    S: a OK *
    C: b GETQUOTA ""
    S: b NO [NONEXISTENT] *
    `,
  )
})

test('limits that nobody can tell now are unavailable, and the session goes on', async () => {
  const { store } = limited()
  store.isQuotaUnknown = true
  await play(
    await signedIn({ store }),
    `
    C: a GETQUOTA ""
    S: a NO [UNAVAILABLE] *
    C: b GETQUOTAROOT INBOX
    S: b NO [UNAVAILABLE] *
    C: c GETQUOTA other
    S: c NO [NONEXISTENT] *
    C: d NOOP
    S: d OK *
    `,
  )
})

test('without a store that can nothing is offered', async () => {
  const { store } = limited()
  store.can = []
  const session = await signedIn({ store })
  expect(await session.ask('a CAPABILITY')).not.toContain('QUOTA')
  expect(await session.ask('b GETQUOTA ""')).toMatch(/^b BAD/)
})

test('what is over quota is refused with its code', async () => {
  const { store } = limited()
  const session = await signedIn({ store })
  store.refuses = 'over-quota'
  expect(await session.ask('a APPEND INBOX {8+}\r\na: b\r\n\r\n')).toContain('a NO [OVERQUOTA] ')
})
