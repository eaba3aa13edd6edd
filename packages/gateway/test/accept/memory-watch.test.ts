import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { MemoryWatch } from '../../src/accept/memory-watch.ts'
import { limits } from '../../src/limits.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.useRealTimers()
})

/** A watch over a process whose memory is what the test says; `afterCollection` is what is left when garbage is gone. */
function watch(max: number | 'unlimited', afterCollection?: number) {
  const told: string[] = []
  const memory = { bytes: 0, collections: 0 }
  const watched = new MemoryWatch(max, (isShort, bytes) => told.push(`${isShort ? 'short' : 'well'} at ${bytes}`), {
    measure: () => memory.bytes,
    collect: () => {
      memory.collections += 1
      memory.bytes = afterCollection ?? memory.bytes
    },
  })
  const look = (bytes?: number): void => {
    memory.bytes = bytes ?? memory.bytes
    vi.advanceTimersByTime(limits.memoryLookMs)
  }
  return { watched, memory, told, look }
}

describe('RS-03: memory over its bound', () => {
  test('is told when a collection did not help, and again when it is a tenth below', () => {
    const { watched, told, look } = watch(1000)
    look(1000)
    look(1001)
    expect(watched.isShort).toBe(false)
    look()
    expect(watched.isShort).toBe(true)
    look(901)
    expect(watched.isShort).toBe(true)
    look(900)
    expect(watched.isShort).toBe(false)
    expect(told).toEqual(['short at 1001', 'well at 900'])
  })

  test('that is garbage is collected, and nobody is turned away', () => {
    const { watched, told, look, memory } = watch(1000, 500)
    look(2000)
    look()
    expect({ told, isShort: watched.isShort, collections: memory.collections }).toEqual({
      told: [],
      isShort: false,
      collections: 1,
    })
  })

  test('is collected now and then as long as it lasts, and not each second', () => {
    const { look, memory } = watch(1000)
    look(2000)
    for (let count = 1; count < 3 * limits.memoryLooksPerCollection; count += 1) look()
    expect(memory.collections).toBe(3)
  })

  test('is nothing where there is none', () => {
    const { watched, look, memory } = watch('unlimited')
    for (let count = 0; count < 5; count += 1) look(Number.MAX_SAFE_INTEGER)
    expect({ isShort: watched.isShort, collections: memory.collections }).toEqual({ isShort: false, collections: 0 })
  })

  test('a watch that is closed looks no more', () => {
    const { watched, told, look } = watch(1000)
    watched.close()
    look(2000)
    look()
    expect(told).toEqual([])
  })
})

test('RS-03: this process is measured and collected for real', () => {
  const told: number[] = []
  const watched = new MemoryWatch(1, (_, bytes) => told.push(bytes))
  vi.advanceTimersByTime(2 * limits.memoryLookMs)
  expect(watched.isShort).toBe(true)
  expect(told[0]).toBeGreaterThan(10_000_000)
  watched.close()
})
