import { endpoint, identify } from '@postern/core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { limits } from '../../src/limits.ts'
import { networks } from '../../src/policy/networks.ts'
import { clientKey } from '../../src/policy/client-key.ts'
import { connectionLimits } from '../../src/policy/client-limits.ts'
import { MachineTally } from '../../src/policy/machine-tally.ts'
import { SharedTally } from '../../src/policy/shared-tally.ts'
import { LocalTally, type TallyLimits, type TallyVerdict } from '../../src/policy/tally.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'Date', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const tenAMinute = { rate: { count: 10, perMs: 60_000 } }

describe('who a client is', () => {
  const rows = [
    ['an IPv4 address', '203.0.113.7', '203.0.113.7'],
    ['an IPv4-mapped address', '::ffff:203.0.113.7', '203.0.113.7'],
    ['an IPv6 address', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['another of the same /64', '2001:db8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['one of the next /64', '2001:db8:1:3::1', '2001:db8:1:3::/64'],
  ] as const
  test.each(rows)('%s', (_what, text, key) => {
    expect(clientKey(endpoint(text, 1).address)).toBe(key)
  })
})

describe('a tally', () => {
  test('S17: ten connections a minute pass, the eleventh does not, and after the minute they do again', () => {
    const tally = new LocalTally(tenAMinute)
    for (let n = 0; n < 10; n++) expect(tally.opened('203.0.113.7')).toBe('pass')
    expect(tally.opened('203.0.113.7')).toBe('rate')
    expect(tally.opened('203.0.113.8')).toBe('pass')
    vi.advanceTimersByTime(60_001)
    expect(tally.opened('203.0.113.7')).toBe('pass')
  })

  test('S17: memory is bounded whatever the number of clients', () => {
    const tally = new LocalTally(tenAMinute, 100)
    for (let n = 0; n < 10_000; n++) {
      const client = `203.0.${n >> 8}.${n & 255}`
      tally.opened(client)
      tally.closed(client)
    }
    expect(tally.clients).toBe(100)
    expect(vi.getTimerCount()).toBeLessThanOrEqual(100)
  })

  test('a client that goes on stays counted while strangers come and go', () => {
    const tally = new LocalTally({ rate: { count: 3, perMs: 60_000 } }, 100)
    let verdict = ''
    for (let n = 0; n < 4; n++) {
      verdict = tally.opened('203.0.113.7')
      for (let stranger = 0; stranger < 99; stranger++) tally.opened(`198.51.${n}.${stranger}`)
    }
    expect(verdict).toBe('rate')
  })

  test('open connections have a ceiling, and room again when one is closed', () => {
    const tally = new LocalTally({ concurrent: 2 })
    expect([tally.opened('a'), tally.opened('a'), tally.opened('a')]).toEqual(['pass', 'pass', 'concurrency'])
    tally.closed('a')
    expect(tally.opened('a')).toBe('pass')
  })

  test('new bounds hold at once; open connections stay counted, and an unchanged rate goes on', () => {
    const tally = new LocalTally({ rate: { count: 2, perMs: 60_000 } })
    tally.opened('a')
    tally.rebound({ rate: { count: 2, perMs: 60_000 }, concurrent: 2 })
    expect([tally.opened('a'), tally.opened('a')]).toEqual(['pass', 'rate'])
    tally.rebound({ concurrent: 2 })
    expect(tally.opened('a')).toBe('concurrency')
  })
})

const post = (deliver: () => void): void => void setImmediate(deliver)

/** Workers with a supervisor that may be told to say nothing; messages take a turn each way. */
function machine(bounds: TallyLimits, wanted = 2, maxClients?: number) {
  const state = { isSilent: false, messages: 0, away: [] as boolean[] }
  const held: (() => void)[] = []
  const workers = new Map<number, SharedTally>()
  /** Workers that are stopped, and read nothing. */
  const hung = new Set<number>()
  const supervisor = new MachineTally(
    bounds,
    wanted,
    (serial, answer) => post(() => hung.has(serial) || workers.get(serial)?.receive(answer)),
    maxClients,
  )
  const worker = (serial: number): SharedTally => {
    const tally = new SharedTally(
      bounds,
      wanted,
      (asked) => {
        state.messages++
        const deliver = (): void => post(() => supervisor.receive(serial, asked))
        if (state.isSilent) held.push(deliver)
        else deliver()
      },
      (isAway) => state.away.push(isAway),
    )
    workers.set(serial, tally)
    supervisor.join(serial)
    return tally
  }
  const speakAgain = (): void => {
    state.isSilent = false
    for (const deliver of held.splice(0)) deliver()
  }
  return { supervisor, worker, state, speakAgain, hung }
}

/** Asks a tally, which may answer at once. */
function ask(tally: SharedTally, client: string): Promise<TallyVerdict> {
  return Promise.resolve(tally.opened(client))
}

/** Lets messages travel; no timer of the tally is due in it. */
const travel = (): Promise<unknown> => vi.advanceTimersByTimeAsync(limits.closeGatherMs + 5)

/** What comes of as many connections of one client, by turns on the workers. */
async function connections(count: number, workers: readonly SharedTally[], client = '203.0.113.7') {
  const verdicts = Promise.all(Array.from({ length: count }, (_, n) => ask(workers[n % workers.length]!, client)))
  await travel()
  return counted(await verdicts)
}

function counted(verdicts: readonly TallyVerdict[]): string {
  return ['pass', 'rate', 'concurrency']
    .map((verdict) => `${verdicts.filter((each) => each === verdict).length} ${verdict}`)
    .filter((text) => !text.startsWith('0 '))
    .join(', ')
}

describe('AU-02, S17: limits hold for the whole machine', () => {
  test.each([
    ['on one of two workers', { concurrent: 10 }, 2, [1], 12, '10 pass, 2 concurrency'],
    ['on both of two workers', { concurrent: 10 }, 2, [1, 2], 12, '10 pass, 2 concurrency'],
    ['on four workers', { concurrent: 10 }, 4, [1, 2, 3, 4], 40, '10 pass, 30 concurrency'],
    [
      'on more workers than the limit can be shared among',
      { concurrent: 3 },
      4,
      [1, 2, 3, 4],
      8,
      '3 pass, 5 concurrency',
    ],
    ['a large limit', { concurrent: 1000 }, 4, [1, 2, 3], 1200, '1000 pass, 200 concurrency'],
    ['a rate, on one of two workers', tenAMinute, 2, [1], 12, '10 pass, 2 rate'],
    ['a rate, on both of two workers', tenAMinute, 2, [1, 2], 12, '10 pass, 2 rate'],
    ['a rate, on four workers', tenAMinute, 4, [1, 2, 3, 4], 40, '10 pass, 30 rate'],
    ['both limits', { ...tenAMinute, concurrent: 8 }, 2, [1, 2], 20, '8 pass, 10 rate, 2 concurrency'],
  ] as const)('%s: exactly what is allowed passes', async (_what, bounds, wanted, serials, count, verdicts) => {
    const { worker } = machine(bounds, wanted)
    const workers = serials.map(worker)
    expect(await connections(count, workers)).toBe(verdicts)
  })

  test('one after the other, they are counted as exactly', async () => {
    const { worker } = machine(tenAMinute, 2)
    const workers = [1, 2].map(worker)
    const verdicts: TallyVerdict[] = []
    for (let n = 0; n < 12; n++) {
      const verdict = ask(workers[n % 2]!, '203.0.113.7')
      await travel()
      verdicts.push(await verdict)
      workers[n % 2]!.closed('203.0.113.7')
    }
    expect(counted(verdicts)).toBe('10 pass, 2 rate')
  })

  test('for any bound, workers, and order of coming and going, exactly what is allowed is open', async () => {
    const steps = fc.array(fc.tuple(fc.nat({ max: 3 }), fc.boolean()), { minLength: 1, maxLength: 60 })
    const bound = fc.integer({ min: 1, max: 20 })
    await fc.assert(
      fc.asyncProperty(bound, fc.integer({ min: 1, max: 4 }), steps, async (concurrent, wanted, plan) => {
        const { worker } = machine({ concurrent }, wanted)
        const workers = Array.from({ length: wanted }, (_, n) => worker(n + 1))
        const open = workers.map(() => 0)
        const total = (): number => open.reduce((sum, each) => sum + each, 0)
        const seen: number[] = []
        const allowed: number[] = []
        for (const [pick, comes] of plan) {
          const at = pick % wanted
          if (comes) {
            allowed.push(Math.min(concurrent, total() + 1))
            const verdict = ask(workers[at]!, 'a')
            await travel()
            if ((await verdict) === 'pass') open[at]!++
            seen.push(total())
          } else if (open[at]! > 0) {
            open[at]!--
            workers[at]!.closed('a')
            await travel()
          }
        }
        expect(seen).toEqual(allowed)
      }),
      { numRuns: 60 },
    )
  })

  test('a client within its share costs no message', async () => {
    const { worker, state } = machine({ concurrent: 100, rate: { count: 100, perMs: 60_000 } }, 2)
    const tally = worker(1)
    expect(await connections(25, [tally])).toBe('25 pass')
    for (let n = 0; n < 25; n++) tally.closed('203.0.113.7')
    await travel()
    expect(state.messages).toBe(0)
  })

  test('questions of one turn travel as one message', async () => {
    const { worker, state } = machine({ concurrent: 1 })
    const tally = worker(1)
    const verdicts = Promise.all(Array.from({ length: 200 }, (_, n) => ask(tally, `203.0.113.${n}`)))
    await travel()
    await verdicts
    expect(state.messages).toBe(1)
  })

  test('a client is counted in one place until it is gone, and then by the workers again', async () => {
    const { worker, supervisor, state } = machine({ concurrent: 8 }, 2)
    const [one, two] = [worker(1), worker(2)]
    expect(await connections(3, [one], 'a')).toBe('3 pass')
    const before = state.messages
    expect(await connections(1, [two], 'a')).toBe('1 pass')
    expect(state.messages).toBe(before + 1)
    for (let n = 0; n < 3; n++) one.closed('a')
    two.closed('a')
    await travel()
    supervisor.tidy()
    await travel()
    const quiet = state.messages
    expect(await connections(2, [two], 'a')).toBe('2 pass')
    expect(state.messages).toBe(quiet)
  })

  test('however many clients it lets go of at once, each worker is told in one message', () => {
    const sent: number[] = []
    const supervisor = new MachineTally({ concurrent: 8 }, 2, (_worker, { forgotten }) => sent.push(forgotten.length))
    for (const serial of [1, 2]) supervisor.join(serial)
    const clients = Array.from({ length: 1000 }, (_, n) => `2001:db8:0:${n.toString(16)}::/64`)
    supervisor.receive(1, {
      told: clients.map((client) => [client, 0, 0, 2] as const),
      asks: clients.map((client, n) => [n, client, 'first'] as const),
      closed: [],
    })
    supervisor.leave(2)
    supervisor.receive(1, { told: [], asks: [], closed: [...clients, ...clients, ...clients] })
    supervisor.join(2)
    sent.length = 0
    supervisor.tidy()
    expect(sent).toEqual([1000, 1000])
  })

  test('a question that waits is answered when its client is pushed out by others', async () => {
    const { worker, supervisor, hung, state } = machine({ concurrent: 8 }, 2, 10)
    const [one] = [worker(1), worker(2)]
    hung.add(2)
    const verdicts: TallyVerdict[] = []
    for (let n = 0; n < 3; n++) void ask(one, 'a').then((verdict) => verdicts.push(verdict))
    await vi.advanceTimersByTimeAsync(2)
    const strangers = Array.from({ length: 10 }, (_, n) => [n, `stranger ${n}`, 'first'] as const)
    supervisor.receive(2, { told: [], asks: strangers, closed: [] })
    await vi.advanceTimersByTimeAsync(2 * limits.tallyAnswerMs)
    expect(counted(verdicts)).toBe('3 pass')
    expect(state.away).toEqual([])
  })

  test('a worker that hangs does not keep others waiting, and what it counted is not lost', async () => {
    const { worker, hung } = machine({ concurrent: 8 }, 2)
    const [one, two] = [worker(1), worker(2)]
    expect(await connections(2, [two], 'a')).toBe('2 pass')
    hung.add(2)
    const verdict = Promise.all([ask(one, 'a'), ask(one, 'a'), ask(one, 'a')])
    await vi.advanceTimersByTimeAsync(limits.tallyRecallMs + 5)
    expect(counted(await verdict)).toBe('3 pass')
  })

  test('a worker that starts later asks for who is counted in one place', async () => {
    const { worker, state } = machine({ concurrent: 8 }, 2)
    const one = worker(1)
    await connections(8, [one], 'a')
    const successor = worker(2)
    await travel()
    const before = state.messages
    expect(await connections(1, [successor], 'a')).toBe('1 concurrency')
    expect(state.messages).toBe(before + 1)
  })

  test('what a dead worker held is given back', async () => {
    const { worker, supervisor } = machine({ concurrent: 2 })
    const [one, two] = [worker(1), worker(2)]
    const first = Promise.all([ask(one, 'a'), ask(one, 'a'), ask(two, 'a')])
    await travel()
    expect(await first).toEqual(['pass', 'pass', 'concurrency'])
    supervisor.leave(1)
    expect(await connections(1, [two], 'a')).toBe('1 pass')
  })

  test('a question that waits for a worker that dies is answered', async () => {
    const { worker, supervisor, hung } = machine({ concurrent: 8 }, 2)
    const [one] = [worker(1), worker(2)]
    hung.add(2)
    const verdict = Promise.all([ask(one, 'a'), ask(one, 'a'), ask(one, 'a')])
    await travel()
    supervisor.leave(2)
    await travel()
    expect(counted(await verdict)).toBe('3 pass')
  })

  test('a connection is given back once, also when its worker died after it said so', async () => {
    const { worker, supervisor } = machine({ concurrent: 1 })
    const [one, two] = [worker(1), worker(2)]
    void ask(one, 'a')
    await travel()
    one.closed('a')
    await travel()
    const second = ask(two, 'a')
    await travel()
    supervisor.leave(1)
    const third = ask(two, 'a')
    await travel()
    expect([await second, await third]).toEqual(['pass', 'concurrency'])
  })
})

test('J14: a client that closes and comes again at once is not called too many while the news travels', async () => {
  const bounds = { concurrent: 1, rate: { count: 2, perMs: 60_000 } }
  const tally = new LocalTally(bounds)
  const keys = { rate: 'rate', concurrency: 'concurrency' }
  const policy = connectionLimits({ name: 'client-limits', bounds, tally, keyOf: clientKey, keys }, networks([]))
  const listener = { name: 'mx', protocol: 'smtp', tls: 'off' } as const
  const peer = endpoint('203.0.113.7', 40_000)
  const identity = identify({ peer, local: endpoint('192.0.2.1', 25), verdict: { rule: 'absent' } })
  const at = { identity, listener }
  expect(await policy.onConnect?.(at)).toEqual({ verdict: 'pass' })
  const second = policy.onConnect?.(at)
  await vi.advanceTimersByTimeAsync(1)
  policy.onClose?.(at)
  await vi.advanceTimersByTimeAsync(limits.closeNewsMs)
  expect(await second).toEqual({ verdict: 'pass' })
})

describe('a supervisor that does not answer', () => {
  test('after a quarter of a second the worker decides alone, and then without waiting', async () => {
    const { worker, state } = machine({ concurrent: 1 })
    state.isSilent = true
    const tally = worker(1)
    const first = ask(tally, 'a')
    await vi.advanceTimersByTimeAsync(limits.tallyAnswerMs + 5)
    expect(await first).toBe('pass')
    expect(await ask(tally, 'a')).toBe('concurrency')
    expect(await ask(tally, 'b')).toBe('pass')
    expect(state.away).toEqual([true])
  })

  test('it is not asked while it is silent: nothing gathers, however many clients come', async () => {
    const { worker, state } = machine({ concurrent: 1 })
    state.isSilent = true
    const tally = worker(1)
    const first = ask(tally, 'a')
    await vi.advanceTimersByTimeAsync(limits.tallyAnswerMs + 5)
    await first
    for (let n = 0; n < 100; n++) {
      expect(await ask(tally, 'b')).toBe('pass')
      tally.closed('b')
      await travel()
    }
    expect(state.messages).toBe(1)
  })

  test('a question that was on its way when it fell silent is decided too', async () => {
    const { worker, state } = machine({ concurrent: 1 })
    state.isSilent = true
    const tally = worker(1)
    const verdicts: string[] = []
    const open = (client: string): void => void ask(tally, client).then((verdict) => verdicts.push(verdict))
    setTimeout(() => open('b'), limits.tallyAnswerMs)
    open('a')
    await vi.advanceTimersByTimeAsync(2 * limits.tallyAnswerMs + 5)
    expect(verdicts).toEqual(['pass', 'pass'])
  })

  test('when it is back it counts again, and what was decided meanwhile is not counted twice', async () => {
    const { worker, state, speakAgain } = machine({ concurrent: 1 })
    state.isSilent = true
    const [one, two] = [worker(1), worker(2)]
    const alone = ask(one, 'a')
    await vi.advanceTimersByTimeAsync(limits.tallyAnswerMs + 5)
    expect(await alone).toBe('pass')
    speakAgain()
    await travel()
    expect(state.away).toEqual([true, false])
    one.closed('a')
    const shared = ask(two, 'a')
    await travel()
    expect(await shared).toBe('pass')
    const again = ask(one, 'a')
    await travel()
    expect(await again).toBe('concurrency')
  })
})
