/*
 * Questions to the DNS, each with an end: an answer, or `unknown` after a time that the configuration sets. They go
 * over sockets of the resolver library and take no thread of the pool that files are read and written by, so slow
 * servers slow no delivery.
 */
import { promises as dns } from 'node:dns'
import { performance } from 'node:perf_hooks'
import type { DnsConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'

/**
 * What the DNS said. `none`: there is no such record, and that is sure. `unknown`: there may be one, but nobody who knows
 * answered in time.
 */
export type DnsAnswer =
  | { readonly status: 'found'; readonly records: readonly string[]; readonly ttlSeconds: number }
  | { readonly status: 'none' }
  | { readonly status: 'unknown' }

/** Told when the servers fall silent and when they answer again. */
export type OnSilence = (isSilent: boolean) => void

const none: DnsAnswer = { status: 'none' }
const unknown: DnsAnswer = { status: 'unknown' }

/** Codes of c-ares for a name or a record that does not exist. */
const absent: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA'])
/** Codes of a server that was not reached, or said nothing. */
const silent: ReadonlySet<string> = new Set(['ETIMEOUT', 'ECONNREFUSED'])

/** Asks the servers of the configuration, or those of the system. */
export class DnsResolver {
  readonly #resolver: dns.Resolver
  readonly #timeoutMs: number
  readonly #onSilence: OnSilence
  readonly #rests: boolean
  #underWay = 0
  /** Questions in a row that nobody answered. */
  #unanswered = 0
  #pausedUntil = 0

  /**
   * @param rests - servers that say nothing are left alone for a while. Not where strangers choose the names that are asked
   *   for: theirs could silence all others.
   */
  constructor(
    { servers, timeoutMs, tries }: Pick<DnsConfig, 'servers' | 'timeoutMs' | 'tries'>,
    onSilence: OnSilence,
    rests = true,
  ) {
    this.#rests = rests
    // Each try waits twice as long as the one before.
    const firstTryMs = Math.max(1, Math.floor(timeoutMs / (2 ** tries - 1)))
    this.#resolver = new dns.Resolver({ timeout: firstTryMs, tries, maxTimeout: timeoutMs })
    if (servers.length > 0) this.#resolver.setServers(servers)
    this.#timeoutMs = timeoutMs
    this.#onSilence = onSilence
  }

  /** A or AAAA records, as address texts. */
  addresses(name: string, family: 4 | 6): Promise<DnsAnswer> {
    return this.#ask(async () => {
      const found =
        family === 4
          ? await this.#resolver.resolve4(name, { ttl: true })
          : await this.#resolver.resolve6(name, { ttl: true })
      return {
        status: 'found',
        records: found.map(({ address }) => address),
        ttlSeconds: Math.min(...found.map(({ ttl }) => ttl)),
      }
    })
  }

  /** PTR records. Their time to live is not told. */
  pointers(name: string): Promise<DnsAnswer> {
    return this.#ask(async () => ({
      status: 'found',
      records: await this.#resolver.resolvePtr(name),
      ttlSeconds: Number.POSITIVE_INFINITY,
    }))
  }

  /**
   * Records of any type, as Node gives them.
   *
   * @throws with a code of c-ares: `ENOTFOUND` and `ENODATA` where there is none, `ETIMEOUT` where nobody said.
   */
  async records(name: string, type: string): Promise<unknown[]> {
    let found: unknown[] = []
    let failure: unknown
    const answer = await this.#ask(async () => {
      try {
        const records: unknown = await this.#resolver.resolve(name, type)
        found = Array.isArray(records) ? records : [records]
      } catch (error) {
        failure = error
        throw error
      }
      return { status: 'found', records: [], ttlSeconds: 0 }
    })
    if (answer.status === 'found') return found
    throw failure ?? Object.assign(new Error(`no answer for ${name}`), { code: 'ETIMEOUT' })
  }

  async #ask(question: () => Promise<DnsAnswer>): Promise<DnsAnswer> {
    if (this.#underWay >= limits.maxDnsQuestions || performance.now() < this.#pausedUntil) return unknown
    this.#underWay++
    const late = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => late.resolve('late'), this.#timeoutMs)
    try {
      const answer = await Promise.race([question(), late.promise])
      if (answer === 'late') return this.#silence()
      this.#answered()
      return answer
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? ''
      if (silent.has(code)) return this.#silence()
      this.#answered()
      return absent.has(code) ? none : unknown
    } finally {
      clearTimeout(timer)
      this.#underWay--
    }
  }

  /** Servers that say nothing are left alone for a while: waiting for each question anew would slow every client. */
  #silence(): DnsAnswer {
    this.#unanswered++
    if (this.#rests && this.#unanswered >= limits.maxUnansweredDnsQuestions) {
      if (this.#unanswered === limits.maxUnansweredDnsQuestions) this.#onSilence(true)
      this.#pausedUntil = performance.now() + limits.dnsPauseMs
    }
    return unknown
  }

  #answered(): void {
    if (this.#rests && this.#unanswered >= limits.maxUnansweredDnsQuestions) this.#onSilence(false)
    this.#unanswered = 0
    this.#pausedUntil = 0
  }
}
