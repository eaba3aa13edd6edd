import { describe, expect, test } from 'vitest'
import {
  channelSecurityFrom,
  endpoint,
  formatEndpoint,
  identify,
  parseProxyHeader,
  type ClientIdentity,
  type ProxyHeader,
} from '@postern/core'
import { hex, ssl, text, tlv, unixBlock, v2 } from '../kit/header-bytes.ts'

const peer = endpoint('10.0.0.1', 1000)
const local = endpoint('10.0.0.2', 25)
const verdict = { rule: 'required', network: '10.0.0.0/8' } as const

function headerOf(bytes: Buffer): ProxyHeader {
  const parse = parseProxyHeader(bytes)
  if (parse.status !== 'done') throw new Error(parse.status)
  return parse.header
}

function identityFrom(bytes: Buffer): ClientIdentity {
  return identify({ peer, local, verdict, header: headerOf(bytes) })
}

function ends({ client, destination }: ClientIdentity): string {
  return `${formatEndpoint(client)} ${formatEndpoint(destination)}`
}

describe('whom a connection speaks for', () => {
  test('without a header: the peer', () => {
    const identity = identify({ peer, local, verdict: { rule: 'absent' } })
    expect(identity).toEqual({ origin: 'direct', client: peer, peer, destination: local, trust: { rule: 'absent' } })
  })

  test('S4: with a header: the client, what it dialled, and the peer that said so', () => {
    const identity = identityFrom(v2({}))
    expect(identity).toMatchObject({
      origin: 'proxied',
      peer,
      trust: verdict,
      claims: { version: 2, command: 'proxy' },
    })
    expect(ends(identity)).toBe('192.0.2.1:56324 198.51.100.2:443')
  })

  test.each<[name: string, bytes: Buffer, claims: unknown]>([
    ['R-V1-13, J15: UNKNOWN', text('PROXY UNKNOWN 192.0.2.1 198.51.100.2 1 2\r\n'), { version: 1, command: 'proxy' }],
    [
      'R-V2-03, PX-25, J15: LOCAL',
      v2({ versionAndCommand: 0x20, tlvs: [tlv(0x02, 'x')] }),
      { version: 2, command: 'local' },
    ],
    ['R-V2-09, PX-27: UNSPEC', v2({ familyAndTransport: 0 }), { version: 2, command: 'proxy' }],
    ['PX-27: UNIX', v2({ familyAndTransport: 0x31, block: unixBlock('\r\nX') }), { version: 2, command: 'proxy' }],
  ])('%s: the proxy itself', (_name, bytes, claims) => {
    const identity = identityFrom(bytes)
    expect(identity).toMatchObject({ origin: 'proxy-itself', claims })
    expect(ends(identity)).toBe('10.0.0.1:1000 10.0.0.2:25')
  })

  test('is frozen, and keeps nothing of the buffer', () => {
    const bytes = v2({
      tlvs: [tlv(0x02, 'mx.example.org'), tlv(0x05, 'id'), ssl(3, 0, tlv(0x22, 'ann')), tlv(0xea, '\x01vpce-1')],
    })
    const identity = identityFrom(bytes)
    const before = JSON.stringify(identity)
    bytes.fill(0)
    expect(JSON.stringify(identity)).toBe(before)
    const { claims, client, destination } = identity
    for (const part of [identity, claims, claims?.tls, claims?.vendor, client, destination, identity.peer]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
  })
})

describe('what the proxy said beside the addresses', () => {
  test.each<[name: string, tlvs: readonly Buffer[], claims: unknown]>([
    [
      'everything',
      [tlv(0x01, 'h2'), tlv(0x02, 'mx.example.org'), tlv(0x05, '\0\xff'), tlv(0x30, 'blue')],
      { alpn: 'h2', authority: 'mx.example.org', uniqueId: '00ff', networkNamespace: 'blue' },
    ],
    [
      'PX-19: what is not well-formed is absent',
      [tlv(0x01, '\0'), tlv(0x02, 'a\r\n'), tlv(0x05, ''), tlv(0x30, '\xff')],
      {},
    ],
    ['the first AUTHORITY speaks, also when it is malformed', [tlv(0x02, '\n'), tlv(0x02, 'b')], {}],
    ['TLS', [ssl(1, 1, tlv(0x21, 'TLSv1.3'))], { tls: { version: 'TLSv1.3', clientCertificate: 'none' } }],
    ['no TLS', [ssl(0, 1)], {}],
    ['AWS', [tlv(0xea, '\x01vpce-1')], { vendor: { name: 'aws', id: 'vpce-1' } }],
    ['Azure', [tlv(0xee, hex('0100000080'))], { vendor: { name: 'azure', id: '2147483648' } }],
    ['GCP', [tlv(0xe0, hex('8000000000000000'))], { vendor: { name: 'gcp', id: '9223372036854775808' } }],
    [
      'Alibaba: the endpoint among others',
      [tlv(0xe1, '\x01vpc-1'), tlv(0xe1, '\x02ep-1'), tlv(0xe1, '\x03srv')],
      { vendor: { name: 'alibaba', id: 'ep-1' } },
    ],
    ['Alibaba without an endpoint', [tlv(0xe1, '\x01vpc-1')], {}],
    ['somebody’s own use of a vendor’s type', [tlv(0xea, 'ja4')], {}],
  ])('%s', (_name, tlvs, claims) => {
    expect(identityFrom(v2({ tlvs })).claims).toEqual({ version: 2, command: 'proxy', ...(claims as object) })
  })
})

describe('X3, PX-35: TLS that the proxy ended', () => {
  test.each<[name: string, tlvs: readonly Buffer[], security: unknown]>([
    ['none', [], undefined],
    ['not used by the client', [ssl(0, 1)], undefined],
    [
      'used',
      [ssl(1, 1, tlv(0x21, 'TLSv1.3'), tlv(0x23, 'AES')), tlv(0x02, 'mx.example.org')],
      { kind: 'tls', endedBy: 'proxy', version: 'TLSv1.3', cipher: 'AES', serverName: 'mx.example.org' },
    ],
    [
      'used, with a verified certificate and nothing else',
      [ssl(3, 0, tlv(0x22, 'ann'))],
      { kind: 'tls', endedBy: 'proxy', version: 'unknown', cipher: 'unknown', clientCommonName: 'ann' },
    ],
    [
      'PX-34: used, with a certificate that nobody verified',
      [ssl(3, 1, tlv(0x22, 'ann'))],
      { kind: 'tls', endedBy: 'proxy', version: 'unknown', cipher: 'unknown' },
    ],
  ])('%s', (_name, tlvs, security) => {
    expect(channelSecurityFrom(identityFrom(v2({ tlvs })))).toEqual(security)
  })

  test('a direct client has none', () => {
    expect(channelSecurityFrom(identify({ peer, local, verdict }))).toBeUndefined()
  })
})
