/*
 * An IMAP backend that costs next to nothing: everybody may sign in, and its one message is always the same. What stands
 * before it is measured, and nothing of what is behind. Arguments: the port, 0 for any, and the octets of the message.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'

const [port = '0', bytes = '2048'] = process.argv.slice(2)
const size = Number(bytes)
const message = Buffer.concat([
  Buffer.from(`* 1 FETCH (BODY[] {${size}}\r\n`),
  Buffer.alloc(size, 'mail that is read again and again, and never by anybody\r\n'),
  Buffer.from(')\r\n'),
])
/** PROXY protocol version 2: signature, version and command, family, length. */
const headerStart = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const capabilities = 'CAPABILITY IMAP4rev1 SASL-IR IDLE AUTH=PLAIN'

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => undefined)
  let unread = ''
  let command = ''
  socket.write(`* OK [${capabilities}] ready\r\n`)
  socket.on('data', (chunk: Buffer) => {
    const isHeader = chunk.length >= 16 && chunk.subarray(0, 12).equals(headerStart)
    unread += chunk.toString('latin1', isHeader ? 16 + chunk.readUInt16BE(14) : 0)
    for (let end = unread.indexOf('\r\n'); end !== -1; end = unread.indexOf('\r\n')) {
      command += unread.slice(0, end)
      unread = unread.slice(end + 2)
      // Names and passwords hold no line ends here, so what a literal holds is a line.
      if (command.endsWith('}')) {
        socket.write('+ go on\r\n')
        continue
      }
      answer(socket, command)
      command = ''
    }
  })
})
server.listen(Number(port), '127.0.0.1', 4096, () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.once('disconnect', () => process.exit(0))
process.once('SIGTERM', () => process.exit(0))

function answer(socket: Socket, command: string): void {
  const [tag = '*', name = ''] = command.split(' ')
  switch (name.toUpperCase()) {
    case 'CAPABILITY':
      socket.write(`* ${capabilities}\r\n${tag} OK done\r\n`)
      return
    case 'LOGIN':
    case 'AUTHENTICATE':
      socket.write(`${tag} OK [CAPABILITY IMAP4rev1 IDLE] in\r\n`)
      return
    case 'SELECT':
      socket.write(`* 1 EXISTS\r\n${tag} OK [READ-WRITE] done\r\n`)
      return
    case 'FETCH':
    case 'UID':
      socket.cork()
      socket.write(message)
      socket.write(`${tag} OK done\r\n`)
      socket.uncork()
      return
    case 'LOGOUT':
      socket.end(`* BYE see you\r\n${tag} OK done\r\n`)
      return
    default:
      socket.write(`${tag} OK done\r\n`)
  }
}
