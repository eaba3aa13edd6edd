/** One `seq-range`, ordered; `last` is infinite for `*`, which is whatever the largest number is. */
interface SequenceRange {
  readonly first: number
  readonly last: number
}

/** Numbers of messages or UIDs, as sent (RFC 3501 section 9, `sequence-set`). */
export type SequenceSet = readonly SequenceRange[]

/**
 * `sequence-set = (seq-number / seq-range) *("," sequence-set)`, `seq-number = nz-number / "*"`.
 *
 * @returns `undefined` for what the grammar does not allow: zero, leading zeros, more than 4294967295, empty elements.
 */
export function parseSequenceSet(text: string, maxRanges: number): SequenceSet | undefined {
  const ranges: SequenceRange[] = []
  let at = 0
  for (;;) {
    if (ranges.length === maxRanges) return undefined
    range.lastIndex = at
    const found = range.exec(text)
    if (found === null) return undefined
    const one = numberOf(found[1] ?? '')
    const other = found[2] === undefined ? one : numberOf(found[2])
    if (one === undefined || other === undefined) return undefined
    ranges.push({ first: Math.min(one, other), last: Math.max(one, other) })
    at = range.lastIndex
    if (at === text.length) return ranges
    if (text[at] !== ',') return undefined
    at += 1
  }
}

const range = /(\*|[1-9]\d{0,9})(?::(\*|[1-9]\d{0,9}))?/y

function numberOf(text: string): number | undefined {
  if (text === '*') return Infinity
  const value = Number(text)
  return value > 0xffff_ffff ? undefined : value
}

/** Sorted ranges that do not touch, with `*` replaced: what a set means in a mailbox whose largest number is `largest`. */
export class NumberRanges {
  readonly #bounds: readonly SequenceRange[]

  constructor(set: SequenceSet, largest: number) {
    // `7:*` with largest 5 is `5:7` (RFC 3501 section 9), so both ends are replaced before they are ordered again.
    const known = set
      .map(({ first, last }) => {
        const from = first === Infinity ? largest : first
        const to = last === Infinity ? largest : last
        return { first: Math.min(from, to), last: Math.max(from, to) }
      })
      .sort((a, b) => a.first - b.first)
    const merged: { first: number; last: number }[] = []
    for (const next of known) {
      const before = merged.at(-1)
      if (before !== undefined && next.first <= before.last + 1) before.last = Math.max(before.last, next.last)
      else merged.push({ ...next })
    }
    this.#bounds = merged
  }

  /** Ranges that are sorted and do not overlap. */
  static of(ranges: readonly SequenceRange[]): NumberRanges {
    return new NumberRanges(ranges, 0)
  }

  /** What is in both. The cost is that of the ranges, whatever they span. */
  and(other: NumberRanges): NumberRanges {
    const common: SequenceRange[] = []
    let at = 0
    for (const one of this.#bounds) {
      for (; at < other.#bounds.length; at += 1) {
        const another = other.#bounds[at]
        if (another === undefined || another.first > one.last) break
        const first = Math.max(one.first, another.first)
        const last = Math.min(one.last, another.last)
        if (first <= last) common.push({ first, last })
        // It may reach into the next one too.
        if (another.last > one.last) break
      }
    }
    return NumberRanges.of(common)
  }

  [Symbol.iterator](): Iterator<SequenceRange> {
    return this.#bounds[Symbol.iterator]()
  }

  has(value: number): boolean {
    let low = 0
    let high = this.#bounds.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#bounds[middle]?.last ?? Infinity) < value) low = middle + 1
      else high = middle
    }
    const candidate = this.#bounds[low]
    return candidate !== undefined && candidate.first <= value
  }
}

/** True when the set names a number above `largest` by itself: an error for sequence numbers, nothing for UIDs. */
export function exceeds(set: SequenceSet, largest: number): boolean {
  return set.some(
    ({ first, last }) =>
      (first !== Infinity && first > largest && !(largest === 0 && last === Infinity)) ||
      (last !== Infinity && last > largest),
  )
}

/** Ascending numbers as ranges. */
export function rangesOf(numbers: readonly number[]): NumberRanges {
  const ranges: { first: number; last: number }[] = []
  for (const number of numbers) {
    const before = ranges.at(-1)
    if (before !== undefined && number === before.last + 1) before.last = number
    else ranges.push({ first: number, last: number })
  }
  return NumberRanges.of(ranges)
}

/** `1,3:5` */
export function encodeRanges(ranges: NumberRanges): string {
  return Array.from(ranges, ({ first, last }) => (first === last ? `${first}` : `${first}:${last}`)).join(',')
}

/** Ascending numbers as the shortest set: `1,3:5`. For COPYUID and the like. */
export function encodeNumbers(numbers: readonly number[]): string {
  let text = ''
  for (let at = 0; at < numbers.length; at += 1) {
    const first = numbers[at] ?? 0
    let last = first
    while (numbers[at + 1] === last + 1) {
      last += 1
      at += 1
    }
    text += `${text === '' ? '' : ','}${first}${last === first ? '' : `:${last}`}`
  }
  return text
}
