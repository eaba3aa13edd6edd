import { readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { changeAccounts, readAccounts } from '../../src/auth/accounts-file.ts'
import { decoyHash } from '../../src/auth/password-hash.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'

const hash = decoyHash()

test('what is written is read back, in its order', async () => {
  const file = join(await temporaryDirectory(), 'accounts.toml')
  const accounts = new Map([
    ['zoë@example.org', hash],
    [String.raw`a"\b`, hash],
    ['__proto__', hash],
  ])
  await changeAccounts(file, () => accounts)
  const outcome = await readAccounts(file)
  expect(outcome.ok && [...outcome.accounts]).toEqual([...accounts])
})

test('only its owner may read it, and nothing is left beside it', async () => {
  const directory = await temporaryDirectory()
  await changeAccounts(join(directory, 'accounts.toml'), () => new Map([['ann', hash]]))
  expect((await stat(join(directory, 'accounts.toml'))).mode & 0o777).toBe(0o600)
  expect(await readdir(directory)).toEqual(['accounts.toml'])
})

test('a change that fails half-way leaves the old accounts, and room for the next change', async () => {
  const directory = await temporaryDirectory()
  const file = join(directory, 'accounts.toml')
  await changeAccounts(file, () => new Map([['ann', hash]]))
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
    names.map((name) => changeAccounts(file, (accounts) => new Map([...accounts, [name, hash]]))),
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
  await changeAccounts(file, () => new Map([['ann', hash]]))
  const text = await readFile(file, 'utf8')
  await writeFile(file, `${text}${text}`)
  expect(await readAccounts(file)).toMatchObject({
    ok: false,
    problems: [{ line: 9, path: 'account[1].name', expected: 'a name that stands here once' }],
  })
})
