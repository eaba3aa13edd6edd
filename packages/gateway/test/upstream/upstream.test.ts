import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { X509Certificate } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import type { UpstreamConfig } from '../../src/config/schema.ts'
import { BackendGroup } from '../../src/upstream/backend-group.ts'
import { Upstream, type UpstreamConnecting } from '../../src/upstream/upstream.ts'
import { connectionFrom } from '../route/routing.ts'

const certificate = makeCertificate('boxes.example')
const print = new X509Certificate(certificate.cert).fingerprint256.replaceAll(':', '').toLowerCase()

async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

/** Says what it heard, behind its greeting. */
function plain(heard: string[] = []): Promise<number> {
  const server = createServer((socket) => {
    socket.write('* OK\r\n')
    socket.on('data', (bytes) => heard.push(bytes.toString('latin1')))
  })
  return listening(server)
}

function upstream(ports: readonly number[], more: Partial<UpstreamConfig> = {}): Upstream {
  const config: UpstreamConfig = {
    name: 'boxes',
    protocol: 'imap',
    backends: ports.map((port) => ({ address: { host: '127.0.0.1', port }, weight: 1, isBackup: false })),
    balance: 'round-robin',
    announce: 'none',
    isAnnouncementOptional: false,
    maxHeaderBytes: 536,
    passedTlvs: [],
    hasHeaderChecksum: false,
    tls: { mode: 'off' },
    maxConnections: 'unlimited',
    sendsCredentialsInClear: false,
    slowStartMs: 0,
    timeouts: 'near',
    health: { isChecked: true, intervalMs: 5000, timeoutMs: 1000, rise: 2, fall: 1 },
    ...more,
  }
  return new Upstream(config, new BackendGroup(config, { onSuspicion: () => {}, onAvoided: () => {} }))
}

const client = { connection: connectionFrom(), username: 'ann' }
const never = new AbortController().signal

async function connected(connecting: Promise<UpstreamConnecting>) {
  const outcome = await connecting
  if (!outcome.ok) throw new Error(outcome.detail)
  onTestFinished(() => {
    outcome.link.socket.destroy()
  })
  return outcome.link
}

describe('a connection to a backend', () => {
  test('BK-01: one that refuses is passed over, and counts; the other is counted until it is closed', async () => {
    const port = await plain()
    const boxes = upstream([1, port])
    const link = await connected(boxes.connect(client, never))
    expect(link).toMatchObject({ backend: `127.0.0.1:${port}`, isSecure: false })
    const [down, up] = boxes.group.all
    expect([down?.connections, up?.connections]).toEqual([0, 1])
    expect(down?.failures).toBeLessThanOrEqual(1)
    const closed = once(link.socket, 'close')
    link.socket.destroy()
    await closed
    expect(up?.connections).toBe(0)
  })

  test('PO-04: each attempt begins with the header of the client', async () => {
    const heard: string[] = []
    const port = await plain(heard)
    const boxes = upstream([port, await plain(heard)], { announce: 'proxy-v1' })
    const attempts = boxes.attempts(client)
    const first = await connected(attempts.next(never))
    first.failed('it said BYE')
    expect(first.socket.destroyed).toBe(true)
    await connected(attempts.next(never))
    await expect
      .poll(() => heard)
      .toEqual(Array.from({ length: 2 }, () => 'PROXY TCP4 203.0.113.7 192.0.2.1 40000 25\r\n'))
    // Both were tried for this client.
    expect(await attempts.next(never)).toMatchObject({ ok: false })
  })

  test('when nobody is left it says why', async () => {
    const outcome = await upstream([1]).connect(client, never)
    expect(outcome).toMatchObject({ ok: false, detail: '127.0.0.1:1: ECONNREFUSED' })
  })

  test('for a client that is gone nobody is dialled, and no backend is blamed', async () => {
    const boxes = upstream([await plain()])
    expect(await boxes.connect(client, AbortSignal.abort())).toMatchObject({ ok: false })
    expect(boxes.group.all[0]).toMatchObject({ failures: 0, connections: 0 })
  })
})

describe('TLS from the first byte', () => {
  const secured = (): Promise<number> =>
    listening(createTlsServer({ cert: certificate.cert, key: certificate.key }, (socket) => socket.write('* OK\r\n')))

  test.each([
    ['a CA and a name', { ca: certificate.cert, serverName: 'boxes.example' }],
    ['a pinned certificate', { fingerprints: [print] }],
  ])('with %s', async (_, tls) => {
    const link = await connected(
      upstream([await secured()], { tls: { mode: 'implicit', ...tls } }).connect(client, never),
    )
    expect(link.isSecure).toBe(true)
    expect(String((await once(link.socket, 'data'))[0])).toBe('* OK\r\n')
  })

  test.each([
    ['another name', { ca: certificate.cert, serverName: 'other.example' }, /ALTNAME/],
    ['nobody who vouches for it', { serverName: 'boxes.example' }, /SELF_SIGNED/],
    ['another certificate', { fingerprints: ['00'.repeat(32)] }, /none of those pinned/],
  ])('BK-10: not with %s', async (_, tls, detail) => {
    const boxes = upstream([await secured()], { tls: { mode: 'implicit', ...tls } })
    const outcome = await boxes.connect(client, never)
    expect(outcome.ok ? 'connected' : outcome.detail).toMatch(detail)
    expect(boxes.group.all[0]).toMatchObject({ failures: 1, connections: 0 })
  })

  test('a server that speaks in the clear is given up', async () => {
    const outcome = await upstream([await plain()], { tls: { mode: 'implicit' } }).connect(client, never)
    expect(outcome).toMatchObject({ ok: false, detail: expect.stringContaining('TLS: ') })
  })
})

test('TLS later, on a connection that stands', async () => {
  const server = createServer((socket) => {
    socket.write('* OK\r\n')
    socket.once('data', () => {
      socket.write('a OK\r\n')
      secureServer.emit('connection', socket)
    })
  })
  const secureServer = createTlsServer({ cert: certificate.cert, key: certificate.key }, (socket) =>
    socket.write('secret\r\n'),
  )
  const boxes = upstream([await listening(server)], { tls: { mode: 'starttls', fingerprints: [print] } })
  const link = await connected(boxes.connect(client, never))
  expect(String((await once(link.socket, 'data'))[0])).toBe('* OK\r\n')
  link.socket.write('a STARTTLS\r\n')
  expect(String((await once(link.socket, 'data'))[0])).toBe('a OK\r\n')
  const later = await connected(link.secure(never))
  expect(later.isSecure).toBe(true)
  expect(String((await once(later.socket, 'data'))[0])).toBe('secret\r\n')
  expect(boxes.group.all[0]?.connections).toBe(1)
})
