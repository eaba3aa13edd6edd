import type { Uid } from '@postern/core'
import { expect, test } from 'vitest'
import { Keywords } from '../src/keywords.ts'
import { KnownMessages } from '../src/known-messages.ts'
import { StoredMessage } from '../src/message.ts'
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

const table = new Keywords(['plain'])

test.each<[string, number, (known: KnownMessages) => Promise<unknown>]>([
  ['asked for by name', 10, (known) => known.index()],
  ['whose keywords changed', 20, (known) => known.useKeywords(table)],
  ['whose UID list was written anew', 30, (known) => known.takeLines(known.messages)],
])('others have the event loop while messages of a snapshot are noted, %s', async (_when, least, work) => {
  const known = new KnownMessages(10)
  const state = { letters: '', extra: 0n, modseq: 1 }
  known.restore(
    Array.from({ length: 100 }, (_, at) => {
      const line = lineOf(at + 1)
      return new StoredMessage(line, `${line.base}:2,a`, false, state, known.keywords)
    }),
  )
  let turns = 0
  let isOver = false
  const next = () => {
    turns += 1
    if (!isOver) setImmediate(next)
  }
  setImmediate(next)
  await work(known)
  isOver = true
  expect(turns).toBeGreaterThanOrEqual(least)
  expect(known.byBase.size).toBe(100)
})

test('a table that gives a keyword another letter is another table', async () => {
  const known = new KnownMessages(10)
  await known.useKeywords(new Keywords(['plain']))
  await known.takeLines([lineOf(1)])
  known.meet(lineOf(1), { name: `${lineOf(1).base}:2,a`, isNew: false })
  await known.publish()
  expect(known.messages[0]?.flags).toEqual(['plain'])
  await known.useKeywords(new Keywords([undefined, 'plain']))
  await known.publish()
  expect(known.messages[0]?.flags).toEqual([])
})
