import { describe, expect, test } from 'vitest'
import {
  parseProxyHeader,
  readAlpn,
  readAuthority,
  readCrc32c,
  readNetns,
  readSsl,
  readUniqueId,
  readVendorTlv,
  sslTlv,
  tlsClaimFrom,
  TlvCursor,
  type Tlvs,
} from '@postern/core'
import { hex, ssl, text, tlv, v2 } from '../kit/header-bytes.ts'

function tlvsOf(...tlvs: readonly Buffer[]): Tlvs {
  const parse = parseProxyHeader(v2({ tlvs }))
  if (parse.status !== 'done') throw new Error(parse.status)
  return parse.header.tlvs
}

describe('the TLVs of a header', () => {
  test('are found by type, the first of equals first', () => {
    const tlvs = tlvsOf(tlv(0x02, 'a'), tlv(0x02, 'b'), tlv(0x04, ''))
    expect(tlvs.find(0x02)?.toString()).toBe('a')
    expect(tlvs.find(0x04)).toHaveLength(0)
    expect(tlvs.find(0x05)).toBeUndefined()
  })

  test('are views: nothing is copied', () => {
    const header = v2({ tlvs: [tlv(0x02, 'a')] })
    const parse = parseProxyHeader(header)
    if (parse.status !== 'done') throw new Error(parse.status)
    expect(parse.header.tlvs.find(0x02)?.buffer).toBe(header.buffer)
  })

  test('a cursor walks any number of headers', () => {
    const cursor = new TlvCursor(hex('0200 0161 0400 00'), 0, 7)
    const seen: string[] = []
    const walk = (): void => {
      while (cursor.next()) seen.push(`${cursor.type} ${cursor.bytes.toString('latin1', cursor.start, cursor.end)}`)
    }
    walk()
    cursor.reset(hex('ff 050001 62'), 1, 5)
    walk()
    expect(seen).toEqual(['2 a', '4 ', '5 b'])
  })
})

describe('PX-19, D-13: text in TLVs', () => {
  test.each<[value: string, read: string | undefined]>([
    ['mx.example.org', 'mx.example.org'],
    ['__proto__', '__proto__'],
    ['b\xc3\xbccher.example', 'bücher.example'],
    ['', undefined],
    ['\xff', undefined],
    ['a\r\nb', undefined],
    ['a\0', undefined],
    ['\x1b[31m', undefined],
    ['\x7f', undefined],
    ['\xc2\x85', undefined],
    ['\xe2\x80\xa8', undefined],
    ['a'.repeat(255), 'a'.repeat(255)],
    ['a'.repeat(256), undefined],
  ])('AUTHORITY %j', (value, read) => {
    expect(readAuthority(text(value))).toBe(read)
  })

  test.each<[value: string, read: string | undefined]>([
    ['h2', 'h2'],
    ['http/1.1', 'http/1.1'],
    ['', undefined],
    ['\0h2', undefined],
    ['\xc3\xbc', undefined],
  ])('ALPN and NETNS %j', (value, read) => {
    expect(readAlpn(text(value))).toBe(read)
    expect(readNetns(text(value))).toBe(read)
  })

  test('UNIQUE_ID is opaque', () => {
    expect(readUniqueId(hex('00ff0d0a'))).toBe('00ff0d0a')
    expect(readUniqueId(hex(''))).toBeUndefined()
  })

  test('R-CRC-03: CRC32C is a number in network order', () => {
    expect(readCrc32c(hex('ff000001'))).toBe(0xff00_0001)
  })
})

describe('R-SSL-01, R-SSL-02, R-SSL-03, R-SSL-05: the SSL TLV', () => {
  const commonName = tlv(0x22, 'ann')

  test.each<[name: string, bytes: Buffer, claim: unknown]>([
    ['R-SSL-01: no TLS', ssl(0, 1, tlv(0x21, 'TLSv1.3')), undefined],
    [
      'TLS without a certificate',
      ssl(1, 1, tlv(0x21, 'TLSv1.3'), tlv(0x23, 'AES')),
      { version: 'TLSv1.3', cipher: 'AES', clientCertificate: 'none' },
    ],
    [
      'R-SSL-02, R-SSL-05, PX-34: verify is 0 and no certificate was shown',
      ssl(1, 0, commonName),
      { clientCertificate: 'none' },
    ],
    ['R-SSL-05: a verified certificate', ssl(3, 0, commonName), { clientCertificate: 'verified', commonName: 'ann' }],
    [
      'R-SSL-05: verified earlier in the TLS session',
      ssl(5, 0, commonName),
      { clientCertificate: 'verified', commonName: 'ann' },
    ],
    ['R-SSL-02, PX-34: not verified', ssl(7, 1, commonName), { clientCertificate: 'unverified' }],
    ['R-SSL-02: not verified, in the first byte', ssl(3, 0x0100_0000, commonName), { clientCertificate: 'unverified' }],
    ['a common name with control characters', ssl(3, 0, tlv(0x22, 'a\nb')), { clientCertificate: 'verified' }],
    ['a version that is no text', ssl(1, 1, tlv(0x21, '\xff')), { clientCertificate: 'none' }],
    [
      'a version of the first kind',
      ssl(1, 1, tlv(0x21, 'a'), tlv(0x21, 'b')),
      { version: 'a', clientCertificate: 'none' },
    ],
  ])('%s', (_name, bytes, claim) => {
    const read = readSsl(bytes.subarray(3))
    if (read === undefined) throw new Error('malformed')
    expect(tlsClaimFrom(read)).toEqual(claim)
  })

  test.each<[name: string, bytes: Buffer]>([
    ['four bytes', hex('01000000')],
    ['a nested TLV that runs past the end', hex('0100000000 210002 54')],
    ['a stray byte', hex('0100000000 21')],
  ])('%s: malformed', (_name, bytes) => {
    expect(readSsl(bytes)).toBeUndefined()
  })

  test('S-11: what is written is read again', () => {
    const written = sslTlv({
      version: 'TLSv1.3',
      certificate: 'in-session',
      isVerified: true,
      commonName: 'Änn',
      cipher: 'TLS_AES_128_GCM_SHA256',
      signatureAlgorithm: 'SHA256',
      keyAlgorithm: 'RSA2048',
      group: 'X25519',
      signatureScheme: 'rsa_pss_rsae_sha256',
      clientCertificate: hex('3082'),
    })
    const read = readSsl(written.value)
    expect(written.type).toBe(0x20)
    expect(read).toMatchObject({ client: 5, verify: 0, isCertificateVerified: true })
    expect([...(read?.tlvs ?? [])].map(({ type, value: nested }) => [type, nested.toString()])).toEqual([
      [0x21, 'TLSv1.3'],
      [0x22, 'Änn'],
      [0x23, 'TLS_AES_128_GCM_SHA256'],
      [0x24, 'SHA256'],
      [0x25, 'RSA2048'],
      [0x26, 'X25519'],
      [0x27, 'rsa_pss_rsae_sha256'],
      [0x28, hex('3082').toString()],
    ])
  })

  test('R-SSL-02: nothing is verified without a certificate, or without verification', () => {
    expect(fixedPart('none', true)).toBe('0100000001')
    expect(fixedPart('on-connection', false)).toBe('0300000001')
    expect(fixedPart('on-connection', true)).toBe('0300000000')
  })
})

describe('vendor TLVs', () => {
  test.each<[name: string, type: number, value: Buffer, read: unknown]>([
    ['AWS', 0xea, text('\x01vpce-08d2bf15fac5001c9'), { vendor: 'aws', vpcEndpointId: 'vpce-08d2bf15fac5001c9' }],
    ['AWS with another subtype', 0xea, text('\x02vpce-1'), undefined],
    ['AWS without an id', 0xea, text('\x01'), undefined],
    ['AWS with an id that is no text', 0xea, text('\x01\n'), undefined],
    ['Azure, little endian', 0xee, hex('01 04030201'), { vendor: 'azure', linkId: 0x0102_0304 }],
    ['Azure, the largest', 0xee, hex('01 ffffffff'), { vendor: 'azure', linkId: 0xffff_ffff }],
    ['Azure, cut short', 0xee, hex('01 040302'), undefined],
    ['Azure with another subtype', 0xee, hex('02 04030201'), undefined],
    [
      'GCP, more than a number holds',
      0xe0,
      hex('ffffffff ffffffff'),
      { vendor: 'gcp', pscConnectionId: 0xffff_ffff_ffff_ffffn },
    ],
    ['GCP, cut short', 0xe0, hex('ffffffff'), undefined],
    ['Alibaba VPC', 0xe1, text('\x01vpc-1'), { vendor: 'alibaba', vpcId: 'vpc-1' }],
    ['Alibaba endpoint', 0xe1, text('\x02ep-1'), { vendor: 'alibaba', endpointId: 'ep-1' }],
    ['Alibaba endpoint service', 0xe1, text('\x03epsrv-1'), { vendor: 'alibaba', endpointServiceId: 'epsrv-1' }],
    ['Alibaba with another subtype', 0xe1, text('\x04x'), undefined],
    ['Alibaba without an id', 0xe1, text('\x01'), undefined],
    ['nobody’s', 0xe5, text('\x01x'), undefined],
  ])('%s', (_name, type, value, read) => {
    expect(readVendorTlv(type, value)).toEqual(read)
  })
})

function fixedPart(certificate: 'none' | 'on-connection', isVerified: boolean): string {
  return sslTlv({ version: 'x', certificate, isVerified }).value.subarray(0, 5).toString('hex')
}
