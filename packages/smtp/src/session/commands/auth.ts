import { beginSasl, type Awaitable, type SaslEnd, type SaslExchange, type SaslStep } from '@postern/core'
import {
  authenticated,
  authenticationCancelled,
  authenticationFailed,
  authenticationNeedsTls,
  authenticationUnavailable,
  notImplemented,
} from '../../wire/codes.ts'
import { refusalAnswer, type Answer } from '../answer.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer } from '../faults.ts'

/** RFC 4954 §4: "AUTH" SP mechanism [SP initial-response] CRLF */
export function auth(dialogue: Dialogue, argument: string): Awaitable<Answer> {
  const { connection, options } = dialogue
  const { authenticator, policies } = options
  if (authenticator === undefined) {
    return { reply: notImplemented, refused: { reason: 'sequence', detail: 'AUTH is not offered here' } }
  }
  if (dialogue.principal !== undefined) return faultAnswer('SMTP_SEQUENCE', 'already authenticated')
  if (!dialogue.takesAuthentication) {
    return { reply: authenticationNeedsTls, refused: { reason: 'tls-required', detail: 'AUTH before TLS' } }
  }
  const [mechanism = '', initial, ...more] = argument.split(' ')
  if (more.length > 0) return faultAnswer('SMTP_ARGUMENT_UNWANTED')
  const exchange = beginSasl(mechanism, { connection, authenticator, policies })
  if (exchange === undefined) return faultAnswer('SMTP_MECHANISM')
  return proceed(dialogue, exchange, exchange.start(initial))
}

/** RFC 4954 §4: 334 and the challenge in base64; the client answers, or cancels with "*". */
async function proceed(dialogue: Dialogue, exchange: SaslExchange, step: Promise<SaslStep>): Promise<Answer> {
  const settled = await step
  if (settled.next === 'end') return conclude(dialogue, exchange, settled.end)
  dialogue.exchange = { answer: (line) => proceed(dialogue, exchange, exchange.answer(line)) }
  return { reply: { code: 334, lines: [settled.challenge] }, next: 'sasl' }
}

/** RFC 4954 §4 and §6. The same words for an unknown user and a wrong password. */
function conclude(dialogue: Dialogue, { mechanism }: SaslExchange, end: SaslEnd): Answer {
  const { connection, options, budget } = dialogue
  const { outcome, username } = end
  if (outcome !== 'refused') {
    const detail = outcome === 'unavailable' ? { detail: messageOf(end.cause) } : {}
    options.observer?.authenticated?.({ connection, mechanism, username, outcome, ...detail })
  }
  switch (outcome) {
    case 'granted':
      dialogue.principal = end.principal
      return { reply: authenticated }
    case 'unavailable':
      return { reply: authenticationUnavailable }
    case 'cancelled':
      return { reply: authenticationCancelled }
    case 'malformed':
      return faultAnswer(end.fault === 'base64' ? 'SMTP_BASE64' : 'SMTP_SASL')
    case 'refused':
      budget.countFailedAuthentication()
      return refusalAnswer(end, 'authenticate', options.hostname)
    case 'denied':
      break
  }
  budget.countFailedAuthentication()
  return { reply: authenticationFailed }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
