import type { ClientIdentity } from '@postern/core'

/**
 * The balancer looks whether we live, on nobody's behalf. Version 2 says so with LOCAL; in version 1 a check names the
 * two ends of its own connection (PROXY protocol specification, section 2.1), which no client of it can have.
 */
export function speaksForItself({ origin, client, peer }: ClientIdentity): boolean {
  if (origin !== 'proxied') return origin === 'proxy-itself'
  return client.port === peer.port && client.address.equals(peer.address)
}
