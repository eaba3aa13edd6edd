import { encodeProxyHeader, endpoint, explainHeader, type ConnectionInfo } from '@postern/core'
import { expect, test } from 'vitest'
import { passedTlvs } from '../../src/upstream/passed-tlvs.ts'
import { connectionFrom } from '../route/routing.ts'

const all = ['unique-id', 'authority', 'alpn', 'ssl'] as const

function told(connection: ConnectionInfo, passed: Parameters<typeof passedTlvs>[1] = all): readonly string[] {
  const [source, destination] = [endpoint('203.0.113.7', 40_000), endpoint('192.0.2.1', 25)]
  const tlvs = passedTlvs(connection, passed)
  const encoded = encodeProxyHeader({ version: 2, command: 'proxy', source, destination, tlvs, hasChecksum: true })
  if (!encoded.ok) throw new Error(encoded.detail)
  return [JSON.stringify(explainHeader(encoded.bytes))]
}

test('X2: what a balancer told of the client goes on, with a checksum of its own', () => {
  const connection = connectionFrom({ authority: 'mx.example.org', serverName: 'other.example.org' })
  const claims = {
    version: 2,
    command: 'proxy',
    uniqueId: 'c0ffee',
    authority: 'mx.example.org',
    alpn: 'smtp',
  } as const
  const [header] = told({ ...connection, identity: { ...connection.identity, claims } })
  for (const word of ['c0ffee', 'mx.example.org', 'smtp', 'TLSv1.3']) expect(header).toContain(word)
  expect(header).not.toContain('other.example.org')
})

test('X3: a verified client certificate goes on, and none that was not', () => {
  const connection = connectionFrom({ serverName: 'mx.example.org' })
  const { security } = connection
  if (security.kind !== 'tls') throw new Error('not TLS')
  const [with_] = told({ ...connection, security: { ...security, clientCommonName: 'ann' } })
  expect(with_).toContain('"ann"')
  const without = passedTlvs(connection, ['ssl'])
  // Client bits: TLS and no certificate; not verified.
  expect(without[0]?.value.subarray(0, 5)).toEqual(Buffer.from([1, 0, 0, 0, 1]))
})

test('what nobody knows is left out; an id is made of ours', () => {
  expect(passedTlvs(connectionFrom(), all).map(({ type, value }) => [type, Buffer.from(value).toString()])).toEqual([
    [5, '0123456789abcdef'],
  ])
})
