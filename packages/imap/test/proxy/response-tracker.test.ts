import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CompressionWatch, ResponseTracker } from '../../src/proxy/response-tracker.ts'

/** Where responses end, as offsets behind their line ends. */
function boundaries(text: string, chunks: readonly string[] = text.split('')): readonly number[] {
  const tracker = new ResponseTracker()
  const found: number[] = []
  let at = 0
  for (const chunk of chunks) {
    tracker.feed(Buffer.from(chunk, 'latin1'))
    at += chunk.length
    if (tracker.isAtBoundary) found.push(at)
  }
  return found
}

describe('a response ends', () => {
  test.each([
    ['at its line end', ['* 1 EXISTS\r\n', 'a OK done\r\n']],
    ['at a bare line feed', ['* 1 EXISTS\n', 'a OK done\n']],
    ['behind its literals', ['* 1 FETCH (BODY[1] {4}\r\na\r\nb BODY[2] {0}\r\n FLAGS ())\r\n', 'a OK done\r\n']],
    ['behind a literal that looks like the end', ['* 1 FETCH (BODY[] {13}\r\na OK done\r\n\r\n)\r\n']],
    ['behind a literal8', ['* 1 FETCH (BINARY[1] ~{3}\r\n\0\r\n)\r\n']],
    ['behind a literal that does not wait', ['* LIST () "/" {3+}\r\na\r\n\r\n']],
    ['where braces are quoted', ['* LIST () "/" "{3}"\r\n', '* 2 EXISTS\r\n']],
    ['where braces are text for people', ['* OK for {3}\r\n', 'a NO {5}\r\n', '+ {7}\r\n', '* BYE {9}\r\n']],
    ['where an announcement is too long to be one', ['* X {12345678901234567890}\r\n', '* 2 EXISTS\r\n']],
  ])('%s', (_, responses) => {
    const ends = responses.map((_each, index) => responses.slice(0, index + 1).join('').length)
    expect(boundaries(responses.join(''))).toEqual(ends)
  })

  test.each([['{1099511627776}'], ['~{9223372036854775807}'], ['{9223372036854775807+}']])(
    'BK-09: not within a literal of 63 bits, whatever it looks like: %s',
    (announced) => {
      expect(boundaries(`* 1 FETCH (BODY[] ${announced}\r\na OK done\r\n* BYE\r\n`)).toEqual([])
    },
  )

  test('the same in any split', () => {
    const response = fc.oneof(
      fc.constantFrom('* 1 EXISTS\r\n', 'a OK {3}\r\n', '* OK\r\n', '\r\n'),
      fc
        .string({ maxLength: 40 })
        .map(
          (text) =>
            `* 1 FETCH (BODY[] {${Buffer.byteLength(text, 'latin1')}}\r\n${Buffer.from(text, 'latin1').toString('latin1')})\r\n`,
        ),
    )
    fc.assert(
      fc.property(fc.array(response), fc.array(fc.nat(30)), (responses, sizes) => {
        const text = responses.join('')
        const chunks: string[] = []
        for (let at = 0, turn = 0; at < text.length; turn += 1) {
          const size = 1 + (sizes[turn % Math.max(1, sizes.length)] ?? 100)
          chunks.push(text.slice(at, at + size))
          at += size
        }
        const ends: ReadonlySet<number> = new Set(
          responses.map((_, index) => responses.slice(0, index + 1).join('').length),
        )
        let at = 0
        const expected = chunks.map((chunk) => (at += chunk.length)).filter((end) => ends.has(end))
        expect(boundaries(text, chunks)).toEqual(expected)
      }),
    )
  })

  test('whatever comes, nothing is thrown', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (chunks) => {
        const tracker = new ResponseTracker()
        for (const chunk of chunks) expect(() => tracker.feed(Buffer.from(chunk))).not.toThrow()
      }),
    )
  })
})

test.each([
  ['* BYE logging out\r\n', true],
  ['* bye\r\n', true],
  ['* 1 FETCH (BODY[] {9}\r\n* BYE x\r\n)\r\n', false],
  ['* OK BYE\r\n', false],
  ['* BYELAW\r\n', false],
])('BYE is heard: %j', (text, isBye) => {
  const tracker = new ResponseTracker()
  for (const octet of text) tracker.feed(Buffer.from(octet, 'latin1'))
  expect(tracker.hasSaidBye).toBe(isBye)
})

describe('compression', () => {
  test.each([
    ['a COMPRESS DEFLATE\r\n', true],
    ['a compress deflate\r\n', true],
    ['a SELECT INBOX\r\n', false],
  ])('%j', (text, expected) => {
    for (let cut = 0; cut <= text.length; cut += 1) {
      const watch = new CompressionWatch()
      for (const part of [text.slice(0, cut), text.slice(cut)]) watch.feed(Buffer.from(part))
      expect(watch.mayBeCompressed).toBe(expected)
    }
    const watch = new CompressionWatch()
    for (const octet of text) watch.feed(Buffer.from(octet))
    expect(watch.mayBeCompressed).toBe(expected)
  })
})
