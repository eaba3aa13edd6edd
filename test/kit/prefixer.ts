import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface Prefixer {
  readonly port: number
  readonly stop: () => Promise<void>
}

/** The smallest balancer: passes bytes both ways to a port of this machine, behind one fixed header. */
export async function startPrefixer(to: number, header: Uint8Array): Promise<Prefixer> {
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ host: '127.0.0.1', port: to, allowHalfOpen: true })
    upstream.write(header)
    client.pipe(upstream)
    upstream.pipe(client)
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.once('close', () => open.delete(socket))
      socket.on('error', () => {
        client.destroy()
        upstream.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
