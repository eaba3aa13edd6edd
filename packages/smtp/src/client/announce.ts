import type { ClientNames } from '@postern/core'
import type { TransactionStart } from '../session/destination.ts'
import { announcedAddress, type Attribute } from '../wire/announcement.ts'

/**
 * The client as XCLIENT tells it. ADDR comes last, since behind it the right to use XCLIENT is usually gone. Its name is
 * the one that leads back to its address, and REVERSE_NAME whatever its PTR record says, as in Postfix.
 */
export function xclientAttributes(start: TransactionStart, names: ClientNames): readonly Attribute[] {
  const { connection, principal } = start
  const { client, destination } = connection.identity
  const security = connection.security.kind === 'tls' ? connection.security : undefined
  return [
    { name: 'HELO', value: start.hello?.domain },
    { name: 'PROTO', value: protocolOf(start) },
    // Absent, it would be what the connection before had in a server that forgets it late.
    { name: 'LOGIN', value: principal?.username },
    nameOf(names),
    { name: 'REVERSE_NAME', value: names.claimed, isUnknown: names.isUnknown },
    { name: 'SESSION', value: connection.id },
    { name: 'DESTNAME', value: security?.serverName },
    { name: 'DESTADDR', value: announcedAddress(destination.address) },
    { name: 'DESTPORT', value: `${destination.port}` },
    ...addressOf(start, `${client.port}`),
  ]
}

/** Postfix offers both to whom it believes, and to nobody by default. */
export function notOffered(verb: 'XCLIENT' | 'XFORWARD'): string {
  return `${verb} with ADDR is not offered: allow it to this machine (Postfix: smtpd_authorized_${verb.toLowerCase()}_hosts)`
}

/** The client as XFORWARD tells it, with the id that stands in our Received. */
export function xforwardAttributes(start: TransactionStart, names: ClientNames): readonly Attribute[] {
  return [
    nameOf(names),
    { name: 'HELO', value: start.hello?.domain },
    { name: 'PROTO', value: protocolOf(start) },
    { name: 'IDENT', value: start.id },
    { name: 'SOURCE', value: 'REMOTE' },
    ...addressOf(start, `${start.connection.identity.client.port}`),
  ]
}

function nameOf({ verified, isUnknown }: ClientNames): Attribute {
  return { name: 'NAME', value: verified, isUnknown }
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
