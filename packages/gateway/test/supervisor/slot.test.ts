import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { limits } from '../../src/limits.ts'
import { Slot } from '../../src/supervisor/slot.ts'
import { FakeWorker } from './fake-worker.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

function openSlot() {
  const workers: FakeWorker[] = []
  const events: string[] = []
  const slot = new Slot(
    (listeners) => {
      const worker = new FakeWorker(workers.length + 1, listeners)
      workers.push(worker)
      return worker
    },
    {
      onReady: ({ serial }) => events.push(`ready ${serial}`),
      onMessage: () => {},
      onCrash: ({ serial }, _how, failures, delayMs) => events.push(`crash ${serial} no ${failures}, wait ${delayMs}`),
      onHang: ({ serial }) => events.push(`hang ${serial}`),
      onDrained: ({ serial }) => events.push(`drained ${serial}`),
      onGone: () => {},
    },
  )
  slot.start()
  const worker = (index: number): FakeWorker => {
    const found = workers.at(index)
    if (found === undefined) throw new Error(`no worker ${index}`)
    return found
  }
  return { slot, workers, events, worker, last: () => worker(-1) }
}

async function retireAsManyAsMay(slot: Slot, last: () => FakeWorker): Promise<void> {
  last().becomesReady()
  for (let n = 0; n < limits.maxRetiringWorkersPerSlot; n++) {
    const done = slot.replace(1000)
    last().becomesReady()
    await done
  }
}

describe('a worker that dies', () => {
  test('PR-01: having served, it is started again within a second however often it dies, for clients wait', () => {
    const { workers, events, last } = openSlot()
    for (let n = 0; n < 6; n++) {
      const before = workers.length
      last().becomesReady()
      last().dies()
      vi.advanceTimersByTime(1_000)
      expect(workers.length).toBe(before + 1)
    }
    expect(events.at(-1)).toBe('crash 6 no 6, wait 1000')
  })

  test('PR-02: one that cannot start is tried again at once, then after 1, 2, 4 ... 60 seconds', () => {
    const { workers, events, last } = openSlot()
    const waits: number[] = []
    for (let n = 0; n < 10; n++) {
      const before = workers.length
      const startedAt = performance.now()
      last().dies()
      while (workers.length === before) vi.advanceTimersByTime(1)
      waits.push(Math.round((performance.now() - startedAt) / 1000))
    }
    expect(waits).toEqual([0, 1, 2, 4, 8, 16, 32, 60, 60, 60])
    expect(events.slice(0, 3)).toEqual(['crash 1 no 1, wait 0', 'crash 2 no 2, wait 1000', 'crash 3 no 3, wait 2000'])
  })

  test('one that lived for a minute was sound: its death is a first one', () => {
    const { events, last } = openSlot()
    last().dies()
    vi.advanceTimersByTime(1)
    last().becomesReady()
    vi.advanceTimersByTime(limits.soundWorkerMs + 1)
    last().dies()
    expect(events.at(-1)).toBe('crash 2 no 1, wait 0')
  })

  test('PR-03: one that says nothing for ten looks in a row is killed; one that speaks is not', () => {
    const { slot, events, last } = openSlot()
    last().becomesReady()
    for (let look = 0; look < 9; look++) slot.look()
    last().missedLooks = 0
    for (let look = 0; look < 9; look++) slot.look()
    expect(events).toEqual(['ready 1'])
    slot.look()
    expect(events).toEqual(['ready 1', 'hang 1'])
    expect(last().told).toEqual(['kill'])
  })
})

describe('a hand-over', () => {
  test('the old worker drains only when its successor accepts', async () => {
    const { slot, worker, events } = openSlot()
    worker(0).becomesReady()
    const done = slot.replace(1000)
    expect(worker(0).told).toEqual([])
    worker(1).becomesReady()
    expect(await done).toBe(true)
    expect(worker(0).told).toEqual(['retire'])
    expect(slot.isReady).toBe(true)
    worker(0).dies()
    expect(events).toEqual(['ready 1', 'ready 2', 'drained 1'])
  })

  test('a successor that dies first changes nothing', async () => {
    const { slot, workers, worker } = openSlot()
    worker(0).becomesReady()
    const done = slot.replace(1000)
    worker(1).dies()
    expect(await done).toBe(false)
    vi.runAllTimers()
    expect({ workers: workers.length, told: worker(0).told, isReady: slot.isReady }).toEqual({
      workers: 2,
      told: [],
      isReady: true,
    })
  })

  test('when the old worker dies meanwhile the successor takes the place', async () => {
    const { slot, workers, worker } = openSlot()
    worker(0).becomesReady()
    const done = slot.replace(1000)
    worker(0).dies()
    vi.runAllTimers()
    expect(workers.length).toBe(2)
    worker(1).becomesReady()
    expect(await done).toBe(true)
    expect(slot.isReady).toBe(true)
  })

  test('when both die the place is filled again', async () => {
    const { slot, worker } = openSlot()
    worker(0).becomesReady()
    const done = slot.replace(1000)
    worker(0).dies()
    worker(1).dies()
    expect(await done).toBe(false)
    vi.runAllTimers()
    worker(2).becomesReady()
    expect(slot.isReady).toBe(true)
  })

  test('retired workers do not gather without bound: the next waits until the oldest, asked to finish, is gone', async () => {
    const { slot, workers, worker, last } = openSlot()
    await retireAsManyAsMay(slot, last)
    const before = workers.length
    const done = slot.replace(1000)
    expect([worker(0).told, worker(1).told]).toEqual([['retire', 'stop'], ['retire']])
    expect(workers.length).toBe(before)
    worker(0).dies()
    await Promise.resolve()
    last().becomesReady()
    expect(await done).toBe(true)
    expect(slot.workers).toHaveLength(1 + limits.maxRetiringWorkersPerSlot)
  })

  test('a stop that comes while one waits is the end of it', async () => {
    const { slot, workers, last } = openSlot()
    await retireAsManyAsMay(slot, last)
    const done = slot.replace(1000)
    slot.stop(1000)
    for (const one of workers) one.dies()
    expect(await done).toBe(false)
    expect(slot.workers).toEqual([])
  })
})

describe('the end', () => {
  test('every worker is asked to finish, the retired ones too, and none is started again', async () => {
    const { slot, workers, worker } = openSlot()
    worker(0).becomesReady()
    const done = slot.replace(1000)
    worker(1).becomesReady()
    await done
    const starting = slot.replace(1000)
    slot.stop(1000)
    expect(await starting).toBe(false)
    expect(workers.map(({ told }) => told)).toEqual([['retire', 'stop'], ['stop'], ['stop']])
    for (const one of workers) one.dies()
    vi.runAllTimers()
    expect({ started: workers.length, left: slot.workers.length }).toEqual({ started: 3, left: 0 })
  })
})
