/* What DATA and the first BDAT of a message have in common: may it come now, and what goes ahead of it. */
import type { Awaitable, ClientNames } from '@postern/core'
import { localError, noValidRecipients } from '../wire/codes.ts'
import { receivedField } from '../wire/trace.ts'
import type { Answer } from './answer.ts'
import { after } from './awaitable.ts'
import type { Dialogue } from './dialogue.ts'
import { faultAnswer } from './faults.ts'
import type { Transaction } from './transaction.ts'

/** RFC 5321 §4.1.4: why there is nobody to take a message now. */
export function objectionToMessage({ transaction }: Dialogue): Answer | undefined {
  if (transaction === undefined) return faultAnswer('SMTP_SEQUENCE', 'send MAIL first')
  if (transaction.envelope.forwardPaths.length > 0) return undefined
  if (transaction.refusedRecipients === 0) return faultAnswer('SMTP_SEQUENCE', 'send RCPT first')
  return { reply: noValidRecipients, refused: { reason: 'sequence', detail: 'all recipients were refused' } }
}

/**
 * Writes the Received field ahead of the message, so that a destination that fails is known before the message comes.
 *
 * @returns the answer when it has failed; the transaction is then over.
 */
export function beginMessage(dialogue: Dialogue, transaction: Transaction): Awaitable<Answer | undefined> {
  return after(namesOf(dialogue), (names) => stampMessage(dialogue, transaction, names))
}

/** Found long ago in most sessions: the lookup began at the accept. From then on the session has them at hand. */
function namesOf(dialogue: Dialogue): Awaitable<ClientNames | undefined> {
  return after(dialogue.connection.clientNames, (clientNames) => {
    if (clientNames !== undefined) dialogue.connection = { ...dialogue.connection, clientNames }
    return clientNames
  })
}

function stampMessage(
  dialogue: Dialogue,
  transaction: Transaction,
  names: ClientNames | undefined,
): Awaitable<Answer | undefined> {
  const { connection, hello, options, principal } = dialogue
  const { envelope, start } = transaction
  if (hello === undefined) return faultAnswer('SMTP_SEQUENCE', 'greet first')
  const received = receivedField({
    connection,
    hello,
    hostname: options.hostname,
    ...(names?.verified === undefined ? {} : { clientName: names.verified }),
    isAuthenticated: principal !== undefined,
    isSmtpUtf8: envelope.isSmtpUtf8,
    transactionId: start.id,
    forwardPaths: envelope.forwardPaths,
    at: options.now(),
  })
  return after(transaction.write(Buffer.from(received)), (): Awaitable<Answer | undefined> => {
    if (!transaction.hasFailed) return undefined
    const detail = transaction.failureText
    return after(dialogue.endTransaction(), () => ({ reply: localError, refused: { reason: 'unavailable', detail } }))
  })
}
