// TLS and sign-in towards backends: what is never said in the clear, and what is never believed.
import { secret } from '@postern/core'
import { expect, test } from 'vitest'
import type { RelayOptions } from '../../src/index.ts'
import { Client } from './relaying.ts'
import { ScriptedBackend, tlsFiles } from './scripted-backend.ts'

const tlsOptions = { ca: tlsFiles.cert, servername: 'localhost' }
const starttls = { tls: 'starttls', tlsOptions } as const
const credentials = { username: 'gate', password: secret('hush') }

const transaction = `
  C: MAIL FROM:<bob@example.com>
  S: 250 OK
  C: RCPT TO:<ann@example.org>
  S: 250 OK
  C: QUIT
  S: 221 bye
`
const offering = `
  S: 220 mx1.example
  C: EHLO gate.example
  S: 250-mx1.example
  S: 250-AUTH PLAIN LOGIN
  S: 250-SIZE 5
  S: 250 STARTTLS
`

async function recipientAt(script: string, options: Partial<RelayOptions>): Promise<[string, Client, ScriptedBackend]> {
  const backend = await ScriptedBackend.start(script)
  const client = new Client([backend], options, { envelope: { declaredBytes: 10 } })
  const reply = await client.recipient()
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
  return [reply, client, backend]
}

test('TL-04: after STARTTLS everything that was offered before is forgotten', async () => {
  const [reply] = await recipientAt(
    `${offering}
    C: STARTTLS
    S: 220 go
    !tls
    C: EHLO gate.example
    S: 250 mx1.example
    ${transaction}`,
    starttls,
  )
  expect(reply).toBe('250 OK')
})

test('implicit TLS comes before the greeting', async () => {
  const [reply] = await recipientAt(
    `!tls
    S: 220 mx1.example
    C: EHLO gate.example
    S: 250 mx1.example
    ${transaction}`,
    { tls: 'implicit', tlsOptions },
  )
  expect(reply).toBe('250 OK')
})

test.each([
  ['a whole reply', String.raw`R: 220 go\r\n250 mx1.example\r\n`],
  ['half a reply', String.raw`R: 220 go\r\n250-mx1`],
  ['one byte', String.raw`R: 220 go\r\n2`],
])('TL-03: %s behind 220 to STARTTLS ends it', async (_, said) => {
  const [reply, client, backend] = await recipientAt(`${offering}\nC: STARTTLS\n${said}`, starttls)
  expect(reply).toMatch(/^451 4\.7\.0 /)
  expect(client.codes).toEqual(['SMTP_UPSTREAM_INJECTION'])
  expect(backend.heard[0]).toBe('EHLO gate.example\r\nSTARTTLS\r\n')
})

test.each([
  ['not offered', 'S: 220 x\nC: EHLO gate.example\nS: 250-x\nS: 250 AUTH PLAIN LOGIN'],
  ['offered under another name', 'S: 220 x\nC: EHLO gate.example\nS: 250-x\nS: 250-XXXXXXXX\nS: 250 AUTH PLAIN'],
  ['refused for now', `${offering}\nC: STARTTLS\nS: 454 not now`],
  ['refused', `${offering}\nC: STARTTLS\nS: 502 what?`],
  ['answered with nonsense', `${offering}\nC: STARTTLS\nS: 220 go\nD:\nS: 250 no handshake`],
])('TL-04: STARTTLS %s: no mail and no credentials in the clear', async (_, script) => {
  const backend = await ScriptedBackend.start(script)
  const client = new Client([backend], { ...starttls, credentials, limits: { tlsPatienceMs: 300 } })
  expect(await client.recipient()).toMatch(/^451 4\.7\.5 /)
  expect(client.codes).toEqual(['SMTP_UPSTREAM_TLS'])
  await backend.ended()
  expect(backend.heard[0]).not.toMatch(/AUTH|MAIL/)
})

test.each([
  ['signed by nobody', { servername: 'localhost' }, /SELF_SIGNED/],
  ['for another name', { ca: tlsFiles.cert, servername: 'mx2.example' }, /ALTNAME/],
])('BK-10: a certificate %s is no certificate', async (_, options, detail) => {
  const script = `${offering}\nC: STARTTLS\nS: 220 go\n!tls\nS: 220 x`
  const backend = await ScriptedBackend.start(script)
  const client = new Client([backend], { tls: 'starttls', tlsOptions: options, credentials })
  expect(await client.recipient()).toMatch(/^451 4\.7\.5 /)
  expect(client.events).toMatchObject([{ code: 'SMTP_UPSTREAM_TLS', detail: expect.stringMatching(detail) as string }])
  expect(backend.connections).toBe(1)
})

test('keys that cannot be used are no reason to go on without', async () => {
  const client = new Client([await ScriptedBackend.start(`${offering}\nC: STARTTLS\nS: 220 go`)], {
    tls: 'starttls',
    tlsOptions: { cert: 'none', key: 'none' },
  })
  expect(await client.recipient()).toMatch(/^451 4\.7\.5 /)
})

test('optional TLS takes any certificate', async () => {
  const [reply] = await recipientAt(
    `${offering}
    C: STARTTLS
    S: 220 go
    !tls
    C: EHLO gate.example
    S: 250 mx1.example
    ${transaction}`,
    { tls: 'optional' },
  )
  expect(reply).toBe('250 OK')
})

test('optional TLS that fails goes on without, on a connection of its own', async () => {
  const plain = `
    S: 220 mx1.example
    C: EHLO gate.example
    S: 250-mx1.example
    S: 250 STARTTLS
    ${transaction}`
  const backend = await ScriptedBackend.start(`${offering}\nC: STARTTLS\nS: 454 not now`, plain)
  const client = new Client([backend], { tls: 'optional' })
  expect(await client.recipient()).toBe('250 OK')
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
  expect(backend.connections).toBe(2)
})

test('TL-03: bytes injected behind 220 end also optional TLS', async () => {
  const backend = await ScriptedBackend.start(String.raw`${offering}
    C: STARTTLS
    R: 220 go\r\n250 x\r\n`)
  expect(await new Client([backend], { tls: 'optional' }).recipient()).toMatch(/^451 4\.7\.0 /)
  expect(backend.connections).toBe(1)
})

const plainly = { credentials, authRequiresTls: false }
const helloWith = (auth: string): string => `
  S: 220 mx1.example
  C: EHLO gate.example
  S: 250-mx1.example
  S: 250 ${auth}
`
test.each([
  ['PLAIN', 'AUTH LOGIN PLAIN', 'C: AUTH PLAIN AGdhdGUAaHVzaA==\nS: 235 2.7.0 welcome'],
  [
    'LOGIN',
    'AUTH LOGIN',
    'C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: Z2F0ZQ==\nS: 334 UGFzc3dvcmQ6\nC: aHVzaA==\nS: 235 ok',
  ],
  ['LOGIN in an old spelling', 'AUTH=LOGIN', 'C: AUTH LOGIN\nS: 334 a\nC: Z2F0ZQ==\nS: 334 b\nC: aHVzaA==\nS: 235 ok'],
])('signs in by %s', async (_, offered, exchange) => {
  const [reply] = await recipientAt(`${helloWith(offered)}${exchange}\n${transaction}`, plainly)
  expect(reply).toBe('250 OK')
})

test.each([
  ['credentials refused', 'AUTH PLAIN', 'D:\nS: 535 5.7.8 no'],
  ['credentials deferred', 'AUTH PLAIN', 'D:\nS: 454 4.7.0 not now'],
  ['another mechanism', 'AUTH GSSAPI', ''],
  ['no mechanism', 'SIZE 0', ''],
  ['one more challenge', 'AUTH PLAIN', 'D:\nS: 334 more'],
  ['no challenge', 'AUTH LOGIN', 'D:\nS: 235 welcome'],
])('%s: our trouble, not the client’s', async (_, offered, exchange) => {
  const [reply, client] = await recipientAt(`${helloWith(offered)}${exchange}`, plainly)
  expect(reply).toBe('451 4.7.0 Local configuration error, try again later')
  expect(client.codes).toEqual(['SMTP_UPSTREAM_AUTHENTICATION'])
})

test('TL-04: credentials wait for TLS', async () => {
  const [reply, , backend] = await recipientAt(helloWith('AUTH PLAIN LOGIN'), { credentials })
  expect(reply).toMatch(/^451 4\.7\.5 /)
  expect(backend.heard[0]).toBe('EHLO gate.example\r\n')
})
