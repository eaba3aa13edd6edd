import fc from 'fast-check'
import { expect, test } from 'vitest'
import { printable } from '../../src/observe/text.ts'

const rows = [
  ['plain text', 'mx.example.org', 'mx.example.org'],
  ['a line end', 'a\r\nb', String.raw`a\x0d\x0ab`],
  ['an escape sequence', '\u001b[2J', String.raw`\x1b[2J`],
  ['a line separator', 'a\u2028b', String.raw`a\u2028b`],
  ['letters beyond ASCII', 'ü', String.raw`\xfc`],
  ['half a surrogate pair', '\ud800', String.raw`\ud800`],
  ['a long value', 'x'.repeat(300), `${'x'.repeat(256)}...`],
  ['a value that grows by escaping', '\n'.repeat(256), `${String.raw`\x0a`.repeat(64)}...`],
] as const

test.each(rows)('LG-01: %s', (_what, text, shown) => {
  expect(printable(text)).toBe(shown)
})

test('LG-01: whatever the text, what is shown is printable ASCII and bounded', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (text) => {
      expect(printable(text)).toMatch(/^[\x20-\x7e]{0,259}$/)
    }),
  )
})
