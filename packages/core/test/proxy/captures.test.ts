import { describe, expect, test } from 'vitest'
import { endpoint, identify, parseProxyHeader, type ProxyHeader } from '@postern/core'
import { hex } from '../kit/header-bytes.ts'
import { judge } from '../kit/summary.ts'

/*
 * J6: what real senders sent, byte for byte, with the first bytes of the connection behind it.
 */

test.each<[name: string, bytes: string, verdict: string]>([
  [
    'HAProxy 2.6, send-proxy',
    `
      50524f58592054435034203132372e302e302e31203132372e302e302e312034353331322033393230310d0a45484c4f
      0a`,
    'done v1 proxy INET STREAM 44 127.0.0.1:45312 127.0.0.1:39201',
  ],
  [
    'HAProxy 2.6, send-proxy, IPv6',
    `
      50524f58592054435036203a3a31203a3a312035313037382033393230350d0a`,
    'done v1 proxy INET6 STREAM 32 [::1]:51078 [::1]:39205',
  ],
  [
    'HAProxy 2.6, send-proxy-v2',
    `
      0d0a0d0a000d0a515549540a2111000c7f0000017f00000197ca992245484c4f0a`,
    'done v2 proxy INET STREAM 28 127.0.0.1:38858 127.0.0.1:39202',
  ],
  [
    'HAProxy 2.6, send-proxy-v2 with crc32c, IPv6',
    `
      0d0a0d0a000d0a515549540a2121002b0000000000000000000000000000000100000000000000000000000000000001
      84109924030004703355ef45484c4f0a`,
    'done v2 proxy INET6 STREAM 59 [::1]:33808 [::1]:39204 3=703355ef',
  ],
  [
    'HAProxy 2.6, check-send-proxy',
    `
      0d0a0d0a000d0a515549540a20000000`,
    'done v2 local UNSPEC UNSPEC 16',
  ],
  [
    'nginx 1.22, proxy_protocol on',
    `
      50524f58592054435034203132372e302e302e31203132372e302e302e312033333537382033393230360d0a45484c4f
      0a`,
    'done v1 proxy INET STREAM 44 127.0.0.1:33578 127.0.0.1:39206',
  ],
  [
    'AWS NLB health check (kubernetes/kubernetes#57250)',
    `
      0d0a0d0a000d0a515549540a 2011 0054 030004 bce5951f
      04004a ${'00'.repeat(74)}`,
    'done v2 local UNSPEC UNSPEC 100',
  ],
])('J6: %s', (_name, bytes, verdict) => {
  expect(judge(hex(bytes))).toBe(verdict)
})

describe('J6: HAProxy 2.6, send-proxy-v2 with ssl, cert-cn, cert-key, cert-sig, ssl-cipher, authority, crc32c, unique-id', () => {
  const bytes = hex(`
      0d0a0d0a000d0a515549540a211100a87f0000017f000001eb9e99230300042c3d9dad02000e6d782e6578616d706c65
      2e6f726705002e37463030303030313a454239455f37463030303030313a393932335f36423031393535385f30303034
      3a304238422000500700000000210007544c5376312e332200096c6f63616c686f737425000545433235362400116563
      6473612d776974682d534841323536230016544c535f4145535f3235365f47434d5f534841333834`)

  function header(): ProxyHeader {
    const parse = parseProxyHeader(bytes)
    if (parse.status !== 'done') throw new Error(judge(bytes))
    return parse.header
  }

  test('C1: every TLV is read', () => {
    const identity = identify({
      peer: endpoint('10.0.0.1', 1),
      local: endpoint('10.0.0.2', 25),
      verdict: { rule: 'required' },
      header: header(),
    })
    expect(identity.claims).toEqual({
      version: 2,
      command: 'proxy',
      authority: 'mx.example.org',
      uniqueId: Buffer.from('7F000001:EB9E_7F000001:9923_6B019558_0004:0B8B').toString('hex'),
      tls: {
        version: 'TLSv1.3',
        cipher: 'TLS_AES_256_GCM_SHA384',
        clientCertificate: 'verified',
        commonName: 'localhost',
      },
    })
  })

  test('a flip of any bit behind the prefix is found by its checksum', () => {
    expect(judge(bytes)).toMatch(/^done/)
    const { length } = header()
    for (let at = 16; at < length; at++) {
      // Where the type of the checksum itself is changed, there is none any more.
      if (at === 28) continue
      const broken = Buffer.from(bytes)
      broken[at] = broken[at]! ^ 0x40
      expect(judge(broken)).toMatch(/^bad PROXY_(CHECKSUM|TLV)/)
    }
  })
})
