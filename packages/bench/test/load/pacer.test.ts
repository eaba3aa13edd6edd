import { expect, test } from 'vitest'
import { ClosedLoop, OpenLoop, type Pacer } from '../../src/load/pacer.ts'

function takeAll(pacer: Pacer, now: number): readonly number[] {
  const all: number[] = []
  for (let due = pacer.take(now); due !== undefined; due = pacer.take(now)) all.push(due)
  return all
}

test('a closed loop begins at once, an amount of times', () => {
  const pacer = new ClosedLoop(2)
  expect([pacer.take(5), pacer.isSpent, pacer.take(6), pacer.take(7), pacer.isSpent]).toEqual([
    5,
    false,
    6,
    undefined,
    true,
  ])
})

test('a closed loop without an amount never ends', () => {
  const pacer = new ClosedLoop(undefined)
  for (let i = 0; i < 1_000; i++) expect(pacer.take(i)).toBe(i)
  expect(pacer.isSpent).toBe(false)
})

test('an open loop is due by its clock, not by who asks', () => {
  const pacer = new OpenLoop(1_000, 100)
  expect(pacer.take(99.5)).toBeUndefined()
  expect(takeAll(pacer, 103.2)).toEqual([100, 101, 102, 103])
  expect(takeAll(pacer, 103.9)).toEqual([])
})

test('many in a millisecond are due on the grid of the timer', () => {
  expect(takeAll(new OpenLoop(4_000, 0), 1)).toEqual([0, 1, 1, 1, 1])
})

test('who was kept waiting takes what was due meanwhile, with the time it was due: nothing is omitted', () => {
  const pacer = new OpenLoop(100, 0)
  pacer.take(0)
  // A second of silence: a hundred clients came, and waited since their own time.
  const due = takeAll(pacer, 1_000)
  expect(due).toHaveLength(100)
  expect(due.slice(0, 3)).toEqual([10, 20, 30])
})

test('what was due and never begun is told', () => {
  const pacer = new OpenLoop(100, 0)
  pacer.take(0)
  expect(pacer.backlog(500)).toBe(49)
  expect(new OpenLoop(100, 0, 3).backlog(500)).toBe(3)
})

test('an open loop ends with its amount', () => {
  const pacer = new OpenLoop(1_000, 0, 3)
  expect(takeAll(pacer, 1_000)).toHaveLength(3)
  expect(pacer.isSpent).toBe(true)
  expect(pacer.backlog(2_000)).toBe(0)
})
