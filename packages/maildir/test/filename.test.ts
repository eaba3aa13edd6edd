import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  baseOf,
  flaggedName,
  lettersOf,
  pathOf,
  sizesIn,
  sortByArrival,
  sortLetters,
  UniqueNames,
} from '../src/filename.ts'

describe('names of message files', () => {
  test.each([
    ['base and flags', '1.M2P3Q4.host,S=5,W=6:2,FS', '1.M2P3Q4.host,S=5,W=6', 'FS'],
    ['no flags yet', '1.host', '1.host', ''],
    ['an empty list', '1.host:2,', '1.host', ''],
    ['flags in any order, some twice', '1.host:2,SSFTaR', '1.host', 'FRSTa'],
    ['300 flags', `1.host:2,${'S'.repeat(300)}`, '1.host', 'S'],
    ['other bytes among the flags', '1.host:2,S,\nF', '1.host', 'FS'],
    ['the other kind of information', '1.host:1,FS', '1.host', ''],
    ['a second colon', '1.host:x:2,FS', '1.host', ''],
  ])('MB-08: %s', (_, name, base, letters) => {
    expect(baseOf(name)).toBe(base)
    expect(lettersOf(name)).toBe(letters)
  })

  test.each([
    ['1.host,S=5,W=6', { raw: 5, crlf: 6 }],
    ['1.host,W=6', { raw: undefined, crlf: 6 }],
    ['1.host,S=', { raw: undefined, crlf: undefined }],
    ['1.host,S=-5', { raw: undefined, crlf: undefined }],
  ])('sizes in %j', (base, sizes) => {
    expect(sizesIn(base)).toEqual(sizes)
  })

  test('no name throws, and flags are read as they were written', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (name, letters) => {
        const sorted = sortLetters(letters)
        expect(lettersOf(flaggedName(baseOf(name), sorted))).toBe(sorted)
        expect(sortLetters(sorted)).toBe(sorted)
        expect(sizesIn(name)).toBeDefined()
      }),
    )
  })

  test.each([1, 2, 3, 100])('arrival orders by seconds, then by microseconds, %i names a turn', async (perTurn) => {
    const files = ['2.M1P1Q1.h', '1.M20P1Q1.h', '1.M3P1Q1.h', 'foreign', '10.M0P1Q1.h'].map((name) => ({ name }))
    const sorted = (await sortByArrival(files, perTurn)).map(({ name }) => name)
    expect(sorted).toEqual(['foreign', '1.M3P1Q1.h', '1.M20P1Q1.h', '2.M1P1Q1.h', '10.M0P1Q1.h'])
  })

  test('ST-08: names stay unique when the clock stands still or jumps back', () => {
    let clock = 1_700_000_000_000
    const names = new UniqueNames('mx.example.org', () => new Date(clock))
    const made = new Set<string>()
    for (let round = 0; round < 5_000; round++) {
      if (round % 1_000 === 999) clock -= 3_600_000
      made.add(names.next())
    }
    expect(made.size).toBe(5_000)
  })

  test('a host name cannot break out of a file name', () => {
    const name = new UniqueNames('../a:2,S/b', () => new Date(0)).next()
    expect(name).toMatch(/^0\.M0P\d+Q1_[0-9a-f]{16}\.\.\.-a-2-S-b$/)
    expect(new UniqueNames('h'.repeat(300), () => new Date(0)).next().length).toBeLessThan(130)
  })

  test('bytes that are not ASCII go to the file system as they are', () => {
    expect(pathOf('/é', 'a')).toBe('/é/a')
    expect(pathOf('/é', '\u00ff')).toEqual(Buffer.from([0x2f, 0xc3, 0xa9, 0x2f, 0xff]))
  })
})
