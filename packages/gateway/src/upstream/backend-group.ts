/*
 * The backends of one upstream as one worker knows them: which are up by the supervisor's word, which failed us just now,
 * how many connections each has, and who comes next.
 *
 * Two judges. The supervisor looks at each backend regularly and tells all workers; its `down` holds until it says `up`. A
 * worker that meets failures itself leaves a backend alone for a moment, which grows with each further failure; then one
 * connection tries it, and the others follow when that one succeeds. So a backend that dies between two looks costs few
 * clients a delay, and one that flaps is not stormed. Where nothing better is left, what failed a moment ago is tried all
 * the same: a wrong guess must not refuse mail. What is down by a look is not.
 */
import { formatBackendAddress, type BackendAddress } from '../config/backend-address.ts'
import type { BackendConfig, UpstreamConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { byConnections, byKey, rotate, type Member } from './balance.ts'

/** What the supervisor knows of a backend. Plain data: it crosses between processes. */
export interface BackendState {
  readonly upstream: string
  readonly backend: string
  readonly isUp: boolean
  /** How long it has been so; clocks of processes differ, spans do not. */
  readonly forMs: number
  /** It was down before: it is warming up. */
  readonly hasReturned: boolean
  /** Why it is down. */
  readonly reason?: string
  /** What it offered at the last good look: keywords with their parameters, as in `SIZE 1000`. */
  readonly offers?: readonly string[]
}

export class Backend implements Member {
  readonly name: string
  readonly address: BackendAddress
  readonly seat: string
  readonly weight: number
  readonly isBackup: boolean
  connections = 0
  turn = 0
  isUp = true
  /** When it came back; absent when it was never away. */
  returnedAt: number | undefined
  reason: string | undefined
  offers: readonly string[] | undefined
  /** Failures in a row that this worker met. */
  failures = 0
  /** Left alone until then. */
  avoidedUntil = 0
  /** One connection tries it; until then, at most, the others wait for what comes of it. */
  triedUntil = 0

  constructor({ address, weight, isBackup }: BackendConfig, seat: string) {
    this.name = formatBackendAddress(address)
    this.address = address
    this.seat = seat
    this.weight = weight
    this.isBackup = isBackup
  }
}

export interface GroupListeners {
  /** This worker met a failure: the supervisor may look at once. */
  readonly onSuspicion: (backend: string) => void
  /** From here on the backend is left alone, or no longer. */
  readonly onAvoided: (backend: string, forMs: number, detail: string) => void
  /** A connection to a backend came to something, or did not. */
  readonly onOutcome?: (outcome: 'opened' | 'reused' | 'failed') => void
}

export class BackendGroup {
  readonly #config: Pick<UpstreamConfig, 'balance' | 'maxConnections' | 'slowStartMs' | 'health'>
  readonly #backends: readonly Backend[]
  readonly #byName: ReadonlyMap<string, Backend>
  readonly #listeners: GroupListeners
  readonly #now: () => number
  /** Counts changes of who is up and what they offer. */
  changes = 0

  constructor(
    config: Pick<UpstreamConfig, 'backends' | 'balance' | 'maxConnections' | 'slowStartMs' | 'health'>,
    listeners: GroupListeners,
    now: () => number = () => performance.now(),
  ) {
    this.#config = config
    const seats = seatsOf(config.backends)
    this.#backends = config.backends.map((backend, index) => new Backend(backend, seats[index]!))
    this.#byName = new Map(this.#backends.map((backend) => [backend.name, backend]))
    this.#listeners = listeners
    this.#now = now
  }

  get all(): readonly Backend[] {
    return this.#backends
  }

  /** Not one backend is up. */
  get isDown(): boolean {
    return this.#backends.every(({ isUp }) => !isUp)
  }

  /** Why nobody could be tried now, for the operator. */
  get trouble(): string {
    const reasons = this.#backends.map((backend) => {
      if (!backend.isUp) return `${backend.name} is down: ${backend.reason ?? 'no reason is known'}`
      return this.#isFull(backend) ? `${backend.name} has max-connections` : `${backend.name} failed`
    })
    return reasons.join('; ')
  }

  receive({ backend: name, isUp, forMs, hasReturned, reason, offers }: BackendState): void {
    const backend = this.#byName.get(name)
    if (backend === undefined) return
    this.changes++
    backend.isUp = isUp
    backend.reason = reason
    if (offers !== undefined) backend.offers = offers
    backend.returnedAt = isUp && hasReturned ? this.#now() - forMs : undefined
    if (isUp && hasReturned && forMs < limits.backendNewsMs) {
      // It was looked at a moment ago and is well: what this worker met before no longer counts.
      backend.failures = 0
      backend.avoidedUntil = 0
    }
  }

  /**
   * The backends to try, best first. The next one is judged when it is asked for, by what is known then.
   *
   * @param key - whom `hash-user` goes by (`userKey`).
   */
  *candidates(key: string): Iterable<Backend> {
    const tried = new Set<Backend>()
    for (const group of this.#order(key)) {
      for (const backend of group) {
        if (tried.has(backend) || !backend.isUp || this.#isFull(backend)) continue
        tried.add(backend)
        if (backend.failures >= this.#config.health.fall) backend.triedUntil = this.#now() + limits.backendTrialMs
        yield backend
      }
    }
  }

  connecting(name: string): void {
    const backend = this.#byName.get(name)
    if (backend !== undefined) backend.connections++
  }

  gone(name: string): void {
    const backend = this.#byName.get(name)
    if (backend !== undefined) backend.connections--
  }

  /** It answers. */
  succeeded(name: string, offers?: readonly string[]): void {
    const backend = this.#byName.get(name)
    if (backend === undefined) return
    this.#listeners.onOutcome?.('opened')
    if (backend.failures >= this.#config.health.fall) this.#listeners.onAvoided(name, 0, '')
    backend.failures = 0
    backend.avoidedUntil = 0
    backend.triedUntil = 0
    if (offers === undefined || offers.join('\n') === backend.offers?.join('\n')) return
    this.changes++
    backend.offers = offers
  }

  /** It takes another message on a connection that was kept. */
  reused(): void {
    this.#listeners.onOutcome?.('reused')
  }

  /**
   * What the backends that are up offer, as far as it is known; of those that are down, what was known, when no other is
   * left.
   */
  get offers(): readonly (readonly string[])[] {
    const up = this.#backends.filter(({ isUp }) => isUp)
    return (up.length > 0 ? up : this.#backends).flatMap(({ offers }) => (offers === undefined ? [] : [offers]))
  }

  /** What each of them offers by itself; nothing where it is not known. */
  get offersOfEach(): readonly (readonly string[] | undefined)[] {
    const up = this.#backends.filter(({ isUp }) => isUp)
    return (up.length > 0 ? up : this.#backends).map(({ offers }) => offers)
  }

  /** It could not be reached, or not be spoken with. */
  failed(name: string, detail: string): void {
    const backend = this.#byName.get(name)
    if (backend === undefined) return
    this.#listeners.onOutcome?.('failed')
    backend.failures++
    backend.triedUntil = 0
    this.#listeners.onSuspicion(name)
    const beyond = backend.failures - this.#config.health.fall
    if (beyond < 0) return
    const forMs = Math.min(limits.firstAvoidanceMs * 2 ** Math.min(beyond, 16), limits.maxAvoidanceMs)
    backend.avoidedUntil = this.#now() + forMs
    this.#listeners.onAvoided(name, forMs, detail)
  }

  /** Groups of backends, to be tried one group after the other. */
  *#order(key: string): Iterable<readonly Backend[]> {
    const isSound = (backend: Backend): boolean => this.#isSound(backend)
    const up = this.#backends.filter(({ isUp }) => isUp)
    yield this.#sort(
      up.filter((backend) => !backend.isBackup && isSound(backend)),
      key,
    )
    yield this.#sort(
      up.filter((backend) => backend.isBackup && isSound(backend)),
      key,
    )
    // Those that failed a moment ago, the one that was left alone for longest first.
    yield up.toSorted((a, b) => a.avoidedUntil - b.avoidedUntil)
  }

  #sort(backends: readonly Backend[], key: string): readonly Backend[] {
    const shareOf = (backend: Backend): number => this.#shareOf(backend)
    if (this.#config.balance === 'hash-user') return byKey(backends, key)
    return (this.#config.balance === 'round-robin' ? rotate : byConnections)(backends, shareOf)
  }

  /** While it warms up, a backend's weight grows from a hundredth to the whole. */
  #shareOf({ weight, returnedAt }: Backend): number {
    const { slowStartMs } = this.#config
    if (returnedAt === undefined || slowStartMs === 0) return weight
    const grown = (this.#now() - returnedAt) / slowStartMs
    return weight * Math.min(1, Math.max(0.01, grown))
  }

  #isSound({ failures, avoidedUntil, triedUntil }: Backend): boolean {
    if (failures < this.#config.health.fall) return true
    const now = this.#now()
    return now >= avoidedUntil && now >= triedUntil
  }

  #isFull({ connections }: Backend): boolean {
    const { maxConnections } = this.#config
    return maxConnections !== 'unlimited' && connections >= maxConnections
  }
}

/**
 * The backends of an LMTP and of an IMAP upstream differ in their ports though they are the same machines, and a user must
 * come to one machine by both. So the host counts, and among several on one host the order in which they stand.
 */
function seatsOf(backends: readonly BackendConfig[]): readonly string[] {
  const met = new Map<string, number>()
  return backends.map(({ name, address }) => {
    const seat = name ?? ('path' in address ? address.path : address.host)
    const before = met.get(seat) ?? 0
    met.set(seat, before + 1)
    return before === 0 ? seat : `${seat} ${before + 1}`
  })
}
