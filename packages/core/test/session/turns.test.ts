import { setImmediate as endOfTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Turns } from '../../src/session/turns.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const shareMs = 5

describe('a turn of the event loop', () => {
  test('is over when the share is used up, and the next one has a share of its own', async () => {
    const turns = new Turns(shareMs)
    expect(turns.isOver).toBe(false)
    vi.advanceTimersByTime(shareMs - 1)
    expect(turns.isOver).toBe(false)
    vi.advanceTimersByTime(1)
    expect(turns.isOver).toBe(true)
    await endOfTurn()
    expect(turns.isOver).toBe(false)
  })

  test('its share begins when something is done in it first, however long that is', async () => {
    const turns = new Turns(shareMs)
    vi.advanceTimersByTime(10 * shareMs)
    expect(turns.isOver).toBe(false)
    await endOfTurn()
    vi.advanceTimersByTime(10 * shareMs)
    expect(turns.isOver).toBe(false)
  })
})

describe('who waits', () => {
  test('is called in order of coming, a share in each turn, and between two of them others are looked at', async () => {
    const turns = new Turns(shareMs)
    const done: string[] = []
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      turns.wait(() => {
        done.push(name)
        vi.advanceTimersByTime(3)
      })
    }
    expect(done).toEqual([])
    await endOfTurn()
    expect(done).toEqual(['a', 'b'])
    // What came in meanwhile has a share, whoever waits.
    expect(turns.isOver).toBe(false)
    await endOfTurn()
    expect(done).toEqual(['a', 'b', 'c', 'd'])
    await endOfTurn()
    expect(done).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  test('has what it leads to counted as its own', async () => {
    const turns = new Turns(shareMs)
    const done: string[] = []
    const work = (name: string) => (): void => {
      void (async () => {
        await Promise.resolve()
        await Promise.resolve()
        done.push(name)
        vi.advanceTimersByTime(2 * shareMs)
      })()
    }
    turns.wait(work('a'))
    turns.wait(work('b'))
    await endOfTurn()
    expect(done).toEqual(['a'])
    await endOfTurn()
    expect(done).toEqual(['a', 'b'])
  })

  test('and waits again, is behind the others', async () => {
    const turns = new Turns(shareMs)
    const done: string[] = []
    turns.wait(() => turns.wait(() => done.push('again')))
    turns.wait(() => done.push('another'))
    await endOfTurn()
    expect(done).toEqual(['another', 'again'])
  })
})
