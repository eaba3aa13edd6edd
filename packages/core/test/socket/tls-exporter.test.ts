import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type SecureVersion, type TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { exporterOf } from '../../src/index.ts'
import { tlsFiles } from '../kit/tls.ts'

/** Both ends of a connection. */
async function ends(maxVersion: SecureVersion): Promise<readonly [client: TLSSocket, server: TLSSocket]> {
  const server = createServer(tlsFiles)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>
  const { port } = server.address() as AddressInfo
  const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion })
  const [[ours]] = await Promise.all([accepted, once(client, 'secureConnect')])
  server.close()
  return [client, ours]
}

test('RFC 9266: both ends of TLS 1.3 have the same binding, and another one at each connection', async () => {
  const [[client, server], [other]] = await Promise.all([ends('TLSv1.3'), ends('TLSv1.3')])
  const binding = exporterOf(server).tlsExporter?.()
  expect(binding).toHaveLength(32)
  expect(exporterOf(client).tlsExporter?.()).toEqual(binding)
  expect(exporterOf(other).tlsExporter?.()).not.toEqual(binding)
  const { tlsExporter } = exporterOf(client)
  for (const each of [client, server, other]) each.destroy()
  expect(tlsExporter?.()).toBeUndefined()
})

test('TLS 1.2 has none', async () => {
  const [client, server] = await ends('TLSv1.2')
  expect(exporterOf(server)).toEqual({})
  for (const each of [client, server]) each.destroy()
})
