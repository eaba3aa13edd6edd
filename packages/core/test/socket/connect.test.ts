import { once } from 'node:events'
import { connect as connectPlainly, createServer } from 'node:net'
import { createServer as createTlsServer, connect as connectTls } from 'node:tls'
import { expect, test } from 'vitest'
import {
  compileCidrSet,
  connect,
  createTrustRule,
  encodeProxyHeader,
  endpoint,
  formatEndpoint,
  identityOf,
  localOf,
  peerOf,
  proxied,
  type HeaderToSend,
  type TrustRule,
} from '@postern/core'
import { close, listen, readAll } from '../kit/loopback.ts'
import { tlsFiles } from '../kit/tls.ts'

const header: HeaderToSend = {
  version: 2,
  command: 'proxy',
  source: endpoint('192.0.2.1', 56_324),
  destination: endpoint('198.51.100.2', 443),
}

test('S-01: the header goes out first, in a segment of its own or with what follows', async () => {
  let received = ''
  const server = createServer((socket) => {
    socket.on('data', (chunk) => (received += chunk.toString()))
    socket.on('end', () => socket.end())
  })
  const port = await listen(server)
  const connecting = connect({ port, host: '127.0.0.1' }, { version: 1, command: 'unknown' })
  if (!connecting.ok) throw new Error(connecting.detail)
  connecting.socket.end('EHLO x\r\n')
  await readAll(connecting.socket)
  expect(received).toBe('PROXY UNKNOWN\r\nEHLO x\r\n')
  await close(server)
})

test('R-G-13: TLS begins behind the header', async () => {
  const server = createTlsServer(tlsFiles, (socket) => socket.end(`${socket.remoteAddress}`))
  const port = await listen(proxied(server, { trust: trustLoopback() }))
  const connecting = connect({ port, host: '127.0.0.1' }, header)
  if (!connecting.ok) throw new Error(connecting.detail)
  const secured = connectTls({ socket: connecting.socket, ca: tlsFiles.cert, servername: 'localhost' })
  expect(await readAll(secured)).toBe('192.0.2.1')
  await close(server)
})

test('S-02: each header gets a connection of its own', async () => {
  const accepted: string[] = []
  const server = proxied(
    createServer((socket) => {
      accepted.push(`${socket.remoteAddress}`)
      socket.end()
    }),
    { trust: trustLoopback() },
  )
  const port = await listen(server)
  for (const client of ['192.0.2.1', '192.0.2.2', '192.0.2.1']) {
    const connecting = connect({ port, host: '127.0.0.1' }, { ...header, source: endpoint(client, 1) })
    if (!connecting.ok) throw new Error(connecting.detail)
    connecting.socket.end()
    await readAll(connecting.socket)
  }
  expect(accepted).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.1'])
  await close(server)
})

test('S-05: a health check in text names the two ends of its own connection', async () => {
  const server = proxied(
    createServer((socket) => {
      const { origin, client, destination } = identityOf(socket)!
      socket.end(`${origin} ${formatEndpoint(client)} ${formatEndpoint(destination)}`)
    }),
    { trust: trustLoopback() },
  )
  const port = await listen(server)
  const socket = connectPlainly(port, '127.0.0.1')
  await once(socket, 'connect')
  const source = localOf(socket)!
  const encoded = encodeProxyHeader({ version: 1, command: 'proxy', source, destination: peerOf(socket)! })
  if (!encoded.ok) throw new Error(encoded.detail)
  socket.end(encoded.bytes)
  expect(await readAll(socket)).toBe(`proxied ${formatEndpoint(source)} 127.0.0.1:${port}`)
  await close(server)
})

test('S-10: nothing is opened for a header that may not be sent', () => {
  const tlvs = [{ type: 0x03, value: Buffer.alloc(4) }]
  expect(connect({ port: 9, host: '127.0.0.1' }, { ...header, tlvs })).toMatchObject({
    ok: false,
    code: 'PROXY_SEND_TYPE',
  })
})

function trustLoopback(): TrustRule {
  const compiled = compileCidrSet(['127.0.0.1'])
  if (!compiled.ok) throw new Error('networks')
  return createTrustRule({ mode: 'require', networks: compiled.set })
}
