import { setTimeout as delay } from 'node:timers/promises'
import type { Awaitable, CidrSet, Decision, IpAddress, Policy } from '@postern/core'
import { limits } from '../limits.ts'
import type { Tally, TallyLimits, TallyVerdict } from './tally.ts'

const pass: Decision = { verdict: 'pass' }

/** Who is limited, and how: a client, or the network that it is in. */
export interface ConnectionLimit {
  readonly name: 'client-limits' | 'network-limits'
  readonly bounds: TallyLimits
  readonly tally: Tally
  readonly keyOf: (client: IpAddress) => string
  /** The keys of the configuration, for the log. */
  readonly keys: { readonly rate: string; readonly concurrency: string }
}

/**
 * Connections of one client, or of one network: how often, and how many at once. Counted on the client that the identity
 * names, so a balancer is never throttled for its clients.
 */
export function connectionLimits(limit: ConnectionLimit, exempt: CidrSet): Policy {
  const { name, tally, keyOf } = limit
  const decide = async (key: string, asked: Awaitable<TallyVerdict>): Promise<Decision> => {
    const verdict = await askedTwice(key, await asked, tally)
    return verdict === 'pass' ? pass : tooMany(key, verdict, limit)
  }
  return {
    name,
    onConnect({ identity }) {
      if (exempt.has(identity.client.address)) return pass
      const key = keyOf(identity.client.address)
      const first = tally.opened(key)
      if (first === 'pass') return pass
      return decide(key, first)
    },
    onClose({ identity }) {
      if (!exempt.has(identity.client.address)) tally.closed(keyOf(identity.client.address))
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

function tooMany(who: string, reason: 'rate' | 'concurrency', { bounds, keys }: ConnectionLimit): Decision {
  const { rate, concurrent } = bounds
  const detail =
    reason === 'rate'
      ? `${who} connected more than ${rate?.count} times in ${(rate?.perMs ?? 0) / 1000} s (${keys.rate})`
      : `${who} has ${concurrent} connections open (${keys.concurrency})`
  return { verdict: 'defer', reason, detail }
}
