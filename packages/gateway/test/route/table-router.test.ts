import { endpoint, identify, type ConnectionInfo, type Envelope, type Route } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { accountFor, type AccountDirectory } from '../../src/route/local-accounts.ts'
import { tableRouter } from '../../src/route/table-router.ts'

const accounts = [
  'demo@example.org',
  'ann@example.org',
  'Bob@example.org',
  'ann@example.net',
  'ann@xn--bcher-kva.example',
]
const directory: AccountDirectory = {
  has: async (account) => accounts.includes(account),
  ownerOf: async (address) => (address === 'info@example.org' ? 'ann@example.org' : undefined),
  first: async () => accounts[0],
}
const router = tableRouter({
  localDomains: ['example.org', 'example.net', 'xn--bcher-kva.example'],
  accountFor: (mailbox) => accountFor(directory, mailbox, '+'),
})
const envelope: Envelope = { reversePath: '', forwardPaths: [], isSmtpUtf8: false, body: '7BIT' }
const local = endpoint('192.0.2.1', 25)
const connection: ConnectionInfo = {
  id: '0123456789abcdef',
  listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
  identity: identify({ peer: endpoint('127.0.0.1', 40_000), local, verdict: { rule: 'absent' } }),
  security: { kind: 'cleartext' },
}

/** `account`, or the reason of the refusal. */
async function routeOf(forwardPath: string, username?: string): Promise<string> {
  const principal = username === undefined ? undefined : { account: username, username }
  const route: Route = await router.forRecipient({ forwardPath, envelope, connection, principal })
  if (route.to === 'store') return route.mailbox === undefined ? route.account : `${route.account} ${route.mailbox}`
  return route.to === 'nowhere' && route.decision.verdict !== 'pass' ? route.decision.reason : route.to
}

describe('where a recipient leads', () => {
  const rows = [
    ['an account', 'ann@example.org', 'ann@example.org'],
    ['the same name in another domain of ours', 'ann@example.net', 'ann@example.net'],
    ['a domain in capitals', 'ann@EXAMPLE.org', 'ann@example.org'],
    ['a local part in capitals', 'ANN@example.org', 'ann@example.org'],
    ['an account with capitals, as it is spelled', 'Bob@example.org', 'Bob@example.org'],
    ['an account with capitals, in lower case', 'bob@example.org', 'unknown-recipient'],
    ['nobody', 'eve@example.org', 'unknown-recipient'],
    ['an alias', 'info@example.org', 'ann@example.org'],
    ['an alias in capitals', 'INFO@EXAMPLE.ORG', 'ann@example.org'],
    ['an alias in another domain', 'info@example.net', 'unknown-recipient'],
    ['RFC 5233: a folder of an account', 'ann+Work@example.org', 'ann@example.org Work'],
    ['a folder of an alias', 'info+Work@example.org', 'ann@example.org Work'],
    ['a folder in another script', 'ann+Entwürfe@example.org', 'ann@example.org Entwürfe'],
    ['a folder of nobody', 'eve+Work@example.org', 'unknown-recipient'],
    ['MB-02: a folder below another', 'ann+a/b@example.org', 'ann@example.org'],
    ['MB-02: a folder that leads elsewhere', 'ann+../../x@example.org', 'ann@example.org'],
    ['no folder', 'ann+@example.org', 'ann@example.org'],
    ['the first separator divides', 'ann+a+b@example.org', 'ann@example.org'],
    ['nobody, but a folder', '+Work@example.org', 'unknown-recipient'],
    ['postmaster of a domain', 'postmaster@example.net', 'demo@example.org'],
    ['postmaster without a domain', 'Postmaster', 'demo@example.org'],
    ['RFC 6531: a domain in U-labels', 'ann@bücher.example', 'ann@xn--bcher-kva.example'],
    ['the same in capitals', 'ann@BÜCHER.Example', 'ann@xn--bcher-kva.example'],
    ['the same in A-labels', 'ann@XN--bcher-kva.example', 'ann@xn--bcher-kva.example'],
    ['a domain that only looks like ours', 'ann@ex\u0430mple.org', 'no-relay'],
    ['a foreign domain in U-labels', 'ann@bäcker.example', 'no-relay'],
    ['a foreign domain', 'ann@example.com', 'no-relay'],
    ['no domain', 'ann', 'no-relay'],
    ['nothing', '', 'no-relay'],
    ['a subdomain of ours', 'ann@mail.example.org', 'no-relay'],
    ['a trailing dot', 'ann@example.org.', 'no-relay'],
    ['an address literal', 'ann@[127.0.0.1]', 'no-relay'],
  ] as const
  test.each(rows)('%s', async (_what, forwardPath, expected) => {
    expect(await routeOf(forwardPath)).toBe(expected)
  })

  const routed = ['a%b@example.org', 'ann%example.com@example.org', '"a@example.com"@example.org', 'b!a@example.org']
  test.each(routed)('TR-04: %s only looks local, and is looked up as a whole', async (forwardPath) => {
    expect(await routeOf(forwardPath)).toBe('unknown-recipient')
  })

  test('TR-05: a user who signed in may not relay either, and is told that no relay is configured', async () => {
    expect(await routeOf('ann@example.com', 'ann@example.org')).toBe('no-relay')
    const principal = { account: 'ann@example.org', username: 'ann@example.org' }
    const route = await router.forRecipient({ forwardPath: 'x@example.com', envelope, connection, principal })
    expect(route).toMatchObject({
      decision: { reply: { text: 'No relay is configured: this server delivers to its own domains only' } },
    })
  })

  test('not to know who has an account is a temporary refusal: no mail bounces', async () => {
    const broken = tableRouter({
      localDomains: ['example.org'],
      accountFor: () => Promise.reject(new Error('accounts.toml: permission denied')),
    })
    expect(await broken.forRecipient({ forwardPath: 'ann@example.org', envelope, connection })).toEqual({
      to: 'nowhere',
      decision: { verdict: 'defer', reason: 'unavailable', detail: 'accounts.toml: permission denied' },
    })
  })
})
