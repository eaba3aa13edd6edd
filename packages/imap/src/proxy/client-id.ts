/* What is told of a client by ID (RFC 2971): its own words, and ours of where it comes from. The names are Dovecot's. */
import type { ConnectionInfo } from '@postern/core'
import { limits } from '../limits.ts'

/** What a client said of itself by ID. */
export interface ClientId {
  /** Names and values by turns, without those that begin with `x-`, by which only trusted proxies speak. */
  readonly pairs: readonly (readonly [name: string, value: string])[]
  /** Proxies that this login may still pass. */
  readonly proxiesLeft: number
}

/**
 * Names and values by turns.
 *
 * `x-proxy-ttl` is believed whoever says it, since it can only end one's own login.
 */
export function idPairs(
  { id, identity, security }: ConnectionInfo,
  { pairs, proxiesLeft }: ClientId,
): readonly string[] {
  const { client, destination, claims } = identity
  const name = (security.kind === 'tls' ? security.serverName : undefined) ?? claims?.authority
  const ours: readonly (readonly [string, string])[] = [
    ['x-session-id', id],
    ['x-originating-ip', client.address.toString()],
    ['x-originating-port', `${client.port}`],
    ['x-connected-ip', destination.address.toString()],
    ['x-connected-port', `${destination.port}`],
    ...(name === undefined ? [] : [['x-connected-name', name] as const]),
    ['x-client-transport', security.kind === 'tls' ? 'TLS' : 'insecure'],
    ['x-proxy-ttl', `${proxiesLeft - 1}`],
  ]
  return [...ours, ...pairs.slice(0, limits.maxIdPairs - ours.length)].flat().map(printable)
}

/** Quotes hold 7-bit text; a literal would have to be waited for. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?')
}

/** Names and versions of programs are shorter; all pairs together must fit into a line that a backend takes before the login. */
const maxPassedChars = 128

/** Of what a client sends by ID: what is passed on, and how many proxies it came through. */
export function readClientId(
  pairs: readonly (readonly [name: string, value: string | null])[],
  maxProxies: number,
): ClientId {
  const told = pairs.find(([name]) => name.toLowerCase() === 'x-proxy-ttl')?.[1] ?? ''
  const proxiesLeft = /^\d{1,3}$/.test(told) ? Math.min(Number(told), maxProxies) : maxProxies
  const own = pairs.filter(
    (pair): pair is readonly [string, string] =>
      pair[1] !== null && pair[1].length <= maxPassedChars && !/^x-/i.test(pair[0]),
  )
  return { pairs: own, proxiesLeft }
}
