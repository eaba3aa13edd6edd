import type { Awaitable, ReasonCode, Route } from '@postern/core'
import { otherRoute, tooManyRecipients } from '../../wire/codes.ts'
import { parseRecipientParameters } from '../../wire/params.ts'
import { indexOfPath, parseForwardPath } from '../../wire/path.ts'
import type { Reply } from '../../wire/reply.ts'
import { refusalAnswer, type Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { DeliveryReply } from '../destination.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer, pathFaultAnswer } from '../faults.ts'
import { firstRefusal } from '../policies.ts'
import type { Recipient, Transaction } from '../transaction.ts'

/** RFC 5321 §4.1.1.3: "RCPT TO:" Forward-path [SP Rcpt-parameters] CRLF */
export function rcpt(dialogue: Dialogue, argument: string): Awaitable<Answer> {
  const { transaction } = dialogue
  if (transaction === undefined) return faultAnswer('SMTP_SEQUENCE')
  return after(judge(dialogue, transaction, argument), (answer) => {
    if (answer.reply === undefined || answer.reply.code >= 400) transaction.refusedRecipients++
    return answer
  })
}

function judge(dialogue: Dialogue, transaction: Transaction, argument: string): Awaitable<Answer> {
  const { connection, limits, options, principal } = dialogue
  const from = indexOfPath(argument, 'TO:')
  if (from === -1) return pathFaultAnswer('SMTP_PATH', 'recipient')
  const path = parseForwardPath(argument, from, limits)
  if (!path.ok) return pathFaultAnswer(path.code, 'recipient')
  const { envelope } = transaction
  const parameters = parseRecipientParameters(
    argument.slice(path.value.end),
    (extension) => dialogue.offersParametersOf(extension),
    envelope.isSmtpUtf8,
  )
  if (!parameters.ok) return pathFaultAnswer(parameters.code, 'recipient')
  const dsn = parameters.value
  if (!path.value.isAscii && !envelope.isSmtpUtf8) return faultAnswer('SMTP_NON_ASCII')
  if (envelope.forwardPaths.length >= limits.maxRecipients) {
    return defer(
      dialogue,
      transaction,
      tooManyRecipients,
      'limit',
      `${limits.maxRecipients} recipients in one transaction`,
    )
  }

  const forwardPath = path.value.mailbox
  const at = { connection, principal, envelope, forwardPath }
  return after(
    firstRefusal(options.policies, (policy) => policy.onForwardPath?.(at)),
    (refusal): Awaitable<Answer> => {
      if (refusal !== undefined) return refusalAnswer(refusal, 'command', options.hostname)
      const question = { ...at, helo: dialogue.hello?.domain }
      return after(options.router.forRecipient(question), (route) =>
        after(offer(dialogue, transaction, { forwardPath, dsn }, route), (answer) =>
          isRefusedForGood(answer) && options.router.reconsider !== undefined
            ? after(options.router.reconsider(question, route), (other) =>
                other === undefined ? answer : offer(dialogue, transaction, { forwardPath, dsn }, other),
              )
            : answer,
        ),
      )
    },
  )
}

/** The recipient has no mailbox where the route leads: it may have had one when somebody last looked. */
function isRefusedForGood({ reply }: Answer): boolean {
  return reply !== undefined && reply.code >= 500
}

function offer(dialogue: Dialogue, transaction: Transaction, recipient: Recipient, route: Route): Awaitable<Answer> {
  if (route.to === 'nowhere') {
    const { decision } = route
    const refused = decision.verdict === 'pass' ? ({ verdict: 'defer', reason: 'route' } as const) : decision
    return refusalAnswer({ decision: refused, by: 'route' }, 'command', dialogue.options.hostname)
  }
  if (transaction.isElsewhere(route, dialogue.limits.maxPlaces)) {
    return defer(dialogue, transaction, otherRoute, 'route', 'another route than the recipients before it')
  }
  return after(transaction.offer(recipient, route), (reply) => answerFrom(dialogue, transaction, reply))
}

function answerFrom(dialogue: Dialogue, transaction: Transaction, reply: DeliveryReply): Answer {
  if (reply.code < 300) return { reply }
  if (isForAnotherTransaction(reply)) {
    return defer(dialogue, transaction, reply, 'limit', reply.detail ?? 'as many recipients as the destination takes')
  }
  const detail = transaction.hasFailed ? transaction.failureText : (reply.detail ?? 'refused by the destination')
  return { reply, refused: { reason: reasonOf(reply), detail } }
}

function reasonOf({ code, enhanced }: DeliveryReply): ReasonCode {
  // RFC 3463 §3.3, X.2.2: the mailbox is full, which is no trouble of whoever runs the destination.
  if (enhanced?.endsWith('.2.2') === true) return 'quota'
  return code < 500 ? 'unavailable' : 'unknown-recipient'
}

/** The destination's own bound: in the words of ours, or, as some servers say it, in none that tell more than 452. */
function isForAnotherTransaction({ code, enhanced }: DeliveryReply): boolean {
  return code === 452 && (enhanced === '4.5.3' || enhanced === '4.0.0')
}

/**
 * RFC 5321 §4.5.3.1.10: 452, and the client sends the rest in another transaction. That is its right, so for a while it
 * is no error; and the log hears of it once in a transaction.
 */
function defer(
  { limits }: Dialogue,
  transaction: Transaction,
  reply: Reply,
  reason: 'limit' | 'route',
  detail: string,
): Answer {
  const isExcused = ++transaction.deferredRecipients <= limits.maxDeferredRecipients
  return transaction.deferredRecipients === 1 ? { reply, isExcused, refused: { reason, detail } } : { reply, isExcused }
}
