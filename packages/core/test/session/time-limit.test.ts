import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { limitTime } from '../../src/index.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const never = new AbortController().signal

test('a wait is cut off when its time is up', () => {
  const { signal } = limitTime(never, 100)
  vi.advanceTimersByTime(99)
  expect(signal.aborted).toBe(false)
  vi.advanceTimersByTime(1)
  expect(signal.reason).toMatchObject({ name: 'TimeoutError' })
})

test('or with the signal that it was made of, for its reason', () => {
  const outer = new AbortController()
  const { signal } = limitTime(outer.signal, 100)
  outer.abort('gone')
  expect(signal.reason).toBe('gone')
})

test('one that was aborted before it began never begins', () => {
  expect(limitTime(AbortSignal.abort('gone'), 100).signal.reason).toBe('gone')
})

test('behind its end nothing is left of it', () => {
  const outer = new AbortController()
  const { signal, end } = limitTime(outer.signal, 100)
  end()
  expect([vi.getTimerCount(), getEventListeners(outer.signal, 'abort').length]).toEqual([0, 0])
  outer.abort('gone')
  vi.advanceTimersByTime(1000)
  expect(signal.aborted).toBe(false)
})
