import { expect, test } from 'vitest'
import { bytes, count, duration, percent, rate } from '../../page/format.ts'

test.each([
  [0, '0'],
  [999, '999'],
  [1000, '1\u{202f}000'],
  [1_234_567, '1\u{202f}234\u{202f}567'],
])('count %d', (value, text) => {
  expect(count(value)).toBe(text)
})

test.each([
  [0, '0'],
  [0.34, '0.3'],
  [9.94, '9.9'],
  [9.96, '10'],
  [1240.4, '1\u{202f}240'],
])('rate %d', (value, text) => {
  expect(rate(value)).toBe(text)
})

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1_048_575, '1.0 MiB'],
  [12_900_000, '12 MiB'],
  [2 ** 60, '1024 PiB'],
])('bytes %d', (value, text) => {
  expect(bytes(value)).toBe(text)
})

test.each([
  [0, '0 s'],
  [59.6, '1 min'],
  [125, '2 min 5 s'],
  [3600, '1 h'],
  [3605, '1 h'],
  [90_061, '1 d 1 h'],
  [-3, '0 s'],
])('duration %d', (seconds, text) => {
  expect(duration(seconds)).toBe(text)
})

test('percent', () => {
  expect(percent(0.456)).toBe('46 %')
})
