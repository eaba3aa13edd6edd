/* A whole SMTP server for programs that embed one, and behind it a backend of a few methods. */
import {
  createSessionServer,
  tlsModeOf,
  type Awaitable,
  type ClientNames,
  type IpAddress,
  type ReadProxyHeaderOptions,
  type ServerTlsOptions,
  type SessionObserver,
  type SessionServer,
  type SessionServerObserver,
} from '@postern/core'
import type { Destination } from '../session/destination.ts'
import type { SmtpSessionOptions } from '../session/options.ts'
import { refusalReply } from '../session/refusal.ts'
import { createSmtpSession } from '../session/session.ts'
import { encodeReply } from '../wire/reply.ts'
import type { SmtpBackend } from './backend.ts'
import { authenticatorOf, destinationOf, policyOf, router } from './backend-contracts.ts'

/** Told what happens, for logs and counters. No method may throw. `failed` hears what the backend threw, too. */
export type SmtpServerObserver = SessionObserver & SessionServerObserver

type SessionSettings = Pick<
  SmtpSessionOptions,
  | 'hostname'
  | 'authenticator'
  | 'authRequiresTls'
  | 'bareNewline'
  | 'destinationExtensions'
  | 'greetingDelay'
  | 'limits'
  | 'mayAnnounce'
>

/** How a server speaks TLS: certificate and key, and what else `tls.createSecureContext` takes. */
export type SmtpTlsOptions = ServerTlsOptions

/** How a server greets, whom it believes, and who takes its mail. */
export interface SmtpServerOptions extends SessionSettings {
  readonly backend: SmtpBackend
  /** `mx` when absent: mail from other hosts. */
  readonly mode?: SmtpSessionOptions['mode']
  readonly tls?: SmtpTlsOptions
  /** Who may, or must, send a PROXY header. Nobody when absent. */
  readonly proxy?: ReadProxyHeaderOptions
  /** Takes the mail instead of the backend's `recipient` and `data`: for programs that speak the contract of relays and stores. */
  readonly destination?: Destination
  readonly policies?: SmtpSessionOptions['policies']
  /** Looks up the names of a client, from the accept on; nobody waits for it before the first message. Never rejects. */
  readonly clientNames?: (address: IpAddress) => Awaitable<ClientNames>
  /** Connections at once; over it 421. */
  readonly maxConnections?: number
  /** How long a whole session may take, in milliseconds. As long as it moves, when absent. */
  readonly maxSessionMs?: number
  readonly observer?: SmtpServerObserver
  /** The clock, for `Received`. */
  readonly now?: () => Date
}

/** A server that `createSmtpServer` made. */
export type SmtpServer = SessionServer

/**
 * Makes an SMTP server. When it is closed it lets transactions under way finish, and says 421 to everybody else.
 *
 * @throws when the certificate or the key of `tls` cannot be used.
 */
export function createSmtpServer(options: SmtpServerOptions): SmtpServer {
  const { backend, clientNames, hostname, maxConnections, maxSessionMs, mode = 'mx', observer, proxy, tls } = options
  const session = sessionOptions(options)
  return createSessionServer({
    protocol: mode === 'mx' ? 'smtp' : mode,
    session: (context, bytesWithHeader) => createSmtpSession(context, session, { bytesWithHeader }),
    refusal: (why) => refusalReply(why, hostname),
    async admit(connection) {
      const verdict = await backend.connection?.(connection)
      if (verdict === undefined || verdict.code < 400) return undefined
      return encodeReply({ ...verdict, lines: withName(hostname, verdict.lines) })
    },
    ...(clientNames !== undefined && { clientNames }),
    ...(maxConnections !== undefined && { maxConnections }),
    ...(maxSessionMs !== undefined && { maxSessionMs }),
    ...(observer !== undefined && { observer }),
    ...(proxy !== undefined && { proxy }),
    ...(tls !== undefined && { tls }),
  })
}

function sessionOptions(options: SmtpServerOptions): SmtpSessionOptions {
  const { backend, destination, mode = 'mx', policies = [], now = () => new Date(), observer, tls } = options
  const onFault = (error: unknown): void => observer?.failed?.(error)
  const takesMail = destination ?? destinationOf(backend, onFault)
  const authenticator = options.authenticator ?? authenticatorOf(backend, onFault)
  return {
    ...options,
    mode,
    now,
    router,
    offersStartTls: tlsModeOf(tls) === 'starttls',
    policies: [...policies, policyOf(backend, onFault)],
    destinationFor: () => takesMail,
    ...(authenticator !== undefined && { authenticator }),
  }
}

/** RFC 5321 §4.2: what stands in the place of a greeting begins with our name. */
function withName(hostname: string, lines: readonly string[]): readonly string[] {
  return lines.map((line, index) => (index === 0 ? `${hostname} ${line}` : line))
}
