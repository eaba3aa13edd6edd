// S10: the client's name, asked of a DNS server, in what is stored and logged.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { readMessage } from '../kit/mailbox.ts'
import { makeCertificate } from '../kit/certificates.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, v1, v2Local } from '../kit/proxy-header.ts'
import { startStubDns, type StubDns } from '../../packages/gateway/test/kit/stub-dns.ts'

const ports = await freePorts('admin', 'mx', 'imap')
let dns: StubDns
let gateway: Gateway

beforeAll(async () => {
  dns = await startStubDns({
    '7.113.0.203.in-addr.arpa': ['PTR mail.sender.example'],
    'mail.sender.example': ['A 203.0.113.7'],
    '8.113.0.203.in-addr.arpa': ['PTR mail.bank.example'],
    'mail.bank.example': ['A 198.51.100.9'],
    '9.113.0.203.in-addr.arpa': ['silence'],
  })
  const { cert, key } = await makeCertificate()
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    '[policy]\nignored-hosts = ["10.0.0.0/24"]',
    `[dns]\nservers = ["${dns.address}"]\ntimeout = "2s"\ntries = 1`,
    listener('mx', { protocol: 'smtp', bind: ports.mx, mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
  dns?.close()
})

async function deliver(source: string, subject: string): Promise<void> {
  const client = await Dialogue.connect(ports.mx)
  client.send(v1({ ...ends, source }))
  await client.reply()
  await client.ask('EHLO client.example.net')
  await client.ask('MAIL FROM:<x@example.net>')
  await client.ask(`RCPT TO:<${ann.name}>`)
  await client.ask('DATA')
  expect((await client.ask(`Subject: ${subject}\r\n\r\nbody\r\n.`)).code).toBe(250)
  client.destroy()
}

describe('S10: Received names the client of the header', () => {
  test.each([
    ['whose name leads back', '203.0.113.7', '(mail.sender.example [203.0.113.7])'],
    ['whose name is another’s', '203.0.113.8', '([203.0.113.8])'],
    ['whose name servers say nothing', '203.0.113.9', '([203.0.113.9])'],
  ])('%s', async (what, source, words) => {
    await deliver(source, what)
    expect(await readMessage(ports.imap, what)).toContain(`Received: from client.example.net ${words}\r\n`)
  })

  test('and so does the record of the transaction', async () => {
    await deliver('203.0.113.7', 'the record')
    const record = await gateway.waitForLog(
      'the transaction',
      ({ event, clientName }) => event === 'smtp.transaction' && clientName !== undefined,
    )
    expect(record).toMatchObject({ client: '203.0.113.7', clientName: 'mail.sender.example' })
  })
})

test('S9: ignored hosts and health checks cause no lookup', async () => {
  await deliver('10.0.0.9', 'ignored')
  const check = await Dialogue.connect(ports.mx)
  check.send(v2Local)
  await check.reply()
  check.destroy()
  // A control that comes later, and is asked about.
  await deliver('203.0.113.44', 'control')
  expect(dns.questions).toContain('PTR 44.113.0.203.in-addr.arpa')
  expect(dns.questions.filter((question) => question.includes('.10.in-addr') || question.includes('.127.'))).toEqual([])
})
