/*
 * Who failed to sign in too often, and for how long it is not let in. The supervisor counts for the machine and tells all
 * workers whom it bans, so that a worker that looks a client up asks nobody; each worker counts as well, for what happens
 * before the news is there.
 */
import type { PolicyConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { LocalTally, type TallyLimits } from './tally.ts'

/** Of whom failures are counted: a client, as `clientKey` has it, or a user, as `userKey` has it. */
export type FailureOf = 'client' | 'user'

/** A ban as it travels between processes: milliseconds from when it is told. */
export type BanNews = readonly [of: FailureOf, key: string, forMs: number]

interface Ban {
  readonly until: number
  /** How long it was: the next one is twice as long. */
  readonly lengthMs: number
}

export class Bans {
  #policy: Pick<PolicyConfig, 'rate' | 'ban'>
  readonly #failures: Readonly<Record<FailureOf, LocalTally>>
  /** In the order in which they were pronounced. */
  readonly #bans: Readonly<Record<FailureOf, Map<string, Ban>>> = { client: new Map(), user: new Map() }
  readonly #maxBans: number

  constructor(policy: Pick<PolicyConfig, 'rate' | 'ban'>, maxBans: number = limits.maxBans) {
    this.#policy = policy
    this.#maxBans = maxBans
    this.#failures = {
      client: new LocalTally(failureLimits('client', policy), maxBans),
      user: new LocalTally(failureLimits('user', policy), maxBans),
    }
  }

  /** How many bans are remembered: never more than a bound for each kind. */
  get size(): number {
    return this.#bans.client.size + this.#bans.user.size
  }

  rebound(policy: Pick<PolicyConfig, 'rate' | 'ban'>): void {
    this.#policy = policy
    this.#failures.client.rebound(failureLimits('client', policy))
    this.#failures.user.rebound(failureLimits('user', policy))
  }

  /**
   * Counts a failure.
   *
   * @returns the ban, when this was the last that was allowed.
   */
  failed(of: FailureOf, key: string): BanNews | undefined {
    const { rate } = failureLimits(of, this.#policy)
    if (rate === undefined || this.leftMs(of, key) > 0) return undefined
    // A rate of three lets three failures happen: the third one ends it.
    const isLast = this.#failures[of].opened(key) === 'rate' || this.#failures[of].countOf(key).recent >= rate.count
    return isLast ? this.ban(of, key) : undefined
  }

  /** Bans at once, for longer than the last time when that was not long ago. */
  ban(of: FailureOf, key: string): BanNews {
    const { firstMs, longestMs } = this.#policy.ban
    const now = performance.now()
    const last = this.#bans[of].get(key)
    const isRepeated = last !== undefined && now - last.until < longestMs
    const lengthMs = isRepeated ? Math.min(longestMs, 2 * last.lengthMs) : firstMs
    this.#failures[of].take(key)
    this.#remember(of, key, { until: now + lengthMs, lengthMs })
    return [of, key, lengthMs]
  }

  /** What another process pronounced. */
  learn(news: readonly BanNews[]): void {
    const now = performance.now()
    for (const [of, key, forMs] of news) {
      this.#failures[of].take(key)
      this.#remember(of, key, { until: now + forMs, lengthMs: forMs })
    }
  }

  /** For how long it is banned still; 0 when it is not. */
  leftMs(of: FailureOf, key: string): number {
    const ban = this.#bans[of].get(key)
    return ban === undefined ? 0 : Math.max(0, ban.until - performance.now())
  }

  /** Those in force, for a process that starts. */
  get inForce(): readonly BanNews[] {
    const all: BanNews[] = []
    for (const kind of ['client', 'user'] as const) {
      for (const key of this.#bans[kind].keys()) {
        const leftMs = this.leftMs(kind, key)
        if (leftMs > 0) all.push([kind, key, leftMs])
      }
    }
    return all
  }

  #remember(of: FailureOf, key: string, ban: Ban): void {
    const bans = this.#bans[of]
    bans.delete(key)
    bans.set(key, ban)
    if (bans.size <= this.#maxBans) return
    const [oldest = ''] = bans.keys()
    bans.delete(oldest)
  }
}

function failureLimits(of: FailureOf, { rate }: Pick<PolicyConfig, 'rate'>): TallyLimits {
  const bound = of === 'client' ? rate.failedLoginsPerClient : rate.failedLoginsPerUser
  return { isOverAtOnce: true, ...(bound !== 'unlimited' && { rate: bound }) }
}
