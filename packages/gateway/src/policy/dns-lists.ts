import type { Awaitable, Decision, IpAddress, ListenerInfo, Policy } from '@postern/core'
import type { DnsListConfig } from '../config/schema.ts'
import type { DnsList, ListVerdict } from './dns-list.ts'
import { isOfNoWorld } from './places.ts'

/** A list and what an operator does with it. */
export interface UsedDnsList {
  readonly list: Pick<DnsList, 'verdictOn' | 'zone'>
  readonly config: DnsListConfig
}

/** Told of a client that is on a list whose action is `note`. */
export type OnListed = (at: { readonly listener: ListenerInfo; readonly client: IpAddress }, detail: string) => void

/**
 * Asks every list of a listener about the client, all at once. A list that does not answer refuses nobody; an allow list
 * outweighs all block lists.
 */
export function dnsLists(
  lists: readonly UsedDnsList[],
  isAllowed: (client: IpAddress, listener: string) => boolean,
  onListed: OnListed,
): Policy {
  return {
    name: 'dns-list',
    onConnect({ identity, listener }) {
      const client = identity.client.address
      const asked = lists.filter(({ config }) => config.listeners.includes(listener.name))
      if (asked.length === 0 || isOfNoWorld.has(client) || isAllowed(client, listener.name)) return pass
      const decide = (verdicts: readonly ListVerdict[]): Decision =>
        judge(asked, verdicts, { listener, client }, onListed)
      const verdicts = asked.map(({ list }) => list.verdictOn(client))
      return isSettled(verdicts) ? decide(verdicts) : settle(verdicts, decide)
    },
  }
}

const pass: Decision = { verdict: 'pass' }

/** All of them were known: then no client waits a turn for it. */
function isSettled(verdicts: readonly Awaitable<ListVerdict>[]): verdicts is readonly ListVerdict[] {
  return verdicts.every((verdict) => !(verdict instanceof Promise))
}

async function settle(
  verdicts: readonly Awaitable<ListVerdict>[],
  decide: (verdicts: readonly ListVerdict[]) => Decision,
): Promise<Decision> {
  return decide(await Promise.all(verdicts.map((verdict) => Promise.resolve(verdict))))
}

function judge(
  asked: readonly UsedDnsList[],
  verdicts: readonly ListVerdict[],
  at: { readonly listener: ListenerInfo; readonly client: IpAddress },
  onListed: OnListed,
): Decision {
  const listings = asked.flatMap(({ config }, index) => {
    const verdict = verdicts[index]
    return verdict?.status === 'listed' ? [{ config, answer: verdict.answer }] : []
  })
  if (listings.some(({ config }) => config.kind === 'allow')) return pass
  const who = at.client.toString()
  for (const { config, answer } of listings) {
    const { action, zone } = config
    if (action !== 'note') continue
    onListed(at, `${who} is on ${zone} (${answer})`)
  }
  // Of several lists the strictest action is taken, and the first list that asks for it is named.
  const worst =
    listings.find(({ config }) => config.action === 'refuse') ??
    listings.find(({ config }) => config.action === 'defer')
  if (worst === undefined) return pass
  const { action, zone, text = `Your address is listed by {zone}` } = worst.config
  return {
    verdict: action === 'refuse' ? 'refuse' : 'defer',
    reason: 'dns-list',
    detail:
      `${who} is on ${zone} (${worst.answer}): if it should not be, have it taken off there, ` +
      `or let it pass by policy.access with action = "allow"`,
    reply: { text: text.replaceAll('{client}', who).replaceAll('{zone}', zone) },
  }
}
