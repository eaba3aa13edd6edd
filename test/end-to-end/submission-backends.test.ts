// Users sign in here with what their backend knows: it judges, and their mail goes on as theirs.
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { readMessage } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { proxyV2, swaks } from '../kit/swaks.ts'

const bob: Account = { name: 'bob@example.com', password: 'marker-password-of-bob' }

let backends: Readonly<Record<'org' | 'com', Gateway>>
let front: Gateway
const ports = await freePorts(
  'front',
  'frontImap',
  'issuer',
  'frontAdmin',
  'org',
  'orgImap',
  'orgAdmin',
  'com',
  'comImap',
  'comAdmin',
)

const token = 'marker-token-of-ann'
/** Knows one token (RFC 7662), which is ann's; both backends ask it. */
const issuer = createServer((request, response) => {
  let form = ''
  request.on('data', (chunk: Buffer) => (form += chunk.toString()))
  request.on('end', () => {
    const isRight = new URLSearchParams(form).get('token') === token
    response.end(JSON.stringify(isRight ? { active: true, username: ann.name } : { active: false }))
  })
})

beforeAll(async () => {
  issuer.listen(ports.issuer, '127.0.0.1')
  await once(issuer, 'listening')
  const { cert, key } = await makeCertificate()
  const tls = `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`
  const trusted = '[proxy]\ntrusted-networks = ["127.0.0.1"]'
  const start = (name: 'org' | 'com', account: Account): Promise<Gateway> => {
    const config = [
      trusted,
      listener('users', { protocol: 'submission', bind: ports[name], tls: 'starttls', mode: 'require' }),
      listener('imap', { protocol: 'imap', bind: ports[`${name}Imap`], tls: 'starttls', mode: 'off' }),
      `[smtp]\nlocal-domains = ["example.${name}"]`,
      tls,
      `[accounts]\nfile = "accounts.toml"\n[accounts.oauth]\nintrospection-url = "http://127.0.0.1:${ports.issuer}/"`,
    ]
    return startGateway({ config: config.join('\n\n'), adminPort: ports[`${name}Admin`], accounts: [account] })
  }
  backends = { org: await start('org', ann), com: await start('com', bob) }
  const print = new X509Certificate(readFileSync(cert)).fingerprint256
  const upstream = (name: 'org' | 'com'): string =>
    [
      `[upstream.${name}]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${ports[name]}"]\nannounce = "proxy-v2"`,
      `tls = "starttls"\ntls-fingerprints = ["${print}"]`,
      // A look comes from nobody, whom these backends offer nothing.
      'sign-in-mechanisms = ["OAUTHBEARER", "PLAIN"]',
    ].join('\n')
  const config = [
    trusted,
    judgedThere(listener('users', { protocol: 'submission', bind: ports.front, tls: 'starttls', mode: 'require' })),
    judgedThere(listener('imap', { protocol: 'imap', bind: ports.frontImap, tls: 'starttls', mode: 'require' })),
    upstream('org'),
    upstream('com'),
    `[upstream.boxes]\nprotocol = "imap"\nbackends = ["127.0.0.1:${ports.orgImap}"]\ntls = "starttls"\ntls-fingerprints = ["${print}"]`,
    '[[route]]\nusers = ["@example.org"]\nto = "boxes"',
    '[[route]]\nusers = ["@example.org"]\nto = "org"',
    '[[route]]\nusers = ["@example.com"]\nto = "com"',
    tls,
    '[log]\nlevel = "trace"',
  ]
  front = await startGateway({ config: config.join('\n\n'), adminPort: ports.frontAdmin, accounts: [] })
})
afterAll(async () => {
  await front?.stop()
  for (const backend of Object.values(backends ?? {})) await backend.stop()
  issuer.closeAllConnections()
  issuer.close()
})

function judgedThere(table: string): string {
  return table.replace('tls = "starttls"', 'tls = "starttls"\nsign-in = "upstream"')
}

function curl(url: string, word: string, ...args: readonly string[]) {
  const login = ['--user', `${ann.name}:`, '--oauth2-bearer', word]
  return peer('curl', ['-sS', '--max-time', '20', '-k', '--haproxy-protocol', '--ssl-reqd', ...login, ...args, url])
}

function submit({ name, password }: Account, subject: string, ...args: readonly string[]) {
  const login = ['--tls', '--auth', 'PLAIN', '-au', name, '-ap', password, '--from', name]
  return swaks({ port: ports.front, to: name, subject, args: [...proxyV2('203.0.113.51'), ...login, ...args] })
}

test('J12: each user is signed in by the backend of their own, and their mail goes there as theirs', async () => {
  for (const [account, name] of [
    [ann, 'org'],
    [bob, 'com'],
  ] as const) {
    expect(await submit(account, `from ${account.name}`)).toMatchObject({ code: 0 })
    const message = await readMessage(ports[`${name}Imap`], `from ${account.name}`, account)
    expect(message).toContain('with ESMTPSA')
    expect(message).toContain('[203.0.113.51]')
    // The backend judged the client itself, and saw who it was.
    await backends[name].waitForLog('the sign-in', ({ event, username, client }) => {
      return event === 'auth.ok' && username === account.name && client === '203.0.113.51'
    })
  }
  expect(backends.org.log.filter(({ username }) => username === bob.name)).toEqual([])
})

test('a wrong password is wrong here, too; and so is a user for whom no route stands', async () => {
  for (const account of [
    { ...ann, password: 'wrong' },
    { name: 'eve@example.net', password: 'anything' },
  ]) {
    const { code, stdout } = await submit(account, 'never')
    expect(code).not.toBe(0)
    expect(stdout).toContain('535 5.7.8')
  }
})

test('J12: a token goes on to the backend, which judges it, by submission and by IMAP', async () => {
  const smtp = `smtp://127.0.0.1:${ports.front}/client.example`
  const imap = `imap://127.0.0.1:${ports.frontImap}/`
  const mail = ['--mail-from', ann.name, '--mail-rcpt', ann.name, '--upload-file', '-']
  // Tokens are offered when a look has found that every backend takes them.
  await eventually('tokens to be taken', async () => {
    const { code } = await curl(imap, token, '--request', 'NOOP')
    return code === 0 ? true : undefined
  })
  const input = `From: ${ann.name}\r\nSubject: by token\r\n\r\nhello\r\n`
  const login = ['--user', `${ann.name}:`, '--oauth2-bearer', token]
  const sent = await peer(
    'curl',
    ['-sS', '--max-time', '20', '-k', '--haproxy-protocol', '--ssl-reqd', ...login, ...mail, smtp],
    { input },
  )
  expect(sent).toMatchObject({ code: 0 })
  expect(await readMessage(ports.orgImap, 'by token', ann)).toContain('with ESMTPSA')
  for (const protocol of ['smtp', 'imap']) {
    await backends.org.waitForLog(`the token by ${protocol}`, ({ event, mechanism, listener: at }) => {
      return event === 'auth.ok' && mechanism === 'OAUTHBEARER' && at === (protocol === 'smtp' ? 'users' : 'imap')
    })
  }
  const { code } = await curl(imap, 'another token', '--request', 'NOOP')
  expect(code).not.toBe(0)
})

test('the backend forbids what its user may not, and we pass that on', async () => {
  const { stdout } = await submit(ann, 'never', '--from', 'boss@example.org')
  expect(stdout).toMatch(/<\*\* 553|<~\* 553/)
})

test('LG-02: no password is in any log, in whatever form', async () => {
  await submit({ ...bob, password: `${bob.password}-wrong` }, 'never')
  await front.settleLog()
  const everything = JSON.stringify([...front.log, ...backends.org.log, ...backends.com.log])
  for (const text of [token, bob.password, Buffer.from(`\0${bob.name}\0${bob.password}`).toString('base64')]) {
    expect(everything).not.toContain(text)
  }
})

test('a backend that is gone makes signing in temporarily unavailable', async () => {
  await backends.com.stop()
  const { stdout } = await submit(bob, 'never')
  expect(stdout).toContain('454 4.7.0')
})
