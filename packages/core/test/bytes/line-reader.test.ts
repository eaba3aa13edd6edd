import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { LineReader } from '@postern/core'

/** What the reader says of the input, cut at the given places. */
function events(input: Buffer, maxLineBytes: number, cuts: readonly number[] = []): string[] {
  const reader = new LineReader(maxLineBytes)
  const told: string[] = []
  const ends = [...new Set([...cuts, input.length])].filter((cut) => cut <= input.length).sort((a, b) => a - b)
  let start = 0
  for (const end of ends) {
    const chunk = Buffer.from(input.subarray(start, end))
    start = end
    reader.push(chunk)
    for (let event = reader.next(); event.kind !== 'more'; event = reader.next()) {
      told.push('bytes' in event ? `${event.kind} ${event.bytes.toString('latin1')}` : event.kind)
    }
    // The reader has said `more`: the chunk may be reused.
    chunk.fill(0x21)
  }
  return told
}

const text = (input: string): Buffer => Buffer.from(input, 'latin1')

describe('lines', () => {
  test.each<[name: string, input: string, told: readonly string[]]>([
    ['nothing', '', []],
    ['half a line', 'EHLO', []],
    ['a line', 'EHLO a\r\n', ['line EHLO a']],
    ['an empty line', '\r\n', ['line ']],
    ['two lines and a half', 'a\r\nb\r\nc', ['line a', 'line b']],
    ['LF alone ends nothing that could be trusted', 'a\nb\r\n', ['bare-lf a', 'line b']],
    ['LF alone at the start', '\nb\r\n', ['bare-lf ', 'line b']],
    ['CR alone inside', 'a\rb\r\n', ['bare-cr a\rb']],
    ['CR before CRLF', 'a\r\r\n', ['bare-cr a\r']],
    ['CR and LF apart', 'a\rb\nc\r\n', ['bare-lf a\rb', 'line c']],
    ['NUL and 8 bits are bytes like others', '\0\xff\r\n', ['line \0\xff']],
    ['a line as long as the bound', '12345678\r\n', ['line 12345678']],
    ['a line over the bound', '123456789\r\nnext\r\n', ['too-long', 'line next']],
    ['a line far over the bound', `${'x'.repeat(50)}\r\nnext\r\n`, ['too-long', 'line next']],
    ['two lines over the bound', `${'x'.repeat(50)}\r\n${'y'.repeat(50)}\nz\r\n`, ['too-long', 'too-long', 'line z']],
    ['no end at all', 'x'.repeat(50), ['too-long']],
  ])('%s', (_name, input, told) => {
    expect(events(text(input), 10)).toEqual(told)
    const everywhere = Array.from(input, (_, at) => at)
    expect(events(text(input), 10, everywhere)).toEqual(told)
  })

  test('any split of the input gives the same events', () => {
    const input = fc.string({ unit: fc.constantFrom('a', 'b', '\r', '\n', '\r\n'), maxLength: 60 })
    fc.assert(
      fc.property(
        input,
        fc.array(fc.nat({ max: 80 })),
        fc.integer({ min: 2, max: 20 }),
        (bytes, cuts, maxLineBytes) => {
          expect(events(text(bytes), maxLineBytes, cuts)).toEqual(events(text(bytes), maxLineBytes))
        },
      ),
      { numRuns: 2_000 },
    )
  })

  test('what waits for the end of a line never passes the bound', () => {
    const reader = new LineReader(10)
    for (let i = 0; i < 100; i++) {
      reader.push(text('xxxxxxx'))
      for (let event = reader.next(); event.kind !== 'more'; event = reader.next());
      expect(reader.pendingBytes).toBeLessThanOrEqual(10)
    }
  })
})

describe('raw bytes between lines', () => {
  test('are taken as they are, and lines go on behind them', () => {
    const reader = new LineReader(100)
    reader.push(text('a1 APPEND {6}\r\nab\r\ncd\r\nnext\r\n'))
    expect(reader.next()).toMatchObject({ kind: 'line' })
    expect(reader.take(4).toString('latin1')).toBe('ab\r\n')
    expect(reader.take(2).toString('latin1')).toBe('cd')
    expect(reader.pendingBytes).toBe(8)
    expect(reader.next()).toMatchObject({ kind: 'line', bytes: text('') })
    expect(reader.next()).toMatchObject({ kind: 'line', bytes: text('next') })
    expect(reader.next()).toEqual({ kind: 'more' })
    expect(reader.take(10)).toHaveLength(0)
  })

  test('are found after half a line was searched', () => {
    const reader = new LineReader(100)
    reader.push(text('abc'))
    expect(reader.next()).toEqual({ kind: 'more' })
    expect(reader.take(2).toString('latin1')).toBe('ab')
    reader.push(text('\nd\r\n'))
    expect(reader.next()).toEqual({ kind: 'bare-lf', bytes: text('c') })
    expect(reader.next()).toEqual({ kind: 'line', bytes: text('d') })
  })

  test('the bound may change between lines', () => {
    const reader = new LineReader(4)
    reader.push(text('12\r\n123456\r\n'))
    expect(reader.next()).toMatchObject({ kind: 'line' })
    reader.maxLineBytes = 8
    expect(reader.next()).toMatchObject({ kind: 'line' })
  })

  test('clear forgets all that came, also a line that was too long', () => {
    const reader = new LineReader(4)
    reader.push(text('123456'))
    expect(reader.next()).toEqual({ kind: 'too-long' })
    reader.clear()
    reader.push(text('78\r\n'))
    expect(reader.next()).toEqual({ kind: 'line', bytes: text('78') })
  })
})
