import type { TallyLimits } from './tally.ts'

/**
 * What each worker may let pass of one client without a word to the supervisor, so that all of them together stay within
 * half of each limit; the other half is given out by the supervisor, who asks the workers before it is used up.
 *
 * @returns `undefined` when a limit is too small to be shared among so many: then the supervisor is asked every time.
 */
export function shareOf({ rate, concurrent, isOverAtOnce }: TallyLimits, workers: number): TallyLimits | undefined {
  const part = (limit: number): number => Math.floor(limit / (2 * workers))
  if ((rate !== undefined && part(rate.count) === 0) || (concurrent !== undefined && part(concurrent) === 0)) {
    return undefined
  }
  return {
    ...(rate && { rate: { count: part(rate.count), perMs: rate.perMs } }),
    ...(concurrent !== undefined && { concurrent: part(concurrent) }),
    ...(isOverAtOnce && { isOverAtOnce }),
  }
}
