import { describe, expect, test } from 'vitest'
import {
  encodeProxyHeader,
  endpoint,
  headerAnnouncing,
  identify,
  parseProxyHeader,
  reencodeProxyHeader,
  sslTlv,
  type Encoded,
  type EncodeOptions,
  type HeaderToSend,
  type InetHeader,
  type ProxyHeader,
} from '@postern/core'
import { hex, inet6Block, inetBlock, text, tlv, unixBlock, v2, withChecksum } from '../kit/header-bytes.ts'
import { judge } from '../kit/summary.ts'

const source = endpoint('192.0.2.1', 56_324)
const destination = endpoint('198.51.100.2', 443)
const source6 = endpoint('2001:db8::1', 56_324)
const destination6 = endpoint('2001:db8::2', 443)
const inet: InetHeader = { version: 2, command: 'proxy', source, destination }

function bytesOf(encoded: Encoded): Buffer {
  if (!encoded.ok) throw new Error(`${encoded.code}: ${encoded.detail}`)
  return encoded.bytes
}

function headerOf(bytes: Buffer): ProxyHeader {
  const parse = parseProxyHeader(bytes)
  if (parse.status !== 'done') throw new Error(judge(bytes))
  return parse.header
}

describe('S-01, S-03, S-06: what is written', () => {
  test.each<[name: string, header: HeaderToSend, bytes: Buffer]>([
    [
      'S-03: TCP4',
      { version: 1, command: 'proxy', source, destination },
      text('PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n'),
    ],
    [
      'S-03: TCP6',
      { version: 1, command: 'proxy', source: source6, destination: destination6 },
      text('PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n'),
    ],
    [
      'PO-01: IPv4 to IPv6 in text',
      { version: 1, command: 'proxy', source, destination: destination6 },
      text('PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 56324 443\r\n'),
    ],
    ['S-03: UNKNOWN', { version: 1, command: 'unknown' }, text('PROXY UNKNOWN\r\n')],
    [
      'S-07: LOCAL',
      { version: 2, command: 'local' },
      v2({ versionAndCommand: 0x20, familyAndTransport: 0, block: hex('') }),
    ],
    ['S-06: INET', inet, v2({})],
    ['S-06: INET datagram', { ...inet, transport: 'DGRAM' }, v2({ familyAndTransport: 0x12 })],
    ['S-06: INET stream', { ...inet, transport: 'STREAM' }, v2({})],
    [
      'S-06: INET6',
      { ...inet, source: source6, destination: destination6 },
      v2({ familyAndTransport: 0x21, block: inet6Block }),
    ],
    [
      'PO-01: IPv6 to IPv4',
      { ...inet, source: source6 },
      v2({
        familyAndTransport: 0x21,
        block: Buffer.concat([inet6Block.subarray(0, 16), hex('00000000 00000000 0000ffff c6336402 dc04 01bb')]),
      }),
    ],
    [
      'UNIX',
      {
        version: 2,
        command: 'proxy',
        source: { path: text('/run/a.sock') },
        destination: { path: text('/run/b.sock') },
      },
      v2({ familyAndTransport: 0x31, block: unixBlock() }),
    ],
    [
      'S-08: TLVs in their order',
      {
        ...inet,
        tlvs: [
          { type: 0xe0, value: hex('01') },
          { type: 0x02, value: text('mx') },
        ],
      },
      v2({ tlvs: [tlv(0xe0, '\x01'), tlv(0x02, 'mx')] }),
    ],
    [
      'S-09: a checksum',
      { ...inet, tlvs: [{ type: 0x02, value: text('mx') }], hasChecksum: true },
      withChecksum(v2({ tlvs: [tlv(0x02, 'mx'), tlv(0x03, '\0\0\0\0')] }), 36),
    ],
    [
      'S-11: TLS',
      { ...inet, tlvs: [sslTlv({ version: 'TLSv1.3', certificate: 'none', isVerified: false })] },
      v2({ tlvs: [tlv(0x20, hex('01 00000001 210007 544c5376312e33'))] }),
    ],
  ])('%s', (_name, header, bytes) => {
    expect(bytesOf(encodeProxyHeader(header)).toString('hex')).toBe(bytes.toString('hex'))
  })
})

describe('S-10: what is refused', () => {
  const custom = (type: number, value: Buffer = hex('')): HeaderToSend => ({ ...inet, tlvs: [{ type, value }] })
  test.each<[name: string, header: HeaderToSend, code: string, options?: EncodeOptions]>([
    ['a checksum of one’s own', custom(0x03, hex('00000000')), 'PROXY_SEND_TYPE'],
    ['type 0', custom(0x00), 'PROXY_SEND_TYPE'],
    ['an unassigned type', custom(0x06), 'PROXY_SEND_TYPE'],
    ['a subtype of SSL outside of it', custom(0x21), 'PROXY_SEND_TYPE'],
    ['type 0xdf', custom(0xdf), 'PROXY_SEND_TYPE'],
    ['an experimental type', custom(0xf0), 'PROXY_SEND_TYPE'],
    ['a future type', custom(0xf8), 'PROXY_SEND_TYPE', { isExperiment: true }],
    ['a type that is no byte', custom(0x1e0), 'PROXY_SEND_TYPE'],
    ['UNIQUE_ID of 129 bytes', custom(0x05, Buffer.alloc(129)), 'PROXY_SEND_VALUE'],
    ['S-11: SSL that ends in its fixed part', custom(0x20, hex('01 000000')), 'PROXY_SEND_VALUE'],
    ['S-11: SSL with a nested TLV cut short', custom(0x20, hex('01 00000001 210007 544c53')), 'PROXY_SEND_VALUE'],
    ['a source port of 65536', { ...inet, source: { ...source, port: 65_536 } }, 'PROXY_SEND_PORT'],
    [
      'a negative port in text',
      { version: 1, command: 'proxy', source, destination: { ...destination, port: -1 } },
      'PROXY_SEND_PORT',
    ],
    ['a port that is no number', { ...inet, destination: { ...destination, port: Number.NaN } }, 'PROXY_SEND_PORT'],
    [
      'a UNIX name of 109 bytes',
      { version: 2, command: 'proxy', source: { path: hex('') }, destination: { path: Buffer.alloc(109) } },
      'PROXY_SEND_UNIX_NAME',
    ],
    ['a header over its bound', inet, 'PROXY_SEND_TOO_LONG', { maxBytes: 27 }],
    ['a checksum over the bound', { ...inet, hasChecksum: true }, 'PROXY_SEND_TOO_LONG', { maxBytes: 34 }],
    ['a text header over its bound', { version: 1, command: 'unknown' }, 'PROXY_SEND_TOO_LONG', { maxBytes: 14 }],
    ['a buffer without room', inet, 'PROXY_SEND_TOO_LONG', { into: Buffer.alloc(30), at: 3 }],
  ])('%s', (_name, header, code, options) => {
    expect(encodeProxyHeader(header, options)).toMatchObject({ ok: false, code, detail: expect.stringMatching(/./) })
  })

  test.each([0x01, 0x02, 0x04, 0x05, 0x30, 0xe0, 0xef])('type %i is sent', (type) => {
    expect(encodeProxyHeader(custom(type))).toMatchObject({ ok: true })
  })

  test('an experiment may send experimental types', () => {
    expect(encodeProxyHeader(custom(0xf0), { isExperiment: true })).toMatchObject({ ok: true })
    expect(encodeProxyHeader(custom(0xf7), { isExperiment: true })).toMatchObject({ ok: true })
  })
})

describe('S-08: what does not fit is left out whole', () => {
  const big = { type: 0xe0, value: Buffer.alloc(500, 1) }
  const small = { type: 0x02, value: text('mx.example.org') }

  test('R-G-14: within 536 bytes unless told otherwise', () => {
    const encoded = encodeProxyHeader({ ...inet, tlvs: [small, big, small], hasChecksum: true })
    expect(encoded).toMatchObject({ ok: true, skipped: [0xe0] })
    expect([...headerOf(bytesOf(encoded)).tlvs].map(({ type }) => type)).toEqual([0x02, 0x02, 0x03])
    expect(encodeProxyHeader({ ...inet, tlvs: [big] }, { maxBytes: 531 })).toMatchObject({ skipped: [] })
    expect(encodeProxyHeader({ ...inet, tlvs: [big] }, { maxBytes: 530 })).toMatchObject({ skipped: [0xe0] })
  })

  test('a value that no length can tell', () => {
    const encoded = encodeProxyHeader(
      { ...inet, tlvs: [{ type: 0xe0, value: Buffer.alloc(65_536) }] },
      { maxBytes: 1e6 },
    )
    expect(encoded).toMatchObject({ ok: true, skipped: [0xe0] })
  })
})

describe('a buffer of the caller', () => {
  test('is written at its place and nowhere else', () => {
    const into = Buffer.alloc(40, 0xaa)
    const bytes = bytesOf(encodeProxyHeader(inet, { into, at: 4 }))
    expect(bytes.buffer).toBe(into.buffer)
    expect(bytes.toString('hex')).toBe(v2({}).toString('hex'))
    expect(into.subarray(0, 4).toString('hex')).toBe('aaaaaaaa')
    expect(into.subarray(32).toString('hex')).toBe('aa'.repeat(8))
  })

  test('is written from its start, and bounds the TLVs', () => {
    const into = Buffer.alloc(30)
    const encoded = encodeProxyHeader({ ...inet, tlvs: [{ type: 0x02, value: text('mx') }] }, { into })
    expect(encoded).toMatchObject({ ok: true, skipped: [0x02] })
    expect(into.subarray(0, 28).equals(v2({}))).toBe(true)
  })
})

describe('X2: a received header passed on', () => {
  const received = withChecksum(
    v2({ tlvs: [tlv(0x05, 'id'), tlv(0x03, '\0\0\0\0'), tlv(0x06, 'new'), tlv(0xea, '\x01vpce-1'), tlv(0xf8, 'x')] }),
    36,
  )

  test('keeps its ends and the TLVs that were picked, with a fresh checksum', () => {
    const bytes = bytesOf(
      reencodeProxyHeader(headerOf(received), { passes: (type) => type !== 0xea, hasChecksum: true }),
    )
    const { source: from, destination: to, tlvs } = headerOf(bytes)
    expect([from, to]).toEqual([source, destination].map(({ address, port }) => ({ address, port })))
    expect([...tlvs].map(({ type }) => type)).toEqual([0x05, 0x06, 0x03])
  })

  test('has no checksum unless asked, whatever is picked', () => {
    const bytes = bytesOf(reencodeProxyHeader(headerOf(received), { passes: () => true }))
    expect([...headerOf(bytes).tlvs].map(({ type }) => type)).toEqual([0x05, 0x06, 0xea])
  })

  test.each<[name: string, header: Buffer, verdict: string]>([
    ['PO-02: LOCAL', v2({ versionAndCommand: 0x20, tlvs: [tlv(0x05, 'id')] }), 'done v2 local UNSPEC UNSPEC 16'],
    [
      'UNIX',
      v2({ familyAndTransport: 0x32, block: unixBlock() }),
      'done v2 proxy UNIX DGRAM 232 /run/a.sock /run/b.sock',
    ],
    [
      'a datagram',
      v2({ familyAndTransport: 0x12, block: inetBlock }),
      'done v2 proxy INET DGRAM 28 192.0.2.1:56324 198.51.100.2:443',
    ],
  ])('%s', (_name, header, verdict) => {
    expect(judge(bytesOf(reencodeProxyHeader(headerOf(header), { passes: () => true })))).toBe(verdict)
  })
})

describe('an identity announced to an upstream', () => {
  const peer = endpoint('10.0.0.1', 1000)
  const local = endpoint('10.0.0.2', 25)
  const verdict = { rule: 'required' } as const

  test('names the client and what it dialled', () => {
    const identity = identify({ peer, local, verdict, header: headerOf(v2({})) })
    expect(judge(bytesOf(encodeProxyHeader(headerAnnouncing(identity, 2))))).toContain(
      '192.0.2.1:56324 198.51.100.2:443',
    )
    expect(judge(bytesOf(encodeProxyHeader(headerAnnouncing(identity, 1))))).toContain(
      '192.0.2.1:56324 198.51.100.2:443',
    )
  })

  test('S-04, PO-02: is LOCAL or UNKNOWN for a peer that speaks for itself', () => {
    const header = headerOf(v2({ versionAndCommand: 0x20 }))
    const identity = identify({ peer, local, verdict, header })
    expect(headerAnnouncing(identity, 2)).toEqual({ version: 2, command: 'local' })
    expect(headerAnnouncing(identity, 1)).toEqual({ version: 1, command: 'unknown' })
  })
})
