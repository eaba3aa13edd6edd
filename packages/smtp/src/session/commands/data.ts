import type { Awaitable } from '@postern/core'
import { localError, noValidRecipients, startMail } from '../../wire/codes.ts'
import { receivedField } from '../../wire/trace.ts'
import type { Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer } from '../faults.ts'

const goAhead: Answer = { reply: startMail, next: 'data' }

/** RFC 5321 §4.1.1.4. The Received field goes ahead of the message, so a destination that fails is known before 354. */
export function data(dialogue: Dialogue): Awaitable<Answer> {
  const { connection, hello, options, principal, transaction } = dialogue
  if (transaction === undefined || hello === undefined) return faultAnswer('SMTP_SEQUENCE', 'send MAIL first')
  const { envelope, start } = transaction
  if (envelope.forwardPaths.length === 0) {
    if (transaction.refusedRecipients === 0) return faultAnswer('SMTP_SEQUENCE', 'send RCPT first')
    return { reply: noValidRecipients, refused: { reason: 'sequence', detail: 'all recipients were refused' } }
  }
  const received = receivedField({
    connection,
    hello,
    hostname: options.hostname,
    isAuthenticated: principal !== undefined,
    isSmtpUtf8: envelope.isSmtpUtf8,
    transactionId: start.id,
    forwardPaths: envelope.forwardPaths,
    at: options.now(),
  })
  return after(transaction.write(Buffer.from(received)), (): Awaitable<Answer> => {
    if (!transaction.hasFailed) return goAhead
    const detail = transaction.failureText
    return after(dialogue.endTransaction(), () => ({ reply: localError, refused: { reason: 'unavailable', detail } }))
  })
}
