/*
 * Asks Valkey or Redis: one MGET with every key under which an entry may stand, the most specific first. For mail to
 * ann@mx.example.org these are, behind the prefix:
 *
 *   ann@mx.example.org   @mx.example.org   @.example.org   @.org
 *
 * in lower case and ASCII, and for somebody who signs in the same of the user name. A value is the name of an upstream,
 * `store` or `refuse`; behind the name of an upstream one address may stand, as in `inside 10.0.0.7:25`.
 */
import type { Redis } from 'ioredis'
import { parseBackendAddress } from '../config/backend-address.ts'
import { foldAddress, patternsOf } from '../route/patterns.ts'
import { limits } from '../limits.ts'
import type { Lookup, LookupAnswer, LookupQuestion } from './lookup.ts'

export interface RedisLookupOptions {
  readonly url: string
  /** Before each key. */
  readonly prefix: string
  readonly timeoutMs: number
  /** More tries of a command whose connection was lost. */
  readonly retries: number
  /** Told of each failure of the connection; it is opened again by itself. */
  readonly onError: (error: Error) => void
}

/** @throws when the optional package `ioredis` is not installed. */
export async function openRedisLookup(options: RedisLookupOptions): Promise<Lookup> {
  const { Redis: Client } = await import('ioredis')
  const { url, timeoutMs, retries, onError } = options
  const client = new Client(url, {
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: retries,
    enableAutoPipelining: true,
    // A question is answered or fails now: it does not wait for a server that may never come.
    enableOfflineQueue: false,
    retryStrategy: (times) => Math.min(times * 100, 2000),
  })
  client.on('error', onError)
  // Ready or not: a start does not wait for a directory that is away.
  await Promise.race([
    new Promise((resolve) => client.once('ready', resolve)),
    new Promise((resolve) => setTimeout(resolve, Math.min(timeoutMs, limits.lookupStartMs))),
  ])
  return new RedisLookup(client, options)
}

class RedisLookup implements Lookup {
  readonly #client: Redis
  readonly #options: RedisLookupOptions

  constructor(client: Redis, options: RedisLookupOptions) {
    this.#client = client
    this.#options = options
  }

  async ask({ kind, recipient, username }: LookupQuestion): Promise<LookupAnswer> {
    const name = kind === 'mail' ? recipient : username
    if (name === undefined) return { found: 'nothing' }
    const keys = [...patternsOf(foldAddress(name))].map((pattern) => this.#options.prefix + pattern)
    const values = await this.#client.mget(keys)
    const value = values.find((each) => each !== null)
    return value === undefined || value === null ? { found: 'nothing' } : read(value)
  }

  close(): Promise<void> {
    this.#client.disconnect()
    return Promise.resolve()
  }
}

function read(value: string): LookupAnswer {
  if (value === 'store') return { found: 'store' }
  if (value === 'refuse') return { found: 'refusal', isTemporary: false }
  const [upstream = '', server, ...more] = value.split(' ')
  const isSound = more.length === 0 && /^[a-z][a-z0-9-]{0,31}$/.test(upstream)
  const isServerSound = server === undefined || (!server.startsWith('/') && parseBackendAddress(server) !== undefined)
  if (!isSound || !isServerSound) throw new Error('a value that is no upstream')
  return { found: 'upstream', upstream, ...(server === undefined ? {} : { server }) }
}
