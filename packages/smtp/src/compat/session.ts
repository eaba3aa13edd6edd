import type { ConnectionInfo, Envelope } from '@postern/core'

/** A path with its parameters, as smtp-server tells them: `false` for none, `true` for one without a value. */
export interface CompatAddress {
  readonly address: string
  readonly args: Readonly<Record<string, string | true>> | false
}

/** What smtp-server's callbacks know of a connection. */
export interface CompatSession {
  readonly id: string
  /** TLS protects the connection, ours or that of a trusted balancer. */
  secure: boolean
  /** SNI. */
  servername: string | false
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  readonly remotePort: number
  /** The confirmed name of the client, or its address in brackets. */
  clientHostname: string
  /** EHLO, HELO or LHLO; known from the first recipient on. */
  openingCommand: string | false
  /** What the client says that it is. */
  hostNameAppearsAs: string | false
  /** As in `ESMTPSA`; known from the first recipient on. */
  transmissionType: string
  /** What `onAuth` answered. */
  user: unknown
  /** Transactions so far. */
  transaction: number
  envelope: { mailFrom: CompatAddress | false; rcptTo: CompatAddress[] }
}

/** A session as it is when a client has come. */
export function sessionOf(connection: ConnectionInfo): CompatSession {
  const { client, destination } = connection.identity
  const names = connection.clientNames
  const session: CompatSession = {
    id: connection.id,
    secure: false,
    servername: false,
    localAddress: destination.address.toString(),
    localPort: destination.port,
    remoteAddress: client.address.toString(),
    remotePort: client.port,
    clientHostname: `[${client.address.toString()}]`,
    openingCommand: false,
    hostNameAppearsAs: false,
    transmissionType: 'SMTP',
    user: undefined,
    transaction: 0,
    envelope: { mailFrom: false, rcptTo: [] },
  }
  if (names !== undefined && !(names instanceof Promise))
    session.clientHostname = names.verified ?? session.clientHostname
  return session
}

/** RFC 1870, RFC 6152, RFC 6531: the parameters of MAIL. */
export function argumentsOf({ declaredBytes, body, isSmtpUtf8 }: Envelope): CompatAddress['args'] {
  const args: Record<string, string | true> = {
    ...(declaredBytes !== undefined && { SIZE: String(declaredBytes) }),
    ...(body !== '7BIT' && { BODY: body }),
    ...(isSmtpUtf8 && { SMTPUTF8: true as const }),
  }
  return Object.keys(args).length === 0 ? false : args
}
