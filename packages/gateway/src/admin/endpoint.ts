/*
 * The admin endpoint, served by the supervisor, so that it answers also when every worker is busy.
 *
 *   GET  /healthz    whether a balancer may send connections: 200 or 503
 *   GET  /metrics    for Prometheus
 *   GET  /status     all there is to know, as JSON
 *   GET  /events     what of it moves, once a second, as server-sent events
 *   GET  /sessions   what is open now; `?matching=` searches
 *   GET  /.well-known/acme-challenge/…   what an authority asks for (`tls.acme`), by whatever name
 *   GET  /           the dashboard, and its files below /page/
 *   POST /inspect    bytes in hexadecimal, or a PROXY line: what they say, and nothing is kept
 *   POST /reload     with the token: reads the configuration again, and answers what came of it
 *   POST /drain      with the token: leaves the balancer, then stops
 *
 * Reading changes nothing and tells no secret. What changes something asks for the token.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { challengeHeaders } from '../acme/challenges.ts'
import type { AdminConfig, BindAddress, ConfigProblem } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { Health } from '../supervisor/health.ts'
import { listenAt } from '../supervisor/http-address.ts'
import { AdminAccess } from './access.ts'
import { EventStreams } from './events.ts'
import { inspectText, readQuestion } from './inspect.ts'
import { pageFiles, pagePolicy, type PageFile } from './page.ts'
import type { Sessions, Status, StatusNews } from './status.ts'

export interface AdminEndpoint {
  /** As it was asked for. */
  readonly bind: BindAddress
  readonly host: string
  readonly port: number
  close(): void
}

/** What came of a reload. */
export type ReloadOutcome =
  | { readonly outcome: 'done' }
  /** The new configuration has problems: nothing changed. */
  | { readonly outcome: 'refused'; readonly problems: readonly ConfigProblem[] }
  /** A successor did not start: the configuration before is in force. */
  | { readonly outcome: 'failed' }
  | { readonly outcome: 'stopping' }

/** What the endpoint shows and asks for. */
export interface AdminSubject {
  health(): Promise<Health>
  readonly metricsType: string
  metrics(): Promise<string>
  status(): Promise<Status>
  /** What an order for a certificate shows at this path; absent while there is none. */
  challengeText(path: string): string | undefined
  /** @param since - of the news before, milliseconds since 1970. */
  news(since: number): Promise<StatusNews>
  /** @param withUsers - names of users are told and searched. */
  sessions(matching: string, withUsers: boolean): Promise<Sessions>
  reload(): Promise<ReloadOutcome>
  /** @returns how long it may take, in milliseconds. */
  drain(): number
}

export interface AdminOptions extends Pick<AdminConfig, 'tokenFile'> {
  /** The address is served by this gateway already, here or in the process before, which is about to close it. */
  readonly isOurs?: boolean
}

export async function openAdmin(
  bind: BindAddress,
  { tokenFile, isOurs = false }: AdminOptions,
  subject: AdminSubject,
): Promise<AdminEndpoint> {
  const access = new AdminAccess(bind, tokenFile)
  const streams = new EventStreams(subject)
  const server = createServer(
    {
      requestTimeout: limits.adminRequestMs,
      headersTimeout: limits.adminRequestMs,
      keepAliveTimeout: limits.adminRequestMs,
    },
    (request, response) => void answer(request, response, { subject, access, streams }),
  )
  server.maxConnections = limits.maxAdminConnections
  const { host, port, close } = await listenAt(server, bind, isOurs)
  return {
    bind,
    host,
    port,
    close: () => {
      streams.close()
      close()
    },
  }
}

interface Endpoint {
  readonly subject: AdminSubject
  readonly access: AdminAccess
  readonly streams: EventStreams
}

interface Asked extends Endpoint {
  readonly url: URL
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

interface Route {
  readonly method: 'GET' | 'POST'
  readonly answer: (asked: Asked) => Promise<void> | void
}

const routes: Readonly<Record<string, Route>> = {
  ...Object.fromEntries([...pageFiles].map(([path, file]) => [path, pageRoute(file)])),
  '/inspect': {
    method: 'POST',
    answer: async ({ request, response }) => {
      const question = await readQuestion(request)
      if (question === undefined) reply(response, 413, { error: 'that is longer than a header can be' })
      else reply(response, 200, inspectText(question))
    },
  },
  '/healthz': {
    method: 'GET',
    answer: async ({ subject, response }) => {
      const health = await subject.health()
      reply(response, health.status === 'ok' ? 200 : 503, health)
    },
  },
  '/metrics': {
    method: 'GET',
    answer: async ({ subject, response }) => {
      const text = await subject.metrics()
      response.writeHead(200, { ...safety, 'content-type': subject.metricsType }).end(text)
    },
  },
  '/status': {
    method: 'GET',
    answer: async ({ subject, response }) => reply(response, 200, await subject.status()),
  },
  '/sessions': {
    method: 'GET',
    answer: async ({ subject, access, url, request, response }) => {
      const matching = url.searchParams.get('matching')?.slice(0, limits.maxLogValueChars) ?? ''
      // Whoever reaches the endpoint may read it, and need not learn who has an account.
      const isTrusted = (await access.judge(request)).verdict === 'granted'
      reply(response, 200, await subject.sessions(matching, isTrusted))
    },
  },
  '/events': { method: 'GET', answer: ({ streams, response }) => streams.add(response, safety) },
  '/reload': {
    method: 'POST',
    answer: (asked) =>
      whenGranted(asked, async ({ subject, response }) => {
        const came = await subject.reload()
        reply(response, came.outcome === 'done' ? 200 : 409, came)
      }),
  },
  '/drain': {
    method: 'POST',
    answer: (asked) =>
      whenGranted(asked, ({ subject, response }) =>
        reply(response, 202, { outcome: 'leaving', withinMs: subject.drain() }),
      ),
  },
}

function pageRoute({ type, read }: PageFile): Route {
  return {
    method: 'GET',
    answer: async ({ response }) => {
      const content = await read()
      response.writeHead(200, { ...safety, 'content-security-policy': pagePolicy, 'content-type': type }).end(content)
    },
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, endpoint: Endpoint): Promise<void> {
  request.resume()
  // A client that leaves in the middle of an answer is nobody's fault.
  response.on('error', () => {})
  // Whatever a client writes in the place of a path, `//` and `http://[` too: what is no URL leads nowhere.
  const url = URL.parse(request.url ?? '/', 'http://admin')
  const route = url === null ? undefined : routes[url.pathname]
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  const challenge = url !== null && isRead ? endpoint.subject.challengeText(url.pathname) : undefined
  if (challenge !== undefined) {
    // Ahead of what names this endpoint has: the authority comes by the names of the certificate.
    response.writeHead(200, challengeHeaders).end(challenge)
  } else if (!endpoint.access.isForUs(request)) {
    reply(response, 421, { error: 'this name is none of this endpoint: use its address, or localhost' })
  } else if (url === null || route === undefined) {
    reply(response, 404, { error: 'not found' })
  } else if (request.method !== route.method && !(request.method === 'HEAD' && route.method === 'GET')) {
    response.setHeader('allow', route.method === 'GET' ? 'GET, HEAD' : 'POST')
    reply(response, 405, { error: 'method not allowed' })
  } else {
    try {
      await route.answer({ ...endpoint, url, request, response })
    } catch {
      // A bug; the endpoint goes on, and says so to whoever asks.
      if (response.headersSent) response.destroy()
      else reply(response, 500, { error: 'internal error' })
    }
  }
}

async function whenGranted(asked: Asked, act: (asked: Asked) => Promise<void> | void): Promise<void> {
  const judgement = await asked.access.judge(asked.request)
  if (judgement.verdict === 'granted') await act(asked)
  else reply(asked.response, judgement.status, { error: judgement.why })
}

/** Nothing here is ever to be framed, guessed at or kept; what is shown is shown by scripts of our own alone. */
const safety = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { ...safety, 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}
