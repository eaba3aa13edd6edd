import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatBytes, formatDuration, parseBytes, parseDuration, parseRate } from '../../src/config/units.ts'

describe('durations', () => {
  test.each([
    ['milliseconds', '100ms', 100],
    ['seconds', '30s', 30_000],
    ['minutes', '5m', 300_000],
    ['hours', '2h', 7_200_000],
    ['days', '1d', 86_400_000],
  ])('%s', (_, text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })
})

describe('sizes', () => {
  test.each([
    ['bytes', '512B', 512],
    ['kibibytes', '64KiB', 65_536],
    ['mebibytes', '25MiB', 26_214_400],
    ['gibibytes', '1GiB', 1_073_741_824],
  ])('%s', (_, text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })
})

describe('rates', () => {
  test.each([
    ['ten a minute', '10/1m', { count: 10, perMs: 60_000 }],
    ['a hundred in ten seconds', '100/10s', { count: 100, perMs: 10_000 }],
  ])('%s', (_, text, rate) => {
    expect(parseRate(text)).toEqual(rate)
  })
})

/** What a person or another program's habits may put there (JS-03: a decimal reader of our own, not Number()). */
const nonsense = [
  ['nothing', ''],
  ['zero, which is never a quantity', '0s'],
  ['zero with more zeros', '00s'],
  ['a leading zero', '030s'],
  ['a sign', '+30s'],
  ['a negative number', '-1s'],
  ['a fraction', '1.5s'],
  ['an exponent', '1e3s'],
  ['hexadecimal', '0x10s'],
  ['a space before the unit', '30 s'],
  ['space around', ' 30s'],
  ['no unit', '30'],
  ['no number', 's'],
  ['an unknown unit', '30x'],
  ['a unit in capitals', '30S'],
  ['a decimal unit', '25MB'],
  ['two quantities', '1m30s'],
  ['a line end behind', '30s\n'],
  ['full-width digits', '\uFF13\uFF10s'],
  ['more digits than a number holds', '99999999999999999999s'],
  ['a rate without a time', '10/'],
  ['a rate without a count', '/1m'],
  ['a rate of none', '0/1m'],
  ['a rate in no time', '10/0s'],
  ['a property of every object', 'constructor'],
] as const

test.each(nonsense)('%s is no quantity', (_, text) => {
  expect([parseDuration(text), parseBytes(text), parseRate(text)]).toEqual([undefined, undefined, undefined])
})

test('every whole number of milliseconds is written and read back as itself', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 86_400_000 }), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBe(ms)
    }),
  )
})

test('every whole number of bytes is written and read back as itself', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_073_741_824 }), (bytes) => {
      expect(parseBytes(formatBytes(bytes))).toBe(bytes)
    }),
  )
})

test('no text throws, and what is read is a positive whole number', () => {
  const pieces = fc.constantFrom('0', '1', '9', 'm', 's', 'h', 'd', 'K', 'M', 'i', 'B', '/', ' ')
  fc.assert(
    fc.property(fc.string({ unit: pieces }), (text) => {
      const values = [parseDuration(text), parseBytes(text), parseRate(text)?.perMs].filter(
        (value) => value !== undefined,
      )
      expect(values.filter((value) => !Number.isSafeInteger(value) || value <= 0)).toEqual([])
    }),
  )
})
