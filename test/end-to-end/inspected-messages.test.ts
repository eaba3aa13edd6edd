// Messages that are looked at as a whole: SPF and DMARC of the client of the header, with a DNS server of the tests, and
// Debian's rspamd. The tests play the balancer.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startStubDns, type StubDns } from '../../packages/gateway/test/kit/stub-dns.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { makeCertificate } from '../kit/certificates.ts'
import { readMessage } from '../kit/mailbox.ts'
import { freePort, freePorts } from '../kit/ports.ts'
import { ends, v2 } from '../kit/proxy-header.ts'
import { startRspamd, testPattern, type Rspamd } from '../kit/rspamd.ts'

const ports = await freePorts('admin', 'mx', 'imap')
let dns: StubDns
let rspamd: Rspamd
let gateway: Gateway

beforeAll(async () => {
  dns = await startStubDns({
    'strict.example': ['TXT v=spf1 ip4:203.0.113.7 -all'],
    '_dmarc.strict.example': ['TXT v=DMARC1; p=reject'],
  })
  rspamd = await startRspamd(await freePort())
  const { cert, key } = await makeCertificate()
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    `[dns]\nservers = ["${dns.address}"]\ntimeout = "20s"\nclient-names = false`,
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    listener('mx', { protocol: 'smtp', bind: ports.mx, mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
    '[smtp]\nlocal-domains = ["example.org"]',
    '[authentication]\ncheck = true\non-dmarc-fail = "reject"\ntimeout = "1m"',
    `[scanner]\nurl = "${rspamd.url}"\ntimeout = "1m"\nwhen-down = "defer"`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
  await rspamd?.stop()
  dns?.close()
})

/** Delivers one message; the reply to its end. */
async function deliver(source: string, from: string, subject: string, body = 'hello', more = ''): Promise<string> {
  const connection = await Dialogue.connect(ports.mx, { timeoutMs: 60_000 })
  connection.send(v2({ ...ends, source }))
  await connection.reply()
  await connection.ask('EHLO host.sender.example')
  await connection.ask(`MAIL FROM:<${from}>`)
  await connection.ask(`RCPT TO:<${ann.name}>`)
  await connection.ask('DATA')
  const fields = `From: <${from}>\r\nTo: <${ann.name}>\r\nSubject: ${subject}\r\n${more}`
  const { code, text } = await connection.ask(`${fields}\r\n${body}\r\n.`)
  connection.destroy()
  return `${code} ${text}`
}

describe('SPF and DMARC', () => {
  test('the client of the header is judged: what passes has our field on top, and a forged one is gone', async () => {
    const forged = 'Authentication-Results: mx.example.org; spf=pass\r\n'
    const reply = await deliver('203.0.113.7', 'eve@strict.example', 'verified', 'hello', `${forged}X-Mine: 1\r\n`)
    expect(reply).toMatch(/^250 /)
    const message = await readMessage(ports.imap, 'verified')
    const fields = message.match(/^Authentication-Results:(?:[^\r\n]|\r\n[ \t])*/gm) ?? []
    expect(fields).toHaveLength(1)
    expect(fields[0]).toMatch(/^Authentication-Results: mx\.example\.org;/)
    expect(fields[0]).toMatch(/spf=pass/)
    expect(fields[0]).toMatch(/dmarc=pass/)
    expect(message.indexOf('Authentication-Results:')).toBeLessThan(message.indexOf('Received:'))
    const record = await gateway.waitForLog('the look', ({ event }) => event === 'message.inspected')
    expect(record).toMatchObject({ client: '203.0.113.7', spf: 'pass', dmarc: 'pass', action: 'no action' })
  })

  test('another client in the name of a domain that asks to reject is refused', async () => {
    expect(await deliver('198.51.100.9', 'eve@strict.example', 'forged')).toMatch(
      /^550 5\.7\.26 .*strict\.example does not vouch/,
    )
    const record = await gateway.waitForLog(
      'the refusal',
      ({ event, reply }) => event === 'smtp.transaction' && reply === 550,
    )
    expect(record['msg']).toContain('authentication.on-dmarc-fail')
  })

  test('a message that is too large for memory is verified from its file, and arrives whole', async () => {
    const body = Array.from({ length: 12_000 }, (_, n) => `line ${n} of a message that does not fit in memory`).join(
      '\r\n',
    )
    expect(await deliver('203.0.113.7', 'eve@strict.example', 'large', body)).toMatch(/^250 /)
    const message = await readMessage(ports.imap, 'large')
    expect(message).toContain('dmarc=pass')
    expect(message.endsWith(`${body}\r\n`)).toBe(true)
  })
})

describe('rspamd', () => {
  test('is told the client of the header, how it greeted, and the envelope', async () => {
    await deliver('203.0.113.20', 'who@sender.example', 'told')
    // It writes its line behind its answer.
    await expect.poll(() => rspamd.log()).toMatch(/ip: 203\.0\.113\.20, from: <who@sender\.example>/)
    expect(rspamd.log()).toMatch(new RegExp(`rcpts: <${ann.name}>`))
  })

  test('reject is 550, in its own words', async () => {
    expect(await deliver('203.0.113.20', 'who@sender.example', 'gtube', testPattern('reject'))).toBe(
      '550 5.7.1 Gtube pattern',
    )
  })

  test('add header marks the message', async () => {
    expect(await deliver('203.0.113.20', 'who@sender.example', 'marked', testPattern('add header'))).toMatch(/^250 /)
    expect(await readMessage(ports.imap, 'marked')).toMatch(/^X-Spam: Yes\r$/m)
  })

  test('rewrite subject writes another one', async () => {
    const reply = await deliver('203.0.113.20', 'who@sender.example', 'renamed', testPattern('rewrite subject'))
    expect(reply).toMatch(/^250 /)
    const message = await readMessage(ports.imap, '*** SPAM *** renamed')
    expect(message.match(/^Subject:/gm)).toHaveLength(1)
  })

  test('that is gone: when-down = "defer" asks to come again', async () => {
    await rspamd.stop()
    expect(await deliver('203.0.113.20', 'who@sender.example', 'later')).toMatch(/^451 4\.7\.1 /)
    const record = await gateway.waitForLog(
      'the look',
      ({ event, scanner }) => event === 'message.inspected' && scanner !== undefined,
    )
    expect(record).toMatchObject({ level: 'warn' })
  })
})
