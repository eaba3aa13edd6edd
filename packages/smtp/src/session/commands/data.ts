import type { Awaitable } from '@postern/core'
import { startMail } from '../../wire/codes.ts'
import type { Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer } from '../faults.ts'
import { IncomingMessage } from '../message.ts'
import { beginMessage, objectionToMessage } from '../trace.ts'

/** RFC 5321 §4.1.1.4. Binary data has no lines that could end it, so it comes by BDAT alone (RFC 3030 §3). */
export function data(dialogue: Dialogue): Awaitable<Answer> {
  const objection = objectionToMessage(dialogue)
  const { transaction } = dialogue
  if (objection !== undefined || transaction === undefined) return objection ?? faultAnswer('SMTP_SEQUENCE')
  if (transaction.envelope.body === 'BINARYMIME') return faultAnswer('SMTP_SEQUENCE', 'send BDAT for BINARYMIME')
  return after(
    beginMessage(dialogue, transaction),
    (failure) => failure ?? { reply: startMail, next: { octets: new IncomingMessage(dialogue, transaction, 'dots') } },
  )
}
