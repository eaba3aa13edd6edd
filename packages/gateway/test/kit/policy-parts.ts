import type { PolicyNote, PolicyParts } from '../../src/policy/chain.ts'
import { PolicyDecisions } from '../../src/policy/decisions.ts'
import { isLimited, limitsOf, type Meter } from '../../src/policy/meters.ts'
import type { Meters } from '../../src/policy/shared-meters.ts'
import { LocalTally } from '../../src/policy/tally.ts'
import type { PolicyConfig } from '../../src/config/schema.ts'

/** Tallies of one process. */
export function localMeters(config: PolicyConfig): Meters {
  const tallies = new Map<Meter, LocalTally>()
  return {
    tally: (meter) => {
      const bounds = limitsOf(meter, config)
      if (!isLimited(bounds)) return undefined
      const tally = tallies.get(meter) ?? new LocalTally(bounds)
      tallies.set(meter, tally)
      return tally
    },
  }
}

/** A configuration that asks for nothing. */
export const noPolicy: PolicyConfig = {
  deny: [],
  ignoredHosts: [],
  exemptNetworks: [],
  access: [],
  dnsLists: [],
  hello: { syntax: 'off', unqualified: 'off', ownName: 'off', addressLiteral: 'off' },
  networkBits: { ipv4: 24, ipv6: 48 },
  rate: {
    connectionsPerClient: 'unlimited',
    connectionsPerNetwork: 'unlimited',
    commandsPerClient: 'unlimited',
    messagesPerClient: 'unlimited',
    messagesPerUser: 'unlimited',
    recipientsPerClient: 'unlimited',
    recipientsPerUser: 'unlimited',
    failedLoginsPerClient: 'unlimited',
    failedLoginsPerUser: 'unlimited',
  },
  concurrency: { connectionsPerClient: 'unlimited', connectionsPerNetwork: 'unlimited', sessionsPerUser: 'unlimited' },
  ban: { firstMs: 600_000, longestMs: 86_400_000 },
}

/** What policies are made with, keeping what they note and count. */
export function partsWith(
  config: PolicyConfig,
  more: Partial<PolicyParts> = {},
): PolicyParts & { readonly decisions: PolicyDecisions; readonly notes: (PolicyNote & { readonly detail: string })[] } {
  const notes: (PolicyNote & { readonly detail: string })[] = []
  return {
    tallies: localMeters(config),
    guards: [],
    ownNames: new Set(),
    openDnsList: () => {
      throw new Error('no list is expected')
    },
    log: { noted: (note, detail) => notes.push({ ...note, detail }) },
    ...more,
    decisions: new PolicyDecisions(),
    notes,
  }
}
