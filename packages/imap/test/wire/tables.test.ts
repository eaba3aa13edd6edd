import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { encodeDateTime, parseDateTime, parseDay } from '../../src/wire/date-time.ts'
import { settableFlags } from '../../src/wire/flags.ts'
import { decodeMailboxName, encodeMailboxName, isCreatableName } from '../../src/wire/mailbox-name.ts'
import { matchesPattern } from '../../src/wire/mailbox-pattern.ts'
import { encodeAstring, encodeString, toWire } from '../../src/wire/response.ts'
import {
  encodeNumbers,
  exceeds,
  NumberRanges,
  parseSequenceSet,
  type SequenceSet,
} from '../../src/wire/sequence-set.ts'
import { Tokens } from '../../src/wire/tokens.ts'

test.for([
  ['INBOX', 'INBOX'],
  ['inbox', 'INBOX'],
  ['inBox/x', 'INBOX/x'],
  ['inboxes', 'inboxes'],
  ['&-', '&'],
  ['R&-D', 'R&D'],
  ['~peter/mail/&U,BTFw-/&ZeVnLIqe-', '~peter/mail/台北/日本語'],
  ['&2D3eAA-', '\u{1f600}'],
  ['&AOkA6A-', 'éè'],
  ['&AGUDAQ-', undefined], // an ASCII letter is encoded
  ['e&AwE-', 'é'], // NFC
  ['&AOk-&AOg-', undefined], // two runs touch
  ['&AOk-&-', 'é&'],
  ['&AOk', undefined],
  ['&AOl-', undefined], // spare bits
  ['&A-', undefined],
  ['&2D0-', undefined], // a lone surrogate
  ['&AAo-', undefined], // a control character
  ['caf\xe9', undefined],
  ['a\tb', undefined],
])('mailbox name %s is %s', ([text, name]) => {
  expect(decodeMailboxName(text ?? '')).toBe(name)
})

test('every name comes back as it was encoded', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), (text) => {
      const name = text.normalize('NFC')
      const encoded = encodeMailboxName(name)
      expect(encoded).toMatch(/^[\x20-\x7e]*$/)
      const decoded = decodeMailboxName(encoded)
      const isAllowed = !/[\p{Cc}\u2028\u2029]/u.test(name)
      expect(decoded).toBe(isAllowed ? name.replace(/^inbox(?=\/|$)/i, 'INBOX') : undefined)
    }),
  )
})

test('what may be created', () => {
  expect(isCreatableName('a/b')).toBe(true)
  for (const name of ['', 'a//b', '/a', '.', 'a/..', 'ü'.repeat(128)]) expect(isCreatableName(name)).toBe(false)
})

test.for([
  ['*', 'a/b', true],
  ['%', 'a/b', false],
  ['%', 'a', true],
  ['a/%', 'a/b', true],
  ['a/%', 'a/b/c', false],
  ['a/%/c', 'a/b/c', true],
  ['%/%', 'a/b', true],
  ['*b', 'a/b', true],
  ['a*c', 'abc/x/c', true],
  ['a%c', 'ab/c', false],
  ['%*', 'a/b', true],
  ['*%', 'a/b', true],
  ['', '', true],
  ['a', 'A', false],
  ['*a%b*', 'xxa/b', false],
  ['*a%b*', 'xxayb/z', true],
] as const)('pattern %s and %s: %s', ([pattern, name, expected]) => {
  expect(matchesPattern(pattern, name)).toBe(expected)
})

test('IM-12: wildcards without end cost their length and no more', () => {
  const name = 'a'.repeat(255)
  const start = process.threadCpuUsage()
  for (let times = 0; times < 50; times += 1) {
    expect(matchesPattern('*'.repeat(1000), name)).toBe(true)
    expect(matchesPattern(`${'*a'.repeat(40)}b`, name)).toBe(false)
    expect(matchesPattern(`${'%a'.repeat(120)}b`, name)).toBe(false)
  }
  // As long as a command may be, without the star that ends a run: quadratic time would be tens of seconds.
  expect(matchesPattern('%'.repeat(65_000), name)).toBe(true)
  expect(matchesPattern(`${'%'.repeat(65_000)}*`, name)).toBe(true)
  expect(process.threadCpuUsage(start).user).toBeLessThan(2_000_000)
})

test.for([
  ['1', 5, '1'],
  ['1:3,5', 5, '1:3,5'],
  ['3:1', 5, '1:3'],
  ['*', 5, '5'],
  ['4:*', 5, '4:5'],
  ['9:*', 5, '5:9'],
  ['*:9', 5, '5:9'],
  ['1,2,3,2:4', 5, '1:4'],
  ['*', 0, '0'],
] as const)('set %s in a mailbox up to %i is %s', ([text, largest, expected]) => {
  const set = parseSequenceSet(text, limits.maxSequenceRanges) ?? []
  const ranges = [...new NumberRanges(set, largest)]
  expect(ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}:${last}`)).join(',')).toBe(expected)
})

test('IM-09: a set of ten thousand ranges is read, one more is not', () => {
  const ranges = Array.from({ length: limits.maxSequenceRanges }, (_, index) => 2 * index + 1).join(',')
  const set = parseSequenceSet(ranges, limits.maxSequenceRanges) ?? []
  expect(set).toHaveLength(limits.maxSequenceRanges)
  expect(new NumberRanges(set, 1).has(19_999)).toBe(true)
  expect(new NumberRanges(set, 1).has(2)).toBe(false)
  expect(parseSequenceSet(`${ranges},1`, limits.maxSequenceRanges)).toBeUndefined()
})

function setOf(text: string): SequenceSet {
  return parseSequenceSet(text, 10) ?? []
}

test('numbers above the mailbox exceed it, stars do not', () => {
  expect(exceeds(setOf('1:3'), 3)).toBe(false)
  expect(exceeds(setOf('4'), 3)).toBe(true)
  expect(exceeds(setOf('2:4'), 3)).toBe(true)
  expect(exceeds(setOf('4:*'), 3)).toBe(true)
  expect(exceeds(setOf('*'), 0)).toBe(false)
  expect(exceeds(setOf('1:*'), 0)).toBe(false)
  expect(exceeds(setOf('1'), 0)).toBe(true)
})

test('numbers are told as the shortest set, and read back', () => {
  expect(encodeNumbers([1, 2, 3, 5, 7, 8])).toBe('1:3,5,7:8')
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (numbers) => {
      const sorted = numbers.toSorted((a, b) => a - b)
      const ranges = new NumberRanges(parseSequenceSet(encodeNumbers(sorted), 100) ?? [], 60)
      for (let number = 1; number <= 60; number += 1) expect(ranges.has(number)).toBe(sorted.includes(number))
    }),
  )
})

test.for([
  [' 7-Feb-1994 21:52:25 -0800', '1994-02-08T05:52:25.000Z'],
  ['07-feb-1994 21:52:25 +0000', '1994-02-07T21:52:25.000Z'],
  ['29-Feb-2024 00:00:00 +1400', '2024-02-28T10:00:00.000Z'],
  ['31-Dec-0099 23:59:59 +0000', '0099-12-31T23:59:59.000Z'],
  ['30-Feb-2024 00:00:00 +0000', undefined],
  ['7-Feb-1994 21:52:25 -0800', undefined],
  [' 7-Feb-1994 24:00:00 -0800', undefined],
  [' 7-Feb-1994 21:52:25', undefined],
  [' 7-Fev-1994 21:52:25 -0800', undefined],
  [' 0-Feb-1994 21:52:25 -0800', undefined],
])('date-time %s is %s', ([text, iso]) => {
  expect(parseDateTime(text ?? '')?.toISOString()).toBe(iso)
})

test('dates are told in UTC and read back', () => {
  expect(encodeDateTime(new Date('1996-07-07T09:44:25Z'))).toBe('" 7-Jul-1996 09:44:25 +0000"')
  const range = { min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T00:00:00Z'), noInvalidDate: true }
  fc.assert(
    fc.property(fc.date(range), (date) => {
      const seconds = Math.floor(date.getTime() / 1000) * 1000
      expect(parseDateTime(encodeDateTime(date).slice(1, -1))?.getTime()).toBe(seconds)
    }),
  )
  expect(parseDay('1-Jan-1970')).toBe(0)
  expect(parseDay('01-jan-1971')).toBe(365)
  expect(parseDay('1-Jan-70')).toBeUndefined()
})

test.for([
  ['plain', '"plain"'],
  ['', '""'],
  ['a"b\\c', '"a\\"b\\\\c"'],
  ['a\r\nb', '{4}\r\na\r\nb'],
  ['a\0b', '{3}\r\na\0b'],
  ['caf\xe9', '{4}\r\ncaf\xe9'],
  ['\t\x01\x7f', '"\t\x01\x7f"'],
])('string %j is written as %j', ([value, written]) => {
  expect(encodeString(value ?? '')).toBe(written)
})

test('IM-14: every string is read back as it was, quoted or literal', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 255 }), { maxLength: 40 }), (octets) => {
      const value = String.fromCharCode(...octets)
      for (const written of [encodeString(value), encodeAstring(value)]) {
        const tokens = new Tokens(written, limits)
        expect(tokens.astring()).toBe(value)
        expect(tokens.isAtEnd).toBe(true)
      }
    }),
  )
})

test('octets go out as octets', () => {
  expect(toWire('ascii')).toBe('ascii')
  expect(toWire('\xe9')).toEqual(Buffer.from([0xe9]))
})

test('Tokens: readers stay where they were when the grammar does not fit', () => {
  for (const text of ['"open', '"a\\x"', '{5}\r\nabc', '{3}\r\na\0b', '(a b', '(a,(b)', '4294967296', '"a\r\nb"']) {
    const tokens = new Tokens(text, limits)
    expect(tokens.string() ?? tokens.list(() => tokens.atom()) ?? tokens.number()).toBeUndefined()
    expect(tokens.at).toBe(0)
  }
})

test('spaces between elements, and inside of parentheses, are let through', () => {
  for (const text of ['(a b)', '(a  b)', '(  a b)', '(a b   )']) {
    const tokens = new Tokens(text, limits)
    expect(tokens.list(() => tokens.atom())).toEqual(['a', 'b'])
    expect(tokens.isAtEnd).toBe(true)
  }
})

test('a list has a bound', () => {
  const tokens = new Tokens(`(${'a '.repeat(5).trim()})`, { ...limits, maxListElements: 4 })
  expect(tokens.list(() => tokens.atom())).toBeUndefined()
})

test('flags are settled in the spelling that the mailbox uses', () => {
  expect(settableFlags(['\\Seen', '$JUNK', '$junk'], ['$Junk'], limits)).toEqual(['\\Seen', '$Junk'])
  expect(settableFlags(['\\*'], [], limits)).toBe('not-settable')
})
