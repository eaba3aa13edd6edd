/*
 * Tokens of OAuth 2.0: OAUTHBEARER (RFC 7628), and XOAUTH2, which Google made before it and which most mail programs speak.
 * Both have one message. A token that is refused is answered with a challenge that says why, in JSON; the client answers
 * that with nothing of worth, and only then the exchange fails, as protocols want it (RFC 7628 section 3.2.3).
 */
import type { TokenClaim } from '../contracts/auth.ts'
import { secret } from '../identity/secret.ts'
import { signIn } from './sign-in.ts'
import { malformedMessage, type Challenge, type MechanismStep, type SaslContext } from './steps.ts'
import { decodeUtf8, isOneLine } from './text.ts'
import { decodeName } from './scram-messages.ts'

/**
 * RFC 7628 section 3.1:
 *
 *   kvsep       = %x01
 *   kvpair      = key "=" value kvsep
 *   client-resp = (gs2-header kvsep *kvpair kvsep) / kvsep
 *
 * The gs2-header is that of RFC 5801 section 4. A bare kvsep ends an exchange, and so cannot begin one. A line end stands
 * for kvsep here, see `textOf`.
 */
const bearerMessage = /^[ny],(?:a=([^,\n]*))?,\n((?:[A-Za-z]+=[^\n]*\n)*)\n$/
/** RFC 6750 section 2.1: credentials = "Bearer" 1*SP b64token; the scheme is without case. */
const authPair = /(?:^|\n)auth=Bearer +([A-Za-z0-9._~+/-]+=*)\n/i
const xoauth2Message = /^user=([^\n]+)\nauth=Bearer +([A-Za-z0-9._~+/-]+=*)\n\n$/i

export function oauthbearer(context: SaslContext): Challenge {
  return {
    challenge: '',
    take(response) {
      const [match, name = '', pairs = ''] = bearerMessage.exec(textOf(response)) ?? []
      const [, token] = authPair.exec(pairs) ?? []
      const username = decodeName(name)
      if (match === undefined || token === undefined || username === undefined) return malformedMessage
      return check(context, {
        mechanism: 'OAUTHBEARER',
        ...(username === '' ? {} : { username }),
        token: secret(token),
      })
    },
  }
}

export function xoauth2(context: SaslContext): Challenge {
  return {
    challenge: '',
    take(response) {
      const [match, username = '', token = ''] = xoauth2Message.exec(textOf(response)) ?? []
      if (match === undefined) return malformedMessage
      return check(context, { mechanism: 'XOAUTH2', username, token: secret(token) })
    },
  }
}

async function check(context: SaslContext, claim: TokenClaim): Promise<MechanismStep> {
  const { authenticator, connection } = context
  const end = await signIn(context, { username: claim.username ?? '' }, () =>
    authenticator.verifyToken?.(claim, connection),
  )
  if (end.outcome === 'granted') return { ...end, username: end.principal.username }
  // What a policy refuses, and what nobody could check, says nothing of the token.
  if (end.outcome !== 'denied') return end
  return { challenge: failureOf(context, claim), end }
}

/** RFC 7628 section 3.2.2, and what Google documents of XOAUTH2: an HTTP status where the other has a word. */
function failureOf({ authenticator }: SaslContext, { mechanism }: TokenClaim): string {
  const { scope, discoveryUrl } = authenticator.tokenHints ?? {}
  return JSON.stringify({
    ...(mechanism === 'XOAUTH2' ? { status: '401', schemes: 'bearer' } : { status: 'invalid_token' }),
    ...(scope === undefined ? {} : { scope }),
    ...(discoveryUrl === undefined || mechanism === 'XOAUTH2' ? {} : { 'openid-configuration': discoveryUrl }),
  })
}

/** One line for each part; empty, which no message is, when it is no UTF-8 or has lines and fields of its own. */
function textOf(message: Buffer): string {
  const text = decodeUtf8(message) ?? ''
  return isOneLine(text) ? text.replaceAll('\x01', '\n') : ''
}
