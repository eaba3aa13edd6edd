import { expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import type { OpenConnection } from '../../src/observe/connection-log.ts'
import { answerSessions } from '../../src/worker/sessions.ts'

const open = (id: number, client = '203.0.113.7'): OpenConnection => ({
  id: `id${id}`,
  listener: 'mx',
  client,
  commands: 0,
  seconds: 10_000 - id,
})

const ask = (matching: string, connections: Iterable<OpenConnection>, withUsers = true) =>
  answerSessions({ type: 'sessions', ask: 1, matching, withUsers }, connections)

test('the newest are shown first, and no more than so many; all are counted', () => {
  const all = Array.from({ length: limits.maxSessionsShown + 5 }, (_, index) => open(index))
  const { matches, sessions } = ask('', all)
  expect(matches).toBe(limits.maxSessionsShown + 5)
  expect(sessions.length).toBe(limits.maxSessionsShown)
  expect(sessions[0]).toBe(all.at(-1))
  expect(sessions.at(-1)).toBe(all[5])
})

test('a word is looked for in every column, without case', () => {
  const connections = [
    open(1),
    { ...open(2), username: 'Ann@example.org' },
    { ...open(3), tls: 'TLSv1.3' },
    { ...open(4), proxy: '10.0.0.1' },
  ]
  expect(ask('ann@', connections).sessions.map(({ id }) => id)).toEqual(['id2'])
  expect(ask('tlsv1.3', connections).sessions.map(({ id }) => id)).toEqual(['id3'])
  expect(ask('10.0.0.1', connections).sessions.map(({ id }) => id)).toEqual(['id4'])
  expect(ask('nobody', connections)).toMatchObject({ matches: 0, sessions: [] })
})

test('without the token neither an answer nor a count of matches says who is signed in', () => {
  const connections = [open(1), { ...open(2), username: 'ann@example.org' }]
  expect(ask('ann@', connections, false)).toMatchObject({ matches: 0, sessions: [] })
  expect(ask('id2', connections, false).sessions).toEqual([open(2)])
})

test('the clients with the most connections are told, whatever is looked for', () => {
  const { topClients } = ask('nobody', [open(1), open(2, '198.51.100.1'), open(3, '198.51.100.1')])
  expect(topClients).toEqual([
    ['198.51.100.1', 2],
    ['203.0.113.7', 1],
  ])
})
