import type { ConnectionInfo, ListenerInfo, Policy } from '@postern/core'
import { expect, test } from 'vitest'
import { counted, PolicyDecisions } from '../../src/policy/decisions.ts'
import { clientAt } from '../kit/clients.ts'

const listener: ListenerInfo = { name: 'mx', protocol: 'smtp', tls: 'off' }
const identity = clientAt('203.0.113.7')
const connection: ConnectionInfo = {
  id: '0123456789abcdef',
  listener,
  identity,
  security: { kind: 'cleartext' },
}

test('each decision but a pass is counted, by listener, stage, policy, verdict and reason', async () => {
  const decisions = new PolicyDecisions()
  const policy: Policy = {
    name: 'strict',
    onConnect: () => ({ verdict: 'pass' }),
    onGreeting: () => Promise.resolve({ verdict: 'defer', reason: 'hello' }),
    onAuthenticate: () => ({ verdict: 'refuse', reason: 'rate' }),
    onReversePath: () => ({ verdict: 'drop', reason: 'rate' }),
    onForwardPath: () => ({ verdict: 'drop', reason: 'rate' }),
  }
  const watched = counted(policy, decisions)
  const envelope = { reversePath: '', forwardPaths: [], isSmtpUtf8: false, body: '7BIT' } as const
  await watched.onConnect?.({ identity, listener })
  await watched.onGreeting?.({ connection, domain: 'x' })
  await watched.onGreeting?.({ connection, domain: 'x' })
  await watched.onAuthenticate?.({ connection, username: 'ann' })
  await watched.onReversePath?.({ connection, envelope })
  await watched.onForwardPath?.({ connection, envelope, forwardPath: 'ann@example.org' })
  expect(decisions.counts).toEqual([
    { listener: 'mx', stage: 'greeting', policy: 'strict', verdict: 'defer', reason: 'hello', count: 2 },
    { listener: 'mx', stage: 'authenticate', policy: 'strict', verdict: 'refuse', reason: 'rate', count: 1 },
    { listener: 'mx', stage: 'reverse-path', policy: 'strict', verdict: 'drop', reason: 'rate', count: 1 },
    { listener: 'mx', stage: 'forward-path', policy: 'strict', verdict: 'drop', reason: 'rate', count: 1 },
  ])
})

test('a moment that a policy lacks stays absent, and its close is told', () => {
  const closed: unknown[] = []
  const watched = counted({ name: 'counting', onClose: (at) => closed.push(at) }, new PolicyDecisions())
  expect(Object.keys(watched)).toEqual(['name', 'onClose'])
  watched.onClose?.({ identity, listener })
  expect(closed).toHaveLength(1)
})
