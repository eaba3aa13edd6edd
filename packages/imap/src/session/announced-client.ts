/*
 * A front end, such as a webmail or another proxy, says by ID for whom it speaks (RFC 2971, in Dovecot's names). That is
 * worth what a PROXY header is worth, so it is taken only from networks that are listed for it; being trusted to send a
 * header is no such listing. It counts once, before the login, and all policies are asked again for the client it names.
 */
import {
  endpoint,
  parseIpAddress,
  type ChannelSecurity,
  type ClientIdentity,
  type ConnectionInfo,
  type IpAddress,
} from '@postern/core'

/** Names and values by turns, as ID has them. */
export type IdPairs = readonly (readonly [name: string, value: string | null])[]

/** The client of a front end. */
export interface AnnouncedClient {
  readonly address: IpAddress
  /** 0 where nobody said. */
  readonly port: number
  /** Where the client connected to. */
  readonly destination: { readonly address?: IpAddress | undefined; readonly port?: number | undefined }
  /** What the client asked for by TLS. */
  readonly serverName: string | undefined
  readonly isSecure: boolean
  /** For the log: what was understood, and the id by which the front end knows the session. */
  readonly told: Readonly<Record<string, string>>
}

/** What ID says of the client behind a front end: somebody, nobody, or something that makes no sense. */
export type Announcement =
  | { readonly kind: 'none' }
  | { readonly kind: 'bad' }
  | { readonly kind: 'client'; readonly client: AnnouncedClient }

const names = [
  'x-originating-ip',
  'x-originating-port',
  'x-connected-ip',
  'x-connected-port',
  'x-connected-name',
  'x-client-transport',
  'x-session-id',
] as const

/** Without an originating address nobody is announced, whatever else is said. */
export function readAnnouncement(pairs: IdPairs): Announcement {
  const said = new Map<string, string>()
  for (const [name, value] of pairs) if (value !== null) said.set(name.toLowerCase(), value)
  const originating = said.get('x-originating-ip')
  if (originating === undefined) return { kind: 'none' }
  const address = parseIpAddress(originating)
  const [port, connectedPort] = [portOf(said.get('x-originating-port')), portOf(said.get('x-connected-port'))]
  const connected = said.get('x-connected-ip')
  const destination = connected === undefined ? undefined : parseIpAddress(connected)
  const isBad = address === undefined || port === 'bad' || connectedPort === 'bad'
  if (isBad || (connected !== undefined && destination === undefined)) return { kind: 'bad' }
  const serverName = said.get('x-connected-name')?.toLowerCase()
  const told = names.flatMap((name) => {
    const value = said.get(name)
    return value === undefined ? [] : [[name.slice('x-'.length), value] as const]
  })
  const client: AnnouncedClient = {
    address,
    port: port ?? 0,
    destination: { address: destination, port: connectedPort },
    serverName: serverName !== undefined && isHostName(serverName) ? serverName : undefined,
    isSecure: said.get('x-client-transport')?.toUpperCase() === 'TLS',
    told: Object.fromEntries(told),
  }
  return { kind: 'client', client }
}

/** The connection as it is for the client that was announced. What is not announced stays as it was. */
export function speakingFor(before: ConnectionInfo, client: AnnouncedClient): ConnectionInfo {
  const { clientNames: _, ...connection } = before
  const { destination } = before.identity
  const identity: ClientIdentity = Object.freeze({
    ...before.identity,
    origin: 'proxied',
    client: endpoint(client.address, client.port),
    destination: endpoint(
      client.destination.address ?? destination.address,
      client.destination.port ?? destination.port,
    ),
  })
  return { ...connection, identity, security: securityOf(before.security, client) }
}

/**
 * A certificate that was shown is the front end's and signs nobody else in, and what the client behind it binds itself to
 * is another channel. TLS that ends at the front end is as good as its word, as with the SSL TLV of a balancer.
 */
function securityOf(before: ChannelSecurity, { isSecure, serverName }: AnnouncedClient): ChannelSecurity {
  const named = serverName === undefined ? {} : { serverName }
  if (before.kind === 'tls') {
    const { clientCommonName: _, tlsExporter: __, ...security } = before
    return { ...security, ...named }
  }
  return isSecure ? { kind: 'tls', endedBy: 'proxy', version: 'unknown', cipher: 'unknown', ...named } : before
}

function portOf(text: string | undefined): number | undefined | 'bad' {
  if (text === undefined) return undefined
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : 'bad'
}

function isHostName(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?)*$/.test(text)
}
