// An HTTPS server behind a balancer: the PROXY header comes first, then TLS, then HTTP. Requests see the client.
//
//   node examples/core/front-an-https-server.ts key.pem cert.pem 8443
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { compileCidrSet, createTrustRule, formatEndpoint, identityOf, proxied } from '@postern/core'

const [keyFile, certFile, port = '8443'] = process.argv.slice(2)
if (keyFile === undefined || certFile === undefined) throw new Error('name a key file and a certificate file')

const server = createServer({ key: readFileSync(keyFile), cert: readFileSync(certFile) }, (request, response) => {
  const { client, destination, peer, claims } = identityOf(request.socket)!
  response.end(
    `${formatEndpoint(client)} dialled ${formatEndpoint(destination)} through ${peer.address.toString()}` +
      `${claims?.uniqueId ? `, connection ${claims.uniqueId}` : ''}\n`,
  )
})

// Whoever is in these networks may claim to be any client: your balancers, and nobody else.
const networks = compileCidrSet(['127.0.0.1', '::1'])
if (!networks.ok) throw new Error(JSON.stringify(networks.problems))

proxied(server, {
  trust: createTrustRule({ mode: 'require', networks: networks.set }),
  timeoutMs: 5_000,
  observer: { refused: ({ code, detail }) => console.error(code, detail) },
}).listen(Number(port), '127.0.0.1', () => {
  console.log(`listening on port ${(server.address() as AddressInfo).port}`)
})
