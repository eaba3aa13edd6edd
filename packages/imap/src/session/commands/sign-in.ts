/* What LOGIN and AUTHENTICATE have in common: when they are refused, and what becomes of their outcomes (RFC 5530). */
import type { Principal, SaslEnd } from '@postern/core'
import { describeError } from '../../errors.ts'
import { passedCapabilities } from '../../proxy/capabilities.ts'
import type { EnteredBackend } from '../../proxy/login.ts'
import type { FailedLogin } from '../../proxy/sign-in.ts'
import { bad, no, ok, type Completion } from '../../wire/response.ts'
import { askOnSession } from '../begin-session.ts'
import { isSecure } from '../capabilities.ts'
import type { Finished } from '../outcome.ts'
import { onOneLine } from '../refusal.ts'
import { endSignedIn, type SessionState, type SignedIn } from '../state.ts'

/** The same words for an unknown user and a wrong password (RFC 5530 section 3). */
const failed: Completion = no('Authentication failed', 'AUTHENTICATIONFAILED')

/** Refuses a login on a channel that others can read, or on which nobody may sign in. */
export function refusedHere(state: SessionState): Completion | undefined {
  if (isSecure(state.connection)) return undefined
  state.refused('LOGIN', 'tls-required', describeError('IMAP_CLEARTEXT_LOGIN'))
  return no('Login needs TLS', 'PRIVACYREQUIRED')
}

/** Opens the account of who may sign in, or says why not. */
export async function concludeSignIn(state: SessionState, mechanism: string, end: SaslEnd): Promise<Finished> {
  switch (end.outcome) {
    case 'cancelled':
      state.tellAuthenticated(mechanism, end.username, 'cancelled')
      return bad('Authentication cancelled')
    case 'malformed':
      state.tellAuthenticated(mechanism, end.username, 'malformed')
      return bad('Response is malformed')
    case 'refused':
      return refusedByPolicy(state, end)
    case 'unavailable':
      state.tellAuthenticated(mechanism, end.username, 'unavailable', messageOf(end.cause))
      return state.login?.failure?.completion ?? no('Accounts cannot be looked up now, try again later', 'UNAVAILABLE')
    case 'denied':
      state.tellAuthenticated(mechanism, end.username, 'denied', state.login?.failure?.detail)
      // Who asks for another's mail is told that it was this; it says nothing of the password.
      return failSignIn(
        state,
        end.actsAsOther ? no('Not allowed', 'AUTHORIZATIONFAILED') : (state.login?.failure?.completion ?? failed),
      )
    case 'granted':
      break
  }
  return open(state, mechanism, end)
}

/** Counts; after the last one the connection ends. */
export function failSignIn(state: SessionState, refusal: Finished = failed): Finished {
  state.countFailedLogin()
  if (state.failedLogins < state.limits.maxFailedLogins) return refusal
  state.refused('LOGIN', 'limit', describeError('IMAP_TOO_MANY_LOGINS'))
  return { ...refusal, after: { next: 'close', reason: 'too-many-errors', bye: 'Too many failed logins' } }
}

async function open(
  state: SessionState,
  mechanism: string,
  { principal, username }: Extract<SaslEnd, { readonly outcome: 'granted' }>,
): Promise<Finished> {
  const begun = await askOnSession(state.options.policies, { connection: state.connection, principal })
  // Each try costs the check of a password: who comes again and again is answered later and later, and then no more.
  if (!begun.ok) {
    state.login?.abandon()
    return failSignIn(state, refusedByPolicy(state, begun))
  }
  const entered = await enterBackend(state, principal, begun.release)
  if (entered !== 'store') {
    if (entered.ok) return handOn(state, mechanism, username, entered, begun.release)
    begun.release()
    state.tellAuthenticated(mechanism, username, 'unavailable', entered.detail)
    // The user was signed in here: what a backend says to that is no word on the client's password.
    return entered.completion
  }
  const opened = await openAccount(state, principal, begun.release)
  if (!opened.ok) {
    // The password was right, and the disk is not: a client that tries again later needs no new one.
    state.tellAuthenticated(mechanism, username, 'unavailable', messageOf(opened.cause))
    return no('Mail cannot be opened now, try again later', 'UNAVAILABLE')
  }
  if (!state.isOver) {
    state.signedIn = opened.signedIn
    state.tellAuthenticated(mechanism, username, 'granted')
  }
  return ok('Logged in', `CAPABILITY ${state.capabilities()}`)
}

/**
 * The client is told what its backend can do, and speaks with it from then on. One that asked for capabilities before looks for
 * no response code, as Dovecot found of old clients: it is told by a response of its own.
 */
function handOn(
  state: SessionState,
  mechanism: string,
  username: string,
  backend: EnteredBackend,
  release: () => void,
): Finished {
  state.tellAuthenticated(mechanism, username, 'granted')
  const { upstream, backend: name } = backend
  state.options.observer?.handedOn?.({ connection: state.connection, username, upstream, backend: name })
  const capabilities = `CAPABILITY ${passedCapabilities(backend.capabilities).join(' ') || 'IMAP4rev1'}` as const
  state.write(backend.untagged)
  const after = { next: 'hand-on', backend, release } as const
  if (!state.asksForCapabilities) return { ...ok('Logged in', capabilities), after }
  state.write(`* ${capabilities}\r\n`)
  return { ...ok('Logged in'), after }
}

/** A bug there ends the session, and no policy hears of its end but here. */
async function enterBackend(
  state: SessionState,
  principal: Principal,
  release: () => void,
): Promise<EnteredBackend | FailedLogin | 'store'> {
  try {
    return (await state.login?.enter(principal)) ?? 'store'
  } catch (cause) {
    release()
    throw cause
  }
}

/** Whatever comes of it, what the policies counted is given back when there is no session for it. */
async function openAccount(
  state: SessionState,
  principal: Principal,
  release: () => void,
): Promise<{ readonly ok: true; readonly signedIn: SignedIn } | { readonly ok: false; readonly cause: unknown }> {
  try {
    const account = await state.options.store.openAccount(principal.account)
    const signedIn = { principal, account, release }
    if (state.isOver) await endSignedIn(signedIn)
    return { ok: true, signedIn }
  } catch (cause) {
    release()
    return { ok: false, cause }
  }
}

function refusedByPolicy(
  state: SessionState,
  { decision, by }: Pick<Extract<SaslEnd, { readonly outcome: 'refused' }>, 'decision' | 'by'>,
): Finished {
  state.refused('LOGIN', decision.reason, decision.detail ?? `policy ${by}`)
  const configured = decision.reply?.text === undefined ? undefined : onOneLine(decision.reply.text)
  if (decision.reason === 'rate' || decision.reason === 'concurrency')
    return no(configured ?? 'Too many logins', 'LIMIT')
  if (decision.reason === 'tls-required') return no(configured ?? 'Login needs TLS', 'PRIVACYREQUIRED')
  if (decision.verdict === 'defer') return no(configured ?? 'Try again later', 'UNAVAILABLE')
  const refusal = no(configured ?? 'Login is not allowed', 'AUTHORIZATIONFAILED')
  return decision.verdict === 'drop' ? { ...refusal, after: { next: 'close', reason: 'refused' } } : refusal
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
