// Clients that people use, each in its own way: what they hand in is in the mailbox.
import { createTransport } from 'nodemailer'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { readInbox, readMessage } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'

const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
const ports = await freePorts('admin', 'mx', 'submission', 'submissions', 'imap')
let gateway: Gateway

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  gateway = await startGateway({
    adminPort: ports.admin,
    accounts: [ann, bob],
    config: [
      listener('mx', { protocol: 'smtp', bind: ports.mx, tls: 'starttls', mode: 'off' }),
      listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'starttls', mode: 'off' }),
      listener('submissions', { protocol: 'submission', bind: ports.submissions, tls: 'implicit', mode: 'off' }),
      listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
      `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    ].join('\n\n'),
  })
})
afterAll(async () => {
  await gateway?.stop()
})

const message = (subject: string): string =>
  `From: x@example.net\r\nSubject: ${subject}\r\n\r\nhello\r\n.\r\n..dots\r\n`

/** Dots are content, as many as there were. */
const dots = '\r\nhello\r\n.\r\n..dots\r\n'

describe('msmtp', () => {
  const usual = ['--host=127.0.0.1', '--domain=msmtp.example', '--tls=on', '--tls-certcheck=off']

  test('hands in under STARTTLS', async () => {
    const args = [...usual, `--port=${ports.mx}`, '--from=x@example.net', bob.name]
    expect(await peer('msmtp', args, { input: message('by msmtp') })).toMatchObject({ code: 0 })
    expect(await readMessage(ports.imap, 'by msmtp', bob)).toContain('from msmtp.example (')
  })

  test.each([
    ['STARTTLS', ports.submission, 'on', 'plain'],
    ['implicit TLS', ports.submissions, 'off', 'login'],
  ])('signs in behind %s', async (how, port, starttls, auth) => {
    const login = [`--auth=${auth}`, `--user=${ann.name}`, `--passwordeval=echo '${ann.password}'`]
    const args = [...usual, `--port=${port}`, `--tls-starttls=${starttls}`, ...login, `--from=${ann.name}`, bob.name]
    expect(await peer('msmtp', args, { input: message(`behind ${how}`) })).toMatchObject({ code: 0 })
    expect(await readMessage(ports.imap, `behind ${how}`, bob)).toContain('with ESMTPSA')
  })
})

test('curl uploads under TLS', async () => {
  const args = `-sS --ssl-reqd -k --url smtp://127.0.0.1:${ports.mx}/curl.example --mail-from x@example.net`.split(' ')
  const sent = await peer('curl', [...args, '--mail-rcpt', bob.name, '-T', '-'], { input: message('by curl') })
  expect(sent).toMatchObject({ code: 0, stderr: '' })
  const stored = await readMessage(ports.imap, 'by curl', bob)
  expect(stored).toContain('from curl.example (')
  expect(stored.endsWith(dots)).toBe(true)
})

test('smtplib sends internationalized mail (SMTPUTF8, 8BITMIME)', async () => {
  const script = `
import smtplib, sys
from email.message import EmailMessage
message = EmailMessage()
message['From'] = 'jörg@example.net'
message['To'] = sys.argv[2]
message['Subject'] = 'by smtplib'
message.set_content('grüße\\n')
with smtplib.SMTP('127.0.0.1', int(sys.argv[1]), local_hostname='python.example', timeout=30) as client:
    assert client.send_message(message) == {}
`
  expect(await peer('python3', ['-c', script, `${ports.mx}`, bob.name])).toMatchObject({ code: 0, stderr: '' })
  const stored = await readMessage(ports.imap, 'by smtplib', bob)
  expect(stored).toContain('with UTF8SMTP')
  expect(stored).toContain('Return-Path: <jörg@example.net>\r\n')
})

test('nodemailer, over a pool of connections', async () => {
  const transport = createTransport({
    host: '127.0.0.1',
    port: ports.submission,
    pool: true,
    maxConnections: 2,
    requireTLS: true,
    tls: { rejectUnauthorized: false },
    auth: { user: ann.name, pass: ann.password },
  })
  expect(await transport.verify()).toBe(true)
  const sent = await Promise.all(
    Array.from({ length: 10 }, () =>
      transport.sendMail({ from: ann.name, to: bob.name, subject: 'by nodemailer', text: '.\r\n..dots' }),
    ),
  )
  transport.close()
  expect(sent.filter(({ accepted }) => accepted.length === 1)).toHaveLength(10)
  await eventually('ten messages', () => countOf('by nodemailer', 10))
})

test.each([
  ['a connection for each message', []],
  ['connections that are kept open', ['-d']],
])('smtp-source, %s', async (how, args) => {
  const load = ['-s', '3', '-m', '30', '-l', '2048', '-S', how, '-f', 'x@example.net', '-t', bob.name]
  expect(await peer('smtp-source', [...args, ...load, `127.0.0.1:${ports.mx}`])).toMatchObject({ code: 0 })
  await eventually('thirty messages', () => countOf(how, 30))
})

/** True when bob has so many messages with this subject. */
async function countOf(subject: string, wanted: number): Promise<true | undefined> {
  const inbox = await readInbox(ports.imap, bob)
  return inbox.filter((each) => each.includes(`Subject: ${subject}\r\n`)).length === wanted ? true : undefined
}
