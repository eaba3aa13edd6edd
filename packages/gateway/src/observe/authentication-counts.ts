import type { VerifiedMessage } from '../inspect/verify-message.ts'
import type { Counts } from './counts.ts'

/** @param found - absent when it could not be found out. */
export function countAuthentication(counts: Counts, found: VerifiedMessage | undefined, ms: number): void {
  counts.count('postern_message_authentications_total', found === undefined ? 'unknown' : 'known').value++
  counts.distribution('postern_message_authentication_seconds').observe(ms / 1000)
  if (found === undefined) return
  for (const method of ['spf', 'dkim', 'dmarc', 'arc'] as const) {
    const result = results.has(found[method]) ? found[method] : 'other'
    counts.count('postern_message_authentication_results_total', method, result).value++
  }
}

/** RFC 8601 section 2.7. A label is a word of a closed list, whatever a library says. */
const results: ReadonlySet<string> = new Set([
  'none',
  'pass',
  'fail',
  'softfail',
  'neutral',
  'policy',
  'temperror',
  'permerror',
])
