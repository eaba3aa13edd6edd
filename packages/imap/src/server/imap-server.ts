/* A whole IMAP server for programs that embed one, over a store of the program's. */
import {
  createSessionServer,
  tlsModeOf,
  type Authenticator,
  type Awaitable,
  type ConnectionInfo,
  type Credentials,
  type ReadProxyHeaderOptions,
  type ServerTlsOptions,
  type SessionServer,
} from '@postern/core'
import { serverLimits } from '../limits.ts'
import type { ImapSessionOptions } from '../session/options.ts'
import { refusalResponse } from '../session/refusal.ts'
import { createImapSession } from '../session/session.ts'

/** How a server speaks TLS: certificate and key, and what else `tls.createSecureContext` takes. */
export type ImapTlsOptions = ServerTlsOptions

/** How a server greets, whom it believes, and whose mail it shows. */
export interface ImapServerOptions extends Pick<
  ImapSessionOptions,
  'hostname' | 'store' | 'mayUnauthenticate' | 'observer' | 'limits'
> {
  /**
   * Whose password this is: the name of the account, or nobody. What it throws is told as a directory that cannot be asked.
   * Passwords are taken over TLS only, ours or that of a trusted balancer.
   */
  readonly authenticate?: (credentials: Credentials, at: ConnectionInfo) => Awaitable<string | undefined>
  /** Takes the place of `authenticate`: for SCRAM, tokens and certificates. */
  readonly authenticator?: Authenticator
  readonly tls?: ImapTlsOptions
  /** Who may, or must, send a PROXY header. Nobody when absent. */
  readonly proxy?: ReadProxyHeaderOptions
  readonly policies?: ImapSessionOptions['policies']
  /** The largest message that APPEND takes; 25 MiB when absent. */
  readonly maxAppendBytes?: number
  /** Connections at once; over it BYE. */
  readonly maxConnections?: number
  /** The backend threw, or the server met something that it did not expect. Must not throw. */
  readonly onFault?: (error: unknown) => void
  /** The clock. */
  readonly now?: () => Date
}

/** A server that `createImapServer` made. */
export type ImapServer = SessionServer

/**
 * Makes an IMAP server. When it is closed it says BYE to everybody; a message that is being received may arrive.
 *
 * @throws when the certificate or the key of `tls` cannot be used.
 */
export function createImapServer(options: ImapServerOptions): ImapServer {
  const { hostname, maxConnections, onFault, proxy, tls } = options
  const session: ImapSessionOptions = {
    hostname,
    store: options.store,
    offersStartTls: tlsModeOf(tls) === 'starttls',
    policies: options.policies ?? [],
    authenticator: options.authenticator ?? authenticatorOf(options),
    now: options.now ?? (() => new Date()),
    maxAppendBytes: options.maxAppendBytes ?? serverLimits.maxAppendBytes,
    ...(options.mayUnauthenticate !== undefined && { mayUnauthenticate: options.mayUnauthenticate }),
    ...(options.observer !== undefined && { observer: options.observer }),
    ...(options.limits !== undefined && { limits: options.limits }),
  }
  return createSessionServer({
    protocol: 'imap',
    session: (context) => createImapSession(context, session),
    refusal: (why) => refusalResponse(why, hostname),
    observer: {
      closed: ({ reason, error }) => {
        if (reason === 'internal-error') onFault?.(error)
      },
      failed: (error) => onFault?.(error),
    },
    ...(maxConnections !== undefined && { maxConnections }),
    ...(proxy !== undefined && { proxy }),
    ...(tls !== undefined && { tls }),
  })
}

function authenticatorOf({ authenticate, onFault }: ImapServerOptions): Authenticator {
  if (authenticate === undefined) return {}
  return {
    async verify(credentials, connection) {
      try {
        // Whom somebody else's password would open is for an authenticator to say.
        const account = credentials.actAs === undefined ? await authenticate(credentials, connection) : undefined
        if (account === undefined) return { outcome: 'denied' }
        return { outcome: 'granted', principal: { account, username: credentials.username } }
      } catch (cause) {
        onFault?.(cause)
        return { outcome: 'unavailable', cause }
      }
    },
  }
}
