import { describe, expect, test } from 'vitest'
import type { RouteConfig, RouteTarget } from '../../src/config/schema.ts'
import type { LookupAnswer, LookupQuestion } from '../../src/lookup/lookup.ts'
import { RouteFinder, type Directory, type FoundRoute } from '../../src/route/route-finder.ts'
import { RouteTable } from '../../src/route/route-table.ts'
import { connectionFrom } from './routing.ts'

const upstreams = [
  { name: 'inside', protocol: 'smtp' },
  { name: 'boxes', protocol: 'imap' },
] as const

const ask = (more: Partial<Extract<RouteTarget, { kind: 'lookup' }>> = {}): RouteConfig => ({
  to: { kind: 'lookup', lookup: 'directory', namesRecipients: true, ...more },
})
const toInside: RouteConfig = { recipients: ['@a.example'], to: { kind: 'upstream', upstream: 'inside' } }

const failures: string[] = []
const questions: LookupQuestion[] = []

function finder(
  routes: readonly RouteConfig[],
  answer?: () => Promise<LookupAnswer>,
  whenDown: Directory['whenDown'] = 'defer',
) {
  failures.length = 0
  questions.length = 0
  const lookup = {
    ask: (question: LookupQuestion) => {
      questions.push(question)
      return (answer ?? (() => Promise.reject(new Error('down'))))()
    },
    close: () => Promise.resolve(),
  }
  return new RouteFinder({
    table: new RouteTable(routes, upstreams),
    directories: new Map([['directory', { lookup, whenDown }]]),
    upstreams,
    log: { lookupFailed: (name, detail) => failures.push(`${name}: ${detail}`) },
  })
}

async function mail(found: RouteFinder, mayRelay = false): Promise<FoundRoute | undefined> {
  return found.forMail(
    { recipient: 'ann@a.example', connection: connectionFrom(), helo: 'client.example', reversePath: '' },
    mayRelay,
  )
}

const answers = (answer: LookupAnswer) => () => Promise.resolve(answer)

describe('a route that asks a directory', () => {
  test('tells it what is known', async () => {
    const connection = connectionFrom({ serverName: 'mx.example.org', authority: 'x.example.org' })
    const found = finder([ask()], answers({ found: 'store' }))
    await found.forMail(
      { recipient: 'ann@a.example', connection, helo: 'client.example', reversePath: 'b@c.example', username: 'ann' },
      true,
    )
    expect(questions).toEqual([
      {
        kind: 'mail',
        protocol: 'smtp',
        listener: 'mx',
        connectionId: '0123456789abcdef',
        client: { address: '203.0.113.7', port: 40_000 },
        helo: 'client.example',
        username: 'ann',
        reversePath: 'b@c.example',
        recipient: 'ann@a.example',
        serverName: 'mx.example.org',
        authority: 'x.example.org',
      },
    ])
  })

  test.each<[string, Partial<Extract<RouteTarget, { kind: 'lookup' }>>, LookupAnswer, unknown]>([
    ['an upstream', {}, { found: 'upstream', upstream: 'inside' }, { kind: 'upstream', upstream: 'inside' }],
    ['the route’s own', { upstream: 'inside' }, { found: 'upstream' }, { kind: 'upstream', upstream: 'inside' }],
    [
      'one address',
      { upstream: 'inside' },
      { found: 'upstream', server: '10.0.0.7:25' },
      { kind: 'upstream', upstream: 'inside', server: '10.0.0.7:25' },
    ],
    ['the store', {}, { found: 'store' }, { kind: 'store' }],
    [
      'a refusal',
      {},
      { found: 'refusal', isTemporary: false, text: 'gone' },
      { kind: 'refuse', decision: { verdict: 'refuse', reply: { text: 'gone' } } },
    ],
    [
      'a refusal for now',
      {},
      { found: 'refusal', isTemporary: true },
      { kind: 'refuse', decision: { verdict: 'defer', reason: 'unavailable' } },
    ],
    ['nothing: the next route', {}, { found: 'nothing' }, { kind: 'upstream', upstream: 'inside' }],
  ])('%s', async (_, more, answer, expected) => {
    expect(await mail(finder([ask(more), toInside], answers(answer)))).toMatchObject(expected as object)
    expect(failures).toEqual([])
  })

  test('two directories, one after the other', async () => {
    let count = 0
    const found = finder([ask(), ask()], () =>
      Promise.resolve(++count === 1 ? { found: 'nothing' } : { found: 'store' }),
    )
    expect(await mail(found)).toEqual({ kind: 'store' })
  })

  test.each<[string, LookupAnswer]>([
    ['an upstream that is not there', { found: 'upstream', upstream: 'outside' }],
    ['an upstream that takes no mail', { found: 'upstream', upstream: 'boxes' }],
    ['no upstream at all', { found: 'upstream' }],
  ])('%s is no answer: nothing goes anywhere', async (_, answer) => {
    expect(await mail(finder([ask(), toInside], answers(answer)))).toMatchObject({
      kind: 'refuse',
      decision: { verdict: 'defer', reason: 'unavailable' },
    })
    expect(failures).toHaveLength(1)
  })

  test('that is down defers, or is passed over where that is wanted', async () => {
    expect(await mail(finder([ask(), toInside]))).toMatchObject({ decision: { verdict: 'defer' } })
    expect(await mail(finder([ask(), toInside], undefined, 'next'))).toEqual({ kind: 'upstream', upstream: 'inside' })
    expect(failures).toEqual(['directory: down'])
  })

  test('that could not be opened defers', async () => {
    const found = new RouteFinder({
      table: new RouteTable([ask()], upstreams),
      directories: new Map(),
      upstreams,
      log: { lookupFailed: () => {} },
    })
    expect(await mail(found)).toMatchObject({ decision: { verdict: 'defer' } })
  })

  test('TR-03: one that does not know our recipients is asked for nobody without the right to relay', async () => {
    const found = finder([ask({ namesRecipients: false })], answers({ found: 'upstream', upstream: 'inside' }))
    expect(await mail(found)).toBeUndefined()
    expect(questions).toEqual([])
    expect(await mail(found, true)).toEqual({ kind: 'upstream', upstream: 'inside' })
  })

  test('J12: logins go to upstreams that take them', async () => {
    const found = finder([ask()], answers({ found: 'upstream', upstream: 'boxes' }))
    const connection = connectionFrom({ protocol: 'imap' })
    expect(await found.forLogin({ username: 'ann', connection })).toEqual({ kind: 'upstream', upstream: 'boxes' })
    expect(questions[0]).toMatchObject({ kind: 'login', username: 'ann' })
  })
})

test('without a directory nothing is waited for', () => {
  const found = finder([toInside])
  expect(found.forMail({ recipient: 'ann@a.example', connection: connectionFrom() }, false)).toEqual({
    kind: 'upstream',
    upstream: 'inside',
  })
  expect(found.forSubmission({ username: 'ann', connection: connectionFrom() })).toBeUndefined()
})
