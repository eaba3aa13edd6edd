import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { ByteQueue } from '@postern/core'

const text = (input: string): Buffer => Buffer.from(input, 'latin1')

describe('a queue of bytes', () => {
  test('hands out a chunk without copying it', () => {
    const queue = new ByteQueue()
    const chunk = text('abc')
    queue.push(chunk)
    const taken = queue.take(2)
    expect(taken.buffer).toBe(chunk.buffer)
    expect(taken.toString()).toBe('ab')
    expect(queue.peek().toString()).toBe('c')
    expect(queue.length).toBe(1)
  })

  test('keeps what is left when the chunk is reused', () => {
    const queue = new ByteQueue()
    const chunk = text('abcd')
    queue.push(chunk)
    queue.drop(2)
    queue.keep()
    chunk.fill(0x21)
    expect(queue.peek().toString()).toBe('cd')
    queue.drop(9)
    queue.keep()
    expect(queue.length).toBe(0)
  })

  test('finds LF only among what waits', () => {
    const queue = new ByteQueue()
    queue.push(text('a\nb\nc'))
    expect(queue.indexOfLf()).toBe(1)
    expect(queue.indexOfLf(2)).toBe(3)
    queue.drop(4)
    expect(queue.indexOfLf()).toBe(-1)
    queue.push(text('x'))
    queue.push(text('\n'))
    queue.drop(1)
    queue.keep()
    expect(queue.indexOfLf()).toBe(1)
    queue.take(2)
    // What was taken is still in the buffer behind the view, and must not be found.
    queue.push(text('yy'))
    expect(queue.indexOfLf()).toBe(-1)
  })

  test('does not find LF in room that was never filled', () => {
    const queue = new ByteQueue()
    for (const byte of ['a', '\n', '\n', '\n', '\n']) {
      queue.push(text(byte))
      queue.keep()
    }
    queue.clear()
    expect(queue.length).toBe(0)
    expect(queue.indexOfLf()).toBe(-1)
    expect(queue.take(5)).toHaveLength(0)
  })

  test('gives back exactly what was pushed, however it is pushed and taken', () => {
    const step = fc.oneof(
      fc.record({ push: fc.uint8Array({ maxLength: 20 }) }),
      fc.record({ take: fc.nat({ max: 25 }) }),
      fc.record({ drop: fc.nat({ max: 5 }) }),
      fc.constant({ keep: true }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new ByteQueue()
        let model: number[] = []
        for (const action of steps) {
          // Each action changes queue and model alike, and says what it gave.
          const [given, wanted] = act(queue, model, action)
          expect(given).toEqual(wanted)
          model = model.slice('take' in action ? action.take : 'drop' in action ? action.drop : 0)
          expect(queue.length).toBe(model.length)
          expect(queue.indexOfLf()).toBe(model.indexOf(0x0a))
          expect([...queue.peek()]).toEqual(model)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

type Action = { push: Uint8Array } | { take: number } | { drop: number } | { keep: boolean }

function act(queue: ByteQueue, model: number[], action: Action): readonly [given: unknown, wanted: unknown] {
  if ('push' in action) {
    queue.push(Buffer.from(action.push))
    return [model.push(...action.push), queue.length]
  }
  if ('take' in action) return [[...queue.take(action.take)], model.slice(0, action.take)]
  if ('drop' in action) return [queue.drop(action.drop), Math.min(action.drop, model.length)]
  return [queue.keep(), undefined]
}
