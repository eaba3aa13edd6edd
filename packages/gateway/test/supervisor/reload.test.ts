import { describe, expect, test } from 'vitest'
import type { StartConfig } from '../../src/config/schema.ts'
import { startChanges } from '../../src/supervisor/reload.ts'

function startOf(...names: readonly string[]): StartConfig {
  return {
    workers: 2,
    dataDir: '/data',
    listeners: names.map((name) => ({ name, protocol: 'smtp', tls: 'off', bind: [{ host: '127.0.0.1', port: 25 }] })),
    admin: {},
  }
}

describe('what of the start part changed', () => {
  const start = startOf('mx')
  const rows = [
    ['nothing', start, []],
    ['the number of workers', { ...start, workers: 4 }, ['server.workers']],
    ['the user', { ...start, user: 'postern' }, ['server.user']],
    ['the data directory', { ...start, dataDir: '/other' }, ['server.data-dir']],
    ['the admin endpoint', { ...start, admin: { bind: { host: '127.0.0.1', port: 2080 } } }, ['admin']],
    [
      'a listener that changed',
      { ...start, listeners: start.listeners.map((one) => ({ ...one, tls: 'starttls' as const })) },
      ['listener.mx'],
    ],
    ['a listener more, and one less', startOf('users'), ['listener.mx', 'listener.users']],
  ] as const
  test.each(rows)('%s', (_what, next, changes) => {
    expect(startChanges(start, next)).toEqual(changes)
  })
})
