/*
 * Work on what is in memory that may take long: a mailbox of 100,000 messages takes half a second to be sorted or threaded,
 * and nobody else of the process would be answered meanwhile. So it is done in pieces, and whoever does it lets others have
 * the event loop between them. The algorithm itself knows of no event loop: it is a generator.
 */

/** Comes to a result by pieces. What it yields is how many steps a piece was: visits, comparisons, links. */
export type Work<T> = Generator<number, T, undefined>

/** Steps of one piece; some tens of microseconds. */
const stepsPerPiece = 256

/** Visits each of `items`. */
export function* forEach<T>(items: Iterable<T>, visit: (item: T) => void): Work<void> {
  let steps = 0
  for (const item of items) {
    visit(item)
    steps += 1
    if (steps % stepsPerPiece === 0) yield stepsPerPiece
  }
  yield steps % stepsPerPiece
}

/**
 * `items` in order: in place when they are few, and else in a list of their own, of runs that are merged by and by. What is
 * equal keeps its order.
 */
export function* sorted<T>(items: T[], compare: (one: T, other: T) => number): Work<T[]> {
  if (items.length <= stepsPerPiece) {
    if (items.length > 1) yield items.sort(compare).length
    return items
  }
  let runs: T[][] = []
  for (let from = 0; from < items.length; from += stepsPerPiece) {
    runs.push(items.slice(from, from + stepsPerPiece).sort(compare))
    // About as many comparisons as a run has bits for each item.
    yield stepsPerPiece * 8
  }
  while (runs.length > 1) {
    const longer: T[][] = []
    for (let at = 0; at < runs.length; at += 2) {
      const [one = [], other = []] = [runs[at], runs[at + 1]]
      longer.push(yield* merged(one, other, compare))
    }
    runs = longer
  }
  return runs[0] ?? items
}

function* merged<T>(one: readonly T[], other: readonly T[], compare: (one: T, other: T) => number): Work<T[]> {
  const all: T[] = []
  let at = 0
  for (const item of one) {
    for (let next = other[at]; next !== undefined && compare(next, item) < 0; next = other[at]) {
      all.push(next)
      at += 1
      if (all.length % stepsPerPiece === 0) yield stepsPerPiece
    }
    all.push(item)
    if (all.length % stepsPerPiece === 0) yield stepsPerPiece
  }
  for (; at < other.length; at += 1) {
    all.push(other[at] as T)
    if (all.length % stepsPerPiece === 0) yield stepsPerPiece
  }
  return all
}
