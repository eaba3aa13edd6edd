/* XCLIENT and XFORWARD (Postfix's XCLIENT_README and XFORWARD_README). */
import type { Policy, SessionObserver } from '@postern/core'
import fc from 'fast-check'
import { deriveScramKeys } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { parseXclient } from '../../src/wire/xclient.ts'
import { greeted, play, TestSession, type Setup } from '../dialogue.ts'

const frontEnd: Setup = { client: '10.0.0.9', announcers: ['10.0.0.9'], tls: 'gateway' }

/** The Received field of a message that a session sends now. */
async function receivedBy(session: TestSession): Promise<string> {
  await session.send('MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n')
  await session.send('a\r\n.\r\n')
  return session.destination.messages.at(-1)?.bytes.toString().split(';')[0] ?? 'no message'
}

describe('XCLIENT from a listed network', () => {
  test('the session begins again for the client that was announced', async () => {
    const session = await greeted(frontEnd)
    await play(
      session,
      `
      C: EHLO front.example
      S: 250-mx.example Hello front.example [10.0.0.9]
      S: 250-PIPELINING
      S: 250-SIZE 26214400
      S: 250-LIMITS RCPTMAX=1000
      S: 250-AUTH PLAIN LOGIN
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-SMTPUTF8
      S: 250-CHUNKING
      S: 250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT
      S: 250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE
      C: XCLIENT NAME=client.example ADDR=IPV6:2001:db8::5 PORT=4242
      S: 220 mx.example ESMTP ready
      C: MAIL FROM:<>
      S: 503 *
      C: XCLIENT ADDR=10.0.0.9
      S: 550 5.7.0 Insufficient authorization
      C: EHLO client.example
      S: 250-mx.example Hello client.example [IPv6:2001:db8::5]
      S: 250-PIPELINING
      S: 250-SIZE 26214400
      S: 250-LIMITS RCPTMAX=1000
      S: 250-AUTH PLAIN LOGIN
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-SMTPUTF8
      S: 250 CHUNKING
      `,
    )
    expect(await receivedBy(session)).toBe(
      'Received: from client.example (client.example [IPv6:2001:db8::5])\r\n' +
        '\tby mx.example with ESMTPS (TLSv1.3 TLS_AES_128_GCM_SHA256)\r\n' +
        '\tid test000000000001-1 (via 10.0.0.9)\r\n\tfor <ann@example.org>',
    )
  })

  test('HELO, PROTO and LOGIN stand for what the client said to the front end', async () => {
    const session = await greeted({ ...frontEnd, mode: 'submission' })
    await session.ask('XCLIENT HELO=old.example PROTO=SMTP LOGIN=ann+40example.org ADDR=203.0.113.9 DESTPORT=587')
    expect(await receivedBy(session)).toContain('from old.example ([203.0.113.9])\r\n\tby mx.example with SMTP (')
    expect(session.destination.messages[0]?.transaction).toMatchObject({
      principal: { account: 'ann@example.org' },
      connection: { identity: { origin: 'proxied', client: { port: 0 }, destination: { port: 587 } } },
    })
  })

  test('a login before it, and the certificate of the front end, are forgotten', async () => {
    const session = await greeted({ ...frontEnd, takesCertificates: true, clientCommonName: 'ann' })
    expect(await session.ask('AUTH EXTERNAL =')).toMatch(/^235 /)
    await session.ask('XCLIENT ADDR=203.0.113.9')
    const offered = await session.ask('EHLO a')
    expect(offered).toContain('250-AUTH PLAIN LOGIN\r\n')
    expect(await session.ask('AUTH EXTERNAL =')).toMatch(/^504 /)
    await receivedBy(session)
    expect(session.destination.messages[0]?.transaction).not.toHaveProperty('principal')
  })

  test('so are they when TLS comes behind it, which is with the front end too', async () => {
    const keys = await deriveScramKeys('secret', { iterations: 4096 })
    const session = await greeted({
      client: '10.0.0.9',
      announcers: ['10.0.0.9'],
      clientCommonName: 'ann',
      tlsExporter: Buffer.alloc(32),
      authenticator: {
        verifyCertificate: async () => ({ outcome: 'denied' }),
        scramKeys: async () => ({ outcome: 'unknown', keys }),
      },
    })
    await session.ask('XCLIENT ADDR=203.0.113.9')
    await session.ask('STARTTLS')
    await session.secure()
    expect(await session.ask('EHLO a')).toContain('250-AUTH SCRAM-SHA-256\r\n')
  })

  test('what the front end does not know is not known here', async () => {
    const session = await greeted(frontEnd)
    expect(await session.ask('XCLIENT NAME=[TEMPUNAVAIL] LOGIN= HELO=[UNAVAILABLE] PROTO=[UNAVAILABLE]')).toMatch(
      /^220 /,
    )
    expect(await session.ask('EHLO a')).toContain('Hello a [10.0.0.9]\r\n')
  })

  test.each(['[UNAVAILABLE]', '[TEMPUNAVAIL]', '[unavailable]', ''])(
    'a client whose address is %j is nobody: it has no rights of the front end',
    async (address) => {
      const relay: Policy = {
        name: 'relay',
        onForwardPath: ({ connection }) =>
          connection.identity.client.address.toString() === '10.0.0.9'
            ? { verdict: 'pass' }
            : { verdict: 'refuse', reason: 'no-relay' },
      }
      const session = await greeted({ ...frontEnd, policies: [relay] })
      expect(await session.ask(`XCLIENT PORT=[UNAVAILABLE] ADDR=${address}`)).toMatch(/^220 /)
      const hello = await session.ask('EHLO a')
      expect(hello).toContain('Hello a [0.0.0.0]\r\n')
      expect(hello).not.toContain('XCLIENT')
      await session.ask('MAIL FROM:<>')
      expect(await session.ask('RCPT TO:<ann@example.org>')).toMatch(/^550 5\.7\.1 /)
    },
  )

  test('STARTTLS of the front end behind it does not bring the front end back', async () => {
    const session = await greeted({ client: '10.0.0.9', announcers: ['10.0.0.9'] })
    await session.ask('XCLIENT ADDR=203.0.113.9')
    await session.ask('EHLO a')
    await session.ask('STARTTLS')
    await session.secure()
    expect(await session.ask('EHLO a')).toContain('Hello a [203.0.113.9]\r\n')
  })

  test('policies are asked as if it had just connected, and hear of its end once', async () => {
    const told: string[] = []
    const policy: Policy = {
      name: 'count',
      onConnect: ({ identity }) => {
        told.push(`open ${identity.client.address.toString()}`)
        return { verdict: 'pass' }
      },
      onClose: ({ identity }) => told.push(`close ${identity.client.address.toString()}`),
    }
    const session = await greeted({ ...frontEnd, announcers: ['10.0.0.9', '10.0.0.8'], policies: [policy] })
    await session.ask('XCLIENT ADDR=10.0.0.8')
    await session.ask('XCLIENT ADDR=203.0.113.9')
    await session.ask('QUIT')
    expect(told).toEqual(['open 10.0.0.8', 'close 10.0.0.8', 'open 203.0.113.9', 'close 203.0.113.9'])
  })

  test.each([
    ['refuse', '554 5.7.1 mx.example Access denied\r\n'],
    ['defer', '421 4.7.1 mx.example Access denied\r\n'],
    ['drop', ''],
  ] as const)('a policy may %s it, which closes', async (verdict, reply) => {
    const closed: string[] = []
    const counts: Policy = {
      name: 'count',
      onConnect: () => ({ verdict: 'pass' }),
      onClose: () => closed.push('count'),
    }
    const refuses: Policy = {
      name: 'list',
      onConnect: () => Promise.resolve({ verdict, reason: 'listed' }),
      onClose: () => closed.push('list'),
    }
    const session = await greeted({ ...frontEnd, policies: [counts, refuses] })
    expect(await session.ask('XCLIENT ADDR=203.0.113.9')).toBe(reply)
    expect(session.closed).toBe('refused')
    expect(closed).toEqual(['count'])
  })

  test('a policy may object to the name in HELO', async () => {
    const policy: Policy = { name: 'names', onGreeting: () => ({ verdict: 'refuse', reason: 'listed' }) }
    const session = await new TestSession({ ...frontEnd, policies: [policy] }).start()
    expect(await session.ask('XCLIENT HELO=bad.example ADDR=203.0.113.9')).toMatch(/^550 5\.7\.1 /)
    expect(await session.ask('MAIL FROM:<>')).toMatch(/^503 /)
  })
})

describe('PO-10: from anybody else', () => {
  test.each<[string, Setup]>([
    ['a stranger', { announcers: ['10.0.0.9'] }],
    ['where nobody is listed', {}],
    ['a trusted balancer that is not listed', { origin: 'proxied', announcers: ['10.0.0.1'] }],
    ['a balancer that speaks for itself', { ...frontEnd, origin: 'proxy-itself' }],
  ])('%s: neither offered nor obeyed, and counted', async (_, setup) => {
    const session = await greeted(setup)
    const before = await session.ask('EHLO a')
    expect(before).not.toMatch(/XCLIENT|XFORWARD/)
    for (const line of ['XCLIENT ADDR=127.0.0.1', 'XCLIENT LOGIN=ann', 'XFORWARD ADDR=127.0.0.1']) {
      expect(await session.ask(line)).toMatch(/^550 5\.7\.[01] /)
    }
    expect(await session.ask('EHLO a')).toBe(before)
    for (let count = 3; count < 20; count++) await session.ask('XCLIENT ADDR=127.0.0.1')
    expect(await session.ask('NOOP')).toMatch(/^421 4\.7\.0 /)
  })
})

describe('PO-11: a line is obeyed whole or not at all', () => {
  test.each([
    ['no attribute', 'XCLIENT', 501],
    ['an unknown attribute', 'XCLIENT ADDR=203.0.113.9 FOO=bar', 501],
    ['an attribute of XFORWARD', 'XCLIENT ADDR=203.0.113.9 SOURCE=LOCAL', 501],
    ['an attribute twice', 'XCLIENT ADDR=203.0.113.9 addr=203.0.113.9', 501],
    ['no value', 'XCLIENT ADDR=203.0.113.9 PORT', 501],
    ['bad xtext', 'XCLIENT ADDR=203.0.113.9 LOGIN=a+4', 501],
    ['xtext in small letters', 'XCLIENT ADDR=203.0.113.9 LOGIN=a+4a', 501],
    ['an encoded CR LF', 'XCLIENT ADDR=203.0.113.9 LOGIN=a+0D+0A', 501],
    ['an encoded NUL', 'XCLIENT ADDR=203.0.113.9 LOGIN=a+00', 501],
    ['a NUL', 'XCLIENT ADDR=203.0.113.9 LOGIN=a\0', 501],
    ['no UTF-8', 'XCLIENT ADDR=203.0.113.9 LOGIN=+FF', 501],
    ['a zone id', 'XCLIENT ADDR=IPV6:fe80::1%25eth0', 501],
    ['IPv6 without its prefix', 'XCLIENT ADDR=2001:db8::1', 501],
    ['IPv4 with it', 'XCLIENT ADDR=IPV6:203.0.113.9', 501],
    ['a name for an address', 'XCLIENT ADDR=localhost', 501],
    ['a port too big', 'XCLIENT ADDR=203.0.113.9 PORT=65536', 501],
    ['another protocol', 'XCLIENT ADDR=203.0.113.9 PROTO=HTTP', 501],
    ['a name that would end a comment', 'XCLIENT ADDR=203.0.113.9 NAME=a)', 501],
    ['a bad HELO', 'XCLIENT ADDR=203.0.113.9 HELO=a+20b', 501],
    ['__proto__', 'XCLIENT ADDR=203.0.113.9 __proto__=x', 501],
  ])('%s', async (_, line, code) => {
    const session = await greeted(frontEnd)
    expect(await session.ask(line)).toMatch(new RegExp(`^${code} `))
    expect(await session.ask('EHLO a')).toContain('Hello a [10.0.0.9]\r\n')
  })

  test('in a transaction it is 503', async () => {
    const session = await greeted(frontEnd)
    await session.ask('MAIL FROM:<>')
    expect(await session.ask('XCLIENT ADDR=203.0.113.9')).toMatch(/^503 /)
  })

  test('what is pipelined behind it was said in another name, and ends the session', async () => {
    const session = await greeted(frontEnd)
    await session.send('XCLIENT ADDR=203.0.113.9\r\nMAIL FROM:<>\r\n')
    expect(session.take()).toMatch(/^554 5\.5\.0 /)
    expect(session.closed).toBe('protocol')
  })

  test('no input throws', () => {
    const word = fc.oneof(fc.constantFrom('ADDR=', 'NAME=a', 'LOGIN=+', ' ', '=', '+41', 'IPV6:'), fc.string())
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (words) => {
        expect(['boolean']).toContain(typeof parseXclient(words.join('')).ok)
      }),
    )
  })
})

describe('XFORWARD', () => {
  test('is told to the observer, and changes nothing', async () => {
    const told: unknown[] = []
    const observer: SessionObserver = { announced: ({ verb, client }) => told.push(verb, client) }
    const session = await greeted({ ...frontEnd, observer })
    await play(
      session,
      `
      C: XFORWARD NAME=client.example ADDR=203.0.113.9 PROTO=ESMTP
      S: 250 2.0.0 OK
      C: XFORWARD HELO=x+2By IDENT=abc SOURCE=LOCAL PORT=[UNAVAILABLE]
      S: 250 2.0.0 OK
      C: XFORWARD LOGIN=ann
      S: 501 5.5.4 Bad attribute
      `,
    )
    expect(told).toEqual([
      'XFORWARD',
      { name: 'client.example', addr: '203.0.113.9', proto: 'ESMTP' },
      'XFORWARD',
      { helo: 'x+y', ident: 'abc', source: 'LOCAL' },
    ])
    expect(await receivedBy(session)).toContain('([10.0.0.9])')
  })
})
