import { compileCidrSet, parseIpAddress } from '@postern/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { takersOf } from '../../src/config/refuse-unreachable.ts'
import type { RouteConfig, RouteTarget } from '../../src/config/schema.ts'

const inside: RouteTarget = { kind: 'upstream', upstream: 'inside' }
const upstreams = [
  { name: 'inside', protocol: 'smtp' },
  { name: 'mailboxes', protocol: 'imap' },
] as const

describe('the first route that takes all that a later one could', () => {
  test.each<readonly [string, Omit<RouteConfig, 'to'>, Omit<RouteConfig, 'to'>, number | undefined]>([
    ['the same network by other words', { clients: ['2001:db8:0::/48'] }, { clients: ['2001:db8::/48'] }, 0],
    ['an address of an IPv4-mapped network', { clients: ['::ffff:10.0.0.0/104'] }, { clients: ['10.1.2.3'] }, 0],
    ['an IPv4-mapped network within', { clients: ['10.0.0.0/8'] }, { clients: ['::ffff:10.1.0.0/112'] }, 0],
    ['a wider one, IPv4-mapped', { clients: ['10.0.0.0/16'] }, { clients: ['::ffff:10.0.0.0/104'] }, undefined],
    ['IPv4 behind all of IPv6', { clients: ['::/0'] }, { clients: ['10.0.0.0/8'] }, undefined],
    ['a user who is named like what is below a domain', { users: ['.b'] }, { users: ['a.b'] }, undefined],
    ['a server name below a domain', { serverNames: ['.a.example'] }, { serverNames: ['mx.a.example'] }, 0],
    ['the domain itself', { serverNames: ['.a.example'] }, { serverNames: ['a.example'] }, undefined],
    ['each value by another', { authorities: ['a', '.b'] }, { authorities: ['x.b', 'a'] }, 0],
    ['all but one', { authorities: ['a', '.b'] }, { authorities: ['x.b', 'a', 'c'] }, undefined],
  ])('%s', (_, first, second, taker) => {
    const routes = [first, second].map((each) => ({ ...each, to: inside }))
    expect(takersOf(routes, upstreams)).toEqual([undefined, taker])
  })

  test('is what a comparison with each before it finds', () => {
    fc.assert(
      fc.property(fc.array(anyRoute, { minLength: 2, maxLength: 12 }), (routes) => {
        const compared = routes.map((route, index) => {
          const taker = routes.findIndex((earlier, place) => place < index && takesAllOf(earlier, route))
          return taker === -1 ? undefined : taker
        })
        expect(takersOf(routes, upstreams)).toEqual(compared)
      }),
      { numRuns: 500 },
    )
  })

  test.each<readonly [string, (index: number) => Omit<RouteConfig, 'to'>]>([
    ['domain', (index) => ({ recipients: [`@d${index}.example`], listeners: ['mx'] })],
    ['network', (index) => ({ recipients: ['@example.org'], clients: [`10.${index >> 8}.${index & 255}.0/24`] })],
  ])('is found among ten thousand, one for each %s', (_, conditionsOf) => {
    const routes = Array.from({ length: 10_000 }, (__, index) => ({ ...conditionsOf(index), to: inside }))
    const startedAt = process.threadCpuUsage()
    expect(takersOf([...routes, { ...conditionsOf(9999), to: inside }], upstreams).at(-1)).toBe(9999)
    // Fifty million comparisons would take a minute.
    expect(process.threadCpuUsage(startedAt).user).toBeLessThan(5_000_000)
  })
})

// ── each with each ──────────────────────────────────────────────────────────

function listOf(...values: readonly string[]): fc.Arbitrary<string[]> {
  return fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 3 })
}

const addresses = ['ann@a.example', 'bob@a.example', '@a.example', '@b.a.example', '@.a.example', '@.example']
const names = ['a.example', 'b.a.example', '.a.example', '.example']
const networks = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.0.0',
  '10.1.2.3',
  '::/0',
  '2001:db8::/32',
  '2001:db8::1',
]
const targets: readonly RouteTarget[] = [
  { kind: 'store' },
  { kind: 'refuse' },
  inside,
  { kind: 'upstream', upstream: 'mailboxes' },
  { kind: 'lookup', lookup: 'people', namesRecipients: false },
]
const anyRoute: fc.Arbitrary<RouteConfig> = fc.record(
  {
    recipients: listOf(...addresses),
    users: listOf('ann', 'a.example', ...addresses),
    serverNames: listOf(...names),
    authorities: listOf(...names),
    clients: listOf(...networks),
    listeners: listOf('mx', 'users'),
    to: fc.constantFrom(...targets),
  },
  { requiredKeys: ['to'] },
)

function takesAllOf(earlier: RouteConfig, later: RouteConfig): boolean {
  const kind = kindOf(earlier)
  if (earlier.to.kind === 'lookup' || (kind !== 'both' && kind !== kindOf(later))) return false
  if (earlier.recipients === undefined && later.recipients !== undefined && earlier.to.kind === 'upstream') return false
  const { to: _, ...conditions } = earlier
  return Object.entries(conditions).every(([condition, patterns]) => {
    const isWithin = condition === 'clients' ? isNetworkWithin : isNameWithin
    return later[condition as keyof typeof conditions]?.every((value) => patterns.some((wide) => isWithin(value, wide)))
  })
}

function kindOf({ to }: RouteConfig): string {
  if (to.kind !== 'upstream') return 'both'
  return to.upstream === 'mailboxes' ? 'logins' : 'mail'
}

function isNameWithin(value: string, pattern: string): boolean {
  if (value === pattern) return true
  const at = value.indexOf('@')
  // Of addresses only `@example.org` and `@.example.org` stand for more than one; of names only `.example.org`.
  if (pattern.indexOf('@') > 0 || pattern.startsWith('@') !== at >= 0) return false
  const domain = value.slice(at + 1)
  const wide = pattern.replace(/^@/, '')
  return wide.startsWith('.') ? domain.endsWith(wide) : pattern.startsWith('@') && domain === wide
}

function isNetworkWithin(value: string, network: string): boolean {
  const [address, length] = value.split('/')
  const [, wideLength] = network.split('/')
  const first = parseIpAddress(address!)!
  const compiled = compileCidrSet([network])
  const full = first.family === 4 ? 32 : 128
  return compiled.ok && compiled.set.has(first) && Number(wideLength ?? full) <= Number(length ?? full)
}
