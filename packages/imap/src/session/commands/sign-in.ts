import { isUtf8 } from 'node:buffer'
import { secret, type Credentials, type Decision } from '@postern/core'
import { describeError } from '../../errors.ts'
import { no, ok, type Completion } from '../../wire/response.ts'
import { isSecure } from '../capabilities.ts'
import type { Finished } from '../outcome.ts'
import { onOneLine } from '../refusal.ts'
import type { SessionState } from '../state.ts'

/** The same words for an unknown user and a wrong password (RFC 5530 section 3). */
const failed: Completion = no('Authentication failed', 'AUTHENTICATIONFAILED')

/** What a client sent to sign in, one octet in each character. */
export interface OfferedCredentials {
  readonly mechanism: Credentials['mechanism']
  readonly username: string
  readonly password: string
  readonly actAs?: string
}

/** Refuses a login on a channel that others can read, or on which nobody may sign in. */
export function refusedHere(state: SessionState): Completion | undefined {
  if (isSecure(state.connection)) return undefined
  state.refused('LOGIN', 'tls-required', describeError('IMAP_CLEARTEXT_LOGIN'))
  return no('Login needs TLS', 'PRIVACYREQUIRED')
}

/** Asks the policies, then the authenticator, then opens the account. */
export async function signIn(state: SessionState, offered: OfferedCredentials): Promise<Finished> {
  const { connection, options } = state
  const username = decodeText(offered.username)
  const password = decodeText(offered.password)
  const actAs = offered.actAs === undefined ? undefined : decodeText(offered.actAs)
  if (
    username === undefined ||
    username === '' ||
    password === undefined ||
    ((offered.actAs ?? '') !== '' && actAs === undefined)
  ) {
    return fail(state, offered, 'malformed')
  }
  for (const policy of options.policies) {
    const decision = (await policy.onAuthenticate?.({ connection, username })) ?? { verdict: 'pass' as const }
    if (decision.verdict !== 'pass') return refusedByPolicy(state, policy.name, decision)
  }
  const credentials: Credentials = {
    mechanism: offered.mechanism,
    username,
    password: secret(password),
    ...(actAs === undefined || actAs === '' || actAs === username ? {} : { actAs }),
  }
  const outcome = await options.authenticator.verify(credentials, connection)
  if (outcome.outcome === 'unavailable') {
    tell(state, credentials, 'unavailable')
    return no('Accounts cannot be looked up now, try again later', 'UNAVAILABLE')
  }
  if (outcome.outcome === 'denied') return fail(state, credentials, 'denied')
  const account = await options.store.openAccount(outcome.principal.account)
  if (state.isOver) {
    await account.close()
    return ok('Logged in')
  }
  state.signedIn = { principal: outcome.principal, account }
  tell(state, credentials, 'granted')
  return ok('Logged in', `CAPABILITY ${state.capabilities()}`)
}

/** Text in UTF-8 without NUL, CR and LF, which no name or password holds (RFC 4616 section 2). */
function decodeText(text: string): string | undefined {
  const octets = Buffer.from(text, 'latin1')
  return isUtf8(octets) && !/[\0\r\n]/.test(text) ? octets.toString('utf8') : undefined
}

/** Counts; after the last one the connection ends. */
function fail(
  state: SessionState,
  offered: Pick<Credentials, 'mechanism' | 'username' | 'actAs'>,
  outcome: 'denied' | 'malformed',
): Finished {
  tell(state, offered, outcome)
  state.failedLogins += 1
  // Who asks for another's mail is told that it was this; it says nothing of the password.
  const refusal =
    outcome === 'denied' && offered.actAs !== undefined ? no('Not allowed', 'AUTHORIZATIONFAILED') : failed
  if (state.failedLogins < state.limits.maxFailedLogins) return refusal
  state.refused('LOGIN', 'limit', describeError('IMAP_TOO_MANY_LOGINS'))
  return { ...refusal, after: { next: 'close', reason: 'too-many-errors', bye: 'Too many failed logins' } }
}

function tell(
  state: SessionState,
  { mechanism, username }: Pick<Credentials, 'mechanism' | 'username'>,
  outcome: 'granted' | 'denied' | 'unavailable' | 'malformed',
): void {
  state.options.observer?.authenticated?.({ connection: state.connection, mechanism, username, outcome })
}

function refusedByPolicy(
  state: SessionState,
  policy: string,
  decision: Exclude<Decision, { verdict: 'pass' }>,
): Finished {
  state.refused('LOGIN', decision.reason, decision.detail ?? `policy ${policy}`)
  const configured = decision.reply === undefined ? undefined : onOneLine(decision.reply.text)
  if (decision.reason === 'rate' || decision.reason === 'concurrency')
    return no(configured ?? 'Too many logins', 'LIMIT')
  if (decision.reason === 'tls-required') return no(configured ?? 'Login needs TLS', 'PRIVACYREQUIRED')
  if (decision.verdict === 'defer') return no(configured ?? 'Try again later', 'UNAVAILABLE')
  const refusal = no(configured ?? 'Login is not allowed', 'AUTHORIZATIONFAILED')
  return decision.verdict === 'drop' ? { ...refusal, after: { next: 'close', reason: 'refused' } } : refusal
}
