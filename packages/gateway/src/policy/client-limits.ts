import type { CidrSet, Decision, Policy } from '@postern/core'
import { clientKey } from './client-key.ts'
import type { Tally, TallyLimits } from './tally.ts'

/**
 * Connections of one client: how often, and how many at once. Counted on the client that the identity names, so a
 * balancer is never throttled for its clients; a balancer that speaks for itself is not counted at all.
 */
export function clientLimits(bounds: TallyLimits, exempt: CidrSet, tally: Tally): Policy {
  const counts = ({ identity }: Parameters<NonNullable<Policy['onConnect']>>[0]): boolean =>
    identity.origin !== 'proxy-itself' && !exempt.has(identity.client.address)
  return {
    name: 'client-limits',
    async onConnect(at) {
      if (!counts(at)) return { verdict: 'pass' }
      const client = clientKey(at.identity.client.address)
      const verdict = await tally.opened(client)
      return verdict === 'pass' ? { verdict } : tooMany(client, verdict, bounds)
    },
    onClose(at) {
      if (counts(at)) tally.closed(clientKey(at.identity.client.address))
    },
  }
}

function tooMany(client: string, reason: 'rate' | 'concurrency', { rate, concurrent }: TallyLimits): Decision {
  const detail =
    reason === 'rate'
      ? `${client} connected more than ${rate?.connections} times in ${(rate?.perMs ?? 0) / 1000} s (policy.rate.connections-per-client)`
      : `${client} has ${concurrent} connections open (policy.concurrency.connections-per-client)`
  return { verdict: 'defer', reason, detail }
}
