import type { AuthOutcome, Credentials } from '../contracts/auth.ts'
import type { SaslContext, SaslEnd } from './steps.ts'

/** Who wants to sign in. */
interface Claimant {
  readonly username: string
  readonly actAs?: string
}

/** Policies come first: a client that may not try is not told whether its password was right. */
export async function signIn(
  context: SaslContext,
  claimant: Claimant,
  check: () => Promise<AuthOutcome> | undefined,
): Promise<SaslEnd> {
  return (await objection(context, claimant.username)) ?? conclude(claimant, await check())
}

/** Signs in by a password, as PLAIN, LOGIN, and the LOGIN command of IMAP do. */
export function signInByPassword(context: SaslContext, credentials: Credentials): Promise<SaslEnd> {
  const { authenticator, connection } = context
  return signIn(context, credentials, () => authenticator.verify?.(credentials, connection))
}

/** What a policy has against the attempt. The first that does not pass decides. */
export async function objection({ connection, policies }: SaslContext, username: string): Promise<SaslEnd | undefined> {
  for (const policy of policies) {
    const decision = await policy.onAuthenticate?.({ connection, username })
    if (decision !== undefined && decision.verdict !== 'pass') {
      return { outcome: 'refused', username, decision, by: policy.name }
    }
  }
  return undefined
}

/** @param result - absent when the authenticator has lost the method that was offered, which is a no. */
export function conclude({ username, actAs }: Claimant, result: AuthOutcome | undefined): SaslEnd {
  if (result?.outcome === 'granted') return { outcome: 'granted', username, principal: result.principal }
  if (result?.outcome === 'unavailable') return { outcome: 'unavailable', username, cause: result.cause }
  return { outcome: 'denied', username, actsAsOther: actAs !== undefined }
}

/** An authorization identity that is empty or says the same is none (RFC 4422 section 3.4.1). */
export function actingAs(authorizationId: string, username: string): { readonly actAs?: string } {
  return authorizationId === '' || authorizationId === username ? {} : { actAs: authorizationId }
}
