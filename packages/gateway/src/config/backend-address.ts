import { parseIpAddress } from '@postern/core'

/** Where one backend listens. */
export type BackendAddress =
  | { readonly host: string; readonly port: number }
  /** The path of a UNIX socket. */
  | { readonly path: string }

export type BackendProtocol = 'smtp' | 'lmtp' | 'imap'

const ipv6Form = /^\[(?<host>[0-9A-Fa-f:.]+)\](?::(?<port>[1-9][0-9]{0,4}))?$/
const hostForm = /^(?<host>[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\.?)(?::(?<port>[1-9][0-9]{0,4}))?$/

/**
 * Reads `10.0.0.1:25`, `mail.example.org`, `[2001:db8::1]:25` or `/run/lmtp`. A name is looked up at each connection.
 * `undefined` when it is none of these.
 */
export function parseBackendAddress(
  text: string,
): { readonly host: string; readonly port?: number } | { readonly path: string } | undefined {
  if (text.startsWith('/')) return text.includes('\0') || text.length > maxSocketPathBytes ? undefined : { path: text }
  const written = (ipv6Form.exec(text) ?? hostForm.exec(text))?.groups
  const host = written?.['host']
  if (host === undefined) return undefined
  // What is written as an address must be one: `10.0.0.300` is no name of anything.
  const isAddress = text.startsWith('[') || /^[0-9.]+$/.test(host)
  const folded = isAddress ? parseIpAddress(host)?.toString() : host.toLowerCase()
  if (folded === undefined) return undefined
  if (written?.['port'] === undefined) return { host: folded }
  const port = Number(written['port'])
  return port > 65_535 ? undefined : { host: folded, port }
}

/** Linux's sun_path, without its NUL. */
const maxSocketPathBytes = 107

/** IANA's; implicit TLS as in RFC 8314 section 3. LMTP has none (RFC 2033 section 5): 24 is for any private mail system. */
export function defaultBackendPort(protocol: BackendProtocol, isImplicitTls: boolean): number {
  if (protocol === 'smtp') return isImplicitTls ? 465 : 25
  if (protocol === 'lmtp') return 24
  return isImplicitTls ? 993 : 143
}

/** As it is written in the configuration and in the log. */
export function formatBackendAddress(address: BackendAddress): string {
  if ('path' in address) return address.path
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/**
 * One address that a directory named, with the port of the protocol where it names none.
 *
 * @throws on what no directory may answer.
 */
export function serverAddress(
  server: string,
  { protocol, tls }: { readonly protocol: BackendProtocol; readonly tls: { readonly mode: string } },
): BackendAddress {
  const address = parseBackendAddress(server)
  if (address === undefined) throw new Error('a directory named a server that is no address')
  return 'path' in address ? address : { port: defaultBackendPort(protocol, tls.mode === 'implicit'), ...address }
}
