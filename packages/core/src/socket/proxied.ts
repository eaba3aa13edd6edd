/*
 * A front that reads PROXY headers for a server that knows nothing of them: any `net`, `tls`, `http` or `https` server,
 * or any other emitter of `connection` events with sockets.
 *
 *   connection ──▶ trust ──▶ header ──▶ identity ──▶ the server's own `connection` listeners
 *
 * The listeners see the socket as if it were fresh, except that its remote address is the client's. TLS starts behind
 * the header (the header comes before the ClientHello, section 2), so it needs nothing but to be started later.
 */
import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Endpoint } from '../contracts/address.ts'
import type { ClientIdentity } from '../contracts/identity.ts'
import { proxyErrors, type ProxyRefusalCode } from '../errors.ts'
import { limits } from '../limits.ts'
import { peerOf } from './endpoints.ts'
import { readProxyHeader, type ReadProxyHeaderOptions } from './read-proxy-header.ts'

/** Told of each connection once. No method may throw. */
export interface ProxiedObserver {
  /** Just before the server's own listeners get the socket. */
  accepted?(event: { readonly socket: Socket; readonly identity: ClientIdentity }): void
  /** The socket is destroyed already. `detail` is for the operator's log, and safe to print. */
  refused?(event: { readonly code: ProxyRefusalCode; readonly peer?: Endpoint; readonly detail: string }): void
}

/** Whom the front trusts, how long it waits, and who hears of it. */
export interface ProxiedOptions extends ReadProxyHeaderOptions {
  /** Connections whose header is awaited at one time; those beyond it are closed. `limits.maxPendingHeaders` when absent. */
  readonly maxPendingHeaders?: number
  readonly observer?: ProxiedObserver
}

/**
 * Puts the front before `server` and returns it. Call it before `listen`, once.
 *
 * Each socket that the server's listeners get has `remoteAddress`, `remotePort` and `remoteFamily` of the client;
 * `identityOf(socket)` tells the rest. The same holds for the TLS sockets of `tls` and `https` servers.
 */
export function proxied<S extends EventEmitter>(server: S, options: ProxiedOptions): S {
  const front = new Front(options)
  const emit = server.emit.bind(server)
  server.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    const [socket] = args
    if (event === 'connection') {
      void front.receive(socket as Socket, () => emit(event, ...args))
      return true
    }
    if (event === 'secureConnection') front.carryOver(socket as Socket)
    return emit(event, ...args)
  }
  return server
}

/** Whom a socket of a `proxied` server speaks for; `undefined` for any other socket. */
export function identityOf(socket: Socket): ClientIdentity | undefined {
  return identities.get(socket)
}

const identities = new WeakMap<Socket, ClientIdentity>()

class Front {
  readonly #options: ProxiedOptions
  readonly #maxPending: number
  #pending = 0
  /** Identities of open connections by their four numbers, for the TLS socket that will stand over the same connection. */
  readonly #byConnection = new Map<string, ClientIdentity>()

  constructor(options: ProxiedOptions) {
    this.#options = options
    this.#maxPending = options.maxPendingHeaders ?? limits.maxPendingHeaders
  }

  async receive(socket: Socket, handOver: () => void): Promise<void> {
    const { observer } = this.#options
    if (this.#pending >= this.#maxPending) {
      const peer = peerOf(socket)
      socket.destroy()
      const event = { code: 'PROXY_OVERLOAD', detail: proxyErrors.PROXY_OVERLOAD } as const
      observer?.refused?.(peer === undefined ? event : { ...event, peer })
      return
    }
    this.#pending++
    socket.on('error', ignore)
    const reading = await readProxyHeader(socket, this.#options)
    this.#pending--
    if (!reading.ok) {
      socket.destroy()
      const { ok: _, ...event } = reading
      observer?.refused?.(event)
      return
    }
    const { identity } = reading
    this.#remember(socket, identity)
    observer?.accepted?.({ socket, identity })
    flowWhenListenedTo(socket)
    handOver()
    socket.off('error', ignore)
  }

  /** Called with the TLS socket over a connection that came through here, before anybody else sees it. */
  carryOver(tlsSocket: Socket): void {
    const identity = this.#byConnection.get(fourNumbersOf(tlsSocket))
    if (identity !== undefined) present(tlsSocket, identity)
  }

  #remember(socket: Socket, identity: ClientIdentity): void {
    const key = fourNumbersOf(socket)
    this.#byConnection.set(key, identity)
    socket.once('close', () => {
      // The kernel may have given the same numbers to a new connection before this one's close was told.
      if (this.#byConnection.get(key) === identity) this.#byConnection.delete(key)
    })
    present(socket, identity)
  }
}

/** What tells one open connection from all others: the addresses and ports of both ends, as the kernel knows them. */
function fourNumbersOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

function present(socket: Socket, identity: ClientIdentity): void {
  identities.set(socket, identity)
  const { address, port } = identity.client
  Object.defineProperties(socket, {
    remoteAddress: { value: address.toString(), configurable: true },
    remotePort: { value: port, configurable: true },
    remoteFamily: { value: address.family === 4 ? 'IPv4' : 'IPv6', configurable: true },
  })
}

/** A fresh socket starts to flow with its first `data` listener, a paused one does not: makes it behave as a fresh one. */
function flowWhenListenedTo(socket: Socket): void {
  const onListener = (event: string | symbol): void => {
    if (event !== 'data') return
    socket.off('newListener', onListener)
    socket.resume()
  }
  socket.on('newListener', onListener)
}

function ignore(): void {}
