import { expect, test, vi } from 'vitest'
import { attempts, judge, measureTimesFloor, timesFloor } from '../../src/micro/guard.ts'
import type { Figure } from '../../src/micro/measure.ts'

const figure = (median: number): Figure => ({ name: '', ns: { median, min: 1, max: 1_000 }, bytes: 0 })

test('the first attempt within the bound decides', () => {
  const measure = vi.fn<() => number>().mockReturnValueOnce(2.6).mockReturnValueOnce(2.5)
  expect(judge(measure, 2.5)).toEqual({ isFast: true, measured: [2.6, 2.5] })
})

test('over the bound in every attempt is slow', () => {
  const verdict = judge(() => 2.51, 2.5)
  expect(verdict.isFast).toBe(false)
  expect(verdict.measured).toHaveLength(attempts)
})

test('the ratio is of the medians, within the group that has a floor', () => {
  const cases = [
    { group: 'v1', name: 'core: read to a view' },
    { group: 'v2', name: 'core: read to a view' },
    { group: 'v2', name: 'floor: by hand' },
  ]
  expect(timesFloor(cases, [figure(90), figure(15), figure(10)])).toBe(1.5)
  expect(() => timesFloor(cases.slice(0, 2), [figure(90), figure(15)])).toThrow('no floor')
})

test('the rows of the benchmark hold a parser and its floor', () => {
  expect(measureTimesFloor({ rounds: 1, roundMs: 1 })).toBeGreaterThan(0)
})
