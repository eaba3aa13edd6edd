import type { Refusal } from '@postern/gateway'

/** Newest first, each once: the events and the status may tell of the same. Of each reason so many, so that a flood of one hides no other. */
export function mergeRefusals(
  some: readonly Refusal[],
  others: readonly Refusal[],
  maxOfReason: number,
): readonly Refusal[] {
  const known = new Map(
    [...others, ...some].map((refusal) => [`${refusal.at} ${refusal.id} ${refusal.reason}`, refusal]),
  )
  const counts = new Map<string, number>()
  return [...known.values()]
    .toSorted((a, b) => b.at - a.at)
    .filter(({ reason }) => {
      const count = (counts.get(reason) ?? 0) + 1
      counts.set(reason, count)
      return count <= maxOfReason
    })
}
