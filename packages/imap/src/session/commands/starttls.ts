import { bad, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { noArguments } from '../arguments.ts'
import { isSecure } from '../capabilities.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'

/** RFC 3501 section 6.2.1. What stands behind it in the clear is looked for by the session, which ends then. */
export function starttls(state: SessionState, args: Tokens): Outcome {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  if (isSecure(state.connection)) return bad('TLS is active already')
  if (!state.options.offersStartTls) return bad('TLS is not offered here')
  return { ...ok('Begin TLS negotiation now'), after: { next: 'upgrade-tls' } }
}
