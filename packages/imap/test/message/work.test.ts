import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../src/index.ts'
import { encodeThreads, threadByReferences, threadBySubject, type ThreadedMessage } from '../../src/message/threads.ts'
import { sorted } from '../../src/message/work.ts'
import { done } from './done.ts'

const byValue = (one: { readonly value: number }, other: { readonly value: number }): number => one.value - other.value

test('what is sorted in pieces is what a sort at once gives, and what is equal keeps its order', () => {
  const rows = fc.array(fc.nat(40), { maxLength: 2_000, size: 'max' })
  fc.assert(
    fc.property(rows, (values) => {
      const items = values.map((value, at) => ({ value, at }))
      expect(done(sorted([...items], byValue))).toEqual(items.toSorted(byValue))
    }),
    { numRuns: 15 },
  )
})

test('a long list is sorted in pieces of some thousand comparisons', () => {
  const items = Array.from({ length: 20_000 }, (_, at) => (at * 7_919) % 20_011)
  let compared = 0
  let longest = 0
  let before = 0
  const work = sorted(items, (one, other) => {
    compared += 1
    return one - other
  })
  while (work.next().done !== true) {
    longest = Math.max(longest, compared - before)
    before = compared
  }
  expect(compared).toBeGreaterThan(100_000)
  expect(longest).toBeLessThan(4_096)
})

const count = 1_000

/** So many messages: what each refers to, and its subject. */
function messages(references: (at: number) => string[], subject: (at: number) => string): readonly ThreadedMessage[] {
  return Array.from({ length: count }, (_, at) => ({
    number: at,
    sentMs: (at * 7_919) % 10_007,
    subject: subject(at),
    isReply: false,
    messageId: `${at}@x`,
    references: references(at),
  }))
}

const each = (at: number): string => `S${at}`
const one = (): string => 'S'

test.for<[name: string, messages: readonly ThreadedMessage[]]>([
  ['strangers', messages(() => [], each)],
  ['of one subject', messages(() => [], one)],
  ['answers to one', messages(() => ['0@x'], one)],
  ['answers to one that is missing', messages(() => ['a@y'], each)],
  ['chains', messages((at) => [`${at - (at % 500 === 0 ? 0 : 1)}@x`], one)],
])('messages are threaded in pieces that are no longer than a look at each of them: %s', ([, given]) => {
  for (const work of [threadByReferences(given, limits), threadBySubject(given)]) {
    let pieces = 1
    let longest = 0
    let piece = work.next()
    for (; piece.done !== true; piece = work.next()) {
      longest = Math.max(longest, piece.value)
      pieces += 1
    }
    expect(longest).toBeLessThanOrEqual(Math.max(2_048, count + 2))
    expect(pieces).toBeGreaterThan(4)
    expect(Math.max(...encodeThreads(piece.value))).toBe(1)
  }
})
