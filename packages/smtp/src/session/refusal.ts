import type { AcceptRefusal, Decision } from '@postern/core'
import { encodeReply, type Reply } from '../wire/reply.ts'
import { decisionReply, type Refused } from './decisions.ts'

/** What an operator can mend in minutes is temporary, so that a mistake in a configuration bounces no mail. */
const words: Readonly<Record<AcceptRefusal, { readonly enhanced: string; readonly text: string }>> = {
  'proxy-timeout': { enhanced: '4.7.0', text: 'PROXY timed out' },
  'proxy-missing': { enhanced: '4.7.0', text: 'PROXY header required' },
  'proxy-malformed': { enhanced: '4.7.0', text: 'PROXY header malformed' },
  'proxy-untrusted': { enhanced: '4.7.0', text: 'PROXY header from an untrusted network' },
  'not-trusted': { enhanced: '4.7.0', text: 'Connections are accepted from trusted proxies only' },
  overloaded: { enhanced: '4.3.2', text: 'Too many connections, try again later' },
  'backends-down': { enhanced: '4.3.2', text: 'No server behind this one takes mail now, try again later' },
  stopping: { enhanced: '4.3.2', text: 'Shutting down, try again later' },
  'internal-error': { enhanced: '4.3.0', text: 'Internal error' },
}

/** The reply that ends a connection for such a reason: 421, which closes (RFC 5321 §3.8). */
export function closingReply(refusal: AcceptRefusal, hostname: string): Reply {
  const { enhanced, text } = words[refusal]
  return { code: 421, enhanced, lines: [`${hostname} ${text}`] }
}

/**
 * What is written to a client that is refused before a session exists, line end included; then the connection is
 * closed. Empty for `drop`, which closes without a word.
 */
export function refusalReply(
  refusal: Exclude<Decision, { verdict: 'pass' }> | AcceptRefusal,
  hostname: string,
): string {
  if (typeof refusal === 'string') return encodeReply(closingReply(refusal, hostname))
  return refusal.verdict === 'drop' ? '' : encodeReply(decisionReply(refusal satisfies Refused, 'connect', hostname))
}
