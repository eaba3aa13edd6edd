/* AUTHENTICATE with mechanisms of more than one message (RFC 3501 section 6.2.2, RFC 4959; RFC 5802, 7677 and 7628). */
import { chooseSasl, deriveScramKeys, secret, type Authenticator, type SaslClient } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { play, TestSession, type DialogueSetup } from '../dialogue.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const keys = await deriveScramKeys('secret', { iterations: 4096 })
const principal = { account: 'ann@example.org', username: 'ann' }
const exporter = Buffer.alloc(32, 7)

/** Knows `ann`: her password is `secret`, her token `right`. */
const authenticator: Authenticator = {
  scramKeys: async ({ username, actAs }) =>
    username === 'ann' && actAs === undefined ? { outcome: 'found', keys, principal } : { outcome: 'unknown' },
  verifyToken: async ({ token }) =>
    token.reveal() === 'right' ? { outcome: 'granted', principal } : { outcome: 'denied' },
}

async function open(setup: DialogueSetup = {}): Promise<TestSession> {
  const session = new TestSession({ security: 'tls', authenticator, tlsExporter: exporter, ...setup })
  await session.start()
  return session
}

/** Plays a client's side to the end; the tagged response. */
async function signIn(session: TestSession, client: SaslClient | undefined, hasInitial = true): Promise<string> {
  if (client === undefined) throw new Error('no mechanism in common')
  let first = hasInitial ? undefined : client.initial
  let response = await session.ask(`a AUTHENTICATE ${client.mechanism}${hasInitial ? ` ${client.initial ?? '='}` : ''}`)
  while (response.startsWith('+ ')) {
    const answer =
      first === undefined ? await client.answer(response.slice(2).trimEnd()) : { ok: true as const, response: first }
    first = undefined
    response = await session.ask(answer.ok ? answer.response : '*')
  }
  return response
}

const scram = (password: string, offered: string, username = 'ann') =>
  chooseSasl([offered], { username, password: secret(password) }, offered.endsWith('PLUS') ? exporter : undefined)

test('the capabilities have what is offered on this channel, and only before login', async () => {
  const session = await open()
  const offered = 'AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=OAUTHBEARER AUTH=XOAUTH2'
  expect(session.take()).toContain(` ${offered} LOGINDISABLED] `)
  expect(await signIn(session, scram('secret', 'SCRAM-SHA-256-PLUS'))).toMatch(/^a OK \[CAPABILITY (?!.*AUTH=).*\] /)
  const withoutBinding = new TestSession({ security: 'tls', authenticator })
  await withoutBinding.start()
  expect(withoutBinding.take()).toContain(' IDLE AUTH=SCRAM-SHA-256 AUTH=OAUTHBEARER AUTH=XOAUTH2 LOGINDISABLED] ')
  const inTheClear = new TestSession({ authenticator })
  await inTheClear.start()
  expect(inTheClear.take()).not.toContain('AUTH=')
  expect(await inTheClear.ask('a AUTHENTICATE SCRAM-SHA-256 =')).toMatch(/^a NO \[PRIVACYREQUIRED\] /)
})

describe('SCRAM-SHA-256', () => {
  test.for([
    ['SCRAM-SHA-256', true],
    ['SCRAM-SHA-256', false],
    ['SCRAM-SHA-256-PLUS', true],
  ] as const)('%s, with an initial response: %s', async ([mechanism, hasInitial]) => {
    const client = scram('secret', mechanism)
    expect(await signIn(await open(), client, hasInitial)).toMatch(/^a OK \[CAPABILITY /)
    expect(client?.isComplete).toBe(true)
  })

  test('AU-04: a wrong password and an unknown user are told the same', async () => {
    const session = await open()
    const wrong = await signIn(session, scram('wrong', 'SCRAM-SHA-256'))
    expect(wrong).toBe('a NO [AUTHENTICATIONFAILED] Authentication failed\r\n')
    expect(await signIn(session, scram('secret', 'SCRAM-SHA-256', 'nobody'))).toBe(wrong)
  })

  test('a downgrade is found: "y" where -PLUS was offered', async () => {
    const client = chooseSasl(['SCRAM-SHA-256'], { username: 'ann', password: secret('secret') }, exporter)
    expect(await signIn(await open(), client)).toMatch(/^a NO \[AUTHENTICATIONFAILED\] /)
  })

  test('AU-06: acting as another', async () => {
    const session = await open()
    const begun = await session.ask(`a AUTHENTICATE SCRAM-SHA-256 ${base64('n,a=bob,n=ann,r=abc')}`)
    const nonce = /^r=([^,]+)/.exec(Buffer.from(begun.slice(2), 'base64').toString())?.[1]
    const final = `c=${base64('n,a=bob,')},r=${nonce},p=${Buffer.alloc(32).toString('base64')}`
    expect(await session.ask(base64(final))).toBe('a NO [AUTHORIZATIONFAILED] Not allowed\r\n')
  })

  test('the client may cancel at every step, and a malformed message ends it', async () => {
    const session = await open()
    session.take()
    await play(
      session,
      `
      C: a AUTHENTICATE SCRAM-SHA-256
      S: + *
      C: *
      S: a BAD Authentication cancelled
      C: b NOOP
      S: b OK *
      C: c AUTHENTICATE SCRAM-SHA-256 ${base64('n,,n=ann,r=abc')}
      S: + *
      C: *
      S: c BAD Authentication cancelled
      C: d NOOP
      S: d OK *
      C: e AUTHENTICATE SCRAM-SHA-256 ${base64('n,,n=ann,r=abc')}
      S: + *
      C: ${base64('c=biws,r=xyz')}
      S: e BAD Response is malformed
      C: f NOOP
      S: f OK *
      `,
    )
  })

  test('braces in a response are no literal', async () => {
    const session = await open()
    await session.ask('a AUTHENTICATE SCRAM-SHA-256')
    expect(await session.ask('x {5+}')).toBe('a BAD Response is malformed\r\n')
  })

  test('LG-02: no proof, no token and no key reaches the observer', async () => {
    const told: unknown[] = []
    const tell = (event: unknown): void => void told.push(event)
    const session = await open({ observer: { command: tell, authenticated: tell, refused: tell } })
    await signIn(session, scram('marker-4711', 'SCRAM-SHA-256'))
    await signIn(session, chooseSasl(['OAUTHBEARER'], { username: 'ann', token: secret('marker-4711') }))
    expect(told.length).toBeGreaterThan(3)
    expect(JSON.stringify(told)).not.toMatch(/marker|Bearer|p=/)
  })
})

describe('tokens (RFC 7628)', () => {
  test('OAUTHBEARER and XOAUTH2 with the right one', async () => {
    for (const message of ['n,a=ann,\x01auth=Bearer right\x01\x01', 'user=ann\x01auth=Bearer right\x01\x01']) {
      const mechanism = message.startsWith('n') ? 'OAUTHBEARER' : 'XOAUTH2'
      expect(await (await open()).ask(`a AUTHENTICATE ${mechanism} ${base64(message)}`)).toMatch(/^a OK /)
    }
  })

  test('with a wrong one: the reason, its acknowledgement, NO (section 4.2)', async () => {
    const session = await open()
    session.take()
    await play(
      session,
      `
      C: a AUTHENTICATE OAUTHBEARER ${base64('n,a=ann,\x01auth=Bearer wrong\x01\x01')}
      S: + ${base64('{"status":"invalid_token"}')}
      C: AQ==
      S: a NO [AUTHENTICATIONFAILED] Authentication failed
      C: b AUTHENTICATE XOAUTH2
      S: + *
      C: ${base64('user=ann\x01auth=Bearer wrong\x01\x01')}
      S: + ${base64('{"status":"401","schemes":"bearer"}')}
      C:
      S: b NO [AUTHENTICATIONFAILED] Authentication failed
      `,
    )
  })

  test('a token of 6 KiB fits, as an initial response and behind a challenge', async () => {
    const message = base64(`n,a=ann,\x01auth=Bearer ${'x'.repeat(6_000)}\x01\x01`)
    const session = await open()
    expect(await session.ask(`a AUTHENTICATE OAUTHBEARER ${message}`)).toMatch(/^\+ /)
    await session.ask('AQ==')
    await session.ask('b AUTHENTICATE OAUTHBEARER')
    expect(await session.ask(message)).toMatch(/^\+ /)
  })

  test('where no tokens are taken, lines before login are shorter', async () => {
    const line = `a NOOP ${'x'.repeat(10_000)}`
    expect(await (await open()).ask(line)).toBe('a BAD No arguments are expected\r\n')
    expect(await (await open({ authenticator: {} })).ask(line)).toBe('* BYE Line is too long\r\n')
  })
})
