import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decoyScramKeys, secret, type AuthOutcome, type ScramKeys } from '@postern/core'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { changeAccounts } from '../../src/auth/accounts-file.ts'
import {
  createAuthenticator,
  FileAuthenticator,
  type FileAuthenticatorOptions,
} from '../../src/auth/file-authenticator.ts'
import { hashPassword, type PasswordHash } from '../../src/auth/password-hash.ts'
import { PasswordChecks } from '../../src/auth/password-checks.ts'
import type { ConfigProblem } from '../../src/config/schema.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { from } from '../kit/signing-in.ts'
import { say, TokenService } from '../kit/token-service.ts'

let annsHash: PasswordHash
let bobsHash: PasswordHash
beforeAll(async () => {
  ;[annsHash, bobsHash] = await Promise.all([hashPassword('ann’s password'), hashPassword('bob’s password')])
})

afterEach(() => {
  vi.useRealTimers()
})

async function accountsOf(accounts: Readonly<Record<string, PasswordHash>>): Promise<string> {
  const file = join(await temporaryDirectory(), 'accounts.toml')
  await changeAccounts(file, () => new Map(Object.entries(accounts).map(([name, password]) => [name, { password }])))
  return file
}

function authenticator(file: string, options: Partial<FileAuthenticatorOptions> = {}): FileAuthenticator {
  return new FileAuthenticator({ file, checksAtOnce: 2, checksWaiting: 8, ...options })
}

function signIn(by: FileAuthenticator, username: string, password: string, actAs?: string): Promise<AuthOutcome> {
  const identities = { username, ...(actAs === undefined ? {} : { actAs }) }
  const verdict = by.verify?.({ mechanism: 'PLAIN', password: secret(password), ...identities }, from())
  return verdict ?? Promise.reject(new Error('no passwords are taken'))
}

/** Asks for one check of each client, in this order; answers in which order they were done. */
async function orderOf(clients: readonly string[], waiting: number): Promise<readonly string[]> {
  const checks = new PasswordChecks({ atOnce: 1, waiting })
  const done: string[] = []
  await Promise.all(
    clients.map(async (client) => {
      const verdict = await checks.check('wrong', annsHash, client)
      done.push(verdict === 'full' ? `${client} full` : client)
    }),
  )
  return done
}

const keysOf = (name: string): ScramKeys => decoyScramKeys(name, Buffer.from('keys'), 8192)

async function scramFile(...names: readonly string[]): Promise<string> {
  const file = join(await temporaryDirectory(), 'accounts.toml')
  await changeAccounts(file, () => new Map(names.map((name) => [name, { password: annsHash, scram: keysOf(name) }])))
  return file
}

async function prepared(file: string): Promise<FileAuthenticator> {
  const by = authenticator(file)
  await by.prepare()
  return by
}

test('a quota that is changed holds a second later, and no message looks for it sooner', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const file = await accountsOf({ ann: annsHash })
  const by = authenticator(file)
  const allow = (quotaBytes: number) =>
    changeAccounts(file, () => new Map([['ann', { password: annsHash, quotaBytes }]]))
  expect(await by.quotaOf('ann')).toBeUndefined()
  // The first time after the accounts were read it looks again.
  expect(await by.quotaOf('ann')).toBeUndefined()
  await allow(2 ** 20)
  vi.advanceTimersByTime(999)
  expect(by.quotaOf('ann')).toBeUndefined()
  vi.advanceTimersByTime(1)
  expect(await by.quotaOf('ann')).toEqual({ bytes: 2 ** 20 })
})

test('an account that was removed has the quota that it had, for who is signed in', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const file = await accountsOf({ ann: annsHash })
  const by = authenticator(file)
  const write = (accounts: Record<string, number>) =>
    changeAccounts(file, () => {
      const all = Object.entries(accounts)
      return new Map(all.map(([name, quotaBytes]) => [name, { password: annsHash, quotaBytes }]))
    })
  await write({ ann: 2 ** 20, bob: 2 ** 21 })
  expect(await by.quotaOf('ann')).toEqual({ bytes: 2 ** 20 })
  for (const others of [{ bob: 2 ** 22 }, { bob: 2 ** 23 }]) {
    await write(others)
    vi.advanceTimersByTime(1000)
    expect(await by.quotaOf('ann')).toEqual({ bytes: 2 ** 20 })
    expect(await by.quotaOf('bob')).toEqual({ bytes: others.bob })
    expect(await by.has('ann')).toBe(false)
    expect(await signIn(by, 'ann', 'ann’s password')).toEqual({ outcome: 'denied' })
  }
  await write({ ann: 2 ** 24 })
  vi.advanceTimersByTime(1000)
  expect(await by.quotaOf('ann')).toEqual({ bytes: 2 ** 24 })
})

describe('keys for SCRAM', () => {
  test('are found, with the account', async () => {
    const by = await prepared(await scramFile('ann'))
    expect(await by.scramKeys?.({ username: 'ann' })).toEqual({
      outcome: 'found',
      keys: decoyScramKeys('ann', Buffer.from('keys'), 8192),
      principal: { account: 'ann', username: 'ann' },
    })
  })

  test('AU-04: a name that is unknown has some too, the same in every worker', async () => {
    const file = await scramFile('ann')
    const [one, other] = await Promise.all([prepared(file), prepared(file)])
    const first = await one.scramKeys?.({ username: 'eve' })
    expect(first).toMatchObject({ outcome: 'unknown', keys: { iterations: 8192 } })
    expect(await other.scramKeys?.({ username: 'eve' })).toEqual(first)
    expect(await one.scramKeys?.({ username: 'eva' })).not.toEqual(first)
  })

  test('AU-06: acting as somebody else finds none', async () => {
    const by = await prepared(await scramFile('ann'))
    expect(await by.scramKeys?.({ username: 'ann', actAs: 'bob' })).toMatchObject({ outcome: 'unknown' })
  })

  test('are offered only when every account has them: who is offered SCRAM tries nothing else', async () => {
    const file = await scramFile('ann', 'bob')
    const by = authenticator(file)
    expect(by.scramKeys).toBeUndefined()
    await by.prepare()
    expect(by.scramKeys).toBeDefined()
    await changeAccounts(file, (all) => new Map([...all, ['old', { password: annsHash }]]))
    expect(await signIn(by, 'old', 'ann’s password')).toMatchObject({ outcome: 'granted' })
    expect(by.scramKeys).toBeUndefined()
    await changeAccounts(file, () => new Map())
    await by.prepare()
    expect(by.scramKeys).toBeUndefined()
  })

  test('an exchange that began before the file lost its keys ends, denied', async () => {
    const file = await scramFile('ann')
    const by = await prepared(file)
    const { scramKeys } = by
    await changeAccounts(file, () => new Map([['ann', { password: annsHash }]]))
    expect(await scramKeys?.({ username: 'ann' })).toMatchObject({ outcome: 'unknown' })
  })

  test('a file that cannot be read is no answer', async () => {
    const by = await prepared(await scramFile('ann'))
    const { scramKeys } = by
    const lost = authenticator('/nowhere/accounts.toml')
    await lost.prepare()
    expect(lost.scramKeys).toBeUndefined()
    expect(await scramKeys?.({ username: 'ann' })).toMatchObject({ outcome: 'found' })
  })
})

async function signInByToken(
  service: TokenService,
  username: string | undefined,
  token: string,
): Promise<AuthOutcome | undefined> {
  const by = createAuthenticator(
    {
      accounts: {
        file: await accountsOf({ ann: annsHash, bob: bobsHash }),
        takesCertificates: false,
        oauth: {
          introspectionUrl: service.url,
          accountClaim: 'username',
          timeoutMs: 5000,
          cacheMs: 0,
          scope: 'mail',
        },
      },
      limits: { passwordChecksAtOnce: 1, passwordChecksWaiting: 1 },
    },
    () => {},
  )
  expect(by.tokenHints).toEqual({ scope: 'mail' })
  const who = username === undefined ? {} : { username }
  return by.verifyToken?.({ mechanism: 'OAUTHBEARER', ...who, token: secret(token) }, from())
}

describe('tokens', () => {
  const tokens = { ann: { active: true, username: 'ann' }, eve: { active: true, username: 'eve' } }

  test.each([
    ['of the account that is asked for', 'ann', 'ann', 'granted'],
    ['without a name: it says whose it is', undefined, 'ann', 'granted'],
    ['AU-06: of another account', 'bob', 'ann', 'denied'],
    ['of somebody who has no account', 'eve', 'eve', 'denied'],
    ['that nobody knows', 'ann', 'wrong', 'denied'],
    ['AU-08: of another spelling', 'Ann', 'ann', 'denied'],
  ])('%s', async (_, username, token, outcome) => {
    const scoped = Object.fromEntries(
      Object.entries(tokens).map(([name, facts]) => [name, { ...facts, scope: 'mail' }]),
    )
    await using service = await TokenService.start(scoped)
    const principal = outcome === 'granted' ? { principal: { account: 'ann', username: 'ann' } } : {}
    expect(await signInByToken(service, username, token)).toEqual({ outcome, ...principal })
  })

  test('that cannot be asked about is not denied', async () => {
    await using service = await TokenService.start()
    service.answerBy((_, response) => say(response, {}, 500))
    expect(await signInByToken(service, 'ann', 'ann')).toMatchObject({ outcome: 'unavailable' })
  })

  test('are not taken where nobody knows them', async () => {
    const by = authenticator(await accountsOf({ ann: annsHash }))
    expect(by.verifyToken).toBeUndefined()
    expect(by.tokenHints).toBeUndefined()
  })
})

describe('X3: signing in by a certificate', () => {
  test('the account of its common name, when certificates are taken', async () => {
    const by = authenticator(await accountsOf({ ann: annsHash }), { takesCertificates: true })
    const principal = { account: 'ann', username: 'ann' }
    expect(await by.verifyCertificate?.({ commonName: 'ann' })).toEqual({ outcome: 'granted', principal })
    expect(await by.verifyCertificate?.({ commonName: 'ann', actAs: 'ann' })).toEqual({ outcome: 'granted', principal })
  })

  test.each([
    ['an unknown name', { commonName: 'eve' }],
    ['somebody else', { commonName: 'ann', actAs: 'bob' }],
    ['another spelling', { commonName: 'Ann' }],
    ['what cannot be a name', { commonName: 'ann\0' }],
    ['no name', { commonName: '' }],
  ])('denied: %s', async (_, claim) => {
    const by = authenticator(await accountsOf({ ann: annsHash, bob: bobsHash }), { takesCertificates: true })
    expect(await by.verifyCertificate?.(claim)).toEqual({ outcome: 'denied' })
  })

  test('not at all by default; not while the accounts cannot be read', async () => {
    expect(authenticator('/nowhere/accounts.toml').verifyCertificate).toBeUndefined()
    const by = authenticator('/nowhere/accounts.toml', { takesCertificates: true })
    expect(await by.verifyCertificate?.({ commonName: 'ann' })).toMatchObject({ outcome: 'unavailable' })
  })
})

describe('signing in', () => {
  test('the right password of an account is granted', async () => {
    const by = authenticator(await accountsOf({ ann: annsHash }))
    const principal = { account: 'ann', username: 'ann' }
    expect(await signIn(by, 'ann', 'ann’s password')).toEqual({ outcome: 'granted', principal })
    expect(await signIn(by, 'ann', 'ann’s password', 'ann')).toEqual({ outcome: 'granted', principal })
  })

  test.each([
    ['a wrong password', 'ann', 'bob’s password'],
    ['an unknown user', 'eve', 'ann’s password'],
    ['AU-08: another spelling of the name', 'Ann', 'ann’s password'],
    ['AU-11: a password with a NUL', 'ann', 'ann’s password\0'],
    ['an empty password', 'ann', ''],
    ['JS-01: a property of every object', '__proto__', 'ann’s password'],
    ['a name of five thousand characters', 'x'.repeat(5000), 'ann’s password'],
  ])('denied: %s', async (_, username, password) => {
    const by = authenticator(await accountsOf({ ann: annsHash, bob: bobsHash }))
    expect(await signIn(by, username, password)).toEqual({ outcome: 'denied' })
  })

  test('AU-06: nobody acts as another', async () => {
    const by = authenticator(await accountsOf({ ann: annsHash, bob: bobsHash }))
    expect(await signIn(by, 'ann', 'ann’s password', 'bob')).toEqual({ outcome: 'denied' })
  })

  test('AU-12: logins that come together get their own accounts', async () => {
    const by = authenticator(await accountsOf({ ann: annsHash, bob: bobsHash }), { checksWaiting: 40 })
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) => {
        const name = index % 2 === 0 ? 'ann' : 'bob'
        return signIn(by, name, `${name}’s password`)
      }),
    )
    expect(outcomes.map((outcome) => outcome.outcome === 'granted' && outcome.principal.account)).toEqual(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 'ann' : 'bob')),
    )
  })

  test('without a file no passwords are taken, so that none is asked for', async () => {
    const by = new FileAuthenticator({ checksAtOnce: 1, checksWaiting: 1 })
    expect(by.verify).toBeUndefined()
    expect(await by.has('ann')).toBe(false)
  })

  test.each([
    ['an alias, as it is written', 'info@example.org', 'ann@example.org'],
    ['a name that is written in capitals', 'bob@example.net', 'Bob@Example.NET'],
    ['an alias in capitals', 'help@example.org', 'ann@example.org'],
    ['a name in a domain of its own letters', 'zoe@xn--bcher-kva.example', 'zoe@bücher.example'],
    ['two names that differ by case', 'carl@example.org', undefined],
    ['an alias that folds to a name', 'dora@example.org', undefined],
    ['a name without a domain', 'eva@eva', undefined],
    ['nobody', 'nobody@example.org', undefined],
  ])('whose mail an address is that is no name: %s', async (_, address, owner) => {
    const file = join(await temporaryDirectory(), 'accounts.toml')
    const password = annsHash
    await changeAccounts(
      file,
      () =>
        new Map([
          ['ann@example.org', { password, aliases: ['info@example.org', 'Help@example.org', 'DORA@example.org'] }],
          ['Bob@Example.NET', { password }],
          ['zoe@bücher.example', { password }],
          ['Carl@example.org', { password }],
          ['CARL@example.org', { password }],
          ['dora@example.org', { password }],
          ['Eva', { password }],
        ]),
    )
    expect(await authenticator(file).ownerOf(address)).toBe(owner)
  })

  test('AU-04: an unknown name is hashed like a known one', async () => {
    const by = authenticator(await accountsOf({ ann: annsHash }), { checksAtOnce: 1, checksWaiting: 0 })
    // With room for one check only, the second finds the place taken: so the first is at work on a hash.
    const [first, second] = await Promise.all([
      signIn(by, 'nobody', 'any password'),
      signIn(by, 'nobody', 'any password'),
    ])
    expect([first.outcome, second.outcome].sort()).toEqual(['denied', 'unavailable'])
  })
})

describe('AU-09: more logins than can be hashed', () => {
  test('those beyond the queue are unavailable at once, and never denied', async () => {
    const by = authenticator(await accountsOf({ ann: annsHash }), { checksAtOnce: 1, checksWaiting: 2 })
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => signIn(by, 'ann', 'ann’s password')))
    const kinds = outcomes.map(({ outcome }) => outcome)
    expect(kinds.filter((kind) => kind === 'granted')).toHaveLength(3)
    expect(kinds.filter((kind) => kind === 'unavailable')).toHaveLength(7)
    expect(outcomes.find(({ outcome }) => outcome === 'unavailable')).toMatchObject({
      cause: { code: 'GATEWAY_PASSWORD_QUEUE_FULL', temporary: true },
    })
  })

  test('a place is given on when a check ends, also when it fails', async () => {
    const checks = new PasswordChecks({ atOnce: 1, waiting: 1 })
    const broken = { ...annsHash, salt: Buffer.alloc(0) }
    const failed = checks.check('x', broken, 'a').catch(() => 'failed')
    const next = checks.check('ann’s password', annsHash, 'a')
    expect(await Promise.all([failed, next])).toEqual(['failed', 'right'])
    expect(await checks.check('wrong', annsHash, 'a')).toBe('wrong')
  })
})

describe('AU-07: one client asks for many checks', () => {
  test('the others are not kept waiting for all of them', async () => {
    const order = await orderOf(['eve', 'eve', 'eve', 'eve', 'eve', 'ann', 'bob', 'ann'], 8)
    expect(order).toEqual(['eve', 'eve', 'ann', 'bob', 'eve', 'ann', 'eve', 'eve'])
  })

  test('and when the queue is full of its checks, one of them gives way', async () => {
    const order = await orderOf(['eve', 'eve', 'eve', 'eve', 'eve', 'ann', 'bob'], 3)
    expect(order).toEqual(['eve full', 'eve full', 'eve full', 'eve', 'eve', 'ann', 'bob'])
  })
})

describe('a file that changes', () => {
  test('a new account, a new password and a removal hold at the next login', async () => {
    const file = await accountsOf({ ann: annsHash })
    const by = authenticator(file)
    expect(await signIn(by, 'bob', 'bob’s password')).toMatchObject({ outcome: 'denied' })
    await changeAccounts(file, (accounts) => new Map([...accounts, ['bob', { password: bobsHash }]]))
    expect(await signIn(by, 'bob', 'bob’s password')).toMatchObject({ outcome: 'granted' })
    await changeAccounts(file, () => new Map([['ann', { password: bobsHash }]]))
    expect(await signIn(by, 'ann', 'ann’s password')).toMatchObject({ outcome: 'denied' })
    expect(await signIn(by, 'ann', 'bob’s password')).toMatchObject({ outcome: 'granted' })
    expect(await signIn(by, 'bob', 'bob’s password')).toMatchObject({ outcome: 'denied' })
  })

  test.each([
    ['broken', (file: string) => writeFile(file, 'account = 7')],
    ['open to everybody', (file: string) => chmod(file, 0o666)],
    ['gone', (file: string) => rm(file)],
  ])('when it is %s, what was read before holds, and that is told once', async (_, spoil) => {
    const file = await accountsOf({ ann: annsHash })
    const told: (readonly ConfigProblem[])[] = []
    const by = authenticator(file, { onUnusable: (problems) => told.push(problems) })
    await signIn(by, 'ann', 'ann’s password')
    await spoil(file)
    expect(await signIn(by, 'ann', 'ann’s password')).toMatchObject({ outcome: 'granted' })
    expect(await signIn(by, 'ann', 'ann’s password')).toMatchObject({ outcome: 'granted' })
    expect(told).toMatchObject([[{ file }]])
  })

  test('when it was never readable, signing in is unavailable, not denied', async () => {
    const by = authenticator(join(await temporaryDirectory(), 'none.toml'))
    expect(await signIn(by, 'ann', 'ann’s password')).toMatchObject({
      outcome: 'unavailable',
      cause: { code: 'GATEWAY_ACCOUNTS' },
    })
  })
})
