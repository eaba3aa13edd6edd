/* The one file of the client with a socket: connects, writes the PROXY header, does TLS, keeps time. */
import { connect as connectSocket, isIP, type NetConnectOpts, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { connect as connectWithHeader, headerAnnouncing, type HeaderToSend } from '@postern/core'
import { clientLimits, type SmtpClientLimits } from '../limits.ts'
import type { TransactionStart } from '../session/destination.ts'
import { UpstreamDialogue, type Link } from './dialogue.ts'
import { failed, type Answer } from './failures.ts'
import type { Securable } from './opening.ts'
import type { Backend, RelayOptions } from './options.ts'

export type Connecting = { readonly ok: true; readonly connection: UpstreamConnection } | Extract<Answer, { ok: false }>

/**
 * Opens a connection, and on it TLS from the first byte where that is configured.
 *
 * @param openingMs - until `opened` is called; then the dialogue fails.
 */
export async function connect(
  backend: Backend,
  options: RelayOptions,
  start: TransactionStart,
  openingMs: number,
): Promise<Connecting> {
  const limits = { ...clientLimits, ...options.limits }
  const target: NetConnectOpts = 'path' in backend ? backend : { ...backend, noDelay: true }
  const dialling = dial(target, options, start)
  if (!dialling.ok) return dialling
  const connection = new UpstreamConnection(dialling.socket, backend, options, limits)
  connection.bound(openingMs)
  await connection.established()
  const { failure } = connection.dialogue
  return failure === undefined ? { ok: true, connection } : { ok: false, failure }
}

type Dialling = { readonly ok: true; readonly socket: Socket } | Extract<Answer, { ok: false }>

/** A PROXY header goes first, once, in one write and in the clear: also when TLS follows. */
function dial(target: NetConnectOpts, options: RelayOptions, start: TransactionStart): Dialling {
  const { announcement, maxProxyHeaderBytes } = options
  if (announcement !== 'proxy-v1' && announcement !== 'proxy-v2') return { ok: true, socket: connectSocket(target) }
  const bound = maxProxyHeaderBytes === undefined ? {} : { maxBytes: maxProxyHeaderBytes }
  const connecting = connectWithHeader(target, headerFor(announcement, options, start), bound)
  if (connecting.ok) return connecting
  return failed('SMTP_UPSTREAM_REFUSES_US', `${connecting.code}: ${connecting.detail}`)
}

function headerFor(version: 'proxy-v1' | 'proxy-v2', options: RelayOptions, start: TransactionStart): HeaderToSend {
  const header = headerAnnouncing(start.connection.identity, version === 'proxy-v1' ? 1 : 2)
  const isBinary = header.version === 2 && header.command === 'proxy'
  return isBinary && options.proxyTlvs !== undefined ? { ...header, tlvs: options.proxyTlvs(start) } : header
}

export class UpstreamConnection implements Link, Securable {
  readonly dialogue: UpstreamDialogue
  readonly #backend: Backend
  readonly #options: RelayOptions
  readonly #limits: SmtpClientLimits
  #socket: Socket
  #isSecure = false
  #isVerified = false
  readonly #receive = (bytes: Buffer): void => this.dialogue.receive(bytes)
  readonly #lost = (error: unknown): void => {
    this.dialogue.lost(error instanceof Error ? describe(error) : 'the backend closed the connection')
  }
  #timer: NodeJS.Timeout | undefined
  /** The bound for the whole opening, whatever its steps take. */
  #openingTimer: NodeJS.Timeout | undefined

  constructor(socket: Socket, backend: Backend, options: RelayOptions, limits: SmtpClientLimits) {
    this.dialogue = new UpstreamDialogue(this, limits)
    this.#backend = backend
    this.#options = options
    this.#limits = limits
    this.#socket = socket
  }

  get isSecure(): boolean {
    return this.#isSecure
  }

  /** The backend proved its name, whether we insist on it or not. */
  get isVerified(): boolean {
    return this.#isVerified
  }

  /** Resolves when the connection stands, with TLS where that comes first, or the dialogue has failed. */
  async established(): Promise<void> {
    const socket = this.#socket
    const failure = await happens(socket, 'connect', this.#limits.connectPatienceMs)
    if (failure !== undefined) this.dialogue.fail('SMTP_UPSTREAM_UNREACHABLE', failure)
    else if (this.#options.tls === 'implicit') await this.startTls()
    else this.#listen()
  }

  /** Bounds what comes next as a whole; `opened` ends that. */
  bound(ms: number): void {
    this.#openingTimer = setTimeout(() => this.dialogue.fail('SMTP_UPSTREAM_TIMEOUT', 'while it was opened'), ms)
  }

  opened(): void {
    clearTimeout(this.#openingTimer)
  }

  async startTls(): Promise<void> {
    const plain = this.#socket
    // From here the TLS layer reads, and what comes in the clear is no handshake to it.
    plain.off('data', this.#receive).off('end', this.#lost).off('close', this.#lost).off('error', this.#lost)
    plain.on('error', ignore)
    const { tls, tlsOptions } = this.#options
    const host = 'path' in this.#backend ? 'localhost' : this.#backend.host
    let secured: TLSSocket
    try {
      secured = connectTls({
        host,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        rejectUnauthorized: tls !== 'optional',
        ...tlsOptions,
        socket: plain,
      })
    } catch (error) {
      // Keys and certificates that cannot be used are found only here.
      this.dialogue.fail('SMTP_UPSTREAM_TLS', describe(error))
      return
    }
    this.#socket = secured
    const failure = await happens(secured, 'secureConnect', this.#limits.tlsPatienceMs)
    if (failure !== undefined) {
      this.dialogue.fail('SMTP_UPSTREAM_TLS', failure)
      return
    }
    this.#isSecure = true
    this.#isVerified = secured.authorized
    this.#listen()
  }

  write(bytes: Buffer | string): Promise<void> {
    return new Promise((resolve) => {
      // An error is told by the socket as well, and to `lost`.
      this.#socket.write(bytes, () => resolve())
    })
  }

  setDeadline(ms: number | undefined): void {
    clearTimeout(this.#timer)
    this.#timer = ms === undefined ? undefined : setTimeout(() => this.dialogue.timedOut(), ms)
  }

  /** Lets the dialogue read what has arrived: a whole turn of the event loop, wherever in one we are. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  /** Takes leave; nobody waits for it. */
  quit(): void {
    if (this.dialogue.failure !== undefined) return
    void this.#takeLeave()
  }

  async #takeLeave(): Promise<void> {
    await this.dialogue.ask({ command: 'QUIT\r\n', patienceMs: this.#limits.quitPatienceMs })
    this.dialogue.lost('we have quit')
  }

  destroy(): void {
    clearTimeout(this.#openingTimer)
    this.#socket.destroy()
  }

  #listen(): void {
    this.#socket.on('data', this.#receive).on('end', this.#lost).on('close', this.#lost).on('error', this.#lost)
  }
}

/** Waits for an event of a socket that connects. Answers what happened instead, if it did not happen in time. */
function happens(socket: Socket, event: 'connect' | 'secureConnect', ms: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const settle = (failure: string | undefined): void => {
      clearTimeout(timer)
      socket.off('close', onClose)
      resolve(failure)
    }
    const onError = (error: Error): void => settle(describe(error))
    const onClose = (): void => settle('closed')
    const timer = setTimeout(() => settle(`not within ${ms} ms`), ms)
    socket
      .once(event, () => settle(undefined))
      // For ever: a socket may be torn down long after nobody cares.
      .on('error', onError)
      .once('close', onClose)
  })
}

/** The code of the operating system or of OpenSSL says most. */
function describe(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string }
  return code ?? message ?? 'an error without words'
}

function ignore(): void {}
