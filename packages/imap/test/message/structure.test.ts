import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { parseEnvelope } from '../../src/message/envelope.ts'
import { MessageReader } from '../../src/message/message-reader.ts'
import { StructureScanner, type Part } from '../../src/message/structure.ts'
import { findInBody } from '../../src/message/text-search.ts'
import { encodeBody, encodeEnvelope } from '../../src/wire/structure.ts'
import { bombs } from './bombs.ts'

function scan(text: string, sizes: readonly number[] = []): Part {
  const scanner = new StructureScanner(limits)
  const bytes = Buffer.from(text, 'latin1')
  let at = 0
  for (const size of [...sizes, bytes.length]) {
    scanner.push(Buffer.from(bytes.subarray(at, at + size)))
    at = Math.min(bytes.length, at + size)
  }
  return scanner.end(bytes.length)
}

/** `type[header|body]lines(children)`, so that a table can be read. */
function shape(part: Part, text: string): string {
  const { type, subtype } = part.fields
  const inside = part.message === undefined ? part.children : [part.message]
  const body = inside.length > 0 ? '' : JSON.stringify(text.slice(part.bodyStart, part.bodyEnd))
  return `${type}/${subtype} ${body}${inside.length === 0 ? ` ${part.lines}` : `(${inside.map((child) => shape(child, text)).join(', ')})`}`
}

const multipart = 'Content-Type: multipart/mixed; boundary=b\r\n\r\n'

const rows = [
  ['no header field', '\r\nhello\r\n', 'text/plain "hello\\r\\n" 1'],
  ['nothing at all', '', 'text/plain "" 0'],
  ['no body', 'A: b\r\n', 'text/plain "" 0'],
  [
    'two parts',
    `${multipart}pre\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\ntwo\r\n\r\n--b--\r\nepi`,
    'multipart/mixed (text/plain "one" 0, text/html "two\\r\\n" 1)',
  ],
  ['an end without a line end', `${multipart}--b\r\n\r\none\r\n--b--`, 'multipart/mixed (text/plain "one" 0)'],
  ['no end', `${multipart}--b\r\n\r\none\r\n`, 'multipart/mixed (text/plain "one\\r\\n" 1)'],
  ['blanks behind the delimiter', `${multipart}--b  \r\n\r\none\r\n--b-- \r\n`, 'multipart/mixed (text/plain "one" 0)'],
  ['no delimiter ever', `${multipart}text\r\n`, 'multipart/mixed (text/plain "" 0)'],
  ['no boundary', 'Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n', 'multipart/mixed (text/plain "" 0)'],
  ['an empty part', `${multipart}--b\r\n\r\n--b--\r\n`, 'multipart/mixed (text/plain "" 0)'],
  [
    'a header that runs into a delimiter',
    `${multipart}--b\r\nContent-Type: text/html\r\n--b\r\n\r\nx\r\n--b--\r\n`,
    'multipart/mixed (text/html "" 0, text/plain "x" 0)',
  ],
  ['a part of no octets', `${multipart}--b\r\n--b--\r\n`, 'multipart/mixed (text/plain "" 0)'],
  [
    'nested, the inner one not ended',
    `${multipart}--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n`,
    'multipart/mixed (multipart/alternative (text/plain "x" 0), text/plain "y" 0)',
  ],
  [
    'one boundary begins like the other',
    `${multipart}--b\r\nContent-Type: multipart/alternative; boundary=bc\r\n\r\n--bc\r\n\r\nx\r\n--bc--\r\n--b\r\n\r\ny\r\n--b--\r\n`,
    'multipart/mixed (multipart/alternative (text/plain "x" 0), text/plain "y" 0)',
  ],
  [
    'the outer one is the longer',
    'Content-Type: multipart/mixed; boundary=bc\r\n\r\n--bc\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--bc--\r\n',
    'multipart/mixed (multipart/alternative (text/plain "x" 0))',
  ],
  [
    'a digest',
    'Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\nin\r\n--b--\r\n',
    'multipart/digest (message/rfc822 (text/plain "in" 0))',
  ],
  [
    'a message in a message',
    `${multipart}--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nin\r\n--b--\r\n`,
    'multipart/mixed (message/rfc822 (text/plain "in" 0))',
  ],
  [
    'a message without its header',
    `${multipart}--b\r\nContent-Type: message/rfc822\r\n\r\n--b--\r\n`,
    'multipart/mixed (message/rfc822 (text/plain "" 0))',
  ],
  ['a message at the very end', 'Content-Type: message/rfc822\r\n', 'message/rfc822 (text/plain "" 0)'],
  ['a type that is none', 'Content-Type: nonsense\r\n\r\nx', 'text/plain "x" 0'],
  [
    'bare LF',
    'Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n',
    'multipart/mixed (text/plain "one" 0)',
  ],
  [
    'dashes that delimit nothing',
    `${multipart}--b\r\n\r\n--\r\n---\r\n--x\r\n--b--\r\n`,
    'multipart/mixed (text/plain "--\\r\\n---\\r\\n--x" 2)',
  ],
  [
    'a property of the language as a boundary',
    'Content-Type: multipart/mixed; boundary=__proto__\r\n\r\n--__proto__\r\n\r\nx\r\n--__proto__--',
    'multipart/mixed (text/plain "x" 0)',
  ],
] as const

test.for(rows)('%s', ([, text, expected]) => {
  expect(shape(scan(text), text)).toBe(expected)
})

test.for(rows)('cut anywhere: %s', ([, text, expected]) => {
  expect(shape(scan(text, Array(text.length).fill(1)), text)).toBe(expected)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 40 }), (sizes) => {
      expect(shape(scan(text, sizes), text)).toBe(expected)
    }),
    { numRuns: 30 },
  )
})

test('any octets give a tree whose parts lie inside the message', () => {
  const words = fc.constantFrom(
    '--b',
    '--b--',
    '\r\n',
    '\n',
    'Content-Type: multipart/mixed; boundary=b',
    'Content-Type: message/rfc822',
    'x',
    ':',
    '"',
    '(',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(words, fc.string({ maxLength: 3 })), { maxLength: 60 }), (pieces) => {
      const text = `Content-Type: multipart/mixed; boundary=b\r\n\r\n${pieces.join('')}`
      const waiting: Part[] = [scan(text)]
      for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
        expect(part.headerStart).toBeLessThanOrEqual(part.bodyStart)
        expect(part.bodyStart).toBeLessThanOrEqual(part.bodyEnd)
        for (const child of part.message === undefined ? part.children : [part.message]) {
          expect(child.headerStart).toBeGreaterThanOrEqual(part.bodyStart)
          expect(child.bodyEnd).toBeLessThanOrEqual(part.bodyEnd)
          waiting.push(child)
        }
      }
    }),
  )
})

function readerOf(text: string): MessageReader {
  const bytes = Buffer.from(text, 'latin1')
  return new MessageReader(
    {
      bytes: bytes.length,
      read: async (offset, length) => Buffer.from(bytes.subarray(offset, offset + length)),
      close: async () => {},
    },
    limits,
    () => {},
  )
}

test.for(bombs)('%s is told and searched in bounded time', async ([, text]) => {
  const message = text()
  const before = process.cpuUsage()
  const reader = readerOf(message)
  const envelope = encodeEnvelope(parseEnvelope((await reader.header()).text, { left: limits.maxAddresses }))
  const structure = encodeBody(await reader.structure(), true)
  await findInBody(reader, { body: new Set(['nowhere to be found']), text: new Set(['nor here']) })
  // Of this process alone, however busy the machine; what this guards against takes minutes or the stack.
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1000).toBeLessThan(3_000)
  for (const response of [envelope, structure]) expect(response).toMatch(/^\([^]*\)$/)
  for (const response of [envelope, structure]) expect(response.length).toBeLessThan(2_000_000)
})

function languages(value: string): readonly string[] | undefined {
  return scan(`Content-Language: ${value}\r\n\r\n`).fields.language
}

test('RFC 3282: languages are told without comments, and empty ones not at all', () => {
  expect(languages('en (English), de,, fr-CH')).toEqual(['en', 'de', 'fr-CH'])
  expect(languages('(none)')).toBeUndefined()
  expect(languages(' , ')).toBeUndefined()
})

function bodyOf(type: string): string {
  return encodeBody(scan(`Content-Type: ${type}\r\n\r\n`), false)
}

test('RFC 2046 section 4.1.2: a text that names no charset is told to be in US-ASCII', () => {
  expect(bodyOf('text/html')).toContain('("text" "html" ("charset" "us-ascii") ')
  expect(bodyOf('text/plain; format=flowed')).toContain('("format" "flowed" "charset" "us-ascii")')
  expect(bodyOf('text/plain; CharSet=utf-8')).toContain(' ("CharSet" "utf-8") ')
  expect(bodyOf("text/plain; charset*=us-ascii'en'utf-8")).not.toContain('"us-ascii"')
  expect(bodyOf('application/json')).toContain('("application" "json" NIL ')
})

describe('RFC 2231 section 6: a parameter in pieces is told as one', () => {
  test.each([
    ['pieces', 'name*0="one "; name*1=two.pdf', '"name" "one two.pdf"'],
    ['in any order, behind the others', 'Name*1=b; name*0=a; x=y', '"x" "y" "name" "ab"'],
    ['encoded ones', "name*0*=utf-8''a%20; name*1*=b%C3%BC; name*2=c.pdf", `"name*" "utf-8''a%20b%C3%BCc.pdf"`],
    ['encoded behind plain', 'name*0="50%"; name*1*=%20b', `"name*" "''50%25%20b"`],
    ['one encoded value, which is in no pieces', "name*=utf-8'en'a%20b", `"name*" "utf-8'en'a%20b"`],
    ['beside one of the same name', 'name=plain; name*0=a; name*1=b', '"name" "plain" "name" "ab"'],
    ['not without the first', 'name*1=b; name*2=c', '"name*1" "b" "name*2" "c"'],
    ['not with a gap', 'name*0=a; name*2=c', '"name*0" "a" "name*2" "c"'],
    ['not with one twice', "name*0*=utf-8''a; name*0=q; name*1=b", `"name*0*" "utf-8''a" "name*0" "q" "name*1" "b"`],
    ['not with leading zeros', 'name*00=a; name*01=b', '"name*00" "a" "name*01" "b"'],
    ['not without a name', '*0=a', '"*0" "a"'],
  ])('%s', (_, given, told) => {
    expect(bodyOf(`application/pdf; ${given}`)).toContain(`("application" "pdf" (${told}) `)
  })

  test('a charset and a boundary in pieces are understood', () => {
    expect(bodyOf('text/plain; charset*0=ut; charset*1=f-8')).toContain('("charset" "utf-8")')
    const root = scan('Content-Type: multipart/mixed; boundary*0=on; boundary*1=e\r\n\r\n--one\r\n\r\nx\r\n--one--\r\n')
    expect(root.children).toHaveLength(1)
  })
})

test('what is nested too deep is one opaque part', () => {
  const root = scan('Content-Type: message/rfc822\r\n\r\n'.repeat(200))
  let depth = 0
  let part: Part | undefined = root
  let last: Part = root
  for (; part !== undefined; part = part.message) {
    depth += 1
    last = part
  }
  expect(depth).toBe(limits.maxPartDepth)
  expect(`${last.fields.type}/${last.fields.subtype}`).toBe('application/octet-stream')
})

test('parts beyond the bound belong to the last one', () => {
  const text = `${multipart}${'--b\r\n\r\nx\r\n'.repeat(limits.maxParts + 10)}--b--\r\n`
  const root = scan(text)
  expect(root.children).toHaveLength(limits.maxParts - 1)
  expect(root.children.at(-1)?.bodyEnd).toBe(text.length - '\r\n--b--\r\n'.length)
})

test('a header longer than what is looked at still ends where it ends', async () => {
  const filler = `X: ${'y'.repeat(100)}\r\n`.repeat(12_000)
  const reader = readerOf(`${filler}\r\nbody`)
  const header = await reader.header()
  expect(header.end).toBe(filler.length + 2)
  expect(header.text).toHaveLength(limits.maxHeaderBytes)
})
