// Signing in, as clients that others wrote do it: SCRAM with and without a channel to bind to, tokens, and certificates.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate, type Certificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'

const ports = await freePorts('admin', 'submission', 'imap', 'issuer')
const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
let gateway: Gateway
let annsCertificate: Certificate
let bobsCertificate: Certificate

/** Knows one token (RFC 7662), which is ann's. */
const issuer = createServer((request, response) => {
  let form = ''
  request.on('data', (chunk: Buffer) => (form += chunk.toString()))
  request.on('end', () => {
    const isRight = new URLSearchParams(form).get('token') === 'the-token-of-ann'
    response.end(JSON.stringify(isRight ? { active: true, username: ann.name } : { active: false }))
  })
})

beforeAll(async () => {
  issuer.listen(ports.issuer, '127.0.0.1')
  const [{ cert, key }] = await Promise.all([makeCertificate(), once(issuer, 'listening')])
  annsCertificate = await makeCertificate(ann.name)
  bobsCertificate = await makeCertificate(bob.name)
  const tables = [
    listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'starttls' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    `client-certificates = "request"\nclient-ca = "${annsCertificate.cert}"`,
    '[accounts]\nfile = "accounts.toml"\nclient-certificates = true',
    `[accounts.oauth]\nintrospection-url = "http://127.0.0.1:${ports.issuer}/"`,
    '[log]\nlevel = "trace"',
  ]
  gateway = await startGateway({ config: tables.join('\n'), adminPort: ports.admin, accounts: [ann, bob] })
})
afterAll(async () => {
  await gateway?.stop()
  issuer.closeAllConnections()
  issuer.close()
})

/** GNU SASL signs in, over STARTTLS, and says at the end whether it could. */
function gsasl(protocol: 'smtp' | 'imap', mechanism: string, options: readonly string[] = [], password = ann.password) {
  const port = protocol === 'smtp' ? ports.submission : ports.imap
  const who = ['--authentication-id', ann.name, '--authorization-id', ann.name, '--password', password]
  const args = [`--${protocol}`, '--connect', `127.0.0.1:${port}`, '--starttls', '--x509-ca-file=', ...who]
  return peer('gsasl', [...args, '--mechanism', mechanism, ...options])
}

/** The arguments that make gsasl show a certificate. */
function shown({ cert, key }: Certificate): readonly string[] {
  return ['--x509-cert-file', cert, '--x509-key-file', key]
}

async function signedInBy(mechanism: string, username = ann.name): Promise<void> {
  await gateway.waitForLog(`a sign-in of ${username} by ${mechanism}`, ({ event, ...record }) => {
    return event === 'auth.ok' && record['mechanism'] === mechanism && record['username'] === username
  })
}

describe.each(['smtp', 'imap'] as const)('gsasl, %s', (protocol) => {
  test.each([
    ['SCRAM-SHA-256-PLUS', []],
    ['SCRAM-SHA-256', ['--no-cb']],
    ['PLAIN', []],
    ['LOGIN', []],
  ])('signs in by %s', async (mechanism, options) => {
    expect(await gsasl(protocol, mechanism, options)).toMatchObject({ code: 0 })
    await signedInBy(mechanism)
  })

  test.each([
    ['a wrong password', 'SCRAM-SHA-256-PLUS', [], 'wrong password'],
    ['a downgrade: "y" where -PLUS was offered', 'SCRAM-SHA-256', [], ann.password],
    ['a binding of TLS 1.2, which is none', 'SCRAM-SHA-256-PLUS', ['--priority', 'NORMAL:-VERS-TLS1.3'], ann.password],
  ])('is refused with %s', async (_, mechanism, options, password) => {
    expect(await gsasl(protocol, mechanism, options, password)).not.toMatchObject({ code: 0 })
  })

  test('X3: signs in by a certificate that the gateway verified, and not by one that it did not', async () => {
    expect(await gsasl(protocol, 'EXTERNAL', shown(annsCertificate))).toMatchObject({ code: 0 })
    await signedInBy('EXTERNAL')
    expect(await gsasl(protocol, 'EXTERNAL', shown(bobsCertificate))).not.toMatchObject({ code: 0 })
  })
})

test('msmtp submits a message, signed in by SCRAM', async () => {
  const session = `--host=127.0.0.1 --port=${ports.submission} --tls=on --tls-certcheck=off --auth=scram-sha-256`
  const who = [`--user=${bob.name}`, `--passwordeval=printf %s '${bob.password}'`, `--from=${bob.name}`]
  const input = `From: ${bob.name}\nSubject: by msmtp\n\nhello\n`
  const outcome = await peer('msmtp', ['--file=/dev/null', ...session.split(' '), ...who, ann.name], { input })
  expect(outcome).toMatchObject({ code: 0 })
  await signedInBy('SCRAM-SHA-256', bob.name)
})

const curl = (url: string, token: string, ...args: readonly string[]) =>
  peer('curl', [
    '-sS',
    '--max-time',
    '15',
    '-k',
    '--ssl-reqd',
    '--user',
    `${ann.name}:`,
    '--oauth2-bearer',
    token,
    ...args,
    url,
  ])

describe('a token', () => {
  test('signs curl in to IMAP by OAUTHBEARER', async () => {
    const outcome = await curl(`imap://127.0.0.1:${ports.imap}/`, 'the-token-of-ann', '--request', 'NOOP')
    expect(outcome).toMatchObject({ code: 0 })
    await signedInBy('OAUTHBEARER')
  })

  test('signs imaplib in by XOAUTH2', async () => {
    const script = `
import imaplib, ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
client = imaplib.IMAP4('127.0.0.1', ${ports.imap})
client.starttls(context)
client.authenticate('XOAUTH2', lambda challenge: b'user=${ann.name}\\x01auth=Bearer the-token-of-ann\\x01\\x01')
print(client.select('INBOX')[0])
client.logout()
`
    expect(await peer('python3', ['-c', script])).toMatchObject({ code: 0, stdout: 'OK\n' })
    await signedInBy('XOAUTH2')
  })

  test('is refused with a wrong one, which is in no log', async () => {
    const wrong = 'a-token-of-nobody'
    const outcome = await curl(`imap://127.0.0.1:${ports.imap}/`, wrong, '--request', 'NOOP')
    expect(outcome).not.toMatchObject({ code: 0 })
    await gateway.waitForLog('the refusal', ({ event, ...record }) => {
      return event === 'auth.failed' && record['mechanism'] === 'OAUTHBEARER' && record['reason'] === 'denied'
    })
    expect(JSON.stringify(gateway.log)).not.toContain(wrong)
  })
})

test('LG-03: a password that was sent as a command is in no line', async () => {
  const hidden = 'marker-of-a-slip'
  const forms = [hidden, `\0${ann.name}\0${hidden}`].map((text) => Buffer.from(text).toString('base64'))
  const slips = [hidden, ...forms].flatMap((form) => [form, `AUTH ${form}`, `a ${form}`, `a NOOP ${form}`])
  const inMail = await Dialogue.connect(ports.submission)
  await inMail.reply()
  await inMail.ask('EHLO client.example')
  await inMail.ask('STARTTLS')
  await inMail.startTls()
  for (const slip of slips.slice(0, 4)) expect((await inMail.ask(slip)).code).toBeGreaterThanOrEqual(500)
  inMail.destroy()
  const inImap = await Dialogue.connect(ports.imap)
  await inImap.line()
  await inImap.imap('s STARTTLS')
  await inImap.startTls()
  for (const slip of slips) {
    inImap.command(slip)
    // An untagged word comes from a session that has heard enough.
    if (!/ BAD /.test(await inImap.line())) break
  }
  inImap.destroy()
  await gateway.waitForLog(
    'the end of the session',
    (record) => record.event === 'connection.close' && inImap.isIn(record, 'imap'),
  )
  const log = JSON.stringify(gateway.log)
  for (const form of [hidden, ...forms]) expect(log).not.toContain(form)
})

test('LG-02: no password that signed in here is in the log', async () => {
  await gateway.settleLog()
  const log = JSON.stringify(gateway.log)
  for (const hidden of [ann.password, bob.password, 'the-token-of-ann']) {
    expect(log).not.toContain(hidden)
    expect(log).not.toContain(Buffer.from(hidden).toString('base64').slice(0, -4))
  }
})
