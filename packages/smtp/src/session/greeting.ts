import type { Reply } from '../wire/reply.ts'
import type { SmtpSessionOptions } from './options.ts'

/** The line that promises another: `Greeting = ( "220 " … ) / ( "220-" … )` (RFC 5321 §4.2). */
export function teaser({ hostname }: SmtpSessionOptions): string {
  return `220-${hostname} ESMTP\r\n`
}

/** RFC 5321 §4.2: the greeting, which has no enhanced code (RFC 2034 §3). */
export function greetingReply({ hostname, mode }: SmtpSessionOptions): Reply {
  return { code: 220, lines: [`${hostname} ${mode === 'lmtp' ? 'LMTP' : 'ESMTP'} ready`] }
}
