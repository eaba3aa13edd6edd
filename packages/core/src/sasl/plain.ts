import { secret } from '../identity/secret.ts'
import { actingAs, signInByPassword } from './sign-in.ts'
import { malformedMessage, type Challenge, type MechanismStep, type SaslContext } from './steps.ts'
import { decodeUtf8, isOneLine } from './text.ts'

/** RFC 4616 section 2: message = [authzid] UTF8NUL authcid UTF8NUL passwd, each of the latter two at least one character. */
export function plain(context: SaslContext): Challenge {
  return {
    challenge: '',
    take(response) {
      const [authorizationId = '', username = '', password = '', ...more] = decodeUtf8(response)?.split('\0') ?? []
      const isSound = username !== '' && password !== '' && more.length === 0
      if (!isSound || !isOneLine(authorizationId + username + password)) return malformedMessage
      return signInByPassword(context, {
        mechanism: 'PLAIN',
        username,
        ...actingAs(authorizationId, username),
        password: secret(password),
      })
    },
  }
}

/**
 * draft-murchison-sasl-login: a name, then a password. The words of the challenges are those that old clients look for.
 * An initial response is the name.
 */
export function login(context: SaslContext): Challenge {
  return {
    challenge: 'Username:',
    take(response) {
      const username = answerOf(response)
      if (username === undefined) return malformedMessage
      return { challenge: 'Password:', take: (second) => takePassword(context, username, second) }
    },
  }
}

function takePassword(
  context: SaslContext,
  username: string,
  response: Buffer,
): MechanismStep | Promise<MechanismStep> {
  const password = answerOf(response)
  if (password === undefined) return malformedMessage
  return signInByPassword(context, { mechanism: 'LOGIN', username, password: secret(password) })
}

function answerOf(response: Buffer): string | undefined {
  const text = decodeUtf8(response)
  return text !== undefined && text !== '' && isOneLine(text) ? text : undefined
}
