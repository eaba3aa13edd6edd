/* The one file of the client with a socket: connects, writes the PROXY header, does TLS, keeps time. */
import { connect as connectSocket, isIP, type NetConnectOpts, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket } from 'node:tls'
import {
  connect as connectWithHeader,
  encodeProxyHeader,
  localOf,
  peerOf,
  type HeaderToSend,
  exporterOf,
} from '@postern/core'
import { clientLimits, type SmtpClientLimits } from '../limits.ts'
import { UpstreamDialogue, type Link, type Securable } from './dialogue.ts'
import { failed, type Answer } from './failures.ts'
import type { Backend, RelayOptions } from './options.ts'

export type Connecting = { readonly ok: true; readonly connection: UpstreamConnection } | Extract<Answer, { ok: false }>

/** How to connect: a part of what a relay is told. */
export type ConnectOptions = Pick<
  RelayOptions,
  'tls' | 'tlsOptions' | 'pinnedFingerprints' | 'maxProxyHeaderBytes' | 'limits'
>

/** `own`: version 1 with the addresses of the connection itself, since some take no `UNKNOWN`. */
export type PrecedingHeader = HeaderToSend | 'own' | undefined

/**
 * Opens a connection, and on it TLS from the first byte where that is configured.
 *
 * @param header - the PROXY header that goes first.
 * @param openingMs - until `opened` is called; then the dialogue fails.
 * @param onGone - called once when the connection is over; also when this fails.
 */
export async function connect(
  backend: Backend,
  options: ConnectOptions,
  header: PrecedingHeader,
  openingMs: number,
  onGone: () => void,
): Promise<Connecting> {
  const limits = { ...clientLimits, ...options.limits }
  const target: NetConnectOpts = 'path' in backend ? backend : { ...backend, noDelay: true }
  const dialling = dial(target, options, header)
  if (!dialling.ok) {
    onGone()
    return dialling
  }
  const connection = new UpstreamConnection(dialling.socket, backend, options, limits, onGone)
  connection.bound(openingMs)
  await connection.established(header === 'own')
  const { failure } = connection.dialogue
  return failure === undefined ? { ok: true, connection } : { ok: false, failure }
}

type Dialling = { readonly ok: true; readonly socket: Socket } | Extract<Answer, { ok: false }>

/** A PROXY header goes first, once, in one write and in the clear: also when TLS follows. */
function dial(target: NetConnectOpts, { maxProxyHeaderBytes }: ConnectOptions, header: PrecedingHeader): Dialling {
  if (header === undefined || header === 'own') return { ok: true, socket: connectSocket(target) }
  const bound = maxProxyHeaderBytes === undefined ? {} : { maxBytes: maxProxyHeaderBytes }
  const connecting = connectWithHeader(target, header, bound)
  if (connecting.ok) return connecting
  return failed('SMTP_UPSTREAM_REFUSES_US', `${connecting.code}: ${connecting.detail}`)
}

export class UpstreamConnection implements Link, Securable {
  readonly dialogue: UpstreamDialogue
  readonly #backend: Backend
  readonly #options: ConnectOptions
  readonly #limits: SmtpClientLimits
  /** Called when it is over, or no longer in use. */
  #onGone: () => void
  #isGone = false
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

  constructor(socket: Socket, backend: Backend, options: ConnectOptions, limits: SmtpClientLimits, onGone: () => void) {
    this.dialogue = new UpstreamDialogue(this, limits)
    this.#backend = backend
    this.#options = options
    this.#limits = limits
    this.#socket = socket
    this.#onGone = onGone
  }

  get isSecure(): boolean {
    return this.#isSecure
  }

  /** The backend proved its name, whether we insist on it or not. */
  get isVerified(): boolean {
    return this.#isVerified
  }

  get tlsExporter(): Buffer | undefined {
    return this.#socket instanceof TLSSocket ? exporterOf(this.#socket).tlsExporter?.() : undefined
  }

  /** Resolves when the connection stands, with TLS where that comes first, or the dialogue has failed. */
  async established(announcesItself: boolean): Promise<void> {
    const socket = this.#socket
    const failure = await happens(socket, 'connect', this.#limits.connectPatienceMs)
    if (failure === undefined && announcesItself) socket.write(ownHeader(socket))
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
    const { tls, tlsOptions, pinnedFingerprints } = this.#options
    const host = 'path' in this.#backend ? 'localhost' : this.#backend.host
    let secured: TLSSocket
    try {
      secured = connectTls({
        host,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        rejectUnauthorized: tls !== 'optional',
        ...tlsOptions,
        ...(pinnedFingerprints === undefined ? {} : { rejectUnauthorized: false }),
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
    const print = fingerprintOf(secured)
    if (pinnedFingerprints !== undefined && !pinnedFingerprints.includes(print)) {
      this.dialogue.fail('SMTP_UPSTREAM_TLS', `the certificate is none of those pinned, but ${print}`)
      return
    }
    this.#isSecure = true
    this.#isVerified = secured.authorized || pinnedFingerprints !== undefined
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

  /**
   * Nobody uses it for now, which is told to whom its end would be told.
   *
   * @param onGone - called when it ends meanwhile.
   */
  rest(onGone: () => void): void {
    const wasInUse = this.#onGone
    this.#onGone = onGone
    wasInUse()
  }

  /** It is in use again. */
  resume(onGone: () => void): void {
    this.#onGone = onGone
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
    if (this.#isGone) return
    this.#isGone = true
    this.#onGone()
  }

  #listen(): void {
    this.#socket.on('data', this.#receive).on('end', this.#lost).on('close', this.#lost).on('error', this.#lost)
  }
}

/** The whole of a connection's truth, as HAProxy's checks tell it: the client is who connects. A UNIX socket has no ends. */
function ownHeader(socket: Socket): Buffer {
  const source = localOf(socket)
  const destination = peerOf(socket)
  const hasEnds = source !== undefined && destination !== undefined
  const header = hasEnds ? ({ command: 'proxy', source, destination } as const) : ({ command: 'unknown' } as const)
  const encoded = encodeProxyHeader({ version: 1, ...header })
  return encoded.ok ? encoded.bytes : Buffer.alloc(0)
}

/** SHA-256 of the certificate, in lower-case hexadecimal without colons. */
function fingerprintOf(secured: TLSSocket): string {
  return (secured.getPeerX509Certificate()?.fingerprint256 ?? 'none').replaceAll(':', '').toLowerCase()
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
