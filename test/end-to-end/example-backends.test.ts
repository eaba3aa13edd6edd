// examples/backends: Postfix and Exim behind the gateway, and what each of them writes about the client.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { example } from '../kit/configuration.ts'
import { startExim, type Exim } from '../kit/exim.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { freePort, freePorts } from '../kit/ports.ts'
import { startPostfix, type Postfix } from '../kit/postfix.ts'
import { proxyV2, swaks } from '../kit/swaks.ts'

let postfix: Postfix
let exim: Exim
let gateway: Gateway
const ports = await freePorts('admin', 'smtp')

beforeAll(async () => {
  postfix = await startPostfix({ domains: ['example.org', 'sub.example.org', 'example.net'] })
  exim = await startExim({ domain: 'example.net' })
  const { cert, key } = await makeCertificate()
  const config = example('backends/postern.toml', {
    '"/var/lib/postern"': '"data"',
    '"10.0.0.10"': '"127.0.0.1"',
    '10.0.0.11:25"': `127.0.0.1:${ports.smtp}"`,
    '/etc/postern/mx.pem': cert,
    '/etc/postern/mx.key': key,
    '127.0.0.1:2080': `127.0.0.1:${ports.admin}`,
    '"10.0.0.21:25"': `"127.0.0.1:${postfix.ports.xclient}"`,
    // The second one is down, and must not matter.
    '"10.0.0.22:25"': `"127.0.0.1:${await freePort()}"`,
    '"10.0.0.31:25"': `"127.0.0.1:${exim.ports.proxied}"`,
  })
  gateway = await startGateway({ config, adminPort: ports.admin, accounts: [] })
})
afterAll(async () => {
  await gateway?.stop()
  await exim?.stop()
  await postfix?.stop()
})

function send(to: string, client: string): ReturnType<typeof swaks> {
  return swaks({ port: ports.smtp, to, subject: client, args: proxyV2(client) })
}

test.each([
  ['ann@example.org', '203.0.113.81'],
  ['ann@sub.example.org', '203.0.113.82'],
  ['postmaster@example.net', '2001:db8::83'],
])('X2, J12: %s from %s reaches Postfix, which names the client', async (recipient, client) => {
  expect(await send(recipient, client)).toMatchObject({ code: 0 })
  await postfix.waitForLog(client, new RegExp(`client=unknown\\[${client}\\]:45678`))
  await postfix.waitForMessage(`Subject: ${client}`)
})

test('X2, J12: mail for another domain reaches Exim behind its hosts_proxy, which names the client', async () => {
  expect(await send('ann@example.net', '203.0.113.84')).toMatchObject({ code: 0 })
  await exim.waitForLog('the client', /<= bob@example\.net H=\S* ?(?:\(\S+\) )?\[203\.0\.113\.84\]/)
  await exim.waitForMessage('Subject: 203.0.113.84')
})

test('TR-03: mail for anybody else is refused', async () => {
  expect((await send('ann@elsewhere.example', '203.0.113.85')).stdout).toContain('<** 550 5.7.1')
})
