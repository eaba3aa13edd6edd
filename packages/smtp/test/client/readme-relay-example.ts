import { createServer, type Server } from 'node:net'
import { endpoint, identify, runSession } from '@postern/core'
import { createRelay, createSmtpSession, type Backend, type SmtpSessionOptions } from '../../src/index.ts'

/** An SMTP server that hands each step to a backend, and says 250 when the backend has. */
export function createFront(...backends: Backend[]): Server {
  const relay = createRelay({
    protocol: 'smtp',
    hostname: 'mx.example',
    backends: () => backends,
    tls: 'off',
    announcement: 'xclient',
    observer: { failed: ({ backend, code, detail }) => console.error(backend, code, detail) },
  })
  const options: SmtpSessionOptions = {
    hostname: 'mx.example',
    mode: 'mx',
    offersStartTls: false,
    policies: [],
    router: {
      forRecipient: ({ forwardPath }) =>
        forwardPath.endsWith('@example.org')
          ? { to: 'upstream', upstream: 'inside' }
          : { to: 'nowhere', decision: { verdict: 'refuse', reason: 'no-relay' } },
    },
    destinationFor: () => relay,
    now: () => new Date(),
  }
  return createServer({ allowHalfOpen: true }, (stream) => {
    const peer = endpoint(stream.remoteAddress ?? '', stream.remotePort ?? 0)
    const local = endpoint(stream.localAddress ?? '', stream.localPort ?? 0)
    const identity = identify({ peer, local, verdict: { rule: 'absent' } })
    const id = Math.random().toString(36).slice(2, 18)
    const listener = { name: 'mx', protocol: 'smtp', tls: 'off' } as const
    const { signal } = new AbortController()
    const connection = { id, listener, identity, security: { kind: 'cleartext' }, stream, signal } as const
    runSession(connection, (context) => createSmtpSession(context, options))
  })
}
