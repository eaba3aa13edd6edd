/*
 * A whole IMAP server for programs that embed one: sockets, PROXY headers, TLS and sessions, over a store of the program's.
 * A connection goes the way of the gateway's acceptor, in its order: header, identity, TLS, session.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import {
  channelSecurityFrom,
  limits as coreLimits,
  readProxyHeader,
  runSession,
  type AcceptRefusal,
  type Authenticator,
  type Awaitable,
  type Connection,
  type ConnectionInfo,
  type Credentials,
  type ListenerInfo,
  type ProxyRefusalCode,
  type ReadProxyHeaderOptions,
  type RunningSession,
} from '@postern/core'
import { serverLimits } from '../limits.ts'
import type { ImapSessionOptions } from '../session/options.ts'
import { refusalResponse } from '../session/refusal.ts'
import { createImapSession } from '../session/session.ts'
import { tlsOf, type ImapTlsOptions, type Secure } from './tls.ts'

/** How a server greets, whom it believes, and whose mail it shows. */
export interface ImapServerOptions extends Pick<ImapSessionOptions, 'hostname' | 'store' | 'observer' | 'limits'> {
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
export interface ImapServer {
  /** Connections that are open. */
  readonly connections: number
  /** Resolves when it accepts. */
  listen(port: number, host?: string): Promise<AddressInfo>
  /** Serves a socket that somebody else accepted. Resolves when it is closed, and never rejects. */
  accept(socket: Socket): Promise<void>
  /**
   * Stops accepting, and says BYE to everybody; a message that is being received may arrive. Resolves when all are gone.
   *
   * @param withinMs - then the rest takes leave, whatever is under way.
   */
  close(withinMs?: number): Promise<void>
}

/**
 * Makes an IMAP server.
 *
 * @throws when the certificate or the key of `tls` cannot be used.
 */
export function createImapServer(options: ImapServerOptions): ImapServer {
  return new NetImapServer(options)
}

class NetImapServer implements ImapServer {
  readonly #options: ImapServerOptions
  readonly #session: ImapSessionOptions
  readonly #listener: ListenerInfo
  readonly #secure: Secure | undefined
  readonly #server: Server
  readonly #open = new Map<Socket, RunningSession | undefined>()
  #isClosing = false
  /** For everybody who waits for the end: the server may be closed more than once. */
  #allGone: PromiseWithResolvers<void> | undefined

  constructor(options: ImapServerOptions) {
    this.#options = options
    this.#secure = options.tls === undefined ? undefined : tlsOf(options.tls)
    const tls = options.tls === undefined ? 'off' : (options.tls.mode ?? 'starttls')
    this.#listener = { name: 'imap', protocol: 'imap', tls }
    this.#session = {
      hostname: options.hostname,
      store: options.store,
      offersStartTls: tls === 'starttls',
      policies: options.policies ?? [],
      authenticator: options.authenticator ?? authenticatorOf(options),
      now: options.now ?? (() => new Date()),
      maxAppendBytes: options.maxAppendBytes ?? serverLimits.maxAppendBytes,
      ...(options.observer !== undefined && { observer: options.observer }),
      ...(options.limits !== undefined && { limits: options.limits }),
    }
    // Half-open: a client that closes its half after its last command still gets the responses.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => void this.accept(socket))
    // An accept that failed concerns one client, and must not end the process. What `listen` meets, it tells itself.
    this.#server.on('error', (error) => {
      if (this.#server.listening) options.onFault?.(error)
    })
  }

  get connections(): number {
    return this.#open.size
  }

  async listen(port: number, host?: string): Promise<AddressInfo> {
    this.#isClosing = false
    this.#server.listen(port, host, serverLimits.listenBacklog)
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
      this.#options.onFault?.(error)
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
    const reading = await readProxyHeader(socket, this.#options.proxy ?? directOnly)
    if (!reading.ok) return leave(socket, this.#words(refusals.get(reading.code) ?? 'proxy-malformed'))
    const { identity } = reading
    const gone = new AbortController()
    socket.once('close', () => gone.abort())
    let connection: Connection = {
      id: randomBytes(8).toString('hex'),
      listener: this.#listener,
      identity,
      security: channelSecurityFrom(identity) ?? { kind: 'cleartext' },
      stream: socket,
      signal: gone.signal,
    }
    const secure = this.#secure
    if (this.#listener.tls === 'implicit' && secure !== undefined) connection = await secure(connection)
    if (this.#isClosing) return leave(connection.stream, refusalResponse('stopping', this.#options.hostname))
    if (connection.stream.destroyed) return
    const upgrade = secure === undefined ? {} : { upgradeTls: secure }
    const session = runSession(connection, (context) => createImapSession(context, this.#session), upgrade)
    this.#open.set(socket, session)
    const { reason, error } = await session.ended
    if (reason === 'internal-error') this.#options.onFault?.(error)
  }

  /** Nothing can be said in the clear where TLS comes first: the client would take it for a broken handshake. */
  #words(why: AcceptRefusal): string {
    return this.#listener.tls === 'implicit' ? '' : refusalResponse(why, this.#options.hostname)
  }
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

/** Nobody is asked for a header, and nobody's is read. */
const directOnly: ReadProxyHeaderOptions = { trust: { verdictFor: () => ({ rule: 'absent' }) } }

const refusals: ReadonlyMap<ProxyRefusalCode, AcceptRefusal> = new Map([
  ['PROXY_TIMEOUT', 'proxy-timeout'],
  ['PROXY_MISSING', 'proxy-missing'],
  ['PROXY_UNTRUSTED', 'not-trusted'],
])

/**
 * Says the last words and closes. Closing with unread input would reset the connection, and the words be lost with it:
 * so our half is closed, and the client has a while to close its own.
 */
async function leave(stream: Duplex, words: string): Promise<void> {
  if (stream.closed) return
  const closed = once(stream, 'close').catch(ignore)
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
