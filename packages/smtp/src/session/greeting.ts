import type { Reply } from '../wire/reply.ts'
import type { SmtpSessionOptions } from './options.ts'

/** RFC 5321 §4.2: the greeting, which has no enhanced code (RFC 2034 §3). */
export function greetingReply({ hostname, mode }: SmtpSessionOptions): Reply {
  return { code: 220, lines: [`${hostname} ${mode === 'lmtp' ? 'LMTP' : 'ESMTP'} ready`] }
}
