/*
 * IMAP backends that turn on whoever proxies to them: each says one hostile thing, without end where it has none, for as
 * long as anybody takes it.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export interface HostileBackend {
  readonly name: string
  /** It signs the user in first: the client is handed on to it. */
  readonly signsIn: boolean
  /** Right away, or behind its OK to the login. */
  readonly says: (socket: Socket) => void
}

const ready = '* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n'
const signedIn = 'L OK [CAPABILITY IMAP4rev1] in\r\n'

/** Writes the same again and again, as fast as it is taken. */
function pours(piece: string, first = ''): (socket: Socket) => void {
  const bytes = Buffer.from(piece.repeat(Math.ceil(65_536 / piece.length)), 'latin1')
  return (socket) => {
    const pour = (): void => {
      while (!socket.destroyed && socket.write(bytes));
    }
    socket.on('drain', pour)
    socket.write(first, 'latin1')
    pour()
  }
}

function says(text: string): (socket: Socket) => void {
  return (socket) => void socket.write(text, 'latin1')
}

export const hostileBackends: readonly HostileBackend[] = [
  { name: 'greeting-without-end', signsIn: false, says: pours('x', '* OK ') },
  { name: 'greeting-of-4-gib', signsIn: false, says: pours('x', '* LIST () "/" {4294967295}\r\n') },
  { name: 'greeting-of-63-bits', signsIn: false, says: pours('x', '* 1 FETCH (BODY[] ~{9223372036854775807}\r\n') },
  { name: 'capabilities-without-end', signsIn: false, says: pours('AUTH=X ', '* OK [CAPABILITY ') },
  { name: 'parentheses-without-end', signsIn: false, says: pours('(', '* LIST ') },
  { name: 'verdicts-for-others', signsIn: false, says: pours('Z OK in\r\n', ready) },
  { name: 'challenges-without-end', signsIn: false, says: pours('+ \r\n', ready) },
  { name: 'preauth', signsIn: false, says: says('* PREAUTH [CAPABILITY IMAP4rev1] as root\r\n') },
  { name: 'all-octets', signsIn: false, says: pours(String.fromCharCode(...Array(256).keys())) },
  { name: 'another-protocol', signsIn: false, says: pours('220 mx.example ESMTP\r\n') },
  { name: 'responses-without-end', signsIn: true, says: pours('* 1 FETCH (FLAGS (\\Seen))\r\n') },
  { name: 'a-line-without-end', signsIn: true, says: pours('x', '* OK ') },
  { name: 'a-literal-of-63-bits', signsIn: true, says: pours('x', '* 1 FETCH (BODY[] {9223372036854775807}\r\n') },
]

/** Each on a port of its own, by name. */
export async function startHostileBackends(): Promise<{ ports: ReadonlyMap<string, number>; stop: () => void }> {
  const servers = new Map<string, Server>()
  const open = new Set<Socket>()
  for (const backend of hostileBackends) {
    const server = createServer((socket) => {
      open.add(socket)
      socket.on('error', () => {}).once('close', () => open.delete(socket))
      meet(backend, socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    servers.set(backend.name, server)
  }
  return {
    ports: new Map([...servers].map(([name, server]) => [name, (server.address() as AddressInfo).port])),
    stop: () => {
      for (const server of servers.values()) server.close()
      for (const socket of open) socket.destroy()
    },
  }
}

function meet({ signsIn, says: speak }: HostileBackend, socket: Socket): void {
  if (!signsIn) {
    socket.resume()
    speak(socket)
    return
  }
  socket.write(ready)
  let heard = ''
  socket.on('data', (chunk: Buffer) => {
    const isNew = !heard.includes('\r\n')
    heard = (heard + chunk.toString('latin1')).slice(0, 1_000)
    if (!isNew || !heard.includes('\r\n')) return
    socket.write(signedIn)
    speak(socket)
  })
}
