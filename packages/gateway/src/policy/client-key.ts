import type { IpAddress } from '@postern/core'

/**
 * Whom a count is kept for. An IPv6 host owns its /64 and may change address within it at will (RFC 4291 section 2.5.1),
 * so the /64 is one client; an IPv4 address is one.
 */
export function clientKey(client: IpAddress): string {
  return client.family === 6 ? `${client.network(64).toString()}/64` : client.toString()
}
