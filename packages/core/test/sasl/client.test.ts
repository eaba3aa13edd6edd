import { describe, expect, test } from 'vitest'
import { beginSasl, chooseSasl, secret, type Authenticator } from '../../src/index.ts'
import { contextOf, Passwords } from './signing-in.ts'

const password = { username: 'ann', password: secret('secret') }
const token = { username: 'ann', token: secret('t0ken') }
const exporter = Buffer.alloc(32, 1)
const encode = (text: string): string => Buffer.from(text).toString('base64')
const all = ['LOGIN', 'PLAIN', 'XOAUTH2', 'OAUTHBEARER', 'EXTERNAL', 'SCRAM-SHA-256', 'SCRAM-SHA-256-PLUS']

function firstMessage(binding?: Buffer): string {
  const client = chooseSasl(['SCRAM-SHA-256'], password, binding)
  return Buffer.from(client?.initial ?? '', 'base64').toString()
}

describe('the choice', () => {
  test.each([
    ['bound to the channel', all, password, exporter, 'SCRAM-SHA-256-PLUS'],
    ['without a channel to bind to', all, password, undefined, 'SCRAM-SHA-256'],
    ['a token', all, token, exporter, 'OAUTHBEARER'],
    ['a token, and a server from before RFC 7628', ['PLAIN', 'XOAUTH2'], token, exporter, 'XOAUTH2'],
    ['either', ['PLAIN', 'XOAUTH2'], { ...password, ...token }, undefined, 'XOAUTH2'],
    ['a plain server', ['LOGIN', 'PLAIN'], password, exporter, 'PLAIN'],
    ['an old server', ['CRAM-MD5', 'LOGIN'], password, undefined, 'LOGIN'],
    ['nothing in common', ['GSSAPI'], password, undefined, undefined],
    ['a token that nobody wants', ['PLAIN'], token, undefined, undefined],
    ['somebody who acts for another', all, { ...password, actAs: 'bob' }, exporter, 'PLAIN'],
    ['and has no password', all, { ...token, actAs: 'bob' }, undefined, undefined],
  ])('%s', (_, offered, credentials, binding, chosen) => {
    expect(chooseSasl(offered, credentials, binding)?.mechanism).toBe(chosen)
  })

  test('RFC 5802 section 6: who could bind, and is not offered it, says so', () => {
    expect(firstMessage(exporter)).toMatch(/^y,,n=ann,r=/)
    expect(firstMessage()).toMatch(/^n,,n=ann,r=/)
  })
})

describe('what is sent', () => {
  test('RFC 4616 section 2: whom the user acts for stands first', () => {
    expect(chooseSasl(['PLAIN'], { ...password, actAs: 'bob' })?.initial).toBe(encode('bob\0ann\0secret'))
  })

  test('PLAIN: one message, and no answer to anything', async () => {
    const client = chooseSasl(['PLAIN'], password)
    expect(client).toMatchObject({ initial: encode('\0ann\0secret'), isComplete: true })
    expect(await client?.answer('')).toEqual({ ok: false, problem: 'PLAIN: a challenge behind the only message' })
  })

  test('LOGIN: name and password, whatever the server calls them', async () => {
    const client = chooseSasl(['LOGIN'], password)
    expect(client).toMatchObject({ initial: undefined, isComplete: false })
    expect(await client?.answer(encode('Username:'))).toEqual({ ok: true, response: encode('ann') })
    expect(await client?.answer('Password:')).toEqual({ ok: true, response: encode('secret') })
    expect(client?.isComplete).toBe(true)
    expect(await client?.answer('')).toEqual({ ok: false, problem: 'LOGIN: a third challenge' })
  })

  test.each([
    ['OAUTHBEARER', 'n,a=ann,\x01auth=Bearer t0ken\x01\x01', '\x01'],
    ['XOAUTH2', 'user=ann\x01auth=Bearer t0ken\x01\x01', ''],
  ])('%s: a token, and an end to what is wrong with it', async (mechanism, initial, acknowledgement) => {
    const client = chooseSasl([mechanism], token)
    expect(client).toMatchObject({ initial: encode(initial), isComplete: true })
    expect(await client?.answer(encode('{"status":"invalid_token"}'))).toEqual({
      ok: true,
      response: encode(acknowledgement),
    })
    expect(client?.isComplete).toBe(false)
    expect(await client?.answer('')).toEqual({ ok: false, problem: `${mechanism}: a second challenge` })
  })

  test('what is no text, or no base64, ends it', async () => {
    expect(await chooseSasl(['XOAUTH2'], token)?.answer('/w==')).toEqual({
      ok: false,
      problem: 'XOAUTH2: a challenge that is no text',
    })
    expect(await chooseSasl(['XOAUTH2'], token)?.answer('a')).toEqual({
      ok: false,
      problem: 'XOAUTH2: a challenge that is no base64',
    })
  })
})

test.each<[string, object, Authenticator]>([
  ['PLAIN', password, new Passwords()],
  ['LOGIN', password, new Passwords()],
  [
    'OAUTHBEARER',
    token,
    { verifyToken: async () => ({ outcome: 'granted', principal: { account: 'ann', username: 'ann' } }) },
  ],
  [
    'XOAUTH2',
    token,
    { verifyToken: async () => ({ outcome: 'granted', principal: { account: 'ann', username: 'ann' } }) },
  ],
])('%s: our server takes what our client says', async (mechanism, credentials, authenticator) => {
  const client = chooseSasl([mechanism], { username: 'ann', ...credentials })
  const server = beginSasl(mechanism, contextOf({ authenticator }))
  let step = await server?.start(client?.initial)
  while (step?.next === 'challenge') {
    const answer = await client?.answer(step.challenge)
    step = await server?.answer(answer?.ok === true ? answer.response : '*')
  }
  expect(step?.end).toMatchObject({ outcome: 'granted', username: 'ann' })
  expect(client?.isComplete).toBe(true)
})
