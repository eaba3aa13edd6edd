/* AUTH with mechanisms of more than one message (RFC 4954 with RFC 5802, 7677 and 7628). */
import { chooseSasl, deriveScramKeys, secret, type Authenticator, type SaslClient } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { greeted, play, type Setup, type TestSession } from '../dialogue.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const keys = await deriveScramKeys('secret', { iterations: 4096 })
const principal = { account: 'ann@example.org', username: 'ann' }
const exporter = Buffer.alloc(32, 7)

/** Knows `ann`: her password is `secret`, her token `right`. */
const authenticator: Authenticator = {
  verify: async ({ password }) =>
    password.reveal() === 'secret' ? { outcome: 'granted', principal } : { outcome: 'denied' },
  scramKeys: async ({ username, actAs }) =>
    username === 'ann' && actAs === undefined ? { outcome: 'found', keys, principal } : { outcome: 'unknown' },
  verifyToken: async ({ token }) =>
    token.reveal() === 'right' ? { outcome: 'granted', principal } : { outcome: 'denied' },
  tokenHints: { scope: 'mail' },
}
const setup: Setup = { tls: 'gateway', authenticator }
const bound: Setup = { ...setup, tlsExporter: exporter }

/** Plays a client's side to the end; the last reply. */
async function signIn(session: TestSession, client: SaslClient | undefined): Promise<string> {
  if (client === undefined) throw new Error('no mechanism in common')
  const { initial } = client
  let reply = await session.ask(`AUTH ${client.mechanism}${initial === undefined ? '' : ` ${initial}`}`)
  while (reply.startsWith('334 ')) {
    const answer = await client.answer(reply.slice(4).trimEnd())
    reply = await session.ask(answer.ok ? answer.response : '*')
  }
  return reply
}

const scram = (password: string, offered: string, username = 'ann') =>
  chooseSasl([offered], { username, password: secret(password) }, offered.endsWith('PLUS') ? exporter : undefined)

test('EHLO has what is offered, the strongest first', async () => {
  expect(await (await greeted(bound)).ask('EHLO a')).toContain(
    '250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN\r\n',
  )
  expect(await (await greeted(setup)).ask('EHLO a')).toContain(
    '250-AUTH SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN\r\n',
  )
  expect(await (await greeted({ ...bound, tls: 'proxy', origin: 'proxied' })).ask('EHLO a')).toContain('250-AUTH ')
  expect(await (await greeted({ authenticator })).ask('EHLO a')).not.toContain('AUTH')
})

test('an authenticator that can check nothing has nothing offered, and every mechanism is 504', async () => {
  const session = await greeted({ tls: 'gateway', authenticator: {} })
  expect(await session.ask('EHLO a')).not.toContain('AUTH')
  expect(await session.ask('AUTH PLAIN')).toMatch(/^504 5\.5\.4 /)
})

describe('SCRAM-SHA-256', () => {
  test.each(['SCRAM-SHA-256', 'SCRAM-SHA-256-PLUS'])('%s: 235, and the server has proved itself', async (mechanism) => {
    const client = scram('secret', mechanism)
    expect(await signIn(await greeted(bound), client)).toBe('235 2.7.0 Authentication succeeded\r\n')
    expect(client?.isComplete).toBe(true)
  })

  test('AU-04: a wrong password and an unknown user are told the same, at the same point', async () => {
    const session = await greeted(setup)
    const wrong = await signIn(session, scram('wrong', 'SCRAM-SHA-256'))
    expect(wrong).toBe('535 5.7.8 Authentication credentials invalid\r\n')
    expect(await signIn(session, scram('secret', 'SCRAM-SHA-256', 'nobody'))).toBe(wrong)
    expect(await session.ask('NOOP')).toMatch(/^250 /)
  })

  test('a downgrade is found: "y" where -PLUS was offered', async () => {
    const client = chooseSasl(['SCRAM-SHA-256'], { username: 'ann', password: secret('secret') }, exporter)
    expect(await signIn(await greeted(bound), client)).toMatch(/^535 5\.7\.8 /)
  })

  test('-PLUS where it is not offered is 504', async () => {
    expect(await (await greeted(setup)).ask('AUTH SCRAM-SHA-256-PLUS')).toMatch(/^504 5\.5\.4 /)
  })

  test('without an initial response; the client may cancel at every step', async () => {
    const session = await greeted(setup)
    await play(
      session,
      `
      C: AUTH SCRAM-SHA-256
      S: 334*
      C: *
      S: 501 5.7.0 Authentication cancelled
      C: AUTH SCRAM-SHA-256 ${base64('n,,n=ann,r=abc')}
      S: 334 *
      C: *
      S: 501 5.7.0 Authentication cancelled
      C: AUTH SCRAM-SHA-256 ${base64('n,,n=ann,r=abc')}
      S: 334 *
      C: ${base64('c=biws,r=xyz')}
      S: 501 5.5.2 Malformed response
      C: AUTH SCRAM-SHA-256 a*b=
      S: 501 5.5.2 Cannot decode the response
      C: NOOP
      S: 250 *
      `,
    )
  })

  test('commands behind an exchange are answered in order', async () => {
    const session = await greeted(setup)
    await session.ask(`AUTH SCRAM-SHA-256 ${base64('n,,n=ann,r=abc')}`)
    expect(await session.ask('*\r\nNOOP\r\nRSET')).toBe(
      '501 5.7.0 Authentication cancelled\r\n250 2.0.0 OK\r\n250 2.0.0 OK\r\n',
    )
  })

  test('a connection that is lost in the middle leaves nothing behind', async () => {
    const session = await greeted(setup)
    await session.ask(`AUTH SCRAM-SHA-256 ${base64('n,,n=ann,r=abc')}`)
    await session.hangUp()
    expect(session.closed).toBe('connection-lost')
  })

  test('AU-07: exchanges that never end cost others nothing', async () => {
    const hanging = await Promise.all(Array.from({ length: 20 }, () => greeted(setup)))
    for (const session of hanging) await session.ask(`AUTH SCRAM-SHA-256 ${base64('n,,n=ann,r=abc')}`)
    expect(await signIn(await greeted(setup), scram('secret', 'SCRAM-SHA-256'))).toMatch(/^235 /)
  })

  test('LG-02: no proof, no token and no key reaches the observer', async () => {
    const told: unknown[] = []
    const tell = (event: unknown): void => void told.push(event)
    const session = await greeted({ ...setup, observer: { command: tell, authenticated: tell, refused: tell } })
    await signIn(session, scram('marker-4711', 'SCRAM-SHA-256'))
    await signIn(session, chooseSasl(['OAUTHBEARER'], { username: 'ann', token: secret('marker-4711') }))
    await session.ask(`AUTH XOAUTH2 ${base64('user=ann\x01auth=Bearer marker-4711')}`)
    expect(told.length).toBeGreaterThan(5)
    expect(JSON.stringify(told)).not.toMatch(/marker|Bearer|p=/)
    expect(JSON.stringify(told)).not.toContain(base64('marker-4711').slice(0, 8))
  })
})

describe('tokens (RFC 7628)', () => {
  test('OAUTHBEARER and XOAUTH2 with the right one', async () => {
    for (const message of ['n,a=ann,\x01auth=Bearer right\x01\x01', 'user=ann\x01auth=Bearer right\x01\x01']) {
      const mechanism = message.startsWith('n') ? 'OAUTHBEARER' : 'XOAUTH2'
      expect(await (await greeted(setup)).ask(`AUTH ${mechanism} ${base64(message)}`)).toMatch(/^235 2\.7\.0 /)
    }
  })

  test('with a wrong one: the reason, its acknowledgement, 535 (section 4.3)', async () => {
    await play(
      await greeted(setup),
      `
      C: AUTH OAUTHBEARER ${base64('n,a=ann,\x01auth=Bearer wrong\x01\x01')}
      S: 334 ${base64('{"status":"invalid_token","scope":"mail"}')}
      C: AQ==
      S: 535 5.7.8 Authentication credentials invalid
      C: AUTH XOAUTH2
      S: 334*
      C: ${base64('user=ann\x01auth=Bearer wrong\x01\x01')}
      S: 334 ${base64('{"status":"401","schemes":"bearer","scope":"mail"}')}
      C:
      S: 535 5.7.8 Authentication credentials invalid
      `,
    )
  })

  test('a token of 6 KiB fits', async () => {
    const session = await greeted(setup)
    const message = base64(`n,a=ann,\x01auth=Bearer ${'x'.repeat(6_000)}\x01\x01`)
    expect(await session.ask(`AUTH OAUTHBEARER ${message}`)).toMatch(/^334 /)
  })
})
