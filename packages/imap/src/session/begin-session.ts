/* The moments at which policies are asked of a client, or of a session that is about to begin: all of them, in order. */
import type {
  Awaitable,
  ClientIdentity,
  ConnectionInfo,
  Decision,
  ListenerInfo,
  Policy,
  Principal,
} from '@postern/core'

type Refused = Exclude<Decision, { readonly verdict: 'pass' }>

/** What the policies said. */
export type Admittance =
  /** `release` gives back what was counted; again, it does nothing. */
  | { readonly ok: true; readonly release: () => void }
  | { readonly ok: false; readonly decision: Refused; readonly by: string }

/** Somebody has signed in, and a session is about to begin. */
export function askOnSession(
  policies: readonly Policy[],
  at: { readonly connection: ConnectionInfo; readonly principal: Principal },
): Promise<Admittance> {
  return ask(
    policies,
    (policy) => policy.onSession?.(at),
    (policy) => policy.onSessionEnd?.(at),
  )
}

/** A front end has named its client: as if that one had just connected. */
export function askOnConnect(
  policies: readonly Policy[],
  at: { readonly identity: ClientIdentity; readonly listener: ListenerInfo },
): Promise<Admittance> {
  return ask(
    policies,
    (policy) => policy.onConnect?.(at),
    (policy) => policy.onClose?.(at),
  )
}

/** The first that does not pass decides, and what those before it counted is given back. */
async function ask(
  policies: readonly Policy[],
  question: (policy: Policy) => Awaitable<Decision> | undefined,
  giveBack: (policy: Policy) => void,
): Promise<Admittance> {
  const passed: Policy[] = []
  const release = (): void => {
    for (const policy of passed.splice(0)) giveBack(policy)
  }
  try {
    for (const policy of policies) {
      const decision = await question(policy)
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
