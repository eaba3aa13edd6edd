import type { ConnectionInfo, Decision } from '@postern/core'
import type { Redis } from 'ioredis'
import type { RateLimiterRedis } from 'rate-limiter-flexible'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { PolicyConfig } from '../../src/config/schema.ts'
import { limits } from '../../src/limits.ts'
import { Fleet, type FleetVerdict } from '../../src/policy/fleet.ts'
import { LoginGuard } from '../../src/policy/login-guard.ts'
import { networks } from '../../src/policy/networks.ts'
import { fleetMeters } from '../../src/policy/shared-meters.ts'
import { clientAt } from '../kit/clients.ts'
import { localMeters, noPolicy } from '../kit/policy-parts.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Stands for the server: what it counted and until when it keeps it, and whether it answers. */
function fleetOf() {
  const counted = new Map<string, number>()
  const until = new Map<string, number>()
  const state = { isSilent: false, questions: 0, away: [] as (string | undefined)[] }
  const current = (id: string): number | undefined => {
    if (performance.now() >= (until.get(id) ?? Infinity)) {
      until.delete(id)
      counted.delete(id)
    }
    return counted.get(id)
  }
  const limiter = (name: string, points: number) => ({
    consume: (key: string): Promise<unknown> => {
      state.questions++
      if (state.isSilent) return Promise.reject(new Error('Command timed out'))
      const count = (current(`${name}:${key}`) ?? 0) + 1
      counted.set(`${name}:${key}`, count)
      // As the library does: over the limit it rejects with what was counted, which is no error.
      // eslint-disable-next-line prefer-promise-reject-errors -- that is what is stood for
      return count > points ? Promise.reject({ consumedPoints: count }) : Promise.resolve({ consumedPoints: count })
    },
    get: (key: string): Promise<unknown> => {
      state.questions++
      if (state.isSilent) return Promise.reject(new Error('Command timed out'))
      const id = `${name}:${key}`
      const msBeforeNext = (until.get(id) ?? Infinity) - performance.now()
      return Promise.resolve({ consumedPoints: current(id) ?? 0, msBeforeNext })
    },
    block: (key: string, seconds: number): Promise<unknown> => {
      counted.set(`${name}:${key}`, points + 1)
      until.set(`${name}:${key}`, performance.now() + seconds * 1000)
      return Promise.resolve({})
    },
  })
  const fleet = new Fleet(
    { disconnect: () => {} } as unknown as Redis,
    (name, { count }) => limiter(name, count) as unknown as RateLimiterRedis,
    (trouble) => state.away.push(trouble),
  )
  return { fleet, state, counted }
}

const three = { count: 3, perMs: 60_000 }
const policy: PolicyConfig = {
  ...noPolicy,
  rate: { ...noPolicy.rate, connectionsPerClient: three, failedLoginsPerClient: three },
  concurrency: { ...noPolicy.concurrency, connectionsPerClient: 2 },
}

describe('X8: a rate holds for the fleet', () => {
  test('two machines count together', async () => {
    const { fleet } = fleetOf()
    const machines = [localMeters(policy), localMeters(policy)].map((own) => fleetMeters(own, fleet, policy))
    const verdicts: unknown[] = []
    for (let n = 0; n < 5; n++) {
      const tally = machines[n % 2]!.tally('client-connections')!
      verdicts.push(await tally.opened('203.0.113.7'))
      tally.closed('203.0.113.7')
    }
    expect(verdicts).toEqual(['pass', 'pass', 'pass', 'rate', 'rate'])
  })

  test('what the machine refuses by itself costs no question; a ceiling stays the machine’s and is given back', async () => {
    const { fleet, state } = fleetOf()
    const own = localMeters({ ...policy, rate: { ...policy.rate, connectionsPerClient: { count: 2, perMs: 60_000 } } })
    const tally = fleetMeters(own, fleet, policy).tally('client-connections')!
    expect([await tally.opened('a'), await tally.opened('a'), await tally.opened('a')]).toEqual([
      'pass',
      'pass',
      'rate',
    ])
    expect(state.questions).toBe(2)
    expect(await tally.opened('a', 'again')).toBe('concurrency')
    tally.closed('a')
    expect(await tally.opened('a', 'again')).toBe('pass')
    expect(state.questions).toBe(2)
  })

  test('what the fleet refuses is given back to the machine', async () => {
    const { fleet, counted } = fleetOf()
    counted.set('client-connections:a', 3)
    const own = localMeters(policy)
    const tally = fleetMeters(own, fleet, policy).tally('client-connections')!
    expect([await tally.opened('a'), await tally.opened('a'), await tally.opened('a')]).toEqual([
      'rate',
      'rate',
      'rate',
    ])
    expect(await own.tally('client-connections')!.opened('a', 'again')).toBe('pass')
  })
})

describe('X8: a server that is away', () => {
  test('is asked no more, but for one client each second, and told of once', async () => {
    const { fleet, state } = fleetOf()
    state.isSilent = true
    const ask = (): Promise<FleetVerdict> => fleet.count('client-connections', three, 'a')
    for (let n = 0; n < 100; n++) expect(await ask()).toBe('unknown')
    expect(state.questions).toBe(limits.maxUnansweredFleetQuestions)
    expect(state.away).toEqual(['Command timed out'])
    vi.advanceTimersByTime(limits.fleetPauseMs + 1)
    await Promise.all(Array.from({ length: 50 }, ask))
    expect(state.questions).toBe(limits.maxUnansweredFleetQuestions + 1)
    state.isSilent = false
    vi.advanceTimersByTime(limits.fleetPauseMs + 1)
    expect(await ask()).toBe('pass')
    expect(await ask()).toBe('pass')
    expect(state.away).toEqual(['Command timed out', undefined])
  })

  test('leaves the machine its own limit', async () => {
    const { fleet, state } = fleetOf()
    state.isSilent = true
    const tally = fleetMeters(localMeters(policy), fleet, policy).tally('client-connections')!
    const verdicts: unknown[] = []
    for (let n = 0; n < 4; n++) {
      verdicts.push(await tally.opened('a'))
      tally.closed('a')
    }
    expect(verdicts).toEqual(['pass', 'pass', 'pass', 'rate'])
  })
})

test('X8, AU-02: failed logins of two machines add up, and the second bans by what the first counted', async () => {
  const { fleet } = fleetOf()
  const sent: unknown[] = []
  const [here, there] = [0, 1].map(() => {
    const guard = new LoginGuard(policy, networks([]), (message) => sent.push(message))
    guard.useFleet(fleet)
    return guard
  })
  const connection: ConnectionInfo = {
    id: '0123456789abcdef',
    listener: { name: 'imap', protocol: 'imap', tls: 'implicit' },
    identity: clientAt('203.0.113.7'),
    security: { kind: 'cleartext' },
  }
  const mayTry = async (guard: LoginGuard | undefined): Promise<string | undefined> => {
    const decision: Decision | undefined = await guard?.policy.onAuthenticate?.({ connection, username: 'ann' })
    return decision?.verdict
  }
  const fail = async (guard: LoginGuard | undefined): Promise<void> => {
    expect(await mayTry(guard)).toBe('pass')
    guard?.ended({ connection, mechanism: 'PLAIN', username: 'ann', outcome: 'denied' })
    await new Promise(setImmediate)
  }
  for (const guard of [here, there, here]) await fail(guard)
  const { firstMs } = policy.ban
  expect(sent).toContainEqual({ type: 'login-ban', of: 'client', key: '203.0.113.7', forMs: firstMs })
  vi.advanceTimersByTime(firstMs / 2)
  expect(await mayTry(there)).toBe('defer')
  expect(sent.at(-1)).toEqual({ type: 'login-ban', of: 'client', key: '203.0.113.7', forMs: firstMs / 2 })

  // Behind the ban everybody counts anew, here and there: it is not pronounced again for what it was pronounced for.
  vi.advanceTimersByTime(firstMs / 2 + 1)
  for (const guard of [here, there]) await fail(guard)
  expect(await mayTry(here)).toBe('pass')
  await fail(there)
  expect(await mayTry(here)).toBe('defer')
})
