import {
  beginSasl,
  chooseSasl,
  deriveScramKeys,
  secret,
  type AuthOutcome,
  type Authenticator,
  type ConnectionInfo,
  type Decision,
} from '@postern/core'
import { describe, expect, test } from 'vitest'
import type { PolicyConfig } from '../../src/config/schema.ts'
import { networks } from '../../src/policy/networks.ts'
import { LoginGuard } from '../../src/policy/login-guard.ts'
import { MachineLogins } from '../../src/policy/machine-logins.ts'
import { clientAt } from '../kit/clients.ts'
import { noPolicy } from '../kit/policy-parts.ts'

const policy: PolicyConfig = {
  ...noPolicy,
  rate: {
    ...noPolicy.rate,
    failedLoginsPerClient: { count: 10, perMs: 600_000 },
    failedLoginsPerUser: { count: 20, perMs: 600_000 },
  },
}

function from(address: string, protocol: 'submission' | 'imap' | 'smtp' = 'imap'): ConnectionInfo {
  return {
    id: '0123456789abcdef',
    listener: { name: protocol, protocol, tls: 'implicit' },
    identity: clientAt(address),
    security: { kind: 'cleartext' },
  }
}

/** Workers that know of each other by a supervisor alone, whose news are there at once. */
function machine(workers: number, config = policy) {
  const guards: LoginGuard[] = []
  const banned: string[] = []
  const supervisor = new MachineLogins(
    config,
    (message) => {
      if (message.type === 'logins') for (const guard of guards) guard.learn(message)
    },
    (of, key, forMs) => banned.push(`${of} ${key} ${forMs}`),
  )
  for (let n = 0; n < workers; n++) {
    guards.push(
      new LoginGuard(config, networks(config.exemptNetworks), (message) => {
        if (message.type === 'login-failed') supervisor.failed(message.client, message.user)
        else if (message.type === 'login-known') supervisor.known(message.pair)
      }),
    )
  }
  /** One attempt; true when the password was looked at. */
  const attempt = (
    worker: number,
    address: string,
    username: string,
    outcome: 'granted' | 'denied' | 'unavailable',
    protocol: 'submission' | 'imap' = 'imap',
  ): boolean => {
    const connection = from(address, protocol)
    const guard = guards[worker % workers]!
    const decision = guard.policy.onAuthenticate?.({ connection, username }) as Decision
    if (decision.verdict !== 'pass') return false
    guard.ended({ connection, mechanism: 'PLAIN', username, outcome })
    return true
  }
  return { guards, attempt, banned, supervisor }
}

describe('AU-02: limits of failed sign-ins hold for the machine', () => {
  test('one client, a thousand connections over four workers, both protocols, another user each time', () => {
    const { attempt, banned } = machine(4)
    let looked = 0
    for (let n = 0; n < 1000; n++) {
      if (attempt(n, '203.0.113.7', `user${n}`, 'denied', n % 2 === 0 ? 'imap' : 'submission')) looked++
    }
    expect(looked).toBe(10)
    expect(banned).toEqual(['client 203.0.113.7 600000'])
  })

  test('one user from a thousand addresses', () => {
    const { attempt, banned } = machine(4)
    let looked = 0
    for (let n = 0; n < 1000; n++) {
      if (attempt(n, `10.1.${n >> 8}.${n & 255}`, n % 2 === 0 ? 'ann' : 'ANN', 'denied')) looked++
    }
    expect(looked).toBe(20)
    expect(banned).toEqual(['user ann 600000'])
  })

  test('an IPv6 client is its /64', () => {
    const { attempt } = machine(2)
    let looked = 0
    for (let n = 0; n < 100; n++) if (attempt(n, `2001:db8::${n.toString(16)}`, `user${n}`, 'denied')) looked++
    expect(looked).toBe(10)
  })

  test('a banned client is refused at connect where users sign in, and mail of hosts is not', () => {
    const { attempt, guards } = machine(2)
    for (let n = 0; n < 10; n++) attempt(n, '203.0.113.7', `user${n}`, 'denied')
    const judge = (protocol: 'imap' | 'smtp'): Decision => {
      const { identity, listener } = from('203.0.113.7', protocol)
      return guards[1]?.policy.onConnect?.({ identity, listener }) as Decision
    }
    expect(judge('imap')).toMatchObject({ verdict: 'defer', reason: 'banned' })
    expect(judge('smtp')).toEqual({ verdict: 'pass' })
  })

  test('a worker that starts later knows who is banned', () => {
    const { attempt, supervisor } = machine(1)
    for (let n = 0; n < 10; n++) attempt(n, '203.0.113.7', `user${n}`, 'denied')
    const late = new LoginGuard(policy, networks([]), () => {})
    late.learn(JSON.parse(JSON.stringify(supervisor.news)) as typeof supervisor.news)
    expect(late.policy.onAuthenticate?.({ connection: from('203.0.113.7'), username: 'x' })).toMatchObject({
      reason: 'banned',
    })
  })
})

describe('AU-03: strangers cannot lock an owner out', () => {
  test('the owner signs in from where that one signed in before, in every worker', () => {
    const { attempt } = machine(4)
    expect(attempt(0, '198.51.100.1', 'ann', 'granted')).toBe(true)
    for (let n = 0; n < 1000; n++) attempt(n, `10.1.${n >> 8}.${n & 255}`, 'ann', 'denied')
    expect([0, 1, 2, 3].map((worker) => attempt(worker, '198.51.100.1', 'ann', 'granted'))).toEqual(
      Array.from({ length: 4 }, () => true),
    )
    expect(attempt(0, '198.51.100.2', 'ann', 'granted')).toBe(false)
    expect(attempt(0, '198.51.100.2', 'bob', 'granted')).toBe(true)
  })

  test('the owner who mistypes there is not counted against the user, but against the client', () => {
    const { attempt, banned } = machine(1)
    attempt(0, '198.51.100.1', 'ann', 'granted')
    for (let n = 0; n < 50; n++) attempt(0, '198.51.100.1', 'ann', 'denied')
    expect(banned).toEqual(['client 198.51.100.1 600000'])
  })
})

describe('what counts', () => {
  test('a directory that is down bans nobody', () => {
    const { attempt } = machine(1)
    for (let n = 0; n < 100; n++) expect(attempt(0, '203.0.113.7', 'ann', 'unavailable')).toBe(true)
  })

  test('exempt networks are never banned', () => {
    const { attempt } = machine(1, { ...policy, exemptNetworks: ['203.0.113.0/24'] })
    for (let n = 0; n < 100; n++) expect(attempt(0, '203.0.113.7', 'ann', 'denied')).toBe(true)
  })
})

describe('a SCRAM exchange that was begun before the ban', () => {
  test('AU-02: does not end in a login, nor is the client told whether its password is right', async () => {
    const { attempt, guards } = machine(1)
    const [guard] = guards
    const keys = await deriveScramKeys('right')
    const authenticator = guard!.guarded({
      scramKeys: async ({ username }) => ({ outcome: 'found', keys, principal: { account: username, username } }),
    })
    const endOf = async (ban: () => void) => {
      const context = { authenticator, connection: from('203.0.113.7'), policies: [guard!.policy] }
      const server = beginSasl('SCRAM-SHA-256', context)
      const client = chooseSasl(['SCRAM-SHA-256'], { username: 'ann', password: secret('right') })
      const first = await server!.start(client!.initial)
      ban()
      const final = first.next === 'challenge' ? await client!.answer(first.challenge) : undefined
      const proven = await server!.answer(final?.ok === true ? final.response : '*')
      return proven.next === 'challenge' ? server!.answer('') : proven
    }
    expect(await endOf(() => {})).toMatchObject({ end: { outcome: 'granted' } })
    const ban = (): void => {
      for (let n = 0; n < 10; n++) attempt(0, '203.0.113.7', `user${n}`, 'denied')
    }
    expect(await endOf(ban)).toMatchObject({ end: { outcome: 'refused', decision: { reason: 'banned' }, by: 'ban' } })
  })
})

describe('a guarded authenticator', () => {
  test('a guess that was under way when the ban came is told nothing, right or wrong', async () => {
    const { attempt, guards } = machine(1)
    const checking = Promise.withResolvers<AuthOutcome>()
    const guarded = guards[0]!.guarded({ verify: () => checking.promise })
    const credentials = { mechanism: 'PLAIN', username: 'ann', password: secret('right') } as const
    const outcome = guarded.verify?.(credentials, from('203.0.113.7'))
    const question = { username: 'ann', connection: from('203.0.113.7') }
    expect(guards[0]!.withholds(question)).toBeUndefined()
    for (let n = 0; n < 10; n++) attempt(0, '203.0.113.7', `user${n}`, 'denied')
    checking.resolve({ outcome: 'granted', principal: { account: 'ann', username: 'ann' } })
    expect(await outcome).toMatchObject({ outcome: 'unavailable' })
    expect(guards[0]!.withholds(question)).toMatch(/failed to sign in too often/)
  })

  test('offers what the one behind it offers, as that changes', async () => {
    const inner: Authenticator = {}
    const guarded = machine(1).guards[0]!.guarded(inner)
    expect([guarded.verify, guarded.verifyToken, guarded.scramKeys, guarded.verifyCertificate]).toEqual(
      Array.from({ length: 4 }, () => undefined),
    )
    const granted: AuthOutcome = { outcome: 'granted', principal: { account: 'ann', username: 'ann' } }
    inner.verifyCertificate = () => Promise.resolve(granted)
    inner.verifyToken = () => Promise.resolve(granted)
    inner.scramKeys = () => Promise.resolve({ outcome: 'unknown' })
    expect(await guarded.verifyCertificate?.({ commonName: 'ann' }, from('203.0.113.7'))).toBe(granted)
    expect(await guarded.verifyToken?.({ mechanism: 'XOAUTH2', token: secret('x') }, from('203.0.113.7'))).toBe(granted)
    expect(await guarded.scramKeys?.({ username: 'ann' }, from('203.0.113.7'))).toEqual({ outcome: 'unknown' })
  })
})
