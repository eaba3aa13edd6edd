/*
 * HTTP-01 (RFC 8555 section 8.3): an authority that is asked for a certificate fetches a text from port 80 of the name. It is
 * answered by the admin endpoint, to which a balancer or a web server leads that path, or on a port of its own.
 */
import { createServer } from 'node:http'
import type { BindAddress } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { listenAt } from '../supervisor/http-address.ts'

/** Where the texts are, on every name. */
export const challengePath = '/.well-known/acme-challenge/'

/** The texts that an order under way is to show. They are no secrets: whoever asks may have them. */
export class Challenges {
  /** By token (RFC 8555 section 8.1). */
  readonly #texts = new Map<string, string>()

  /** @returns what to call when the text is not needed any more. */
  show(token: string, text: string): () => void {
    this.#texts.set(token, text)
    return () => this.#texts.delete(token)
  }

  /** @param path - of a request, whatever it is. */
  textFor(path: string): string | undefined {
    return path.startsWith(challengePath) ? this.#texts.get(path.slice(challengePath.length)) : undefined
  }
}

/** Serves the texts, and nothing else. */
export interface ChallengeServer {
  /** As it was asked for. */
  readonly bind: BindAddress
  readonly port: number
  close(): void
}

/**
 * Rejects when the address cannot be bound.
 *
 * @param isOurs - the process before serves it still, and is about to close it.
 */
export async function openChallengeServer(
  bind: BindAddress,
  challenges: Challenges,
  isOurs: boolean,
): Promise<ChallengeServer> {
  const timeoutMs = limits.adminRequestMs
  const server = createServer({ requestTimeout: timeoutMs, headersTimeout: timeoutMs }, (request, response) => {
    request.resume()
    // A client that leaves in the middle of an answer is nobody's fault.
    response.on('error', () => {})
    const { pathname } = URL.parse(request.url ?? '/', 'http://challenge') ?? { pathname: '' }
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    const text = isRead ? challenges.textFor(pathname) : undefined
    response.writeHead(text === undefined ? 404 : 200, challengeHeaders)
    response.end(text ?? 'not found\n')
  })
  server.maxConnections = limits.maxAdminConnections
  const { port, close } = await listenAt(server, bind, isOurs)
  return { bind, port, close }
}

/** RFC 8555 section 8.3: application/octet-stream. One request, one connection. */
export const challengeHeaders = {
  'cache-control': 'no-store',
  connection: 'close',
  'content-type': 'application/octet-stream',
  'x-content-type-options': 'nosniff',
} as const
