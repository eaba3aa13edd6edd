import { setTimeout as delay } from 'node:timers/promises'
import type { Awaitable, CidrSet, Decision, Policy } from '@postern/core'
import { limits } from '../limits.ts'
import { clientKey } from './client-key.ts'
import type { Tally, TallyLimits, TallyVerdict } from './tally.ts'

const pass: Decision = { verdict: 'pass' }

/**
 * Connections of one client: how often, and how many at once. Counted on the client that the identity names, so a
 * balancer is never throttled for its clients.
 */
export function clientLimits(bounds: TallyLimits, exempt: CidrSet, tally: Tally): Policy {
  const decide = async (client: string, asked: Awaitable<TallyVerdict>): Promise<Decision> => {
    const first = await asked
    const verdict = await askedTwice(client, first, tally)
    return verdict === 'pass' ? pass : tooMany(client, verdict, bounds)
  }
  return {
    name: 'client-limits',
    onConnect({ identity }) {
      if (exempt.has(identity.client.address)) return pass
      const client = clientKey(identity.client.address)
      const first = tally.opened(client)
      if (first === 'pass') return pass
      return decide(client, first)
    },
    onClose({ identity }) {
      if (!exempt.has(identity.client.address)) tally.closed(clientKey(identity.client.address))
    },
  }
}

/**
 * Who closes a connection and opens the next at once may come to another worker before the news of its close: a moment is
 * given before it is called too many.
 */
export async function askedTwice(key: string, first: TallyVerdict, tally: Tally): Promise<TallyVerdict> {
  if (first !== 'concurrency') return first
  await delay(limits.closeNewsMs)
  return tally.opened(key, 'again')
}

function tooMany(client: string, reason: 'rate' | 'concurrency', { rate, concurrent }: TallyLimits): Decision {
  const detail =
    reason === 'rate'
      ? `${client} connected more than ${rate?.connections} times in ${(rate?.perMs ?? 0) / 1000} s (policy.rate.connections-per-client)`
      : `${client} has ${concurrent} connections open (policy.concurrency.connections-per-client)`
  return { verdict: 'defer', reason, detail }
}
