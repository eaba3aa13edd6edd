import { endpoint } from '@postern/core'
import { expect, test } from 'vitest'
import { announcers, announcersById } from '../../src/policy/announcers.ts'

test.each([
  ['XCLIENT', '10.1.2.3', true],
  ['XCLIENT', '10.2.0.1', false],
  ['XCLIENT', '::ffff:10.1.2.3', true],
  ['XFORWARD', '10.2.0.1', true],
  ['XFORWARD', '10.1.2.3', false],
  ['XFORWARD', '203.0.113.7', false],
] as const)('PO-10: each verb has its own list: %s from %s', (verb, by, may) => {
  const mayAnnounce = announcers({ xclientNetworks: ['10.1.0.0/16'], xforwardNetworks: ['10.2.0.1'] })
  expect(mayAnnounce(verb, endpoint(by, 1).address)).toBe(may)
})

test('an empty list is nobody', () => {
  const mayAnnounce = announcers({ xclientNetworks: [], xforwardNetworks: [] })
  expect(mayAnnounce('XCLIENT', endpoint('127.0.0.1', 1).address)).toBe(false)
})

test.each([
  ['10.5.0.1', true],
  ['::ffff:10.5.0.1', true],
  ['10.5.0.2', false],
])('by ID who is listed for that: %s', (by, may) => {
  expect(announcersById({ idNetworks: ['10.5.0.1'] })(endpoint(by, 1).address)).toBe(may)
})
