// A server that relays every message, as a process of its own: `relaying-front.ts PORT UPSTREAM-PORT`.
import { createRelay, createSmtpServer } from '../../packages/smtp/src/index.ts'

const [port, upstreamPort] = process.argv.slice(2).map(Number)
const server = createSmtpServer({
  hostname: 'front.example',
  backend: { data: () => ({ code: 451, lines: ['The relay takes the mail'] }) },
  destination: createRelay({
    protocol: 'smtp',
    hostname: 'front.example',
    backends: () => [{ host: '127.0.0.1', port: upstreamPort ?? 0 }],
    tls: 'off',
    announcement: 'none',
  }),
  limits: { maxMessageBytes: 2 ** 30 },
})
await server.listen(port ?? 0, '127.0.0.1')
process.stdout.write('listening\n')
