/*
 * The regular looks at all backends, made by the supervisor for the whole machine: one look, one line in the log when
 * something changed, one truth for all workers. Several good looks bring a backend back and several bad ones take it
 * away, so one lost packet does neither.
 */
import { formatBackendAddress, type BackendAddress } from '../config/backend-address.ts'
import type { UpstreamConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { BackendState } from './backend-group.ts'
import type { Look } from './look.ts'

export interface HealthCheckOptions {
  readonly look: (config: UpstreamConfig, address: BackendAddress) => Promise<Look>
  /** A backend came, went, or offers something else: the workers are to be told. */
  readonly onChange: (state: BackendState) => void
  readonly log: {
    upstreamUp(upstream: string, backend: string): void
    upstreamDown(upstream: string, backend: string, reason: string): void
  }
  readonly now?: () => number
}

export class HealthChecks {
  readonly #options: HealthCheckOptions
  readonly #watches = new Map<string, Watch>()

  constructor(options: HealthCheckOptions) {
    this.#options = options
  }

  /** Begins to look at these, and goes on with those among them that were looked at before; others are let go. */
  use(upstreams: readonly UpstreamConfig[]): void {
    const wanted = new Map<string, Watch>()
    for (const config of upstreams) {
      for (const { address } of config.backends) {
        const key = `${config.name}\0${formatBackendAddress(address)}`
        const watch = this.#watches.get(key) ?? new Watch(address, this.#options)
        watch.use(config)
        wanted.set(key, watch)
      }
    }
    for (const [key, watch] of this.#watches) if (!wanted.has(key)) watch.stop()
    this.#watches.clear()
    for (const [key, watch] of wanted) this.#watches.set(key, watch)
  }

  /** A worker met a failure: the next look is due now. */
  suspect(upstream: string, backend: string): void {
    this.#watches.get(`${upstream}\0${backend}`)?.hurry()
  }

  /** For a worker that has just begun. */
  get states(): readonly BackendState[] {
    return [...this.#watches.values()].map((watch) => watch.state)
  }

  stop(): void {
    for (const watch of this.#watches.values()) watch.stop()
  }
}

/** One backend. It counts as up until looks say otherwise: a gateway that starts must not refuse all mail. */
class Watch {
  readonly #address: BackendAddress
  readonly #options: HealthCheckOptions
  readonly #now: () => number
  #config!: UpstreamConfig
  #isUp = true
  #hasReturned = false
  #since: number
  #reason: string | undefined
  #offers: readonly string[] | undefined
  /** Looks in a row that contradict the state. */
  #contrary = 0
  #timer: NodeJS.Timeout | undefined
  #isLooking = false
  #lookedAt = -Infinity
  #isStopped = false

  constructor(address: BackendAddress, options: HealthCheckOptions) {
    this.#address = address
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#since = this.#now()
  }

  get state(): BackendState {
    return {
      upstream: this.#config.name,
      backend: formatBackendAddress(this.#address),
      isUp: this.#isUp,
      forMs: Math.round(this.#now() - this.#since),
      hasReturned: this.#hasReturned,
      ...(this.#isUp || this.#reason === undefined ? {} : { reason: this.#reason }),
      ...(this.#offers === undefined ? {} : { offers: this.#offers }),
    }
  }

  use(config: UpstreamConfig): void {
    this.#config = config
    clearTimeout(this.#timer)
    if (config.health.isChecked) {
      this.#schedule(0)
    } else if (!this.#isUp) {
      // Nobody would ever find that it is back.
      this.#change(true, undefined)
    }
  }

  hurry(): void {
    if (!this.#config.health.isChecked || this.#isLooking) return
    const sinceMs = this.#now() - this.#lookedAt
    const soonestMs = Math.min(this.#config.health.intervalMs, limits.hurriedLookMs)
    this.#schedule(Math.max(0, soonestMs - sinceMs))
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  #schedule(inMs: number): void {
    clearTimeout(this.#timer)
    if (this.#isStopped || this.#isLooking) return
    this.#timer = setTimeout(() => void this.#look(), inMs)
  }

  async #look(): Promise<void> {
    const config = this.#config
    this.#isLooking = true
    this.#lookedAt = this.#now()
    // A look that throws is a bug of ours, and still no reason to stop looking.
    const found = await this.#options
      .look(config, this.#address)
      .catch((error: unknown): Look => ({ ok: false, reason: String(error) }))
    this.#isLooking = false
    if (this.#isStopped || !this.#config.health.isChecked) return
    this.#judge(found)
    const { intervalMs } = this.#config.health
    const isSettled = this.#contrary === 0 && this.#isUp
    // What is down, or in doubt, is looked at more often: it shall come back, or be gone, soon.
    this.#schedule(isSettled ? intervalMs : Math.min(intervalMs, limits.hurriedLookMs))
  }

  #judge(found: Look): void {
    const { rise, fall } = this.#config.health
    if (!found.ok) this.#reason = found.reason
    const isNews = found.ok && found.offers.join('\n') !== this.#offers?.join('\n')
    if (found.ok) this.#offers = found.offers
    if (found.ok === this.#isUp) {
      this.#contrary = 0
      if (isNews) this.#options.onChange(this.state)
      return
    }
    this.#contrary++
    if (this.#contrary < (found.ok ? rise : fall)) return
    this.#change(found.ok, found.ok ? undefined : found.reason)
  }

  #change(isUp: boolean, reason: string | undefined): void {
    this.#isUp = isUp
    this.#reason = reason
    this.#contrary = 0
    this.#since = this.#now()
    this.#hasReturned ||= isUp
    const { upstream, backend } = this.state
    if (isUp) this.#options.log.upstreamUp(upstream, backend)
    else this.#options.log.upstreamDown(upstream, backend, reason ?? '')
    this.#options.onChange(this.state)
  }
}
