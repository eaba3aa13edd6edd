import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deriveScramKeys, secret } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { changeAccounts, readAccounts } from '../../src/auth/accounts-file.ts'
import { FileAuthenticator } from '../../src/auth/file-authenticator.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { postern, posternOnTerminal } from './run.ts'
import { from } from '../kit/signing-in.ts'

/** The listener names a certificate that is not there yet: accounts can be made all the same. */
const config = `
[listener.imap]
protocol = "imap"
bind = "127.0.0.1:2143"
[tls]
certificates = [{ cert = "mx.pem", key = "mx.key" }]
[accounts]
file = "who.toml"
`

async function directoryWithConfig(text = config): Promise<string> {
  const directory = await temporaryDirectory()
  await writeFile(join(directory, 'postern.toml'), text)
  return directory
}

async function canSignIn(directory: string, username: string, password: string): Promise<boolean> {
  const by = new FileAuthenticator({ file: join(directory, 'who.toml'), checksAtOnce: 1, checksWaiting: 1 })
  const verdict = await by.verify?.({ mechanism: 'PLAIN', username, password: secret(password) }, from())
  return verdict?.outcome === 'granted'
}

const inConfig = ['-c', 'postern.toml'] as const

describe('accounts', () => {
  test('are added, listed, changed and removed', async () => {
    const cwd = await directoryWithConfig()
    const stdin = ['first password\n']
    expect(await postern(['user', 'add', 'ann', ...inConfig, '--password-stdin'], { cwd, stdin })).toEqual({
      status: 0,
      stdout: 'added ann\n',
      stderr: '',
    })
    expect(await canSignIn(cwd, 'ann', 'first password')).toBe(true)

    const change = ['user', 'passwd', 'ann', ...inConfig, '--password-stdin']
    expect(await postern(change, { cwd, stdin: ['second ', 'password\r\nmore'] })).toMatchObject({ status: 0 })
    expect(await canSignIn(cwd, 'ann', 'first password')).toBe(false)
    expect(await canSignIn(cwd, 'ann', 'second password')).toBe(true)

    await postern(['user', 'add', 'bob@example.org', ...inConfig, '--password-stdin'], { cwd, stdin })
    expect((await postern(['user', 'list', ...inConfig], { cwd })).stdout).toBe('ann\nbob@example.org\n')

    expect(await postern(['user', 'remove', 'ann', ...inConfig], { cwd })).toMatchObject({ status: 0 })
    expect((await postern(['user', 'list', ...inConfig], { cwd })).stdout).toBe('bob@example.org\n')
  })

  test('have keys for SCRAM, of the same password, unless the operator wants none', async () => {
    const cwd = await directoryWithConfig()
    const add = async (name: string, ...args: readonly string[]) =>
      postern(['user', 'add', name, ...inConfig, '--password-stdin', ...args], { cwd, stdin: ['first password\n'] })
    await add('ann')
    const written = await readAccounts(join(cwd, 'who.toml'))
    const keys = written.ok ? written.accounts.get('ann')?.scram : undefined
    expect(keys).toEqual(await deriveScramKeys('first password', keys))
    await add('bob', '--no-scram')
    const then = await readAccounts(join(cwd, 'who.toml'))
    expect(then.ok && then.accounts.get('bob')).not.toHaveProperty('scram')
    await postern(['user', 'passwd', 'bob', ...inConfig, '--password-stdin'], { cwd, stdin: ['second password\n'] })
    const last = await readAccounts(join(cwd, 'who.toml'))
    expect(last.ok && last.accounts.get('bob')).toHaveProperty('scram')
  })

  test('a new password keeps aliases and quota, and no key of the old one', async () => {
    const cwd = await directoryWithConfig()
    const file = join(cwd, 'who.toml')
    await postern(['user', 'add', 'ann', ...inConfig, '--password-stdin'], { cwd, stdin: ['first password\n'] })
    const text = await readFile(file, 'utf8')
    await writeFile(file, `${text}aliases = ["info"]\nquota = "1MiB"\n`)
    const again = ['user', 'passwd', 'ann', ...inConfig, '--password-stdin', '--no-scram']
    await postern(again, { cwd, stdin: ['second password\n'] })
    const after = await readAccounts(file)
    const account = after.ok ? after.accounts.get('ann') : undefined
    expect(account).toMatchObject({ aliases: ['info'], quotaBytes: 1_048_576 })
    expect(account).not.toHaveProperty('scram')
    const taken = await postern(['user', 'add', 'INFO', ...inConfig, '--password-stdin'], {
      cwd,
      stdin: ['a password\n'],
    })
    expect(taken.status).toBe(1)
  })

  test('a password that SCRAM would see nothing of is refused', async () => {
    const cwd = await directoryWithConfig()
    const stdin = [`${'\u200b'.repeat(12)}\n`]
    expect(await postern(['user', 'add', 'ann', ...inConfig, '--password-stdin'], { cwd, stdin })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('at least 8 characters that can be seen'),
    })
  })

  test.each([
    [
      'another domain than ours',
      'local-domains = ["example.org", "example.net"]',
      'ann@exmaple.org',
      /^warning: no mail comes for ann@exmaple\.org: exmaple\.org is none of smtp\.local-domains \(there: example\.org, example\.net\)\n$/,
    ],
    ['a domain of ours, whatever its case', 'local-domains = ["Example.org"]', 'ann@EXAMPLE.org', /^$/],
    ['a domain of ours in its own letters', 'local-domains = ["xn--bcher-kva.example"]', 'ann@bücher.example', /^$/],
    ['no domain: it may get one by an alias', 'local-domains = ["example.org"]', 'ann', /^$/],
    ['any domain, where a route leads into the store', '[[route]]\nto = "store"', 'ann@example.net', /^$/],
    [
      'any domain, where a directory may lead into the store',
      '[[route]]\nask = "people"\n[lookup.people]\nurl = "http://127.0.0.1:8000/"',
      'ann@example.net',
      /^$/,
    ],
    ['the host name, where no domain is named', '[server]\nhostname = "mx.example.org"', 'ann@mx.example.org', /^$/],
    [
      'another than the host name',
      '[server]\nhostname = "mx.example.org"',
      'ann@example.org',
      /\(there: mx\.example\.org\)/,
    ],
    ['any domain, where nobody can tell', 'local-domains = 7', 'ann@example.net', /^$/],
  ])('have a name that mail can reach, or a warning: %s', async (_, smtp, name, says) => {
    const cwd = await directoryWithConfig(`${config}${smtp.startsWith('[') ? '' : '[smtp]\n'}${smtp}\n`)
    const ran = await postern(['user', 'add', name, ...inConfig, '--password-stdin'], {
      cwd,
      stdin: ['first password'],
    })
    expect(ran).toMatchObject({ status: 0, stdout: `added ${name}\n` })
    expect(ran.stderr).toMatch(says)
  })

  test('of the built-in defaults are at localhost', async () => {
    const cwd = await temporaryDirectory()
    await mkdir(join(cwd, '.postern'))
    const add = async (name: string) =>
      postern(['user', 'add', name, '--password-stdin'], { cwd, stdin: ['first password'] })
    expect((await add('ann@localhost')).stderr).toBe('')
    expect((await add('ann@example.org')).stderr).toMatch(/^warning: .*\(there: localhost\)\n$/)
  })

  test('stand in a file that only its owner can read, without the password', async () => {
    const cwd = await directoryWithConfig()
    await postern(['user', 'add', 'ann', ...inConfig, '--password-stdin'], { cwd, stdin: ['first password'] })
    expect((await stat(join(cwd, 'who.toml'))).mode & 0o777).toBe(0o600)
    expect(await readFile(join(cwd, 'who.toml'), 'utf8')).not.toContain('first password')
  })
})

describe('passwords typed on a terminal', () => {
  test('are asked twice, and nothing of them is shown', async () => {
    const cwd = await directoryWithConfig()
    const typed = [
      { prompt: 'Password for ann: ', keys: 'secreX\u007ft passw\u00f6rd\r' },
      { prompt: 'Again: ', keys: 'oops\u0015secret passw\u00f6rd\n' },
    ]
    const ran = await posternOnTerminal(['user', 'add', 'ann', ...inConfig], typed, cwd)
    expect(ran).toMatchObject({ status: 0, stdout: 'added ann\n', stderr: 'Password for ann: \nAgain: \n' })
    expect(ran.rawModes).toEqual([true, false, true, false])
    expect(await canSignIn(cwd, 'ann', 'secret passw\u00f6rd')).toBe(true)
  })

  test.each([
    ['differ', ['password one\r', 'password two\r'], 1, /the two passwords differ/],
    ['are interrupted', ['pass\u0003'], 130, /interrupted/],
    ['are left out', ['\u0004', '\u0004'], 1, /not empty/],
  ])('when they %s, nothing changes', async (_, keys, status, says) => {
    const cwd = await directoryWithConfig()
    const typed = keys.map((one, index) => ({ prompt: index === 0 ? 'Password' : 'Again', keys: one }))
    const ran = await posternOnTerminal(['user', 'add', 'ann', ...inConfig], typed, cwd)
    expect(ran.status).toBe(status)
    expect(ran.stderr).toMatch(says)
    expect(ran.rawModes.at(-1)).toBe(false)
    await expect(stat(join(cwd, 'who.toml'))).rejects.toThrow('ENOENT')
  })
})

describe('refused with a sentence', () => {
  test.each([
    ['a short password', ['add', 'ann', '--password-stdin'], ['short\n'], 1, /at least 8 characters/],
    [
      'a password with a control character',
      ['add', 'ann', '--password-stdin'],
      ['pass\0word\n'],
      1,
      /control characters/,
    ],
    [
      'a password that is not UTF-8',
      ['add', 'ann', '--password-stdin'],
      [Buffer.from([0x70, 0xff, 0x0a])],
      1,
      /not UTF-8/,
    ],
    [
      'an endless password',
      ['add', 'ann', '--password-stdin'],
      Array.from({ length: 9 }, () => 'x'.repeat(500)),
      1,
      /at most 1024/,
    ],
    ['no password', ['add', 'ann', '--password-stdin'], [], 1, /not empty/],
    ['no terminal to ask on', ['add', 'ann'], [], 64, /--password-stdin/],
    ['a name with a space', ['add', 'a b', '--password-stdin'], ['long enough'], 64, /without spaces/],
    ['a password on the command line', ['add', 'ann', 'password'], [], 64, /too many arguments/],
    ['an account that is not there', ['passwd', 'eve', '--password-stdin'], ['long enough'], 1, /no account "eve"/],
    ['removing an account that is not there', ['remove', 'eve'], [], 1, /no account "eve"/],
    ['an account that is there already', ['add', 'bob', '--password-stdin'], ['long enough'], 1, /there already/],
    ['one that differs in case only', ['add', 'BOB', '--password-stdin'], ['long enough'], 1, /bob is there already/],
    [
      'one of the same domain in other letters',
      ['add', 'zoe@xn--bcher-kva.example', '--password-stdin'],
      ['long enough'],
      1,
      /zoe@bücher\.example is there already/,
    ],
  ])('%s', async (_, args, stdin, status, says) => {
    const cwd = await directoryWithConfig()
    await postern(['user', 'add', 'bob', ...inConfig, '--password-stdin'], { cwd, stdin: ['first password'] })
    await changeAccounts(join(cwd, 'who.toml'), (all) => new Map([...all, ['zoe@bücher.example', all.get('bob')!]]))
    const before = await readFile(join(cwd, 'who.toml'), 'utf8')
    const ran = await postern(['user', ...args, ...inConfig], { cwd, stdin })
    expect(ran).toMatchObject({ status, stdout: '' })
    expect(ran.stderr).toMatch(says)
    expect(await readFile(join(cwd, 'who.toml'), 'utf8')).toBe(before)
  })

  test.each([
    ['a configuration that is not there', undefined, /postern\.toml: expected .* found no such file/],
    ['a configuration without accounts', '[server]\n', /postern\.toml:1: accounts\.file: expected the name/],
    [
      'a configuration whose accounts are wrong',
      '[accounts]\nfile = 7\n',
      /postern\.toml:2: accounts\.file: expected the name of a file; found 7/,
    ],
    ['a directory that is not there', '[accounts]\nfile = "none/who.toml"\n', /cannot be written: no such file/],
  ])('%s', async (_, text, says) => {
    const cwd = text === undefined ? await temporaryDirectory() : await directoryWithConfig(text)
    const ran = await postern(['user', 'add', 'ann', ...inConfig, '--password-stdin'], { cwd, stdin: ['long enough'] })
    expect(ran).toMatchObject({ status: 74, stdout: '' })
    expect(ran.stderr).toMatch(says)
  })
})
