import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A question as it came: the form, and who asks. */
export interface Asked {
  readonly form: Readonly<Record<string, string>>
  readonly authorization: string | undefined
  readonly accept: string | undefined
}

/** A service that knows tokens (RFC 7662) and answers as a test wants it to. */
export class TokenService {
  readonly asked: Asked[] = []
  readonly #server: Server
  #answer: (asked: Asked, response: ServerResponse) => void

  private constructor(answer: (asked: Asked, response: ServerResponse) => void) {
    this.#answer = answer
    this.#server = createServer((request, response) => void this.#take(request, response))
  }

  /** @param tokens - what is said of each; others are not active. */
  static async start(tokens: Readonly<Record<string, object>> = {}): Promise<TokenService> {
    const service = new TokenService(({ form }, response) =>
      say(response, tokens[form['token'] ?? ''] ?? { active: false }),
    )
    service.#server.listen(0, '127.0.0.1')
    await once(service.#server, 'listening')
    return service
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/introspect`
  }

  /** Answers otherwise from now on. */
  answerBy(answer: (asked: Asked, response: ServerResponse) => void): void {
    this.#answer = answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server.close(), 'close')
    this.#server.closeAllConnections()
    await closed
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { authorization, accept } = request.headers
    const asked: Asked = { form: Object.fromEntries(new URLSearchParams(body)), authorization, accept }
    this.asked.push(asked)
    this.#answer(asked, response)
  }
}

export function say(response: ServerResponse, answer: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
}
