import { describe, expect, test } from 'vitest'
import type { RouteConfig, UpstreamConfig } from '../../src/config/schema.ts'
import { storeExtensions } from '../../src/destination/store.ts'
import { Upstreams } from '../../src/upstream/upstreams.ts'

function upstream(name: string, more: Partial<UpstreamConfig> = {}): UpstreamConfig {
  return {
    name,
    protocol: 'smtp',
    backends: [
      { address: { path: `/${name}/1` }, weight: 1, isBackup: false },
      { address: { path: `/${name}/2` }, weight: 1, isBackup: false },
    ],
    balance: 'round-robin',
    announce: 'received',
    isAnnouncementOptional: false,
    maxHeaderBytes: 536,
    passedTlvs: [],
    hasHeaderChecksum: false,
    tls: { mode: 'off' },
    maxConnections: 'unlimited',
    sendsCredentialsInClear: false,
    slowStartMs: 0,
    timeouts: 'near',
    health: { isChecked: true, intervalMs: 5000, timeoutMs: 1000, rise: 2, fall: 3 },
    ...more,
  }
}

const to = (name: string): RouteConfig => ({
  recipients: [`@${name}.example`],
  to: { kind: 'upstream', upstream: name },
})

function upstreams(configs: readonly UpstreamConfig[], routes: readonly RouteConfig[] = []): Upstreams {
  return new Upstreams({ upstreams: configs, routes }, { onSuspicion: () => {}, log: { avoided: () => {} } })
}

function tell(all: Upstreams, backend: string, offers: readonly string[], isUp = true): void {
  const name = backend.split('/')[1] ?? ''
  all.receive([{ upstream: name, backend, isUp, forMs: 0, hasReturned: false, offers }])
}

const everything = ['PIPELINING', 'SIZE 5000', '8BITMIME', 'SMTPUTF8', 'DSN', 'CHUNKING', 'BINARYMIME', 'REQUIRETLS']

describe('BK-13: what EHLO may promise', () => {
  test('nothing of backends of which nothing is known', () => {
    const all = upstreams([upstream('a')])
    expect(all.extensionsOf(['a'], [])()).toEqual({ extensions: new Set() })
  })

  test('what all backends have, and the least size', () => {
    const all = upstreams([upstream('a')])
    const extensions = all.extensionsOf(['a'], [])
    tell(all, '/a/1', everything)
    expect(extensions().maxMessageBytes).toBe(5000)
    tell(all, '/a/2', ['SIZE 1000', '8BITMIME', 'DSN'])
    expect(extensions()).toEqual({ extensions: new Set(['8BITMIME', 'DSN']), maxMessageBytes: 1000 })
  })

  test('of those that are up; the last word of those that are down, when no other is left', () => {
    const all = upstreams([upstream('a')])
    const extensions = all.extensionsOf(['a'], [])
    tell(all, '/a/1', everything)
    tell(all, '/a/2', ['8BITMIME'], false)
    expect(extensions().extensions).toContain('DSN')
    tell(all, '/a/1', everything, false)
    expect(extensions().extensions).toEqual(new Set(['8BITMIME']))
  })

  test('REQUIRETLS only where TLS is required of the backend and proven', () => {
    const all = upstreams([upstream('a'), upstream('b', { tls: { mode: 'starttls' } })])
    for (const backend of ['/a/1', '/b/1']) tell(all, backend, everything)
    expect(all.extensionsOf(['a'], [])().extensions).not.toContain('REQUIRETLS')
    expect(all.extensionsOf(['b'], [])().extensions).toContain('REQUIRETLS')
  })

  test('with several places each domain comes alone (RFC 9422), and the store promises no reports', () => {
    const all = upstreams([upstream('a'), upstream('b')])
    for (const backend of ['/a/1', '/b/1']) tell(all, backend, everything)
    expect(all.extensionsOf(['a', 'b'], [])()).toMatchObject({ maxRecipientDomains: 1 })
    const withStore = all.extensionsOf(['a'], [storeExtensions])()
    expect(withStore).toEqual({
      extensions: new Set(['8BITMIME', 'SMTPUTF8']),
      maxMessageBytes: 5000,
      maxRecipientDomains: 1,
    })
  })

  test('what mail meets counts as well', () => {
    const all = upstreams([upstream('a')])
    const extensions = all.extensionsOf(['a'], [])
    expect(extensions().extensions.size).toBe(0)
    all.find('a').group.succeeded('/a/1', ['DSN'])
    expect(extensions().extensions).toEqual(new Set(['DSN']))
  })
})

describe('X4: why a listener has nowhere to go', () => {
  const mx = { name: 'mx', protocol: 'smtp' } as const
  const imap = { name: 'imap', protocol: 'imap' } as const
  type Live = Parameters<Upstreams['troubleOf']>[1]
  /** Nobody has an account here, or somebody has. */
  const live = (hasAny: boolean, signIn: 'accounts' | 'upstream' = 'accounts'): Live =>
    ({
      accounts: { takesCertificates: false, ...(hasAny ? { hasAny } : {}) },
      smtp: { localDomains: ['example.org', 'sub.example.net'] },
      listeners: [{ name: 'imap', signIn }],
    }) as unknown as Live

  test('every backend of every upstream must be down', () => {
    const all = upstreams([upstream('a'), upstream('b')], [to('a'), to('b')])
    const trouble = all.troubleOf(mx, live(false))
    for (const backend of ['/a/1', '/a/2', '/b/1']) tell(all, backend, [], false)
    expect(trouble?.()).toBeUndefined()
    tell(all, '/b/2', [], false)
    expect(trouble?.()).toContain('b: /b/1 is down')
  })

  test('a listener of which some mail stays here depends on nobody', () => {
    const store: RouteConfig = { recipients: ['@store.example'], to: { kind: 'store' } }
    expect(upstreams([upstream('a')], [to('a'), store]).troubleOf(mx, live(false))).toBeUndefined()
    expect(upstreams([upstream('a')], [to('a')]).troubleOf(imap, live(false))).toBeUndefined()
  })

  test.each<[string, boolean, RouteConfig]>([
    [
      'a domain of ours that no route takes',
      false,
      { recipients: ['@example.org'], to: { kind: 'upstream', upstream: 'a' } },
    ],
    ['none', true, { recipients: ['@example.org', '@.example.net'], to: { kind: 'upstream', upstream: 'a' } }],
    [
      'those whom a condition leaves',
      false,
      {
        recipients: ['@example.org', '@.example.net'],
        clients: ['10.0.0.0/8'],
        to: { kind: 'upstream', upstream: 'a' },
      },
    ],
    ['strangers, whom a route without recipients is not for', false, { to: { kind: 'upstream', upstream: 'a' } }],
  ])('where somebody has an account, mail stays for %s', (_, depends, route) => {
    expect(upstreams([upstream('a')], [route]).troubleOf(mx, live(true)) !== undefined).toBe(depends)
  })

  test('a login stays here for whom no route stands, unless backends are the judges', () => {
    const boxes = upstream('a', { protocol: 'imap' })
    const some: RouteConfig = { users: ['ann'], to: { kind: 'upstream', upstream: 'a' } }
    expect(upstreams([boxes], [some]).troubleOf(imap, live(true))).toBeUndefined()
    expect(upstreams([boxes], [some]).troubleOf(imap, live(true, 'upstream'))).toBeDefined()
    expect(upstreams([boxes], [{ to: some.to }]).troubleOf(imap, live(true))).toBeDefined()
  })
})

test('a name that no upstream has is a bug', () => {
  expect(() => upstreams([]).find('a')).toThrow('no upstream is named a')
})
