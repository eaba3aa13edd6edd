// TLS after the header: implicit, by STARTTLS, and ended at the balancer; and what must not survive the change.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { readMessage } from '../kit/mailbox.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { startPrefixer } from '../kit/prefixer.ts'
import { ends, sslTlv, tlv, v1, v2 } from '../kit/proxy-header.ts'
import { proxyV1, proxyV2, swaks } from '../kit/swaks.ts'

const ports = await freePorts(
  'admin',
  'smtp',
  'submission',
  'submissions',
  'imap',
  'imaps',
  'doubted',
  'direct',
  'directTls',
)
let gateway: Gateway

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, tls: 'starttls', mode: 'require' }),
    listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'starttls', mode: 'require' }),
    listener('submissions', { protocol: 'submission', bind: ports.submissions, tls: 'implicit', mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'require' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'require' }),
    listener('doubted', {
      protocol: 'imap',
      bind: ports.doubted,
      tls: 'starttls',
      mode: 'require',
      proxy: 'tls-networks = ["127.0.0.2"]',
    }),
    listener('direct', { protocol: 'imap', bind: ports.direct, tls: 'starttls', mode: 'off' }),
    listener('direct-tls', { protocol: 'submission', bind: ports.directTls, tls: 'implicit', mode: 'mixed' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    '[limits]\ntls-handshake-timeout = "1m"',
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
})

const login = `AUTH PLAIN ${Buffer.from(`\0${ann.name}\0${ann.password}`).toString('base64')}`
const tlsClaim = sslTlv(1, 0, [tlv(0x21, 'TLSv1.3'), tlv(0x23, 'TLS_AES_128_GCM_SHA256')])

describe('implicit', () => {
  test.each([
    ['v1', v1()],
    ['v2', v2(ends, { tlvs: [tlv(0x02, 'mx.example.org')], crc: true })],
  ])('J3, S21: the header in the clear, then the handshake: %s', async (_, header) => {
    const client = await Dialogue.connect(ports.submissions)
    client.send(header)
    await client.startTls()
    expect((await client.reply()).code).toBe(220)
    const { lines } = await client.ask('EHLO client.example.net')
    expect(lines[0]).toContain('203.0.113.7')
    expect(lines).toContain('AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN')
    expect(lines).not.toContain('STARTTLS')
    expect((await client.ask(login)).code).toBe(235)
    await client.ask('QUIT')
    await client.end()
  })

  test('J3, S21: swaks, with a header and TLS on connect, submits a message', async () => {
    const auth = ['--auth', 'LOGIN', '--auth-user', ann.name, '--auth-password', ann.password, '--from', ann.name]
    const args = ['--tls-on-connect', ...proxyV1('203.0.113.20'), ...auth]
    expect(await swaks({ port: ports.submissions, subject: 'implicit TLS', args })).toMatchObject({ code: 0 })
    const message = await readMessage(ports.direct, 'implicit TLS')
    expect(message).toContain('[203.0.113.20]')
    expect(message).toMatch(/with ESMTPSA\b/)
  })

  test('J4, S21: 993 likewise', async () => {
    const client = await Dialogue.connect(ports.imaps)
    client.send(v2())
    await client.startTls()
    expect(await client.line()).toMatch(/^\* OK /)
    expect((await client.imap(`a LOGIN ${ann.name} "${ann.password}"`)).at(-1)).toMatch(/^a OK/)
    await client.imap('b LOGOUT')
    await client.end()
  })

  test('S21: without a header there is no handshake, and nothing in the clear that a client would take for one', async () => {
    const { stdout, stderr, code } = await peer('openssl', [
      's_client',
      '-connect',
      `127.0.0.1:${ports.submissions}`,
      '-quiet',
    ])
    expect(code).not.toBe(0)
    expect(stdout).toBe('')
    expect(stderr).not.toContain('wrong version number')
    await gateway.waitForLog(
      'what was wrong',
      (record) =>
        record.event === 'proxy.refused' &&
        record['reason'] === 'proxy-missing' &&
        record['listener'] === 'submissions',
    )
  })

  test('W4, H1: a header of an untrusted peer before TLS is told in the log, with the mend', async () => {
    const client = await Dialogue.connect(ports.directTls, { from: '127.0.0.66' })
    client.send(v1())
    await client.end()
    const refused = await gateway.waitForLog(
      'the untrusted header',
      (record) => record['listener'] === 'direct-tls' && record['reason'] === 'proxy-untrusted',
    )
    expect(refused.msg).toContain('add 127.0.0.66 to trusted-networks')
  })

  test('bytes that are no ClientHello end one connection and no more', async () => {
    for (const bytes of ['EHLO client.example.net\r\n', Buffer.from('1603010005ffffffffff', 'hex'), '\0']) {
      const client = await Dialogue.connect(ports.submissions)
      client.send(v1())
      client.send(bytes)
      client.finish()
      await client.end()
    }
    expect(gateway.workers()).toHaveLength(2)
  })
})

describe('STARTTLS', () => {
  test('J5: SMTP, with openssl, swaks and Python: the client stays the one of the header', async () => {
    const subject = 'STARTTLS behind v2'
    const args = ['--tls', ...proxyV2('2001:db8::20')]
    expect(await swaks({ port: ports.smtp, subject, args })).toMatchObject({ code: 0 })
    const message = await readMessage(ports.direct, subject)
    expect(message).toContain('[IPv6:2001:db8::20]')
    expect(message).toMatch(/with ESMTPS\b/)
  })

  test('J5: IMAP: capabilities before and after', async () => {
    const client = await Dialogue.connect(ports.imap)
    client.send(v2())
    expect(await client.line()).toMatch(/^\* OK /)
    const before = (await client.imap('a CAPABILITY'))[0] ?? ''
    expect(before).toMatch(/\bSTARTTLS\b/)
    expect(before).toMatch(/\bLOGINDISABLED\b/)
    expect((await client.imap(`b LOGIN ${ann.name} "${ann.password}"`)).at(-1)).toMatch(/^b NO /)
    expect((await client.imap('c STARTTLS')).at(-1)).toMatch(/^c OK/)
    await client.startTls()
    const after = (await client.imap('d CAPABILITY'))[0] ?? ''
    expect(after).not.toMatch(/\b(?:STARTTLS|LOGINDISABLED)\b/)
    expect((await client.imap(`e LOGIN ${ann.name} "${ann.password}"`)).at(-1)).toMatch(/^e OK/)
    await client.imap('f LOGOUT')
  })

  test.each([
    ['a whole command', 'EHLO injected.example\r\n'],
    ['half a command', 'MAIL FROM:<inj'],
  ])('SMTP: %s that was sent in the clear behind STARTTLS is never answered inside TLS', async (_, injected) => {
    const client = await Dialogue.connect(ports.submission)
    client.send(v1())
    await client.reply()
    await client.ask('EHLO client.example.net')
    client.send(`STARTTLS\r\n${injected}`)
    const outcome = await saidAfterStartTls(client, async () => {
      client.command('NOOP')
      return (await client.reply()).text
    })
    expect(outcome).not.toMatch(/injected|203\.0\.113\.7|Bad|syntax/i)
    client.destroy()
  })

  test('IMAP: a command that was sent in the clear behind STARTTLS is never answered inside TLS', async () => {
    const client = await Dialogue.connect(ports.imap)
    client.send(v1())
    await client.line()
    client.send(`a STARTTLS\r\ninjected CAPABILITY\r\n`)
    const outcome = await saidAfterStartTls(client, async () => (await client.imap('z NOOP')).join('\n'))
    expect(outcome).not.toContain('injected')
    client.destroy()
  })

  test('SMTP: what was said before it is forgotten, and it is offered once', async () => {
    const client = await Dialogue.connect(ports.submission)
    client.send(v1())
    await client.reply()
    const before = await client.ask('EHLO client.example.net')
    expect(before.lines).toContain('STARTTLS')
    expect(before.text).not.toMatch(/^AUTH/m)
    expect((await client.ask(login)).code).toBeGreaterThanOrEqual(500)
    expect((await client.ask('STARTTLS now')).code).toBe(501)
    expect((await client.ask('STARTTLS')).code).toBe(220)
    await client.startTls()
    expect((await client.ask(`MAIL FROM:<${ann.name}>`)).code).toBe(503)
    const after = await client.ask('EHLO client.example.net')
    expect(after.lines[0]).toContain('203.0.113.7')
    expect(after.lines).not.toContain('STARTTLS')
    expect((await client.ask('STARTTLS')).code).toBeGreaterThanOrEqual(500)
    expect((await client.ask(login)).code).toBe(235)
    client.destroy()
  })

  test.each(['-tls1', '-tls1_1'])('old TLS is refused: %s', async (version) => {
    const { code, stdout } = await peer(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${ports.directTls}`, '-quiet', version, '-cipher', 'ALL:@SECLEVEL=0'],
      { input: '' },
    )
    expect(code).not.toBe(0)
    expect(stdout).toBe('')
  })

  test('submission: Python sends with STARTTLS and AUTH', async () => {
    // smtplib knows no PROXY header, so a tiny balancer of our own puts one before what it says.
    const balancer = await startPrefixer(ports.submission, v2({ ...ends, source: '203.0.113.21' }))
    try {
      const sent = await peer(
        'python3',
        [script('smtp_session.py'), '127.0.0.1', String(balancer.port), ann.name, ann.password, ann.name, ann.name],
        { input: 'Subject: from Python\n\nhello\n' },
      )
      expect(sent).toMatchObject({ code: 0 })
      expect(sent.stdout).toContain('sent')
      expect(await readMessage(ports.direct, 'from Python')).toContain('[203.0.113.21]')
    } finally {
      await balancer.stop()
    }
  })
})

describe('ended at the balancer', () => {
  test('W6: the SSL TLV makes the session secure: no STARTTLS, AUTH offered and taken', async () => {
    const client = await Dialogue.connect(ports.submission)
    client.send(v2(ends, { tlvs: [tlsClaim], crc: true }))
    await client.reply()
    const { lines } = await client.ask('EHLO client.example.net')
    expect(lines).not.toContain('STARTTLS')
    expect(lines).toContain('AUTH SCRAM-SHA-256 PLAIN LOGIN')
    expect((await client.ask(login)).code).toBe(235)
    client.destroy()
  })

  test('W6: without its TLS bit it says nothing, and LOGIN stays disabled', async () => {
    const client = await Dialogue.connect(ports.imap)
    client.send(v2(ends, { tlvs: [sslTlv(0, 1, [])] }))
    await client.line()
    expect((await client.imap('a CAPABILITY'))[0]).toMatch(/\bLOGINDISABLED\b/)
    client.destroy()
  })
})

describe('PX-35: ended at a balancer whose word on TLS a listener does not take', () => {
  test('the session is in the clear: STARTTLS is offered, and no login', async () => {
    const client = await Dialogue.connect(ports.doubted)
    client.send(v2(ends, { tlvs: [tlsClaim], crc: true }))
    await client.line()
    const [capabilities] = await client.imap('a CAPABILITY')
    expect(capabilities).toMatch(/\bLOGINDISABLED\b/)
    expect(capabilities).toMatch(/\bSTARTTLS\b/)
    client.destroy()
  })
})

/** What the server says inside TLS after an injection; an end of the connection says nothing, and is as good. */
async function saidAfterStartTls(client: Dialogue, ask: () => Promise<string>): Promise<string> {
  const first = await client.line().catch(() => '')
  if (!/^(?:220|a OK)/.test(first)) return ''
  try {
    await client.startTls()
    return await ask()
  } catch {
    return ''
  }
}

function script(name: string): string {
  return `${import.meta.dirname}/peers/${name}`
}
