import type { ConnectionInfo, Decision } from '@postern/core'
import { expect, test } from 'vitest'
import type { PolicyConfig } from '../../src/config/schema.ts'
import { policiesFor } from '../../src/policy/chain.ts'
import { fleetMeters } from '../../src/policy/shared-meters.ts'
import { LocalTally } from '../../src/policy/tally.ts'
import { clientAt } from '../kit/clients.ts'
import { noPolicy, partsWith } from '../kit/policy-parts.ts'

function connectionFrom(address: string, protocol: 'smtp' | 'imap' = 'smtp'): ConnectionInfo {
  return {
    id: '0123456789abcdef',
    listener: { name: 'mx', protocol, tls: 'off' },
    identity: clientAt(address),
    security: { kind: 'cleartext' },
  }
}

function limited(more: Partial<PolicyConfig> = {}) {
  const rate = { ...noPolicy.rate, commandsPerClient: { count: 2, perMs: 60_000 } }
  const config: PolicyConfig = { ...noPolicy, rate, ...more }
  const policy = policiesFor(config, partsWith(config)).find(({ name }) => name === 'command-limits')
  return (from: string, verb = 'NOOP', protocol: 'smtp' | 'imap' = 'smtp') =>
    policy?.onCommand?.({ connection: connectionFrom(from, protocol), verb }) as Decision | undefined
}

test('nothing is asked where nothing is limited', () => {
  expect(limited({ rate: noPolicy.rate })('203.0.113.7')).toBeUndefined()
})

test('commands of a client, over SMTP and IMAP together: the log names the key, the client is told what it did', () => {
  const say = limited()
  expect([say('203.0.113.7')?.verdict, say('203.0.113.7', 'NOOP', 'imap')?.verdict]).toEqual(['pass', 'pass'])
  expect(say('203.0.113.7', 'EHLO')).toEqual({
    verdict: 'defer',
    reason: 'rate',
    detail:
      '203.0.113.7 gave more than 2 commands in 60 s (policy.rate.commands-per-client): raise it, or name the client in policy.exempt-networks',
    reply: { text: 'Too many commands from your address, try again later' },
  })
  expect(say('203.0.113.8')?.verdict).toBe('pass')
})

test('whoever leaves is let go, and exempt networks meet no rate', () => {
  const say = limited()
  for (let count = 0; count < 5; count++) {
    expect(say('203.0.113.7', 'QUIT')?.verdict).toBe('pass')
    expect(say('203.0.113.7', 'LOGOUT', 'imap')?.verdict).toBe('pass')
  }
  expect(say('203.0.113.7')?.verdict).toBe('pass')
  const exempt = limited({ exemptNetworks: ['203.0.113.0/24'] })
  expect([1, 2, 3].map(() => exempt('203.0.113.7')?.verdict)).toEqual(['pass', 'pass', 'pass'])
})

test('the server of a fleet is asked about no command: each would be as slow as that', () => {
  const rate = {
    ...noPolicy.rate,
    commandsPerClient: { count: 2, perMs: 60_000 },
    messagesPerClient: { count: 2, perMs: 1 },
  }
  const machine = new LocalTally({})
  const meters = fleetMeters(
    { tally: () => machine },
    { count: () => Promise.reject(new Error('nobody asks')) },
    { ...noPolicy, rate },
  )
  expect(meters.tally('client-commands')).toBe(machine)
  expect(meters.tally('client-messages')).not.toBe(machine)
})
