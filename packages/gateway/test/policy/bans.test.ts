import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Bans } from '../../src/policy/bans.ts'
import { KnownClients } from '../../src/policy/known-clients.ts'
import { noPolicy } from '../kit/policy-parts.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const policy = {
  rate: {
    ...noPolicy.rate,
    failedLoginsPerClient: { count: 3, perMs: 60_000 },
    failedLoginsPerUser: { count: 5, perMs: 60_000 },
  },
  ban: { firstMs: 10_000, longestMs: 100_000 },
}
const client = '203.0.113.7'

/** Fails until it is banned; for how long. */
function failOn(bans: Bans): number {
  for (let n = 1; n < 3; n++) expect(bans.failed('client', client)).toBeUndefined()
  return bans.failed('client', client)?.[2] ?? 0
}

describe('bans', () => {
  test('the third failure in a minute is the last', () => {
    const bans = new Bans(policy)
    expect(failOn(bans)).toBe(10_000)
    expect(bans.leftMs('client', client)).toBe(10_000)
    expect(bans.leftMs('client', '203.0.113.8')).toBe(0)
    expect(bans.leftMs('user', client)).toBe(0)
  })

  test('failures that are far enough apart add up to nothing', () => {
    const bans = new Bans(policy)
    for (let n = 0; n < 20; n++) {
      expect(bans.failed('client', client)).toBeUndefined()
      vi.advanceTimersByTime(31_000)
    }
  })

  test('each ban is twice as long as the last, up to the longest; who stays out of trouble begins anew', () => {
    const bans = new Bans(policy)
    const lengths: number[] = []
    for (let n = 0; n < 6; n++) {
      const length = failOn(bans)
      lengths.push(length)
      vi.advanceTimersByTime(length + 1)
      expect(bans.leftMs('client', client)).toBe(0)
    }
    expect(lengths).toEqual([10_000, 20_000, 40_000, 80_000, 100_000, 100_000])
    vi.advanceTimersByTime(100_001)
    expect(failOn(bans)).toBe(10_000)
  })

  test('a failure during a ban changes nothing', () => {
    const bans = new Bans(policy)
    failOn(bans)
    vi.advanceTimersByTime(4_000)
    expect(bans.failed('client', client)).toBeUndefined()
    expect(bans.leftMs('client', client)).toBe(6_000)
  })

  test('a process that starts is told of those in force, and learns them', () => {
    const bans = new Bans(policy)
    failOn(bans)
    vi.advanceTimersByTime(4_000)
    const other = new Bans(policy)
    other.learn(JSON.parse(JSON.stringify(bans.inForce)) as typeof bans.inForce)
    expect(other.leftMs('client', client)).toBe(6_000)
    vi.advanceTimersByTime(6_000)
    expect(bans.inForce).toEqual([])
  })

  test('memory is bounded whatever the number of clients, and nothing is counted without a limit', () => {
    const bans = new Bans(policy, 100)
    for (let n = 0; n < 1000; n++) bans.ban('client', `client ${n}`)
    expect(bans.size).toBe(100)
    const free = new Bans({ ...policy, rate: noPolicy.rate })
    for (let n = 0; n < 1000; n++) expect(free.failed('client', client)).toBeUndefined()
  })
})

test('of users and the clients that they come from, the latest are known', () => {
  const known = new KnownClients(2)
  expect([known.add('a', 'ann'), known.add('b', 'ann'), known.add('a', 'ann')]).toEqual([true, true, false])
  known.add('c', 'ann')
  expect([known.has('a', 'ann'), known.has('b', 'ann'), known.has('c', 'ann')]).toEqual([true, false, true])
  expect(known.size).toBe(2)
  expect(known.latest(1)).toEqual(['c ann'])
})
