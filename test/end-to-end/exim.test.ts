// Exim on both sides of us. It is strict about when a client may speak, and the only other server with PRDR.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { startExim, type Exim } from '../kit/exim.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { readMessage } from '../kit/mailbox.ts'
import { freePorts } from '../kit/ports.ts'
import { send, sendToEach, sent } from '../kit/relay.ts'
import { swaks } from '../kit/swaks.ts'

describe('as a backend', () => {
  let exim: Exim
  const backend = (service: keyof Exim['ports']) => ({ host: '127.0.0.1', port: exim.ports[service] })

  beforeAll(async () => {
    exim = await startExim({ certificate: await makeCertificate('localhost') })
  })
  afterAll(async () => {
    await exim?.stop()
  })

  test.each([
    ['proxy-v1', '203.0.113.31'],
    ['proxy-v2', '203.0.113.32'],
    ['proxy-v2', '2001:db8::32'],
  ] as const)('X2: %s: its own log names the client %s', async (announcement, client) => {
    const text = `announced by ${announcement} for ${client}`
    expect(await send(backend('proxied'), { announcement, client, text, maxProxyHeaderBytes: 232 })).toEqual(sent)
    expect(await exim.waitForMessage(`Subject: ${text}`)).toContain(`[${client}]`)
    await exim.waitForLog(client, new RegExp(`<= bob@example\\.com .*\\[${client}\\]:45678 .*PRX=127\\.0\\.0\\.1`))
  })

  test.each([
    ['DATA', false],
    ['BDAT', true],
  ])('under TLS, by %s', async (how, prefersChunking) => {
    expect(await send(backend('plain'), { tls: 'optional', prefersChunking, text: `by ${how}` })).toEqual(sent)
    const message = await exim.waitForMessage(`Subject: by ${how}`)
    expect(message).toMatch(/with esmtps/)
    await exim.waitForLog('the message', prefersChunking ? / X=TLS.* K S=/ : / X=TLS.* S=/)
  })

  test('what it says to a recipient is what our client hears', async () => {
    expect(await send(backend('plain'), { to: 'nobody@example.org' })).toMatchObject({ toRecipient: 550, failures: [] })
    expect(await send(backend('plain'), { to: 'later@example.org' })).toMatchObject({ toRecipient: 451, failures: [] })
    expect(await send(backend('plain'), { to: 'ann@far.example' })).toMatchObject({ toRecipient: 550, failures: [] })
  })

  test('DSN: it reports what the client asked for, in the client’s own terms, undecoded', async () => {
    const dsn = { notify: ['SUCCESS', 'FAILURE'], originalRecipient: 'rfc822;ann+2Blist@example.org' } as const
    const envelope = { reversePath: ann.name, dsn: { returns: 'HDRS', envelopeId: 'id+2B1' } } as const
    expect(await send(backend('plain'), { dsn, envelope, text: 'with DSN' })).toEqual(sent)
    const report = await exim.waitForMessage('Action: delivered')
    expect(report).toMatch(/^Original-Envelope-ID: id\+2B1$/m)
    expect(report).toMatch(/^Original-Recipient: rfc822;ann\+2Blist@example\.org$/m)
  })

  test('SMTPUTF8', async () => {
    const envelope = { isSmtpUtf8: true, body: '8BITMIME', reversePath: 'jörg@example.com' } as const
    expect(await send(backend('plain'), { envelope, to: 'änn@example.org', text: 'in UTF-8' })).toEqual(sent)
    expect(await exim.waitForMessage('Subject: in UTF-8')).toMatch(/with utf8esmtp/)
  })

  test.each([
    ['DATA', false],
    ['BDAT', true],
  ])('PRDR, by %s: a verdict for each, and each has what it was told', async (how, prefersChunking) => {
    const recipients = ['ann@example.org', 'picky@example.org', 'busy@example.org']
    const text = `to each by ${how}`
    expect(await sendToEach(backend('plain'), recipients, { prefersChunking, text })).toEqual([250, 550, 450])
    expect(await exim.waitForMessage(`Subject: ${text}`)).toContain('Envelope-to: ann@example.org\n')
    expect(exim.messages().filter((each) => each.includes(`Subject: ${text}`))).toHaveLength(1)
  })

  test.each([
    ['DATA', false],
    ['BDAT', true],
  ])('SM-03: a message that tries to be two stays one, by %s', async (how, prefersChunking) => {
    const fakes = ['\n.\n', '\n.\r\n', '\r\n.\n', '\r\n.\r\r\n', '\r.\r', '\r.\r\n', '\r\n.\r', '\n..\r\n']
    const inner = 'MAIL FROM:<evil@example.net>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\n'
    for (const [index, fake] of fakes.entries()) {
      const text = `fake ${index} by ${how}\r\n\r\nbody${fake}${inner}end of ${index} by ${how}`
      expect(await send(backend('plain'), { text, prefersChunking })).toEqual(sent)
      expect(await exim.waitForMessage(`end of ${index} by ${how}`)).toContain(`Subject: fake ${index} by ${how}\n`)
    }
    expect(exim.log().filter((line) => line.includes('<= evil@example.net'))).toEqual([])
  })
})

describe('as the server that sends', () => {
  const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
  let gateway: Gateway
  let exim: Exim
  let imapPort = 0

  beforeAll(async () => {
    const ports = await freePorts('admin', 'smtp', 'lmtp', 'imap')
    imapPort = ports.imap
    const { cert, key } = await makeCertificate()
    gateway = await startGateway({
      adminPort: ports.admin,
      accounts: [ann, bob],
      config: [
        '[smtp]\nlocal-domains = ["example.org", "example.net"]',
        listener('mx', { protocol: 'smtp', bind: ports.smtp, tls: 'starttls', mode: 'off' }),
        listener('lmtp', { protocol: 'lmtp', bind: ports.lmtp, mode: 'off' }),
        listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'off', tls: 'starttls' }),
        `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
      ].join('\n\n'),
    })
    exim = await startExim({
      domain: 'kept.test',
      transports: {
        'example.org': { port: ports.smtp, protocol: 'smtp' },
        'example.net': { port: ports.lmtp, protocol: 'lmtp' },
      },
    })
  })
  afterAll(async () => {
    await Promise.all([exim?.stop(), gateway?.stop()])
  })

  test('delivers under TLS in chunks, and takes a verdict for each recipient (PRDR)', async () => {
    const to = `${ann.name},${bob.name}`
    expect(await swaks({ port: exim.ports.plain, to, subject: 'from Exim' })).toMatchObject({ code: 0 })
    for (const account of [ann, bob]) {
      expect(await readMessage(imapPort, 'from Exim', account)).toContain('with ESMTPS')
      // X=: TLS. K: CHUNKING. PRDR: two verdicts were taken.
      await exim.waitForLog(account.name, new RegExp(`[-=]> ${account.name} .* X=TLS.* PRDR K C="250 `))
    }
  })

  test('bounces what we refuse for good', async () => {
    expect(await swaks({ port: exim.ports.plain, to: 'noone@example.org' })).toMatchObject({ code: 0 })
    await exim.waitForLog('a failure', /\*\* noone@example\.org .*550 5\.1\.1/)
  })
})
