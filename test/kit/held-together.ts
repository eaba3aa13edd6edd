import { isDeepStrictEqual } from 'node:util'
import type { Gateway, LogRecord } from './gateway.ts'

/** A supervisor that is silent for longer is a fault of its own. */
const maxRounds = 5

/**
 * A limit holds exactly over all workers while the supervisor answers them in time, a quarter of a second; a worker that
 * waits longer goes by its own counts, and says so. What was not as expected in such a time is tried again.
 *
 * @param count - with clients who were not there in another round.
 * @returns what was counted while all of them were together, or in the last round.
 */
export async function heldTogether<T>(gateway: Gateway, expected: T, count: (round: number) => Promise<T>): Promise<T> {
  for (let round = 0; ; round += 1) {
    const before = gateway.log.filter(isAway).length - gateway.log.filter(isBack).length
    const seen = gateway.log.length
    const found = await count(round)
    if (isDeepStrictEqual(found, expected) || round + 1 === maxRounds) return found
    await gateway.settleLog()
    const wasAlone = before > 0 || gateway.log.slice(seen).some(isAway)
    if (!wasAlone) return found
  }
}

const isAway = ({ event }: LogRecord): boolean => event === 'tally.away'
const isBack = ({ event }: LogRecord): boolean => event === 'tally.back'
