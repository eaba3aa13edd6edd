import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RouteConfig } from '../../src/config/schema.ts'
import { RouteTable } from '../../src/route/route-table.ts'
import { connectionFrom } from './routing.ts'

const upstreams = [
  { name: 'inside', protocol: 'smtp' },
  { name: 'other', protocol: 'lmtp' },
  { name: 'boxes', protocol: 'imap' },
] as const

const to = (upstream: string): RouteConfig['to'] => ({ kind: 'upstream', upstream })

function tableOf(...routes: readonly RouteConfig[]): RouteTable {
  return new RouteTable(routes, upstreams)
}

function mail(
  table: RouteTable,
  recipient: string,
  facts: Parameters<typeof connectionFrom>[0] & { readonly username?: string; readonly mayRelay?: boolean } = {},
): string | undefined {
  const { username, mayRelay = false, ...rest } = facts
  const [target] = table.mail({ recipient, username, connection: connectionFrom(rest) }, mayRelay)
  return target?.kind === 'upstream' ? target.upstream : target?.kind
}

describe('J12: routes by recipient', () => {
  const table = tableOf(
    { recipients: ['ann@a.example'], to: to('other') },
    { recipients: ['@a.example', '@.b.example'], to: to('inside') },
    { recipients: ['@x.b.example'], to: to('other') },
    { recipients: ['@xn--bcher-kva.example'], to: { kind: 'store' } },
    { recipients: ['@gone.example'], to: { kind: 'refuse' } },
  )
  test.each([
    ['ann@a.example', 'other'],
    ['ANN@A.EXAMPLE', 'other'],
    ['bob@a.example', 'inside'],
    ['bob@sub.a.example', undefined],
    ['bob@b.example', undefined],
    ['bob@c.b.example', 'inside'],
    ['bob@d.c.b.example', 'inside'],
    ['bob@x.b.example', 'inside'],
    ['bob@bücher.example', 'store'],
    ['bob@xn--bcher-kva.example', 'store'],
    ['bob@gone.example', 'refuse'],
    ['bob@xa.example', undefined],
    ['"ann@a.example"@c.example', undefined],
    ['postmaster', undefined],
  ])('%s goes to %s', (recipient, upstream) => {
    expect(mail(table, recipient)).toBe(upstream)
  })
})

describe('each condition', () => {
  test.each([
    ['users', { users: ['ann'] }, { username: 'ANN' }, { username: 'bob' }],
    ['users of a domain', { users: ['@a.example'] }, { username: 'ann@a.example' }, { username: 'ann@b.example' }],
    ['users, for nobody', { users: ['@.example'] }, { username: 'ann@a.example' }, {}],
    ['a server name', { serverNames: ['mx.example'] }, { serverName: 'MX.example.' }, { serverName: 'my.example' }],
    ['server names below', { serverNames: ['.example'] }, { serverName: 'mx.example' }, { serverName: 'example' }],
    ['an authority', { authorities: ['mx.example'] }, { authority: 'mx.example' }, { serverName: 'mx.example' }],
    ['clients', { clients: ['10.0.0.0/8'] }, { client: '10.1.2.3' }, { client: '11.1.2.3' }],
    ['listeners', { listeners: ['mx'] }, { listener: 'mx' }, { listener: 'submission' }],
  ] as const)('%s', (_, conditions, matching, other) => {
    const table = tableOf({ ...conditions, to: to('inside') })
    expect(mail(table, 'bob@b.example', { ...matching, mayRelay: true })).toBe('inside')
    expect(mail(table, 'bob@b.example', { ...other, mayRelay: true })).toBeUndefined()
  })

  test('all of them must hold, and the first route that matches decides', () => {
    const table = tableOf(
      { users: ['ann'], clients: ['10.0.0.0/8'], to: to('other') },
      { users: ['ann'], to: to('inside') },
      { users: ['ann'], clients: ['10.0.0.0/8'], to: { kind: 'refuse' } },
    )
    const asAnn = { username: 'ann', mayRelay: true }
    expect(mail(table, 'bob@b.example', { ...asAnn, client: '10.0.0.1' })).toBe('other')
    expect(mail(table, 'bob@b.example', { ...asAnn, client: '192.0.2.1' })).toBe('inside')
  })
})

test('TR-03: without the right to relay only a route that names the recipient takes mail out', () => {
  const table = tableOf({ listeners: ['mx'], to: to('other') }, { recipients: ['@a.example'], to: to('inside') })
  expect(mail(table, 'bob@elsewhere.example')).toBeUndefined()
  expect(mail(table, 'bob@a.example')).toBe('inside')
  expect(mail(table, 'bob@elsewhere.example', { mayRelay: true })).toBe('other')
})

test('J12: logins go by user, to IMAP upstreams and the store only', () => {
  const table = tableOf(
    { recipients: ['@a.example'], to: { kind: 'store' } },
    { to: to('inside') },
    { users: ['@a.example'], to: to('boxes') },
    { to: { kind: 'store' } },
  )
  const login = (username: string): string | undefined => {
    const [target] = table.logins({ username, connection: connectionFrom({ protocol: 'imap' }) })
    return target?.kind === 'upstream' ? target.upstream : target?.kind
  }
  expect(login('ann@a.example')).toBe('boxes')
  expect(login('ann@b.example')).toBe('store')
})

test('what a listener depends on', () => {
  const table = tableOf(
    { listeners: ['mx'], recipients: ['@a.example'], to: to('inside') },
    { recipients: ['@b.example'], to: to('other') },
    { listeners: ['in'], to: { kind: 'store' } },
    { to: to('boxes') },
  )
  expect(table.reachableFrom('mx', 'mail')).toEqual({ upstreams: new Set(['inside', 'other']), reachesStore: false })
  expect(table.reachableFrom('in', 'mail')).toEqual({ upstreams: new Set(['other']), reachesStore: true })
  expect(table.reachableFrom('mx', 'logins')).toEqual({ upstreams: new Set(['boxes']), reachesStore: false })
})

test('ten thousand routes cost a recipient a few look-ups', () => {
  const routes = Array.from({ length: 10_000 }, (_, index) => ({
    recipients: [`@d${index}.example`],
    to: to('inside'),
  }))
  const table = tableOf(...routes)
  const connection = connectionFrom()
  const startedAt = process.threadCpuUsage()
  for (let turn = 0; turn < 2000; turn++)
    Array.from(table.mail({ recipient: `bob@d${turn}.example`, connection }, false))
  // Two thousand walks over ten thousand routes would take seconds.
  expect(process.threadCpuUsage(startedAt).user).toBeLessThan(1_000_000)
})

function stands(value: string, each: string): boolean {
  const [, at = ''] = value.split('@')
  if (each.startsWith('@.')) return at.endsWith(each.slice(1))
  return each.startsWith('@') ? at === each.slice(1) : value === each
}

function holds(list: readonly string[] | undefined, value: string): boolean {
  return list === undefined || list.some((each) => stands(value, each))
}

test('the index finds what a walk over all routes would', () => {
  const local = fc.constantFrom('ann', 'bob', '')
  const domain = fc.constantFrom('a.example', 'b.a.example', 'example', '.a.example', '.example')
  const pattern = fc.tuple(local, domain).map(([name, at]) => (at.startsWith('.') ? `@${at}` : `${name}@${at}`))
  const patterns = fc.array(pattern, { minLength: 1, maxLength: 3 })
  const anyRoute = fc.record(
    {
      recipients: patterns,
      users: patterns,
      to: fc.constantFrom(to('inside'), to('other'), { kind: 'store' } as const),
    },
    { requiredKeys: ['to'] },
  )
  const address = fc.tuple(fc.constantFrom('ann', 'bob', 'eve'), fc.constantFrom('a.example', 'b.a.example', 'example'))
  fc.assert(
    fc.property(fc.array(anyRoute, { maxLength: 8 }), address, address, (routes, [name, at], [userName, userAt]) => {
      const [recipient, username] = [`${name}@${at}`, `${userName}@${userAt}`]
      const expected = routes.filter(({ recipients, users }) => holds(recipients, recipient) && holds(users, username))
      const found = tableOf(...routes).mail({ recipient, username, connection: connectionFrom() }, true)
      expect([...found]).toEqual(expected.map((each) => each.to))
    }),
  )
})
