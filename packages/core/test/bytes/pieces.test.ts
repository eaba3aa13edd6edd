import { expect, test } from 'vitest'
import { ByteQueue, LineReader } from '@postern/core'

const pieces = 1_000_000

/** Generous on a busy machine: what this guards against, copying all that is there for each piece, takes hours. */
const patienceMs = 20_000

test('JS-09: a million pieces of one byte are taken as they come', () => {
  const reader = new LineReader(pieces + 2)
  const piece = Buffer.from('x')
  const begun = performance.now()
  // Looked for after each thousand, as after each read.
  const early: string[] = []
  for (let n = 0; n < pieces; n++) {
    reader.push(piece)
    if (n % 1_000 === 0) early.push(reader.next().kind)
  }
  expect(new Set(early)).toEqual(new Set(['more']))
  reader.push(Buffer.from('\r\n'))
  expect(reader.next()).toMatchObject({ kind: 'line', bytes: { length: pieces } })
  expect(performance.now() - begun).toBeLessThan(patienceMs)
})

test('JS-09: and dropped as they come', () => {
  const queue = new ByteQueue()
  const begun = performance.now()
  for (let n = 0; n < pieces; n++) queue.push(Buffer.from('x'))
  let taken = 0
  while (queue.length > 0) taken += queue.take(7).length
  expect(taken).toBe(pieces)
  expect(performance.now() - begun).toBeLessThan(patienceMs)
})
