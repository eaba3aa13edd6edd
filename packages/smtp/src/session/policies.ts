import type { Awaitable, Decision, Policy } from '@postern/core'
import type { Refused } from './decisions.ts'

/** A decision that did not pass, and whose it was. */
export interface Refusal {
  readonly decision: Refused
  /** The name of the policy; `route` for a router. */
  readonly by: string
}

/**
 * Asks policies in their order. The first that does not pass decides, and those behind it are not asked.
 *
 * @param question - puts the moment to a policy; `undefined` when it has no say in it.
 */
export function firstRefusal(
  policies: readonly Policy[],
  question: (policy: Policy) => Awaitable<Decision> | undefined,
  from: number = 0,
): Awaitable<Refusal | undefined> {
  for (let index = from; index < policies.length; index++) {
    const policy = policies[index]!
    const decision = question(policy)
    if (decision instanceof Promise) {
      return decision.then((settled) => refusalFrom(settled, policy) ?? firstRefusal(policies, question, index + 1))
    }
    const refusal = decision === undefined ? undefined : refusalFrom(decision, policy)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

function refusalFrom(decision: Decision, { name }: Policy): Refusal | undefined {
  return decision.verdict === 'pass' ? undefined : { decision, by: name }
}
