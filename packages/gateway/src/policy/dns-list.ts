/*
 * A list of addresses in the DNS (RFC 5782). Two things go wrong with such lists, and both have taken mail down: a list
 * that was given up answers nothing, or, once its domain is parked, answers everything. So each list is examined by the
 * entries that every list must have and must not have (section 5), and is asked about clients only while both are right.
 */
import { parseIpAddress, type Awaitable, type CidrSet, type IpAddress } from '@postern/core'
import { reversedLabels } from '../dns/reversed-labels.ts'
import type { DnsAnswer, DnsResolver } from '../dns/resolver.ts'
import { limits } from '../limits.ts'
import { networks } from './networks.ts'

/** What a list says of an address. `unknown`: it did not say, or cannot be believed. */
export type ListVerdict =
  | { readonly status: 'listed'; readonly answer: string }
  | { readonly status: 'not-listed' }
  | { readonly status: 'unknown' }

/** Why a list is not used. */
export type ListTrouble = 'silent' | 'lists-nobody' | 'lists-everybody' | 'refuses-us'

export interface DnsListOptions {
  readonly zone: string
  /** Answers that count as listed. */
  readonly answers: readonly string[]
  readonly resolver: Pick<DnsResolver, 'addresses'>
  /** Told when the list can no longer be used, and when it can be again (`undefined`). */
  readonly onTrouble: (trouble: ListTrouble | undefined, family: 4 | 6) => void
  /** Told what was said of each client, and whether the DNS was asked for it. */
  readonly onVerdict?: (status: ListVerdict['status'], source: 'dns' | 'cache' | 'paused') => void
  /** Milliseconds, from any moment on. */
  readonly now?: () => number
}

/** RFC 5782 section 5, in the spelling of a question: the entry that must be there, and the one that must not. */
const testPoints = {
  4: { listed: '2.0.0.127', notListed: '1.0.0.127' },
  6: {
    listed: `2.0.0.0.0.0.f.7.f.f.f.f.${'0.'.repeat(20).slice(0, -1)}`,
    notListed: `1.0.0.0.0.0.f.7.f.f.f.f.${'0.'.repeat(20).slice(0, -1)}`,
  },
} as const

/** Lists answer so when they take no questions from us: too many, from an open resolver, or without a key. */
const refusals: CidrSet = networks(['127.255.255.0/24'])

/** An answer elsewhere was never meant as one: a parked domain, a provider that answers for names that do not exist. */
const meaningful: CidrSet = networks(['127.0.0.0/8'])

const notListed: ListVerdict = { status: 'not-listed' }
const unknown: ListVerdict = { status: 'unknown' }

interface Kept {
  readonly verdict: ListVerdict
  readonly until: number
}

interface Examination {
  /** Resolves with what is wrong with the list. */
  readonly found: Promise<ListTrouble | undefined>
  /** What it found, once it is known: then nobody waits. */
  result?: { readonly trouble: ListTrouble | undefined }
  until: number
}

export class DnsList {
  readonly zone: string
  readonly #answers: CidrSet
  readonly #resolver: Pick<DnsResolver, 'addresses'>
  readonly #onTrouble: DnsListOptions['onTrouble']
  readonly #onVerdict: NonNullable<DnsListOptions['onVerdict']>
  readonly #now: () => number
  /** By address, the one kept for longest first. */
  readonly #kept = new Map<string, Kept>()
  readonly #underWay = new Map<string, Promise<ListVerdict>>()
  readonly #examinations = new Map<4 | 6, Examination>()
  readonly #troubles = new Map<4 | 6, ListTrouble>()

  constructor({ zone, answers, resolver, onTrouble, onVerdict, now = () => performance.now() }: DnsListOptions) {
    this.zone = zone
    this.#answers = networks(answers)
    this.#resolver = resolver
    this.#onTrouble = onTrouble
    this.#onVerdict = onVerdict ?? (() => {})
    this.#now = now
  }

  /** How many addresses something is kept of: never more than a bound. */
  get size(): number {
    return this.#kept.size
  }

  /** Never rejects, and takes no longer than two questions. */
  verdictOn(address: IpAddress): Awaitable<ListVerdict> {
    const { family } = address
    const { result } = this.#examination(family)
    if (result?.trouble !== undefined) {
      this.#onVerdict('unknown', 'paused')
      return unknown
    }
    const key = address.toString()
    const kept = this.#kept.get(key)
    if (result !== undefined && kept !== undefined && kept.until > this.#now()) {
      this.#onVerdict(kept.verdict.status, 'cache')
      return kept.verdict
    }
    const underWay = this.#underWay.get(key) ?? this.#ask(key, address)
    this.#underWay.set(key, underWay)
    return underWay
  }

  /** At the first client of a family, and again from time to time; only the first one waits for it. */
  #examination(family: 4 | 6): Examination {
    const known = this.#examinations.get(family)
    if (known !== undefined && known.until > this.#now()) return known
    const examination: Examination = {
      found: this.#examine(family),
      until: this.#now() + limits.dnsListSoundMs,
      // Until the new one is over, the list counts as what it was.
      ...(known?.result && { result: known.result }),
    }
    this.#examinations.set(family, examination)
    void this.#conclude(examination, family)
    return examination
  }

  async #conclude(examination: Examination, family: 4 | 6): Promise<void> {
    this.#judgeList(examination, family, await examination.found)
  }

  #judgeList(examination: Examination, family: 4 | 6, trouble: ListTrouble | undefined): void {
    examination.result = { trouble }
    if (trouble !== undefined) examination.until = this.#now() + limits.dnsListTroubleMs
    if (this.#troubles.get(family) === trouble) return
    if (trouble === undefined) this.#troubles.delete(family)
    else this.#troubles.set(family, trouble)
    this.#onTrouble(trouble, family)
  }

  async #examine(family: 4 | 6): Promise<ListTrouble | undefined> {
    const points = testPoints[family]
    const [listed, other] = await Promise.all(
      [points.listed, points.notListed].map((labels) => this.#resolver.addresses(`${labels}.${this.zone}`, 4)),
    )
    if (listed === undefined || other === undefined) return 'silent'
    if (refusesUs(listed) || refusesUs(other)) return 'refuses-us'
    if (other.status === 'found') return 'lists-everybody'
    if (listed.status === 'unknown' || other.status === 'unknown') return 'silent'
    return listed.status === 'found' ? undefined : 'lists-nobody'
  }

  async #ask(key: string, address: IpAddress): Promise<ListVerdict> {
    const examination = this.#examination(address.family)
    const question = this.#resolver.addresses(`${reversedLabels(address)}.${this.zone}`, 4)
    const [answer, trouble] = await Promise.all([question, examination.result?.trouble ?? examination.found])
    this.#underWay.delete(key)
    // It began to refuse us since it was looked at: it is paused, and the operator told, without waiting for the next look.
    if (refusesUs(answer)) this.#judgeList(this.#examination(address.family), address.family, 'refuses-us')
    const { verdict, keepSeconds } = this.#judge(answer)
    this.#kept.delete(key)
    this.#kept.set(key, { verdict, until: this.#now() + keepSeconds * 1000 })
    if (this.#kept.size > limits.maxKeptListings) {
      const [oldest = ''] = this.#kept.keys()
      this.#kept.delete(oldest)
    }
    const said = trouble === undefined ? verdict : unknown
    this.#onVerdict(said.status, 'dns')
    return said
  }

  #judge(answer: DnsAnswer): { readonly verdict: ListVerdict; readonly keepSeconds: number } {
    if (answer.status === 'unknown' || refusesUs(answer)) {
      return { verdict: unknown, keepSeconds: limits.keepUnknownListingSeconds }
    }
    const records = answer.status === 'found' ? answer.records : []
    const found = records.find((record) => {
      const address = parseIpAddress(record)
      return address !== undefined && meaningful.has(address) && this.#answers.has(address)
    })
    if (found === undefined) return { verdict: notListed, keepSeconds: limits.keepNotListedSeconds }
    const seconds = answer.status === 'found' ? answer.ttlSeconds : 0
    const keepSeconds = Math.min(limits.maxKeepListedSeconds, Math.max(limits.minKeepListedSeconds, seconds))
    return { verdict: { status: 'listed', answer: found }, keepSeconds }
  }
}

function refusesUs(answer: DnsAnswer): boolean {
  if (answer.status !== 'found') return false
  return answer.records.some((record) => {
    const address = parseIpAddress(record)
    return address !== undefined && refusals.has(address)
  })
}
