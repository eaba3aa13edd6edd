import type { PolicyConfig } from '../config/schema.ts'
import type { TallyAsked, ToWorker } from '../supervisor/messages.ts'
import { MachineTally } from './machine-tally.ts'
import { limitsOf, meters, type Meter } from './meters.ts'

/** The supervisor's tallies, one for each meter; those without a limit are asked nothing, and hold nothing. */
export class MachineMeters {
  readonly #tallies: ReadonlyMap<Meter, MachineTally>

  /** @param workers - among how many the limits are shared. */
  constructor(policy: PolicyConfig, workers: number, send: (worker: number, message: ToWorker) => void) {
    this.#tallies = new Map(
      meters.map((meter) => [
        meter,
        new MachineTally(limitsOf(meter, policy), workers, (worker, answer) =>
          send(worker, { type: 'tally', meter, ...answer }),
        ),
      ]),
    )
  }

  rebound(policy: PolicyConfig, workers: number): void {
    for (const [meter, tally] of this.#tallies) tally.rebound(limitsOf(meter, policy), workers)
  }

  /** The worker accepts connections from now on. */
  join(worker: number): void {
    for (const tally of this.#tallies.values()) tally.join(worker)
  }

  /** The worker is gone, and its connections with it. */
  leave(worker: number): void {
    for (const tally of this.#tallies.values()) tally.leave(worker)
  }

  receive(worker: number, meter: Meter, asked: TallyAsked): void {
    this.#tallies.get(meter)?.receive(worker, asked)
  }

  /** Called from time to time. */
  tidy(): void {
    for (const tally of this.#tallies.values()) tally.tidy()
  }
}
