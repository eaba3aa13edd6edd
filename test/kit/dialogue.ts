import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { usualPatienceMs, within } from './patience.ts'

export interface DialogueOptions {
  readonly host?: string
  /** The client's own address; all of 127/8 is this machine, so distinct clients cost nothing. */
  readonly from?: string
  /** For each wait. */
  readonly timeoutMs?: number
}

export interface SmtpReply {
  readonly code: number
  /** Without code and hyphen. */
  readonly lines: readonly string[]
  readonly text: string
}

/** A TCP client that says exactly the bytes it is told to say, and reads lines. */
export class Dialogue {
  /** The client's own port. */
  readonly localPort: number
  /** Before it was connected, ms since 1970. */
  readonly #beganAt: number
  #socket: Socket
  readonly #timeoutMs: number
  #received: Buffer = Buffer.alloc(0)
  #isEnded = false
  #failure: Error | undefined
  #wake: (() => void) | undefined
  readonly #transcript: string[] = []

  private constructor(socket: Socket, timeoutMs: number, beganAt: number) {
    this.#socket = socket
    this.#beganAt = beganAt
    this.localPort = socket.localPort ?? 0
    this.#timeoutMs = timeoutMs
    this.#listen()
  }

  static async connect(port: number, options: DialogueOptions = {}): Promise<Dialogue> {
    const { host = '127.0.0.1', from, timeoutMs = usualPatienceMs } = options
    const beganAt = Date.now()
    const socket = connectTcp({
      host,
      port,
      noDelay: true,
      allowHalfOpen: true,
      ...(from === undefined ? {} : { localAddress: from }),
    })
    await within(timeoutMs, `a connection to ${host}:${port}`, once(socket, 'connect'))
    return new Dialogue(socket, timeoutMs, beganAt)
  }

  /**
   * Whether a record of a gateway's log is about this client of a listener. A port alone says nothing: the system gives it to
   * clients of other listeners as well, and one that is free again to the next client of the same.
   */
  isIn(record: Readonly<Record<string, unknown>>, listener: string): boolean {
    const isPeer = record['proxyPort'] === this.localPort || record['clientPort'] === this.localPort
    return isPeer && record['listener'] === listener && Number(record['time']) >= this.#beganAt
  }

  /** What was said so far, for the message of a failing test. */
  get transcript(): string {
    return this.#transcript.join('\n')
  }

  /** Bytes that came and were not read yet. */
  get pending(): Buffer {
    return this.#received
  }

  /** Sends exactly these bytes, in one write. */
  send(bytes: string | Uint8Array): void {
    this.#transcript.push(`C: ${shown(bytes)}`)
    this.#socket.write(bytes)
  }

  /** Sends a command line. */
  command(line: string): void {
    this.send(`${line}\r\n`)
  }

  /** Sends the bytes in pieces of the given size, each as a segment of its own. */
  async sendInPieces(bytes: string | Uint8Array, size: number): Promise<void> {
    const whole = Buffer.from(bytes)
    for (let at = 0; at < whole.length; at += size) {
      const piece = whole.subarray(at, at + size)
      // Without a turn between them the kernel would hand over several pieces in one read.
      await new Promise<void>((resolve) => this.#socket.write(piece, () => setTimeout(resolve, 2)))
    }
    this.#transcript.push(`C: ${shown(whole)} (in pieces of ${size})`)
  }

  /** The next line, without its line end. */
  async line(): Promise<string> {
    return this.#take('a line', (bytes) => {
      const end = bytes.indexOf('\n')
      if (end < 0) return undefined
      return { bytes: end + 1, value: bytes.toString('utf8', 0, end).replace(/\r$/, '') }
    })
  }

  /** The next SMTP reply (RFC 5321 section 4.2.1). */
  async reply(): Promise<SmtpReply> {
    const lines: string[] = []
    for (;;) {
      const line = await this.line()
      const match = /^(\d{3})([ -])(.*)$/.exec(line)
      if (match === null) throw new Error(`not a reply: ${shown(line)}\n${this.transcript}`)
      lines.push(match[3] ?? '')
      if (match[2] === ' ') return { code: Number(match[1]), lines, text: lines.join('\n') }
    }
  }

  /** The next reply, which must have this code. */
  async expect(code: number): Promise<SmtpReply> {
    const reply = await this.reply()
    if (reply.code !== code) throw new Error(`expected ${code}, got ${reply.code} ${reply.text}`)
    return reply
  }

  /** Sends a command and reads its reply. */
  async ask(command: string): Promise<SmtpReply> {
    this.command(command)
    return this.reply()
  }

  /** Sends an IMAP command and reads up to its tagged response, which comes last. */
  async imap(command: string): Promise<readonly string[]> {
    const tag = command.slice(0, command.indexOf(' '))
    this.command(command)
    const lines: string[] = []
    for (;;) {
      const line = await this.line()
      lines.push(line)
      if (line.startsWith(`${tag} `)) return lines
      if (line.startsWith('* BYE') && this.#isEnded) return lines
    }
  }

  /** Everything up to the end that the server puts to the connection. */
  async end(): Promise<string> {
    return this.#take('the end of the connection', (bytes) =>
      this.#isEnded ? { bytes: bytes.length, value: bytes.toString('utf8') } : undefined,
    )
  }

  /** Speaks TLS from here on; the server's certificate is not judged. */
  async startTls(servername = 'mx.example.org'): Promise<TLSSocket> {
    this.#socket.removeAllListeners('data')
    const secure = connectTls({ socket: this.#socket, servername, rejectUnauthorized: false })
    await within(this.#timeoutMs, 'the TLS handshake', once(secure, 'secureConnect'))
    this.#transcript.push(`-- ${secure.getProtocol()}`)
    this.#socket = secure
    this.#listen()
    return secure
  }

  /** Reads nothing any more, so that what the server says waits in its buffers. @returns the socket, to write on. */
  pauseReading(): Socket {
    this.#socket.removeAllListeners('data')
    return this.#socket.pause()
  }

  /** Ends our half. */
  finish(): void {
    this.#socket.end()
  }

  /** Gone without a word. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** RST instead of FIN. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  #listen(): void {
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => {
      this.#transcript.push(`S: ${shown(chunk)}`)
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake?.()
    })
    const ended = (error?: Error): void => {
      if (error instanceof Error) this.#failure = error
      this.#isEnded = true
      this.#wake?.()
    }
    socket.on('end', () => {
      ended()
      socket.end()
    })
    socket.on('error', ended)
    socket.on('close', () => {
      ended()
    })
  }

  async #take<T>(what: string, read: (bytes: Buffer) => { bytes: number; value: T } | undefined): Promise<T> {
    const taken = async (): Promise<T> => {
      for (;;) {
        const found = read(this.#received)
        if (found !== undefined) {
          this.#received = this.#received.subarray(found.bytes)
          return found.value
        }
        if (this.#isEnded) {
          throw new Error(
            `the connection ended (${this.#failure?.message ?? 'FIN'}) before ${what}\n${this.transcript}`,
          )
        }
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wake = resolve
        await promise
      }
    }
    return within(this.#timeoutMs, () => `${what}\n${this.transcript}`, taken())
  }
}

function shown(bytes: string | Uint8Array): string {
  const text = JSON.stringify(Buffer.from(bytes).toString('latin1'))
  return text.length > 400 ? `${text.slice(0, 400)}… (${text.length})` : text
}
