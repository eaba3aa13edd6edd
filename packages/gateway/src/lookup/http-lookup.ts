/*
 * Asks a service over HTTP: by the headers of nginx's ngx_mail_auth_http_module, so that a service made for nginx works as
 * it stands, or by JSON. Redirects are not followed, bodies are bounded, and no password is ever part of a question.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Pool, type Dispatcher } from 'undici'
import { secret } from '@postern/core'
import { parseBackendAddress } from '../config/backend-address.ts'
import { limits } from '../limits.ts'
import type { Lookup, LookupAnswer, LookupQuestion } from './lookup.ts'

export interface HttpLookupOptions {
  readonly url: string
  readonly dialect: 'nginx' | 'json'
  /** For one question, all its tries together. */
  readonly timeoutMs: number
  /** More tries, when the service was not reached or said 5xx. */
  readonly retries: number
}

export class HttpLookup implements Lookup {
  readonly #options: HttpLookupOptions
  readonly #path: string
  readonly #pool: Pool

  constructor(options: HttpLookupOptions) {
    const { origin, pathname, search } = new URL(options.url)
    this.#options = options
    this.#path = pathname + search
    this.#pool = new Pool(origin, {
      connections: limits.lookupConnections,
      pipelining: 1,
      connect: { timeout: options.timeoutMs },
      maxHeaderSize: limits.maxLookupHeaderBytes,
      maxResponseSize: limits.maxLookupBodyBytes,
    })
  }

  async ask(question: LookupQuestion): Promise<LookupAnswer> {
    const { dialect, timeoutMs, retries } = this.#options
    const signal = AbortSignal.timeout(timeoutMs)
    for (let tried = 0; ; tried++) {
      try {
        return dialect === 'nginx' ? await this.#askAsNginx(question, signal) : await this.#askByJson(question, signal)
      } catch (error) {
        if (signal.aborted) throw new Error(`no answer within ${timeoutMs} ms`, { cause: error })
        if (tried >= retries || error instanceof BadAnswer) throw error
      }
    }
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  async #askAsNginx(question: LookupQuestion, signal: AbortSignal): Promise<LookupAnswer> {
    const answer = await this.#request({ method: 'GET', headers: nginxHeaders(question) }, signal)
    await answer.body.dump()
    const header = (name: string): string | undefined => {
      const value = answer.headers[name]
      return Array.isArray(value) ? value[0] : value
    }
    const status = header('auth-status')
    if (status === undefined) throw new BadAnswer('without Auth-Status')
    if (status.toUpperCase() === 'OK') {
      const where = whereTo(header('auth-upstream'), header('auth-server'), header('auth-port'))
      // What nginx would sign in with: of use where somebody signs in by IMAP.
      return question.kind === 'login'
        ? withCredentials(where, header('auth-user'), header('auth-pass'), undefined)
        : where
    }
    await waits(header('auth-wait'))
    const code = /^[45]\d\d/.exec(header('auth-error-code') ?? '')?.[0]
    return refusal(code, status)
  }

  async #askByJson(question: LookupQuestion, signal: AbortSignal): Promise<LookupAnswer> {
    const headers = { 'content-type': 'application/json', accept: 'application/json' }
    const answer = await this.#request({ method: 'POST', headers, body: JSON.stringify(question) }, signal)
    let body: unknown
    try {
      body = await answer.body.json()
    } catch (error) {
      throw new BadAnswer('not JSON', { cause: error })
    }
    return readJson(body, question.kind)
  }

  async #request(
    request: Pick<Dispatcher.RequestOptions, 'method' | 'headers' | 'body'>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const answer = await this.#pool.request({ path: this.#path, ...request, signal })
    if (answer.statusCode === 200) return answer
    await answer.body.dump()
    const words = `status ${answer.statusCode}`
    throw answer.statusCode >= 500 ? new Error(words) : new BadAnswer(words)
  }
}

/** The service is there and says something that makes no sense: to ask again would not help. */
class BadAnswer extends Error {
  override readonly name = 'BadAnswer'
}

/** As ngx_mail_auth_http_module writes them, values in its URL encoding; the ones that are not nginx's begin with Postern. */
function nginxHeaders(question: LookupQuestion): Record<string, string> {
  const { client, username, recipient, reversePath, helo, serverName, authority, kind, protocol } = question
  const headers: Record<string, string | undefined> = {
    'auth-method': kind === 'login' || username !== undefined ? 'plain' : 'none',
    'auth-user': username,
    'auth-protocol': protocol === 'imap' ? 'imap' : 'smtp',
    'auth-login-attempt': '1',
    'client-ip': client.address,
    'client-host': client.name ?? '[UNAVAILABLE]',
    'auth-smtp-helo': helo,
    'auth-smtp-from': reversePath === undefined ? undefined : `MAIL FROM:<${reversePath}>`,
    'auth-smtp-to': recipient === undefined ? undefined : `RCPT TO:<${recipient}>`,
    'postern-listener': question.listener,
    'postern-connection': question.connectionId,
    'postern-client-port': `${client.port}`,
    'postern-server-name': serverName,
    'postern-authority': authority,
  }
  const written: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) written[name] = escapeHeader(value)
  return written
}

/** What could end a header or is no ASCII is %HH, and so is the % itself; nginx writes user names like this. */
function escapeHeader(value: string): string {
  return value.replaceAll(/[^ -~]|%/gu, (char) =>
    [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}

function whereTo(upstream: string | undefined, host: string | undefined, port: string | undefined): LookupAnswer {
  if (upstream === 'store') return { found: 'store' }
  if (host === undefined) return { found: 'upstream', ...(upstream === undefined ? {} : { upstream }) }
  const written = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
  const server = port === undefined ? written : `${written}:${port}`
  return { found: 'upstream', ...(upstream === undefined ? {} : { upstream }), server: checkedServer(server) }
}

function checkedServer(server: string): string {
  if (server.startsWith('/') || parseBackendAddress(server) === undefined)
    throw new BadAnswer('a server that is no address')
  return server
}

function refusal(code: string | undefined, text: string): LookupAnswer {
  return {
    found: 'refusal',
    isTemporary: code?.startsWith('4') ?? false,
    text: text.slice(0, limits.maxLookupTextChars),
  }
}

/** nginx keeps the client waiting so long before it hears of a refusal; a bound keeps that from holding connections. */
async function waits(seconds: string | undefined): Promise<void> {
  if (seconds === undefined || !/^\d{1,4}$/.test(seconds)) return
  await delay(Math.min(Number(seconds) * 1000, limits.maxLookupWaitMs), undefined, { ref: false })
}

function readJson(body: unknown, kind: LookupQuestion['kind']): LookupAnswer {
  if (typeof body !== 'object' || body === null) throw new BadAnswer('no object')
  const { to, server, code, text, user, password, token } = body as Readonly<Record<string, unknown>>
  if (to !== undefined && typeof to !== 'string') throw new BadAnswer('`to` is no text')
  if (server !== undefined && typeof server !== 'string') throw new BadAnswer('`server` is no text')
  if (to === 'nothing') return { found: 'nothing' }
  if (to === 'store') return { found: 'store' }
  if (to === 'refuse')
    return refusal(typeof code === 'number' ? `${code}` : undefined, typeof text === 'string' ? text : '')
  if (to === undefined && server === undefined) throw new BadAnswer('neither `to` nor `server`')
  const where: LookupAnswer = {
    found: 'upstream',
    ...(to === undefined ? {} : { upstream: to }),
    ...(server === undefined ? {} : { server: checkedServer(server) }),
  }
  for (const [name, value] of Object.entries({ user, password, token })) {
    if (value !== undefined && typeof value !== 'string') throw new BadAnswer(`\`${name}\` is no text`)
  }
  if (kind === 'mail') return where
  return withCredentials(where, user as string | undefined, password as string | undefined, token as string | undefined)
}

function withCredentials(
  where: LookupAnswer,
  username: string | undefined,
  password: string | undefined,
  token: string | undefined,
): LookupAnswer {
  if (where.found !== 'upstream' || (username ?? password ?? token) === undefined) return where
  return {
    ...where,
    credentials: {
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password: secret(password) }),
      ...(token === undefined ? {} : { token: secret(token) }),
    },
  }
}
