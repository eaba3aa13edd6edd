import type { Decision, SessionObserver } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { dialogue, greeted, play, type Setup } from '../dialogue.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** A policy that says this to every sign-in. */
const decide = (decision: Decision): Setup => ({
  tls: 'gateway',
  policies: [{ name: 'test', onAuthenticate: () => decision }],
})

/** Keeps what the observer is told of sign-ins. */
function watch(): { readonly told: string[]; readonly observer: SessionObserver } {
  const told: string[] = []
  return {
    told,
    observer: {
      authenticated: ({ mechanism, username, outcome }) => told.push(`${mechanism} ${username} ${outcome}`),
    },
  }
}

describe('AUTH (RFC 4954)', () => {
  test('PLAIN, with and without an initial response', async () => {
    const { told, observer } = watch()
    for (const script of [
      `C: AUTH PLAIN ${base64('\0ann\0secret')}`,
      `C: AUTH plain
       S: 334*
       C: ${base64('\0ann\0secret')}`,
    ]) {
      const session = await greeted({ tls: 'gateway', observer })
      await play(session, `${script}\nS: 235 2.7.0 Authentication succeeded`)
    }
    expect(told).toEqual(['PLAIN ann granted', 'PLAIN ann granted'])
  })

  test('LOGIN, with and without an initial response', async () => {
    const { told, observer } = watch()
    for (const script of [
      `C: AUTH LOGIN
       S: 334 VXNlcm5hbWU6
       C: ${base64('ann')}`,
      `C: AUTH LOGIN ${base64('ann')}`,
    ]) {
      const session = await greeted({ tls: 'gateway', observer })
      await play(session, `${script}\nS: 334 UGFzc3dvcmQ6\nC: ${base64('secret')}\nS: 235 *`)
    }
    expect(told).toEqual(['LOGIN ann granted', 'LOGIN ann granted'])
  })

  test('whoever signed in is known to the transaction, and Received says ESMTPSA', async () => {
    const session = await greeted({ tls: 'gateway', mode: 'submission' })
    expect(await session.ask('MAIL FROM:<ann@example.org>')).toBe('530 5.7.0 Authentication required\r\n')
    await session.ask(`AUTH PLAIN ${base64('ann\0ann\0secret')}`)
    await play(
      session,
      `
      C: MAIL FROM:<ann@example.org> AUTH=<>
      S: 250 *
      C: RCPT TO:<ann@example.org>
      S: 250 *
      C: DATA
      S: 354 *
      C: .
      S: 250 *
      `,
    )
    const [message] = session.destination.messages
    expect(message?.transaction.principal).toEqual({ account: 'ann@example.org', username: 'ann' })
    expect(message?.bytes.toString()).toContain(' with ESMTPSA (TLSv1.3 TLS_AES_128_GCM_SHA256)\r\n')
  })

  test('W6: it is offered and taken when a trusted balancer ended TLS, and STARTTLS is not', async () => {
    const session = await greeted({ tls: 'proxy', origin: 'proxied' })
    const offered = await session.ask('EHLO client.example')
    expect(offered).toContain('250-AUTH PLAIN LOGIN\r\n')
    expect(offered).not.toContain('STARTTLS')
    expect(await session.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)).toMatch(/^235 /)
  })

  test('TL-16: not offered and not taken in the clear; no password is looked at', async () => {
    const session = await greeted()
    expect(await session.ask('EHLO a')).not.toContain('AUTH')
    expect(await session.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)).toMatch(/^538 5\.7\.11 /)
    expect(session.asked).toEqual([])
  })

  test('in the clear where that is wanted', async () => {
    const session = await greeted({ authRequiresTls: false })
    expect(await session.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)).toMatch(/^235 /)
  })

  test('without an authenticator it is not implemented', async () => {
    const session = await greeted({ tls: 'gateway', hasAuthenticator: false })
    expect(await session.ask('EHLO a')).not.toContain('AUTH')
    expect(await session.ask('AUTH PLAIN')).toMatch(/^502 5\.5\.1 /)
  })

  test('AU-10: not twice, not in a transaction', async () => {
    const session = await greeted({ tls: 'gateway' })
    await session.ask('MAIL FROM:<bob@example.net>')
    expect(await session.ask('AUTH PLAIN')).toMatch(/^503 5\.5\.1 /)
    await session.ask('RSET')
    await session.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)
    expect(await session.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)).toMatch(/^503 5\.5\.1 /)
  })

  test('AU-04: an unknown user and a wrong password get the same words', async () => {
    const session = await greeted({ tls: 'gateway' })
    const wrong = await session.ask(`AUTH PLAIN ${base64('\0ann\0wrong')}`)
    expect(wrong).toBe('535 5.7.8 Authentication credentials invalid\r\n')
    expect(await session.ask(`AUTH PLAIN ${base64('\0nobody\0secret')}`)).toBe(wrong)
  })

  test('AU-06: an authorization identity that differs reaches the authenticator', async () => {
    const session = await greeted({ tls: 'gateway' })
    expect(await session.ask(`AUTH PLAIN ${base64('root\0ann\0secret')}`)).toMatch(/^535 /)
    expect(session.asked[0]).toMatchObject({ username: 'ann', actAs: 'root' })
  })

  test('a directory that is down is no wrong password', async () => {
    const session = await greeted({ tls: 'gateway', isDirectoryDown: true })
    for (let attempt = 0; attempt < 5; attempt++) {
      expect(await session.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)).toMatch(/^454 4\.7\.0 /)
    }
  })

  test('AU-01: after three failures the client is sent away', async () => {
    const session = await greeted({ tls: 'gateway' })
    for (let attempt = 0; attempt < 3; attempt++) await session.ask(`AUTH PLAIN ${base64('\0ann\0wrong')}`)
    expect(await session.ask('NOOP')).toBe('421 4.7.0 mx.example Too many failed authentications\r\n')
    expect(session.closed).toBe('too-many-errors')
  })

  test('AU-01: the answer to each failure waits longer, and nothing else waits', async () => {
    const session = await greeted({ tls: 'gateway' })
    const wrong = `AUTH PLAIN ${base64('\0ann\0wrong')}`
    for (const line of [wrong, 'NOOP', wrong, `AUTH PLAIN ${base64('\0ann\0secret')}`]) await session.ask(line)
    const waits = session.wishes.map((wish) => (wish.next === 'read' ? wish.afterMs : undefined))
    expect(waits.slice(-4)).toEqual([1_000, undefined, 2_000, undefined])
  })

  test.each([
    ['unknown mechanism', 'AUTH CRAM-MD5', /^504 5\.5\.4 /],
    ['JS-01: __proto__', 'AUTH __proto__', /^504 5\.5\.4 /],
    ['bad base64', 'AUTH PLAIN a*b=', /^501 5\.5\.2 /],
    ['an empty initial response', 'AUTH PLAIN =', /^501 5\.5\.2 /],
    ['NULs missing', `AUTH PLAIN ${base64('ann')}`, /^501 5\.5\.2 /],
    ['too many words', `AUTH PLAIN ${base64('\0ann\0secret')} x`, /^501 5\.5\.4 /],
    ['a NUL in a user name', `AUTH LOGIN ${base64('a\0b')}`, /^501 5\.5\.2 /],
  ])('AU-05: %s', async (_, line, reply) => {
    const session = await greeted({ tls: 'gateway' })
    expect(await session.ask(line)).toMatch(reply)
    expect(session.asked).toEqual([])
    expect(await session.ask('NOOP')).toMatch(/^250 /)
  })

  test('the client cancels', async () => {
    const { told, observer } = watch()
    const session = await greeted({ tls: 'gateway', observer })
    await play(
      session,
      `
      C: AUTH LOGIN
      S: 334 *
      C: *
      S: 501 5.7.0 Authentication cancelled
      C: NOOP
      S: 250 *
      `,
    )
    expect(told).toEqual(['LOGIN  cancelled'])
  })

  test('AU-05: a response of 100,000 octets is 500 5.5.6, and the next line is a command again', async () => {
    const session = await greeted({ tls: 'gateway' })
    await session.ask('AUTH PLAIN')
    await session.send('A'.repeat(30_000))
    await session.send(`${'A'.repeat(30_000)}\r\nNOOP\r\n`)
    expect(session.take()).toBe('500 5.5.6 Authentication exchange line is too long\r\n250 2.0.0 OK\r\n')
  })

  test('policies are asked before the password is looked at', async () => {
    const deferred = await greeted(decide({ verdict: 'defer', reason: 'rate' }))
    expect(await deferred.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)).toMatch(/^454 4\.7\.0 /)
    const refused = await greeted(decide({ verdict: 'refuse', reason: 'listed' }))
    expect(await refused.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)).toMatch(/^535 5\.7\.1 /)
    expect([...deferred.asked, ...refused.asked]).toEqual([])
  })

  test('LG-02: no password and no response reaches the observer', async () => {
    const told: unknown[] = []
    const tell = (event: unknown): void => void told.push(event)
    const session = await greeted({
      tls: 'gateway',
      observer: { command: tell, authenticated: tell, refused: tell, transaction: tell },
    })
    const marker = 'marker-4711'
    const response = base64(`\0ann\0${marker}`)
    for (const line of [
      `AUTH PLAIN ${response}`,
      'AUTH PLAIN',
      response,
      'AUTH LOGIN',
      base64('ann'),
      base64(marker),
    ]) {
      await session.ask(line)
    }
    await session.ask(marker)
    const text = JSON.stringify(told)
    expect(told.length).toBeGreaterThan(5)
    for (const hidden of [marker, response, base64(marker)]) expect(text).not.toContain(hidden)
  })
})

describe('STARTTLS (RFC 3207)', () => {
  test(
    'J5, TL-05: everything said before it is forgotten',
    dialogue(
      { origin: 'proxied' },
      `
      S: 220 *
      C: EHLO client.example
      S: 250-*
      S: 250-PIPELINING
      S: 250-SIZE *
      S: 250-LIMITS RCPTMAX=1000
      S: 250-STARTTLS
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-SMTPUTF8
      S: 250 CHUNKING
      C: STARTTLS
      S: 220 2.0.0 Ready to start TLS
      !tls
      C: MAIL FROM:<bob@example.net>
      S: 503 5.5.1 Bad sequence of commands: send EHLO first
      C: EHLO client.example
      S: 250-mx.example Hello client.example [203.0.113.7]
      S: 250-PIPELINING
      S: 250-SIZE *
      S: 250-LIMITS RCPTMAX=1000
      S: 250-AUTH PLAIN LOGIN
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-SMTPUTF8
      S: 250 CHUNKING
      C: STARTTLS
      S: 503 5.5.1 *
      `,
    ),
  )

  test('TL-01: a command in the same segment ends the session, and is not run', async () => {
    const told: string[] = []
    const session = await greeted({ observer: { refused: ({ reason }) => told.push(reason) } })
    await session.send('STARTTLS\r\nRSET\r\n')
    expect(session.take()).toBe('554 5.5.0 Pipelining is not allowed here\r\n')
    expect(session.closed).toBe('protocol')
    expect(told).toEqual(['injection'])
  })

  test('TL-02: half a line in the same segment likewise', async () => {
    const session = await greeted()
    await session.send('STARTTLS\r\nRS')
    expect(session.closed).toBe('protocol')
  })

  test('TL-06: with an argument, in a transaction, where it is not offered, after AUTH', async () => {
    const session = await greeted()
    expect(await session.ask('STARTTLS now')).toMatch(/^501 5\.5\.4 /)
    await session.ask('MAIL FROM:<bob@example.net>')
    expect(await session.ask('STARTTLS')).toMatch(/^503 5\.5\.1 /)
    const plain = await greeted({ offersStartTls: false })
    expect(await plain.ask('EHLO a')).not.toContain('STARTTLS')
    expect(await plain.ask('STARTTLS')).toMatch(/^502 5\.5\.1 /)
    const signedIn = await greeted({ authRequiresTls: false })
    await signedIn.ask(`AUTH PLAIN ${base64('\0ann\0secret')}`)
    expect(await signedIn.ask('STARTTLS')).toMatch(/^503 5\.5\.1 /)
  })

  test('PX-10: a PROXY line inside TLS is an unknown command', async () => {
    const session = await greeted()
    await session.ask('STARTTLS')
    await session.secure()
    expect(await session.ask('PROXY TCP4 198.51.100.1 192.0.2.1 1 25')).toMatch(/^500 5\.5\.2 /)
  })
})

describe('X3: AUTH EXTERNAL, by a certificate that the balancer verified (RFC 4422 appendix A)', () => {
  const setup: Setup = { tls: 'proxy', origin: 'proxied', takesCertificates: true, clientCommonName: 'ann' }

  test.each([
    ['without an identity', 'C: AUTH EXTERNAL ='],
    ['with that of the certificate', `C: auth external ${base64('ann')}`],
    ['without an initial response', 'C: AUTH EXTERNAL\nS: 334*\nC: ='],
    ['with an empty line', 'C: AUTH EXTERNAL\nS: 334*\nC:'],
  ])('%s', async (_, script) => {
    const { told, observer } = watch()
    const session = await greeted({ ...setup, observer })
    await play(session, `${script}\nS: 235 2.7.0 *`)
    expect(told).toEqual(['EXTERNAL ann granted'])
  })

  test.each<[string, Setup, string, string]>([
    ['the identity of somebody else', setup, base64('joe'), '535 5.7.8 '],
    ['the certificate of nobody', { ...setup, clientCommonName: 'eve' }, '=', '535 5.7.8 '],
    ['a NUL', setup, base64('a\0'), '501 5.5.2 '],
    ['what is no base64', setup, 'ann', '501 5.5.2 '],
  ])('%s is refused', async (_, at, response, reply) => {
    expect(await (await greeted(at)).ask(`AUTH EXTERNAL ${response}`)).toContain(reply)
  })

  test.each<[string, Setup]>([
    ['a certificate', { tls: 'proxy', origin: 'proxied', takesCertificates: true }],
    ['an authenticator that takes it', { ...setup, takesCertificates: false }],
    ['TLS', { takesCertificates: true, clientCommonName: 'ann', authRequiresTls: false }],
  ])('without %s it is not offered, and 504', async (_, at) => {
    const session = await greeted(at)
    expect(await session.ask('EHLO a')).toContain('250-AUTH PLAIN LOGIN\r\n')
    expect(await session.ask('AUTH EXTERNAL =')).toMatch(/^504 5\.5\.4 /)
  })

  test('it is offered before the others, and policies may object', async () => {
    const session = await greeted({ ...setup, ...decide({ verdict: 'refuse', reason: 'listed' }), tls: 'proxy' })
    expect(await session.ask('EHLO a')).toContain('250-AUTH EXTERNAL PLAIN LOGIN\r\n')
    expect(await session.ask('AUTH EXTERNAL =')).toMatch(/^535 5\.7\.1 /)
  })
})
