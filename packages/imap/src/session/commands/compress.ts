import { bad, no, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'

/**
 * RFC 4978 section 3: `compress = "COMPRESS" SP "DEFLATE"`. TLS below never compresses. What stands behind the command is
 * looked for by the session: a client waits for the answer before it says more.
 */
export function compress(state: SessionState, args: Tokens): Outcome {
  const algorithm = args.space() ? args.atom()?.toUpperCase() : undefined
  if (algorithm === undefined || !args.isAtEnd) return badArguments
  if (algorithm !== 'DEFLATE') return bad('Algorithm is not known')
  if (state.isCompressed) return no('Compression is active already', 'COMPRESSIONACTIVE')
  return { ...ok('Compression begins now'), after: { next: 'compress' } }
}
