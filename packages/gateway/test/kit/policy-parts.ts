import type { PolicyNote, PolicyParts } from '../../src/policy/chain.ts'
import { PolicyDecisions } from '../../src/policy/decisions.ts'
import type { Tally } from '../../src/policy/tally.ts'

/** What policies are made with, keeping what they note and count. */
export function partsWith(
  tally: Tally,
  more: Partial<PolicyParts> = {},
): PolicyParts & { readonly decisions: PolicyDecisions; readonly notes: (PolicyNote & { readonly detail: string })[] } {
  const notes: (PolicyNote & { readonly detail: string })[] = []
  return {
    tallies: { clients: tally, users: tally },
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
