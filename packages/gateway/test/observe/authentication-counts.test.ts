import { expect, test } from 'vitest'
import { countAuthentication } from '../../src/observe/authentication-counts.ts'
import { Counts } from '../../src/observe/counts.ts'

const found = { spf: 'pass', dkim: 'none', dmarc: 'fail', arc: 'none', dmarcPolicy: 'none', fromDomain: 'a', field: '' }

test('each method is counted by what came of it, in words of a closed list', () => {
  const counts = new Counts()
  countAuthentication(counts, found, 20)
  countAuthentication(counts, { ...found, spf: 'a word of somebody else' }, 3000)
  countAuthentication(counts, undefined, 20_000)
  const of = (name: Parameters<Counts['countsOf']>[0]): string[] =>
    counts.countsOf(name).map(({ labels, held }) => `${labels.join(' ')} ${held.value}`)
  expect(of('postern_message_authentications_total')).toEqual(['known 2', 'unknown 1'])
  expect(of('postern_message_authentication_results_total')).toEqual([
    'spf pass 1',
    'dkim none 2',
    'dmarc fail 2',
    'arc none 2',
    'spf other 1',
  ])
  expect(counts.distribution('postern_message_authentication_seconds').sum).toBeCloseTo(23.02)
})
