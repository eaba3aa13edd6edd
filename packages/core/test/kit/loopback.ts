import { once } from 'node:events'
import { connect, type AddressInfo, type Server, type Socket } from 'node:net'

/** Listens on a free port of 127.0.0.1 and returns it. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Sends all of it at once; what comes back is text up to the end of the connection. */
export async function exchange(port: number, bytes: Uint8Array): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end(bytes)
  return readAll(socket)
}

export async function readAll(socket: Socket): Promise<string> {
  let received = ''
  socket.setEncoding('latin1')
  // A reset is an answer too: whatever came before it counts.
  socket.on('error', () => undefined)
  socket.on('data', (chunk: string) => (received += chunk))
  await once(socket, 'close')
  return received
}

export async function close(server: Server): Promise<void> {
  server.close()
  await once(server, 'close')
}
