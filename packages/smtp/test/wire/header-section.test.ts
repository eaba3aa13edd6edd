import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HeaderSection } from '../../src/wire/header-section.ts'
import { cutAt, everyCut } from '../cuts.ts'

const missing = new Map([
  ['date', 'Date: now\r\n'],
  ['message-id', 'Message-ID: <new@mx.example>\r\n'],
])
const added = 'Date: now\r\nMessage-ID: <new@mx.example>\r\n'

/** What is handed on of a message that comes in these pieces. */
function handedOn(pieces: readonly string[], isSubmitted = false): string {
  const section = new HeaderSection({ authservId: 'MX.example', missing: isSubmitted ? missing : new Map() })
  const out = pieces.map((piece) => {
    const bytes = Buffer.from(piece, 'latin1')
    const text = section.pass(bytes).toString('latin1')
    // A pump may reuse its buffer.
    bytes.fill(0x21)
    return text
  })
  return out.join('') + section.end().toString('latin1')
}

describe('RFC 8601 section 5: Authentication-Results that bear our name are taken out', () => {
  const before = 'Subject: a\r\n'
  const behind = 'To: b\r\n\r\nAuthentication-Results: mx.example; body\r\n'

  test.each([
    ['plain', 'Authentication-Results: mx.example; spf=pass\r\n'],
    ['in any case, with a dot', 'AUTHENTICATION-results:Mx.Example.;spf=pass\r\n'],
    ['with a version', 'Authentication-Results: mx.example 1; none\r\n'],
    ['quoted', 'Authentication-Results: "mx\\.example"; none\r\n'],
    ['behind comments', 'Authentication-Results: (a (b\\)) c) mx.example(x); none\r\n'],
    ['on the next line', 'Authentication-Results:\r\n\tmx.example;\r\n spf=pass\r\n dkim=pass\r\n'],
    ['with a space before the colon', 'Authentication-Results \t: mx.example; none\r\n'],
    ['without anything else', 'Authentication-Results: mx.example\r\n'],
    ['of nobody', 'Authentication-Results: ; spf=pass\r\n'],
    ['empty', 'Authentication-Results:\r\n'],
    ['several', 'Authentication-Results: mx.example; none\r\n'.repeat(3)],
  ])('%s, at every cut', (_, field) => {
    for (const pieces of everyCut(`${before}${field}${behind}`)) {
      expect(handedOn(pieces)).toBe(before + behind)
    }
  })

  test.each([
    ['of another server', 'Authentication-Results: mx.example.net; spf=pass\r\n'],
    ['of another server, with ours in a comment', 'Authentication-Results: (mx.example) other; spf=pass\r\n'],
    ['another field', 'Authentication-Results-X: mx.example; none\r\n'],
    ['ARC-Authentication-Results', 'ARC-Authentication-Results: i=1; mx.example; none\r\n'],
    ['inside another field', 'Subject: x\r\n Authentication-Results: mx.example; none\r\n'],
  ])('not %s', (_, field) => {
    for (const pieces of everyCut(`${before}${field}${behind}`)) expect(handedOn(pieces)).toBe(before + field + behind)
  })

  test('one whose author hides behind 5 KiB of comment goes too, and memory stays bounded', () => {
    const field = `Authentication-Results: (${'x'.repeat(5_000)}) other; none\r\n`
    expect(handedOn([`${before}${field}${behind}`])).toBe(before + behind)
    expect(handedOn(`${before}${field}${behind}`.split(''))).toBe(before + behind)
  })

  test('one that is folded a thousand times is looked at once: a megabyte of them costs no second', () => {
    const field = `Authentication-Results:\r\n${' \r\n'.repeat(1_350)} other.example; none\r\n`
    const message = field.repeat(256)
    const startedAt = process.cpuUsage()
    const passed = handedOn([message])
    const { user } = process.cpuUsage(startedAt)
    expect(passed).toHaveLength(message.length)
    expect(user / 1e6).toBeLessThan(1.5)
  })

  test('a message that ends in one', () => {
    expect(handedOn([`${before}Authentication-Results: mx.example`])).toBe(before)
    expect(handedOn([`${before}Authentication-Results: other`])).toBe(before)
    expect(handedOn([`${before}Authentication-Results: other;`])).toBe(`${before}Authentication-Results: other;`)
  })
})

describe('RFC 6409 sections 8.2 and 8.3: Date and Message-ID are added when they are missing', () => {
  test.each([
    ['both', 'Subject: a\r\n\r\nbody', `Subject: a\r\n${added}\r\nbody`],
    ['none', 'date: x\r\nMESSAGE-ID : y\r\n\r\nbody', 'date: x\r\nMESSAGE-ID : y\r\n\r\nbody'],
    ['one', 'Date: x\r\n\r\nDate: y\r\n', 'Date: x\r\nMessage-ID: <new@mx.example>\r\n\r\nDate: y\r\n'],
    ['in an empty section', '\r\nbody\r\n', `${added}\r\nbody\r\n`],
    ['in a message without a body', 'Subject: a\r\n', `Subject: a\r\n${added}`],
    ['in a message without a line end', 'Subject: a', `Subject: a\r\n${added}`],
    ['in an empty message', '', added],
    ['in a message without a header', 'Dear Ann,\r\n\r\nbody\r\n', `${added}\r\nDear Ann,\r\n\r\nbody\r\n`],
    [
      'before a line that is no field',
      'To: a\r\nDear Ann,\r\nDate: x\r\n',
      `To: a\r\n${added}\r\nDear Ann,\r\nDate: x\r\n`,
    ],
    ['in a message that begins with a continuation', ' a\r\n\r\n', `${added}\r\n a\r\n\r\n`],
  ])('%s, at every cut', (_, message, expected) => {
    for (const pieces of message.length < 2 ? [[message]] : everyCut(message)) {
      expect(handedOn(pieces, true)).toBe(expected)
    }
  })
})

test('what needs no change is handed on as a view of what came', () => {
  const section = new HeaderSection({ authservId: 'mx.example', missing: new Map() })
  const bytes = Buffer.from('Received: x\r\nSubject: a\r\n b\r\n\r\nbody')
  const out = section.pass(bytes)
  expect([out.buffer, out.byteOffset, out.length]).toEqual([bytes.buffer, bytes.byteOffset, bytes.length])
  expect(section).toMatchObject({ hops: 1, isOver: true })
})

test('any cut hands on the same, and nothing that is not ours is lost', () => {
  const line = fc.constantFrom('\r\n', ' ', 'a', ':', 'Received: b\r\n', 'Authentication-Results', ': other', '(', '\n')
  fc.assert(
    fc.property(fc.array(line, { maxLength: 15 }), fc.array(fc.nat(300)), (parts, cuts) => {
      const message = parts.join('')
      expect(handedOn(cutAt(message, cuts))).toBe(handedOn([message]))
      expect(handedOn(cutAt(message, cuts), true)).toBe(handedOn([message], true))
      const kept = message.replaceAll('Authentication-Results', 'X')
      expect(handedOn(cutAt(kept, cuts))).toBe(kept)
    }),
    { numRuns: 2_000 },
  )
})
