import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** A client over a socket: says what it is told to, and reads whole replies. */
export class Client implements Disposable {
  #socket: Socket
  #received = ''
  #isEnded = false
  #news: (() => void) | undefined

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    this.#listen()
  }

  #listen(): void {
    const tell = (): void => this.#news?.()
    this.#socket.on('data', (bytes: Buffer) => {
      this.#received += bytes.toString('latin1')
      tell()
    })
    this.#socket.on('error', () => {})
    for (const event of ['end', 'close']) {
      this.#socket.on(event, () => {
        this.#isEnded = true
        tell()
      })
    }
  }

  say(text: string): this {
    this.#socket.write(text)
    return this
  }

  /** The next reply, whole; what is left when the server has closed. */
  async reply(): Promise<string> {
    for (;;) {
      const end = /^\d{3}(?: [^\r\n]*)?\r\n/m.exec(this.#received)
      if (end !== null || this.#isEnded) {
        const length = end === null ? this.#received.length : end.index + end[0].length
        const text = this.#received.slice(0, length)
        this.#received = this.#received.slice(length)
        return text
      }
      await new Promise<void>((resolve) => {
        this.#news = resolve
      })
    }
  }

  ask(line: string): Promise<string> {
    return this.say(`${line}\r\n`).reply()
  }

  async startTls(servername: string): Promise<void> {
    const plain = this.#socket
    plain.removeAllListeners()
    this.#socket = connectTls({ socket: plain, servername, rejectUnauthorized: false })
    this.#listen()
    await once(this.#socket, 'secureConnect')
  }

  /** Everything up to the close of the server. */
  async rest(): Promise<string> {
    let text = ''
    while (!this.#isEnded || this.#received !== '') text += await this.reply()
    this.#socket.end()
    return text
  }

  get written(): number {
    return this.#socket.bytesWritten
  }

  get hasStalled(): boolean {
    return this.#socket.writableNeedDrain
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}
