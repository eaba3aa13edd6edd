/*
 * What any server in Node must spend: accepts, writes the greeting, and closes when the client does. With a mode of trust
 * as its second argument, core's front stands before it.
 */
import { createServer, type AddressInfo } from 'node:net'
import { compileCidrSet, createTrustRule, proxied } from '@postern/core'

const [greeting = '', mode] = process.argv.slice(2)

const server = createServer((socket) => {
  socket.on('error', () => {})
  socket.resume()
  socket.write(greeting)
})
if (mode === 'off' || mode === 'require') {
  const networks = compileCidrSet(['127.0.0.0/8'])
  if (!networks.ok) throw new Error('loopback is a network')
  proxied(server, { trust: createTrustRule({ mode, networks: networks.set }) })
}
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.send?.({ direct: port, proxied: port })
})
process.once('disconnect', () => process.exit())
