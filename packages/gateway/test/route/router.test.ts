import { describe, expect, test } from 'vitest'
import type { Envelope, Route } from '@postern/core'
import type { Lookup, LookupAnswer, LookupQuestion } from '../../src/lookup/lookup.ts'
import { networks } from '../../src/policy/networks.ts'
import { RouteTable } from '../../src/route/route-table.ts'
import { RouteFinder } from '../../src/route/route-finder.ts'
import { createRouter } from '../../src/route/router.ts'
import { tableRouter } from '../../src/route/table-router.ts'
import { connectionFrom } from './routing.ts'

const envelope: Envelope = { reversePath: '', forwardPaths: [], isSmtpUtf8: false, body: '7BIT' }
const upstreams = [{ name: 'inside', protocol: 'smtp' }] as const

const router = createRouter({
  finder: new RouteFinder({
    table: new RouteTable(
      [
        { recipients: ['@store.example'], to: { kind: 'store' } },
        { recipients: ['@gone.example'], to: { kind: 'refuse' } },
        { recipients: ['@a.example'], to: { kind: 'upstream', upstream: 'inside' } },
        { to: { kind: 'upstream', upstream: 'inside' } },
      ],
      upstreams,
    ),
    directories: new Map(),
    upstreams,
    log: { lookupFailed: () => {} },
  }),
  local: tableRouter({
    localDomains: ['here.example'],
    accountFor: ({ localPart, domain }) =>
      Promise.resolve(localPart === 'ann' ? { account: `ann@${domain}` } : undefined),
  }),
  relayNetworks: networks(['10.0.0.0/8']),
})

async function route(
  forwardPath: string,
  facts: Parameters<typeof connectionFrom>[0] = {},
  username?: string,
): Promise<string> {
  const principal = username === undefined ? undefined : { account: username, username }
  const found: Route = await router.forRecipient({
    forwardPath,
    envelope,
    connection: connectionFrom(facts),
    principal,
  })
  if (found.to === 'store') return `store ${found.account}`
  if (found.to === 'upstream') return found.upstream
  return found.decision.verdict === 'pass' ? 'pass' : `${found.decision.verdict} ${found.decision.reason}`
}

describe('J12: a recipient’s route', () => {
  test.each([
    ['ann@here.example', {}, undefined, 'store ann@here.example'],
    ['bob@here.example', {}, undefined, 'refuse unknown-recipient'],
    ['ann@store.example', {}, undefined, 'store ann@store.example'],
    ['bob@store.example', {}, undefined, 'refuse unknown-recipient'],
    ['ann@gone.example', {}, undefined, 'refuse no-relay'],
    ['ann@a.example', {}, undefined, 'inside'],
    ['ann@elsewhere.example', {}, undefined, 'refuse no-relay'],
    ['ann@elsewhere.example', {}, 'ann', 'inside'],
    ['ann@elsewhere.example', { client: '10.0.0.1' }, undefined, 'inside'],
    ['ann@elsewhere.example', { client: '10.0.0.1', origin: 'proxy-itself' }, undefined, 'refuse no-relay'],
    ['Postmaster', {}, undefined, 'refuse unknown-recipient'],
  ] as const)('%s from %o as %s: %s', async (forwardPath, facts, username, expected) => {
    expect(await route(forwardPath, facts, username)).toBe(expected)
  })

  test.each([
    'bob%elsewhere.example@a.example',
    'elsewhere.example!bob@a.example',
    '"bob@elsewhere.example"@a.example',
    '"a%b"@a.example',
  ])('TR-04: a stranger’s %s is no way through the backend', async (forwardPath) => {
    expect(await route(forwardPath)).toBe('refuse no-relay')
    expect(await route(forwardPath, {}, 'ann')).toBe('inside')
  })
})

/** A directory that said one thing before and says another now. */
function moving(before: LookupAnswer, now: LookupAnswer, remembers = true) {
  const asked: LookupQuestion[] = []
  let answer = before
  const lookup: Lookup = {
    ask: (question) => {
      asked.push(question)
      return Promise.resolve(answer)
    },
    forget: () => {
      answer = now
      return remembers
    },
    close: () => Promise.resolve(),
  }
  const routes = [{ to: { kind: 'lookup', lookup: 'directory', namesRecipients: true } }] as const
  const moved = createRouter({
    finder: new RouteFinder({
      table: new RouteTable(routes, upstreams),
      directories: new Map([['directory', { lookup, whenDown: 'defer' }]]),
      upstreams,
      log: { lookupFailed: () => {} },
    }),
    local: tableRouter({ localDomains: [], accountFor: () => Promise.resolve(undefined) }),
    relayNetworks: networks([]),
  })
  return { moved, asked }
}

const inside = (server: string): LookupAnswer => ({ found: 'upstream', upstream: 'inside', server })

describe('4.3.16: a route that proved wrong', () => {
  const at = { forwardPath: 'ann@a.example', envelope, connection: connectionFrom() }

  test('leads to where the recipient is now', async () => {
    const { moved } = moving(inside('10.0.0.1:25'), inside('10.0.0.2:25'))
    const before = await moved.forRecipient(at)
    expect(await moved.reconsider?.(at, before)).toEqual({ to: 'upstream', upstream: 'inside', server: '10.0.0.2:25' })
  })

  test('from the store, where nobody has the account any more', async () => {
    const { moved } = moving({ found: 'store' }, inside('10.0.0.2:25'))
    const before = await moved.forRecipient(at)
    expect(before.to).toBe('nowhere')
    expect(await moved.reconsider?.(at, before)).toEqual({ to: 'upstream', upstream: 'inside', server: '10.0.0.2:25' })
  })

  test('stands, where the directory says the same', async () => {
    const { moved, asked } = moving(inside('10.0.0.1:25'), inside('10.0.0.1:25'))
    expect(await moved.reconsider?.(at, await moved.forRecipient(at))).toBeUndefined()
    expect(asked).toHaveLength(2)
  })

  test('stands, and nobody is asked, where nothing was remembered', async () => {
    const { moved, asked } = moving(inside('10.0.0.1:25'), inside('10.0.0.2:25'), false)
    expect(await moved.reconsider?.(at, await moved.forRecipient(at))).toBeUndefined()
    expect(asked).toHaveLength(1)
  })
})
