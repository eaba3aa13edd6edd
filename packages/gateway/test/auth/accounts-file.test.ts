import { readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decoyScramKeys, type ScramKeys } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { changeAccounts, readAccounts } from '../../src/auth/accounts-file.ts'
import { decoyHash } from '../../src/auth/password-hash.ts'
import { formatScramKeys, parseScramKeys, scramKeysWords } from '../../src/auth/scram-text.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'

const account = { password: decoyHash() }

test('what is written is read back, in its order', async () => {
  const file = join(await temporaryDirectory(), 'accounts.toml')
  const accounts = new Map([
    ['zoë@example.org', account],
    [String.raw`a"\b`, account],
    ['__proto__', account],
  ])
  await changeAccounts(file, () => accounts)
  const outcome = await readAccounts(file)
  expect(outcome.ok && [...outcome.accounts]).toEqual([...accounts])
})

test('only its owner may read it, and nothing is left beside it', async () => {
  const directory = await temporaryDirectory()
  await changeAccounts(join(directory, 'accounts.toml'), () => new Map([['ann', account]]))
  expect((await stat(join(directory, 'accounts.toml'))).mode & 0o777).toBe(0o600)
  expect(await readdir(directory)).toEqual(['accounts.toml'])
})

test('a change that fails half-way leaves the old accounts, and room for the next change', async () => {
  const directory = await temporaryDirectory()
  const file = join(directory, 'accounts.toml')
  await changeAccounts(file, () => new Map([['ann', account]]))
  const before = await readFile(file, 'utf8')
  const change = changeAccounts(file, () => {
    throw new Error('half-way')
  })
  await expect(change).rejects.toThrow('half-way')
  expect(await readFile(file, 'utf8')).toBe(before)
  expect(await readdir(directory)).toEqual(['accounts.toml'])
})

test('of changes at the same time one is made, and the others are told of the lock', async () => {
  const file = join(await temporaryDirectory(), 'accounts.toml')
  const names = ['ann', 'bob', 'cyd', 'dan']
  const outcomes = await Promise.all(
    names.map((name) => changeAccounts(file, (accounts) => new Map([...accounts, [name, account]]))),
  )
  const made = names.filter((_, index) => outcomes[index]?.ok)
  expect(made.length).toBeGreaterThan(0)
  const after = await readAccounts(file)
  expect(after.ok && [...after.accounts.keys()].sort()).toEqual(made)
})

test('a lock that was left over is named', async () => {
  const file = join(await temporaryDirectory(), 'accounts.toml')
  await writeFile(`${file}.lock`, '')
  const outcome = await changeAccounts(file, () => new Map())
  expect(outcome).toMatchObject({ ok: false, problems: [{ found: expect.stringContaining(`${file}.lock`) }] })
})

test('an account that stands there twice is a problem with the line of the second', async () => {
  const file = join(await temporaryDirectory(), 'accounts.toml')
  await changeAccounts(file, () => new Map([['ann', account]]))
  const text = await readFile(file, 'utf8')
  await writeFile(file, `${text}${text}`)
  expect(await readAccounts(file)).toMatchObject({
    ok: false,
    problems: [{ line: 9, path: 'account[1].name', expected: 'a name that stands here once' }],
  })
})

describe('aliases and quotas', () => {
  test('are read, and written back as they were', async () => {
    const file = join(await temporaryDirectory(), 'accounts.toml')
    const full = { ...account, aliases: ['info@example.org', 'zoë@example.net'], quotaBytes: 2 ** 30, quotaMessages: 9 }
    await changeAccounts(file, () => new Map([['ann', full]]))
    const text = await readFile(file, 'utf8')
    expect(text).toContain('quota = "1GiB"\nquota-messages = 9\n')
    const outcome = await readAccounts(file)
    expect(outcome.ok && [...outcome.accounts]).toEqual([['ann', full]])
  })

  test.each([
    ['aliases = ["bob"]', 'account[0].aliases[0]', 'an address that is no account and stands here once'],
    ['aliases = ["x", "x"]', 'account[0].aliases[1]', 'an address that is no account and stands here once'],
    ['aliases = "x"', 'account[0].aliases', 'a list of addresses'],
    ['quota = "unlimited"', 'account[0].quota', 'a size, as in "64KiB" or "25MiB", from "64KiB" to "4096GiB"'],
    ['quota-messages = 0', 'account[0].quota-messages', 'a whole number from 1 to 1000000000'],
    ['quotas = 1', 'account[0].quotas', expect.any(String)],
  ])('%s is a problem', async (line, path, expected) => {
    const file = join(await temporaryDirectory(), 'accounts.toml')
    await changeAccounts(
      file,
      () =>
        new Map([
          ['ann', account],
          ['bob', account],
        ]),
    )
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace('name = "ann"', `name = "ann"\n${line}`))
    expect(await readAccounts(file)).toMatchObject({ ok: false, problems: [{ path, expected }] })
  })
})

const keys = (name: string): ScramKeys => decoyScramKeys(name, Buffer.from('test'))

describe('keys for SCRAM', () => {
  test('are written beside the password, with one secret for the file that never changes', async () => {
    const file = join(await temporaryDirectory(), 'accounts.toml')
    await changeAccounts(file, () => new Map([['old', account]]))
    expect(await readFile(file, 'utf8')).not.toContain('scram')
    await changeAccounts(file, (all) => new Map([...all, ['ann', { ...account, scram: keys('ann') }]]))
    const first = await readAccounts(file)
    expect(first).toMatchObject({ ok: true, scramDecoy: { length: 32 } })
    expect(first.ok && [...first.accounts]).toEqual([
      ['old', account],
      ['ann', { ...account, scram: keys('ann') }],
    ])
    await changeAccounts(file, () => new Map([['old', account]]))
    await changeAccounts(file, () => new Map([['bob', { ...account, scram: keys('bob') }]]))
    const last = await readAccounts(file)
    expect(last.ok && last.scramDecoy).toEqual(first.ok && first.scramDecoy)
  })

  test.each([
    ['few iterations', (text: string) => text.replace('$65536:', '$4095:')],
    ['many iterations', (text: string) => text.replace('$65536:', '$1000001:')],
    ['another mechanism', (text: string) => text.replace('SCRAM-SHA-256$', 'SCRAM-SHA-1$')],
    ['a short key', (text: string) => text.replace(/:[^:]*$/, ':AAAA')],
    ['spare bits', (text: string) => text.replace(/.=$/, '/=')],
    ['a short salt', (text: string) => text.replace(/:[^$]*\$/, ':AAAA$')],
    ['nothing', () => ''],
  ])('%s: a problem with its line, and the keys are not shown', async (_, change) => {
    const file = join(await temporaryDirectory(), 'accounts.toml')
    const text = formatScramKeys(keys('ann'))
    expect(parseScramKeys(text)).toEqual(keys('ann'))
    await changeAccounts(file, () => new Map([['ann', { ...account, scram: keys('ann') }]]))
    await writeFile(file, (await readFile(file, 'utf8')).replace(text, change(text)))
    expect(await readAccounts(file)).toMatchObject({
      ok: false,
      problems: [{ line: 7, path: 'account[0].scram', expected: scramKeysWords, found: '[secret]' }],
    })
  })

  test('a secret of another length is a problem', async () => {
    const file = join(await temporaryDirectory(), 'accounts.toml')
    await writeFile(file, 'scram-decoy = "AAAA"\n', { mode: 0o600 })
    expect(await readAccounts(file)).toMatchObject({ ok: false, problems: [{ line: 1, found: '[secret]' }] })
  })
})
