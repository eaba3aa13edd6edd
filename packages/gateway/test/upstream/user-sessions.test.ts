import { expect, test } from 'vitest'
import { UserSessions } from '../../src/upstream/user-sessions.ts'

test('sessions are counted by key, given back once, and nothing is kept of who has gone', () => {
  const sessions = new UserSessions()
  const leave = sessions.enter(['boxes', 'ann', '203.0.113.7'], 2)
  sessions.enter(['boxes', 'ann', '203.0.113.7'], 2)
  expect(sessions.enter(['boxes', 'ann', '203.0.113.7'], 2)).toBeUndefined()
  const other = sessions.enter(['boxes', 'ann', '203.0.113.8'], 2)
  expect(other).toBeDefined()
  leave?.()
  leave?.()
  expect(sessions.enter(['boxes', 'ann', '203.0.113.7'], 2)).toBeDefined()
  expect(sessions.enter(['boxes', 'ann', '203.0.113.7'], 2)).toBeUndefined()
  other?.()
  expect(sessions.size).toBe(1)
})
