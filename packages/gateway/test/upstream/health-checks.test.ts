import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { UpstreamConfig } from '../../src/config/schema.ts'
import { limits } from '../../src/limits.ts'
import type { BackendState } from '../../src/upstream/backend-group.ts'
import { HealthChecks } from '../../src/upstream/health-checks.ts'
import type { Look } from '../../src/upstream/look.ts'

function upstream(...paths: readonly string[]): UpstreamConfig {
  return {
    name: 'inside',
    protocol: 'smtp',
    backends: paths.map((path) => ({ address: { path }, weight: 1, isBackup: false })),
    balance: 'round-robin',
    announce: 'received',
    isAnnouncementOptional: false,
    maxHeaderBytes: 536,
    passedTlvs: [],
    hasHeaderChecksum: false,
    tls: { mode: 'off' },
    maxConnections: 'unlimited',
    sendsCredentialsInClear: false,
    slowStartMs: 0,
    timeouts: 'near',
    health: { isChecked: true, intervalMs: 5000, timeoutMs: 1000, rise: 2, fall: 3 },
  }
}

const good: Look = { ok: true, offers: ['PIPELINING'], isSecure: false }
const bad: Look = { ok: false, reason: 'ECONNREFUSED' }

let found: Look = good
let looks = 0
let told: string[] = []
let states: BackendState[] = []
let checks: HealthChecks

beforeEach(() => {
  vi.useFakeTimers()
  found = good
  looks = 0
  told = []
  states = []
  checks = new HealthChecks({
    look: () => {
      looks++
      return Promise.resolve(found)
    },
    onChange: (state) => states.push(state),
    log: {
      upstreamUp: (name, backend) => told.push(`up ${name} ${backend}`),
      upstreamDown: (name, backend, reason) => told.push(`down ${name} ${backend} ${reason}`),
    },
    now: () => Date.now(),
  })
})
afterEach(() => {
  checks.stop()
  vi.useRealTimers()
})

const passes = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

describe('looks at backends', () => {
  test('begin at once, go on regularly, and tell workers what is offered', async () => {
    checks.use([upstream('/a', '/b')])
    await passes(0)
    expect(looks).toBe(2)
    expect(states.map(({ backend, offers }) => [backend, offers])).toEqual([
      ['/a', ['PIPELINING']],
      ['/b', ['PIPELINING']],
    ])
    await passes(5000)
    expect(looks).toBe(4)
    expect(states).toHaveLength(2)
    expect(told).toEqual([])
  })

  test('several bad ones take a backend away, several good ones bring it back, each told once with its cause', async () => {
    checks.use([upstream('/a')])
    await passes(0)
    found = bad
    await passes(5000)
    expect(checks.states[0]?.isUp).toBe(true)
    // In doubt it is looked at more often.
    await passes(2 * limits.hurriedLookMs)
    expect(told).toEqual(['down inside /a ECONNREFUSED'])
    expect(states.at(-1)).toMatchObject({ isUp: false, reason: 'ECONNREFUSED', hasReturned: false })
    await passes(60_000)
    expect(told).toHaveLength(1)
    found = good
    await passes(2 * limits.hurriedLookMs)
    expect(told).toEqual(['down inside /a ECONNREFUSED', 'up inside /a'])
    expect(states.at(-1)).toMatchObject({ isUp: true, hasReturned: true, forMs: 0 })
    expect(checks.states[0]).not.toHaveProperty('reason')
  })

  test('one bad look among good ones changes nothing', async () => {
    checks.use([upstream('/a')])
    await passes(0)
    for (let turn = 0; turn < 6; turn++) {
      found = bad
      // A suspicion brings one look, and it is the only bad one.
      checks.suspect('inside', '/a')
      await passes(limits.hurriedLookMs - 1)
      found = good
      await passes(limits.hurriedLookMs)
    }
    expect(told).toEqual([])
  })

  test('a worker’s suspicion brings the next look forward, at most one in a second', async () => {
    checks.use([upstream('/a')])
    await passes(2000)
    expect(looks).toBe(1)
    for (let time = 0; time < 10; time++) checks.suspect('inside', '/a')
    await passes(0)
    expect(looks).toBe(2)
    checks.suspect('inside', '/a')
    await passes(limits.hurriedLookMs - 1)
    expect(looks).toBe(2)
    await passes(1)
    expect(looks).toBe(3)
    checks.suspect('inside', '/nobody')
  })

  test('a reload keeps what is known, and lets go of what is gone', async () => {
    found = bad
    checks.use([upstream('/a', '/b')])
    await passes(10_000)
    expect(checks.states.map(({ isUp }) => isUp)).toEqual([false, false])
    checks.use([upstream('/a')])
    expect(checks.states).toMatchObject([{ backend: '/a', isUp: false }])
    looks = 0
    await passes(limits.hurriedLookMs)
    expect(looks).toBeLessThanOrEqual(2)
  })

  test('switched off, nothing is looked at, and nobody stays down for ever', async () => {
    found = bad
    checks.use([upstream('/a')])
    await passes(10_000)
    const config = upstream('/a')
    checks.use([{ ...config, health: { ...config.health, isChecked: false } }])
    looks = 0
    await passes(60_000)
    expect(looks).toBe(0)
    expect(checks.states[0]?.isUp).toBe(true)
    checks.suspect('inside', '/a')
    await passes(60_000)
    expect(looks).toBe(0)
  })
})
