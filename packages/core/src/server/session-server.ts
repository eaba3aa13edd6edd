/*
 * A whole server around a session machine, for programs that embed one: sockets, PROXY headers, TLS and sessions. A
 * connection goes the way of the gateway's acceptor, in its order: header, identity, TLS, the program's word, session.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo, type ListenOptions, type Server, type Socket } from 'node:net'
import type { IpAddress } from '../contracts/address.ts'
import type { Awaitable } from '../contracts/awaitable.ts'
import type { ClientNames, Connection, ConnectionInfo, ListenerInfo } from '../contracts/connection.ts'
import type { AcceptRefusal } from '../contracts/policy.ts'
import type { SessionContext, SessionMachine } from '../contracts/session.ts'
import type { ProxyRefusalCode } from '../errors.ts'
import { newConnectionId } from '../identity/connection-id.ts'
import { channelSecurityFrom } from '../identity/identity.ts'
import { limits } from '../limits.ts'
import { runSession, type RunningSession, type SessionEnd } from '../session/pump.ts'
import { sayGoodbye } from '../socket/goodbye.ts'
import { readProxyHeader, type ProxyReading, type ReadProxyHeaderOptions } from '../socket/read-proxy-header.ts'
import { tlsOf, type Secure, type ServerTlsOptions } from './tls.ts'

/** Told what happens to connections. No method may throw. */
export interface SessionServerObserver {
  /** A client has a session. */
  opened?(connection: ConnectionInfo): void
  /** The session is over, and its connection closed. */
  closed?(end: SessionEnd): void
  /** No session came of a connection, for its PROXY header. `detail` is a sentence for the log, safe to print. */
  proxyRefused?(event: Extract<ProxyReading, { readonly ok: false }>): void
  /** The server met something that it did not expect: a failed accept or handshake, or what `admit` threw. */
  failed?(error: unknown): void
}

/** The protocol of a server, and whom it lets in. */
export interface SessionServerOptions {
  readonly protocol: ListenerInfo['protocol']
  /**
   * Begins a session; called once for each connection.
   *
   * @param bytesWithHeader - octets that came in one piece with the PROXY header: they are the balancer's packing, and no
   * haste of the client.
   */
  readonly session: (context: SessionContext, bytesWithHeader: number) => SessionMachine
  /** What is said to a client that gets no session, line end included. */
  readonly refusal: (why: AcceptRefusal) => string
  /** The program's word on a client: what to say to one that gets no session, line end included. */
  readonly admit?: (connection: ConnectionInfo) => Awaitable<string | undefined>
  readonly tls?: ServerTlsOptions
  /** Who may, or must, send a PROXY header. Nobody when absent. */
  readonly proxy?: ReadProxyHeaderOptions
  /** Looks up the names of a client, from the accept on. Never rejects. */
  readonly clientNames?: (address: IpAddress) => Awaitable<ClientNames>
  /** Connections at once; over it they are refused as `overloaded`. */
  readonly maxConnections?: number
  /** How long a whole session may take, in milliseconds. As long as it moves, when absent. */
  readonly maxSessionMs?: number
  readonly observer?: SessionServerObserver
}

/** A server of sessions. */
export interface SessionServer {
  /** Connections that are open. */
  readonly connections: number
  /** Resolves when it accepts. A server that was closed may listen again. */
  listen(port: number, host?: string): Promise<AddressInfo>
  /** The same, by what `net.Server.listen` takes: a path, a file descriptor, a backlog. */
  listen(options: ListenOptions): Promise<AddressInfo | string | null>
  /** Serves a socket that somebody else accepted. Resolves when it is closed, and never rejects. */
  accept(socket: Socket): Promise<void>
  /**
   * Stops accepting, lets what is under way finish, and says goodbye to everybody else. Resolves when all are gone.
   *
   * @param withinMs - then the rest takes leave, whatever is under way.
   */
  close(withinMs?: number): Promise<void>
}

/** How a server speaks TLS: what its sessions must know of it. */
export const tlsModeOf = (tls: ServerTlsOptions | undefined): ListenerInfo['tls'] =>
  tls === undefined ? 'off' : (tls.mode ?? 'starttls')

/**
 * Makes a server of a session machine.
 *
 * @throws when the certificate or the key of `tls` cannot be used.
 */
export function createSessionServer(options: SessionServerOptions): SessionServer {
  return new NetSessionServer(options)
}

class NetSessionServer implements SessionServer {
  readonly #options: SessionServerOptions
  readonly #listener: ListenerInfo
  readonly #secure: Secure | undefined
  readonly #server: Server
  readonly #open = new Map<Socket, RunningSession | undefined>()
  #isClosing = false
  /** For everybody who waits for the end: the server may be closed more than once. */
  #allGone: PromiseWithResolvers<void> | undefined

  constructor(options: SessionServerOptions) {
    const { protocol, tls } = options
    this.#options = options
    this.#listener = { name: protocol, protocol, tls: tlsModeOf(tls) }
    this.#secure = tls === undefined ? undefined : tlsOf(tls, protocol)
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
    this.#server.listen({ backlog: limits.listenBacklog, ...target })
    await once(this.#server, 'listening')
    return this.#server.address() as AddressInfo
  }

  async accept(socket: Socket): Promise<void> {
    socket.on('error', ignore)
    if (this.#isClosing) return sayGoodbye(socket, this.#words('stopping'))
    if (this.#open.size >= (this.#options.maxConnections ?? limits.maxConnections)) {
      return sayGoodbye(socket, this.#words('overloaded'))
    }
    this.#open.set(socket, undefined)
    try {
      await this.#serve(socket)
    } catch (error) {
      this.#options.observer?.failed?.(error)
      await sayGoodbye(socket, this.#words('internal-error'))
    } finally {
      this.#open.delete(socket)
      if (this.#open.size === 0) this.#allGone?.resolve()
    }
  }

  async close(withinMs: number = limits.closePatienceMs): Promise<void> {
    this.#isClosing = true
    this.#server.close()
    for (const [socket, session] of this.#open) {
      if (session === undefined) socket.destroy()
      else session.stop()
    }
    if (this.#open.size === 0) return
    const allGone = (this.#allGone ??= Promise.withResolvers<void>())
    const deadline = setTimeout(() => {
      for (const session of this.#open.values()) session?.cut()
    }, withinMs)
    await allGone.promise
    this.#allGone = undefined
    clearTimeout(deadline)
  }

  /** From the accept to the end of the session. */
  async #serve(socket: Socket): Promise<void> {
    const { admit, clientNames, maxSessionMs, observer, proxy = directOnly } = this.#options
    const reading = await readProxyHeader(socket, proxy)
    if (!reading.ok) {
      observer?.proxyRefused?.(reading)
      return sayGoodbye(socket, this.#words(refusalFor(reading.code)))
    }
    const { identity } = reading
    // What stands behind the header now came in one piece with it.
    const isPlain = identity.origin !== 'direct' && this.#listener.tls !== 'implicit'
    const bytesWithHeader = isPlain ? socket.readableLength : 0
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

    const words = await admit?.(connection)
    if (words !== undefined) return sayGoodbye(connection.stream, words)
    if (connection.stream.destroyed) return
    observer?.opened?.(connection)
    const session = runSession(connection, (context) => this.#options.session(context, bytesWithHeader), {
      ...(secure !== undefined && { upgradeTls: secure }),
      ...(maxSessionMs !== undefined && { maxSessionMs }),
    })
    this.#open.set(socket, session)
    const end = await session.ended
    observer?.closed?.(end)
  }

  /** Nothing can be said in the clear where TLS comes first: the client would take it for a broken handshake. */
  #words(why: AcceptRefusal | undefined): string {
    return why === undefined || this.#listener.tls === 'implicit' ? '' : this.#options.refusal(why)
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

function ignore(): void {}
