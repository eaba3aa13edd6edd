import type { Awaitable, CloseReason, SessionObserver } from '@postern/core'
import type { Reply } from '../wire/reply.ts'
import { decisionReply, type RefusalMoment } from './decisions.ts'
import type { Refusal } from './policies.ts'

/** What the observer is told beside a refusing reply. */
export type RefusalReport = Pick<Parameters<NonNullable<SessionObserver['refused']>>[0], 'reason' | 'detail'>

/** What a command comes to. */
export interface Answer {
  /** Absent where a policy closes without a word, and where octets come first. */
  readonly reply?: Reply
  /** Replies behind `reply`: LMTP has one for each recipient (RFC 2033 §4.2). */
  readonly more?: readonly Reply[]
  /** What comes behind the reply; the next command, when absent. `octets` are no commands, and answered by themselves. */
  readonly next?: 'sasl' | 'upgrade-tls' | { readonly close: CloseReason } | { readonly octets: Octets }
  readonly refused?: RefusalReport
  /** The reply is 4yz and no fault of the client's: it does not count as an error. */
  readonly isExcused?: boolean
}

/** Takes what the client sends in place of command lines: the data behind DATA, or a chunk behind BDAT. */
export interface Octets {
  /** The command that it belongs to, for the observer. */
  readonly verb: 'DATA' | 'BDAT'
  /** How many more bytes it can tell to be its own; all that come, while only their content tells. */
  readonly wants: number
  /** Its end was found. */
  readonly isDone: boolean
  /** How many bytes of the last `receive` were its own. */
  readonly consumed: number
  /** @param bytes - the next piece, up to its end or beyond it. A view, valid until the promise settles. */
  receive(bytes: Buffer): Awaitable<void>
  /** The answer to all of it. */
  finish(): Awaitable<Answer>
}

/** The same for each of so many recipients. */
export function repeated(answer: Answer, times: number): Answer {
  return answer.reply === undefined || times < 2 ? answer : { ...answer, more: Array(times - 1).fill(answer.reply) }
}

/** The answer to what a policy or a router refused. */
export function refusalAnswer(refusal: Refusal, moment: RefusalMoment, hostname: string): Answer {
  const { decision, by } = refusal
  const refused: RefusalReport = {
    reason: decision.reason,
    detail: decision.detail === undefined ? by : `${by}: ${decision.detail}`,
  }
  if (decision.verdict === 'drop') return { next: { close: 'refused' }, refused }
  return { reply: decisionReply(decision, moment, hostname), refused }
}
