/*
 * The npm package smtp-server, reading messages and dropping them. As its documentation has a server in production: without
 * a log, and without the reverse lookups that no other server here does. With a second argument above 1, that many
 * processes share the port.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { SMTPServer } from 'smtp-server'

const [portText = '0', workersText = '1', proxy] = process.argv.slice(2)

const smtp = new SMTPServer({
  authOptional: true,
  disabledCommands: ['AUTH', 'STARTTLS'],
  ...(proxy === 'proxy' && { useProxy: ['127.0.0.1'] }),
  disableReverseLookup: true,
  logger: false,
  maxClients: Infinity,
  onData(stream, _session, callback) {
    stream.on('end', () => callback())
    stream.resume()
  },
})
smtp.on('error', () => {})
const server = smtp.server
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
