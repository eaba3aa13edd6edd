import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { reasonOf } from '../config/read-file.ts'
import { limits } from '../limits.ts'
import { printable } from '../observe/text.ts'

/** The server did not do what a dialogue needs: in words, with what it may be. */
export class ProbeFailure extends Error {
  override readonly name = 'ProbeFailure'
  readonly kind: 'unreachable' | 'silent' | 'closed' | 'tls' | 'protocol'

  constructor(kind: ProbeFailure['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}

/**
 * The client's end of a dialogue in lines. Everything waits at most `timeoutMs` from the moment that it began to wait,
 * and a server that sends without end is cut off.
 */
export class ProbeConnection {
  #socket: Socket
  readonly #timeoutMs: number
  #received = ''
  #end: ProbeFailure | undefined
  #wake: () => void = () => {}

  private constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket
    this.#timeoutMs = timeoutMs
    this.#listen()
  }

  static async open(host: string, port: number, timeoutMs: number): Promise<ProbeConnection> {
    const socket = connectTcp({ host, port, noDelay: true })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const late = setTimeout(
      () => reject(new ProbeFailure('unreachable', `no connection within ${timeoutMs} ms`)),
      timeoutMs,
    )
    socket.once('connect', resolve)
    socket.once('error', (error) => reject(new ProbeFailure('unreachable', refusalWords(error))))
    try {
      await promise
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      clearTimeout(late)
      socket.removeAllListeners()
    }
    return new ProbeConnection(socket, timeoutMs)
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0
  }

  get localAddress(): string {
    return this.#socket.localAddress ?? ''
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? ''
  }

  write(bytes: string | Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes)
  }

  /** One line without its line end. */
  async readLine(): Promise<string> {
    const until = performance.now() + this.#timeoutMs
    for (;;) {
      const end = this.#received.indexOf('\n')
      if (end !== -1) {
        const line = this.#received.slice(0, end).replace(/\r$/, '')
        this.#received = this.#received.slice(end + 1)
        return line
      }
      if (this.#received.length > limits.maxProbeLineBytes) {
        throw new ProbeFailure(
          'protocol',
          `no end of line in ${limits.maxProbeLineBytes} bytes: "${printable(this.#received, 60)}"`,
        )
      }
      if (this.#end !== undefined) throw this.#end
      await this.#more(until - performance.now())
    }
  }

  /** Starts TLS. The certificate is reported, not judged: a probe is often made with an address instead of a name. */
  async startTls(serverName: string): Promise<string> {
    if (this.#received !== '')
      throw new ProbeFailure('protocol', 'the server sent more in the clear before the handshake')
    this.#unlisten()
    const secured = connectTls({
      socket: this.#socket,
      rejectUnauthorized: false,
      ...(isName(serverName) ? { servername: serverName } : {}),
    })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const late = setTimeout(
      () => reject(new ProbeFailure('tls', `no TLS handshake within ${this.#timeoutMs} ms`)),
      this.#timeoutMs,
    )
    secured.once('secureConnect', resolve)
    secured.once('error', (error) => reject(new ProbeFailure('tls', `the TLS handshake failed: ${reasonOf(error)}`)))
    secured.once('close', () =>
      reject(new ProbeFailure('tls', 'the server closed the connection during the TLS handshake')),
    )
    try {
      await promise
    } catch (error) {
      secured.destroy()
      throw error
    } finally {
      clearTimeout(late)
      secured.removeAllListeners()
    }
    this.#socket = secured
    this.#listen()
    return tlsWords(secured)
  }

  close(): void {
    this.#unlisten()
    this.#socket.on('error', () => {})
    this.#socket.destroy()
  }

  async #more(waitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    const late = setTimeout(
      () => {
        this.#end = new ProbeFailure('silent', `the server said nothing for ${this.#timeoutMs} ms`)
        resolve()
      },
      Math.max(waitMs, 0),
    )
    await promise
    clearTimeout(late)
  }

  #listen(): void {
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', this.#onData)
    this.#socket.on('error', this.#onError)
    this.#socket.on('close', this.#onClose)
  }

  #unlisten(): void {
    this.#socket.off('data', this.#onData)
    this.#socket.off('error', this.#onError)
    this.#socket.off('close', this.#onClose)
  }

  readonly #onData = (text: string): void => {
    this.#received += text
    this.#wake()
  }

  readonly #onError = (error: Error): void => {
    this.#end ??= new ProbeFailure('closed', `the connection broke: ${refusalWords(error)}`)
    this.#wake()
  }

  readonly #onClose = (): void => {
    this.#end ??= new ProbeFailure('closed', 'the server closed the connection')
    this.#wake()
  }
}

function isName(host: string): boolean {
  return !/^[0-9.]+$|:/.test(host)
}

function refusalWords(error: Error): string {
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'connection refused: nobody listens there',
    ECONNRESET: 'reset by the server',
    EHOSTUNREACH: 'no route to that host',
    ENETUNREACH: 'no route to that network',
    ETIMEDOUT: 'no answer from that host',
    ENOTFOUND: 'no such host name',
    EAI_AGAIN: 'the name server does not answer',
    EPIPE: 'closed by the server',
  }
  return words[(error as NodeJS.ErrnoException).code ?? ''] ?? reasonOf(error)
}

function tlsWords(socket: TLSSocket): string {
  const subject = socket.getPeerCertificate().subject?.CN
  const name = Array.isArray(subject) ? subject.join(', ') : (subject ?? 'without a name')
  const trust = socket.authorized ? 'trusted' : `not trusted by this machine (${reasonOf(socket.authorizationError)})`
  return `${socket.getProtocol()} ${socket.getCipher().name}, certificate ${printable(name)}, ${trust}`
}
