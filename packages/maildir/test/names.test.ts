import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeAccountName } from '../src/account-name.ts'
import { limits } from '../src/limits.ts'
import { mailboxNameOf, parseMailboxName } from '../src/names.ts'
import { refusal, value } from './conformance.ts'

const folderOf = (name: string): string => value(parseMailboxName(name, limits)).folder
/** Any Unicode, with what matters in names more often than by chance. */
const anyName = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('.', '/', '&', '-', '~', 'A', 'ü', 'u\u0308', 'cur', '\0', '\ud800', '+', ',', '%', 'ı', 'K'),
  }),
)

describe('mailbox names', () => {
  test.each([
    ['INBOX', ''],
    ['inbox', ''],
    ['InBoX/Sub', '.INBOX.Sub'],
    ['Archive/2026', '.Archive.2026'],
    ['Entwürfe', '.Entw&APw-rfe'],
    ['A&B', '.A&-B'],
    ['v1.0', '.v1&AC4-0'],
    ['.', '.&AC4-'],
    ['..', '.&AC4ALg-'],
    ['a~b', '.a~b'],
    ['台北', '.&U,BTFw-'],
    ['日本語', '.&ZeVnLIqe-'],
    ['😀', '.&2D3eAA-'],
    ['u\u0308', '.&APw-'],
  ])('%j lives in %j', (name, folder) => {
    expect(folderOf(name)).toBe(folder)
  })

  test.each([
    ['a slash inside a level', '.a&AC8-b'],
    ['NUL', '.a&AAA-b'],
    ['half a surrogate pair', '.&2D0-'],
    ['an ampersand that begins nothing', '.a&'],
    ['a run that does not end', '.&APw'],
    ['what needed no encoding', '.&AGE-'],
    ['two runs in a row', '.&APw-&APw-'],
    ['bits left over', '.&APx-'],
    ['a name that is not NFC', '.&AHUDCA-'],
    ['bytes that are not ASCII', '.Entw\u00fcrfe'],
    ['INBOX as a folder', '.INBOX'],
    ['inbox in another case', '.inbox.Sub'],
    ['an empty level', '.a..b'],
    ['nothing', '.'],
    ['the folder above', '..'],
    ['no dot', 'cur'],
  ])('MB-05: a folder with %s is no mailbox', (_, folder) => {
    expect(mailboxNameOf(folder, limits)).toBeUndefined()
  })

  test.each([
    ['255 bytes', 'a'.repeat(254), 'ok'],
    ['256 bytes', 'a'.repeat(255), 'limit'],
    ['1,000 bytes', 'a'.repeat(1_000), 'limit'],
    ['4,000 bytes', 'a'.repeat(4_000), 'limit'],
    ['200 letters that need encoding', 'ü'.repeat(200), 'limit'],
    ['300 levels', 'a/'.repeat(299) + 'a', 'limit'],
    ['100 levels', 'a/'.repeat(99) + 'a', 'ok'],
  ])('MB-03: a name of %s', (_, name, expected) => {
    expect(refusal(parseMailboxName(name, limits))).toBe(expected)
  })

  test.each([
    ['Kelvin sign and K', '\u212a', 'k'],
    ['full-width INBOX', 'ＩＮＢＯＸ', 'INBOX'],
    ['dotless i', 'ınbox', 'INBOX'],
    ['upper and lower case', 'Work', 'work'],
    ['a trailing dot', 'Work.', 'Work'],
    ['a trailing blank', 'Work ', 'Work'],
    ['a right-to-left override', 'a\u202eb', 'ab'],
    ['a dot and a level', 'a.b', 'a/b'],
    ['an encoded slash', 'a&AC8-b', 'a/b'],
  ])('MB-04: %s are two mailboxes', (_, one, other) => {
    expect(folderOf(one)).not.toBe(folderOf(other))
  })

  test('no name leads out of the Maildir, and every folder leads back to one name', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        const parsed = parseMailboxName(name, limits)
        if (!parsed.ok || parsed.value.folder === '') return
        const { folder } = parsed.value
        expect(folder).toMatch(/^(?:\.[\x20-\x2d\x30-\x7e]+)+$/)
        expect(Buffer.byteLength(folder)).toBeLessThanOrEqual(255)
        expect(mailboxNameOf(folder, limits)).toBe(parsed.value.name)
        expect(folderOf(parsed.value.name)).toBe(folder)
      }),
      { numRuns: 2_000 },
    )
  })

  test('two names share a folder only when they are one name', () => {
    fc.assert(
      fc.property(anyName, anyName, (a, b) => {
        const [one, other] = [parseMailboxName(a, limits), parseMailboxName(b, limits)]
        if (!one.ok || !other.ok) return
        expect(one.value.folder === other.value.folder).toBe(one.value.name === other.value.name)
      }),
      { numRuns: 2_000 },
    )
  })

  test('no folder name of another program makes reading throw', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (folder) => {
        const name = mailboxNameOf(`.${folder}`, limits)
        expect(name === undefined || folderOf(name) === `.${folder}`).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('account names', () => {
  test.each([
    ['ann@example.org', 'ann@example.org'],
    ['Ann', '%41nn'],
    ['../x@example.org', '%2E.%2Fx@example.org'],
    ['/etc/x@example.org', '%2Fetc%2Fx@example.org'],
    ['.', '%2E'],
    ['..', '%2E.'],
    ['a\0b', 'a%00b'],
    ['%2E', '%252%45'],
    ['\u212a', '%E2%84%AA'],
    ["' or 1=1", '%27%20or%201%3D1'],
  ])('MB-02, AU-08: %j is the folder %j', (account, folder) => {
    expect(encodeAccountName(account, 255)).toBe(folder)
  })

  test.each([
    ['empty', ''],
    ['5,000 bytes', 'a'.repeat(5_000)],
    ['more than 255 bytes once encoded', 'É'.repeat(43)],
    ['half a surrogate pair', '\udc00'],
  ])('AU-08: a name that is %s is no account', (_, account) => {
    expect(encodeAccountName(account, 255)).toBeUndefined()
  })

  test('AU-08: different names never share a folder, not even where case is ignored', () => {
    fc.assert(
      fc.property(anyName, anyName, (a, b) => {
        const [one, other] = [encodeAccountName(a, 255), encodeAccountName(b, 255)]
        if (one === undefined || other === undefined) return
        expect(one).toMatch(/^(?:[a-z0-9@_+-]|%[0-9A-F]{2})(?:[a-z0-9@_+.-]|%[0-9A-F]{2})*$/)
        expect(one.toLowerCase() === other.toLowerCase()).toBe(a === b)
      }),
      { numRuns: 2_000 },
    )
  })
})
