import { bad, no, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { noArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'

/**
 * RFC 8437 section 3: back to the state before the login, with nothing left of the one who was signed in; for front ends
 * that use one connection for many users. Failed logins stay counted, since they are the connection's.
 */
export async function unauthenticate(state: SessionState, args: Tokens): Promise<Outcome> {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  if (!state.mayUnauthenticate) return bad('Command is not offered')
  // Compression belongs to who asked for it, and cannot be ended on a connection: it is not offered then.
  if (state.isCompressed) return no('Not on a compressed connection', 'CANNOT')
  await state.signOut()
  return ok('Signed out', `CAPABILITY ${state.capabilities()}`)
}
