/** Runs one piece of work after the other, in order of asking: the queue of this process before a lock file. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()
  #unfinished = 0

  /** Nobody is at work, and nobody waits. */
  get isIdle(): boolean {
    return this.#unfinished === 0
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    this.#unfinished += 1
    const turn = this.#last.then(work, work).finally(() => {
      this.#unfinished -= 1
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

/** Lets other connections have the event loop between two pieces of a long piece of work. */
export const yieldTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Visits all of `items`; after each `perTurn` of them others have the event loop. */
export async function inTurns<T>(items: Iterable<T>, perTurn: number, visit: (item: T) => void): Promise<void> {
  let left = perTurn
  for (const item of items) {
    visit(item)
    left -= 1
    if (left > 0) continue
    await yieldTurn()
    left = perTurn
  }
}

/** `items` in order. Sorted and merged by and by, so that others have the event loop after each `perTurn` of them. */
export async function sortInTurns<T>(
  items: readonly T[],
  perTurn: number,
  compare: (one: T, other: T) => number,
): Promise<readonly T[]> {
  let runs: (readonly T[])[] = []
  for (let from = 0; from < items.length; from += perTurn) {
    if (from > 0) await yieldTurn()
    runs.push(items.slice(from, from + perTurn).sort(compare))
  }
  while (runs.length > 1) {
    const longer: (readonly T[])[] = []
    for (let at = 0; at < runs.length; at += 2) {
      const merged: T[] = []
      await inTurns(merging(runs[at] ?? [], runs[at + 1] ?? [], compare), perTurn, (item) => merged.push(item))
      longer.push(merged)
    }
    runs = longer
  }
  return runs[0] ?? []
}

/** Two sequences in order as one. */
function* merging<T>(
  first: readonly T[],
  second: readonly T[],
  compare: (one: T, other: T) => number,
): Generator<T, void> {
  let at = 0
  for (const item of first) {
    for (let other = second[at]; other !== undefined && compare(other, item) < 0; other = second[at]) {
      yield other
      at += 1
    }
    yield item
  }
  for (; at < second.length; at += 1) yield second[at]!
}
