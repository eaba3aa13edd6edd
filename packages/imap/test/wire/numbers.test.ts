import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { parseSequenceSet } from '../../src/wire/sequence-set.ts'
import { Tokens } from '../../src/wire/tokens.ts'

/** What Number() or parseInt() take for a number, and RFC 3501 section 9 `number` does not. */
const noNumbers = [
  '',
  ' 5',
  '+5',
  '-5',
  '5.0',
  '.5',
  '1e3',
  '0x10',
  '5abc',
  '5n',
  '1_000',
  'Infinity',
  'NaN',
  '５',
  '٣',
  '5\u0000',
  '4294967296',
  '9007199254740993',
  '9'.repeat(400),
]

describe.each(noNumbers)('JS-03: %j is no number', (text) => {
  test('in a set', () => {
    expect(parseSequenceSet(text, limits.maxSequenceRanges)).toBeUndefined()
    expect(parseSequenceSet(`1:${text}`, limits.maxSequenceRanges)).toBeUndefined()
  })

  test('as an argument', () => {
    const tokens = new Tokens(text, limits)
    const value = tokens.number()
    // It may begin with one; then what is behind it is left for the next token, and the command is refused.
    expect(value === undefined || !tokens.isAtEnd).toBe(true)
  })
})

test('JS-03: the largest of 32 bits is one', () => {
  expect(parseSequenceSet('4294967295', limits.maxSequenceRanges)).toBeDefined()
  expect(new Tokens('4294967295', limits).number()).toBe(4_294_967_295)
})

test.each([
  ['0', 0],
  ['007', 7],
  ['4294967296', 4_294_967_296],
  ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ['9223372036854775807', Number.MAX_SAFE_INTEGER],
  ['9223372036854775808', undefined],
  ['9'.repeat(400), undefined],
  ['', undefined],
  ['-1', undefined],
  ['٣', undefined],
])('RFC 9051 section 9: %s octets', (text, octets) => {
  expect(new Tokens(text, limits).number64()).toBe(octets)
})
