/*
 * What all machines of a fleet count together, in Valkey or Redis: rates, and failed logins. Each machine counts by itself
 * as well, and goes by that alone while the server is away: a fleet without its server is as many machines with a limit
 * each, and mail goes on. No question is waited for longer than its timeout, and a server that is away is not asked.
 */
import type { Redis } from 'ioredis'
import type { RateLimiterRedis } from 'rate-limiter-flexible'
import type { FleetConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'

/** A rate that holds for the fleet. */
export interface FleetRate {
  readonly count: number
  readonly perMs: number
}

/** `unknown`: the server did not say in time. */
export type FleetVerdict = 'pass' | 'over' | 'unknown'

export interface FleetOptions extends FleetConfig {
  /** Told when the server falls silent, with what was met, and when it is back (`undefined`). */
  readonly onAway: (trouble: string | undefined) => void
}

export class Fleet {
  readonly #client: Redis
  readonly #open: (name: string, rate: FleetRate) => RateLimiterRedis
  readonly #limiters = new Map<string, RateLimiterRedis>()
  readonly #onAway: FleetOptions['onAway']
  /** Questions in a row without an answer. */
  #unanswered = 0
  #isAway = false
  #pausedUntil = 0

  constructor(
    client: Redis,
    open: (name: string, rate: FleetRate) => RateLimiterRedis,
    onAway: FleetOptions['onAway'],
  ) {
    this.#client = client
    this.#open = open
    this.#onAway = onAway
  }

  /** Counts one more. Never rejects. */
  count(name: string, rate: FleetRate, key: string): Promise<FleetVerdict> {
    return this.#ask(async () => {
      try {
        await this.#limiter(name, rate).consume(key)
        return 'pass'
      } catch (error) {
        // The library rejects with the count where it is over the limit, and with an error where it could not ask.
        if (error instanceof Error) throw error
        return 'over'
      }
    })
  }

  /**
   * Counts a failure. Never rejects.
   *
   * @returns `reached` for the last that the rate allows: whoever hears it pronounces the ban.
   */
  fail(name: string, rate: FleetRate, key: string): Promise<'below' | 'reached' | 'over' | 'unknown'> {
    return this.#ask(async () => {
      try {
        const { consumedPoints } = await this.#limiter(name, rate).consume(key)
        return consumedPoints < rate.count ? 'below' : 'reached'
      } catch (error) {
        if (error instanceof Error) throw error
        return 'over'
      }
    })
  }

  /** Tells all machines of a ban. It takes the place of the count, which begins anew behind it. Never rejects. */
  async block(name: string, rate: FleetRate, key: string, forMs: number): Promise<void> {
    await this.#ask(async () => this.#limiter(name, rate).block(key, Math.ceil(forMs / 1000)))
  }

  /** For how much longer somebody is banned by whichever machine, milliseconds. Never rejects. */
  blockedMs(name: string, rate: FleetRate, key: string): Promise<number | 'unknown'> {
    return this.#ask(async () => {
      const counted = await this.#limiter(name, rate).get(key)
      return counted !== null && counted.consumedPoints > rate.count ? counted.msBeforeNext : 0
    })
  }

  close(): void {
    this.#client.disconnect()
  }

  #limiter(name: string, rate: FleetRate): RateLimiterRedis {
    const known = this.#limiters.get(name)
    if (known !== undefined) return known
    const limiter = this.#open(name, rate)
    this.#limiters.set(name, limiter)
    return limiter
  }

  async #ask<T>(question: () => Promise<T>): Promise<T | 'unknown'> {
    const now = performance.now()
    if (this.#isAway) {
      if (now < this.#pausedUntil) return 'unknown'
      // One client tries whether it is back, and waits for it; the others go on.
      this.#pausedUntil = now + limits.fleetPauseMs
    }
    try {
      const answer = await question()
      this.#unanswered = 0
      if (this.#isAway) this.#onAway(undefined)
      this.#isAway = false
      return answer
    } catch (error) {
      this.#unanswered++
      if (this.#unanswered >= limits.maxUnansweredFleetQuestions && !this.#isAway) {
        this.#isAway = true
        this.#pausedUntil = performance.now() + limits.fleetPauseMs
        this.#onAway((error as Error).message)
      }
      return 'unknown'
    }
  }
}

/** @throws when the optional packages `ioredis` and `rate-limiter-flexible` are not installed. */
export async function openFleet({ url, prefix, timeoutMs, onAway }: FleetOptions): Promise<Fleet> {
  const [{ Redis: Client }, { RateLimiterRedis: Limiter }] = await Promise.all([
    import('ioredis'),
    import('rate-limiter-flexible'),
  ])
  const client = new Client(url, {
    connectTimeout: limits.lookupStartMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    enableAutoPipelining: true,
    // A question is answered or fails now: it does not wait for a server that may never come.
    enableOfflineQueue: false,
    retryStrategy: (times) => Math.min(times * 100, 2000),
  })
  // Told by the first questions that fail: of connections that fail there may be many.
  client.on('error', () => {})
  const open = (name: string, { count, perMs }: FleetRate): RateLimiterRedis =>
    new Limiter({
      storeClient: client,
      keyPrefix: `${prefix}${name}`,
      points: count,
      // Whole seconds: for less the library sets no time to live, and a key would stay for ever.
      duration: Math.max(1, Math.ceil(perMs / 1000)),
      rejectIfRedisNotReady: true,
    })
  // Ready or not: a start does not wait for a server that is away.
  await Promise.race([
    new Promise((resolve) => client.once('ready', resolve)),
    new Promise((resolve) => setTimeout(resolve, limits.lookupStartMs)),
  ])
  return new Fleet(client, open, onAway)
}
