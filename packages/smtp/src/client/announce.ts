import type { TransactionStart } from '../session/destination.ts'
import { announcedAddress, type Attribute } from '../wire/announcement.ts'

/**
 * The client as XCLIENT tells it. ADDR comes last, since behind it the right to use XCLIENT is usually gone. Whether its
 * name was looked up we do not know, so a backend that wants it asks the DNS.
 */
export function xclientAttributes(start: TransactionStart): readonly Attribute[] {
  const { connection, principal } = start
  const { client, destination } = connection.identity
  const security = connection.security.kind === 'tls' ? connection.security : undefined
  return [
    { name: 'HELO', value: start.hello?.domain },
    { name: 'PROTO', value: protocolOf(start) },
    // Absent, it would be what the connection before had in a server that forgets it late.
    { name: 'LOGIN', value: principal?.username },
    { name: 'NAME' },
    { name: 'REVERSE_NAME' },
    { name: 'SESSION', value: connection.id },
    { name: 'DESTNAME', value: security?.serverName },
    { name: 'DESTADDR', value: announcedAddress(destination.address) },
    { name: 'DESTPORT', value: `${destination.port}` },
    ...addressOf(start, `${client.port}`),
  ]
}

/** The client as XFORWARD tells it, with the id that stands in our Received. */
export function xforwardAttributes(start: TransactionStart): readonly Attribute[] {
  return [
    { name: 'NAME' },
    { name: 'HELO', value: start.hello?.domain },
    { name: 'PROTO', value: protocolOf(start) },
    { name: 'IDENT', value: start.id },
    { name: 'SOURCE', value: 'REMOTE' },
    ...addressOf(start, `${start.connection.identity.client.port}`),
  ]
}

/** A balancer that speaks for itself is nobody's client: its address must not pass for one. */
function addressOf({ connection }: TransactionStart, port: string): readonly Attribute[] {
  const { origin, client } = connection.identity
  if (origin === 'proxy-itself') return [{ name: 'PORT' }, { name: 'ADDR' }]
  return [
    { name: 'PORT', value: port },
    { name: 'ADDR', value: announcedAddress(client.address) },
  ]
}

function protocolOf({ hello }: TransactionStart): string {
  return hello?.verb === 'HELO' ? 'SMTP' : 'ESMTP'
}
