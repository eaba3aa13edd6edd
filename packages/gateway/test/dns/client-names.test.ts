// Names of clients, asked of a DNS server on loopback.
import { parseIpAddress, type ClientNames } from '@postern/core'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ClientNameLookup } from '../../src/dns/client-names.ts'
import { DnsResolver } from '../../src/dns/resolver.ts'
import { limits } from '../../src/limits.ts'
import * as stubDns from '../kit/stub-dns.ts'

const client = '203.0.113.7'
const reversed = '7.113.0.203.in-addr.arpa'

interface Asking {
  readonly lookup: ClientNameLookup
  readonly silences: boolean[]
  /** Moved by the test, in milliseconds. */
  readonly clock: { now: number }
}

function asking({ address }: Pick<stubDns.StubDns, 'address'>, timeoutMs = 30_000): Asking {
  const silences: boolean[] = []
  const clock = { now: 0 }
  const resolver = new DnsResolver({ servers: [address], timeoutMs, tries: 1 }, (isSilent) => silences.push(isSilent))
  return { lookup: new ClientNameLookup(resolver, () => clock.now), silences, clock }
}

async function startStubDns(...zone: Parameters<typeof stubDns.startStubDns>): Promise<stubDns.StubDns> {
  const stub = await stubDns.startStubDns(...zone)
  onTestFinished(stub.close)
  return stub
}

async function namesOf(lookup: ClientNameLookup, text: string): Promise<ClientNames> {
  return lookup.namesOf(parseIpAddress(text)!)
}

const unanswered = new Set(['silence', 'truncated', 'wrong id'])

test.each([
  [
    'a name that leads back',
    client,
    { [reversed]: ['PTR MX.Example.NET'], 'mx.example.net': [`A ${client}`] },
    { verified: 'mx.example.net', claimed: 'mx.example.net' },
  ],
  [
    'one of several names',
    client,
    {
      [reversed]: ['PTR a.example.net', 'PTR b.example.net'],
      'a.example.net': ['A 203.0.113.8'],
      'b.example.net': ['A 198.51.100.1', `A ${client}`],
    },
    { verified: 'b.example.net', claimed: 'b.example.net' },
  ],
  [
    'an IPv6 client, asked for by AAAA alone',
    '2001:db8::1',
    {
      [`1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`]: ['PTR six.example.net'],
      'six.example.net': ['A 203.0.113.7', 'AAAA 2001:db8:0::1'],
    },
    { verified: 'six.example.net', claimed: 'six.example.net' },
  ],
  [
    'a name that leads elsewhere is a claim',
    client,
    { [reversed]: ['PTR mail.bank.example'], 'mail.bank.example': ['A 198.51.100.9'] },
    { claimed: 'mail.bank.example' },
  ],
  ['so is one that does not exist', client, { [reversed]: ['PTR gone.example'] }, { claimed: 'gone.example' }],
  ['no name at all', client, {}, {}],
  [
    'DN-06: what is no host name',
    client,
    { [reversed]: ['PTR <script>.example', 'PTR a\r\nb.example', 'PTR -a.example', 'PTR ümlaut.example'] },
    {},
  ],
  ['DN-01: SERVFAIL', client, { [reversed]: ['SERVFAIL'] }, { isUnknown: true }],
  ['DN-01: REFUSED', client, { [reversed]: ['REFUSED'] }, { isUnknown: true }],
  ['DN-01: silence', client, { [reversed]: ['silence'] }, { isUnknown: true }],
  ['DN-01: truncated, and no server over TCP', client, { [reversed]: ['truncated'] }, { isUnknown: true }],
  ['DN-08: an answer to another question', client, { [reversed]: ['wrong id'] }, { isUnknown: true }],
  [
    'DN-01: silence about the name that was found',
    client,
    { [reversed]: ['PTR mx.example.net'], 'mx.example.net': ['silence'] },
    { claimed: 'mx.example.net', isUnknown: true },
  ],
] as const)('S10: %s', async (_, address, zone, names) => {
  // Waited for to its end only where nothing comes; longer where something comes before.
  const isAnswered = !Object.values<readonly string[]>(zone)
    .flat()
    .some((record) => unanswered.has(record))
  const timeoutMs = isAnswered ? 30_000 : 'claimed' in names ? 1_000 : 300
  const { lookup } = asking(await startStubDns(zone), timeoutMs)
  expect(await namesOf(lookup, address)).toEqual(names)
})

test('DN-01: of a thousand PTR records a few are looked at', async () => {
  const pointers = Array.from({ length: 20 }, (_, index) => `PTR n${index}.example.net` as const)
  const stub = await startStubDns({ [reversed]: pointers })
  await namesOf(asking(stub).lookup, client)
  expect(stub.questions).toHaveLength(1 + limits.maxPointersLookedAt)
})

test('DN-05: of addresses that mean this machine, or the link, nobody is asked', async () => {
  const stub = await startStubDns({})
  const { lookup } = asking(stub)
  for (const text of ['127.0.0.9', '::1', '::ffff:127.0.0.1', '169.254.1.1', 'fe80::1', '0.0.0.0', '::']) {
    expect(lookup.namesOf(parseIpAddress(text)!)).toEqual({})
  }
  expect(stub.questions).toEqual([])
})

describe('what is kept', () => {
  const zone = { [reversed]: ['PTR mx.example.net'], 'mx.example.net': [`A ${client}`] } as const

  test('clients that come together cost one question, and those that come later none', async () => {
    const stub = await startStubDns(zone)
    const { lookup, clock } = asking(stub)
    const names = await Promise.all([namesOf(lookup, client), namesOf(lookup, client), namesOf(lookup, client)])
    expect(names.map(({ verified }) => verified)).toEqual(['mx.example.net', 'mx.example.net', 'mx.example.net'])
    clock.now += 299_000
    expect(lookup.namesOf(parseIpAddress(client)!)).toEqual(names[0])
    expect(stub.questions).toHaveLength(2)
    clock.now += 2_000
    await namesOf(lookup, client)
    expect(stub.questions).toHaveLength(4)
  })

  test.each([
    ['at least', 0, limits.minKeepNamesSeconds],
    ['at most', 315_360_000, limits.maxKeepNamesSeconds],
  ])('DN-08: %s so long, whatever its owner says', async (_, ttl, seconds) => {
    const stub = await startStubDns(zone, ttl)
    const { lookup, clock } = asking(stub)
    await namesOf(lookup, client)
    clock.now = seconds * 1000 - 1
    await namesOf(lookup, client)
    expect(stub.questions).toHaveLength(2)
    clock.now = seconds * 1000
    await namesOf(lookup, client)
    expect(stub.questions).toHaveLength(4)
  })

  test('a name that could not be found out is asked for again soon', async () => {
    const stub = await startStubDns({ [reversed]: ['SERVFAIL'] })
    const { lookup, clock } = asking(stub)
    expect(await namesOf(lookup, client)).toEqual({ isUnknown: true })
    stub.zone.set(reversed, zone[reversed]).set('mx.example.net', zone['mx.example.net'])
    expect(await namesOf(lookup, client)).toEqual({ isUnknown: true })
    clock.now += limits.keepUnknownNamesSeconds * 1000
    expect(await namesOf(lookup, client)).toMatchObject({ verified: 'mx.example.net' })
  })

  test('however many clients come, so many names are kept', async () => {
    const lookup = new ClientNameLookup({
      pointers: () => Promise.resolve({ status: 'none' }),
      addresses: () => Promise.resolve({ status: 'none' }),
    })
    for (let index = 0; index < limits.maxKeptClientNames + 500; index++) {
      await namesOf(lookup, `198.18.${index >> 8}.${index & 255}`)
    }
    expect(lookup.size).toBe(limits.maxKeptClientNames)
  })
})

describe('DN-01: servers that say nothing', () => {
  test('are left alone for a while, and it is told once', async () => {
    const stub = await startStubDns({})
    const { lookup, silences } = asking(stub, 50)
    const clients = Array.from({ length: limits.maxUnansweredDnsQuestions }, (_, index) => `203.0.113.${index + 1}`)
    for (const [index] of clients.entries()) stub.zone.set(`${index + 1}.113.0.203.in-addr.arpa`, ['silence'])
    await Promise.all(clients.map((text) => namesOf(lookup, text)))
    expect(silences).toEqual([true])
    const asked = stub.questions.length
    expect(await namesOf(lookup, '203.0.113.200')).toEqual({ isUnknown: true })
    expect(stub.questions).toHaveLength(asked)
  })

  test('and one that answers a question under way is back at once', async () => {
    const stub = await startStubDns({})
    const { lookup, silences } = asking(stub, 1_000)
    const clients = Array.from({ length: limits.maxUnansweredDnsQuestions }, (_, index) => `203.0.113.${index + 1}`)
    for (const [index] of clients.slice(1).entries()) stub.zone.set(`${index + 1}.113.0.203.in-addr.arpa`, ['silence'])
    await Promise.all(clients.map((text) => namesOf(lookup, text)))
    expect(silences).toEqual([])
  })

  test('are not asked more questions at once than a bound', async () => {
    const stub = await startStubDns({})
    const { lookup } = asking(stub, 200)
    const clients = Array.from(
      { length: limits.maxDnsQuestions + 1 },
      (_, index) => `198.18.${index >> 8}.${index & 255}`,
    )
    const underWay = clients.map((text) => namesOf(lookup, text))
    expect(await underWay.at(-1)).toEqual({ isUnknown: true })
    await Promise.all(underWay)
  })
})
