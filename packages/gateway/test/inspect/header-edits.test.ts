import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { editHeaderSection, endOfHeaderSection, headerField } from '../../src/inspect/header-edits.ts'
import { edited } from '../../src/inspect/inspected-delivery.ts'

const message = 'From: a@example.net\r\nSubject: hello\r\n there\r\nX-Spam: No\r\nx-spam : No\r\n\r\nSubject: body\r\n'

async function through(pieces: readonly Buffer[], edits: Parameters<typeof edited>[1]): Promise<string> {
  async function* source(): AsyncGenerator<Buffer> {
    for (const piece of pieces) yield await Promise.resolve(piece)
  }
  const out: Buffer[] = []
  for await (const piece of edited(source(), edits)) out.push(Buffer.from(piece))
  return Buffer.concat(out).toString()
}

describe('edits of a header section', () => {
  test.each<[string, Parameters<typeof edited>[1], string]>([
    ['fields on top', { onTop: ['A: b\r\n'], removed: new Set() }, `A: b\r\n${message}`],
    [
      'fields that go, however their names are written',
      { onTop: [], removed: new Set(['x-spam']) },
      'From: a@example.net\r\nSubject: hello\r\n there\r\n\r\nSubject: body\r\n',
    ],
    [
      'another Subject, folded lines and all',
      { onTop: [], removed: new Set(), subject: '*** hello' },
      'From: a@example.net\r\nSubject: *** hello\r\nX-Spam: No\r\nx-spam : No\r\n\r\nSubject: body\r\n',
    ],
  ])('%s', async (_, edits, expected) => {
    expect(await through([Buffer.from(message)], edits)).toBe(expected)
  })

  test('any split of the message gives the same', async () => {
    const edits = { onTop: ['A: b\r\n'], removed: new Set(['x-spam']), subject: 'new' }
    const whole = await through([Buffer.from(message)], edits)
    const bytes = [...Buffer.from(message)].map((byte) => Buffer.from([byte]))
    expect(await through(bytes, edits)).toBe(whole)
  })

  test('a message that is all header, without an empty line', async () => {
    const edits = { onTop: [], removed: new Set(['x']), subject: 's' }
    expect(await through([Buffer.from('X: 1\r\nY: 2\r\n')], edits)).toBe('Y: 2\r\nSubject: s\r\n')
  })

  test('without edits every octet stays, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const section = Buffer.from(bytes)
        expect(editHeaderSection(section, { onTop: [], removed: new Set() })).toEqual(section)
      }),
    )
  })
})

test('where a header section ends', () => {
  const rows: [string, number][] = [
    ['A: b\r\n\r\nbody', 6],
    ['\r\nbody', 0],
    ['A: b\r\n', -1],
    ['A: b\n\nbody', -1],
  ]
  for (const [text, end] of rows) expect(endOfHeaderSection(Buffer.from(text))).toBe(end)
})

describe('a field of another program', () => {
  test.each<[string, string, string, string | undefined]>([
    ['as it is', 'X-Spam', 'Yes, score=7', 'X-Spam: Yes, score=7\r\n'],
    ['folded where it was', 'X-Spam', 'Yes\n\tBAYES', 'X-Spam: Yes\r\n\tBAYES\r\n'],
    ['that tries to end the header', 'X-Spam', 'a\r\n\r\nbody', 'X-Spam: a\r\n\tbody\r\n'],
    ['that tries to be another', 'X-Spam', 'a\r\nFrom: b', 'X-Spam: a\r\n\tFrom: b\r\n'],
    ['with a name that is none', 'X Spam:', 'a', undefined],
    ['with a NUL', 'X-Spam', 'a\0b', undefined],
    ['that is too long', 'X-Spam', 'a'.repeat(10_000), undefined],
  ])('%s', (_, name, value, field) => {
    expect(headerField(name, value)).toBe(field)
  })
})
