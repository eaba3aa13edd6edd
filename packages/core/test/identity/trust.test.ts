import { expect, test } from 'vitest'
import { compileCidrSet, createTrustRule, endpoint, type TrustMode } from '@postern/core'

const compiled = compileCidrSet(['10.0.0.0/8', '10.1.0.0/16', '2001:db8::/32'])
if (!compiled.ok) throw new Error('networks')
const networks = compiled.set

test.each<[mode: TrustMode, trusted: string, other: string]>([
  ['off', 'absent', 'absent'],
  ['require', 'required', 'refuse'],
  ['mixed', 'required', 'absent'],
  ['optional', 'optional', 'absent'],
])('R-G-06, R-G-07: mode %s', (mode, trusted, other) => {
  const rule = createTrustRule({ mode, networks })
  expect(rule.verdictFor(endpoint('10.1.2.3', 1))).toEqual({ rule: trusted, network: '10.1.0.0/16' })
  expect(rule.verdictFor(endpoint('2001:db8::1', 1))).toEqual({ rule: trusted, network: '2001:db8::/32' })
  expect(rule.verdictFor(endpoint('203.0.113.1', 1))).toEqual({ rule: other })
  // PX-29: however the socket spells it.
  expect(rule.verdictFor(endpoint('::ffff:10.2.0.1', 1))).toEqual({ rule: trusted, network: '10.0.0.0/8' })
})

test('an empty list trusts nobody', () => {
  const empty = compileCidrSet([])
  if (!empty.ok) throw new Error('networks')
  const rule = createTrustRule({ mode: 'require', networks: empty.set })
  expect(rule.verdictFor(endpoint('127.0.0.1', 1))).toEqual({ rule: 'refuse' })
})
