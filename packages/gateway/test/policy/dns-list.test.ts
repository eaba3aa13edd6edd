import { endpoint, type Decision, type IpAddress, type ListenerInfo } from '@postern/core'
import { describe, expect, test } from 'vitest'
import type { DnsListConfig } from '../../src/config/schema.ts'
import type { DnsAnswer } from '../../src/dns/resolver.ts'
import { limits } from '../../src/limits.ts'
import { DnsList, type ListTrouble } from '../../src/policy/dns-list.ts'
import { dnsLists } from '../../src/policy/dns-lists.ts'
import { clientAt } from '../kit/clients.ts'

const zone = 'bl.example'
const found = (...records: string[]): DnsAnswer => ({ status: 'found', records, ttlSeconds: 300 })
const none: DnsAnswer = { status: 'none' }
const unknown: DnsAnswer = { status: 'unknown' }

/** What every list has, and what no list may have (RFC 5782 section 5). */
const sound = { [`2.0.0.127.${zone}`]: found('127.0.0.2') }
const soundFor6 = { [`2.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}.${zone}`]: found('127.0.0.2') }

function listOf(entries: Readonly<Record<string, DnsAnswer>>, answers: readonly string[] = ['127.0.0.0/8']) {
  const zoneOf = new Map(Object.entries(entries))
  const questions: string[] = []
  const troubles: (ListTrouble | undefined)[] = []
  const verdicts: string[] = []
  let clock = 0
  const list = new DnsList({
    zone,
    answers,
    resolver: {
      addresses: (name) => {
        questions.push(name)
        return Promise.resolve(zoneOf.get(name) ?? none)
      },
    },
    onTrouble: (trouble) => troubles.push(trouble),
    onVerdict: (status, source) => verdicts.push(`${status} ${source}`),
    now: () => clock,
  })
  const ask = async (address: string): Promise<string> => (await list.verdictOn(ip(address))).status
  const pass = (ms: number): void => {
    clock += ms
  }
  return { list, ask, questions, troubles, verdicts, zoneOf, pass }
}

function ip(text: string): IpAddress {
  return endpoint(text, 0).address
}

describe('RFC 5782: what a list says of an address', () => {
  test.each<[string, string, Readonly<Record<string, DnsAnswer>>, string]>([
    ['IPv4, its octets reversed', '203.0.113.7', { [`7.113.0.203.${zone}`]: found('127.0.0.2') }, 'listed'],
    ['nothing there', '203.0.113.8', {}, 'not-listed'],
    ['no answer', '203.0.113.7', { [`7.113.0.203.${zone}`]: unknown }, 'unknown'],
    ['an answer outside 127/8', '203.0.113.7', { [`7.113.0.203.${zone}`]: found('198.51.100.1') }, 'not-listed'],
    ['a refusal to answer', '203.0.113.7', { [`7.113.0.203.${zone}`]: found('127.255.255.254') }, 'unknown'],
    ['what is no address', '203.0.113.7', { [`7.113.0.203.${zone}`]: found('rubbish') }, 'not-listed'],
  ])('%s', async (_, address, entries, status) => {
    expect(await listOf({ ...sound, ...entries }).ask(address)).toBe(status)
  })

  test('IPv6, by nibbles', async () => {
    const labels = '7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2'
    const { ask } = listOf({ ...soundFor6, [`${labels}.${zone}`]: found('127.0.0.3') })
    expect(await ask('2001:db8::7')).toBe('listed')
  })

  test('only the answers that were asked for count, any of several', async () => {
    const entries = {
      ...sound,
      [`7.113.0.203.${zone}`]: found('127.0.0.10'),
      [`8.113.0.203.${zone}`]: found('127.0.0.10', '127.0.0.4'),
    }
    const { ask } = listOf(entries, ['127.0.0.2/31', '127.0.0.4'])
    expect([await ask('203.0.113.7'), await ask('203.0.113.8')]).toEqual(['not-listed', 'listed'])
  })

  test('an answer is kept for its time, and clients that come together share a question', async () => {
    const { ask, questions, pass } = listOf({ ...sound, [`7.113.0.203.${zone}`]: found('127.0.0.2') })
    await Promise.all([ask('203.0.113.7'), ask('203.0.113.7')])
    await ask('203.0.113.7')
    const asked = (): number => questions.filter((name) => name.startsWith('7.')).length
    expect(asked()).toBe(1)
    pass(301_000)
    await ask('203.0.113.7')
    expect(asked()).toBe(2)
  })

  test('what is kept is bounded whatever the number of clients', async () => {
    const { list, ask } = listOf(sound)
    await ask('203.0.113.1')
    for (let n = 0; n < limits.maxKeptListings + 100; n++)
      await list.verdictOn(ip(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`))
    expect(list.size).toBe(limits.maxKeptListings)
  })
})

describe('DN-02, DN-03: a list that cannot be believed refuses nobody (RFC 5782 section 5)', () => {
  const listedClient = { [`7.113.0.203.${zone}`]: found('127.0.0.2') }
  test.each<[string, Readonly<Record<string, DnsAnswer>>, ListTrouble]>([
    ['it lists nobody, not even 127.0.0.2', listedClient, 'lists-nobody'],
    ['it lists 127.0.0.1', { ...sound, ...listedClient, [`1.0.0.127.${zone}`]: found('127.0.0.2') }, 'lists-everybody'],
    [
      'its domain is parked',
      { [`2.0.0.127.${zone}`]: found('198.51.100.1'), [`1.0.0.127.${zone}`]: found('198.51.100.1'), ...listedClient },
      'lists-everybody',
    ],
    ['it does not answer', { [`2.0.0.127.${zone}`]: unknown, ...listedClient }, 'silent'],
    ['it refuses us', { [`2.0.0.127.${zone}`]: found('127.255.255.254'), ...listedClient }, 'refuses-us'],
  ])('%s', async (_, entries, trouble) => {
    const { ask, troubles } = listOf(entries)
    expect(await ask('203.0.113.7')).toBe('unknown')
    expect(await ask('203.0.113.7')).toBe('unknown')
    expect(troubles).toEqual([trouble])
  })

  test('a list without the test entry of IPv6 is used for IPv4 alone', async () => {
    const { ask, troubles } = listOf({ ...sound, ...listedClient })
    expect([await ask('203.0.113.7'), await ask('2001:db8::7')]).toEqual(['listed', 'unknown'])
    expect(troubles).toEqual(['lists-nobody'])
  })

  test('DN-02: one that begins to refuse us is asked no more until it is looked at again', async () => {
    const entries = { ...sound, ...listedClient, [`8.113.0.203.${zone}`]: found('127.255.255.255') }
    const { ask, questions, troubles, pass } = listOf(entries)
    expect(await ask('203.0.113.8')).toBe('unknown')
    const asked = questions.length
    expect(await ask('203.0.113.7')).toBe('unknown')
    expect(questions.length).toBe(asked)
    pass(limits.dnsListTroubleMs + 1)
    await ask('203.0.113.7')
    await new Promise(setImmediate)
    expect(await ask('203.0.113.7')).toBe('listed')
    expect(troubles).toEqual(['refuses-us', undefined])
  })

  test('it is looked at again, and used again', async () => {
    const { ask, troubles, zoneOf, pass } = listOf(listedClient)
    expect(await ask('203.0.113.7')).toBe('unknown')
    zoneOf.set(`2.0.0.127.${zone}`, found('127.0.0.2'))
    pass(limits.dnsListTroubleMs + 1)
    // This client does not wait for the examination, the next one has its result.
    await ask('203.0.113.7')
    await new Promise(setImmediate)
    expect(await ask('203.0.113.7')).toBe('listed')
    expect(troubles).toEqual(['lists-nobody', undefined])
  })
})

const uses = (name: string, more: Partial<DnsListConfig>, listed: readonly string[]) => ({
  list: {
    zone: name,
    verdictOn: (address: IpAddress) =>
      listed.includes(address.toString())
        ? ({ status: 'listed', answer: '127.0.0.2' } as const)
        : ({ status: 'not-listed' } as const),
  },
  config: {
    zone: name,
    kind: 'block',
    answers: ['127.0.0.0/8'],
    action: 'refuse',
    listeners: ['mx'],
    ...more,
  } satisfies DnsListConfig,
})

describe('DN-04: what becomes of a client that is listed', () => {
  const mx: ListenerInfo = { name: 'mx', protocol: 'smtp', tls: 'off' }
  const notes: string[] = []
  const policy = dnsLists(
    [
      uses('noted.example', { action: 'note' }, ['203.0.113.1', '203.0.113.3']),
      uses('soft.example', { action: 'defer' }, ['203.0.113.2', '203.0.113.3']),
      uses('hard.example', { text: 'See https://{zone}/{client}' }, ['203.0.113.3', '203.0.113.4', '10.0.0.1']),
      uses('good.example', { kind: 'allow' }, ['203.0.113.4']),
    ],
    (client) => client.toString() === '203.0.113.5',
    (_, detail) => notes.push(detail),
  )
  const decide = (client: string, listener = mx): Decision =>
    policy.onConnect?.({ identity: clientAt(client), listener }) as Decision

  test.each([
    ['note', '203.0.113.1', { verdict: 'pass' }],
    ['defer', '203.0.113.2', { verdict: 'defer', reason: 'dns-list' }],
    [
      'of several the strictest',
      '203.0.113.3',
      { verdict: 'refuse', reply: { text: 'See https://hard.example/203.0.113.3' } },
    ],
    ['on an allow list as well', '203.0.113.4', { verdict: 'pass' }],
    ['a private address, which means another host everywhere', '10.0.0.1', { verdict: 'pass' }],
  ])('%s', (_, client, decision) => {
    expect(decide(client)).toMatchObject(decision)
  })

  test('the log is told of what is only noted', () => {
    decide('203.0.113.1')
    expect(notes).toContain('203.0.113.1 is on noted.example (127.0.0.2)')
  })

  test('other listeners ask nobody', () => {
    expect(decide('203.0.113.3', { ...mx, name: 'submission' })).toEqual({ verdict: 'pass' })
  })
})

test('each verdict is told, and whether the DNS was asked for it', async () => {
  const { ask, verdicts, zoneOf } = listOf({ ...sound, [`7.113.0.203.${zone}`]: found('127.0.0.4') })
  await ask('203.0.113.7')
  await ask('203.0.113.7')
  await ask('203.0.113.8')
  expect(verdicts).toEqual(['listed dns', 'listed cache', 'not-listed dns'])
  zoneOf.set(`9.113.0.203.${zone}`, found('127.255.255.254'))
  await ask('203.0.113.9')
  await ask('203.0.113.7')
  expect(verdicts.slice(3)).toEqual(['unknown dns', 'unknown paused'])
})
