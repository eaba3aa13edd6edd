import { parseProxyHeader, type ProxyHeader } from '@postern/core'
import { expect, test } from 'vitest'
import { readInetByHand } from '../../src/micro/floor.ts'
import * as headers from '../../src/micro/headers.ts'
import { parseCases } from '../../src/micro/parse.ts'

test.each(Object.entries(headers))('the header %s that is measured is a valid one, to its last byte', (_, bytes) => {
  const parse = parseProxyHeader(bytes)
  expect(parse.status).toBe('done')
  expect((parse as { header: ProxyHeader }).header.length).toBe(bytes.length)
})

test('the floor reads what core reads', () => {
  const into = { source: 0, destination: 0, sourcePort: 0, destinationPort: 0 }
  expect(readInetByHand(headers.v2Tcp4, into)).toBe(28)
  expect(into).toEqual({
    source: 0xcb007107 | 0,
    destination: 0xc6336405 | 0,
    sourcePort: 45678,
    destinationPort: 25,
  })
  expect(readInetByHand(headers.v2Tcp6, into)).toBe(0)
})

test.each(parseCases().map((each) => [`${each.group}: ${each.name}`, each] as const))('%s does its work', (_, each) => {
  expect(each.run(33)).not.toBe(0)
})
