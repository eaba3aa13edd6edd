import type { AcceptRefusal, Decision } from '@postern/core'

/**
 * The words for each refusal. What an operator can mend in minutes is temporary, so that clients try again by
 * themselves; ALERT, which clients put before their user's eyes, is kept for lasting refusals (RFC 3501 section 7.1).
 */
const words: Readonly<Record<AcceptRefusal, { readonly code: 'UNAVAILABLE' | 'ALERT'; readonly text: string }>> = {
  'proxy-timeout': { code: 'UNAVAILABLE', text: 'PROXY timed out' },
  'proxy-missing': { code: 'UNAVAILABLE', text: 'PROXY header required' },
  'proxy-malformed': { code: 'UNAVAILABLE', text: 'PROXY header malformed' },
  'proxy-untrusted': { code: 'UNAVAILABLE', text: 'PROXY header from an untrusted network' },
  'not-trusted': { code: 'UNAVAILABLE', text: 'Connections are accepted from trusted proxies only' },
  overloaded: { code: 'UNAVAILABLE', text: 'Too many connections, try again later' },
  'backends-down': { code: 'UNAVAILABLE', text: 'No server behind this one answers now' },
  stopping: { code: 'UNAVAILABLE', text: 'Shutting down' },
  'internal-error': { code: 'UNAVAILABLE', text: 'Internal error' },
}

type Refused = Exclude<Decision, { readonly verdict: 'pass' }>

/**
 * What is written to a client that is refused before a session exists: one untagged BYE (RFC 3501 section 7.1.5), with
 * a code of RFC 5530, line end included. Empty for `drop`, which closes without a word.
 */
export function refusalResponse(refusal: Refused | AcceptRefusal, hostname: string): string {
  if (typeof refusal === 'string') return bye(words[refusal].code, words[refusal].text, hostname)
  if (refusal.verdict === 'drop') return ''
  return refusal.verdict === 'defer'
    ? bye('UNAVAILABLE', refusal.reply?.text ?? 'Try again later', hostname)
    : bye('ALERT', refusal.reply?.text ?? 'Access denied', hostname)
}

function bye(code: string, text: string, hostname: string): string {
  return `* BYE [${code}] ${hostname} ${onOneLine(text)}\r\n`
}

/** Configured words may hold anything; a response line holds printable ASCII (RFC 3501 section 9, `text`). */
export function onOneLine(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, ' ').trim()
}
