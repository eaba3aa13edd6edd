// Dovecot as a backend by LMTP, with its own word on who the client is; and LMTP from a queue to several places at once.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { startDovecotLmtp, type DovecotLmtp } from '../kit/dovecot-lmtp.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { readMessage } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { startPostfix, type Postfix } from '../kit/postfix.ts'
import { proxyV1, proxyV2, swaks } from '../kit/swaks.ts'

let dovecot: DovecotLmtp
let postfix: Postfix
let gateway: Gateway
const ports = await freePorts('admin', 'smtp', 'lmtp', 'imap')

function upstream(name: string, port: number, announce: string): string {
  return `[upstream.${name}]\nprotocol = "lmtp"\nbackends = ["127.0.0.1:${port}"]\nannounce = "${announce}"`
}

function route(name: string): string {
  return `[[route]]\nrecipients = ["${name}.example"]\nto = "${name}"`
}

beforeAll(async () => {
  const certificate = await makeCertificate()
  dovecot = await startDovecotLmtp(['bob@v2.example', 'bob@v1.example', 'bob@xclient.example', 'joe@v2.example'])
  postfix = await startPostfix({ domains: ['postfix.example'] })
  const config = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    listener('queue', { protocol: 'lmtp', bind: ports.lmtp, mode: 'off' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'off' }).replace('tls = "off"', 'tls = "starttls"'),
    `[tls]\ncertificates = [{ cert = "${certificate.cert}", key = "${certificate.key}" }]`,
    upstream('v2', dovecot.ports.proxied, 'proxy-v2'),
    upstream('v1', dovecot.ports.proxied, 'proxy-v1'),
    upstream('xclient', dovecot.ports.plain, 'xclient'),
    `[upstream.postfix]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${postfix.ports.plain}"]`,
    ...['v2', 'v1', 'xclient', 'postfix'].map(route),
  ]
  gateway = await startGateway({ config: config.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
  await postfix?.stop()
  await dovecot?.stop()
})

test.each([
  ['v2', proxyV1('203.0.113.71'), '203.0.113.71', /Connect from 203\.0\.113\.71/],
  ['v2', proxyV2('2001:db8::72'), '2001:db8::72', /Connect from 2001:db8::72/],
  ['v1', proxyV2('203.0.113.73'), '203.0.113.73', /Connect from 203\.0\.113\.73/],
  ['xclient', proxyV2('203.0.113.74'), '203.0.113.74', /Disconnect from 203\.0\.113\.74/],
] as const)('X2: by %s Dovecot’s own log names the client', async (name, header, client, pattern) => {
  const to = `bob@${name}.example`
  expect(await swaks({ port: ports.smtp, to, subject: client, args: header })).toMatchObject({ code: 0 })
  await dovecot.waitForLog(client, pattern)
  expect(dovecot.messages(to).some((message) => message.includes(`Subject: ${client}\n`))).toBe(true)
})

test('what Dovecot says of a recipient is what the client hears; a second one comes alone', async () => {
  const { stdout } = await swaks({
    port: ports.smtp,
    to: 'nobody@v2.example,bob@v2.example,joe@v2.example',
    args: proxyV2('203.0.113.75'),
  })
  expect(stdout).toMatch(/RCPT TO:<nobody@v2\.example>\n<\*\* 550 5\.1\.1/)
  expect(stdout).toMatch(/RCPT TO:<bob@v2\.example>\n<- {2}250 2\.1\.5/)
  // Over SMTP both would share one verdict, and Dovecot has one for each.
  expect(stdout).toMatch(/RCPT TO:<joe@v2\.example>\n<\*\* 452 4\.5\.3/)
})

test('LMTP from a queue to Dovecot, Postfix and the store: one message, and each verdict in its place', async () => {
  const recipients = [
    'bob@v2.example',
    'ann@postfix.example',
    'nobody@v2.example',
    ann.name,
    'joe@v2.example',
    'later@postfix.example',
  ]
  const args = ['--protocol', 'LMTP', '--pipeline']
  const { stdout } = await swaks({ port: ports.lmtp, to: recipients.join(','), subject: 'to everybody', args })
  const [, afterDot = ''] = stdout.split('\n -> .\n')
  const verdicts = afterDot.split('\n').filter((line) => /^<[-*~]+ +\d{3}/.test(line))
  expect(verdicts.slice(0, 4).map((line) => /\d{3} \d\.\d\.\d/.exec(line)?.[0])).toEqual([
    '250 2.0.0',
    '250 2.0.0',
    '250 2.0.0',
    '250 2.0.0',
  ])
  for (const user of ['bob@v2.example', 'joe@v2.example']) {
    await eventually(`the message of ${user}`, () =>
      dovecot.messages(user).find((message) => message.includes('Subject: to everybody')),
    )
  }
  await postfix.waitForMessage('Subject: to everybody')
  await readMessage(ports.imap, 'to everybody')
})
