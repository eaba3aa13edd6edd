import type { Refusal } from '@postern/gateway'

/** Newest first, each once: the events and the status may tell of the same. */
export function mergeRefusals(
  some: readonly Refusal[],
  others: readonly Refusal[],
  maxRefusals: number,
): readonly Refusal[] {
  const known = new Map(
    [...others, ...some].map((refusal) => [`${refusal.at} ${refusal.id} ${refusal.reason}`, refusal]),
  )
  return [...known.values()].toSorted((a, b) => b.at - a.at).slice(0, maxRefusals)
}
