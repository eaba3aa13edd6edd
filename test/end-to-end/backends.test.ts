// The gateway in front of backends: mail goes where its route leads, and each backend hears who the real client is.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { explainHeader, parseProxyHeader } from '../../packages/core/src/index.ts'
import { makeCertificate, type Certificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { startGateway, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { startHaproxy } from '../kit/haproxy.ts'
import { startLoad } from '../kit/load.ts'
import { eventually } from '../kit/patience.ts'
import { freePort, freePorts } from '../kit/ports.ts'
import { startPostfix, type Postfix } from '../kit/postfix.ts'
import { ends, sslTlv, tlv, v2, v2Local } from '../kit/proxy-header.ts'
import { startSmtpSink } from '../kit/smtp-sink.ts'
import { proxyV1, proxyV2, swaks } from '../kit/swaks.ts'

interface BackendText {
  readonly ports: readonly number[]
  readonly protocol?: 'smtp' | 'lmtp'
  readonly more?: string
}

function upstream(name: string, { ports, protocol = 'smtp', more = '' }: BackendText): string {
  const backends = JSON.stringify(ports.map((port) => `127.0.0.1:${port}`))
  return `[upstream.${name}]\nprotocol = "${protocol}"\nbackends = ${backends}\n${more}`
}

function route(conditions: string, to: string): string {
  return `[[route]]\n${conditions}\nto = "${to}"`
}

/** A listener `mx` that trusts this machine, before these upstreams and routes. */
async function startBefore(
  ...tables: readonly string[]
): Promise<Gateway & { readonly port: number; readonly admin: number }> {
  const ports = await freePorts('admin', 'smtp')
  const config = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    ...tables,
  ]
  const gateway = await startGateway({ config: config.join('\n\n'), adminPort: ports.admin, accounts: [] })
  return { ...gateway, port: ports.smtp, admin: ports.admin }
}

async function health(port: number): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const response = await fetch(`http://127.0.0.1:${port}/healthz`)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

describe('Postfix', () => {
  let postfix: Postfix
  let gateway: Awaited<ReturnType<typeof startBefore>>

  beforeAll(async () => {
    postfix = await startPostfix({
      domains: ['v1.example', 'v2.example', 'xclient.example', 'xforward.example', 'plain.example'],
    })
    const { plain, proxied, xclient } = postfix.ports
    const ways: readonly (readonly [name: string, port: number, announce: string])[] = [
      ['v1', proxied, 'announce = "proxy-v1"'],
      ['v2', proxied, 'announce = "proxy-v2"\npass-tlvs = ["unique-id", "authority", "ssl"]\nheader-checksum = true'],
      ['xclient', xclient, 'announce = "xclient"'],
      ['xforward', xclient, 'announce = "xforward"\nidle-time = "1m"'],
      ['plain', plain, ''],
    ]
    gateway = await startBefore(
      ...ways.map(([name, port, more]) => upstream(name, { ports: [port], more })),
      ...ways.map(([name]) => route(`recipients = ["${name}.example"]`, name)),
    )
  })
  afterAll(async () => {
    await gateway?.stop()
    await postfix?.stop()
  })

  test.each([
    ['v1', proxyV2('203.0.113.31'), '203.0.113.31'],
    ['v1', proxyV2('2001:db8::31'), '2001:db8::31'],
    ['v2', proxyV1('203.0.113.32'), '203.0.113.32'],
    ['v2', proxyV2('2001:db8::32'), '2001:db8::32'],
    ['xclient', proxyV2('203.0.113.33'), '203.0.113.33'],
    ['xclient', proxyV1('2001:db8::33'), '2001:db8::33'],
  ] as const)('X2, J12: PROXY in, %s out: its own log names the client', async (way, header, client) => {
    const { code, stdout } = await swaks({
      port: gateway.port,
      to: `ann@${way}.example`,
      subject: client,
      args: header,
    })
    expect({ code, stdout }).toMatchObject({ code: 0 })
    expect(await postfix.waitForMessage(`Subject: ${client}`)).toContain('by postfix.test')
    await postfix.waitForLog(client, new RegExp(`client=unknown\\[${client}\\]:45678`))
  })

  test('X2: XFORWARD is for its log, with the id that stands in our Received', async () => {
    const sent = await swaks({ port: gateway.port, to: 'ann@xforward.example', args: proxyV2('203.0.113.34') })
    expect(sent).toMatchObject({ code: 0 })
    const line = await postfix.waitForLog('the client', /orig_client=unknown\[203\.0\.113\.34\]/)
    const record = await gateway.waitForLog('the transaction', ({ event, client }) => {
      return event === 'smtp.transaction' && client === '203.0.113.34'
    })
    expect(line).toContain(`orig_queue_id=${String(record['transaction'])}`)

    // It is told with each message, so others may go by the same connection: three clients' by those of two workers.
    const processes = [processOf(line)]
    for (const client of ['203.0.113.39', '203.0.113.40']) {
      await swaks({ port: gateway.port, to: 'ann@xforward.example', args: proxyV2(client) })
      processes.push(processOf(await postfix.waitForLog(client, new RegExp(`orig_client=unknown\\[${client}\\]`))))
    }
    expect(processes).not.toContain(undefined)
    expect(new Set(processes).size).toBeLessThan(3)
  })

  test('X2: where nothing announces the client, Received does', async () => {
    const sent = await swaks({
      port: gateway.port,
      to: 'ann@plain.example',
      subject: 'plain',
      args: proxyV2('203.0.113.35'),
    })
    expect(sent).toMatchObject({ code: 0 })
    expect(await postfix.waitForMessage('Subject: plain')).toContain('[203.0.113.35]')
  })

  test('each recipient hears what the backend says', async () => {
    const client = await Dialogue.connect(gateway.port)
    client.send(v1Header('203.0.113.36'))
    expect((await client.reply()).code).toBe(220)
    for (const command of ['EHLO client.example.net', 'MAIL FROM:<bob@example.net>']) {
      client.command(command)
      expect((await client.reply()).code).toBe(250)
    }
    for (const [recipient, code] of [
      ['nobody@plain.example', 550],
      ['later@plain.example', 450],
      ['ann@plain.example', 250],
      ['ann@v1.example', 452],
      ['ann@elsewhere.example', 550],
      ['a%elsewhere.example@plain.example', 550],
    ] as const) {
      client.command(`RCPT TO:<${recipient}>`)
      expect([recipient, (await client.reply()).code]).toEqual([recipient, code])
    }
    client.destroy()
  })
})

describe('backends that fail', () => {
  test('BK-01: one that is down is passed over at once, told once, and back as soon as it answers', async () => {
    const down = await freePort()
    const up = await startSmtpSink()
    const gateway = await startBefore(
      upstream('inside', { ports: [down, up.port], more: '[upstream.inside.health]\ninterval = "500ms"' }),
      route('recipients = ["example.net"]', 'inside'),
    )
    for (let count = 0; count < 4; count++) {
      const startedAt = performance.now()
      expect(await swaks({ port: gateway.port, to: 'ann@example.net', args: proxyV2('203.0.113.41') })).toMatchObject({
        code: 0,
      })
      expect(performance.now() - startedAt).toBeLessThan(15_000)
    }
    const isDown = ({ event, backend }: LogRecord): boolean =>
      event === 'upstream.down' && backend === `127.0.0.1:${down}`
    const told = await gateway.waitForLog('that it is down', isDown)
    expect(told).toMatchObject({ upstream: 'inside', reason: expect.stringContaining('ECONNREFUSED') })
    await expect
      .poll(() => health(gateway.admin))
      .toMatchObject({
        status: 200,
        body: {
          upstreams: {
            inside: [
              { backend: `127.0.0.1:${down}`, state: 'down', reason: expect.stringContaining('ECONNREFUSED') },
              { backend: `127.0.0.1:${up.port}`, state: 'up' },
            ],
          },
        },
      })
    const late = await listenAsSmtp(down)
    await gateway.waitForLog(
      'that it is back',
      ({ event, backend }) => event === 'upstream.up' && backend === `127.0.0.1:${down}`,
    )
    late.close()
    expect(gateway.log.filter(isDown)).toHaveLength(1)
    await gateway.stop()
  })

  test('BK-01: when none is left the client hears so at once, and comes back', async () => {
    const gateway = await startBefore(
      upstream('inside', { ports: [await freePort()], more: '[upstream.inside.health]\ninterval = "500ms"' }),
      route('recipients = ["example.net"]', 'inside'),
    )
    await gateway.waitForLog('that it is down', ({ event }) => event === 'upstream.down')
    const { stdout } = await swaks({ port: gateway.port, to: 'ann@example.net', args: proxyV2('203.0.113.42') })
    expect(stdout).toContain('<** 451 4.4.1')
    await gateway.stop()
  })

  test('BK-02: whatever it says instead of a greeting, the client hears of it in bounded time', async () => {
    const kinds = [
      ['silent', '451 4.4.2'],
      ['nonsense', '451 4.5.0'],
      ['half', '451 4.4.2'],
      ['hang-up', '451 4.4.2'],
      ['refusing', '451 4.3.2'],
    ] as const
    const tables: string[] = []
    for (const [kind] of kinds) {
      const port = await freePort()
      await listenAs(kind, port)
      tables.unshift(upstream(kind, { ports: [port], more: `[upstream.${kind}.health]\ncheck = false` }))
      tables.push(route(`recipients = ["${kind}.example"]`, kind))
    }
    const gateway = await startBefore(...tables)
    await Promise.all(
      kinds.map(async ([kind, reply]) => {
        const args = [...proxyV2('203.0.113.43'), '--timeout', '40']
        const startedAt = performance.now()
        const { stdout } = await swaks({ port: gateway.port, to: `ann@${kind}.example`, args })
        expect(stdout).toContain(`<** ${reply}`)
        expect(performance.now() - startedAt).toBeLessThan(28_000)
      }),
    )
    await gateway.stop()
  })

  test('BK-04: a backend that falls silent behind the dot is in doubt, and the log has the hash of the message', async () => {
    const sink = await startSmtpSink('-q', '.')
    const gateway = await startBefore(
      upstream('inside', { ports: [sink.port] }),
      route('recipients = ["example.net"]', 'inside'),
    )
    const { stdout } = await swaks({ port: gateway.port, to: 'ann@example.net', args: proxyV2('203.0.113.44') })
    expect(stdout).toContain('<** 451 4.4.2')
    const record = await gateway.waitForLog('the doubt', ({ event }) => event === 'relay.in-doubt')
    expect(record).toMatchObject({
      upstream: 'inside',
      backend: `127.0.0.1:${sink.port}`,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      reversePath: 'bob@example.net',
      recipients: 1,
    })
    await gateway.stop()
  })
})

describe('TLS towards a backend', () => {
  let postfix: Postfix
  let certificate: Certificate

  beforeAll(async () => {
    certificate = await makeCertificate('mail.example.org')
    postfix = await startPostfix({ domains: ['a.example', 'b.example', 'c.example'], certificate })
  })
  afterAll(async () => {
    await postfix?.stop()
  })

  test('BK-10: with the right name it is used; a wrong name, or nobody who vouches for it, is no way for mail', async () => {
    const tls = (name: string, lines: string): string =>
      upstream(name, {
        ports: [postfix.ports.plain],
        more: `tls = "starttls"\n${lines}\n[upstream.${name}.health]\ncheck = false`,
      })
    const gateway = await startBefore(
      tls('a', `tls-ca = "${certificate.cert}"\ntls-server-name = "mail.example.org"`),
      tls('b', `tls-ca = "${certificate.cert}"\ntls-server-name = "other.example.org"`),
      tls('c', 'tls-server-name = "mail.example.org"'),
      ...['a', 'b', 'c'].map((name) => route(`recipients = ["${name}.example"]`, name)),
    )
    const to = (domain: string): ReturnType<typeof swaks> =>
      swaks({ port: gateway.port, to: `ann@${domain}`, subject: domain, args: proxyV2('203.0.113.48') })
    expect(await to('a.example')).toMatchObject({ code: 0 })
    expect(await postfix.waitForMessage('Subject: a.example')).toContain('with ESMTPS')
    for (const domain of ['b.example', 'c.example']) expect((await to(domain)).stdout).toContain('<** 451 4.7.5')
    expect(postfix.messages()).toHaveLength(1)
    await gateway.stop()
  })

  test('a look proves the certificate, so a backend that changes to a wrong one is down before mail comes', async () => {
    const gateway = await startBefore(
      upstream('a', {
        ports: [postfix.ports.plain],
        more: `tls = "starttls"\ntls-fingerprints = ["${'00'.repeat(32)}"]\n[upstream.a.health]\ninterval = "500ms"`,
      }),
      route('recipients = ["a.example"]', 'a'),
    )
    const told = await gateway.waitForLog('that it is down', ({ event }) => event === 'upstream.down')
    expect(told['reason']).toContain('SMTP_UPSTREAM_TLS: the certificate is none of those pinned')
    await gateway.stop()
  })
})

test('X2, X3: unique id, server name and the client’s TLS go on in a header of our own, with a fresh checksum', async () => {
  const port = await freePort()
  const heard = Promise.withResolvers<Buffer>()
  await listen(port, (socket) => {
    socket.once('data', heard.resolve)
  })
  const tlvs = '["unique-id", "authority", "ssl"]'
  const more = `announce = "proxy-v2"\npass-tlvs = ${tlvs}\nheader-checksum = true\n[upstream.inside.health]\ncheck = false`
  const gateway = await startBefore(
    upstream('inside', { ports: [port], more }),
    route('recipients = ["example.net"]', 'inside'),
  )
  const header = v2(ends, {
    tlvs: [
      tlv(0x05, Buffer.from('c0ffee00', 'hex')),
      tlv(0x02, 'mx.example.net'),
      sslTlv(0x05, 0, [tlv(0x21, 'TLSv1.3'), tlv(0x22, 'ann')]),
      // Not asked for: it stays here.
      tlv(0xe0, 'private'),
    ],
    crc: true,
  })
  const client = await Dialogue.connect(gateway.port)
  client.send(header)
  client.send('EHLO client.example.net\r\nMAIL FROM:<bob@example.com>\r\nRCPT TO:<ann@example.net>\r\n')
  const parsed = parseProxyHeader(await heard.promise)
  client.destroy()
  if (parsed.status !== 'done') throw new Error(`not a header: ${parsed.status}`)
  const found = explainHeader(await heard.promise)
  const text = JSON.stringify(found)
  for (const word of [ends.source, 'c0ffee00', 'mx.example.net', 'TLSv1.3', '"ann"', 'CRC32C'])
    expect(text).toContain(word)
  expect(text).not.toContain('private')
  await gateway.stop()
})

describe('X4: health checks tell of the backends', () => {
  test('all down: the check is refused, HAProxy turns away, and comes back with them', async () => {
    const backendPort = await freePort()
    const backend = await listenAsSmtp(backendPort)
    const gateway = await startBefore(
      upstream('inside', { ports: [backendPort], more: '[upstream.inside.health]\ninterval = "500ms"' }),
      route('recipients = ["example.net"]', 'inside'),
    )
    const haproxy = await startHaproxy(`defaults
  mode tcp
  timeout connect 5s
  timeout check 20s
  timeout client 20s
  timeout server 20s
backend gateways
  option tcp-check
  tcp-check expect rstring ^220
  tcp-check send QUIT\\r\\n
  tcp-check expect rstring ^221
  server one 127.0.0.1:${gateway.port} send-proxy-v2 check check-send-proxy inter 200ms rise 1 fall 1`)
    onTestFinished(() => haproxy.stop())
    await haproxy.waitUntilUp('gateways', 'one')

    backend.close()
    await gateway.waitForLog('that it is down', ({ event }) => event === 'upstream.down')
    await eventually('HAProxy to turn away', async () => {
      const [server] = await haproxy.servers()
      return server?.status === 'DOWN' ? server : undefined
    })
    const check = await Dialogue.connect(gateway.port)
    check.send(v2Local)
    expect((await check.reply()).text).toContain('No server behind this one takes mail now')
    check.destroy()
    expect(await health(gateway.admin)).toMatchObject({
      status: 503,
      body: { reasons: ['listener mx: every backend is down'] },
    })
    // A client is still taken in, and hears of each recipient.
    const { stdout } = await swaks({ port: gateway.port, to: 'ann@example.net', args: proxyV2('203.0.113.45') })
    expect(stdout).toContain('<** 451 4.4.1')

    const again = await listenAsSmtp(backendPort)
    await gateway.waitForLog('that it is back', ({ event }) => event === 'upstream.up')
    await haproxy.waitUntilUp('gateways', 'one')
    again.close()
    await gateway.stop()
  })

  test('`when-backends-down = "refuse"` turns clients away as well', async () => {
    const ports = await freePorts('admin', 'smtp')
    const mx = listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' })
    const gateway = await startGateway({
      config: [
        mx.replace('tls = "off"', 'tls = "off"\nwhen-backends-down = "refuse"'),
        upstream('inside', { ports: [await freePort()], more: '[upstream.inside.health]\ninterval = "500ms"' }),
        route('recipients = ["example.net"]', 'inside'),
      ].join('\n\n'),
      adminPort: ports.admin,
      accounts: [],
    })
    await gateway.waitForLog('that it is down', ({ event }) => event === 'upstream.down')
    await eventually('a refusal', async () => {
      const client = await Dialogue.connect(ports.smtp)
      const { code } = await client.reply()
      client.destroy()
      return code === 421 ? true : undefined
    })
    await gateway.stop()
  })
})

test('a reload takes new routes and upstreams', async () => {
  const [before, after] = [await startSmtpSink(), await startSmtpSink()]
  const gateway = await startBefore(
    upstream('inside', { ports: [before.port] }),
    route('recipients = ["example.net"]', 'inside'),
  )
  expect(await swaks({ port: gateway.port, to: 'ann@example.net', args: proxyV2('203.0.113.46') })).toMatchObject({
    code: 0,
  })
  gateway.rewriteConfig((text) => text.replace(`:${before.port}"`, `:${after.port}"`))
  gateway.signal('SIGHUP')
  await gateway.waitForLog('the reload', ({ event }) => event === 'gateway.reloaded')
  expect(await swaks({ port: gateway.port, to: 'ann@example.net', args: proxyV2('203.0.113.47') })).toMatchObject({
    code: 0,
  })
  expect([before.messages().length, after.messages().length]).toEqual([1, 1])
  await gateway.stop()
})

test('4.2: with `multi = "fanout"` a message goes to several backends, and on a retry behind a crash to nobody who has it', async () => {
  const [one, busy, other] = [await startSmtpSink(), await startSmtpSink('-r', '.'), await startSmtpSink()]
  const ports = await freePorts('admin', 'smtp')
  const folder = temporaryFolder('gateway')
  const startWith = (second: number): Promise<Gateway> =>
    startGateway({
      folder,
      adminPort: ports.admin,
      accounts: [],
      config: [
        listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
        '[smtp]\nmulti = "fanout"',
        upstream('first', { ports: [one.port] }),
        upstream('second', { ports: [second] }),
        route('recipients = ["one.example"]', 'first'),
        route('recipients = ["two.example"]', 'second'),
      ].join('\n\n'),
    })
  const send = async (): Promise<number> => {
    const client = await Dialogue.connect(ports.smtp)
    await client.reply()
    for (const command of ['EHLO client.example.net', 'MAIL FROM:<bob@example.net>']) await client.ask(command)
    for (const recipient of ['ann@one.example', 'ann@two.example']) {
      expect((await client.ask(`RCPT TO:<${recipient}>`)).code).toBe(250)
    }
    await client.ask('DATA')
    const { code } = await client.ask('Subject: to both\r\n\r\nhello\r\n.')
    client.destroy()
    return code
  }

  const before = await startWith(busy.port)
  expect(await send()).toBe(451)
  expect(one.messages()).toHaveLength(1)
  await before.kill()
  const after = await startWith(other.port)
  expect(await send()).toBe(250)
  expect([one.messages().length, other.messages().length]).toEqual([1, 1])
  await after.stop()
})

test('J7: two gateways behind one HAProxy, one of them killed under load: no acknowledged message is missing', async () => {
  const sink = await startSmtpSink()
  const startOne = (): ReturnType<typeof startBefore> =>
    startBefore(upstream('inside', { ports: [sink.port] }), route('recipients = ["example.net"]', 'inside'))
  const [one, other] = await Promise.all([startOne(), startOne()])
  const port = await freePort()
  const haproxy = await startHaproxy(`defaults
  mode tcp
  timeout connect 2s
  timeout check 20s
  timeout client 20s
  timeout server 20s
  retries 2
  option redispatch
frontend mail
  bind 127.0.0.1:${port}
  default_backend gateways
backend gateways
  option smtpchk EHLO balancer.example.org
  server one 127.0.0.1:${one.port} send-proxy-v2 check check-send-proxy inter 200ms rise 1 fall 1 on-marked-down shutdown-sessions
  server other 127.0.0.1:${other.port} send-proxy-v2 check check-send-proxy inter 200ms rise 1 fall 1`)
  onTestFinished(() => haproxy.stop())
  await haproxy.waitUntilUp('gateways', 'one')
  await haproxy.waitUntilUp('gateways', 'other')

  const load = startLoad(port, 8, 'ann@example.net', 20)
  await load.acknowledgedMore(100)
  await one.kill()
  // Clients of the dead one connect again, and go on at the other.
  await load.acknowledgedMore(200)
  await eventually('every client to be served by the other', () => {
    const served = new Set(other.log.filter(({ event }) => event === 'smtp.transaction').map(({ client }) => client))
    return served.size === 8 || undefined
  })
  await load.stop()

  const { ledger } = load
  expect(ledger.broken.length).toBeGreaterThan(0)
  await eventually('every acknowledged message at the backend', () => {
    const there = new Set(sink.messages().map((message) => /^Subject: (load-\d+)$/m.exec(message)?.[1]))
    const missing = [...ledger.acknowledged].filter((subject) => !there.has(subject))
    return missing.length === 0 ? true : undefined
  })
  await other.stop()
})

function processOf(line: string): string | undefined {
  return /smtpd\[(\d+)\]/.exec(line)?.[1]
}

function v1Header(client: string): string {
  return `PROXY TCP4 ${client} 198.51.100.5 45678 25\r\n`
}

// ── backends of the worst kind ──────────────────────────────────────────────

async function listenAs(kind: 'silent' | 'nonsense' | 'half' | 'hang-up' | 'refusing', port: number): Promise<Server> {
  return listen(port, (socket) => {
    if (kind === 'nonsense') socket.write('* OK IMAP4rev1 ready\r\n')
    else if (kind === 'half') socket.write('220 backend.exa')
    else if (kind === 'hang-up') socket.destroy()
    else if (kind === 'refusing') socket.write('554 not for you\r\n')
  })
}

/** Just enough of a server for a look at it. */
function listenAsSmtp(port: number): Promise<Server> {
  return listen(port, (socket) => {
    socket.write('220 backend.example\r\n')
    socket.on('data', (bytes) => {
      const verb = bytes.toString('latin1').slice(0, 4)
      if (verb === 'QUIT') socket.end('221 bye\r\n')
      else socket.write('250 backend.example\r\n')
    })
  })
}

async function listen(port: number, serve: (socket: Socket) => void): Promise<Server> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    serve(socket)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return server
}
