import { createServer, type Server, type Socket } from 'node:net'
import { endpoint, identify, runSession, type Connection } from '@postern/core'
import { createSmtpSession, type Delivery, type SmtpSessionOptions } from '../src/index.ts'

/** Takes every message and says how long it was. */
const say = (): Delivery => {
  let bytes = 0
  return {
    addRecipient: () => ({ code: 250, enhanced: '2.1.5', lines: ['OK'] }),
    write: (chunk) => {
      bytes += chunk.length
    },
    commit: () => ({ code: 250, enhanced: '2.0.0', lines: [`Thank you for ${bytes} bytes`] }),
    abort: () => {},
  }
}

const options: SmtpSessionOptions = {
  hostname: 'mx.example',
  mode: 'mx',
  offersStartTls: false,
  policies: [],
  router: { forRecipient: ({ forwardPath }) => ({ to: 'store', account: forwardPath }) },
  destinationFor: () => ({ begin: say }),
  now: () => new Date(),
}

export const server: Server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
  const connection: Connection = {
    id: Math.random().toString(36).slice(2, 18),
    listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
    identity: identify({
      peer: endpoint(socket.remoteAddress ?? '', socket.remotePort ?? 0),
      local: endpoint(socket.localAddress ?? '', socket.localPort ?? 0),
      verdict: { rule: 'absent' },
    }),
    security: { kind: 'cleartext' },
    stream: socket,
    signal: new AbortController().signal,
  }
  runSession(connection, (context) => createSmtpSession(context, options))
})
