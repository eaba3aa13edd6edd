// Postfix on both sides of us: as the backend of a relay, and as the server that sends.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { readMessage } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { startPostfix, type Postfix } from '../kit/postfix.ts'
import { send, sent } from '../kit/relay.ts'
import { swaks } from '../kit/swaks.ts'

describe('as a backend', () => {
  let postfix: Postfix
  const backend = (service: keyof Postfix['ports']) => ({ host: '127.0.0.1', port: postfix.ports[service] })

  beforeAll(async () => {
    postfix = await startPostfix({ certificate: await makeCertificate('localhost') })
  })
  afterAll(async () => {
    await postfix?.stop()
  })

  test.each([
    ['proxied', 'proxy-v1', '203.0.113.21'],
    ['proxied', 'proxy-v2', '203.0.113.22'],
    ['proxied', 'proxy-v2', '2001:db8::22'],
    ['xclient', 'xclient', '203.0.113.23'],
    ['xclient', 'xclient', '2001:db8::23'],
  ] as const)('X2: %s, %s: its own log names the client %s', async (service, announcement, client) => {
    const text = `announced by ${announcement} for ${client}`
    expect(await send(backend(service), { announcement, client, text })).toEqual(sent)
    expect(await postfix.waitForMessage(text)).toContain(`[${client.includes(':') ? 'IPv6:' : ''}${client}]`)
    await postfix.waitForLog(client, new RegExp(`client=unknown\\[${client}\\]:45678`))
  })

  test('XFORWARD is for its log: the client is named there, and we stand in the message', async () => {
    const options = { announcement: 'xforward', client: '203.0.113.24', text: 'by XFORWARD' } as const
    expect(await send(backend('xclient'), options)).toEqual(sent)
    expect(await postfix.waitForMessage('Subject: by XFORWARD')).toContain('[127.0.0.1]')
    await postfix.waitForLog('the client', /orig_client=unknown\[203\.0\.113\.24\]/)
  })

  test('PO-05: without the header that it wants no mail goes', async () => {
    const toRecipient = await send(backend('proxied'), { limits: { greetingPatienceMs: 2_000 } })
    expect(toRecipient).toMatchObject({ toRecipient: 451, toMessage: undefined })
  })

  test('what it says to a recipient is what our client hears', async () => {
    expect(await send(backend('plain'), { to: 'nobody@example.org' })).toMatchObject({ toRecipient: 550, failures: [] })
    expect(await send(backend('plain'), { to: 'later@example.org' })).toMatchObject({ toRecipient: 450, failures: [] })
    expect(await send(backend('plain'), { to: 'ann@far.example' })).toMatchObject({ toRecipient: 554, failures: [] })
  })

  test('DSN: it reports what the client asked for, in the client’s own terms', async () => {
    const dsn = { notify: ['SUCCESS', 'FAILURE'], originalRecipient: 'rfc822;ann+2Blist@example.org' } as const
    const envelope = { reversePath: ann.name, dsn: { returns: 'HDRS', envelopeId: 'id+2B1' } } as const
    expect(await send(backend('plain'), { dsn, envelope, text: 'with DSN' })).toEqual(sent)
    const report = await postfix.waitForMessage('Action: delivered')
    expect(report).toMatch(/^Original-Envelope-Id: id\+1$/m)
    expect(report).toMatch(/^Original-Recipient: rfc822; ?ann\+list@example\.org$/m)
  })

  test('under TLS', async () => {
    expect(await send(backend('plain'), { tls: 'optional', text: 'under TLS' })).toEqual(sent)
    expect(await postfix.waitForMessage('Subject: under TLS')).toContain('with ESMTPS')
  })

  test.each([
    ['DATA', false],
    ['BDAT', true],
  ])('SM-03: a message that tries to be two stays one, by %s', async (how, prefersChunking) => {
    const fakes = ['\n.\n', '\n.\r\n', '\r\n.\n', '\r\n.\r\r\n', '\r.\r', '\r.\r\n', '\r\n.\r', '\n..\r\n']
    const inner = `MAIL FROM:<evil@example.net>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: smuggled by ${how}\r\n\r\n`
    for (const [index, fake] of fakes.entries()) {
      const text = `fake ${index} by ${how}\r\n\r\nbody${fake}${inner}end of ${index} by ${how}`
      expect(await send(backend('plain'), { text, prefersChunking })).toEqual(sent)
      expect(await postfix.waitForMessage(`end of ${index} by ${how}`)).toContain(`Subject: fake ${index} by ${how}\n`)
    }
    // Each is one message, the inner envelope a part of its text.
    expect(postfix.messages().filter((each) => each.includes(`Subject: smuggled by ${how}`))).toHaveLength(fakes.length)
    expect(postfix.log().filter((line) => line.includes('from=<evil@example.net>'))).toEqual([])
  })
})

describe('as the server that sends', () => {
  const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
  let gateway: Gateway
  let postfix: Postfix
  let imapPort = 0

  beforeAll(async () => {
    const ports = await freePorts('admin', 'smtp', 'lmtp', 'imap')
    imapPort = ports.imap
    const { cert, key } = await makeCertificate()
    gateway = await startGateway({
      adminPort: ports.admin,
      accounts: [ann, bob],
      config: [
        listener('mx', { protocol: 'smtp', bind: ports.smtp, tls: 'starttls', mode: 'off' }),
        listener('lmtp', { protocol: 'lmtp', bind: ports.lmtp, mode: 'off' }),
        listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'off', tls: 'starttls' }),
        `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
      ].join('\n\n'),
    })
    postfix = await startPostfix({
      transports: {
        'example.org': `smtp:[127.0.0.1]:${ports.smtp}`,
        'bob@example.org': `lmtp:inet:127.0.0.1:${ports.lmtp}`,
      },
      main: ['smtp_tls_security_level = may'],
    })
  })
  afterAll(async () => {
    await Promise.all([postfix?.stop(), gateway?.stop()])
  })

  test('delivers by SMTP, under the TLS that it was offered', async () => {
    expect(await swaks({ port: postfix.ports.plain, subject: 'from Postfix' })).toMatchObject({ code: 0 })
    expect(await readMessage(imapPort, 'from Postfix')).toContain('with ESMTPS')
  })

  test('delivers by LMTP', async () => {
    expect(await swaks({ port: postfix.ports.plain, to: bob.name, subject: 'by LMTP' })).toMatchObject({ code: 0 })
    expect(await readMessage(imapPort, 'by LMTP', bob)).toContain('with LMTP')
  })

  test('bounces what we refuse for good', async () => {
    expect(await swaks({ port: postfix.ports.plain, to: 'noone@example.org' })).toMatchObject({ code: 0 })
    expect(await postfix.waitForLog('a bounce', /to=<noone@example\.org>.*dsn=5\.1\.1, status=bounced/)).toContain(
      'said: 550 5.1.1',
    )
  })

  test('a batch of messages and recipients over one connection', async () => {
    const batch = '-c -s 2 -m 20 -f bob@example.net -t ann@example.org'.split(' ')
    expect(await peer('smtp-source', [...batch, `127.0.0.1:${postfix.ports.plain}`])).toMatchObject({ code: 0 })
    await eventually('all of them to be delivered', () => {
      const isDelivery = /to=<ann@example\.org>.*status=sent \(250 2\.0\.0 OK, delivered/
      return postfix.log().filter((line) => isDelivery.test(line)).length >= 20 || undefined
    })
  })
})
