import type { ConnectionInfo } from '../contracts/connection.ts'
import { actingAs, signIn } from './sign-in.ts'
import { malformedMessage, type Challenge, type SaslContext } from './steps.ts'
import { decodeUtf8, isOneLine } from './text.ts'

/**
 * RFC 4422 appendix A: the message is the authorization identity, or empty for that of the certificate, which was verified
 * before: by us, or by the balancer that ended TLS.
 */
export function external(context: SaslContext): Challenge {
  return {
    challenge: '',
    take(response) {
      const { authenticator, connection } = context
      const text = decodeUtf8(response)
      if (text === undefined || !isOneLine(text)) return malformedMessage
      const commonName = commonNameOf(connection)
      const actAs = actingAs(text, commonName)
      const claim = { commonName, ...actAs }
      return signIn(context, { username: commonName, ...actAs }, () =>
        authenticator.verifyCertificate?.(claim, connection),
      )
    },
  }
}

/** The name in a client certificate that was verified; empty when there is none. */
export function commonNameOf({ security }: Pick<ConnectionInfo, 'security'>): string {
  return security.kind === 'tls' ? (security.clientCommonName ?? '') : ''
}
