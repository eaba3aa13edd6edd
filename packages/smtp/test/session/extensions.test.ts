/* Extensions whose promise the destination keeps: what EHLO offers, and what comes of their parameters. */
import { describe, expect, test } from 'vitest'
import {
  commonExtensions,
  type DeliveryReply,
  type DestinationExtension,
  type DestinationExtensions,
} from '../../src/index.ts'
import { dialogue, greeted, TestSession, type Setup } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

const able = (...extensions: readonly DestinationExtension[]): DestinationExtensions => ({
  extensions: new Set(extensions),
})

async function offeredIn(setup: Setup): Promise<readonly string[]> {
  const session = await new TestSession(setup).start()
  const lines = (await session.ask(`${setup.mode === 'lmtp' ? 'LHLO' : 'EHLO'} client.example`)).trimEnd().split('\r\n')
  return lines.slice(1).map((line) => line.slice(4))
}

describe('what is offered', () => {
  test.each<[string, Setup, readonly string[], readonly string[]]>([
    ['without a word of destinations', {}, ['8BITMIME', 'SMTPUTF8'], ['BINARYMIME', 'DSN', 'PRDR', 'REQUIRETLS']],
    [
      'nothing that a destination lacks',
      { destinationExtensions: able() },
      ['CHUNKING'],
      ['8BITMIME', 'SMTPUTF8', 'BINARYMIME', 'DSN', 'PRDR', 'REQUIRETLS'],
    ],
    ['DSN and PRDR', { destinationExtensions: able('DSN', 'PRDR') }, ['DSN', 'PRDR'], ['8BITMIME']],
    ['no REQUIRETLS in the clear', { destinationExtensions: able('REQUIRETLS') }, [], ['REQUIRETLS']],
    ['REQUIRETLS under our TLS', { tls: 'gateway', destinationExtensions: able('REQUIRETLS') }, ['REQUIRETLS'], []],
    // Between the balancer and us there may be none.
    [
      'no REQUIRETLS under that of a balancer',
      { tls: 'proxy', destinationExtensions: able('REQUIRETLS') },
      [],
      ['REQUIRETLS'],
    ],
    ['no PRDR in LMTP, which does it by itself', { mode: 'lmtp', destinationExtensions: able('PRDR') }, [], ['PRDR']],
  ])('%s', async (_, setup, has, lacks) => {
    const offered = await offeredIn(setup)
    expect(offered).toEqual(expect.arrayContaining([...has]))
    for (const keyword of lacks) expect(offered).not.toContain(keyword)
  })

  test('SIZE is the least of ours and theirs, and holds for MAIL and for the message', async () => {
    const setup: Setup = { destinationExtensions: { extensions: new Set(), maxMessageBytes: 100 } }
    expect(await offeredIn(setup)).toContain('SIZE 100')
    const session = await greeted(setup)
    expect(await session.ask('MAIL FROM:<bob@example.net> SIZE=101')).toMatch(/^552 5\.3\.4 /)
    await session.ask('MAIL FROM:<bob@example.net> SIZE=100')
    await session.ask('RCPT TO:<ann@example.org>')
    expect(await session.ask(`BDAT 101 LAST\r\n${'x'.repeat(101)}`)).toMatch(/^552 5\.3\.4 /)
    expect(session.destination.messages).toEqual([])
    expect(await offeredIn({ destinationExtensions: { extensions: new Set(), maxMessageBytes: 1e12 } })).toContain(
      'SIZE 26214400',
    )
  })

  test('LIMITS tells how many domains one transaction may have (RFC 9422)', async () => {
    const destinationExtensions = { extensions: new Set<DestinationExtension>(), maxRecipientDomains: 1 }
    expect(await offeredIn({ destinationExtensions })).toContain('LIMITS RCPTMAX=1000 RCPTDOMAINMAX=1')
  })

  test('it is asked for the connection at each greeting, and holds until the next one', async () => {
    let now = able('DSN')
    const asked: string[] = []
    const session = new TestSession({
      extensionsNow: ({ security }) => {
        asked.push(security.kind)
        return now
      },
    })
    await session.start()
    expect(await session.ask('EHLO client.example')).toContain('250 DSN')
    now = able()
    expect(await session.ask('MAIL FROM:<bob@example.net> RET=HDRS')).toMatch(/^250 /)
    expect(await session.ask('EHLO client.example')).not.toContain('DSN')
    expect(await session.ask('MAIL FROM:<bob@example.net> RET=HDRS')).toMatch(/^555 5\.5\.4 /)
    await session.ask('STARTTLS')
    await session.secure()
    await session.ask('EHLO client.example')
    expect(asked).toEqual(['cleartext', 'cleartext', 'tls'])
  })
})

test.each<[string, readonly DestinationExtensions[], DestinationExtensions]>([
  ['of none there is none', [], able()],
  ['of one it is its own', [able('DSN')], able('DSN')],
  ['of several it is what all can', [able('DSN', 'PRDR'), able('PRDR', 'SMTPUTF8'), able('PRDR')], able('PRDR')],
  [
    'bounds are the least',
    [{ ...able(), maxMessageBytes: 10 }, { ...able(), maxMessageBytes: 5, maxRecipientDomains: 1 }, able()],
    { ...able(), maxMessageBytes: 5, maxRecipientDomains: 1 },
  ],
])('what destinations have in common: %s', (_, destinations, common) => {
  expect(commonExtensions(destinations)).toEqual(common)
})

describe('DSN (RFC 3461)', () => {
  const setup: Setup = { destinationTakes: ['DSN'] }

  test('the example of section 10.1: what is asked reaches the destination as it came', async () => {
    const session = await greeted(setup)
    expect(await session.ask('MAIL FROM:<Alice@Example.ORG> RET=HDRS ENVID=QQ314159')).toMatch(/^250 2\.1\.0 /)
    expect(await session.ask('RCPT TO:<ann@example.org> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM')).toMatch(/^250 /)
    expect(await session.ask('RCPT TO:<joe@example.org> NOTIFY=NEVER')).toMatch(/^250 /)
    expect(await session.ask('RCPT TO:<eve@example.org>')).toMatch(/^250 /)
    expect(await session.ask('BDAT 3 LAST\r\na')).toMatch(/^250 /)
    const [message] = session.destination.messages
    expect(message?.transaction.envelope.dsn).toEqual({ returns: 'HDRS', envelopeId: 'QQ314159' })
    expect(message?.dsn).toEqual([
      { notify: ['SUCCESS'], originalRecipient: 'rfc822;Bob@Example.COM' },
      { notify: ['NEVER'] },
      undefined,
    ])
  })

  test(
    'SC-07: what is malformed is refused, and nothing of it is said again',
    dialogue(
      setup,
      `
      S: 220 *
      C: HELO client.example
      S: 250 *
      C: MAIL FROM:<bob@example.net> ENVID=a+0D+0Ab
      S: 501 5.5.4 Bad parameter value
      C: MAIL FROM:<bob@example.net> RET=HDRS RET=HDRS
      S: 501 5.5.4 Bad parameter syntax
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: RCPT TO:<ann@example.org> NOTIFY=NEVER,SUCCESS
      S: 501 5.5.4 Bad parameter value
      C: RCPT TO:<ann@example.org> ORCPT=rfc822;a+00
      S: 501 5.5.4 Bad parameter value
      C: RCPT TO:<ann@example.org> RET=HDRS
      S: 555 5.5.4 Parameter not recognized
      C: RCPT TO:<ann@example.org>
      S: 250 *
      `,
    ),
  )

  test(
    'where it is not offered its parameters are unknown',
    dialogue(
      {},
      `
      S: 220 *
      C: HELO client.example
      S: 250 *
      C: MAIL FROM:<bob@example.net> RET=HDRS
      S: 555 5.5.4 Parameter not recognized
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: RCPT TO:<ann@example.org> NOTIFY=NEVER
      S: 555 5.5.4 Parameter not recognized
      `,
    ),
  )
})

describe('REQUIRETLS (RFC 8689)', () => {
  const keeping: Setup = { destinationTakes: ['REQUIRETLS'] }

  test('under TLS it reaches the destination', async () => {
    const session = await greeted({ ...keeping, tls: 'gateway' })
    expect(await session.ask('MAIL FROM:<bob@example.net> REQUIRETLS')).toMatch(/^250 /)
    await session.ask('RCPT TO:<ann@example.org>')
    await session.ask('BDAT 3 LAST\r\na')
    expect(session.destination.messages[0]?.transaction.envelope.requiresTls).toBe(true)
  })

  test.each<[string, Setup, string]>([
    ['in the clear the client may still start TLS', keeping, '530 5.7.4 REQUIRETLS needs a TLS session'],
    ['a destination that promises nothing', { tls: 'gateway' }, '550 5.7.30 REQUIRETLS support required'],
    ['TLS that a balancer ended', { ...keeping, tls: 'proxy' }, '550 5.7.30 REQUIRETLS support required'],
  ])('%s', async (_, setup, reply) => {
    const session = await greeted(setup)
    expect(await session.ask('MAIL FROM:<bob@example.net> REQUIRETLS')).toBe(`${reply}\r\n`)
    expect(await session.ask('MAIL FROM:<bob@example.net>')).toMatch(/^250 /)
  })
})

const full: DeliveryReply = { code: 452, enhanced: '4.2.2', lines: ['Mailbox full'] }
const unwanted: DeliveryReply = { code: 550, enhanced: '5.7.1', lines: ['Unwanted'] }

interface VerdictOptions {
  readonly parameter?: string
  readonly recipients?: readonly string[]
  readonly limits?: NonNullable<Setup['limits']>
}

/** A session with this message to ann, joe and eve. */
async function verdictsOn(
  refusals: Readonly<Record<string, DeliveryReply>>,
  { parameter = ' PRDR', recipients = ['ann', 'joe', 'eve'], limits = {} }: VerdictOptions = {},
): Promise<readonly string[]> {
  const destination = new MemoryDestination()
  destination.eachReplies = new Map(Object.entries(refusals).map(([name, reply]) => [`${name}@example.org`, reply]))
  const session = await greeted({
    destinationTakes: ['PRDR'],
    destination,
    limits,
  })
  await session.ask(`MAIL FROM:<bob@example.net>${parameter}`)
  for (const recipient of recipients) await session.ask(`RCPT TO:<${recipient}@example.org>`)
  await session.ask('DATA')
  const said = await session.ask('hello\r\n.')
  expect(await session.ask('NOOP')).toBe('250 2.0.0 OK\r\n')
  return said.trimEnd().split('\r\n')
}

test('behind XCLIENT: what was announced is asked for anew, and the TLS of a front end is no promise for its client', async () => {
  const setup: Setup = { tls: 'gateway', announcers: ['203.0.113.7'], destinationTakes: ['DSN', 'REQUIRETLS'] }
  const session = await greeted(setup)
  expect(await session.ask('XCLIENT ADDR=192.0.2.9 HELO=far.example')).toMatch(/^220 /)
  // The front end has said how its client greeted, so MAIL may come at once.
  expect(await session.ask('MAIL FROM:<bob@example.net> RET=HDRS')).toMatch(/^250 /)
  const offered = await session.ask('EHLO far.example')
  expect(offered).toContain('DSN')
  expect(offered).not.toContain('REQUIRETLS')
  expect(await session.ask('MAIL FROM:<bob@example.net> REQUIRETLS')).toMatch(/^550 5\.7\.30 /)
})

describe('PRDR (draft-hall-prdr)', () => {
  test('353, a reply for each recipient in order, and one for the whole', async () => {
    expect(await verdictsOn({ joe: full, eve: unwanted })).toEqual([
      '353 A reply for each recipient follows',
      '250 2.0.0 OK ann@example.org',
      '452 4.2.2 Mailbox full',
      '550 5.7.1 Unwanted',
      '250 2.0.0 OK, as said for each',
    ])
  })

  test('when nobody has the message the whole is refused, for now if that helps anybody', async () => {
    expect((await verdictsOn({ ann: unwanted, joe: full, eve: unwanted })).at(-1)).toBe('452 4.2.2 Mailbox full')
    expect((await verdictsOn({ ann: unwanted, joe: unwanted, eve: unwanted })).at(-1)).toBe('550 5.7.1 Unwanted')
  })

  test('for one recipient, for a message that is refused whole, and without the parameter there is one reply', async () => {
    expect(await verdictsOn({ ann: full }, { recipients: ['ann'] })).toEqual(['452 4.2.2 Mailbox full'])
    expect(await verdictsOn({}, { limits: { maxMessageBytes: 3 } })).toEqual(['552 5.3.4 Message too big'])
    expect(await verdictsOn({ joe: full }, { parameter: '' })).toEqual(['250 2.0.0 OK test000000000001-1'])
  })

  test('a message that nobody takes counts as an error, and one that somebody takes does not', async () => {
    const destination = new MemoryDestination()
    const session = await greeted({ destinationTakes: ['PRDR'], destination, limits: { maxErrors: 2 } })
    const send = async (...refused: readonly string[]): Promise<string> => {
      destination.eachReplies = new Map(refused.map((name) => [`${name}@example.org`, unwanted]))
      await session.ask('MAIL FROM:<bob@example.net> PRDR')
      for (const name of ['ann', 'joe']) await session.ask(`RCPT TO:<${name}@example.org>`)
      await session.ask('DATA')
      return session.ask('.')
    }
    expect(await send('ann', 'joe')).toMatch(/550 5\.7\.1 Unwanted\r\n$/)
    expect(await send('ann')).toMatch(/250 2\.0\.0 OK, as said for each\r\n$/)
    expect(await send('ann', 'joe')).toMatch(/550 5\.7\.1 Unwanted\r\n$/)
    expect(await session.ask('NOOP')).toMatch(/^250 /)
    expect(await send('ann', 'joe')).toMatch(/550 5\.7\.1 Unwanted\r\n$/)
    expect(await session.ask('NOOP')).toMatch(/^421 4\.7\.0 /)
  })

  test('by BDAT', async () => {
    const destination = new MemoryDestination()
    destination.eachReplies = new Map([['joe@example.org', full]])
    const session = await greeted({ destinationTakes: ['PRDR'], destination })
    await session.ask('MAIL FROM:<bob@example.net> PRDR')
    for (const name of ['ann', 'joe']) await session.ask(`RCPT TO:<${name}@example.org>`)
    expect(await session.ask('BDAT 3 LAST\r\na')).toMatch(/^353 .*\r\n250 .*\r\n452 .*\r\n250 .*\r\n$/)
  })

  test(
    'where it is not offered the parameter is unknown',
    dialogue(
      {},
      `
      S: 220 *
      C: HELO client.example
      S: 250 *
      C: MAIL FROM:<bob@example.net> PRDR
      S: 555 5.5.4 Parameter not recognized
      `,
    ),
  )
})
