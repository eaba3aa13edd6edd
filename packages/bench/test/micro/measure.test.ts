import { expect, test } from 'vitest'
import { measureTogether } from '../../src/micro/measure.ts'

const options = { rounds: 3, roundMs: 2 }

const spin = (turns: number) => (iterations: number) => {
  let sum = 0
  for (let i = 0; i < iterations * turns; i++) sum = (sum * 31 + i) | 0
  return sum
}

test('more work for an operation shows as more time', () => {
  const [light, heavy] = measureTogether(
    [
      { name: 'light', run: spin(10) },
      { name: 'heavy', run: spin(1_000) },
    ],
    // The least of many: a machine with other work takes its time from a round or two.
    { rounds: 15, roundMs: 2 },
  )
  expect(heavy!.ns.min).toBeGreaterThan(light!.ns.min * 10)
})

test('what an operation allocates is counted, and nothing else', () => {
  const numbers = Array.from({ length: 64 }, (_, i) => i)
  const kept: unknown[] = Array.from({ length: 64 })
  const [frugal, wasteful] = measureTogether(
    [
      {
        name: 'frugal',
        run: (iterations) => {
          let last = 0
          for (let i = 0; i < iterations; i++) last = numbers[i & 63]!
          return last
        },
      },
      {
        name: 'wasteful',
        run: (iterations) => {
          for (let i = 0; i < iterations; i++) kept[i & 63] = [i, i, i, i]
          return kept.length
        },
      },
    ],
    // Long enough that what the compiler and the loop allocate once is nothing in each operation.
    { ...options, roundMs: 20 },
  )
  expect(wasteful!.bytes).toBeGreaterThan(40)
  expect(wasteful!.bytes).toBeLessThan(200)
  expect(frugal!.bytes).toBeLessThan(1)
})
