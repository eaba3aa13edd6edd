import { once } from 'node:events'
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { endpoint, identify, type Connection, type ListenerInfo } from '@postern/core'
import { describe, expect, test, vi } from 'vitest'
import { Handshakes, TlsGate } from '../../src/accept/tls.ts'
import { Client, openBench, v1, v2, type Bench } from '../kit/acceptor-bench.ts'
import { makeCertificate, makeRsaCertificate } from '../kit/certificates.ts'

const mx = makeCertificate('mx.example', 'localhost')
const other = makeCertificate('other.example', '*.wild.example')
const ticketKeys = Buffer.alloc(48, 7)
const implicit: ListenerInfo = { name: 'mx', protocol: 'smtp', tls: 'implicit' }

function gate(listener: ListenerInfo = implicit, timeoutMs = 5000, handshakes = new Handshakes(100)): TlsGate {
  return new TlsGate(listener, [mx, other], ticketKeys, { tlsHandshakeTimeoutMs: timeoutMs }, handshakes)
}

const openImplicit = (tls = gate()): Promise<Bench> => openBench({ listener: implicit, tls })

/** A TLS client, from 127.0.0.7 unless told otherwise, after what is said in the clear. */
async function secure(
  port: number,
  options: ConnectionOptions & { readonly first?: Buffer | string; readonly from?: string } = {},
): Promise<TLSSocket> {
  const { first = '', from = '127.0.0.7', ...rest } = options
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress: from })
  socket.cork()
  if (first !== '') socket.write(first)
  const tls = connect({ socket, rejectUnauthorized: false, servername: 'mx.example', ...rest })
  // The ClientHello leaves in one segment with what stands before it.
  setImmediate(() => socket.uncork())
  await once(tls, 'secureConnect')
  return tls
}

const firstLine = async (tls: TLSSocket): Promise<string> => String((await once(tls, 'data'))[0])

describe('implicit TLS', () => {
  test('S21, J3, PX-08: the header in the clear, the ClientHello in the same segment, then the greeting inside TLS', async () => {
    await using bench = await openImplicit()
    for (const first of [v1('203.0.113.7'), v2('203.0.113.7')]) {
      await using client = await secure(bench.port, { first, from: '127.0.0.1' })
      expect(await firstLine(client)).toContain('HELLO 203.0.113.7:45678 proxied')
      expect(client.getProtocol()).toBe('TLSv1.3')
    }
  })

  test('a direct client shakes hands at once', async () => {
    await using bench = await openImplicit()
    await using client = await secure(bench.port)
    expect(await firstLine(client)).toContain('HELLO 127.0.0.7')
  })

  test('a refusal before TLS says nothing: the client would take it for a broken handshake', async () => {
    const refuse = { name: 'test', onConnect: () => ({ verdict: 'refuse', reason: 'listed' }) as const }
    await using bench = await openBench({ listener: implicit, tls: gate(), policies: [refuse] })
    using denied = new Client(bench.port, '127.0.0.7')
    using missing = new Client(bench.port)
    missing.say('EHLO client.example\r\n')
    expect([await denied.ends(), await missing.ends()]).toEqual(['', ''])
  })

  test('W4: a header from an untrusted peer is named in the log, with the listener and what to add', async () => {
    await using bench = await openImplicit()
    using client = new Client(bench.port, '127.0.0.7')
    client.say(v2('203.0.113.7'))
    expect(await client.ends()).toBe('')
    expect(await bench.logged('proxy.refused')).toMatchObject({
      reason: 'proxy-untrusted',
      client: '127.0.0.7',
      msg:
        '127.0.0.7 sent a PROXY header but is in no trusted network of listener mx: ' +
        'if it is your balancer, add 127.0.0.7 to trusted-networks',
    })
    expect(await bench.logged('connection.close')).toMatchObject({ reason: 'refused' })
  })

  test('W4: where the listener takes no header at all, the log says so', async () => {
    await using bench = await openBench({ listener: implicit, tls: gate(), proxy: { mode: 'off' } })
    using client = new Client(bench.port)
    client.say(v2('203.0.113.7'))
    expect(await client.ends()).toBe('')
    expect(await bench.logged('proxy.refused')).toMatchObject({
      msg:
        '127.0.0.1 sent a PROXY header but listener mx takes none (proxy.mode = "off"): ' +
        'if it is your balancer, add 127.0.0.1 to trusted-networks, and set proxy.mode to "require" or "mixed"',
    })
  })

  test('TL-09: a client that stalls in the handshake, or before it, is closed at the deadline', async () => {
    await using bench = await openImplicit(gate(implicit, 100))
    using silent = new Client(bench.port, '127.0.0.7')
    using stalled = new Client(bench.port, '127.0.0.8')
    stalled.say(Buffer.from('160301ffff', 'hex'))
    await Promise.all([silent.ends(), stalled.ends()])
    await bench.idle()
    const closes = bench.lines.filter((line) => line.event === 'connection.close')
    expect(closes.map((line) => line['reason'])).toEqual(['tls-failed', 'tls-failed'])
  })

  test('TL-09: the first byte does not move the deadline', async () => {
    const tls = gate(implicit, 60_000)
    const takesOver = vi.spyOn(tls, 'secure')
    await using bench = await openImplicit(tls)
    using slow = new Client(bench.port, '127.0.0.7')
    await bench.logged('connection.open')
    slow.say(Buffer.from('16', 'hex'))
    await expect.poll(() => takesOver.mock.calls.length).toBe(1)
    // What passed before the byte is gone.
    expect(takesOver.mock.calls[0]?.[1]).toBeLessThan(60_000)
  })

  test('TL-12: garbage, a reset and a half-close instead of a handshake end that connection only', async () => {
    await using bench = await openImplicit()
    using garbage = new Client(bench.port, '127.0.0.7')
    using reset = new Client(bench.port, '127.0.0.8')
    using half = new Client(bench.port, '127.0.0.9')
    garbage.say('EHLO client.example\r\n')
    reset.say(Buffer.from('160301', 'hex'))
    half.say(Buffer.from('160301', 'hex')).socket.end()
    await Promise.all([garbage.ends(), half.ends()])
    reset.socket.resetAndDestroy()
    await bench.idle()
    await using client = await secure(bench.port)
    expect(await firstLine(client)).toContain('HELLO')
  })

  test('over the bound the handshake that has taken longest makes room', async () => {
    await using bench = await openImplicit(gate(implicit, 60_000, new Handshakes(1)))
    using stalled = new Client(bench.port, '127.0.0.8')
    await once(stalled.say(Buffer.from('160301', 'hex')).socket, 'connect')
    await bench.logged('connection.open')
    await using client = await secure(bench.port)
    expect(await firstLine(client)).toContain('HELLO')
    await stalled.ends()
    expect(await bench.logged('connection.close')).toMatchObject({
      client: '127.0.0.8',
      msg: 'made room for newer handshakes: too many were under way',
    })
  })
})

describe('STARTTLS', () => {
  const listener: ListenerInfo = { name: 'mx', protocol: 'smtp', tls: 'starttls' }

  test('J5: TLS after a header, when the session asks for it', async () => {
    await using bench = await openBench({ listener, tls: gate(listener) })
    using client = new Client(bench.port)
    await client
      .say(v2('203.0.113.7'))
      .say('STARTTLS\r\n')
      .hears(/GO AHEAD\r\n/)
    client.socket.removeAllListeners('data')
    await using tls = connect({ socket: client.socket, rejectUnauthorized: false })
    expect(await firstLine(tls)).toBe('SECURED\r\n')
    tls.write('QUIT\r\n')
    expect(await firstLine(tls)).toBe('BYE\r\n')
    expect(await bench.logged('connection.close')).toMatchObject({ reason: 'quit', client: '203.0.113.7' })
  })

  test('TL-01: what was said in the clear behind STARTTLS is never answered', async () => {
    await using bench = await openBench({ listener, tls: gate(listener) })
    using client = new Client(bench.port)
    await client
      .say(v2('203.0.113.7'))
      .say('STARTTLS\r\nINJECTED\r\n')
      .hears(/GO AHEAD\r\n/)
    client.socket.removeAllListeners('data')
    await using tls = connect({ socket: client.socket, rejectUnauthorized: false })
    expect(await firstLine(tls)).toBe('SECURED\r\n')
    tls.write('QUIT\r\n')
    expect(await firstLine(tls)).toBe('BYE\r\n')
    expect(client.received).not.toContain('INJECTED')
  })
})

/** Connects, waits for a ticket, and connects with it elsewhere. */
async function resumes(from: TlsGate, to: TlsGate, options: ConnectionOptions = {}): Promise<boolean> {
  await using first = await openImplicit(from)
  await using second = await openImplicit(to)
  await using one = await secure(first.port, options)
  const [session] = (await once(one, 'session')) as [Buffer]
  await using two = await secure(second.port, { ...options, session })
  return two.isSessionReused()
}

/** Both ends of one handshake. */
async function shake(options: ConnectionOptions, tls = gate()): Promise<readonly [TLSSocket, Connection]> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const connecting = secure((server.address() as AddressInfo).port, options)
  const [stream] = await accepted
  server.close()
  const peer = endpoint('127.0.0.7', 40_000)
  const identity = identify({ peer, local: peer, verdict: { rule: 'absent' } })
  const security = { kind: 'cleartext' } as const
  const { signal } = new AbortController()
  const spent: Connection = { id: 'test000000000001', listener: implicit, identity, security, stream, signal }
  return Promise.all([connecting, tls.secure(spent)])
}

describe('the channel binding tls-exporter (RFC 9266)', () => {
  test('is the same at both ends, and nothing when the connection is gone', async () => {
    const [theirs, { security, stream }] = await shake({})
    const exporter = security.kind === 'tls' ? security.tlsExporter : undefined
    expect(exporter?.()).toEqual(theirs.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)))
    stream.destroy()
    expect(exporter?.()).toBeUndefined()
    theirs.destroy()
  })

  test('is not there with TLS 1.2', async () => {
    const [theirs, { security, stream }] = await shake({ maxVersion: 'TLSv1.2' })
    expect(security).toMatchObject({ kind: 'tls', version: 'TLSv1.2' })
    expect(security).not.toHaveProperty('tlsExporter')
    stream.destroy()
    theirs.destroy()
  })
})

/** What the gateway makes of a client; `undefined` when it refuses it. */
async function nameFrom(tls: TlsGate, options: ConnectionOptions): Promise<string | undefined> {
  const [theirs, { security, stream }] = await shake(options, tls)
  stream.destroy()
  theirs.destroy()
  return security.kind === 'tls' ? (security.clientCommonName ?? 'nobody') : undefined
}

describe('certificates of clients', () => {
  const ann = makeCertificate('ann@example.org')
  const eve = makeCertificate('eve@example.org')
  const asking = (certificates: 'request' | 'require', ca = ann.cert): TlsGate =>
    new TlsGate(implicit, [mx], ticketKeys, { tlsHandshakeTimeoutMs: 30_000 }, new Handshakes(100), {
      certificates,
      ca,
    })

  test.each<[string, TlsGate, ConnectionOptions, string]>([
    ['signed by whom we believe', asking('request'), ann, 'ann@example.org'],
    ['signed by somebody else', asking('request'), eve, 'nobody'],
    ['none', asking('request'), {}, 'nobody'],
    ['a required one', asking('require'), ann, 'ann@example.org'],
    ['one that was not asked for', gate(), ann, 'nobody'],
    ['with TLS 1.2', asking('request'), { ...ann, maxVersion: 'TLSv1.2' }, 'ann@example.org'],
    ['signed by somebody else, with TLS 1.2', asking('request'), { ...eve, maxVersion: 'TLSv1.2' }, 'nobody'],
  ])('X3: %s', async (_, tls, options, name) => {
    expect(await nameFrom(tls, options)).toBe(name)
  })

  test.each<[string, ConnectionOptions]>([
    ['one signed by somebody else', eve],
    ['none', {}],
  ])('where one is required, %s ends the handshake', async (_, options) => {
    await using bench = await openImplicit(asking('require'))
    const attempt = secure(bench.port, options).then(
      (tls) => tls.on('error', () => {}),
      () => {},
    )
    expect(await bench.logged('connection.close')).toMatchObject({ reason: 'tls-failed' })
    ;(await attempt)?.destroy()
  })

  test('TL-14: a session that began under another authority is not gone on with', async () => {
    expect(await resumes(asking('request'), asking('request'), ann)).toBe(true)
    expect(await resumes(asking('request'), asking('request', eve.cert), ann)).toBe(false)
    expect(await resumes(gate(), asking('request'), ann)).toBe(false)
  })

  test('X3: a resumed session still has its name', async () => {
    const tls = asking('request')
    const [first, one] = await shake(ann, tls)
    const ticket = once(first, 'session')
    one.stream.write('x')
    const [session] = (await ticket) as [Buffer]
    const [second, { security, stream }] = await shake({ session }, tls)
    expect(second.isSessionReused()).toBe(true)
    expect(security).toMatchObject({ clientCommonName: 'ann@example.org' })
    for (const each of [first, second, one.stream, stream]) each.destroy()
  })
})

describe('certificates, protocols and tickets', () => {
  const names = [
    ['no name', undefined, 'mx.example'],
    ['its name', 'mx.example', 'mx.example'],
    ['another of its names, in capitals', 'LOCALHOST', 'mx.example'],
    ['the other certificate', 'other.example', 'other.example'],
    ['with the dot of the root', 'other.example.', 'other.example'],
    ['a name under a wildcard', 'a.wild.example', 'other.example'],
    ['two labels under a wildcard', 'a.b.wild.example', 'mx.example'],
    ['an unknown name', 'stranger.example', 'mx.example'],
    ['a name of an object', '__proto__', 'mx.example'],
  ] as const
  test.each(names)('TL-11: SNI with %s', async (_what, servername, expected) => {
    await using bench = await openImplicit()
    await using client = await secure(bench.port, { servername: servername ?? '' })
    expect(client.getPeerCertificate().subject.CN).toBe(expected)
  })

  test('TL-07: TLS 1.1 is refused', async () => {
    await using bench = await openImplicit()
    const old = secure(bench.port, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })
    await expect(old).rejects.toThrow(/alert|protocol/i)
  })

  test('TL-15: a client that wants another protocol is refused', async () => {
    await using bench = await openImplicit()
    await expect(secure(bench.port, { ALPNProtocols: ['h2', 'http/1.1'] })).rejects.toThrow(/no application protocol/)
    await using client = await secure(bench.port, { ALPNProtocols: ['http/1.1', 'smtp'] })
    expect(client.alpnProtocol).toBe('smtp')
  })

  test('a session begun with one worker is resumed with another', async () => {
    expect(await resumes(gate(), gate())).toBe(true)
  })

  test('TL-14: a ticket of one listener is worth nothing at another', async () => {
    expect(await resumes(gate(), gate({ ...implicit, name: 'users' }))).toBe(false)
  })

  test('after the keys have changed a client shakes hands in full', async () => {
    const rotated = gate()
    rotated.useTicketKeys(Buffer.alloc(48, 8))
    expect(await resumes(gate(), rotated)).toBe(false)
  })
})

const kindFor = async (port: number, options: ConnectionOptions): Promise<string> => {
  await using client = await secure(port, options)
  return `${client.getPeerX509Certificate()?.publicKey.asymmetricKeyType} ${client.getPeerX509Certificate()?.subject}`
}

describe('certificates of one name side by side', () => {
  const rsa = makeRsaCertificate('mx.example', 'rsa.example')
  const both = [mx, rsa, other, makeRsaCertificate('two.example'), makeCertificate('two.example')]
  const sideBySide = (certificates = both, rules?: ConstructorParameters<typeof TlsGate>[6]): TlsGate =>
    new TlsGate(
      implicit,
      certificates,
      ticketKeys,
      { tlsHandshakeTimeoutMs: 30_000 },
      new Handshakes(9),
      { certificates: 'off' },
      rules,
    )
  test.each([
    ['a client that can, for the name', { sigalgs: 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256' }, 'ec CN=mx.example'],
    ['a client of RSA alone', { sigalgs: 'rsa_pss_rsae_sha256' }, 'rsa CN=mx.example'],
    ['a client of RSA alone without SNI', { sigalgs: 'rsa_pss_rsae_sha256', servername: '' }, 'rsa CN=mx.example'],
    ['a name that only one of them has', { servername: 'rsa.example' }, 'rsa CN=mx.example'],
    ['another name that has both', { servername: 'two.example' }, 'rsa CN=two.example'],
    [
      'another name that has both, for RSA alone',
      { servername: 'two.example', sigalgs: 'rsa_pss_rsae_sha256' },
      'rsa CN=two.example',
    ],
    ['a name of another', { servername: 'a.wild.example' }, 'ec CN=other.example'],
    [
      'TLS 1.2 with a cipher of RSA',
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' },
      'rsa CN=mx.example',
    ],
  ] as const)('%s', async (_what, options, expected) => {
    await using bench = await openImplicit(sideBySide())
    expect(await kindFor(bench.port, options)).toBe(expected)
  })

  test('of two of one kind the first counts', async () => {
    await using bench = await openImplicit(sideBySide([mx, makeCertificate('mx.example', 'second.example')]))
    await using client = await secure(bench.port)
    expect(client.getPeerX509Certificate()?.subjectAltName).toBe('DNS:mx.example, DNS:localhost')
  })

  test('what is older than the minimum, or of other ciphers, gets no handshake', async () => {
    await using modern = await openImplicit(sideBySide(both, { minVersion: 'TLSv1.3' }))
    await expect(secure(modern.port, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/alert protocol version/)
    await using narrow = await openImplicit(
      sideBySide(both, { minVersion: 'TLSv1.2', ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256' }),
    )
    await using client = await secure(narrow.port)
    expect(client.getCipher().standardName).toBe('TLS_AES_128_GCM_SHA256')
  })
})
