/* A backend that plays the server's side of a dialogue as it is written down, and complains when it hears another. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'

const fixtures = new URL('../../../core/test/fixtures/', import.meta.url)
/** A self-signed certificate for localhost, made for tests and good for nothing else. */
export const tlsFiles = {
  cert: readFileSync(new URL('cert.pem', fixtures)),
  key: readFileSync(new URL('key.pem', fixtures)),
}

/**
 * A script has one line for each event:
 *
 * - `S:` is said. Lines of the backend without one of the client between them go out in one write. `*` at the end of a
 *   line of the client matches its rest.
 * - `C:` is expected. `D:` expects nothing more than that one more line comes.
 * - `R:` is said raw, with the escapes of JSON and without an end.
 * - `!tls` starts TLS. `!stall` reads no more. `!close` closes, `!reset` resets. A script that ends otherwise waits for the client's close.
 */
export class ScriptedBackend {
  /** Scripts that were played to their end. */
  played = 0
  /** Everything that was heard, by connection. */
  readonly heard: string[] = []
  /** What was not as it is written. */
  readonly surprises: string[] = []
  readonly #scripts: readonly string[]
  readonly #server: Server
  readonly #ends: Promise<void>[] = []
  readonly #sockets: Socket[] = []

  private constructor(scripts: readonly string[]) {
    this.#scripts = scripts
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.push(socket)
      this.#ends.push(this.#serve(socket))
    })
  }

  /** One script for each connection; the last one is played for all that follow. */
  static async start(...scripts: readonly string[]): Promise<ScriptedBackend> {
    const backend = new ScriptedBackend(scripts)
    backend.#server.listen(0, '127.0.0.1')
    await once(backend.#server, 'listening')
    onTestFinished(() => {
      backend.#server.close()
      for (const socket of backend.#sockets) socket.destroy()
    })
    return backend
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get connections(): number {
    return this.#ends.length
  }

  /** Resolves when every connection so far has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#ends)
  }

  async #serve(socket: Socket): Promise<void> {
    const index = this.#ends.length
    const conversation = new Conversation(socket)
    const script = this.#scripts[Math.min(index, this.#scripts.length - 1)] ?? ''
    const surprise = await conversation.play(script)
    this.heard[index] = conversation.heard
    if (surprise === undefined) this.played++
    else this.surprises.push(surprise)
  }
}

class Conversation {
  heard = ''
  #socket: Socket
  #unread = ''
  #isOver = false
  #news: PromiseWithResolvers<void> = Promise.withResolvers()

  constructor(socket: Socket) {
    this.#socket = socket
    this.#listen(socket)
  }

  async play(script: string): Promise<string | undefined> {
    let waiting = ''
    const send = (): void => {
      if (waiting !== '') this.#socket.write(waiting, 'latin1')
      waiting = ''
    }
    for (const line of script.split('\n').map((text) => text.trim())) {
      const rest = line.slice(2).replace(/^ /, '')
      if (line === '') continue
      if (line.startsWith('S:')) {
        waiting += `${rest}\r\n`
        continue
      }
      if (line.startsWith('R:')) {
        waiting += JSON.parse(`"${rest}"`) as string
        continue
      }
      send()
      if (line === '!tls') this.#startTls()
      else if (line === '!stall') this.#socket.pause()
      else if (line === '!close') this.#socket.end()
      else if (line === '!reset') this.#socket.resetAndDestroy()
      else {
        const heard = await this.#line()
        if (heard === undefined) return `nothing came where ${line} was awaited`
        const isExpected = rest.endsWith('*') ? heard.startsWith(rest.slice(0, -1)) : heard === rest
        if (line.startsWith('C:') && !isExpected) {
          this.#socket.destroy()
          return `heard ${JSON.stringify(heard)}, awaited ${JSON.stringify(rest)}`
        }
      }
    }
    send()
    while (!this.#isOver) await this.#news.promise
    return this.#unread === '' ? undefined : `heard also ${JSON.stringify(this.#unread)}`
  }

  async #line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#unread.indexOf('\r\n')
      if (end !== -1) {
        const line = this.#unread.slice(0, end)
        this.#unread = this.#unread.slice(end + 2)
        return line
      }
      if (this.#isOver) return undefined
      await this.#news.promise
    }
  }

  #startTls(): void {
    this.#socket.removeAllListeners('data')
    this.#socket = new TLSSocket(this.#socket, { isServer: true, ...tlsFiles })
    this.#listen(this.#socket)
  }

  #listen(socket: Socket): void {
    socket.on('data', (bytes: Buffer) => {
      this.#unread += bytes.toString('latin1')
      this.heard += bytes.toString('latin1')
      this.#wake()
    })
    const end = (): void => {
      this.#isOver = true
      socket.destroy()
      this.#wake()
    }
    socket.on('end', end).on('close', end).on('error', end)
  }

  #wake(): void {
    this.#news.resolve()
    this.#news = Promise.withResolvers()
  }
}
