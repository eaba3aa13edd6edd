import { describe, expect, test } from 'vitest'
import { explainHeader, type HeaderRecord } from '@postern/core'
import { hex, inet6Block, ssl, text, tlv, unixBlock, v2, withChecksum } from '../kit/header-bytes.ts'

const absent: HeaderRecord = {
  status: 'not-proxy',
  version: null,
  command: null,
  family: null,
  protocol: null,
  sourceAddress: null,
  sourcePort: null,
  destinationAddress: null,
  destinationPort: null,
  tlvs: null,
  headerLength: null,
  code: null,
  reason: null,
}

describe('C5: bytes explained', () => {
  test.each<[name: string, bytes: Buffer, record: Partial<HeaderRecord>]>([
    [
      'TCP4',
      text('PROXY TCP4 192.0.2.1 198.51.100.2 0 443\r\nEHLO'),
      {
        version: 1,
        command: 'PROXY',
        family: 'INET',
        protocol: 'STREAM',
        sourceAddress: '192.0.2.1',
        sourcePort: 0,
        destinationAddress: '198.51.100.2',
        destinationPort: 443,
        headerLength: 41,
      },
    ],
    [
      'UNKNOWN',
      text('PROXY UNKNOWN 192.0.2.1\r\n'),
      { version: 1, command: 'PROXY', family: 'UNSPEC', protocol: 'UNSPEC', headerLength: 25 },
    ],
    [
      'UDP over IPv6',
      v2({ familyAndTransport: 0x22, block: inet6Block }),
      {
        version: 2,
        command: 'PROXY',
        family: 'INET6',
        protocol: 'DGRAM',
        sourceAddress: '2001:db8::1',
        sourcePort: 56_324,
        destinationAddress: '2001:db8::2',
        destinationPort: 443,
        headerLength: 52,
      },
    ],
    [
      'LOCAL with addresses',
      v2({ versionAndCommand: 0x20 }),
      { version: 2, command: 'LOCAL', family: 'UNSPEC', protocol: 'UNSPEC', headerLength: 28 },
    ],
    [
      'UNSPEC',
      v2({ familyAndTransport: 0 }),
      { version: 2, command: 'PROXY', family: 'UNSPEC', protocol: 'UNSPEC', headerLength: 28 },
    ],
    [
      'UNIX',
      v2({ familyAndTransport: 0x31, block: unixBlock() }),
      {
        version: 2,
        command: 'PROXY',
        family: 'UNIX',
        protocol: 'STREAM',
        sourceAddress: '/run/a.sock',
        destinationAddress: '/run/b.sock',
        headerLength: 232,
      },
    ],
    [
      'UNIX, abstract and full',
      v2({ familyAndTransport: 0x31, block: unixBlock('\0abstract', 'b'.repeat(108)) }),
      {
        version: 2,
        command: 'PROXY',
        family: 'UNIX',
        protocol: 'STREAM',
        sourceAddress: '\0abstract',
        destinationAddress: 'b'.repeat(108),
        headerLength: 232,
      },
    ],
    [
      'UNIX without names',
      v2({ familyAndTransport: 0x32, block: Buffer.alloc(216) }),
      {
        version: 2,
        command: 'PROXY',
        family: 'UNIX',
        protocol: 'DGRAM',
        sourceAddress: '',
        destinationAddress: '',
        headerLength: 232,
      },
    ],
  ])('%s', (_name, bytes, record) => {
    expect(explainHeader(bytes)).toEqual({ ...absent, status: 'ok', tlvs: [], ...record })
  })

  test.each<[name: string, bytes: Buffer]>([
    ['nothing', hex('')],
    ['half a text header', text('PROXY TCP4 1')],
    ['half a binary header', v2({}).subarray(0, 27)],
    ['the largest header announced', v2({ length: 65_535 })],
  ])('%s is incomplete', (_name, bytes) => {
    expect(explainHeader(bytes)).toEqual({ ...absent, status: 'incomplete' })
  })

  test.each<[name: string, bytes: Buffer]>([
    ['SMTP', text('EHLO x\r\n')],
    ['lower case', text('proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n')],
    ['TLS', hex('1603010200')],
  ])('%s is no PROXY header', (_name, bytes) => {
    expect(explainHeader(bytes)).toEqual(absent)
  })

  test('an invalid header has its code, a reason and the place', () => {
    const record = explainHeader(v2({ versionAndCommand: 0x31 }))
    expect(record).toEqual({
      ...absent,
      status: 'invalid',
      code: 'PROXY_VERSION',
      reason: expect.stringMatching(/version is not 2.*byte 12/),
    })
  })
})

describe('TLVs explained', () => {
  test.each<[name: string, bytes: Buffer, explained: { readonly name: string | null; readonly value: unknown }]>([
    ['ALPN', tlv(0x01, 'h2'), { name: 'ALPN', value: 'h2' }],
    ['ALPN that is no text', tlv(0x01, '\0'), { name: 'ALPN', value: null }],
    ['AUTHORITY', tlv(0x02, 'mx.example.org'), { name: 'AUTHORITY', value: 'mx.example.org' }],
    ['AUTHORITY with a line end', tlv(0x02, 'a\r\n'), { name: 'AUTHORITY', value: null }],
    ['NOOP', tlv(0x04, '\0\0'), { name: 'NOOP', value: null }],
    ['UNIQUE_ID as text', tlv(0x05, 'C0A80001:1'), { name: 'UNIQUE_ID', value: 'C0A80001:1' }],
    ['UNIQUE_ID as bytes', tlv(0x05, '\0\x01'), { name: 'UNIQUE_ID', value: null }],
    ['NETNS', tlv(0x30, 'blue'), { name: 'NETNS', value: 'blue' }],
    ['AWS', tlv(0xea, '\x01vpce-1'), { name: 'AWS_VPC_ENDPOINT', value: { vpcEndpointId: 'vpce-1' } }],
    ['Azure', tlv(0xee, hex('0101000000')), { name: 'AZURE_PRIVATE_ENDPOINT', value: { linkId: 1 } }],
    [
      'GCP',
      tlv(0xe0, hex('ffffffffffffffff')),
      { name: 'GCP_PRIVATE_SERVICE_CONNECT', value: { pscConnectionId: '18446744073709551615' } },
    ],
    ['Alibaba', tlv(0xe1, '\x02ep-1'), { name: 'ALIBABA_PRIVATELINK', value: { endpointId: 'ep-1' } }],
    ['unassigned', tlv(0x06, 'x'), { name: null, value: null }],
  ])('%s', (_name, bytes, explained) => {
    const record = explainHeader(v2({ tlvs: [bytes] }))
    expect(record.tlvs).toEqual([{ type: bytes[0], valueHex: bytes.subarray(3).toString('hex'), ...explained }])
  })

  test('CRC32C', () => {
    const bytes = withChecksum(v2({ tlvs: [tlv(0x03, '\0\0\0\0')] }), 31)
    expect(explainHeader(bytes).tlvs).toMatchObject([{ name: 'CRC32C', value: bytes.readUInt32BE(31) }])
  })

  test('R-SSL-04: SSL with all that may be nested', () => {
    const nested = [
      tlv(0x21, 'TLSv1.3'),
      tlv(0x22, 'Änn'),
      tlv(0x23, 'c'),
      tlv(0x24, 's'),
      tlv(0x25, 'k'),
      tlv(0x26, 'g'),
      tlv(0x27, 'i'),
      tlv(0x28, hex('3082')),
      tlv(0x29, 'x'),
    ]
    const record = explainHeader(v2({ tlvs: [ssl(5, 1, ...nested)] }))
    expect(record.tlvs).toMatchObject([
      {
        type: 0x20,
        name: 'SSL',
        value: {
          client: { ssl: true, certificateOnConnection: false, certificateInSession: true },
          verify: 1,
          tlvs: [
            { type: 0x21, name: 'SSL_VERSION', value: 'TLSv1.3', valueHex: '544c5376312e33' },
            { type: 0x22, name: 'SSL_CN', value: null },
            { type: 0x23, name: 'SSL_CIPHER', value: 'c' },
            { type: 0x24, name: 'SSL_SIG_ALG', value: 's' },
            { type: 0x25, name: 'SSL_KEY_ALG', value: 'k' },
            { type: 0x26, name: 'SSL_GROUP', value: 'g' },
            { type: 0x27, name: 'SSL_SIG_SCHEME', value: 'i' },
            { type: 0x28, name: 'SSL_CLIENT_CERT', value: null, valueHex: '3082' },
            { type: 0x29, name: null, value: null },
          ],
        },
      },
    ])
  })

  test('the record is JSON', () => {
    const record = explainHeader(v2({ tlvs: [tlv(0xe0, hex('ffffffffffffffff'))] }))
    expect(JSON.parse(JSON.stringify(record))).toEqual(record)
  })
})
