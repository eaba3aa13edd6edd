import { offeredMechanisms, type Authenticator, type ConnectionInfo } from '@postern/core'

/** What decides which capabilities are offered (RFC 3501 section 6.1.1). */
export interface CapabilityConditions {
  readonly connection: ConnectionInfo
  readonly authenticator: Authenticator
  readonly isLoggedIn: boolean
  /** The listener can start TLS. */
  readonly offersStartTls: boolean
  readonly maxAppendBytes: number
}

/** In every state. */
const always = ['IMAP4rev1', 'SASL-IR', 'LITERAL-', 'ID', 'ENABLE', 'IDLE'] as const

/** Commands and responses that need a login. */
const afterLogin = [
  'NAMESPACE',
  'UIDPLUS',
  'UNSELECT',
  'MOVE',
  'CHILDREN',
  'LIST-EXTENDED',
  'LIST-STATUS',
  'SPECIAL-USE',
  'STATUS=SIZE',
] as const

/**
 * The capabilities of this moment, the only place that knows them: the greeting, CAPABILITY, and the reply to a login
 * say the same. Nothing is offered that is not done.
 */
export function capabilities({ connection, ...conditions }: CapabilityConditions): string {
  const { identity } = connection
  // A health check may greet and leave.
  if (identity.origin === 'proxy-itself') return 'IMAP4rev1 LOGINDISABLED'
  if (conditions.isLoggedIn) return [...always, ...afterLogin, `APPENDLIMIT=${conditions.maxAppendBytes}`].join(' ')
  if (isSecure(connection)) {
    const { authenticator } = conditions
    const mechanisms = offeredMechanisms({ authenticator, connection }).map((mechanism) => `AUTH=${mechanism}`)
    // RFC 3501 section 6.2.3: LOGIN is a password too.
    const disabled = authenticator.verify === undefined ? ['LOGINDISABLED'] : []
    return [...always, ...mechanisms, ...disabled].join(' ')
  }
  const startTls = conditions.offersStartTls ? ['STARTTLS'] : []
  return [...always, ...startTls, 'LOGINDISABLED'].join(' ')
}

/** Protected by our TLS, or by that of a balancer whose word is trusted: passwords may be sent. */
export function isSecure(connection: ConnectionInfo): boolean {
  return connection.security.kind === 'tls'
}
