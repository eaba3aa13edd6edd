import type { IpAddress } from '@postern/core'

/**
 * Whom a count is kept for. An IPv6 host owns its /64 and may change address within it at will (RFC 4291 section 2.5.1),
 * so the /64 is one client; an IPv4 address is one.
 */
export function clientKey(client: IpAddress): string {
  return client.family === 6 ? `${client.network(64).toString()}/64` : client.toString()
}

/** How many bits of an address name the network that it is counted with. */
export interface NetworkBits {
  readonly ipv4: number
  readonly ipv6: number
}

export function networkKey(client: IpAddress, { ipv4, ipv6 }: NetworkBits): string {
  const bits = client.family === 6 ? ipv6 : ipv4
  return `${client.network(bits).toString()}/${bits}`
}

/** Names of users that differ in case or composition only are one: an attacker spells them in every way. */
export function userKey(username: string): string {
  return username.normalize('NFKC').toLowerCase().slice(0, 320)
}
