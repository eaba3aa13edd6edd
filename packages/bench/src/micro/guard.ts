/*
 * Keeps the parser fast: the time that core takes for a v2 TCP4 header, as a multiple of the floor that is written by
 * hand, in the same process and the same rounds. Nanoseconds of different machines cannot be compared; this can.
 */
import { measureTogether, type Figure, type MeasureOptions } from './measure.ts'
import { parseCases, type ParseCase } from './parse.ts'

/**
 * The multiple that is still fast. Runs on a quiet and on a busy machine gave 0.9 to 2.1. An accident of the kind that is
 * feared (an object made for each header, a call that is no longer inlined, a property read that sees several shapes)
 * costs 20 ns and more, where the floor takes about 9.
 */
export const mostTimesFloor = 2.5

/** A slow parser is slow in each of them; a machine that is busy with something else is not. */
export const attempts = 5

export interface Verdict {
  readonly isFast: boolean
  /** Times the floor, of each attempt in order. The last decided. */
  readonly measured: readonly number[]
}

/** Measures until an attempt is within the bound, at most `attempts` times. */
export function judge(measure: () => number, bound: number): Verdict {
  const measured: number[] = []
  for (let attempt = 0; attempt < attempts; attempt++) {
    const times = measure()
    measured.push(times)
    if (times <= bound) return { isFast: true, measured }
  }
  return { isFast: false, measured }
}

/**
 * One attempt. The reader is measured with every kind of header, as in real life: a reader that has met one kind only is
 * compiled for that kind.
 */
export function measureTimesFloor(options: MeasureOptions): number {
  const cases = parseCases().filter(({ name }) => name === viewName || name.startsWith(floorName))
  return timesFloor(cases, measureTogether(cases, options))
}

const viewName = 'core: read to a view'
const floorName = 'floor: '

/** The ratio of the medians, in the group that has a floor. */
export function timesFloor(cases: readonly Pick<ParseCase, 'group' | 'name'>[], figures: readonly Figure[]): number {
  const floorAt = cases.findIndex(({ name }) => name.startsWith(floorName))
  const viewAt = cases.findIndex(({ group, name }) => group === cases[floorAt]?.group && name === viewName)
  const floor = figures[floorAt]
  const view = figures[viewAt]
  if (floor === undefined || view === undefined) throw new Error('there is no floor to hold the parser against')
  return view.ns.median / floor.ns.median
}
