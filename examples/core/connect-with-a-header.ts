// Plays the balancer: tells an HTTPS server for whom the connection is, then asks for a page on the client's behalf.
//
//   node examples/core/connect-with-a-header.ts 8443 203.0.113.7 cert.pem
import { readFileSync } from 'node:fs'
import { connect as connectTls } from 'node:tls'
import { connect, endpoint, tlvType } from '@postern/core'

const [port = '8443', client = '203.0.113.7', caFile] = process.argv.slice(2)

const connecting = connect(
  { host: '127.0.0.1', port: Number(port) },
  {
    version: 2,
    command: 'proxy',
    source: endpoint(client, 45678),
    destination: endpoint('192.0.2.10', 443),
    tlvs: [{ type: tlvType.uniqueId, value: Buffer.from('c0ffee', 'hex') }],
    hasChecksum: true,
  },
)
// What the protocol forbids to send is refused before anything is opened.
if (!connecting.ok) throw new Error(`${connecting.code}: ${connecting.detail}`)

// TLS begins behind the header, on the same connection, which serves this client and no other.
const tls = connectTls({
  socket: connecting.socket,
  servername: 'mx.example.org',
  ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
})
tls.write('GET / HTTP/1.1\r\nHost: mx.example.org\r\nConnection: close\r\n\r\n')
tls.pipe(process.stdout)
