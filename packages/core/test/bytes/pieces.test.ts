import { expect, test } from 'vitest'
import { ByteQueue, LineReader } from '@postern/core'

const pieces = 1_000_000

/** What this guards against, copying all that is there for each piece, takes hours. By the processor's time, of which a busy machine gives little. */
const patienceMs = 20_000

function spentMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

test('JS-09: a million pieces of one byte are taken as they come', () => {
  const reader = new LineReader(pieces + 2)
  const piece = Buffer.from('x')
  const begun = spentMs()
  // Looked for after each thousand, as after each read.
  const early: string[] = []
  for (let n = 0; n < pieces; n++) {
    reader.push(piece)
    if (n % 1_000 === 0) early.push(reader.next().kind)
  }
  expect(new Set(early)).toEqual(new Set(['more']))
  reader.push(Buffer.from('\r\n'))
  expect(reader.next()).toMatchObject({ kind: 'line', bytes: { length: pieces } })
  expect(spentMs() - begun).toBeLessThan(patienceMs)
})

test('JS-09: and dropped as they come', () => {
  const queue = new ByteQueue()
  const begun = spentMs()
  for (let n = 0; n < pieces; n++) queue.push(Buffer.from('x'))
  let taken = 0
  while (queue.length > 0) taken += queue.take(7).length
  expect(taken).toBe(pieces)
  expect(spentMs() - begun).toBeLessThan(patienceMs)
})
