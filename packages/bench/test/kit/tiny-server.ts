/* Servers of a few lines, that do right or wrong what a test asks for. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'

export interface TinyServer {
  readonly port: number
  /** Connections that were accepted. */
  readonly connections: () => number
  readonly close: () => Promise<void>
}

/** @param onLine - what is answered to a line; nothing for an empty string, and the end of the connection for `undefined`. */
export async function tinyServer(
  greeting: string,
  onLine: (line: string, socket: Socket) => string | undefined,
): Promise<TinyServer> {
  let connections = 0
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    socket.write(greeting)
    let rest = ''
    socket.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString('latin1')).split('\r\n')
      rest = lines.pop()!
      let answer = ''
      for (const line of lines) {
        const said = onLine(line, socket)
        if (said === undefined) {
          socket.end(answer)
          return
        }
        answer += said
      }
      if (answer !== '') socket.write(answer)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}

/** SMTP to the letter that the generator needs. */
export function smtpLines(
  refuse: (line: string) => string | undefined = () => undefined,
): (line: string) => string | undefined {
  let isData = false
  return (line) => {
    if (isData) {
      if (line !== '.') return ''
      isData = false
      return '250 2.0.0 OK\r\n'
    }
    const refusal = refuse(line)
    if (refusal !== undefined) return refusal
    if (line === 'DATA') {
      isData = true
      return '354 go on\r\n'
    }
    if (line === 'QUIT') return '221 bye\r\n'
    return '250-mx.example\r\n250 OK\r\n'
  }
}
