import { parseIpAddress } from '@postern/core'
import { expect, test } from 'vitest'
import { reverseName } from '../../src/dns/reversed-labels.ts'

test.each([
  ['203.0.113.7', '7.113.0.203.in-addr.arpa'],
  ['0.0.0.0', '0.0.0.0.in-addr.arpa'],
  // RFC 3596 section 2.5.
  ['4321:0:1:2:3:4:567:89ab', 'b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa'],
  ['2001:db8::1', `1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`],
  ['::1', `1.${'0.'.repeat(31)}ip6.arpa`],
  ['2001:db8::', `${'0.'.repeat(24)}8.b.d.0.1.0.0.2.ip6.arpa`],
  ['::ffff:203.0.113.7', '7.113.0.203.in-addr.arpa'],
])('the PTR records of %s are at %s', (text, name) => {
  expect(reverseName(parseIpAddress(text)!)).toBe(name)
})
