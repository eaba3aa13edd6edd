import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../src/index.ts'
import { done } from './done.ts'
import { encodeThreads, threadByReferences, threadBySubject, type ThreadedMessage } from '../../src/message/threads.ts'

/** Message `number`, sent in that order, with id `number@x`. */
function message(
  number: number,
  references: readonly (number | string)[] = [],
  more: Partial<ThreadedMessage> = {},
): ThreadedMessage {
  return {
    number,
    sentMs: number * 1000,
    subject: `S${number}`,
    isReply: false,
    messageId: `${number}@x`,
    references: references.map((id) => (typeof id === 'number' ? `${id}@x` : id)),
    ...more,
  }
}

function byReferences(...messages: readonly ThreadedMessage[]): string {
  return done(encodeThreads(done(threadByReferences(messages, limits))))
}

test.for<[name: string, messages: readonly ThreadedMessage[], threads: string]>([
  ['nothing', [], ''],
  ['strangers', [message(1), message(2)], '(1)(2)'],
  ['an answer', [message(1), message(2, [1])], '(1 2)'],
  ['an answer that came first', [message(1, [2]), message(2)], '(2 1)'],
  ['a chain', [message(1), message(2, [1]), message(3, [1, 2])], '(1 2 3)'],
  ['two answers', [message(1), message(2, [1]), message(3, [1])], '(1 (2)(3))'],
  [
    'the example of section 4',
    [
      message(2),
      message(3),
      message(6, [3]),
      message(4, [6]),
      message(23, [4]),
      message(44, [6]),
      message(7, [44]),
      message(96, [7]),
    ],
    '(2)(3 6 (4 23)(44 7 96))',
  ],
  ['answers to one that is missing', [message(3, ['a@x']), message(5, ['a@x'])], '((3)(5))'],
  ['one answer to one that is missing', [message(3, ['a@x'])], '(3)'],
  ['one that is missing in between', [message(1), message(3, [1, 'a@x'])], '(1 3)'],
  ['missing ones below one another', [message(3, ['a@x', 'b@x', 'c@x']), message(4, ['a@x', 'b@x'])], '((3)(4))'],
  ['an answer to itself', [message(1, [1])], '(1)'],
  ['answers to each other', [message(1, [2]), message(2, [1])], '(2 1)'],
  ['one id twice', [message(1), message(2, [], { messageId: '1@x' }), message(3, [1])], '(1 3)(2)'],
  ['a message without an id', [message(1, [], { messageId: undefined as never }), message(2, [1])], '(1)(2)'],
  ['its own word counts, not that of others', [message(3, [1, 2]), message(1), message(2)], '(1)(2 3)'],
  ['siblings in the order they were sent', [message(1), message(3, [1]), message(2, [1])], '(1 (2)(3))'],
  [
    'one subject: the reply is below',
    [message(1, [], { subject: 'A' }), message(2, [], { subject: 'A', isReply: true })],
    '(1 2)',
  ],
  [
    'one subject: the reply came first',
    [message(1, [], { subject: 'A', isReply: true }), message(2, [], { subject: 'A' })],
    '(2 1)',
  ],
  [
    'one subject, no reply: side by side',
    [message(1, [], { subject: 'A' }), message(2, [], { subject: 'A' }), message(3, [], { subject: 'A' })],
    '((1)(2)(3))',
  ],
  [
    'one subject: below one that is missing',
    [message(1, ['a@x'], { subject: 'A' }), message(2, ['a@x'], { subject: 'B' }), message(3, [], { subject: 'A' })],
    '((1)(2)(3))',
  ],
  [
    'one subject: two that are missing become one',
    [1, 2, 3, 4].map((number) => message(number, [number < 3 ? 'a@x' : 'b@x'], { subject: 'A' })),
    '((1)(2)(3)(4))',
  ],
  ['no subject gathers nobody', [message(1, [], { subject: '' }), message(2, [], { subject: '' })], '(1)(2)'],
])('REFERENCES: %s', ([, messages, threads]) => {
  expect(byReferences(...messages)).toBe(threads)
})

test('ORDEREDSUBJECT: threads by their first message, which is above the others', () => {
  const messages = [
    message(1, [], { subject: 'B', sentMs: 50 }),
    message(2, [], { subject: 'A', sentMs: 40 }),
    message(3, [], { subject: 'B', sentMs: 10 }),
    message(4, [], { subject: 'C', sentMs: 20 }),
    message(5, [], { subject: 'B', sentMs: 30 }),
    message(6, [], { subject: 'C', sentMs: 20 }),
  ]
  expect(done(encodeThreads(done(threadBySubject(messages))))).toBe('(3 (5)(1))(4 6)(2)')
})

test('every message is in exactly one thread, whatever they refer to', () => {
  const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
  const messages = fc.array(
    fc.record({
      messageId: ids,
      references: fc.array(ids, { maxLength: 5 }),
      subject: fc.constantFrom('', 'A', 'B'),
      isReply: fc.boolean(),
      sentMs: fc.nat(5),
    }),
    { maxLength: 12 },
  )
  fc.assert(
    fc.property(
      messages,
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      fc.nat(20),
      (rows, depth, strangers, steps) => {
        const given = rows.map((row, at) => ({ ...row, number: at + 1 }))
        const bounds = { maxThreadDepth: depth, maxReferencedMessages: strangers, maxThreadSteps: steps }
        for (const threads of [done(threadByReferences(given, bounds)), done(threadBySubject(given))]) {
          const text = done(encodeThreads(threads))
          const numbers = (text.match(/\d+/g) ?? []).map(Number).toSorted((a, b) => a - b)
          expect(numbers).toEqual(given.map(({ number }) => number))
          // thread-list = "(" (thread-members / thread-nested) ")"
          let rest = text
          for (let before = ''; before !== rest;) {
            before = rest
            rest = rest.replaceAll(/\(\d+(?: \d+)*(?: T{2,})?\)|\(T{2,}\)/g, 'T')
          }
          expect(rest).toMatch(/^T*$/)
        }
      },
    ),
  )
})

/** Of this process: what a busy machine does meanwhile takes time as well, and says nothing. */
function processorMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

test('IM-16: loops, 20,000 references and a wide thread cost their size', () => {
  const chain = Array.from({ length: 20_000 }, (_, at) => `${at}@y`)
  const wide = Array.from({ length: 5_000 }, (_, at) => message(at + 10, ['root@x', `${at + 11}@x`]))
  const started = process.cpuUsage()
  const text = byReferences(message(1, chain), message(2, chain.toReversed()), ...wide)
  expect(text.match(/\d+/g)).toHaveLength(5_002)
  expect(processorMs(started)).toBeLessThan(2000)
})

test('IM-16: a deep thread that a thousand messages try to close to a loop costs no more', () => {
  const chain = Array.from({ length: 990 }, (_, at) => `${at}@y`)
  const loops = Array.from({ length: 1_000 }, (_, at) =>
    message(
      at + 2,
      Array.from({ length: 1_000 }, (_each, place) => (place % 2 === 0 ? '989@y' : '0@y')),
    ),
  )
  const started = process.cpuUsage()
  expect(byReferences(message(1, chain), ...loops).match(/\d+/g)).toHaveLength(1_001)
  expect(processorMs(started)).toBeLessThan(3000)
})
