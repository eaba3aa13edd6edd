/* What a client hears when it could not be signed in at its backend, by cause. */
import { no, type Completion } from '../wire/response.ts'
import { onOneLine } from '../session/refusal.ts'

/** Why a login came to nothing. */
export type LoginFault =
  /** The backend refused the credentials, or did not say what it refused. */
  | 'denied'
  /** The backend refused for a reason that the client may act on; its words are passed on. */
  | 'refused'
  /** It refused for now. */
  | 'deferred'
  /** The directory refused, or could not be asked. */
  | 'no-route'
  | 'route-unknown'
  /** No backend was reached, spoke IMAP, or took TLS; or it was lost, or not in time. */
  | 'unreachable'
  /** Too many sessions of this user. */
  | 'limit'
  /** Somebody is moving this user's mail. */
  | 'in-use'
  /** Here or there something is set up wrongly, and no other attempt would mend it. */
  | 'misconfigured'
  /** The login came back to where it started. */
  | 'loop'

/** How a failed login is answered, and told. */
interface FaultRow {
  readonly completion: Completion
  /** It counts against the client: somebody may be guessing. */
  readonly counts: boolean
}

const unavailable: Completion = no('Account is temporarily unavailable.', 'UNAVAILABLE')
const ourFault: Completion = no('Internal error, ask the operator.', 'SERVERBUG')

/** RFC 5530 section 3 says what each code means. */
export const faults: Readonly<Record<LoginFault, FaultRow>> = {
  denied: { completion: no('Authentication failed', 'AUTHENTICATIONFAILED'), counts: true },
  refused: { completion: no('Login is not allowed', 'AUTHORIZATIONFAILED'), counts: true },
  deferred: { completion: unavailable, counts: false },
  'no-route': { completion: no('Authentication failed', 'AUTHENTICATIONFAILED'), counts: true },
  'route-unknown': { completion: unavailable, counts: false },
  unreachable: { completion: unavailable, counts: false },
  limit: { completion: no('Too many sessions of this user', 'LIMIT'), counts: false },
  'in-use': { completion: no('Account is in use elsewhere, try again later', 'INUSE'), counts: false },
  misconfigured: { completion: ourFault, counts: false },
  loop: { completion: ourFault, counts: false },
}

/** What a backend meant by refusing a login: its code says so (RFC 5530). */
export interface BackendRefusal {
  readonly fault: LoginFault
  readonly completion: Completion
}

/**
 * Codes of a backend's NO. `passed`: the client gets code and text, which are meant for it. Without a code, or with one that
 * is not here, the text stays hidden: it may say whether there is such a user.
 */
const codes: Readonly<Record<string, { readonly fault: LoginFault; readonly passed: boolean }>> = {
  AUTHENTICATIONFAILED: { fault: 'denied', passed: false },
  AUTHORIZATIONFAILED: { fault: 'refused', passed: true },
  EXPIRED: { fault: 'refused', passed: true },
  PRIVACYREQUIRED: { fault: 'refused', passed: true },
  CONTACTADMIN: { fault: 'refused', passed: true },
  // For people, who must read it: some providers say so that another kind of password is needed.
  ALERT: { fault: 'refused', passed: true },
  UNAVAILABLE: { fault: 'deferred', passed: false },
  SERVERBUG: { fault: 'deferred', passed: false },
  // RFC 2221: another server would have the mail. Nobody is sent to a place that no route names.
  REFERRAL: { fault: 'misconfigured', passed: false },
  LIMIT: { fault: 'limit', passed: true },
  INUSE: { fault: 'in-use', passed: true },
}

/**
 * Reads a tagged refusal of a backend.
 *
 * @param isOurs - the credentials were not the client's: then to refuse them is a fault of ours, and none of the client's.
 */
export function readRefusal(status: 'NO' | 'BAD', text: string, isOurs: boolean): BackendRefusal {
  if (status === 'BAD') return { fault: 'misconfigured', completion: faults.misconfigured.completion }
  const [, written = '', words = ''] = /^\[([A-Za-z0-9-]{1,32})(?: [^\]]*)?\] ?(.*)$/.exec(text) ?? []
  const code = written.toUpperCase()
  const known = Object.hasOwn(codes, code) ? codes[code] : undefined
  const fault = known?.fault ?? 'denied'
  if (isOurs && fault === 'denied') return { fault: 'misconfigured', completion: faults.misconfigured.completion }
  if (known?.passed !== true) return { fault, completion: faults[fault].completion }
  const shown = onOneLine(words).slice(0, maxPassedChars)
  return { fault, completion: no(shown === '' ? faults[fault].completion.text : shown, code as PassedCode) }
}

type PassedCode = NonNullable<Completion['code']>

/** A sentence; longer ones are cut. */
const maxPassedChars = 200
