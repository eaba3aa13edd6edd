/*
 * Every decision of a policy that is not `pass`, counted by where and why. The words are closed sets, or names of the
 * configuration, so that there is a bounded number of counters whatever clients do.
 */
import type { Awaitable, Decision, ListenerInfo, Policy, ReasonCode } from '@postern/core'

export type PolicyStage =
  | 'connect'
  | 'command'
  | 'greeting'
  | 'authenticate'
  | 'session'
  | 'reverse-path'
  | 'forward-path'
  | 'message'

export interface PolicyDecision {
  readonly listener: string
  readonly stage: PolicyStage
  /** As in `Policy.name`. */
  readonly policy: string
  /** `note`: it was written to the log, and nothing else came of it. */
  readonly verdict: Exclude<Decision['verdict'], 'pass'> | 'note'
  readonly reason: ReasonCode
}

/** What one process decided since it started. */
export class PolicyDecisions {
  readonly #counts = new Map<string, { readonly decision: PolicyDecision; count: number }>()

  count(decision: PolicyDecision): void {
    const { listener, stage, policy, verdict, reason } = decision
    const key = `${listener} ${stage} ${policy} ${verdict} ${reason}`
    const known = this.#counts.get(key)
    if (known === undefined) this.#counts.set(key, { decision, count: 1 })
    else known.count++
  }

  /** A copy: counts never fall. */
  get counts(): readonly (PolicyDecision & { readonly count: number })[] {
    return [...this.#counts.values()].map(({ decision, count }) => ({ ...decision, count }))
  }
}

/** The policy, with each of its decisions counted. Moments that it lacks stay absent, so that nobody pays for them. */
export function counted(policy: Policy, decisions: Pick<PolicyDecisions, 'count'>): Policy {
  const tell = (stage: PolicyStage, { name }: ListenerInfo, decision: Decision): Decision => {
    if (decision.verdict !== 'pass') {
      const { verdict, reason } = decision
      decisions.count({ listener: name, stage, policy: policy.name, verdict, reason })
    }
    return decision
  }
  const watch = (stage: PolicyStage, listener: ListenerInfo, asked: Awaitable<Decision> = pass): Awaitable<Decision> =>
    asked instanceof Promise ? asked.then((decision) => tell(stage, listener, decision)) : tell(stage, listener, asked)
  return {
    name: policy.name,
    ...(policy.onConnect !== undefined && {
      onConnect: (at) => watch('connect', at.listener, policy.onConnect?.(at)),
    }),
    ...(policy.onCommand !== undefined && {
      onCommand: (at) => watch('command', at.connection.listener, policy.onCommand?.(at)),
    }),
    ...(policy.onGreeting !== undefined && {
      onGreeting: (at) => watch('greeting', at.connection.listener, policy.onGreeting?.(at)),
    }),
    ...(policy.onAuthenticate !== undefined && {
      onAuthenticate: (at) => watch('authenticate', at.connection.listener, policy.onAuthenticate?.(at)),
    }),
    ...(policy.onSession !== undefined && {
      onSession: (at) => watch('session', at.connection.listener, policy.onSession?.(at)),
    }),
    ...(policy.onSessionEnd !== undefined && { onSessionEnd: (at) => policy.onSessionEnd?.(at) }),
    ...(policy.onReversePath !== undefined && {
      onReversePath: (at) => watch('reverse-path', at.connection.listener, policy.onReversePath?.(at)),
    }),
    ...(policy.onForwardPath !== undefined && {
      onForwardPath: (at) => watch('forward-path', at.connection.listener, policy.onForwardPath?.(at)),
    }),
    ...(policy.onClose !== undefined && { onClose: (at) => policy.onClose?.(at) }),
  }
}

const pass: Decision = { verdict: 'pass' }
