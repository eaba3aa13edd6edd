import type { Endpoint } from '../contracts/address.ts'
import type { HeaderRule, TrustVerdict } from '../contracts/identity.ts'
import type { CidrSet } from '../ip/cidr.ts'

/**
 * How a listener treats peers.
 *
 * | mode       | peer in a trusted network | any other peer |
 * | ---------- | ------------------------- | -------------- |
 * | `off`      | header must be absent     | header must be absent |
 * | `require`  | header required           | refused        |
 * | `mixed`    | header required           | header must be absent |
 * | `optional` | header may come           | header must be absent |
 */
export type TrustMode = 'off' | 'require' | 'mixed' | 'optional'

/** Judges peers for one listener (PROXY protocol specification, sections 2 and 5). */
export interface TrustRule {
  /** Judges by the address of the peer alone, before a byte is read. */
  verdictFor(peer: Endpoint): TrustVerdict
}

interface RulePair {
  readonly trusted: HeaderRule
  readonly other: HeaderRule
}

/** PROXY protocol specification, section 2: the receiver must be told, must not guess, and should filter by source. */
const rulesOf: Readonly<Record<TrustMode, RulePair>> = {
  off: { trusted: 'absent', other: 'absent' },
  require: { trusted: 'required', other: 'refuse' },
  mixed: { trusted: 'required', other: 'absent' },
  optional: { trusted: 'optional', other: 'absent' },
}

/**
 * Makes the rule of one listener.
 *
 * @param trust.mode - what peers in and outside the trusted networks must, may and must not send.
 * @param trust.networks - the trusted networks; an empty set trusts nobody.
 */
export function createTrustRule(trust: { readonly mode: TrustMode; readonly networks: CidrSet }): TrustRule {
  const rules = rulesOf[trust.mode]
  const { networks } = trust
  const stranger: TrustVerdict = Object.freeze({ rule: rules.other })
  return {
    verdictFor({ address }) {
      const network = networks.find(address)
      return network === undefined ? stranger : Object.freeze({ rule: rules.trusted, network })
    },
  }
}
