// The relay against servers of others: Postfix's smtp-sink, aiosmtpd as a reader of our PROXY header, and this gateway.
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { readMessage } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { freePort, freePorts } from '../kit/ports.ts'
import { send, sent } from '../kit/relay.ts'
import { start } from '../kit/run.ts'
import { startSmtpSink } from '../kit/smtp-sink.ts'

describe('smtp-sink', () => {
  test('takes a message that tries to be two, as one and without a bare line end', async () => {
    const sink = await startSmtpSink()
    expect(await send(sink, { text: 'a\n.\r\nb\r.\rc\r\n.\nQUIT' })).toEqual(sent)
    const [message = '', ...others] = await eventually('the message', () =>
      sink.messages().some((each) => each.includes('QUIT')) ? sink.messages() : undefined,
    )
    expect(others).toEqual([])
    // It writes lines as its system does.
    expect(message).toContain('\na\n.\nb . c\n.\nQUIT\n')
  })

  test('XCLIENT tells it how the client greeted, which is all that it asks for', async () => {
    const sink = await startSmtpSink()
    const announcement = { announcement: 'xclient', isAnnouncementOptional: true } as const
    expect(await send(sink, announcement)).toEqual(sent)
    const [message = ''] = await eventually('the message', () =>
      sink.messages().length > 0 ? sink.messages() : undefined,
    )
    expect(message).toMatch(/^X-Helo-Args: gate\.example\.org$/m)
    expect(message).toMatch(/^X-Rcpt-Args: <ann@example\.org>$/m)
    // Without ADDR every client would be us.
    expect(await send(sink, { announcement: 'xclient' })).toMatchObject({
      toRecipient: 451,
      failures: ['SMTP_UPSTREAM_REFUSES_US'],
    })
  })

  test('XFORWARD is taken where it is offered; where it is hidden no mail goes', async () => {
    expect(await send(await startSmtpSink(), { announcement: 'xforward' })).toEqual(sent)
    expect(await send(await startSmtpSink('-F'), { announcement: 'xforward' })).toMatchObject({
      toRecipient: 451,
      failures: ['SMTP_UPSTREAM_REFUSES_US'],
    })
  })

  test.each([
    ['RCPT is deferred', ['-r', 'RCPT'], { toRecipient: 450 }],
    ['RCPT is refused', ['-f', 'RCPT'], { toRecipient: 500 }],
    ['DATA is refused', ['-f', 'DATA'], { toMessage: 500 }],
    ['the message is deferred', ['-r', '.'], { toMessage: 450 }],
    ['the message is refused', ['-f', '.'], { toMessage: 500 }],
    ['BK-02: it says 421 instead of a greeting', ['-Q', 'connect'], { toRecipient: 451 }],
    ['it hangs up at RCPT', ['-q', 'RCPT'], { toRecipient: 451, failures: ['SMTP_UPSTREAM_LOST'] }],
    ['it hangs up at DATA', ['-q', 'DATA'], { toMessage: 451, failures: ['SMTP_UPSTREAM_LOST'] }],
    ['BK-04: it hangs up behind the dot', ['-q', '.'], { toMessage: 451, failures: ['SMTP_UPSTREAM_IN_DOUBT'] }],
    ['it says 421 to the dot', ['-Q', '.'], { toMessage: 451, failures: ['SMTP_UPSTREAM_UNAVAILABLE'] }],
  ] as const)('%s', async (_, args, outcome) => {
    const { toMessage, ...before } = await send(await startSmtpSink(...args))
    expect({ toMessage, ...before }).toMatchObject(outcome)
  })

  test('LMTP: a message, and one that is refused', async () => {
    expect(await send(await startSmtpSink('-L'), { protocol: 'lmtp' })).toEqual(sent)
    expect(await send(await startSmtpSink('-L', '-f', '.'), { protocol: 'lmtp' })).toMatchObject({ toMessage: 500 })
  })
})

describe('aiosmtpd reads the PROXY header', () => {
  const script = `
import asyncio, sys
from aiosmtpd.smtp import SMTP
class Handler:
    async def handle_PROXY(self, server, session, envelope, data):
        print(data.version, data.src_addr, data.src_port, data.dst_addr, data.dst_port, flush=True)
        return True
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), proxy_protocol_timeout=5), '127.0.0.1', int(sys.argv[1]))
    print('ready', flush=True)
    await server.serve_forever()
asyncio.run(main())
`
  let port = 0
  let child: ChildProcess
  let lines: AsyncIterator<string>
  const nextLine = async (): Promise<string> => ((await lines.next()).value as string | undefined) ?? '(the end)'

  beforeAll(async () => {
    port = await freePort()
    // The system's Python, for which aiosmtpd is a package.
    child = start('/usr/bin/python3', ['-c', script, `${port}`])
    if (child.stdout === null) throw new Error('python3 has no output')
    lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const first = await nextLine()
    if (first !== 'ready') throw new Error(`aiosmtpd did not start: ${first}`)
  })
  afterAll(() => {
    child?.kill()
  })

  test.each([
    ['proxy-v1', '203.0.113.7', '1 203.0.113.7 45678 198.51.100.5 25'],
    ['proxy-v1', '2001:db8::7', '1 2001:db8::7 45678 2001:db8::1 25'],
    ['proxy-v2', '203.0.113.7', '2 203.0.113.7 45678 198.51.100.5 25'],
    ['proxy-v2', '2001:db8::7', '2 2001:db8::7 45678 2001:db8::1 25'],
  ] as const)('PO-01: %s for %s', async (announcement, client, told) => {
    expect(await send({ host: '127.0.0.1', port }, { announcement, client })).toEqual(sent)
    expect(await nextLine()).toBe(told)
  })
})

describe('this gateway as a backend', () => {
  let gateway: Gateway
  let port = 0
  let imapPort = 0

  beforeAll(async () => {
    const ports = await freePorts('admin', 'smtp', 'imap')
    port = ports.smtp
    imapPort = ports.imap
    const { cert, key } = await makeCertificate()
    const tables = [
      '[proxy]\ntrusted-networks = ["127.0.0.1"]',
      listener('mx', { protocol: 'smtp', bind: ports.smtp, tls: 'starttls', mode: 'require' }),
      listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'off', tls: 'starttls' }),
      `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    ]
    gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
  })
  afterAll(async () => {
    await gateway?.stop()
  })

  test.each(['off', 'optional'] as const)('PO-04: header, TLS %s, and mail of the real client', async (tls) => {
    const backend = { host: '127.0.0.1', port }
    expect(await send(backend, { announcement: 'proxy-v2', tls, text: `through ${tls}` })).toEqual(sent)
    const message = await readMessage(imapPort, `through ${tls}`)
    expect(message).toContain('[203.0.113.7]')
    expect(message).toContain(tls === 'off' ? 'with ESMTP' : 'with ESMTPS')
  })

  test('BK-10: a certificate that nobody signed is not taken where TLS is required', async () => {
    const backend = { host: '127.0.0.1', port }
    expect(await send(backend, { announcement: 'proxy-v2', tls: 'starttls' })).toMatchObject({
      toRecipient: 451,
      failures: ['SMTP_UPSTREAM_TLS'],
    })
  })

  test('its own words for an unknown recipient reach the client', async () => {
    const backend = { host: '127.0.0.1', port }
    expect(await send(backend, { announcement: 'proxy-v2', to: 'nobody@example.org' })).toMatchObject({
      toRecipient: 550,
      failures: [],
    })
  })
})
