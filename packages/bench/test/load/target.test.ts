import { expect, test } from 'vitest'
import { UsageError } from '../../src/command.ts'
import { parseTarget, type Target } from '../../src/load/target.ts'

test.each<[url: string, target: Target]>([
  ['smtp://127.0.0.1:2526', { protocol: 'smtp', host: '127.0.0.1', port: 2526, tls: 'off' }],
  ['smtp://mx.example', { protocol: 'smtp', host: 'mx.example', port: 25, tls: 'off' }],
  ['lmtp://localhost', { protocol: 'lmtp', host: 'localhost', port: 24, tls: 'off' }],
  ['imaps://[::1]:2993', { protocol: 'imap', host: '::1', port: 2993, tls: 'implicit' }],
  [
    'submission://ann%40example.org:p%3Aw@localhost',
    {
      protocol: 'submission',
      host: 'localhost',
      port: 587,
      tls: 'off',
      login: { user: 'ann@example.org', password: 'p:w' },
    },
  ],
])('%s', (url, target) => {
  expect(parseTarget(url, false)).toEqual(target)
})

test('STARTTLS is an upgrade of what is in the clear', () => {
  expect(parseTarget('smtp://localhost', true).tls).toBe('starttls')
  expect(() => parseTarget('smtps://localhost', true)).toThrow('no STARTTLS')
})

test.each(['', 'localhost:25', 'http://localhost', 'smtp://', 'smtp://x:99999', 'constructor://x'])(
  '%o is none',
  (url) => {
    expect(() => parseTarget(url, false)).toThrow(UsageError)
  },
)
