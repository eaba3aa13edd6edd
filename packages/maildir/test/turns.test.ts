import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inTurns, sortInTurns } from '../src/turns.ts'

/** Counts turns of the event loop until it is ended. */
function countTurns(): { readonly end: () => number } {
  let turns = 0
  let isOn = true
  const next = () => {
    turns += 1
    if (isOn) setImmediate(next)
  }
  setImmediate(next)
  return {
    end: () => {
      isOn = false
      return turns
    },
  }
}

test.each([
  ['none', 0, 3, []],
  ['fewer than a turn has', 2, 3, [0, 0]],
  ['three turns', 7, 3, [0, 0, 0, 1, 1, 1, 2]],
])('visits %s, and others have the event loop in between', async (_, count, perTurn, expected) => {
  const visits: number[] = []
  let turn = 0
  const others = () => {
    turn += 1
    if (turn < 10) setImmediate(others)
  }
  setImmediate(others)
  await inTurns(Array(count).keys(), perTurn, () => visits.push(turn))
  expect(visits).toEqual(expected)
})

const byFirst = (a: readonly number[], b: readonly number[]) => a[0]! - b[0]!

test('sorts as the engine does, those that are equal in their order, however few a turn has', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(9), fc.nat()), { maxLength: 60 }),
      fc.integer({ min: 1, max: 70 }),
      async (items, perTurn) => {
        const before = [...items]
        expect(await sortInTurns(items, perTurn, byFirst)).toEqual(items.toSorted(byFirst))
        expect(items).toEqual(before)
      },
    ),
    { numRuns: 200 },
  )
})

test('others have the event loop while much is sorted', async () => {
  const turns = countTurns()
  await sortInTurns(
    Array.from({ length: 1_000 }, (_, number) => -number),
    100,
    (a, b) => a - b,
  )
  expect(turns.end()).toBeGreaterThan(20)
})
