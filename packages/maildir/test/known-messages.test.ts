import type { Uid } from '@postern/core'
import { expect, test } from 'vitest'
import { KnownMessages } from '../src/known-messages.ts'
import { lineOf } from './kit.ts'

test('a mailbox of 100,000 lines, half of them expunged, is read without a pass for each', async () => {
  const known = new KnownMessages(4096)
  const lines = Array.from({ length: 100_000 }, (_, at) => lineOf(at + 1))
  await known.takeLines(lines)
  // As many passes over the lines would take minutes.
  for (const { uid } of lines) if (uid % 2 === 0) known.takeExpunged(uid)
  expect(known.unseen.size).toBe(50_000)
  expect([...known.unseen.values()].every(({ uid }) => uid % 2 === 1)).toBe(true)
})

test('an expunge names a UID, and not the message that has its name by now', async () => {
  const known = new KnownMessages(4096)
  await known.takeLines([lineOf(1, 'same'), lineOf(2)])
  known.takeExpunged(1 as Uid)
  known.takeLine(lineOf(3, 'same'))
  known.takeExpunged(2 as Uid)
  expect([...known.unseen.values()].map(({ uid }) => uid)).toEqual([3])
  known.forgetUnseen()
  await known.takeLines([lineOf(4)])
  expect(known.unseen.size).toBe(1)
})
