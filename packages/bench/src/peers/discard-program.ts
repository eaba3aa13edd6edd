/*
 * An SMTP server of @postern/smtp that reads messages and drops them: as its README writes one, with nothing behind it.
 * With a second argument above 1, that many processes share the port.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { identify, localOf, peerOf, runSession, type Connection } from '@postern/core'
import { createSmtpSession, type Delivery, type SmtpSessionOptions } from '@postern/smtp'

const [portText = '0', workersText = '1'] = process.argv.slice(2)

const dropped: Delivery = {
  addRecipient: () => ({ code: 250, enhanced: '2.1.5', lines: ['OK'] }),
  write: () => {},
  commit: () => ({ code: 250, enhanced: '2.0.0', lines: ['OK'] }),
  abort: () => {},
}

const options: SmtpSessionOptions = {
  hostname: 'mx.example.org',
  mode: 'mx',
  offersStartTls: false,
  policies: [],
  router: { forRecipient: () => ({ to: 'store', account: 'nobody' }) },
  destinationFor: () => ({ begin: () => dropped }),
  now: () => new Date(),
}

let serial = 0

function serve(socket: Socket): void {
  const peer = peerOf(socket)
  const local = localOf(socket)
  socket.on('error', () => {})
  if (peer === undefined || local === undefined) return void socket.destroy()
  const connection: Connection = {
    id: (serial++).toString(36).padStart(16, '0'),
    listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
    identity: identify({ peer, local, verdict: { rule: 'absent' } }),
    security: { kind: 'cleartext' },
    stream: socket,
    signal: unending,
  }
  runSession(connection, (context) => createSmtpSession(context, options))
}

const unending = new AbortController().signal
const server = createServer({ allowHalfOpen: true, noDelay: true }, serve)
server.listen({
  port: Number(portText),
  host: '127.0.0.1',
  backlog: 4_096,
  reusePort: Number(workersText) > 1 || portText !== '0',
})
await once(server, 'listening')
const { port } = server.address() as AddressInfo
for (let i = 1; i < Number(workersText); i++) {
  const sibling = fork(fileURLToPath(import.meta.url), [String(port)])
  await once(sibling, 'message')
}
process.send?.({ port })
// An exit of its own, so that a profile is written.
process.once('SIGTERM', () => process.exit())
process.once('disconnect', () => process.exit())
