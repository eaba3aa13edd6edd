/*
 * A whole SMTP server for programs that embed one: sockets, PROXY headers, TLS and sessions, and behind them a backend
 * of a few methods. A connection goes the way of the gateway's acceptor, in its order: header, identity, TLS, the
 * program's word, session.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo, type ListenOptions, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import {
  channelSecurityFrom,
  limits as coreLimits,
  newConnectionId,
  readProxyHeader,
  runSession,
  type AcceptRefusal,
  type Awaitable,
  type ClientNames,
  type Connection,
  type ConnectionInfo,
  type IpAddress,
  type ListenerInfo,
  type ProxyReading,
  type ProxyRefusalCode,
  type ReadProxyHeaderOptions,
  type RunningSession,
  type SessionEnd,
  type SessionObserver,
} from '@postern/core'
import { serverLimits } from '../limits.ts'
import type { Destination } from '../session/destination.ts'
import type { SmtpSessionOptions } from '../session/options.ts'
import { refusalReply } from '../session/refusal.ts'
import { createSmtpSession } from '../session/session.ts'
import { encodeReply } from '../wire/reply.ts'
import type { SmtpBackend } from './backend.ts'
import { authenticatorOf, destinationOf, policyOf, router } from './backend-contracts.ts'
import { tlsOf, type Secure, type SmtpTlsOptions } from './tls.ts'

/** Told what happens, for logs and counters. No method may throw. */
export interface SmtpServerObserver extends SessionObserver {
  /** A client has a session. */
  opened?(connection: ConnectionInfo): void
  /** The session is over, and its connection closed. */
  closed?(end: SessionEnd): void
  /** No session came of a connection, for its PROXY header. `detail` is a sentence for the log, safe to print. */
  proxyRefused?(event: Extract<ProxyReading, { readonly ok: false }>): void
  /** The backend threw, or the server met something that it did not expect. */
  failed?(error: unknown): void
}

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
export interface SmtpServer {
  /** Connections that are open. */
  readonly connections: number
  /** Resolves when it accepts. A server that was closed may listen again. */
  listen(port: number, host?: string): Promise<AddressInfo>
  /** The same, by what `net.Server.listen` takes: a path, a file descriptor, a backlog. */
  listen(options: ListenOptions): Promise<AddressInfo | string | null>
  /** Serves a socket that somebody else accepted. Resolves when it is closed, and never rejects. */
  accept(socket: Socket): Promise<void>
  /**
   * Stops accepting, lets transactions under way finish, and says 421 to everybody else. Resolves when all are gone.
   *
   * @param withinMs - then the rest takes leave, whatever is under way.
   */
  close(withinMs?: number): Promise<void>
}

/**
 * Makes an SMTP server.
 *
 * @throws when the certificate or the key of `tls` cannot be used.
 */
export function createSmtpServer(options: SmtpServerOptions): SmtpServer {
  return new NetSmtpServer(options)
}

class NetSmtpServer implements SmtpServer {
  readonly #options: SmtpServerOptions
  readonly #session: SmtpSessionOptions
  readonly #listener: ListenerInfo
  readonly #proxy: ReadProxyHeaderOptions
  readonly #secure: Secure | undefined
  readonly #server: Server
  readonly #open = new Map<Socket, RunningSession | undefined>()
  #isClosing = false
  /** For everybody who waits for the end: the server may be closed more than once. */
  #allGone: PromiseWithResolvers<void> | undefined

  constructor(options: SmtpServerOptions) {
    this.#options = options
    this.#secure = options.tls === undefined ? undefined : tlsOf(options.tls)
    const tls = options.tls === undefined ? 'off' : (options.tls.mode ?? 'starttls')
    const { mode = 'mx' } = options
    this.#listener = { name: 'smtp', protocol: mode === 'mx' ? 'smtp' : mode, tls }
    this.#proxy = options.proxy ?? directOnly
    this.#session = this.#sessionOptions()
    // Half-open: a client that closes its half after its last command still gets the replies.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => void this.accept(socket))
    // An accept that failed concerns one client, and must not end the process. What `listen` meets, it tells itself.
    this.#server.on('error', (error) => {
      if (this.#server.listening) options.observer?.failed?.(error)
    })
  }

  get connections(): number {
    return this.#open.size
  }

  async listen(where: number | ListenOptions, host?: string): Promise<AddressInfo> {
    this.#isClosing = false
    const target = typeof where === 'number' ? { port: where, ...(host !== undefined && { host }) } : where
    this.#server.listen({ backlog: serverLimits.listenBacklog, ...target })
    await once(this.#server, 'listening')
    return this.#server.address() as AddressInfo
  }

  async accept(socket: Socket): Promise<void> {
    socket.on('error', ignore)
    if (this.#isClosing) return leave(socket, this.#words('stopping'))
    if (this.#open.size >= (this.#options.maxConnections ?? serverLimits.maxConnections)) {
      return leave(socket, this.#words('overloaded'))
    }
    this.#open.set(socket, undefined)
    try {
      await this.#serve(socket)
    } catch (error) {
      this.#options.observer?.failed?.(error)
      await leave(socket, this.#words('internal-error'))
    } finally {
      this.#open.delete(socket)
      if (this.#open.size === 0) this.#allGone?.resolve()
    }
  }

  async close(withinMs: number = serverLimits.closePatienceMs): Promise<void> {
    this.#isClosing = true
    this.#server.close()
    for (const [socket, session] of this.#open) {
      if (session === undefined) socket.destroy()
      else session.stop()
    }
    if (this.#open.size === 0) return
    const allGone = (this.#allGone ??= Promise.withResolvers<void>())
    const deadline = setTimeout(() => {
      for (const [socket, session] of this.#open) {
        if (session === undefined) socket.destroy()
        else session.cut()
      }
    }, withinMs)
    await allGone.promise
    this.#allGone = undefined
    clearTimeout(deadline)
  }

  /** From the accept to the end of the session. */
  async #serve(socket: Socket): Promise<void> {
    const { backend, clientNames, hostname, observer } = this.#options
    const reading = await readProxyHeader(socket, this.#proxy)
    if (!reading.ok) {
      observer?.proxyRefused?.(reading)
      return leave(socket, this.#words(refusalFor(reading.code)))
    }
    // What stands behind the header now came in one piece with it.
    const bytesWithHeader = this.#listener.tls === 'implicit' ? 0 : socket.readableLength
    const { identity } = reading
    const gone = new AbortController()
    socket.once('close', () => gone.abort(connectionGone))
    const names = clientNames?.(identity.client.address)
    let connection: Connection = {
      id: newConnectionId(),
      listener: this.#listener,
      identity,
      security: channelSecurityFrom(identity) ?? { kind: 'cleartext' },
      stream: socket,
      signal: gone.signal,
      ...(names !== undefined && { clientNames: names }),
    }
    const secure = this.#secure
    if (this.#listener.tls === 'implicit' && secure !== undefined) connection = await secure(connection)

    const verdict = await backend.connection?.(connection)
    if (verdict !== undefined && verdict.code >= 400) {
      return leave(connection.stream, encodeReply({ ...verdict, lines: withName(hostname, verdict.lines) }))
    }
    if (this.#isClosing) return leave(connection.stream, refusalReply('stopping', hostname))
    if (connection.stream.destroyed) return
    observer?.opened?.(connection)
    const { maxSessionMs } = this.#options
    const opening = { bytesWithHeader: identity.origin === 'direct' ? 0 : bytesWithHeader }
    const session = runSession(connection, (context) => createSmtpSession(context, this.#session, opening), {
      ...(secure !== undefined && { upgradeTls: secure }),
      ...(maxSessionMs !== undefined && { maxSessionMs }),
    })
    this.#open.set(socket, session)
    const end = await session.ended
    observer?.closed?.(end)
  }

  #sessionOptions(): SmtpSessionOptions {
    const { backend, destination, mode = 'mx', policies = [], now = () => new Date(), observer } = this.#options
    const onFault = (error: unknown): void => observer?.failed?.(error)
    const takesMail = destination ?? destinationOf(backend, onFault)
    const authenticator = this.#options.authenticator ?? authenticatorOf(backend, onFault)
    return {
      ...this.#options,
      mode,
      now,
      router,
      offersStartTls: this.#listener.tls === 'starttls',
      policies: [...policies, policyOf(backend, onFault)],
      destinationFor: () => takesMail,
      ...(authenticator !== undefined && { authenticator }),
    }
  }

  /** Nothing can be said in the clear where TLS comes first: the client would take it for a broken handshake. */
  #words(why: AcceptRefusal | undefined): string {
    return why === undefined || this.#listener.tls === 'implicit' ? '' : refusalReply(why, this.#options.hostname)
  }
}

/** Why a connection's signal is aborted. One for all: making an error with its stack costs as much as a message. */
const connectionGone = new Error('the connection is gone')

/** Nobody is asked for a header, and nobody's is read. */
const directOnly: ReadProxyHeaderOptions = { trust: { verdictFor: () => ({ rule: 'absent' }) } }

/** Where it can be mended by whoever runs the balancer it is temporary: no mistake there bounces mail. */
function refusalFor(code: ProxyRefusalCode): AcceptRefusal | undefined {
  return code === 'PROXY_CLOSED' ? undefined : (refusals.get(code) ?? 'proxy-malformed')
}

const refusals: ReadonlyMap<ProxyRefusalCode, AcceptRefusal> = new Map([
  ['PROXY_TIMEOUT', 'proxy-timeout'],
  ['PROXY_MISSING', 'proxy-missing'],
  ['PROXY_UNTRUSTED', 'not-trusted'],
])

/** RFC 5321 §4.2: what stands in the place of a greeting begins with our name. */
function withName(hostname: string, lines: readonly string[]): readonly string[] {
  return lines.map((line, index) => (index === 0 ? `${hostname} ${line}` : line))
}

/**
 * Says the last words and closes. Closing with unread input would reset the connection, and the words be lost with it:
 * so our half is closed, and the client has a while to close its own.
 */
async function leave(stream: Duplex, words: string): Promise<void> {
  if (stream.closed) return
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  stream.once('close', () => resolve())
  if (words === '' || stream.destroyed || !stream.writable) {
    stream.destroy()
  } else {
    stream.end(words)
    stream.resume()
  }
  const giveUp = setTimeout(() => stream.destroy(), coreLimits.lingerMs)
  await closed
  clearTimeout(giveUp)
}

function ignore(): void {}
