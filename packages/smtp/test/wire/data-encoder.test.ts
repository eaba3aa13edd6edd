import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DataEncoder, type Framing } from '../../src/wire/data-encoder.ts'
import { DataDecoder } from '../../src/wire/data.ts'
import { everyCut } from '../cuts.ts'

function encode(segments: readonly string[], framing: Framing = 'dots'): string {
  const encoder = new DataEncoder(framing)
  const out: string[] = []
  for (const segment of segments) {
    const bytes = Buffer.from(segment, 'latin1')
    out.push(encoder.encode(bytes).toString('latin1'))
    bytes.fill(0x21)
  }
  out.push(encoder.end().toString('latin1'))
  return out.join('')
}

/** What a message may hold that some server takes for its end, and how it leaves. */
test.each([
  ['nothing', '', '.\r\n'],
  ['lines', 'a\r\nb\r\n', 'a\r\nb\r\n.\r\n'],
  ['no line end at the end', 'a', 'a\r\n.\r\n'],
  ['a CR at the end', 'a\r', 'a\r\n.\r\n'],
  ['a dot first', '.', '..\r\n.\r\n'],
  ['two dots first', '..\r\n', '...\r\n.\r\n'],
  ['a dot line', 'a\r\n.\r\nb\r\n', 'a\r\n..\r\nb\r\n.\r\n'],
  ['a dot and more', 'a\r\n.b\r\n', 'a\r\n..b\r\n.\r\n'],
  ['a dot within a line', 'a.b\r\n', 'a.b\r\n.\r\n'],
  ['SM-03: LF . LF', 'a\n.\nb\r\n', 'a\r\n..\r\nb\r\n.\r\n'],
  ['SM-03: LF . CRLF', 'a\n.\r\nb\r\n', 'a\r\n..\r\nb\r\n.\r\n'],
  ['SM-03: CRLF . LF', 'a\r\n.\nb\r\n', 'a\r\n..\r\nb\r\n.\r\n'],
  ['SM-03: CRLF . CR CRLF', 'a\r\n.\r\r\nb\r\n', 'a\r\n.. \r\nb\r\n.\r\n'],
  ['SM-03: CR . CR', 'a\r.\rb\r\n', 'a . b\r\n.\r\n'],
  ['SM-03: CR . CRLF', 'a\r.\r\nb\r\n', 'a .\r\nb\r\n.\r\n'],
  ['SM-03: CRLF . CR', 'a\r\n.\rb\r\n', 'a\r\n.. b\r\n.\r\n'],
  ['SM-03: LF .. CRLF', 'a\n..\r\nb\r\n', 'a\r\n...\r\nb\r\n.\r\n'],
  ['SM-03: LF CR . CRLF', 'a\n\r.\r\n', 'a\r\n .\r\n.\r\n'],
])('%s, cut in any way', (_, text, sent) => {
  for (const segments of text.length < 2 ? [[text]] : everyCut(text)) expect(encode(segments)).toBe(sent)
})

test('in counted octets nothing is stuffed, and line ends are repaired all the same', () => {
  expect(encode(['.\r\n.a\nb\rc'], 'lines')).toBe('.\r\n.a\r\nb c\r\n')
})

test('binary octets are nobody’s business', () => {
  expect(encode(['.\r\n.a\nb\rc\0'], 'octets')).toBe('.\r\n.a\nb\rc\0')
})

test('clean content is handed on as it is', () => {
  const bytes = Buffer.from('hello\r\nworld\r\n')
  expect(new DataEncoder('dots').encode(bytes).buffer).toBe(bytes.buffer)
})

const content = fc.string({ unit: fc.constantFrom('\r', '\n', '.', '\r\n', 'a', '\0') })

test('whatever the content: no bare CR or LF, one end, at the end, and any cut gives the same', () => {
  fc.assert(
    fc.property(content, fc.nat(), (text, at) => {
      const cut = at % (text.length + 1)
      const sent = encode([text.slice(0, cut), text.slice(cut)])
      expect(sent).toBe(encode([text]))
      expect(sent.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
      expect(`\r\n${sent}`.indexOf('\r\n.\r\n')).toBe(sent.length - 3)
    }),
  )
})

test('a reader finds what was meant', () => {
  const lines = fc.array(fc.string({ unit: fc.constantFrom('.', 'a', ' ') }))
  fc.assert(
    fc.property(lines, (each) => {
      const text = each.map((line) => `${line}\r\n`).join('')
      const decoder = new DataDecoder()
      expect(decoder.decode(Buffer.from(encode([text]))).toString()).toBe(text)
      expect(decoder.isDone).toBe(true)
    }),
  )
})
