import { parseProxyHeader, readSsl, tlsClaimFrom, tlvType } from '@postern/core'
import { expect, test } from 'vitest'
import { headersOf, parseRange } from '../../src/load/headers.ts'
import { planLoad, type LoadOptions } from '../../src/load/options.ts'

function sources(options: Omit<LoadOptions, 'url'>, count: number): readonly string[] {
  const header = headersOf(planLoad({ url: 'smtp://localhost:25', ...options }))
  return Array.from({ length: count }, (_, serial) => {
    const bytes = header!(serial)
    const parse = parseProxyHeader(bytes)
    if (parse.status !== 'done') throw new Error(parse.status)
    expect(parse.header.length).toBe(bytes.length)
    return `${parse.header.source?.address.toString()}:${parse.header.source?.port}`
  })
}

test('no header without a version', () => {
  expect(headersOf(planLoad({ url: 'smtp://localhost' }))).toBeUndefined()
})

test.each(['v1', 'v2', 'v2-tlvs'] as const)('%s: each connection speaks for the next client', (proxy) => {
  expect(sources({ proxy, clients: '198.51.100.0/30' }, 4)).toEqual([
    '198.51.100.1:1024',
    '198.51.100.2:1024',
    '198.51.100.3:1024',
    '198.51.100.1:1025',
  ])
})

test('v2-ssl: the client speaks TLS to the balancer', () => {
  const header = headersOf(planLoad({ url: 'imap://localhost', proxy: 'v2-ssl' }))!(0)
  const parse = parseProxyHeader(header)
  if (parse.status !== 'done') throw new Error(parse.status)
  expect(tlsClaimFrom(readSsl(parse.header.tlvs.find(tlvType.ssl)!)!)).toMatchObject({ version: 'TLSv1.3' })
})

test('a single client', () => {
  expect(new Set(sources({ proxy: 'v2' }, 3))).toEqual(new Set(['203.0.113.7:1024']))
  expect(sources({ proxy: 'v1', clients: '2001:db8::7' }, 1)).toEqual(['2001:db8::7:1024'])
})

test('a million clients are all different', () => {
  const range = parseRange('10.0.0.0/12')
  expect(range.size).toBe(2 ** 20 - 1)
  expect([range.at(0), range.at(range.size - 1), range.at(range.size)].map(String)).toEqual([
    '10.0.0.1',
    '10.15.255.255',
    '10.0.0.1',
  ])
})

test.each(['', '10.0.0.0/0', '10.0.0.0/33', '10.0.0/8', 'localhost', '2001:db8::/64'])('%o is no range', (text) => {
  expect(() => parseRange(text)).toThrow(/network/)
})
