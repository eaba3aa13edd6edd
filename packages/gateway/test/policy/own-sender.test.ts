import { endpoint, identify, type ConnectionInfo, type Decision } from '@postern/core'
import { expect, test } from 'vitest'
import { ownSender } from '../../src/policy/own-sender.ts'
import { accountFor } from '../../src/route/local-accounts.ts'

const accounts = ['ann@example.org', 'joe@example.org', '"a b"@example.org']
const directory = { has: async (name: string) => accounts.includes(name), first: async () => accounts[0] }

const client = endpoint('203.0.113.7', 45_678)
const connection: ConnectionInfo = {
  id: 'test000000000001',
  listener: { name: 'submission', protocol: 'submission', tls: 'starttls' },
  identity: identify({ peer: client, local: endpoint('192.0.2.1', 587), verdict: { rule: 'absent' } }),
  security: { kind: 'cleartext' },
}

function ask(reversePath: string, account = 'ann@example.org', isAway = false): Promise<Decision> {
  const policy = ownSender((mailbox) => {
    if (isAway) throw new Error('the accounts file cannot be read')
    return accountFor(directory, mailbox)
  })
  const envelope = { reversePath, forwardPaths: [], isSmtpUtf8: false, body: '7BIT' } as const
  const principal = account === '' ? undefined : { account, username: account }
  return Promise.resolve(policy.onReversePath!({ connection, principal, envelope }))
}

test.each([
  ['their own address', 'ann@example.org', 'ann@example.org'],
  ['in another case', 'Ann@EXAMPLE.org', 'ann@example.org'],
  ['the null reverse-path', '', 'ann@example.org'],
  ['postmaster, whose mail they get', 'postmaster@example.org', 'ann@example.org'],
  ['a quoted local part', '"a b"@example.org', '"a b"@example.org'],
  ['nobody, who did not sign in: the session refuses that itself', 'x@example.net', ''],
])('a user may send as %s', async (_, reversePath, account) => {
  expect(await ask(reversePath, account)).toEqual({ verdict: 'pass' })
})

test.each([
  ['another user', 'joe@example.org'],
  ['a stranger', 'ann@example.net'],
  ['nobody here', 'nobody@example.org'],
  ['an address that only looks like theirs', 'ann%example.org@example.org'],
])('a user may not send as %s', async (_, reversePath) => {
  expect(await ask(reversePath)).toMatchObject({ verdict: 'refuse', reason: 'sender-mismatch' })
})

test('accounts that cannot be read are no reason to refuse for good', async () => {
  expect(await ask('ann@example.org', 'ann@example.org', true)).toMatchObject({
    verdict: 'defer',
    reason: 'unavailable',
    detail: 'the accounts file cannot be read',
  })
})
