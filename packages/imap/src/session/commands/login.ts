import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { signIn } from './sign-in.ts'

/** RFC 3501 section 6.2.3: `login = "LOGIN" SP userid SP password`, both astrings. */
export function login(state: SessionState, args: Tokens): Outcome | Promise<Outcome> {
  const username = args.space() ? args.astring() : undefined
  const password = args.space() ? args.astring() : undefined
  if (username === undefined || password === undefined || !args.isAtEnd) return badArguments
  return signIn(state, { mechanism: 'LOGIN', username, password })
}
