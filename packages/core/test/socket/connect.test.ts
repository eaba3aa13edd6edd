import { createServer } from 'node:net'
import { createServer as createTlsServer, connect as connectTls } from 'node:tls'
import { expect, test } from 'vitest'
import { connect, endpoint, proxied, compileCidrSet, createTrustRule, type HeaderToSend } from '@postern/core'
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
  const compiled = compileCidrSet(['127.0.0.1'])
  if (!compiled.ok) throw new Error('networks')
  const server = createTlsServer(tlsFiles, (socket) => socket.end(`${socket.remoteAddress}`))
  const port = await listen(proxied(server, { trust: createTrustRule({ mode: 'require', networks: compiled.set }) }))
  const connecting = connect({ port, host: '127.0.0.1' }, header)
  if (!connecting.ok) throw new Error(connecting.detail)
  const secured = connectTls({ socket: connecting.socket, ca: tlsFiles.cert, servername: 'localhost' })
  expect(await readAll(secured)).toBe('192.0.2.1')
  await close(server)
})

test('S-10: nothing is opened for a header that may not be sent', () => {
  const tlvs = [{ type: 0x03, value: Buffer.alloc(4) }]
  expect(connect({ port: 9, host: '127.0.0.1' }, { ...header, tlvs })).toMatchObject({
    ok: false,
    code: 'PROXY_SEND_TYPE',
  })
})
