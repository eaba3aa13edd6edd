import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { limits } from '../limits.ts'
import type { StatusNews } from './status.ts'

/**
 * Server-sent events: `event: news` once a second, to everybody who listens. While nobody does, nothing is gathered. A
 * reader that is behind by more than a bound is cut off, and connects again by itself.
 */
export class EventStreams {
  readonly #source: { news(since: number): Promise<StatusNews> }
  readonly #listening = new Set<ServerResponse>()
  #timer: NodeJS.Timeout | undefined
  #lastAt = 0

  constructor(source: { news(since: number): Promise<StatusNews> }) {
    this.#source = source
  }

  add(response: ServerResponse, headers: OutgoingHttpHeaders): void {
    if (this.#listening.size >= limits.maxEventStreams) {
      response.writeHead(503, { ...headers, 'retry-after': '10' }).end()
      return
    }
    response.writeHead(200, { ...headers, 'content-type': 'text/event-stream' })
    response.flushHeaders()
    this.#listening.add(response)
    response.on('close', () => this.#remove(response))
    if (this.#timer !== undefined) return
    this.#lastAt = Date.now()
    this.#timer = setInterval(() => void this.#tell(), limits.countsEveryMs)
    void this.#tell()
  }

  close(): void {
    for (const response of this.#listening) response.end()
  }

  #remove(response: ServerResponse): void {
    this.#listening.delete(response)
    if (this.#listening.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #tell(): Promise<void> {
    const since = this.#lastAt
    this.#lastAt = Date.now()
    let text: string
    try {
      text = `event: news\ndata: ${JSON.stringify(await this.#source.news(since))}\n\n`
    } catch {
      // A bug; whoever listens sees that there is no news, and connects again by itself.
      this.close()
      return
    }
    for (const response of this.#listening) {
      if (response.writableLength > limits.maxEventBytesWaiting) response.destroy()
      else response.write(text)
    }
  }
}
