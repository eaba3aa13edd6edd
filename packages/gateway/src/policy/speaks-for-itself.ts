import type { ClientIdentity, Endpoint } from '@postern/core'

/**
 * The balancer looks whether we live, on nobody's behalf. Version 2 says so with LOCAL; in version 1 a check names both
 * ends of its own connection (PROXY protocol specification, section 2.1), which no connection through it has.
 *
 * The client's end alone says nothing: a balancer that keeps client addresses (AWS NLB, `usesrc` of HAProxy) connects
 * from the very address and port that its header names, for every client.
 *
 * @param local - the socket's own end.
 */
export function speaksForItself(
  { origin, client, peer, destination, claims }: ClientIdentity,
  local: Endpoint,
): boolean {
  if (origin !== 'proxied') return origin === 'proxy-itself'
  return claims?.version === 1 && isSame(client, peer) && isSame(destination, local)
}

function isSame(one: Endpoint, other: Endpoint): boolean {
  return one.port === other.port && one.address.equals(other.address)
}
