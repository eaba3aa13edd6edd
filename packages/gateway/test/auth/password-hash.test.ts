import { describe, expect, test } from 'vitest'
import {
  costOf,
  decoyHash,
  formatPasswordHash,
  hashPassword,
  parsePasswordHash,
  verifyPassword,
} from '../../src/auth/password-hash.ts'
import { isAccountName, preparePassword } from '../../src/auth/prepare.ts'

const salt = 'c29tZXNhbHRzb21lc2FsdA'
const tag = 'A'.repeat(43)

test('a password is found right by its own hash, and no other is', async () => {
  const hash = await hashPassword('correct horse')
  expect(await verifyPassword('correct horse', hash)).toBe(true)
  expect(await verifyPassword('correct hors', hash)).toBe(false)
  expect(await verifyPassword('correct horse ', hash)).toBe(false)
})

test('hashes are argon2id with the parameters of today, and a salt of their own', async () => {
  const [one, other] = await Promise.all([hashPassword('the same'), hashPassword('the same')])
  expect(formatPasswordHash(one)).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/)
  expect(formatPasswordHash(one)).not.toBe(formatPasswordHash(other))
})

test('a hash that another program made is understood (the test vector of the reference implementation)', async () => {
  const text = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'
  const hash = parsePasswordHash(text)
  expect(hash && formatPasswordHash(hash)).toBe(text)
  expect(hash && (await verifyPassword('password', hash))).toBe(true)
})

/** Its second vector: password "password", salt "NaCl", N 1024, r 8, p 16. */
const vectorOfRfc7914 = {
  algorithm: 'scrypt',
  logCost: 10,
  blockSize: 8,
  parallelism: 16,
  salt: Buffer.from('NaCl'),
  tag: Buffer.from(
    'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640',
    'hex',
  ),
} as const

test('scrypt hashes are verified as RFC 7914 section 12 does', async () => {
  expect(await verifyPassword('password', vectorOfRfc7914)).toBe(true)
  expect(await verifyPassword('passwort', vectorOfRfc7914)).toBe(false)
})

test('scrypt hashes are read and written', () => {
  const text = `$scrypt$ln=14,r=8,p=1$${salt}$${tag}`
  const hash = parsePasswordHash(text)
  expect(hash).toMatchObject({ algorithm: 'scrypt', logCost: 14, blockSize: 8, parallelism: 1 })
  expect(hash && formatPasswordHash(hash)).toBe(text)
})

test('a decoy costs what the hash that it is like costs, and no password gives it', async () => {
  const hash = await hashPassword('x'.repeat(8))
  const decoy = decoyHash(hash)
  expect(costOf(decoy)).toBe(costOf(hash))
  expect(await verifyPassword('x'.repeat(8), decoy)).toBe(false)
})

describe('what is no hash, or asks for too much', () => {
  test.each([
    ['nothing', ''],
    ['a password', 'hunter2'],
    ['another algorithm', `$2b$10$${'a'.repeat(53)}`],
    ['argon2i, which is weaker against stolen hashes', `$argon2i$v=19$m=19456,t=2,p=1$${salt}$${tag}`],
    ['an old version', `$argon2id$v=16$m=19456,t=2,p=1$${salt}$${tag}`],
    ['a gigabyte', `$argon2id$v=19$m=1048576,t=2,p=1$${salt}$${tag}`],
    ['a thousand passes', `$argon2id$v=19$m=19456,t=1000,p=1$${salt}$${tag}`],
    ['less memory than its lanes need', `$argon2id$v=19$m=8,t=1,p=2$${salt}$${tag}`],
    ['no memory', `$argon2id$v=19$m=0,t=2,p=1$${salt}$${tag}`],
    ['base64 with padding', `$argon2id$v=19$m=19456,t=2,p=1$${salt}==$${tag}`],
    ['base64 with stray bits', `$argon2id$v=19$m=19456,t=2,p=1$${salt}$${tag.slice(0, -1)}B`],
    ['a short tag', `$argon2id$v=19$m=19456,t=2,p=1$${salt}$AAAA`],
    ['a line end behind', `$argon2id$v=19$m=19456,t=2,p=1$${salt}$${tag}\n`],
    ['scrypt with 4 GiB', `$scrypt$ln=20,r=32,p=1$${salt}$${tag}`],
  ])('%s', (_, text) => {
    expect(parsePasswordHash(text)).toBeUndefined()
  })
})

describe('AU-11: passwords', () => {
  test.each([
    ['spaces at both ends stay', ' two words ', ' two words '],
    ['case stays', 'PassWord', 'PassWord'],
    ['a thousand characters are not cut', 'x'.repeat(1000), 'x'.repeat(1000)],
    ['a letter in two pieces is that letter', 'cafe\u0301', 'caf\u00e9'],
    ['a space of another script is a space', 'a\u00a0b\u3000c', 'a b c'],
  ])('%s', (_, text, prepared) => {
    expect(preparePassword(text)).toBe(prepared)
  })

  test.each([
    ['empty', ''],
    ['with a NUL, behind which others would stop reading', 'right\0wrong'],
    ['with a line end', 'one\ntwo'],
    ['with half a surrogate pair', 'x\ud800'],
    ['longer than its bound', 'x'.repeat(1025)],
    ['longer than its bound in bytes', 'é'.repeat(513)],
  ])('refused: %s', (_, text) => {
    expect(preparePassword(text)).toBeUndefined()
  })
})

describe('AU-08: account names', () => {
  test.each([
    'demo@localhost',
    'ann',
    'ann+tag@example.org',
    '../etc/passwd',
    '%{user}',
    "'OR'1",
    '*)(',
    'żółw@example.org',
  ])('%s is only a name', (name) => {
    expect(isAccountName(name)).toBe(true)
  })

  test.each([
    ['empty', ''],
    ['with a space', 'a b'],
    ['with a NUL', 'a\0'],
    ['with an escape', 'a\u001b[2J'],
    ['not in NFC', 'cafe\u0301'],
    ['with the Kelvin sign, which NFC makes a K', '\u212Aelvin'],
    ['too long', 'x'.repeat(321)],
    ['with half a surrogate pair', '\ud800'],
  ])('refused: %s', (_, name) => {
    expect(isAccountName(name)).toBe(false)
  })
})
