import { expect, test } from 'vitest'
import { percentile, spread } from '../src/spread.ts'

test.each<[name: string, values: readonly number[], expected: readonly [median: number, min: number, max: number]]>([
  ['one', [7], [7, 7, 7]],
  ['an odd count, in no order', [30, 10, 20], [20, 10, 30]],
  ['an even count: the upper of the middle two', [4, 1, 3, 2], [3, 1, 4]],
  ['by number, not by text', [9, 10, 100], [10, 9, 100]],
])('a spread: %s', (_name, values, [median, min, max]) => {
  expect(spread(values)).toEqual({ median, min, max })
})

test.each<[share: number, expected: number]>([
  [0, 1],
  [0.01, 1],
  [0.5, 50],
  [0.501, 51],
  [0.99, 99],
  [1, 100],
])('of the numbers 1 to 100, the percentile %d is %d', (share, expected) => {
  const downwards = Array.from({ length: 100 }, (_, i) => 100 - i)
  expect(percentile(downwards, share)).toBe(expected)
})

test('the last percentile of a few values is the largest', () => {
  expect(percentile([5, 1, 3], 0.99)).toBe(5)
})
