/*
 * The name of a client: what the PTR record of its address says, confirmed by the addresses of that name (forward-
 * confirmed reverse DNS). Whoever owns an address block writes its PTR records and can write any name into them; only
 * the owner of the name can make it lead back. So an unconfirmed name is told as a claim, and nothing is granted by it.
 */
import { performance } from 'node:perf_hooks'
import { parseIpAddress, type Awaitable, type CidrSet, type ClientNames, type IpAddress } from '@postern/core'
import { limits } from '../limits.ts'
import { networks } from '../policy/networks.ts'
import { reverseName } from './reversed-labels.ts'
import type { DnsAnswer, DnsResolver } from './resolver.ts'

/** RFC 1123 section 2.1, and the underscore that some networks write. Anything else is no name, and reaches no log or header. */
const hostName = /^(?=.{1,253}$)[a-z\d_](?:[a-z\d_-]{0,61}[a-z\d_])?(?:\.[a-z\d_](?:[a-z\d_-]{0,61}[a-z\d_])?)*$/

/** Addresses that mean another machine everywhere, or this one: the DNS of the world has no name for them. */
const nameless: CidrSet = networks(['127.0.0.0/8', '::1', '0.0.0.0/8', '::', '169.254.0.0/16', 'fe80::/10'])

const noNames: ClientNames = Object.freeze({})
const unknownNames: ClientNames = Object.freeze({ isUnknown: true })

interface Kept {
  readonly names: ClientNames
  readonly until: number
}

/** Looks up names of clients, each address once for as long as its answer is kept. */
export class ClientNameLookup {
  readonly #resolver: Pick<DnsResolver, 'addresses' | 'pointers'>
  /** By address, the one kept for longest first. */
  readonly #kept = new Map<string, Kept>()
  readonly #underWay = new Map<string, Promise<ClientNames>>()
  readonly #now: () => number

  constructor(resolver: Pick<DnsResolver, 'addresses' | 'pointers'>, now: () => number = () => performance.now()) {
    this.#resolver = resolver
    this.#now = now
  }

  /** How many addresses something is kept of: never more than a bound. */
  get size(): number {
    return this.#kept.size
  }

  /** Begins at once, and never rejects. Whoever needs no name need not wait. */
  namesOf(address: IpAddress): Awaitable<ClientNames> {
    if (nameless.has(address)) return noNames
    const key = address.toString()
    const kept = this.#kept.get(key)
    if (kept !== undefined && kept.until > this.#now()) return kept.names
    const underWay = this.#underWay.get(key) ?? this.#lookUp(key, address)
    this.#underWay.set(key, underWay)
    return underWay
  }

  async #lookUp(key: string, address: IpAddress): Promise<ClientNames> {
    const { names, keepSeconds } = await this.#ask(address)
    this.#underWay.delete(key)
    this.#kept.delete(key)
    this.#kept.set(key, { names, until: this.#now() + keepSeconds * 1000 })
    if (this.#kept.size > limits.maxKeptClientNames) {
      const [oldest = ''] = this.#kept.keys()
      this.#kept.delete(oldest)
    }
    return names
  }

  async #ask(address: IpAddress): Promise<{ readonly names: ClientNames; readonly keepSeconds: number }> {
    const pointers = await this.#resolver.pointers(reverseName(address))
    if (pointers.status === 'unknown') return { names: unknownNames, keepSeconds: limits.keepUnknownNamesSeconds }
    const claims = pointers.status === 'found' ? hostNamesIn(pointers.records) : []
    const [claimed] = claims
    if (claimed === undefined) return { names: noNames, keepSeconds: limits.keepNoNamesSeconds }

    const answers = await Promise.all(claims.map((name) => this.#resolver.addresses(name, address.family)))
    const confirmed = answers.findIndex((answer) => leadsTo(answer, address))
    const verified = claims[confirmed]
    if (verified !== undefined) {
      return { names: Object.freeze({ verified, claimed: verified }), keepSeconds: keepFor(answers[confirmed]) }
    }
    return answers.some(({ status }) => status === 'unknown')
      ? { names: Object.freeze({ claimed, isUnknown: true }), keepSeconds: limits.keepUnknownNamesSeconds }
      : { names: Object.freeze({ claimed }), keepSeconds: limits.keepNoNamesSeconds }
  }
}

function hostNamesIn(records: readonly string[]): readonly string[] {
  return records
    .slice(0, limits.maxPointersLookedAt)
    .map((record) => record.toLowerCase().replace(/\.$/, ''))
    .filter((name) => hostName.test(name))
}

function leadsTo(answer: DnsAnswer, address: IpAddress): boolean {
  if (answer.status !== 'found') return false
  return answer.records.some((record) => parseIpAddress(record)?.equals(address) === true)
}

function keepFor(answer: DnsAnswer | undefined): number {
  const seconds = answer?.status === 'found' ? answer.ttlSeconds : 0
  return Math.min(limits.maxKeepNamesSeconds, Math.max(limits.minKeepNamesSeconds, seconds))
}
