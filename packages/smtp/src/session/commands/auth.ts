import { secret, type Awaitable, type AuthOutcome, type Credentials } from '@postern/core'
import type { Parsed, SmtpErrorCode } from '../../errors.ts'
import {
  authenticated,
  authenticationCancelled,
  authenticationFailed,
  authenticationNeedsTls,
  authenticationUnavailable,
  notImplemented,
} from '../../wire/codes.ts'
import { decodeBase64, parseExternal, parseLoginAnswer, parsePlain } from '../../wire/sasl.ts'
import { refusalAnswer, type Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer } from '../faults.ts'
import { firstRefusal } from '../policies.ts'

type Mechanism = Credentials['mechanism'] | 'EXTERNAL'

/** Who wants to sign in, and how it is found out whether they may. */
interface Attempt {
  readonly mechanism: Mechanism
  readonly username: string
  readonly verify: () => Promise<AuthOutcome> | undefined
}

/** RFC 4954 §4: "AUTH" SP mechanism [SP initial-response] CRLF */
export function auth(dialogue: Dialogue, argument: string): Awaitable<Answer> {
  if (dialogue.options.authenticator === undefined) {
    return { reply: notImplemented, refused: { reason: 'sequence', detail: 'AUTH is not offered here' } }
  }
  if (dialogue.principal !== undefined) return faultAnswer('SMTP_SEQUENCE', 'already authenticated')
  if (!dialogue.offersAuthentication) {
    return { reply: authenticationNeedsTls, refused: { reason: 'tls-required', detail: 'AUTH before TLS' } }
  }
  const [mechanism = '', initial, ...more] = argument.split(' ')
  if (more.length > 0) return faultAnswer('SMTP_ARGUMENT_UNWANTED')
  switch (mechanism.toUpperCase()) {
    case 'PLAIN':
      return initial === undefined ? challenge(dialogue, 'PLAIN', '', takePlain) : takePlain(dialogue, initial)
    case 'LOGIN':
      return initial === undefined
        ? challenge(dialogue, 'LOGIN', 'Username:', takeUsername)
        : takeUsername(dialogue, initial)
    case 'EXTERNAL':
      if (!dialogue.offersExternal) return faultAnswer('SMTP_MECHANISM')
      return initial === undefined ? challenge(dialogue, 'EXTERNAL', '', takeExternal) : takeExternal(dialogue, initial)
    default:
      return faultAnswer('SMTP_MECHANISM')
  }
}

/** RFC 4954 §4: 334 and the challenge in base64; the client answers, or cancels with "*". */
function challenge(
  dialogue: Dialogue,
  mechanism: Mechanism,
  text: string,
  take: (dialogue: Dialogue, response: string) => Awaitable<Answer>,
): Answer {
  dialogue.exchange = {
    answer(line) {
      if (line !== '*') return take(dialogue, line)
      tell(dialogue, mechanism, '', 'cancelled')
      return { reply: authenticationCancelled }
    },
  }
  return { reply: { code: 334, lines: [Buffer.from(text).toString('base64')] }, next: 'sasl' }
}

function takePlain(dialogue: Dialogue, response: string): Awaitable<Answer> {
  const message = decodeThen(response, parsePlain)
  if (!message.ok) return malformedAnswer(dialogue, 'PLAIN', message.code)
  const { authorizationId, username, password } = message.value
  return signInByPassword(dialogue, {
    mechanism: 'PLAIN',
    username,
    ...(authorizationId === '' || authorizationId === username ? {} : { actAs: authorizationId }),
    password: secret(password),
  })
}

function takeUsername(dialogue: Dialogue, response: string): Awaitable<Answer> {
  const username = decodeThen(response, parseLoginAnswer)
  if (!username.ok) return malformedAnswer(dialogue, 'LOGIN', username.code)
  return challenge(dialogue, 'LOGIN', 'Password:', (_, second) => {
    const password = decodeThen(second, parseLoginAnswer)
    if (!password.ok) return malformedAnswer(dialogue, 'LOGIN', password.code)
    return signInByPassword(dialogue, {
      mechanism: 'LOGIN',
      username: username.value,
      password: secret(password.value),
    })
  })
}

function decodeThen<T>(response: string, parse: (bytes: Buffer) => Parsed<T>): Parsed<T> {
  const bytes = decodeBase64(response)
  return bytes.ok ? parse(bytes.value) : bytes
}

function malformedAnswer(dialogue: Dialogue, mechanism: Mechanism, code: SmtpErrorCode): Answer {
  tell(dialogue, mechanism, '', 'malformed')
  return faultAnswer(code)
}

/**
 * RFC 4422 appendix A: the message is the authorization identity, or empty for that of the certificate. That was
 * verified before, by us or by the balancer that ended TLS.
 */
function takeExternal(dialogue: Dialogue, response: string): Awaitable<Answer> {
  const actAs = decodeThen(response, parseExternal)
  const { connection, options } = dialogue
  if (!actAs.ok) return malformedAnswer(dialogue, 'EXTERNAL', actAs.code)
  const commonName = connection.security.kind === 'tls' ? (connection.security.clientCommonName ?? '') : ''
  const claim = { commonName, ...(actAs.value === '' ? {} : { actAs: actAs.value }) }
  return signIn(dialogue, {
    mechanism: 'EXTERNAL',
    username: commonName,
    verify: () => options.authenticator?.verifyCertificate?.(claim, connection),
  })
}

function signInByPassword(dialogue: Dialogue, credentials: Credentials): Awaitable<Answer> {
  const { connection, options } = dialogue
  const { mechanism, username } = credentials
  return signIn(dialogue, { mechanism, username, verify: () => options.authenticator?.verify(credentials, connection) })
}

/** Policies first: a client that may not try is not told whether its password was right. */
function signIn(dialogue: Dialogue, attempt: Attempt): Awaitable<Answer> {
  const { connection, options } = dialogue
  const { username } = attempt
  const asked = firstRefusal(options.policies, (policy) => policy.onAuthenticate?.({ connection, username }))
  return after(asked, (refusal): Awaitable<Answer> => {
    if (refusal !== undefined) {
      dialogue.budget.countFailedAuthentication()
      return refusalAnswer(refusal, 'authenticate', options.hostname)
    }
    return after<AuthOutcome | undefined, Answer>(attempt.verify(), (outcome) => conclude(dialogue, attempt, outcome))
  })
}

/** RFC 4954 §6. The same words for an unknown user and a wrong password. */
function conclude(dialogue: Dialogue, { mechanism, username }: Attempt, result: AuthOutcome | undefined): Answer {
  if (result?.outcome === 'granted') {
    dialogue.principal = result.principal
    tell(dialogue, mechanism, username, 'granted')
    return { reply: authenticated }
  }
  if (result?.outcome === 'unavailable') {
    const detail = result.cause instanceof Error ? result.cause.message : String(result.cause)
    tell(dialogue, mechanism, username, 'unavailable', detail)
    return { reply: authenticationUnavailable }
  }
  dialogue.budget.countFailedAuthentication()
  tell(dialogue, mechanism, username, 'denied')
  return { reply: authenticationFailed }
}

function tell(
  { connection, options }: Dialogue,
  mechanism: Mechanism,
  username: string,
  outcome: 'granted' | 'denied' | 'unavailable' | 'cancelled' | 'malformed',
  detail?: string,
): void {
  options.observer?.authenticated?.({
    connection,
    mechanism,
    username,
    outcome,
    ...(detail === undefined ? {} : { detail }),
  })
}
