import { beforeEach, describe, expect, test } from 'vitest'
import type { UpstreamConfig } from '../../src/config/schema.ts'
import { limits } from '../../src/limits.ts'
import { BackendGroup, type BackendState } from '../../src/upstream/backend-group.ts'

let now = 0
let suspected: string[] = []
let avoided: [string, number][] = []

beforeEach(() => {
  now = 1_000_000
  suspected = []
  avoided = []
})

function group(names: readonly string[], more: Partial<UpstreamConfig> = {}): BackendGroup {
  const config = {
    backends: names.map((name) => ({
      address: { path: name.replace('+', '') },
      weight: 1,
      isBackup: name.endsWith('+'),
    })),
    balance: 'round-robin',
    maxConnections: 'unlimited',
    slowStartMs: 0,
    health: { isChecked: true, intervalMs: 5000, timeoutMs: 1000, rise: 2, fall: 3 },
    ...more,
  } as const
  const listeners = {
    onSuspicion: (backend: string) => suspected.push(backend),
    onAvoided: (backend: string, forMs: number) => avoided.push([backend, forMs]),
  }
  return new BackendGroup(config, listeners, () => now)
}

const names = (backends: BackendGroup, key = ''): string[] => [...backends.candidates(key)].map(({ name }) => name)
const first = (backends: BackendGroup): string | undefined => {
  for (const { name } of backends.candidates('')) return name
  return undefined
}

function word(backend: string, isUp: boolean, more: Partial<BackendState> = {}): BackendState {
  return { upstream: 'u', backend, isUp, forMs: 0, hasReturned: false, ...more }
}

function fail(backends: BackendGroup, name: string, times: number): void {
  for (let time = 0; time < times; time++) backends.failed(name, 'no answer')
}

describe('whom the supervisor calls down', () => {
  test('nobody is sent to, until it is up again', () => {
    const backends = group(['/a', '/b'])
    backends.receive(word('/a', false, { reason: 'ECONNREFUSED' }))
    expect(names(backends)).toEqual(['/b'])
    expect(backends.isDown).toBe(false)
    backends.receive(word('/b', false))
    expect(names(backends)).toEqual([])
    expect(backends.isDown).toBe(true)
    expect(backends.trouble).toBe('/a is down: ECONNREFUSED; /b is down: no reason is known')
    backends.receive(word('/a', true))
    expect(names(backends)).toEqual(['/a'])
  })

  test('a backup is used when nobody else is left', () => {
    const backends = group(['/a', '/b+'])
    expect(first(backends)).toBe('/a')
    expect(first(backends)).toBe('/a')
    backends.receive(word('/a', false))
    expect(names(backends)).toEqual(['/b'])
  })

  test('what is told of a backend that is not ours changes nothing', () => {
    const backends = group(['/a'])
    backends.receive(word('/other', false))
    backends.failed('/other', '')
    backends.connecting('/other')
    expect(names(backends)).toEqual(['/a'])
  })
})

describe('what a worker meets itself', () => {
  test('BK-11: several failures in a row, and the backend is left alone for a moment that grows', () => {
    const backends = group(['/a', '/b'])
    fail(backends, '/a', 2)
    expect(avoided).toEqual([])
    fail(backends, '/a', 1)
    expect(avoided).toEqual([['/a', limits.firstAvoidanceMs]])
    expect(suspected).toEqual(['/a', '/a', '/a'])
    expect(first(backends)).toBe('/b')
    expect(first(backends)).toBe('/b')
    fail(backends, '/a', 9)
    expect(avoided.at(-1)).toEqual(['/a', limits.maxAvoidanceMs])
  })

  test('BK-11: then one connection tries it, and the others follow when that one succeeds', () => {
    const backends = group(['/a', '/b'])
    fail(backends, '/a', 3)
    now += limits.firstAvoidanceMs
    const firsts = [first(backends), first(backends), first(backends)]
    expect(firsts.filter((name) => name === '/a')).toHaveLength(1)
    backends.succeeded('/a', ['SIZE 1000'])
    expect(avoided.at(-1)).toEqual(['/a', 0])
    expect(new Set([first(backends), first(backends)])).toEqual(new Set(['/a', '/b']))
    expect(backends.all[0]?.offers).toEqual(['SIZE 1000'])
  })

  test('a trial of which nobody hears again does not keep the backend out for ever', () => {
    const backends = group(['/a', '/b'])
    fail(backends, '/a', 3)
    now += limits.firstAvoidanceMs
    while (first(backends) !== '/a');
    now += limits.backendTrialMs
    const firsts = [first(backends), first(backends)]
    expect(firsts).toContain('/a')
  })

  test('where nothing better is left, what failed a moment ago is tried all the same', () => {
    const backends = group(['/a', '/b'])
    fail(backends, '/a', 3)
    now += 10
    fail(backends, '/b', 3)
    expect(names(backends)).toEqual(['/a', '/b'])
    expect(backends.isDown).toBe(false)
  })

  test('a good look of the supervisor ends it', () => {
    const backends = group(['/a', '/b'])
    fail(backends, '/a', 5)
    backends.receive(word('/a', true, { hasReturned: true }))
    expect(new Set([first(backends), first(backends)])).toEqual(new Set(['/a', '/b']))
  })
})

test('the next candidate is judged when it is asked for', () => {
  const backends = group(['/a', '/b', '/c'])
  const candidates = backends.candidates('')[Symbol.iterator]()
  const one = candidates.next().value?.name
  const others = ['/a', '/b', '/c'].filter((name) => name !== one)
  backends.receive(word(others[0] ?? '', false))
  expect(candidates.next().value?.name).toBe(others[1])
  expect(candidates.next().done).toBe(true)
})

test('a backend that has its connections gets no more', () => {
  const backends = group(['/a', '/b'], { maxConnections: 1 })
  backends.connecting('/a')
  expect(names(backends)).toEqual(['/b'])
  backends.connecting('/b')
  expect(names(backends)).toEqual([])
  expect(backends.trouble).toBe('/a has max-connections; /b has max-connections')
  backends.gone('/a')
  expect(names(backends)).toEqual(['/a'])
})

test('who has least to do comes first', () => {
  const backends = group(['/a', '/b'], { balance: 'least-connections' })
  backends.connecting('/a')
  expect(names(backends)).toEqual(['/b', '/a'])
})

test('the same user goes to the same backend', () => {
  const backends = group(['/a', '/b', '/c'], { balance: 'hash-user' })
  const order = names(backends, 'ann')
  expect(names(backends, 'ann')).toEqual(order)
  backends.receive(word(order[0] ?? '', false))
  expect(names(backends, 'ann')).toEqual(order.slice(1))
})

test('slow start: a backend that came back gets a share that grows', () => {
  const backends = group(['/a', '/b'], { slowStartMs: 10_000 })
  backends.receive(word('/a', true, { hasReturned: true, forMs: 0 }))
  const share = (): number =>
    Array.from({ length: 200 }, () => first(backends)).filter((name) => name === '/a').length / 200
  expect(share()).toBeLessThan(0.05)
  now += 5_000
  expect(share()).toBeCloseTo(1 / 3, 1)
  now += 5_000
  expect(share()).toBeCloseTo(1 / 2, 1)
})
