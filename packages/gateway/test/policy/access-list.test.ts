import { endpoint, identify, type Decision, type ListenerInfo } from '@postern/core'
import { describe, expect, test } from 'vitest'
import type { AccessRuleConfig } from '../../src/config/schema.ts'
import { AccessRules, accessList, accessRules } from '../../src/policy/access-list.ts'
import { networks } from '../../src/policy/networks.ts'

const mx: ListenerInfo = { name: 'mx', protocol: 'smtp', tls: 'off' }
const imap: ListenerInfo = { name: 'imap', protocol: 'imap', tls: 'off' }

function decisionOn(rules: readonly AccessRuleConfig[], address: string, listener = mx): Decision {
  const denied = accessList(networks(['203.0.113.0/24']), { code: 554, text: 'Go away' })
  const identity = identify({
    peer: endpoint(address, 40_000),
    local: endpoint('192.0.2.1', 25),
    verdict: { rule: 'absent' },
  })
  return accessRules(new AccessRules(rules), denied).onConnect?.({ identity, listener }) as Decision
}

const customers: AccessRuleConfig = { networks: ['203.0.113.64/26'], action: 'allow' }
const slow: AccessRuleConfig = { networks: ['198.51.100.0/24', '2001:db8::/32'], action: 'defer', code: 450 }
const dropped: AccessRuleConfig = { networks: ['198.51.100.7'], action: 'drop' }
const noImap: AccessRuleConfig = {
  networks: ['192.0.2.0/24'],
  action: 'refuse',
  text: 'No logins from here',
  listeners: ['imap'],
}

describe('access rules', () => {
  test.each<[string, string, readonly AccessRuleConfig[], Partial<Exclude<Decision, { verdict: 'pass' }>>]>([
    ['S16: the deny list holds behind them', '203.0.113.7', [customers], { verdict: 'refuse', reason: 'listed' }],
    ['S16: a rule has a code of its own', '198.51.100.9', [slow], { verdict: 'defer', reply: { smtpCode: 450 } }],
    ['the first that matches decides', '198.51.100.7', [slow, dropped], { verdict: 'defer' }],
    ['the first that matches decides, whatever is more specific', '198.51.100.7', [dropped, slow], { verdict: 'drop' }],
    ['IPv6 networks match', '2001:db8:1::7', [slow], { verdict: 'defer' }],
  ])('%s', (_, client, rules, decision) => {
    expect(decisionOn(rules, client)).toMatchObject(decision)
  })

  test('an allowed client passes the deny list', () => {
    expect(decisionOn([customers], '203.0.113.70')).toEqual({ verdict: 'pass' })
    expect(new AccessRules([customers]).isAllowed(endpoint('203.0.113.70', 1).address, 'mx')).toBe(true)
    expect(new AccessRules([customers]).isAllowed(endpoint('203.0.113.7', 1).address, 'mx')).toBe(false)
  })

  test('a rule for one listener is none for another', () => {
    expect(decisionOn([noImap], '192.0.2.7', imap)).toEqual({
      verdict: 'refuse',
      reason: 'listed',
      detail: '192.0.2.7 is in 192.0.2.0/24 of policy.access[0], which says "refuse"',
      reply: { text: 'No logins from here' },
    })
    expect(decisionOn([noImap], '192.0.2.7')).toEqual({ verdict: 'pass' })
  })
})

test('S16: a deny reply of 4yz is a temporary refusal, so that its code is said', () => {
  const policy = accessList(networks(['203.0.113.0/24']), { code: 450, text: 'Later' })
  const identity = identify({
    peer: endpoint('203.0.113.7', 1),
    local: endpoint('192.0.2.1', 25),
    verdict: { rule: 'absent' },
  })
  expect(policy.onConnect?.({ identity, listener: mx })).toMatchObject({ verdict: 'defer', reply: { smtpCode: 450 } })
})
