import { beginSasl, type SaslExchange, type SaslStep } from '@postern/core'
import { no } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { concludeSignIn } from './sign-in.ts'

/**
 * RFC 3501 section 6.2.2 with SASL-IR (RFC 4959): `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]`, where
 * `=` is an empty initial response. Some clients send both as strings, and other servers take them so.
 */
export async function authenticate(state: SessionState, args: Tokens): Promise<Outcome> {
  const mechanism = args.space() ? args.astring() : undefined
  if (mechanism === undefined) return badArguments
  let initial: string | undefined
  if (args.space()) {
    const isString = '"{'.includes(args.text.charAt(args.at)) && !args.isAtEnd
    initial = isString ? args.string() : args.text.slice(args.at)
    if (initial === undefined || initial === '' || (isString && !args.isAtEnd)) return badArguments
  } else if (!args.isAtEnd) {
    return badArguments
  }
  const exchange = beginSasl(mechanism, state.saslContext)
  if (exchange === undefined) return no('Mechanism is not offered', 'CANNOT')
  return proceed(state, exchange, await exchange.start(initial))
}

/** A challenge goes out behind "+", and the client's next line answers it; `*` cancels, and is BAD. */
async function proceed(state: SessionState, exchange: SaslExchange, step: SaslStep): Promise<Outcome> {
  if (step.next === 'challenge') {
    state.write(`+ ${step.challenge}\r\n`)
    return { onLine: async (line) => proceed(state, exchange, await exchange.answer(line)) }
  }
  return concludeSignIn(state, exchange.mechanism, step.end)
}
