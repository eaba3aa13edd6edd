import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { isAddressLiteral, parseForwardPath, parseReversePath } from '../../src/wire/path.ts'

const read = (text: string): string => {
  const path = parseForwardPath(text, 0, limits)
  if (!path.ok) return path.code
  return path.value.end === text.length
    ? path.value.mailbox
    : `${path.value.mailbox} then ${text.slice(path.value.end)}`
}

describe('paths that are taken', () => {
  test.each([
    ['a plain one', '<ann@example.org>', 'ann@example.org'],
    ['every character of atoms', "<!#$%&'*+-/=?^_`{|}~aZ0.b@example.org>", "!#$%&'*+-/=?^_`{|}~aZ0.b@example.org"],
    ['a domain of one label', '<ann@localhost>', 'ann@localhost'],
    ['an IPv4 literal', '<ann@[192.0.2.1]>', 'ann@[192.0.2.1]'],
    ['an IPv6 literal', '<ann@[IPv6:2001:db8::1]>', 'ann@[IPv6:2001:db8::1]'],
    ['a literal to come', '<ann@[x-new:abc]>', 'ann@[x-new:abc]'],
    ['a source route, ignored', '<@a.example,@b.example:ann@example.org>', 'ann@example.org'],
    ['Postmaster without a domain', '<PostMaster>', 'postmaster'],
    ['quotes that are needed', '<"ann lee"@example.org>', '"ann lee"@example.org'],
    ['quotes that are not needed', '<"ann"@example.org>', 'ann@example.org'],
    ['quoted pairs that are not needed', String.raw`<"a\nn"@example.org>`, 'ann@example.org'],
    ['quoted pairs that are needed', String.raw`<"a\"\\\ b"@example.org>`, String.raw`"a\"\\ b"@example.org`],
    ['an empty quoted string', '<""@example.org>', '""@example.org'],
    ['a bracket in quotes', '<"a>b"@example.org>', '"a>b"@example.org'],
    ['an at sign in quotes', '<"a@b"@example.org>', '"a@b"@example.org'],
    ['UTF-8', '<jörg@bücher.example>', 'jörg@bücher.example'],
    ['something behind it', '<ann@example.org> X=1', 'ann@example.org then  X=1'],
  ])('%s', (_, text, mailbox) => expect(read(text)).toBe(mailbox))
})

describe('paths that are refused', () => {
  test.each([
    ['no brackets', 'ann@example.org', 'SMTP_PATH'],
    ['no closing bracket', '<ann@example.org', 'SMTP_PATH'],
    ['no domain', '<ann>', 'SMTP_PATH'],
    ['nothing', '<>', 'SMTP_PATH'],
    ['nothing before the at sign', '<@example.org>', 'SMTP_PATH'],
    ['nothing behind it', '<ann@>', 'SMTP_DOMAIN'],
    ['two at signs', '<ann@b@example.org>', 'SMTP_LOCAL_PART'],
    ['a space', '<ann lee@example.org>', 'SMTP_LOCAL_PART'],
    ['a comment', '<ann(x)@example.org>', 'SMTP_LOCAL_PART'],
    ['dots at the edge', '<.ann@example.org>', 'SMTP_LOCAL_PART'],
    ['two dots', '<a..b@example.org>', 'SMTP_LOCAL_PART'],
    ['an open quote', '<"ann@example.org>', 'SMTP_PATH'],
    ['text behind quotes', '<"ann"x@example.org>', 'SMTP_LOCAL_PART'],
    ['a dot behind the domain', '<ann@example.org.>', 'SMTP_DOMAIN'],
    ['an empty label', '<ann@example..org>', 'SMTP_DOMAIN'],
    ['a hyphen at the edge', '<ann@-example.org>', 'SMTP_DOMAIN'],
    ['an underscore in the domain', '<ann@a_b.example>', 'SMTP_DOMAIN'],
    ['a percent sign in the domain', '<ann@a%b.example>', 'SMTP_DOMAIN'],
    ['a label of 64 octets', `<ann@${'a'.repeat(64)}.example>`, 'SMTP_DOMAIN'],
    ['an IPv4 literal out of range', '<ann@[192.0.2.256]>', 'SMTP_DOMAIN'],
    ['an IPv4 address without brackets is a domain', '<ann@192.0.2.1>', 'ann@192.0.2.1'],
    ['an IPv6 literal with a zone', '<ann@[IPv6:fe80::1%1]>', 'SMTP_DOMAIN'],
    ['an IPv4 address said to be IPv6', '<ann@[IPv6:192.0.2.1]>', 'SMTP_DOMAIN'],
    ['a source route without an end', '<@a.example,ann@example.org>', 'SMTP_PATH'],
    ['a local part of 65 octets', `<${'a'.repeat(65)}@example.org>`, 'SMTP_PATH_LENGTH'],
    ['a local part of 66 octets in 33 letters', `<${'é'.repeat(33)}@example.org>`, 'SMTP_PATH_LENGTH'],
    ['a path of 257 octets', `<a@${'b.'.repeat(125)}example>`, 'SMTP_PATH_LENGTH'],
    ['SC-09: a local part of 5000 octets', `<${'a'.repeat(5_000)}@example.org>`, 'SMTP_PATH_LENGTH'],
  ])('%s', (_, text, outcome) => expect(read(text)).toBe(outcome))
})

test('the null reverse-path is one of MAIL only', () => {
  expect(parseReversePath('<>', 0, limits)).toEqual({ ok: true, value: { mailbox: '', isAscii: true, end: 2 } })
  expect(parseForwardPath('<>', 0, limits).ok).toBe(false)
  expect(parseReversePath('<Postmaster>', 0, limits).ok).toBe(false)
})

test('address literals', () => {
  expect(['[1.2.3.4]', '[IPv6:::1]', '[ipv6:::1]'].every(isAddressLiteral)).toBe(true)
  expect(['1.2.3.4', '[01.2.3.4]', '[]', '[::1]', '[IPv6:]', '[-:x]'].some(isAddressLiteral)).toBe(false)
})

describe('properties', () => {
  const piece = fc.constantFrom('<', '>', '@', '"', '\\', '.', ':', ',', '[', ']', 'a', 'é', ' ', '-', 'IPv6:', '1')
  const text = fc.array(piece, { maxLength: 30 }).map((pieces) => `<${pieces.join('')}`)

  test('no text throws; what is taken reads the same when written again', () => {
    fc.assert(
      fc.property(text, (input) => {
        const path = parseForwardPath(input, 0, limits)
        if (!path.ok || path.value.mailbox === 'postmaster') return
        expect(read(`<${path.value.mailbox}>`)).toBe(path.value.mailbox)
      }),
      { numRuns: 5_000 },
    )
  })

  test('JS-02: hostile text of 100 KB takes no time worth naming', () => {
    const bounds = { maxPathBytes: 1e6, maxLocalPartBytes: 1e6, maxDomainBytes: 1e6 }
    const long = 100_000
    const started = process.threadCpuUsage()
    for (const hostile of [
      `<${'a.'.repeat(long)}@x`,
      `<${'a'.repeat(long)}`,
      `<"${String.raw`\a`.repeat(long)}@x>`,
      `<@${'a,@'.repeat(long)}x>`,
      `<a@${'a-'.repeat(long)}>`,
      `<a@${'é'.repeat(long)}.>`,
      `<a@[${'a-'.repeat(long)}]>`,
    ]) {
      parseForwardPath(hostile, 0, bounds)
    }
    expect(process.threadCpuUsage(started).user).toBeLessThan(1_000_000)
  })
})
