import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutAt, everyCut } from '../cuts.ts'
import { DataDecoder } from '../../src/wire/data.ts'

interface Decoded {
  readonly content: string
  readonly isDone: boolean
  readonly rest: string
  readonly oddNewlines: number
  readonly nuls: number
}

/** Feeds the chunks, each in a buffer that is spoiled afterwards, as a pump's read buffer is. */
function decode(chunks: readonly string[], dropsNuls = false): Decoded {
  const decoder = new DataDecoder('dots', dropsNuls)
  let content = ''
  let rest = ''
  for (const chunk of chunks) {
    if (decoder.isDone) {
      rest += chunk
      continue
    }
    const bytes = Buffer.from(chunk, 'latin1')
    content += decoder.decode(bytes).toString('latin1')
    rest += bytes.toString('latin1', decoder.consumed)
    bytes.fill(0x21)
  }
  return { content, isDone: decoder.isDone, rest, oddNewlines: decoder.oddNewlines, nuls: decoder.nuls }
}

/** Ends a line, holds a dot, ends another: none of these may end the data. `to`: what `normalize` makes of it. */
const fakes: readonly { readonly name: string; readonly bytes: string; readonly to: string; readonly odd: number }[] = [
  { name: 'LF . LF', bytes: '\n.\n', to: '\r\n.\r\n', odd: 2 },
  { name: 'LF . CRLF', bytes: '\n.\r\n', to: '\r\n.\r\n', odd: 1 },
  { name: 'CRLF . LF', bytes: '\r\n.\n', to: '\r\n\r\n', odd: 1 },
  { name: 'CRLF . CR CRLF', bytes: '\r\n.\r\r\n', to: '\r\n\r\n', odd: 1 },
  { name: 'CR . CR', bytes: '\r.\r', to: ' . ', odd: 2 },
  { name: 'CR . CRLF', bytes: '\r.\r\n', to: ' .\r\n', odd: 1 },
  { name: 'CRLF . CR', bytes: '\r\n.\r', to: '\r\n ', odd: 1 },
  { name: 'LF . CR', bytes: '\n.\r', to: '\r\n. ', odd: 2 },
  { name: 'CR . LF', bytes: '\r.\n', to: ' .\r\n', odd: 2 },
  { name: 'CR CRLF . CR CRLF', bytes: '\r\r\n.\r\r\n', to: '\r\n\r\n', odd: 2 },
  { name: 'LF CR . CRLF', bytes: '\n\r.\r\n', to: '\r\n .\r\n', odd: 2 },
  { name: 'LF .. CRLF', bytes: '\n..\r\n', to: '\r\n..\r\n', odd: 1 },
  { name: 'CRLF SP . CRLF', bytes: '\r\n .\r\n', to: '\r\n .\r\n', odd: 0 },
  { name: 'CRLF . SP CRLF', bytes: '\r\n. \r\n', to: '\r\n \r\n', odd: 0 },
  { name: 'CRLF TAB . CRLF', bytes: '\r\n\t.\r\n', to: '\r\n\t.\r\n', odd: 0 },
  { name: 'CRLF BS . CRLF', bytes: '\r\n\b.\r\n', to: '\r\n\b.\r\n', odd: 0 },
  { name: 'VT . VT', bytes: '\v.\v', to: '\v.\v', odd: 0 },
  { name: 'FF . FF', bytes: '\f.\f', to: '\f.\f', odd: 0 },
  { name: 'NEL . NEL', bytes: '\u0085.\u0085', to: '\u0085.\u0085', odd: 0 },
  {
    name: 'LS . LS in UTF-8',
    bytes: '\u00e2\u0080\u00a8.\u00e2\u0080\u00a8',
    to: '\u00e2\u0080\u00a8.\u00e2\u0080\u00a8',
    odd: 0,
  },
  { name: 'CRLF NUL . CRLF', bytes: '\r\n\0.\r\n', to: '\r\n\0.\r\n', odd: 0 },
  { name: 'CRLF . NUL CRLF', bytes: '\r\n.\0\r\n', to: '\r\n\0\r\n', odd: 0 },
  { name: 'CRLF .. CRLF', bytes: '\r\n..\r\n', to: '\r\n.\r\n', odd: 0 },
]

describe('SM-01, SM-02: only CRLF.CRLF ends the data', () => {
  test.each(fakes)('$name, whole, byte by byte and cut anywhere', ({ bytes, to, odd }) => {
    const inner = `MAIL FROM:<evil@example.net>\r\n`
    for (const chunks of everyCut(`body${bytes}${inner}.\r\nQUIT\r\n`)) {
      expect(decode(chunks)).toEqual({
        content: `body${to}${inner}`,
        isDone: true,
        rest: 'QUIT\r\n',
        oddNewlines: odd,
        nuls: bytes.split('\0').length - 1,
      })
    }
  })

  // The CRLF that ended the DATA command is the first of the sequence, and no LF stands in for it.
  test.each([
    ['. LF', '.\n', '\r\n', 1],
    ['. CR CRLF', '.\r\r\n', '\r\n', 1],
    ['. CR', '.\r', ' ', 1],
    ['LF . CRLF', '\n.\r\n', '\r\n.\r\n', 1],
    ['.. CRLF', '..\r\n', '.\r\n', 0],
    ['.text CRLF', '.text\r\n', 'text\r\n', 0],
  ])('%s as the first line', (_, bytes, to, odd) => {
    for (const chunks of everyCut(`${bytes}x\r\n.\r\n`)) {
      expect(decode(chunks)).toMatchObject({ content: `${to}x\r\n`, isDone: true, rest: '', oddNewlines: odd })
    }
  })

  test('CR CRLF . CRLF ends it: a true CRLF stands before the dot, as every other reader finds it', () => {
    for (const chunks of everyCut('x\r\r\n.\r\nQUIT\r\n')) {
      expect(decode(chunks)).toMatchObject({ content: 'x\r\n', isDone: true, rest: 'QUIT\r\n', oddNewlines: 1 })
    }
  })

  test.each(fakes)('$name, where NULs are left out: no end of data is made of what is left', ({ bytes, to }) => {
    for (const chunks of everyCut(`body${bytes}z\r\n.\r\nQUIT\r\n`)) {
      expect(decode(chunks, true)).toMatchObject({
        content: `body${to.replaceAll('\0', '')}z\r\n`,
        isDone: true,
        rest: 'QUIT\r\n',
        nuls: bytes.split('\0').length - 1,
      })
    }
  })

  test.each([
    ['between CR and LF', 'a\r\0\nb', 'a \r\nb', 2],
    ['between two line ends', 'a\r\n\0\r\nb', 'a\r\n\r\nb', 0],
    ['many of them', `a${'\0'.repeat(9)}b`, 'ab', 0],
  ])('a NUL %s, left out', (_, bytes, content, odd) => {
    for (const chunks of everyCut(`${bytes}\r\n.\r\n`)) {
      expect(decode(chunks, true)).toMatchObject({ content: `${content}\r\n`, isDone: true, oddNewlines: odd })
    }
  })
})

describe('SM-06: dots', () => {
  test('an empty message', () => {
    for (const chunks of everyCut('.\r\n'))
      expect(decode(chunks)).toMatchObject({ content: '', isDone: true, rest: '' })
  })

  test('the end split over five segments, a dot as the first byte of a segment', () => {
    expect(decode(['a', '\r', '\n', '.', '\r', '\n', 'x'])).toMatchObject({ content: 'a\r\n', isDone: true, rest: 'x' })
    expect(decode(['a\r\n', '..b\r\n', '.\r\n'])).toMatchObject({ content: 'a\r\n.b\r\n', isDone: true })
  })

  test('200,000 stuffed dots', () => {
    const { content, isDone } = decode([`${'..\r\n'.repeat(200_000)}.\r\n`])
    expect(isDone).toBe(true)
    expect(content === '.\r\n'.repeat(200_000)).toBe(true)
  })

  test('clean data is a view of what was received, not a copy', () => {
    const bytes = Buffer.from('one\r\ntwo\r\n.\r\n')
    const content = new DataDecoder().decode(bytes)
    expect(content.buffer === bytes.buffer && content.byteOffset === bytes.byteOffset).toBe(true)
    expect(content.toString()).toBe('one\r\ntwo\r\n')
  })

  test('a million CRs become spaces and are not hoarded', () => {
    const decoder = new DataDecoder()
    let bytes = 0
    for (let index = 0; index < 16; index++) bytes += decoder.decode(Buffer.alloc(65_536, '\r')).length
    expect(bytes).toBe(16 * 65_536 - 1)
    expect(decoder.decode(Buffer.from('\n.\r\n')).toString()).toBe('\r\n')
    expect(decoder.isDone).toBe(true)
  })
})

describe('properties', () => {
  const hostile = fc.array(fc.constantFrom('\r', '\n', '.', '\r\n', '\r\n.', 'a', '\0', '\t', '\u0085', 'text '), {
    maxLength: 40,
  })
  const cuts = fc.array(fc.nat(400), { maxLength: 12 })

  test('any split of the input gives the same content and the same end', () => {
    fc.assert(
      fc.property(hostile, cuts, fc.boolean(), (parts, at, dropsNuls) => {
        const text = `${parts.join('')}\r\n.\r\nrest`
        expect(decode(cutAt(text, at), dropsNuls)).toEqual(decode([text], dropsNuls))
      }),
      { numRuns: 2_000 },
    )
  })

  test('content has no bare CR and no bare LF, and no NUL where these are left out', () => {
    fc.assert(
      fc.property(hostile, cuts, fc.boolean(), (parts, at, dropsNuls) => {
        const { content } = decode(cutAt(`${parts.join('')}\r\n.\r\n`, at), dropsNuls)
        expect(dropsNuls && content.includes('\0')).toBe(false)
        expect(content.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
      }),
      { numRuns: 2_000 },
    )
  })

  test('what a client stuffs comes out as it was', () => {
    const lines = fc.array(fc.array(fc.constantFrom('.', 'a', ' ', '\u00e9'), { maxLength: 6 }), { maxLength: 12 })
    fc.assert(
      fc.property(lines, cuts, (parts, at) => {
        const message = parts.map((line) => `${line.join('')}\r\n`).join('')
        const stuffed = parts.map((line) => `${line[0] === '.' ? '.' : ''}${line.join('')}\r\n`).join('')
        expect(decode(cutAt(`${stuffed}.\r\n`, at))).toMatchObject({ content: message, isDone: true, oddNewlines: 0 })
      }),
      { numRuns: 1_000 },
    )
  })

  test('where it begins in memory makes no difference', () => {
    const text = 'The quick brown fox\r\njumps over\nthe lazy\rdog\r\n..\r\n.\r\n'
    for (let offset = 0; offset < 8; offset++) {
      const bytes = Buffer.from(`${' '.repeat(offset)}${text}`).subarray(offset)
      expect(new DataDecoder().decode(bytes).toString()).toBe(decode([text]).content)
    }
  })
})
