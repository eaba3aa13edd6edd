import type { ConnectionInfo, Decision, Policy, Principal } from '@postern/core'

type Refused = Exclude<Decision, { readonly verdict: 'pass' }>

/** What the policies said of a session that is about to begin. */
export type SessionVerdict =
  /** `release` gives back what was counted; again, it does nothing. */
  | { readonly ok: true; readonly release: () => void }
  | { readonly ok: false; readonly decision: Refused; readonly by: string }

/** Asks in order; the first that does not pass decides, and what those before it counted is given back. */
export async function askOnSession(
  policies: readonly Policy[],
  at: { readonly connection: ConnectionInfo; readonly principal: Principal },
): Promise<SessionVerdict> {
  const passed: Policy[] = []
  const release = (): void => {
    for (const policy of passed.splice(0)) policy.onSessionEnd?.(at)
  }
  try {
    for (const policy of policies) {
      const decision = await policy.onSession?.(at)
      if (decision !== undefined && decision.verdict !== 'pass') {
        release()
        return { ok: false, decision, by: policy.name }
      }
      passed.push(policy)
    }
  } catch (error) {
    release()
    throw error
  }
  return { ok: true, release }
}
