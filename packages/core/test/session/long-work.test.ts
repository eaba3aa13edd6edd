import { setImmediate as afterLook } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { limits } from '../../src/limits.ts'
import { Turns } from '../../src/session/turns.ts'

const nextOf = (turns: Turns): Promise<void> => new Promise((resolve) => turns.wait(resolve))

/** A clock that only work moves. */
function clock(): { readonly take: (ms: number) => void } {
  let nowMs = 1_000
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
  return { take: (ms) => (nowMs += ms) }
}

/** Sessions that work in pieces of `pieceMs` until `end`, and what they did between two looks at the network. */
async function work(sessions: number, pieceMs: number, looks: number): Promise<readonly (readonly number[])[]> {
  const turns = new Turns(limits.turnShareMs, true)
  const { take } = clock()
  const over = { is: false }
  let done: number[] = []
  const session = async (number: number): Promise<void> => {
    while (!over.is) {
      await nextOf(turns)
      // Its work is as many microtasks as it likes.
      for (let step = 0; step < 5; step += 1) await Promise.resolve()
      take(pieceMs)
      done.push(number)
    }
  }
  const all = Promise.all(Array.from({ length: sessions }, (_, number) => session(number)))
  const perLook: (readonly number[])[] = []
  for (let look = 0; look < looks; look += 1) {
    await afterLook()
    perLook.push(done)
    done = []
  }
  over.is = true
  await all
  vi.restoreAllMocks()
  return perLook
}

test('a session alone has each turn of the loop', async () => {
  const perLook = await work(1, 1, 10)
  expect(perLook.slice(1)).toEqual(Array.from({ length: 9 }, () => [0]))
})

test('a few that have time enough have each turn, in order', async () => {
  const perLook = await work(3, 1, 10)
  expect(perLook.slice(1)).toEqual(Array.from({ length: 9 }, () => [0, 1, 2]))
})

test('however many work, they hold the loop for no longer than their time and a piece; and nobody starves', async () => {
  const pieceMs = 2
  const perLook = await work(50, pieceMs, 200)
  for (const done of perLook) expect(done.length * pieceMs).toBeLessThan(limits.turnShareMs + pieceMs)
  const order = perLook.flat()
  expect(order.length).toBeGreaterThan(400)
  // First come, first served: all of them once, and then all of them again.
  for (const [at, number] of order.entries()) expect(number).toBe(at % 50)
})

test('when nobody works nothing goes on, and the next one has a turn again', async () => {
  const turns = new Turns(limits.turnShareMs, true)
  const order: string[] = []
  await nextOf(turns)
  await afterLook()
  setImmediate(() => order.push('a look'))
  await nextOf(turns)
  order.push('a turn')
  await Promise.all([nextOf(turns), nextOf(turns)])
  expect(order).toEqual(['a look', 'a turn'])
})
