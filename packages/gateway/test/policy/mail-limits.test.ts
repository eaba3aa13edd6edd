import type { ConnectionInfo, Decision, Envelope, Principal } from '@postern/core'
import { describe, expect, test } from 'vitest'
import type { PolicyConfig } from '../../src/config/schema.ts'
import { policiesFor } from '../../src/policy/chain.ts'
import { clientAt } from '../kit/clients.ts'
import { noPolicy, partsWith } from '../kit/policy-parts.ts'

const envelope: Envelope = { reversePath: 'x@example.net', forwardPaths: [], isSmtpUtf8: false, body: '7BIT' }
const ann: Principal = { account: 'ann@example.org', username: 'ann@example.org' }

function connectionFrom(address: string): ConnectionInfo {
  return {
    id: '0123456789abcdef',
    listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
    identity: clientAt(address),
    security: { kind: 'cleartext' },
  }
}

function limitedBy(rate: Partial<PolicyConfig['rate']>, more: Partial<PolicyConfig> = {}) {
  const config: PolicyConfig = { ...noPolicy, ...more, rate: { ...noPolicy.rate, ...rate } }
  const policy = policiesFor(config, partsWith(config)).find(({ name }) => name === 'mail-limits')
  return {
    mail: (from: string, principal?: Principal) =>
      policy?.onReversePath?.({ connection: connectionFrom(from), envelope, principal }) as Decision | undefined,
    rcpt: (from: string, principal?: Principal, reversePath = envelope.reversePath) =>
      policy?.onForwardPath?.({
        connection: connectionFrom(from),
        envelope: { ...envelope, reversePath },
        principal,
        forwardPath: 'ann@example.org',
      }) as Decision | undefined,
  }
}

const two = { count: 2, perMs: 60_000 }

describe('rates of mail', () => {
  test('nothing is asked where nothing is limited', () => {
    expect(limitedBy({ connectionsPerClient: two }).mail('203.0.113.7')).toBeUndefined()
  })

  test('messages of a client: the log names the key, the client is told what it did', () => {
    const { mail } = limitedBy({ messagesPerClient: two })
    expect([mail('203.0.113.7')?.verdict, mail('203.0.113.7')?.verdict]).toEqual(['pass', 'pass'])
    expect(mail('203.0.113.7')).toEqual({
      verdict: 'defer',
      reason: 'rate',
      detail:
        '203.0.113.7 sent more than 2 messages in 60 s (policy.rate.messages-per-client): raise it, or name the client in policy.exempt-networks',
      reply: { text: 'Too many messages from your address, try again later' },
    })
    expect(mail('203.0.113.8')?.verdict).toBe('pass')
  })

  test('an IPv6 client is its /64, whatever address of it sends', () => {
    const { mail } = limitedBy({ messagesPerClient: two })
    expect(['2001:db8::1', '2001:db8::2', '2001:db8::3'].map((from) => mail(from)?.verdict)).toEqual([
      'pass',
      'pass',
      'defer',
    ])
    expect(mail('2001:db8:0:1::1')?.verdict).toBe('pass')
  })

  test('recipients, whatever became of them', () => {
    const { rcpt, mail } = limitedBy({ recipientsPerClient: two })
    expect([rcpt('203.0.113.7')?.verdict, rcpt('203.0.113.7')?.verdict]).toEqual(['pass', 'pass'])
    expect(rcpt('203.0.113.7')).toMatchObject({
      reply: { text: 'Too many recipients from your address, try again later' },
    })
    expect(mail('203.0.113.7')?.verdict).toBe('pass')
  })

  test('TR-07: recipients of the null reverse-path count as all others do', () => {
    const { rcpt } = limitedBy({ recipientsPerClient: two })
    const verdicts = [1, 2, 3].map(() => rcpt('203.0.113.7', undefined, '')?.verdict)
    expect(verdicts).toEqual(['pass', 'pass', 'defer'])
  })

  test('a user, from wherever, and spelled in whatever way', () => {
    const { mail } = limitedBy({ messagesPerUser: two })
    const spelled: Principal = { account: 'ANN@example.org', username: 'ANN@example.org' }
    expect(mail('203.0.113.7', ann)?.verdict).toBe('pass')
    expect(mail('203.0.113.8', spelled)?.verdict).toBe('pass')
    expect(mail('203.0.113.9', ann)).toMatchObject({ verdict: 'defer' })
    expect(mail('203.0.113.9')?.verdict).toBe('pass')
  })

  test('exempt networks meet no rate', () => {
    const { mail } = limitedBy({ messagesPerClient: two }, { exemptNetworks: ['203.0.113.0/24'] })
    expect([1, 2, 3].map(() => mail('203.0.113.7')?.verdict)).toEqual(['pass', 'pass', 'pass'])
  })
})
