// A real nginx in front, its stream module, on the configuration of examples/nginx.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { example, listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { readMessage } from '../kit/mailbox.ts'
import { startNginx, type Nginx } from '../kit/nginx.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { swaks } from '../kit/swaks.ts'

const inside = await freePorts('smtp', 'submissions', 'imap', 'imaps', 'admin', 'direct')
const front = await freePorts('smtp', 'submissions', 'imap', 'imaps')
let gateway: Gateway
let nginx: Nginx

beforeAll(async () => {
  const certificate = await makeCertificate()
  const config = example('nginx/postern.toml', {
    '/var/lib/postern': 'data',
    '10.0.0.10': '127.0.0.1',
    '10.0.0.11:25"': `127.0.0.1:${inside.smtp}"`,
    '10.0.0.11:465"': `127.0.0.1:${inside.submissions}"`,
    '10.0.0.11:143"': `127.0.0.1:${inside.imap}"`,
    '10.0.0.11:993"': `127.0.0.1:${inside.imaps}"`,
    '/etc/postern/mx.pem': certificate.cert,
    '/etc/postern/mx.key': certificate.key,
    '/etc/postern/accounts.toml': 'accounts.toml',
    '127.0.0.1:2080': `127.0.0.1:${inside.admin}`,
  })
  const direct = listener('direct', { protocol: 'imap', bind: inside.direct, tls: 'starttls', mode: 'off' })
  gateway = await startGateway({ config: `${config}\n${direct}`, adminPort: inside.admin })
  const proxied = example('nginx/nginx.conf', {
    'listen 0.0.0.0:25 ': `listen 127.0.0.1:${front.smtp} `,
    'listen 0.0.0.0:465 ': `listen 127.0.0.1:${front.submissions} `,
    'listen 0.0.0.0:143 ': `listen 127.0.0.1:${front.imap} `,
    'listen 0.0.0.0:993 ': `listen 127.0.0.1:${front.imaps} `,
    '10.0.0.11:25 ': `127.0.0.1:${inside.smtp} `,
    '10.0.0.11:465 ': `127.0.0.1:${inside.submissions} `,
    '10.0.0.11:143 ': `127.0.0.1:${inside.imap} `,
    '10.0.0.11:993 ': `127.0.0.1:${inside.imaps} `,
    // It is local: some systems give a process fewer files than a server has.
    'worker_connections 10000': 'worker_connections 500',
  })
  nginx = await startNginx(proxied, front.smtp)
})
afterAll(async () => {
  await nginx?.stop()
  await gateway?.stop()
})

test('J6, S11: the reply to EHLO names the client that nginx spoke for', async () => {
  const client = await Dialogue.connect(front.smtp, { from: '127.0.0.31' })
  expect((await client.reply()).code).toBe(220)
  expect((await client.ask('EHLO client.example.net')).lines[0]).toContain('127.0.0.31')
  await client.ask('QUIT')
  await client.end()
  const accepted = await gateway.waitForLog(
    'the header of 127.0.0.31',
    (record) => record.event === 'proxy.accepted' && record['client'] === '127.0.0.31',
  )
  expect(accepted).toMatchObject({ via: 'v1', clientPort: client.localPort, proxy: '127.0.0.1', listener: 'mx' })
})

test('J2, J6: IMAP too', async () => {
  const client = await Dialogue.connect(front.imap, { from: '127.0.0.32' })
  expect(await client.line()).toMatch(/^\* OK /)
  expect((await client.imap('a LOGOUT')).at(-1)).toMatch(/^a OK/)
  await gateway.waitForLog(
    'the header of 127.0.0.32',
    (record) => record.event === 'proxy.accepted' && record['client'] === '127.0.0.32',
  )
})

test.each([
  ['J3', 'submissions', /^220 .*\r\n250-[^]*250[- ]AUTH .*PLAIN/, 'EHLO client.example.net\nQUIT\n'],
  ['J4', 'imaps', /^\* OK [^]*\r\na OK /, `a LOGIN ${ann.name} "${ann.password}"\nb LOGOUT\n`],
] as const)('%s, S21: %s: the header in the clear, then our TLS handshake', async (_, name, expected, input) => {
  const { stdout } = await peer('openssl', ['s_client', '-connect', `127.0.0.1:${front[name]}`, '-quiet', '-crlf'], {
    input,
  })
  expect(stdout).toMatch(expected)
})

test('J5, S11: swaks delivers through nginx with STARTTLS, and Received names the client', async () => {
  const sent = await swaks({
    port: front.smtp,
    subject: 'through nginx',
    args: ['--local-interface', '127.0.0.33', '--tls'],
  })
  expect(sent).toMatchObject({ code: 0 })
  expect(await readMessage(inside.direct, 'through nginx')).toContain('[127.0.0.33]')
})
