import type { Tier } from './matrix.ts'

/** How much is run: `npm test` and `npm run faults` the least; `npm run faults -- nightly` and `-- release` more. */
export const tier: Tier = tierOf(process.env['POSTERN_FAULTS'])

function tierOf(word: string | undefined): Tier {
  if (word === undefined || word === '' || word === 'change') return 'change'
  if (word === 'nightly' || word === 'release') return word
  throw new Error(`POSTERN_FAULTS is change, nightly or release, and not ${word}`)
}

/** Rounds, clients, kills: one number for each tier. */
export function perTier<Value = number>(count: Readonly<Record<Tier, Value>>): Value {
  return count[tier]
}
