import { describe, expect, test } from 'vitest'
import { parseChunkHeader } from '../../src/wire/bdat.ts'
import { parseMailParameters } from '../../src/wire/params.ts'

/** What Number() or parseInt() take for a number, and a decimal reader does not. */
const noNumbers = [
  '',
  ' 5',
  '+5',
  '-5',
  '-0',
  '5.0',
  '.5',
  '1e3',
  '0x10',
  '0b1',
  '0o7',
  '5abc',
  '5n',
  '1_000',
  '1,000',
  'Infinity',
  'NaN',
  '５',
  '٣',
  '5\u0000',
  '9'.repeat(400),
]

describe.each(noNumbers)('JS-03: %j is no number', (text) => {
  test('in SIZE', () => {
    expect(parseMailParameters(` SIZE=${text}`, () => true)).toMatchObject({ ok: false })
  })

  test('in BDAT', () => {
    expect(parseChunkHeader(text)).toMatchObject({ ok: false })
  })
})

test('JS-03: digits are one, as far as they are counted without loss', () => {
  expect(parseMailParameters(' SIZE=0005', () => true)).toMatchObject({ value: { declaredBytes: 5 } })
  expect(parseChunkHeader('0005')).toMatchObject({ value: { bytes: 5 } })
  expect(parseChunkHeader('9'.repeat(15))).toMatchObject({ value: { bytes: 999_999_999_999_999 } })
  expect(parseChunkHeader('9007199254740993')).toMatchObject({ ok: false })
})
