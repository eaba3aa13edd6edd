import { endpoint, identify, type ConnectionInfo, type ListenerProtocol } from '@postern/core'
import { describe, expect, test } from 'vitest'
import type { HelloChecksConfig } from '../../src/config/schema.ts'
import { helloChecks, helloFaults } from '../../src/policy/hello-checks.ts'

const own = new Set(['mx.example.org', 'example.org'])

function connectionFrom(address: string, protocol: ListenerProtocol = 'smtp'): ConnectionInfo {
  const local = endpoint(address.includes(':') ? '2001:db8::25' : '192.0.2.25', 25)
  return {
    id: '0123456789abcdef',
    listener: { name: 'mx', protocol, tls: 'off' },
    identity: identify({ peer: endpoint(address, 40_000), local, verdict: { rule: 'absent' } }),
    security: { kind: 'cleartext' },
  }
}

const faultsOf = (domain: string, from: string): string[] =>
  [...helloFaults(domain, connectionFrom(from), own)].map(({ check }) => check)

describe('what is wrong with a greeting', () => {
  test.each<[string, string, string, readonly string[]]>([
    ['a host name', 'mail.sender.example', '203.0.113.7', []],
    ['a name in capitals, with the dot of the root', 'MAIL.Sender.EXAMPLE.', '203.0.113.7', []],
    ['an internationalised name', 'xn--bcher-kva.example', '203.0.113.7', []],
    ['its own address', '[203.0.113.7]', '203.0.113.7', []],
    ['its own IPv6 address, in another spelling', '[IPv6:2001:DB8:0::7]', '2001:db8::7', []],
    ['another’s address', '[198.51.100.9]', '203.0.113.7', ['addressLiteral']],
    ['an IPv4 address of an IPv6 client', '[203.0.113.7]', '2001:db8::7', ['addressLiteral']],
    ['our address', '[192.0.2.25]', '203.0.113.7', ['ownName']],
    ['our name', 'mx.example.org', '203.0.113.7', ['ownName']],
    ['our name in capitals', 'MX.EXAMPLE.ORG', '203.0.113.7', ['ownName']],
    ['a name below ours', 'sub.mx.example.org', '203.0.113.7', []],
    ['our name, from this machine', 'mx.example.org', '127.0.0.1', []],
    ['our name, from our own address', 'mx.example.org', '192.0.2.25', []],
    ['a bare name', 'desktop', '203.0.113.7', ['unqualified']],
    ['an address without brackets', '203.0.113.7', '203.0.113.7', ['syntax']],
    ['an IPv6 address without its tag', '[2001:db8::7]', '2001:db8::7', ['syntax']],
    ['an underscore', 'my_host.example', '203.0.113.7', ['syntax']],
    ['an empty label', 'mail..example', '203.0.113.7', ['syntax']],
    ['a label of 64', `${'a'.repeat(64)}.example`, '203.0.113.7', ['syntax']],
    ['a hyphen at the end of a label', 'mail-.example', '203.0.113.7', ['syntax']],
  ])('%s: %s', (_, domain, from, faults) => {
    expect(faultsOf(domain, from)).toEqual(faults)
  })
})

describe('what becomes of it', () => {
  const checks: HelloChecksConfig = { syntax: 'refuse', unqualified: 'note', ownName: 'defer', addressLiteral: 'off' }
  const notes: string[] = []
  const policy = helloChecks(
    checks,
    { names: own, isAllowed: (client) => client.toString() === '198.51.100.1' },
    (_, detail) => notes.push(detail),
  )
  const decide = (domain: string, from = '203.0.113.7', protocol: ListenerProtocol = 'smtp'): unknown =>
    policy.onGreeting?.({ connection: connectionFrom(from, protocol), domain })

  test('refuse, defer, note and off', () => {
    expect(decide('203.0.113.7')).toMatchObject({ verdict: 'refuse', reason: 'hello' })
    expect(decide('mx.example.org')).toMatchObject({ verdict: 'defer', reason: 'hello' })
    expect(decide('[198.51.100.9]')).toEqual({ verdict: 'pass' })
    expect(decide('desktop')).toEqual({ verdict: 'pass' })
    expect(notes).toEqual(['203.0.113.7 greets with the bare name "desktop" (policy.hello.unqualified)'])
  })

  test('users’ programs say anything, and so may clients that are allowed', () => {
    expect(decide('203.0.113.7', '203.0.113.7', 'submission')).toEqual({ verdict: 'pass' })
    expect(decide('203.0.113.7', '198.51.100.1')).toEqual({ verdict: 'pass' })
  })
})
