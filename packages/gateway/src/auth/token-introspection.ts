/*
 * Tokens of OAuth 2.0, checked by whoever issued them: token introspection (RFC 7662). Each token is asked about once in a
 * while and not at each connection, since mail programs open many; what is remembered is under a hash of the whole token.
 */
import { createHash } from 'node:crypto'
import type { OauthConfig } from '../config/schema.ts'
import { GatewayError } from '../errors.ts'
import { limits } from '../limits.ts'
import { FairTurns } from './fair-turns.ts'

/** What the issuer says of a token. */
export type TokenVerdict =
  | { readonly outcome: 'active'; readonly account: string }
  | { readonly outcome: 'inactive' }
  | { readonly outcome: 'unavailable'; readonly cause: unknown }

const inactive: TokenVerdict = Object.freeze({ outcome: 'inactive' })

export class TokenIntrospection {
  readonly #config: OauthConfig
  readonly #now: () => number
  readonly #turns = new FairTurns({ atOnce: limits.tokenChecksAtOnce, waiting: limits.tokenChecksWaiting })
  /** By hash of the token, the one that was asked about last at the end. Only what is active: anybody can make up others. */
  readonly #known = new Map<string, { readonly untilMs: number; readonly account: string }>()
  /** Connections that come together with one token ask once. */
  readonly #asking = new Map<string, Promise<TokenVerdict>>()

  constructor(config: OauthConfig, now: () => number = Date.now) {
    this.#config = config
    this.#now = now
  }

  /**
   * Rejects never.
   *
   * @param client - whose turn it takes.
   */
  async check(token: string, client: string): Promise<TokenVerdict> {
    if (token.length > limits.maxTokenBytes) return inactive
    const key = createHash('sha256').update(token).digest('base64')
    const known = this.#known.get(key)
    if (known !== undefined && known.untilMs > this.#now()) return { outcome: 'active', account: known.account }
    this.#known.delete(key)
    const asking = this.#asking.get(key) ?? this.#ask(token, key, client)
    this.#asking.set(key, asking)
    try {
      return await asking
    } finally {
      if (this.#asking.get(key) === asking) this.#asking.delete(key)
    }
  }

  async #ask(token: string, key: string, client: string): Promise<TokenVerdict> {
    try {
      const answer = await this.#turns.run(client, () => this.#introspect(token))
      if (answer === 'full') {
        const detail = `${limits.tokenChecksWaiting} token checks wait already`
        return { outcome: 'unavailable', cause: new GatewayError('GATEWAY_TOKEN_QUEUE_FULL', detail) }
      }
      return this.#judge(answer, key)
    } catch (cause) {
      return { outcome: 'unavailable', cause }
    }
  }

  /** RFC 7662 section 2.1. */
  async #introspect(token: string): Promise<Readonly<Record<string, unknown>>> {
    const { introspectionUrl, clientId, clientSecret, timeoutMs } = this.#config
    let response: Response
    try {
      response = await fetch(introspectionUrl, {
        method: 'POST',
        headers: {
          accept: 'application/json',
          ...(clientId === undefined ? {} : { authorization: basic(clientId, clientSecret ?? '') }),
        },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
        // A token goes nowhere but where the operator said.
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      })
      // RFC 7662 section 2.3: 401 says that it is we who may not ask.
      if (response.status !== 200) {
        await response.body?.cancel()
        throw new Error(`status ${response.status}`)
      }
      const answer: unknown = JSON.parse(await textOf(response))
      if (typeof answer === 'object' && answer !== null) return answer as Readonly<Record<string, unknown>>
      throw new Error('an answer that is no object')
    } catch (error) {
      throw new GatewayError('GATEWAY_INTROSPECTION', `${introspectionUrl}: ${reasonOf(error)}`, { cause: error })
    }
  }

  /** RFC 7662 section 2.2, and the checks of section 4 that only who was asked for can make. */
  #judge(answer: Readonly<Record<string, unknown>>, key: string): TokenVerdict {
    const { accountClaim, scope, audience, cacheMs } = this.#config
    const now = this.#now()
    const account = answer[accountClaim]
    const expiresMs = timeOf(answer['exp']) ?? Infinity
    const beginsMs = timeOf(answer['nbf']) ?? 0
    if (answer['active'] !== true || typeof account !== 'string' || account === '') return inactive
    if (expiresMs <= now || beginsMs > now) return inactive
    if (scope !== undefined && !hasAll(answer['scope'], scope)) return inactive
    if (audience !== undefined && ![answer['aud']].flat().includes(audience)) return inactive
    this.#remember(key, account, Math.min(expiresMs, now + cacheMs))
    return { outcome: 'active', account }
  }

  #remember(key: string, account: string, untilMs: number): void {
    if (untilMs <= this.#now()) return
    this.#known.set(key, { untilMs, account })
    if (this.#known.size <= limits.maxKnownTokens) return
    const [oldest] = this.#known.keys()
    if (oldest !== undefined) this.#known.delete(oldest)
  }
}

/** RFC 6749 section 2.3.1: both are encoded as in a form before they are put together. */
function basic(clientId: string, clientSecret: string): string {
  return `Basic ${Buffer.from(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`).toString('base64')}`
}

function formEncoded(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1)
}

/** NumericDate of RFC 7519 section 2, in milliseconds. */
function timeOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value * 1000 : undefined
}

/** RFC 6749 section 3.3: scopes with blanks between. */
function hasAll(given: unknown, wanted: string): boolean {
  const has = new Set(typeof given === 'string' ? given.split(' ') : [])
  return wanted.split(' ').every((scope) => scope === '' || has.has(scope))
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > limits.maxIntrospectionBytes) throw new Error(`an answer of over ${limits.maxIntrospectionBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** `fetch` says "fetch failed", and its cause says why. Nothing of an answer is told: it may be about the token. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as {
    name?: string
    message?: string
    cause?: { code?: string; message?: string }
  }
  if (name === 'TimeoutError') return 'no answer in time'
  if (name === 'SyntaxError') return 'an answer that is no JSON'
  return cause?.code ?? cause?.message ?? message ?? 'unknown'
}
