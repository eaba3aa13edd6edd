import { createServer, type Server } from 'node:net'
import { endpoint, runSession, type Authenticator, type Connection, type MailStore } from '@postern/core'
import { createImapSession, type ImapSessionOptions } from '../src/index.ts'

export function serve(store: MailStore, authenticator: Authenticator): Server {
  const options: ImapSessionOptions = {
    hostname: 'imap.example.org',
    offersStartTls: false,
    policies: [],
    authenticator,
    store,
    now: () => new Date(),
    maxAppendBytes: 26_214_400,
  }
  return createServer((stream) => {
    const client = endpoint(stream.remoteAddress ?? '', stream.remotePort ?? 0)
    const destination = endpoint(stream.localAddress ?? '', stream.localPort ?? 0)
    const gone = new AbortController()
    stream.once('close', () => gone.abort())
    const connection: Connection = {
      id: 'r4nd0m1d00000001',
      listener: { name: 'imap', protocol: 'imap', tls: 'off' },
      identity: { origin: 'direct', client, peer: client, destination, trust: { rule: 'absent' } },
      security: { kind: 'cleartext' },
      stream,
      signal: gone.signal,
    }
    runSession(connection, (context) => createImapSession(context, options))
  })
}
