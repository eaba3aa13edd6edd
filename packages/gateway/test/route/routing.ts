import { endpoint, type ClientIdentity, type ConnectionInfo } from '@postern/core'

/** A connection with what routes look at. */
export function connectionFrom(
  facts: {
    readonly client?: string
    readonly listener?: string
    readonly protocol?: 'smtp' | 'imap'
    readonly serverName?: string
    readonly authority?: string
    readonly origin?: ClientIdentity['origin']
  } = {},
): ConnectionInfo {
  const { client = '203.0.113.7', listener = 'mx', protocol = 'smtp', serverName, authority, origin = 'direct' } = facts
  return {
    id: '0123456789abcdef',
    listener: { name: listener, protocol, tls: 'starttls' },
    identity: {
      origin,
      client: endpoint(client, 40_000),
      peer: endpoint(client, 40_000),
      destination: endpoint('192.0.2.1', 25),
      trust: { rule: 'absent' },
      ...(authority === undefined ? {} : { claims: { version: 2, command: 'proxy', authority } as const }),
    },
    security:
      serverName === undefined
        ? { kind: 'cleartext' }
        : { kind: 'tls', endedBy: 'gateway', version: 'TLSv1.3', cipher: 'x', serverName },
  }
}
