/** Changes on the event loop, and when they go through threads instead: whoever waits for a slow disk is not all of us. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { InPlace } from '../src/in-place.ts'
import { limits } from '../src/limits.ts'

const bounds = { ...limits, promptCallMs: 1, maxLoopWaitMs: 50, loopWaitShare: 0.1, inPlaceTurnMs: 1_000_000 }

/** A disk whose calls take as long as they are told to, by a clock of its own. */
function slowDisk(changes: Partial<typeof bounds> = {}) {
  const clock = { ms: 0 }
  const inPlace = new InPlace({ ...bounds, ...changes }, () => clock.ms)
  const call = (tookMs: number): 'loop' | 'thread' => {
    let how: 'loop' | 'thread' = 'thread'
    void inPlace.call(
      () => {
        how = 'loop'
        clock.ms += tookMs
      },
      () => Promise.resolve(),
    )
    return how
  }
  return { clock, inPlace, call }
}

test('a call that is prompt is made on the event loop, however many there are', () => {
  const { call } = slowDisk()
  expect(new Set(Array.from({ length: 10_000 }, () => call(0.9)))).toEqual(new Set(['loop']))
})

test('after a wait of a second calls go through threads for nearly ten, and then are tried again', () => {
  const { clock, call } = slowDisk()
  expect([call(1_000), call(0), call(0)]).toEqual(['loop', 'thread', 'thread'])
  clock.ms += 9_000
  expect(call(0)).toBe('thread')
  clock.ms += 501
  expect(call(0)).toBe('loop')
})

test('waits that are short each add up', () => {
  const { call } = slowDisk()
  expect(Array.from({ length: 8 }, () => call(10))).toEqual([...Array<string>(6).fill('loop'), 'thread', 'thread'])
})

test('all changes of one turn of the event loop have so many milliseconds of it together, and those of the next again', async () => {
  const { call } = slowDisk({ inPlaceTurnMs: 1 })
  const made = () => Array.from({ length: 9 }, () => (call(0.25) === 'loop' ? '.' : 'T')).join('')
  expect(made()).toBe('....TTTTT')
  await nextTurn()
  expect(made()).toBe('....TTTTT')
})

test('what few changes took in one turn of the event loop does not count in the next', async () => {
  const { call } = slowDisk({ inPlaceTurnMs: 1 })
  for (let turn = 0; turn < 5; turn += 1) {
    expect([call(0.25), call(0.5)]).toEqual(['loop', 'loop'])
    await nextTurn()
  }
})

test('a refusal of the system comes back as it is, and the time it took counts', () => {
  const { clock, inPlace, call } = slowDisk()
  const refused = () => {
    clock.ms += 60
    throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
  }
  expect(() => inPlace.call(refused, () => Promise.resolve())).toThrow('ENOSPC')
  expect(call(0)).toBe('thread')
})

test('whatever the disk does, no more than its share of the time is lost, but for what was lost at once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.double({ min: 0, max: 500, noNaN: true }), fc.double({ min: 0, max: 500, noNaN: true })), {
        maxLength: 200,
      }),
      (calls) => {
        const { clock, call } = slowDisk()
        let lost = 0
        for (const [pauseMs, tookMs] of calls) {
          clock.ms += pauseMs
          if (call(tookMs) === 'loop' && tookMs > bounds.promptCallMs) lost += tookMs
        }
        // The last wait may have been any: nobody knows before.
        expect(lost).toBeLessThanOrEqual(bounds.maxLoopWaitMs + clock.ms * bounds.loopWaitShare + 500)
      },
    ),
  )
})
