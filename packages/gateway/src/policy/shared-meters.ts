import type { PolicyConfig } from '../config/schema.ts'
import type { TallyAnswered, ToSupervisor } from '../supervisor/messages.ts'
import { FleetTally } from './fleet-tally.ts'
import type { Fleet } from './fleet.ts'
import { isLimited, limitsOf, meters, type Meter } from './meters.ts'
import { SharedTally } from './shared-tally.ts'
import type { Tally } from './tally.ts'

/** Tallies by meter; absent where nothing is limited. */
export interface Meters {
  tally(meter: Meter): Tally | undefined
}

/** A worker's tallies, one for each meter that has a limit. */
export class SharedMeters implements Meters {
  readonly #tallies: ReadonlyMap<Meter, SharedTally>
  #away = 0

  /**
   * @param workers - among how many the limits are shared.
   * @param send - to the supervisor.
   * @param onAway - told when the supervisor falls silent, and when it is back.
   */
  constructor(
    policy: PolicyConfig,
    workers: number,
    send: (message: ToSupervisor) => void,
    onAway: (isAway: boolean) => void,
  ) {
    const tellAway = (isAway: boolean): void => {
      this.#away += isAway ? 1 : -1
      // Told once, however many meters wait for the same supervisor.
      if (this.#away === (isAway ? 1 : 0)) onAway(isAway)
    }
    this.#tallies = new Map(
      meters.flatMap((meter) => {
        const bounds = limitsOf(meter, policy)
        if (!isLimited(bounds)) return []
        return [
          [meter, new SharedTally(bounds, workers, (asked) => send({ type: 'tally', meter, ...asked }), tellAway)],
        ]
      }),
    )
  }

  tally(meter: Meter): Tally | undefined {
    return this.#tallies.get(meter)
  }

  /** What the supervisor says of a meter; a meter that a reload took away is nobody's any more. */
  receive(meter: Meter, answered: TallyAnswered): void {
    this.#tallies.get(meter)?.receive(answered)
  }
}

/** The tallies of the machine, with rates that hold for the fleet. */
export function fleetMeters(machine: Meters, fleet: Pick<Fleet, 'count'>, policy: PolicyConfig): Meters {
  return {
    tally(meter) {
      const tally = machine.tally(meter)
      const bounds = limitsOf(meter, policy)
      // A question to the fleet's server for each command would make every command as slow as that.
      const isOfMachine = bounds.rate === undefined || meter === 'client-commands'
      return tally === undefined || isOfMachine ? tally : new FleetTally(tally, fleet, meter, bounds)
    },
  }
}
