/*
 * An upstream as one worker uses it. SMTP and LMTP have a client of their own, which takes candidates from the group and
 * tells what became of them; for other protocols `connect` opens the connection.
 */
import type { Socket } from 'node:net'
import { headerAnnouncing, type ConnectionInfo, type HeaderToSend } from '@postern/core'
import { clientLimits, IdleConnections, patienceOfRfc5321 } from '@postern/smtp'
import { formatBackendAddress, serverAddress, type BackendAddress } from '../config/backend-address.ts'
import type { UpstreamConfig } from '../config/schema.ts'
import type { Backend, BackendGroup } from './backend-group.ts'
import { dial, secure } from './dial.ts'
import { passedTlvs } from './passed-tlvs.ts'
import { userKey, type UserNames } from './user-key.ts'

/** For whom a connection is opened. */
export interface UpstreamClient {
  readonly connection: ConnectionInfo
  /** Who signs in: `hash-user` goes by it. */
  readonly username: string
  /** One address, in the place of the backends; with their settings. */
  readonly server?: string
}

export type UpstreamConnecting =
  | { readonly ok: true; readonly link: UpstreamLink }
  /** No backend is left to try; for the operator's log. */
  | { readonly ok: false; readonly detail: string }

/** A connection to a backend, which carries this one client and is never given to another. */
export interface UpstreamLink {
  readonly backend: string
  readonly socket: Socket
  readonly isSecure: boolean
  /**
   * Starts TLS, when the backend agreed to; take your listeners off the socket first, and use the link that comes back.
   * Bytes behind the backend's agreement must have been taken for the injection that they are.
   */
  secure(signal: AbortSignal): Promise<UpstreamConnecting>
  /** The backend speaks its protocol: it counts as sound. */
  succeeded(offers?: readonly string[]): void
  /** It does not; the socket is destroyed. Not for what it refuses of this client's. */
  failed(detail: string): void
}

export class Upstream {
  readonly config: UpstreamConfig
  readonly group: BackendGroup
  /** Connections that wait for the next message; absent where none may. */
  readonly idle: IdleConnections | undefined

  readonly #names: UserNames

  constructor(config: UpstreamConfig, group: BackendGroup, names: UserNames = {}) {
    this.config = config
    this.group = group
    this.idle = idleConnectionsOf(config)
    this.#names = names
  }

  get name(): string {
    return this.config.name
  }

  /** Not one backend is up. */
  get isDown(): boolean {
    return this.group.isDown
  }

  /** The backends to try for a user or a recipient, best first. */
  candidatesFor(user: string): Iterable<Backend> {
    return this.group.candidates(userKey(user, this.#names))
  }

  /**
   * Connections to one backend after the other, as long as the caller asks for more: until one has been told something
   * that must not be told twice, as credentials. Each is announced as configured, as far as a PROXY header does it, and
   * has TLS where it is implicit. Those that cannot be opened are passed over.
   */
  attempts(client: UpstreamClient): UpstreamAttempts {
    return new Attempts(this, client)
  }

  /** The first connection that can be opened. */
  connect(client: UpstreamClient, signal: AbortSignal): Promise<UpstreamConnecting> {
    return this.attempts(client).next(signal)
  }
}

export interface UpstreamAttempts {
  /** @param signal - the client's: nobody is dialled for somebody who is gone. */
  next(signal: AbortSignal): Promise<UpstreamConnecting>
}

class Attempts implements UpstreamAttempts {
  readonly #upstream: Upstream
  readonly #client: UpstreamClient
  readonly #candidates: Iterator<Pick<Backend, 'name' | 'address'>>
  #lastFailure: string | undefined

  constructor(upstream: Upstream, client: UpstreamClient) {
    this.#upstream = upstream
    this.#client = client
    const { server, username } = client
    const candidates = server === undefined ? upstream.candidatesFor(username) : [namedServer(server, upstream.config)]
    this.#candidates = candidates[Symbol.iterator]()
  }

  async next(signal: AbortSignal): Promise<UpstreamConnecting> {
    const { config, group } = this.#upstream
    for (;;) {
      const candidate = signal.aborted ? undefined : this.#candidates.next()
      if (candidate === undefined || candidate.done === true) {
        return { ok: false, detail: this.#lastFailure ?? group.trouble }
      }
      const { name, address } = candidate.value
      const { connectPatienceMs, tlsPatienceMs } = {
        ...clientLimits,
        ...(config.timeouts === 'rfc5321' ? patienceOfRfc5321 : {}),
      }
      group.connecting(name)
      const dialled = await dial(address, {
        config,
        header: headerFor(config, this.#client.connection),
        timeoutMs: connectPatienceMs + (config.tls.mode === 'implicit' ? tlsPatienceMs : 0),
        signal,
      })
      if (dialled.ok) {
        dialled.socket.once('close', () => group.gone(name))
        return { ok: true, link: new Link(this.#upstream, name, address, dialled) }
      }
      group.gone(name)
      this.#lastFailure = `${name}: ${dialled.detail}`
      if (!signal.aborted) group.failed(name, dialled.detail)
    }
  }
}

function idleConnectionsOf({ idle, backends }: UpstreamConfig): IdleConnections | undefined {
  if (idle === undefined) return undefined
  const { maxConnections, timeMs } = idle
  return new IdleConnections({
    maxIdleConnections: maxConnections,
    // Directories may name any number of servers besides.
    maxIdleOfAll: Math.max(clientLimits.maxIdleOfAll, maxConnections * backends.length),
    idlePatienceMs: timeMs,
  })
}

class Link implements UpstreamLink {
  readonly backend: string
  readonly socket: Socket
  readonly isSecure: boolean
  readonly #upstream: Upstream
  readonly #address: BackendAddress

  constructor(
    upstream: Upstream,
    backend: string,
    address: BackendAddress,
    { socket, isSecure }: { readonly socket: Socket; readonly isSecure: boolean },
  ) {
    this.#upstream = upstream
    this.#address = address
    this.backend = backend
    this.socket = socket
    this.isSecure = isSecure
  }

  async secure(signal: AbortSignal): Promise<UpstreamConnecting> {
    const secured = await secure(this.socket, this.#address, this.#upstream.config, signal)
    if (secured.ok) return { ok: true, link: new Link(this.#upstream, this.backend, this.#address, secured) }
    if (!signal.aborted) this.failed(secured.detail)
    return { ok: false, detail: `${this.backend}: ${secured.detail}` }
  }

  succeeded(offers?: readonly string[]): void {
    this.#upstream.group.succeeded(this.backend, offers)
  }

  failed(detail: string): void {
    this.socket.destroy()
    this.#upstream.group.failed(this.backend, detail)
  }
}

/** @throws on what no directory may answer. */
function namedServer(server: string, config: UpstreamConfig): Pick<Backend, 'name' | 'address'> {
  const address = serverAddress(server, config)
  return { name: formatBackendAddress(address), address }
}

function headerFor(
  { announce, passedTlvs: passed, hasHeaderChecksum }: UpstreamConfig,
  connection: ConnectionInfo,
): HeaderToSend | undefined {
  if (announce !== 'proxy-v1' && announce !== 'proxy-v2') return undefined
  const header = headerAnnouncing(connection.identity, announce === 'proxy-v1' ? 1 : 2)
  const isBinary = header.version === 2 && header.command === 'proxy'
  return isBinary ? { ...header, tlvs: passedTlvs(connection, passed), hasChecksum: hasHeaderChecksum } : header
}
