import type { Awaitable } from '@postern/core'
import type { Fleet } from './fleet.ts'
import type { Meter } from './meters.ts'
import type { Tally, TallyAttempt, TallyLimits, TallyVerdict } from './tally.ts'

/**
 * A tally whose rate holds for the fleet. What the machine's own tally refuses costs no question; and while the fleet's
 * server says nothing, the machine's word stands. Ceilings stay the machine's: a count of what is open would outlive a
 * machine that dies.
 */
export class FleetTally implements Tally {
  readonly #machine: Tally
  readonly #fleet: Pick<Fleet, 'count'>
  readonly #meter: Meter
  readonly #limits: TallyLimits

  constructor(machine: Tally, fleet: Pick<Fleet, 'count'>, meter: Meter, limits: TallyLimits) {
    this.#machine = machine
    this.#fleet = fleet
    this.#meter = meter
    this.#limits = limits
  }

  opened(key: string, attempt: TallyAttempt = 'first'): Awaitable<TallyVerdict> {
    const own = this.#machine.opened(key, attempt)
    const { rate } = this.#limits
    // Who asks again was counted the first time.
    if (rate === undefined || attempt === 'again') return own
    return this.#decide(key, own, rate)
  }

  closed(key: string): void {
    this.#machine.closed(key)
  }

  async #decide(
    key: string,
    own: Awaitable<TallyVerdict>,
    rate: NonNullable<TallyLimits['rate']>,
  ): Promise<TallyVerdict> {
    const verdict = await own
    if (verdict === 'rate') return verdict
    const fleet = await this.#fleet.count(this.#meter, rate, key)
    if (fleet !== 'over') return verdict
    if (verdict === 'pass' && this.#limits.isOverAtOnce !== true) this.#machine.closed(key)
    return 'rate'
  }
}
