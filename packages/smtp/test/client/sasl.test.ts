/* The relay signs in at a server that proves itself: SCRAM and tokens, against our own server side (RFC 4954, 5802, 7628). */
import { deriveScramKeys, secret, type Authenticator, type SaslMechanism } from '@postern/core'
import { expect, onTestFinished, test } from 'vitest'
import { createSmtpServer, type RelayOptions, type UpstreamCredentials } from '../../src/index.ts'
import { Client } from './relaying.ts'
import { ScriptedBackend, tlsFiles } from './scripted-backend.ts'

const keys = await deriveScramKeys('hush', { iterations: 4096 })
const principal = { account: 'gate', username: 'gate' }

/** Knows `gate`: the password is `hush`, the token `right`. */
const everything: Authenticator = {
  verify: async ({ password }) =>
    password.reveal() === 'hush' ? { outcome: 'granted', principal } : { outcome: 'denied' },
  scramKeys: async ({ username }) =>
    username === 'gate' ? { outcome: 'found', keys, principal } : { outcome: 'unknown' },
  verifyToken: async ({ token }) =>
    token.reveal().startsWith('right') ? { outcome: 'granted', principal } : { outcome: 'denied' },
}

/** A server for users who signed in, and by which mechanism they did. */
async function backend(authenticator: Authenticator) {
  const used: string[] = []
  const server = createSmtpServer({
    hostname: 'mx1.example',
    mode: 'submission',
    tls: { ...tlsFiles },
    authenticator,
    backend: { data: async () => {} },
    observer: { authenticated: ({ mechanism, outcome }) => void used.push(`${mechanism} ${outcome}`) },
  })
  const { port } = await server.listen(0, '127.0.0.1')
  onTestFinished(async () => {
    await server.close()
  })
  return { used, address: { host: '127.0.0.1', port } }
}

async function relayTo(
  authenticator: Authenticator,
  credentials: UpstreamCredentials,
  options: Partial<RelayOptions> = {},
) {
  const { used, address } = await backend(authenticator)
  const client = new Client([address], { tls: 'optional', credentials, ...options })
  const reply = await client.recipient()
  await client.delivery.abort()
  return { used, reply, codes: client.codes, details: client.events.map(({ detail }) => detail) }
}

const password = { username: 'gate', password: secret('hush') }
const token = { username: 'gate', token: secret('right') }

test.each<[SaslMechanism, UpstreamCredentials, Partial<RelayOptions>, Authenticator]>([
  ['SCRAM-SHA-256-PLUS', password, {}, everything],
  ['SCRAM-SHA-256', password, { tlsOptions: { maxVersion: 'TLSv1.2' } }, everything],
  ['PLAIN', password, {}, { verify: everything.verify }],
  ['PLAIN', password, { mechanisms: ['LOGIN', 'PLAIN'] }, everything],
  ['LOGIN', password, { mechanisms: ['LOGIN'] }, everything],
  ['OAUTHBEARER', token, {}, everything],
  ['XOAUTH2', token, { mechanisms: ['XOAUTH2'] }, everything],
  ['OAUTHBEARER', { ...token, token: secret(`right${'x'.repeat(600)}`) }, {}, everything],
])('signs in by %s', async (mechanism, credentials, options, authenticator) => {
  const { used, reply } = await relayTo(authenticator, credentials, options)
  expect(reply).toMatch(/^250 /)
  expect(used).toEqual([`${mechanism} granted`])
})

test.each<[string, UpstreamCredentials]>([
  ['a wrong password', { username: 'gate', password: secret('wrong-4711') }],
  ['a wrong token', { username: 'gate', token: secret('wrong-4711') }],
])('%s is our trouble, and is told to nobody', async (_, credentials) => {
  const { reply, codes, details } = await relayTo(everything, credentials)
  expect(reply).toBe('451 4.7.0 Local configuration error, try again later')
  expect(codes).toEqual(['SMTP_UPSTREAM_AUTHENTICATION'])
  expect(details.join()).toContain('535')
  expect(details.join()).not.toContain('wrong-4711')
})

test('a server that says 235 and has not proved that it knows the password is not believed', async () => {
  const liar = await ScriptedBackend.start(`
    S: 220 mx1.example
    C: EHLO gate.example
    S: 250-mx1.example
    S: 250 AUTH SCRAM-SHA-256
    D:
    S: 235 2.7.0 welcome`)
  const client = new Client([liar], { credentials: password, authRequiresTls: false })
  expect(await client.recipient()).toMatch(/^451 4\.7\.0 /)
  expect(client.events).toMatchObject([
    { code: 'SMTP_UPSTREAM_AUTHENTICATION', detail: 'AUTH: 235, before it was due' },
  ])
})

test('nor is one that makes nonces of its own', async () => {
  const greedy = await ScriptedBackend.start(`
    S: 220 mx1.example
    C: EHLO gate.example
    S: 250-mx1.example
    S: 250 AUTH SCRAM-SHA-256
    D:
    S: 334 ${Buffer.from('r=x,s=AAAA,i=1').toString('base64')}`)
  const client = new Client([greedy], { credentials: password, authRequiresTls: false })
  expect(await client.recipient()).toMatch(/^451 4\.7\.0 /)
  expect(client.events[0]?.detail).toContain('a nonce that is not based on ours')
})
