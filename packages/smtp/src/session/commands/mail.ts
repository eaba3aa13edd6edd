import type { Awaitable, Envelope } from '@postern/core'
import { authenticationRequired, senderOk } from '../../wire/codes.ts'
import { parseMailParameters } from '../../wire/params.ts'
import { indexOfPath, parseReversePath } from '../../wire/path.ts'
import { refusalAnswer, type Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer, pathFaultAnswer } from '../faults.ts'
import { firstRefusal } from '../policies.ts'
import { Transaction } from '../transaction.ts'

const accepted: Answer = { reply: senderOk }

/** RFC 8689 §4.1: what must stay under TLS has come in the clear. */
const tlsNotStarted: Answer = {
  reply: { code: 530, enhanced: '5.7.4', lines: ['REQUIRETLS needs a TLS session'] },
  refused: { reason: 'tls-required', detail: 'MAIL with REQUIRETLS in the clear' },
}

/** RFC 5321 §4.1.1.2: "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF */
export function mail(dialogue: Dialogue, argument: string): Awaitable<Answer> {
  const { connection, limits, options, principal } = dialogue
  if (options.mode === 'submission' && principal === undefined) {
    return { reply: authenticationRequired, refused: { reason: 'auth-required', detail: 'MAIL before AUTH' } }
  }

  const from = indexOfPath(argument, 'FROM:')
  if (from === -1) return pathFaultAnswer('SMTP_PATH', 'sender')
  const path = parseReversePath(argument, from, limits)
  if (!path.ok) return pathFaultAnswer(path.code, 'sender')
  const parameters = parseMailParameters(argument.slice(path.value.end), (extension) =>
    dialogue.offersParametersOf(extension),
  )
  if (!parameters.ok) {
    const isInTheClear = parameters.code === 'SMTP_TLS_NOT_REQUIRABLE' && !dialogue.isSecure
    return isInTheClear ? tlsNotStarted : pathFaultAnswer(parameters.code, 'sender')
  }
  const { declaredBytes, body, isSmtpUtf8, dsn, requiresTls } = parameters.value
  if (!path.value.isAscii && !isSmtpUtf8) return faultAnswer('SMTP_NON_ASCII')
  // RFC 1870 §6.1: what is announced to be too big is refused before it is sent.
  if (declaredBytes !== undefined && declaredBytes > dialogue.maxMessageBytes) return faultAnswer('SMTP_MESSAGE_SIZE')

  const envelope: Omit<Envelope, 'forwardPaths'> = {
    reversePath: path.value.mailbox,
    isSmtpUtf8,
    body,
    ...(declaredBytes === undefined ? {} : { declaredBytes }),
    ...(dsn === undefined ? {} : { dsn }),
    ...(requiresTls ? { requiresTls } : {}),
  }
  const transaction = new Transaction(
    {
      id: dialogue.nextTransactionId(),
      connection,
      at: options.now(),
      takesVerdictForEach: dialogue.isLmtp || parameters.value.takesVerdictForEach,
      ...(principal === undefined ? {} : { principal }),
      ...(dialogue.hello === undefined ? {} : { hello: dialogue.hello }),
    },
    envelope,
    options.destinationFor,
    options.journal && { journal: options.journal, maxPlaces: dialogue.limits.maxPlaces },
  )
  const asked = firstRefusal(options.policies, (policy) =>
    policy.onReversePath?.({ connection, principal, envelope: transaction.envelope }),
  )
  return after(asked, (refusal) => {
    if (refusal !== undefined) return refusalAnswer(refusal, 'command', options.hostname)
    dialogue.transaction = transaction
    return accepted
  })
}
