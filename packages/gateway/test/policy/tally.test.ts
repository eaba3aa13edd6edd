import { endpoint, identify } from '@postern/core'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { limits } from '../../src/limits.ts'
import { networks } from '../../src/policy/chain.ts'
import { clientKey } from '../../src/policy/client-key.ts'
import { clientLimits } from '../../src/policy/client-limits.ts'
import { MachineTally } from '../../src/policy/machine-tally.ts'
import { SharedTally } from '../../src/policy/shared-tally.ts'
import { LocalTally } from '../../src/policy/tally.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'Date', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const tenAMinute = { rate: { connections: 10, perMs: 60_000 } }

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
  test('S17: ten connections a minute pass, the eleventh does not, and after the minute they do again', async () => {
    const tally = new LocalTally(tenAMinute)
    for (let n = 0; n < 10; n++) expect(await tally.opened('203.0.113.7')).toBe('pass')
    expect(await tally.opened('203.0.113.7')).toBe('rate')
    expect(await tally.opened('203.0.113.8')).toBe('pass')
    await vi.advanceTimersByTimeAsync(60_001)
    expect(await tally.opened('203.0.113.7')).toBe('pass')
  })

  test('S17: memory is bounded whatever the number of clients', async () => {
    const tally = new LocalTally(tenAMinute, 100)
    for (let n = 0; n < 10_000; n++) {
      const client = `203.0.${n >> 8}.${n & 255}`
      await tally.opened(client)
      tally.closed(client)
    }
    expect(tally.clients).toBe(100)
    expect(vi.getTimerCount()).toBeLessThanOrEqual(100)
  })

  test('a client that goes on stays counted while strangers come and go', async () => {
    const tally = new LocalTally({ rate: { connections: 3, perMs: 60_000 } }, 100)
    let verdict = ''
    for (let n = 0; n < 4; n++) {
      verdict = await tally.opened('203.0.113.7')
      for (let stranger = 0; stranger < 99; stranger++) await tally.opened(`198.51.${n}.${stranger}`)
    }
    expect(verdict).toBe('rate')
  })

  test('open connections have a ceiling, and room again when one is closed', async () => {
    const tally = new LocalTally({ concurrent: 2 })
    expect([await tally.opened('a'), await tally.opened('a'), await tally.opened('a')]).toEqual([
      'pass',
      'pass',
      'concurrency',
    ])
    tally.closed('a')
    expect(await tally.opened('a')).toBe('pass')
  })

  test('new bounds hold at once; open connections stay counted, and an unchanged rate goes on', async () => {
    const tally = new LocalTally({ rate: { connections: 2, perMs: 60_000 } })
    await tally.opened('a')
    tally.rebound({ rate: { connections: 2, perMs: 60_000 }, concurrent: 2 })
    expect([await tally.opened('a'), await tally.opened('a')]).toEqual(['pass', 'rate'])
    tally.rebound({ concurrent: 2 })
    expect(await tally.opened('a')).toBe('concurrency')
  })
})

/** Workers with a supervisor that may be told to say nothing. */
function machine(bounds: ConstructorParameters<typeof MachineTally>[0]) {
  const supervisor = new MachineTally(bounds)
  const state = { isSilent: false, messages: 0, away: [] as boolean[] }
  const held: (() => void)[] = []
  const worker = (serial: number): SharedTally => {
    supervisor.join(serial)
    const tally: SharedTally = new SharedTally(
      bounds,
      (asked) => {
        state.messages++
        const deliver = (): void => {
          void supervisor.answer(serial, asked).then((answer) => {
            if (answer.verdicts.length > 0) tally.receive(answer)
            return undefined
          })
        }
        if (state.isSilent) held.push(deliver)
        else deliver()
      },
      (isAway) => state.away.push(isAway),
    )
    return tally
  }
  const speakAgain = (): void => {
    state.isSilent = false
    for (const deliver of held.splice(0)) deliver()
  }
  return { supervisor, worker, state, speakAgain }
}

/** Lets messages travel; no timer of the tally is due in it. */
const travel = (): Promise<unknown> => vi.advanceTimersByTimeAsync(limits.closeGatherMs + 5)

describe('AU-02: limits hold for the whole machine', () => {
  test('a client that lands on four workers has one ceiling', async () => {
    const { worker } = machine({ concurrent: 10 })
    const workers = [1, 2, 3, 4].map(worker)
    const asks = workers.flatMap((tally) => Array.from({ length: 10 }, () => tally.opened('203.0.113.7')))
    const verdicts = Promise.all(asks)
    await travel()
    expect((await verdicts).filter((verdict) => verdict === 'pass')).toHaveLength(10)
  })

  test('questions of one turn travel as one message', async () => {
    const { worker, state } = machine({ concurrent: 1000 })
    const tally = worker(1)
    const verdicts = Promise.all(Array.from({ length: 200 }, (_, n) => tally.opened(`203.0.113.${n}`)))
    await travel()
    await verdicts
    expect(state.messages).toBe(1)
  })

  test('what a dead worker held is given back', async () => {
    const { worker, supervisor } = machine({ concurrent: 2 })
    const [one, two] = [worker(1), worker(2)]
    const first = Promise.all([one.opened('a'), one.opened('a'), two.opened('a')])
    await travel()
    expect(await first).toEqual(['pass', 'pass', 'concurrency'])
    supervisor.leave(1)
    const second = two.opened('a')
    await travel()
    expect(await second).toBe('pass')
  })

  test('a connection is given back once, also when its worker died after it said so', async () => {
    const { worker, supervisor } = machine({ concurrent: 1 })
    const [one, two] = [worker(1), worker(2)]
    void one.opened('a')
    await travel()
    one.closed('a')
    await travel()
    const second = two.opened('a')
    await travel()
    supervisor.leave(1)
    const third = two.opened('a')
    await travel()
    expect([await second, await third]).toEqual(['pass', 'concurrency'])
  })
})

test('J14: a client that closes and comes again at once is not called too many while the news travels', async () => {
  const bounds = { concurrent: 1, rate: { connections: 2, perMs: 60_000 } }
  const tally = new LocalTally(bounds)
  const policy = clientLimits(bounds, networks([]), tally)
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
    const first = tally.opened('a')
    await vi.advanceTimersByTimeAsync(limits.tallyAnswerMs + 5)
    expect(await first).toBe('pass')
    expect(await tally.opened('a')).toBe('concurrency')
    expect(await tally.opened('b')).toBe('pass')
    expect(state.away).toEqual([true])
  })

  test('it is not asked while it is silent: nothing gathers, however many clients come', async () => {
    const { worker, state } = machine({ concurrent: 1 })
    state.isSilent = true
    const tally = worker(1)
    const first = tally.opened('a')
    await vi.advanceTimersByTimeAsync(limits.tallyAnswerMs + 5)
    await first
    for (let n = 0; n < 100; n++) {
      expect(await tally.opened('b')).toBe('pass')
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
    const open = (client: string): void => void tally.opened(client).then((verdict) => verdicts.push(verdict))
    setTimeout(() => open('b'), limits.tallyAnswerMs)
    open('a')
    await vi.advanceTimersByTimeAsync(2 * limits.tallyAnswerMs + 5)
    expect(verdicts).toEqual(['pass', 'pass'])
  })

  test('when it is back it counts again, and what was decided meanwhile is not counted twice', async () => {
    const { worker, state, speakAgain } = machine({ concurrent: 1 })
    state.isSilent = true
    const [one, two] = [worker(1), worker(2)]
    const alone = one.opened('a')
    await vi.advanceTimersByTimeAsync(limits.tallyAnswerMs + 5)
    expect(await alone).toBe('pass')
    speakAgain()
    await travel()
    expect(state.away).toEqual([true, false])
    one.closed('a')
    const shared = two.opened('a')
    await travel()
    expect(await shared).toBe('pass')
    const again = one.opened('a')
    await travel()
    expect(await again).toBe('concurrency')
  })
})
