import { count } from '../command.ts'
import type { ContestOptions } from '../scenarios/contest.ts'
import { onStderr } from './progress.ts'

/** What every command takes that has servers run beside each other. */
export const contestFlags = {
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  json: { type: 'boolean', short: 'j', default: false },
} as const

interface ContestValues {
  readonly quick: boolean
  readonly rounds?: string | undefined
  readonly seconds?: string | undefined
}

/** @param rounds - of a run that is not quick, unless the command line says otherwise. */
export function contestOptions({ quick, ...values }: ContestValues, rounds: number): ContestOptions {
  return {
    rounds: count('rounds', values.rounds ?? (quick ? '3' : String(rounds))),
    seconds: count('seconds', values.seconds ?? (quick ? '1' : '2')),
    warmupSeconds: 0.3,
    onProgress: onStderr(),
  }
}
