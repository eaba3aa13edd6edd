import type { Awaitable } from '@postern/core'
import { bad, no, type Completion } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { signIn } from './sign-in.ts'

/**
 * RFC 3501 section 6.2.2 with SASL-IR (RFC 4959): `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]`, where
 * `=` is an empty initial response.
 */
export function authenticate(state: SessionState, args: Tokens): Awaitable<Outcome> {
  const mechanism = args.space() ? args.atom()?.toUpperCase() : undefined
  if (mechanism === undefined) return badArguments
  let initial: string | undefined
  if (args.space()) {
    initial = args.text.slice(args.at)
    if (initial === '') return badArguments
  } else if (!args.isAtEnd) {
    return badArguments
  }
  switch (mechanism) {
    case 'PLAIN':
      if (initial === undefined) return challenge(state, '', (response) => plain(state, response))
      return answered(state, initial, (response) => plain(state, response))
    case 'LOGIN':
      if (initial === undefined) return challenge(state, 'Username:', (username) => askPassword(state, username))
      return answered(state, initial, (username) => askPassword(state, username))
    default:
      return no('Mechanism is not offered', 'CANNOT')
  }
}

/** Sends a challenge; the client's next line answers it. */
function challenge(state: SessionState, text: string, next: (response: string) => Awaitable<Outcome>): Outcome {
  state.write(`+ ${Buffer.from(text).toString('base64')}\r\n`)
  return {
    onLine: (line) => {
      if (line !== '*') return answered(state, line === '' ? '=' : line, next)
      tellMalformed(state, 'cancelled')
      return bad('Authentication cancelled')
    },
  }
}

/** @param encoded - base64, or `=` for nothing. */
function answered(
  state: SessionState,
  encoded: string,
  next: (response: string) => Awaitable<Outcome>,
): Awaitable<Outcome> {
  const response = encoded === '=' ? '' : decodeBase64(encoded)
  return response === undefined ? malformed(state) : next(response)
}

/** RFC 4616 section 2: `message = [authzid] UTF8NUL authcid UTF8NUL passwd`. */
function plain(state: SessionState, response: string): Awaitable<Outcome> {
  const [actAs, username, password, ...more] = response.split('\0')
  if (actAs === undefined || username === undefined || password === undefined || more.length > 0) {
    return malformed(state)
  }
  return signIn(state, { mechanism: 'PLAIN', actAs, username, password })
}

function askPassword(state: SessionState, username: string): Outcome {
  return challenge(state, 'Password:', (password) => signIn(state, { mechanism: 'LOGIN', username, password }))
}

function malformed(state: SessionState): Completion {
  tellMalformed(state, 'malformed')
  return bad('Response is malformed')
}

function tellMalformed(state: SessionState, outcome: 'cancelled' | 'malformed'): void {
  const { connection } = state
  state.options.observer?.authenticated?.({ connection, mechanism: 'SASL', username: '', outcome })
}

/** Strict (RFC 4648 section 3): one spelling, padded, nothing else between. */
function decodeBase64(text: string): string | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined
  const octets = Buffer.from(text, 'base64')
  return octets.toString('base64') === text ? octets.toString('latin1') : undefined
}
