import { parseIpAddress, type ListenerProtocol, type TlsMode } from '@postern/core'
import type { BindAddress } from './schema.ts'

const ipv4Form = /^(?<host>[0-9.]+)(?::(?<port>0|[1-9][0-9]{0,4}))?$/
const ipv6Form = /^\[(?<host>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+)\](?::(?<port>0|[1-9][0-9]{0,4}))?$/

/**
 * Reads `0.0.0.0:25`, `[::]:25`, `127.0.0.1` or `[::1]`. IPv6 needs its brackets, since `::1:25` is an address too. No
 * host names: what they mean could change between two starts. `undefined` when it is none of these.
 */
export function parseBindAddress(text: string): { readonly host: string; readonly port?: number } | undefined {
  const written = (ipv4Form.exec(text) ?? ipv6Form.exec(text))?.groups
  const host = parseIpAddress(written?.['host'] ?? '')?.toString()
  if (host === undefined) return undefined
  if (written?.['port'] === undefined) return { host }
  const port = Number(written['port'])
  return port > 65_535 ? undefined : { host, port }
}

/** The ports of IANA's registry; implicit TLS as in RFC 8314 section 3. */
const registeredPorts: Readonly<Record<ListenerProtocol, { readonly clear: number; readonly implicit: number }>> = {
  smtp: { clear: 25, implicit: 465 },
  submission: { clear: 587, implicit: 465 },
  // RFC 2033 section 5: never 25. This one is for any private mail system.
  lmtp: { clear: 24, implicit: 24 },
  imap: { clear: 143, implicit: 993 },
}

export function defaultPort(protocol: ListenerProtocol, tls: TlsMode): number {
  return registeredPorts[protocol][tls === 'implicit' ? 'implicit' : 'clear']
}

/**
 * Both would take the same connections. `0.0.0.0` holds every IPv4 address and `::` every IPv6 one, so with
 * SO_REUSEPORT the kernel would let both bind and hand the connection to one of them. Port 0 never collides.
 */
export function collide(a: BindAddress, b: BindAddress): boolean {
  if (a.port !== b.port || a.port === 0) return false
  if (a.host.includes(':') !== b.host.includes(':')) return false
  return a.host === b.host || isWildcard(a) || isWildcard(b)
}

export function isWildcard({ host }: BindAddress): boolean {
  return host === '0.0.0.0' || host === '::'
}

export function isLoopback({ host }: BindAddress): boolean {
  return host.startsWith('127.') || host === '::1'
}

/** As it is written in a URL or a log line. */
export function formatBindAddress({ host, port }: BindAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Of a text that the schema has looked at. */
export function knownBindAddress(text: string, port: number): BindAddress {
  const address = parseBindAddress(text)
  if (address === undefined) throw new TypeError(`${text} passed the schema, but is no address`)
  return { port, ...address }
}
