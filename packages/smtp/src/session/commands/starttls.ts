import { notImplemented, readyForTls } from '../../wire/codes.ts'
import type { Answer } from '../answer.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer } from '../faults.ts'

const goAhead: Answer = { reply: readyForTls, next: 'upgrade-tls' }

/** RFC 3207 §4. Not within TLS, whoever ended it, and not behind AUTH, which would be forgotten with all the rest. */
export function startTls(dialogue: Dialogue): Answer {
  if (dialogue.isSecure) return faultAnswer('SMTP_SEQUENCE', 'TLS is active')
  if (dialogue.principal !== undefined) return faultAnswer('SMTP_SEQUENCE', 'already authenticated')
  if (dialogue.offersStartTls) return goAhead
  return { reply: notImplemented, refused: { reason: 'sequence', detail: 'STARTTLS is not offered here' } }
}
