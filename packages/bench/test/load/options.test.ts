import { expect, test } from 'vitest'
import { UsageError } from '../../src/command.ts'
import { planLoad, type LoadOptions } from '../../src/load/options.ts'

const url = 'smtp://localhost'

test('without a word: ten connections for ten seconds, that are greeted', () => {
  expect(planLoad({ url })).toMatchObject({
    mode: 'connect',
    connections: 10,
    durationMs: 10_000,
    workers: 1,
    proxy: 'none',
  })
})

test.each<[wrong: LoadOptions, says: string]>([
  [{ url, connections: 0 }, 'connections is a whole number from 1'],
  [{ url, connections: 1.5 }, 'connections is a whole number'],
  [{ url, connections: 2, workers: 3 }, 'more workers than connections'],
  [{ url, duration: 0 }, 'duration is a number of seconds'],
  [{ url, duration: Number.NaN }, 'duration is a number of seconds'],
  [{ url, overallRate: Infinity }, 'overall rate'],
  [{ url, mode: 'login' }, 'mode login needs an imap:// target'],
  [{ url: 'imap://localhost', mode: 'message' }, 'a target that takes mail'],
  [{ url: 'imap://localhost', mode: 'imap' }, 'USER:PASSWORD@'],
  [{ url: 'submission://localhost', mode: 'message' }, 'USER:PASSWORD@'],
])('%o', (wrong, says) => {
  expect(() => planLoad(wrong)).toThrow(UsageError)
  expect(() => planLoad(wrong)).toThrow(says)
})
