import { isUtf8 } from 'node:buffer'
import { secret, signInByPassword, type Awaitable } from '@postern/core'
import { no } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { concludeSignIn, failSignIn } from './sign-in.ts'

/** RFC 3501 section 6.2.3: `login = "LOGIN" SP userid SP password`, both astrings. */
export function login(state: SessionState, args: Tokens): Awaitable<Outcome> {
  const user = args.space() ? args.astring() : undefined
  const pass = args.space() ? args.astring() : undefined
  if (user === undefined || pass === undefined || !args.isAtEnd) return badArguments
  if (state.authenticator.verify === undefined) return no('Passwords are not taken here', 'CANNOT')
  return logIn(state, decodeText(user), decodeText(pass))
}

async function logIn(state: SessionState, username: string, password: string): Promise<Outcome> {
  if (username === '' || password === '') {
    state.tellAuthenticated('LOGIN', username, 'malformed')
    return failSignIn(state)
  }
  const credentials = { mechanism: 'LOGIN', username, password: secret(password) } as const
  return concludeSignIn(state, 'LOGIN', await signInByPassword(state.saslContext, credentials))
}

/** Text in UTF-8 without NUL, CR and LF, which no name or password holds (RFC 4616 section 2); else nothing. */
function decodeText(text: string): string {
  const octets = Buffer.from(text, 'latin1')
  return isUtf8(octets) && !/[\0\r\n]/.test(text) ? octets.toString('utf8') : ''
}
