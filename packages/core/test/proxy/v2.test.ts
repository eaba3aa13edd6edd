import { describe, expect, test } from 'vitest'
import { parseProxyHeader } from '@postern/core'
import {
  hex,
  inet6Block,
  inetBlock,
  signatureHex,
  ssl,
  text,
  tlv,
  unixBlock,
  v2,
  withChecksum,
} from '../kit/header-bytes.ts'
import { judge } from '../kit/summary.ts'

const ends4 = '192.0.2.1:56324 198.51.100.2:443'
const ends6 = '[2001:db8::1]:56324 [2001:db8::2]:443'
const none = Buffer.alloc(0)

describe('a binary header', () => {
  test.each<[name: string, header: Buffer, verdict: string]>([
    ['R-G-01, R-V2-04, R-V2-12: TCP over IPv4', v2({}), `done v2 proxy INET STREAM 28 ${ends4}`],
    ['R-V2-08: UDP over IPv4', v2({ familyAndTransport: 0x12 }), `done v2 proxy INET DGRAM 28 ${ends4}`],
    [
      'R-V2-12: TCP over IPv6',
      v2({ familyAndTransport: 0x21, block: inet6Block }),
      `done v2 proxy INET6 STREAM 52 ${ends6}`,
    ],
    [
      'R-V2-08: UDP over IPv6',
      v2({ familyAndTransport: 0x22, block: inet6Block }),
      `done v2 proxy INET6 DGRAM 52 ${ends6}`,
    ],
    [
      'R-V2-12: UNIX stream',
      v2({ familyAndTransport: 0x31, block: unixBlock() }),
      'done v2 proxy UNIX STREAM 232 /run/a.sock /run/b.sock',
    ],
    [
      'R-V2-08: UNIX datagram',
      v2({ familyAndTransport: 0x32, block: unixBlock() }),
      'done v2 proxy UNIX DGRAM 232 /run/a.sock /run/b.sock',
    ],
    [
      'PX-33: extreme addresses and ports',
      v2({ block: hex('00000000 ffffffff 0000 ffff') }),
      'done v2 proxy INET STREAM 28 0.0.0.0:0 255.255.255.255:65535',
    ],
    [
      'PX-28: IPv4-mapped addresses are folded',
      v2({
        familyAndTransport: 0x21,
        block: hex('00000000 00000000 0000ffff c0000201 00000000 00000000 00000000 c0000202 0001 0002'),
      }),
      'done v2 proxy INET6 STREAM 52 192.0.2.1:1 [::c000:202]:2',
    ],
    ['R-V2-08, R-V2-09, D-05: UNSPEC', v2({ familyAndTransport: 0x00, block: none }), 'done v2 proxy UNSPEC UNSPEC 16'],
    [
      'R-V2-09: UNSPEC with bytes of whatever meaning',
      v2({ familyAndTransport: 0x00, block: inetBlock }),
      'done v2 proxy UNSPEC UNSPEC 28',
    ],
    ['D-06: a family without a transport', v2({ familyAndTransport: 0x10 }), 'done v2 proxy UNSPEC UNSPEC 28'],
    [
      'D-06: a family without a transport or a block',
      v2({ familyAndTransport: 0x20, block: none }),
      'done v2 proxy UNSPEC UNSPEC 16',
    ],
    [
      'D-06: a transport without a family',
      v2({ familyAndTransport: 0x01, block: none }),
      'done v2 proxy UNSPEC UNSPEC 16',
    ],
    [
      'D-06: UNIX without a transport',
      v2({ familyAndTransport: 0x30, block: unixBlock() }),
      'done v2 proxy UNSPEC UNSPEC 232',
    ],
    [
      'R-V2-03, R-V2-11: LOCAL without a block',
      v2({ versionAndCommand: 0x20, familyAndTransport: 0x00, block: none }),
      'done v2 local UNSPEC UNSPEC 16',
    ],
    ['R-V2-03, R-V2-11, PX-25: LOCAL with a block', v2({ versionAndCommand: 0x20 }), 'done v2 local UNSPEC UNSPEC 28'],
    [
      'R-V2-03: LOCAL with a block that its family finds short',
      v2({ versionAndCommand: 0x20, block: hex('01') }),
      'done v2 local UNSPEC UNSPEC 17',
    ],
    [
      'D-03, R-TLV-04: LOCAL offers no TLVs',
      v2({ versionAndCommand: 0x20, tlvs: [tlv(0x02, 'x')] }),
      'done v2 local UNSPEC UNSPEC 32',
    ],
    [
      'D-03: LOCAL with stray bytes',
      v2({ versionAndCommand: 0x20, tlvs: [hex('02ffff')] }),
      'done v2 local UNSPEC UNSPEC 31',
    ],
    [
      'D-04, PX-15: LOCAL with an undefined family and transport',
      v2({ versionAndCommand: 0x20, familyAndTransport: 0xff }),
      'done v2 local UNSPEC UNSPEC 28',
    ],
    ['R-G-10: bytes follow', Buffer.concat([v2({}), v2({})]), `done v2 proxy INET STREAM 28 ${ends4}`],
  ])('%s', (_name, header, verdict) => {
    expect(judge(header)).toBe(verdict)
  })

  test('R-V2-15: a UNIX name may fill its 108 bytes, and an abstract one begins with NUL', () => {
    const block = Buffer.concat([Buffer.alloc(108, 'a'), Buffer.alloc(108)])
    block.write('\0abstract', 108)
    const parse = parseProxyHeader(v2({ familyAndTransport: 0x31, block }))
    expect(parse).toMatchObject({ status: 'done', header: { source: undefined, destination: undefined } })
    if (parse.status !== 'done') throw new Error(parse.status)
    expect(parse.header.unixSource?.toString()).toBe('a'.repeat(108))
    expect(parse.header.unixDestination?.subarray(0, 9).toString()).toBe('\0abstract')
  })

  test('only UNIX has names', () => {
    const parse = parseProxyHeader(v2({}))
    expect(parse).toMatchObject({ header: { unixSource: undefined, unixDestination: undefined } })
  })
})

describe('a binary header that is wrong', () => {
  const undefinedBytes = Array.from({ length: 256 }, (_, byte) => byte).filter(
    (byte) => byte >>> 4 > 3 || (byte & 15) > 2,
  )

  test('R-V2-06, R-V2-07, PX-15: every undefined family and transport', () => {
    expect(undefinedBytes).toHaveLength(256 - 4 * 3)
    for (const familyAndTransport of undefinedBytes) {
      expect(judge(v2({ familyAndTransport }))).toBe('bad PROXY_FAMILY at 13')
      expect(judge(v2({ familyAndTransport }).subarray(0, 14))).toBe('bad PROXY_FAMILY at 13')
    }
  })

  test('R-V2-02, D-01, D-02, PX-14: every version but 2', () => {
    for (const version of [0, 1, 3, 4, 7, 8, 15]) {
      for (const command of [0, 1]) {
        const header = v2({ versionAndCommand: (version << 4) | command })
        expect(judge(header)).toBe('bad PROXY_VERSION at 12')
        expect(judge(header.subarray(0, 13))).toBe('bad PROXY_VERSION at 12')
      }
    }
  })

  test('R-V2-05, PX-14: commands 2 to 15', () => {
    for (let command = 2; command < 16; command++) {
      const header = v2({ versionAndCommand: 0x20 | command })
      expect(judge(header)).toBe('bad PROXY_COMMAND at 12')
      expect(judge(header.subarray(0, 13))).toBe('bad PROXY_COMMAND at 12')
    }
  })

  test.each([
    ['INET with nothing', 0x11, 0],
    ['INET with 11 bytes', 0x11, 11],
    ['INET datagram with 11 bytes', 0x12, 11],
    ['INET6 with the block of INET', 0x21, 12],
    ['INET6 with 35 bytes', 0x22, 35],
    ['UNIX with 215 bytes', 0x31, 215],
    ['UNIX with nothing', 0x32, 0],
  ])('R-V2-14, PX-13: %s is refused by its length, before the bytes come', (_name, familyAndTransport, length) => {
    const header = v2({ familyAndTransport, block: Buffer.alloc(length) })
    expect(judge(header)).toBe('bad PROXY_LENGTH at 14')
    expect(judge(header.subarray(0, 16))).toBe('bad PROXY_LENGTH at 14')
    expect(judge(header.subarray(0, 15))).toBe('more 16')
  })

  test.each([
    ['default', undefined, 4096],
    ['set', 100, 100],
    ['largest', 65_551, 65_551],
  ])('D-11, PX-12: the %s bound is kept by the length alone', (_name, maxBytes, bound) => {
    expect(judge(v2({ length: bound - 16 }), maxBytes)).toBe(`more ${bound}`)
    const over = bound - 15
    if (over > 65_535) return
    expect(judge(v2({ length: over }), maxBytes)).toBe('bad PROXY_TOO_LONG at 14')
    expect(judge(v2({ length: over }).subarray(0, 16), maxBytes)).toBe('bad PROXY_TOO_LONG at 14')
  })

  test('R-V2-10: the largest header there is', () => {
    const header = v2({ tlvs: [tlv(0xe1, Buffer.alloc(65_535 - 12 - 3))] })
    expect(header).toHaveLength(65_551)
    expect(judge(header, 65_551)).toContain('done v2 proxy INET STREAM 65551')
  })
})

describe('R-G-09, R-V2-01: the signature', () => {
  test('a byte that differs anywhere makes it no header', () => {
    const header = v2({})
    for (let at = 0; at < 12; at++) {
      const broken = Buffer.from(header)
      broken[at] = broken[at]! ^ 0x20
      expect(judge(broken)).toBe(`bad PROXY_NO_SIGNATURE at ${at}`)
      expect(judge(broken.subarray(0, at + 1))).toBe(`bad PROXY_NO_SIGNATURE at ${at}`)
    }
  })

  test.each([
    ['a ClientHello', hex('16030100a5010000a1')],
    ['EHLO', text('EHLO client.example\r\n')],
    ['an IMAP command', text('a1 NOOP\r\n')],
    ['HTTP', text('GET / HTTP/1.1\r\n')],
    ['a NUL', hex('00')],
  ])('%s is no header', (_name, bytes) => {
    expect(judge(bytes)).toBe('bad PROXY_NO_SIGNATURE at 0')
  })

  test('R-V2-13, PX-06: every prefix asks for more, in steps of signature and prefix, then the whole', () => {
    const header = withChecksum(
      v2({ tlvs: [tlv(0x02, 'mx.example.org'), ssl(1, 1, tlv(0x21, 'TLSv1.3')), tlv(0x03, '\0\0\0\0')] }),
      28 + 17 + 18 + 3,
    )
    expect(judge(header)).toContain('done')
    expect(judge(none)).toBe('more 15')
    for (let length = 1; length < 16; length++) expect(judge(header.subarray(0, length))).toBe('more 16')
    for (let length = 16; length < header.length; length++) {
      expect(judge(header.subarray(0, length))).toBe(`more ${header.length}`)
    }
  })
})

describe('TLVs', () => {
  const at = 28
  test.each<[name: string, tlvs: readonly Buffer[], verdict: string]>([
    [
      'R-TLV-01, R-TLV-02: any type, in any order',
      [tlv(0xff, 'a'), tlv(0x05, 'b'), tlv(0x01, 'h2')],
      'ff=61 5=62 1=6832',
    ],
    ['R-TLV-02: duplicates', [tlv(0x02, 'a'), tlv(0x02, 'b')], '2=61 2=62'],
    ['of no length', [tlv(0x04, ''), tlv(0x00, '')], '4= 0='],
    ['a last one of no length', [tlv(0x02, 'a'), tlv(0xe0, '')], '2=61 e0='],
    ['UNIQUE_ID of 128 bytes', [tlv(0x05, Buffer.alloc(128, 1))], `5=${'01'.repeat(128)}`],
    ['D-13, PX-19: an AUTHORITY that is no name is the reader’s matter', [tlv(0x02, '\xff\r\n')], '2=ff0d0a'],
    ['R-SSL-03: SSL with nothing nested', [ssl(1, 0)], '20=0100000000'],
    [
      'R-SSL-03: SSL with nested ones',
      [ssl(7, 0, tlv(0x21, 'T'), tlv(0x22, ''))],
      '20=0700000000210001542200 00'.replace(' ', ''),
    ],
    [
      'PX-17: what is nested deeper is not looked into',
      [ssl(1, 0, tlv(0x20, '\x01\0\0\0'))],
      '20=0100000000200004010000 00'.replace(' ', ''),
    ],
    ['R-CRC-04: type 3 inside SSL is no checksum', [ssl(1, 0, tlv(0x03, 'x'))], '20=010000000003000178'],
    [
      'PX-20: many empty ones',
      Array.from({ length: 1000 }, () => tlv(0xe5, '')),
      Array.from({ length: 1000 }, () => 'e5=').join(' '),
    ],
  ])('%s', (_name, tlvs, listed) => {
    const header = v2({ tlvs })
    expect(judge(header)).toBe(`done v2 proxy INET STREAM ${header.length} ${ends4} ${listed}`)
  })

  test.each<[name: string, tlvs: readonly Buffer[], fault: number]>([
    ['R-TLV-03, PX-16: one stray byte', [hex('02')], at],
    ['R-TLV-03, PX-16: two stray bytes', [tlv(0x02, 'a'), hex('0200')], at + 4],
    ['R-TLV-03, PX-16: a value that runs past the header', [tlv(0x02, 'abc', 4)], at],
    ['R-TLV-03, PX-16: a length of 65535', [tlv(0xe0, 'abc', 65_535)], at],
    ['R-CRC-04, PX-18: a checksum of no bytes', [tlv(0x03, '')], at],
    ['R-CRC-04, PX-18: a checksum of three bytes', [tlv(0x03, 'abc')], at],
    ['R-CRC-04, PX-18: a checksum of five bytes', [tlv(0x02, 'a'), tlv(0x03, 'abcde')], at + 4],
    ['D-13, PX-19: UNIQUE_ID of 129 bytes', [tlv(0x05, Buffer.alloc(129))], at],
    ['PX-17: SSL of no bytes', [tlv(0x20, '')], at],
    ['PX-17: SSL of four bytes', [tlv(0x20, '\x01\0\0\0')], at],
    ['R-SSL-03, PX-17: a nested TLV that runs past SSL', [ssl(1, 0, tlv(0x21, 'TLS', 4)), tlv(0x04, 'x')], at + 8],
    ['R-SSL-03, PX-17: a stray byte inside SSL', [ssl(1, 0, tlv(0x21, 'TLS'), hex('22'))], at + 8 + 6],
  ])('%s', (_name, tlvs, fault) => {
    const header = v2({ tlvs })
    expect(judge(header)).toBe(`bad PROXY_TLV at ${fault}`)
    // PX-16: application bytes behind the header complete nothing.
    expect(judge(Buffer.concat([header, Buffer.alloc(70_000)]))).toBe(`bad PROXY_TLV at ${fault}`)
  })

  test('are refused as soon as type and length are there', () => {
    const header = v2({ tlvs: [tlv(0x02, 'abc', 4)] })
    expect(judge(header.subarray(0, 30))).toBe(`more ${header.length}`)
    expect(judge(header.subarray(0, 31))).toBe('bad PROXY_TLV at 28')
    const nested = v2({ tlvs: [ssl(1, 0, tlv(0x21, 'TLS', 4))] })
    expect(judge(nested.subarray(0, 38))).toBe(`more ${nested.length}`)
    expect(judge(nested.subarray(0, 39))).toBe('bad PROXY_TLV at 36')
  })

  test('stand behind the addresses of their family', () => {
    expect(judge(v2({ familyAndTransport: 0x21, block: inet6Block, tlvs: [tlv(0xe0, 'x')] }))).toContain(
      `${ends6} e0=78`,
    )
    expect(judge(v2({ familyAndTransport: 0x31, block: unixBlock(), tlvs: [tlv(0xe0, 'x')] }))).toContain(
      'b.sock e0=78',
    )
    expect(judge(v2({ familyAndTransport: 0x21, block: inet6Block, tlvs: [hex('e0')] }))).toBe('bad PROXY_TLV at 52')
  })
})

describe('R-CRC-01, R-CRC-02, R-CRC-03, PX-18: the checksum', () => {
  const zeros = tlv(0x03, '\0\0\0\0')

  test.each<[name: string, header: Buffer, offsets: readonly number[]]>([
    ['alone', withTlvs(zeros), [31]],
    ['first, with others behind it', withTlvs(zeros, tlv(0x02, 'mx.example.org'), tlv(0x04, '\0\0')), [31]],
    ['last', withTlvs(tlv(0x02, 'mx.example.org'), zeros), [48]],
    ['over IPv6', v2({ familyAndTransport: 0x21, block: inet6Block, tlvs: [zeros] }), [55]],
    ['over UNIX', v2({ familyAndTransport: 0x31, block: unixBlock(), tlvs: [zeros] }), [235]],
    ['D-14: twice, both with both zeroed', withTlvs(zeros, tlv(0x02, 'a'), zeros), [31, 42]],
  ])('%s: holds, and a flip of any bit breaks it', (_name, header, offsets) => {
    const good = withChecksum(header, ...offsets)
    expect(judge(good)).toMatch(/^done/)
    for (let at = 16; at < good.length; at++) {
      // Where its type is changed there is no checksum any more.
      if (offsets.includes(at + 3)) continue
      const broken = Buffer.from(good)
      broken[at] = broken[at]! ^ 0x01
      expect(judge(broken)).toMatch(/^bad PROXY_(CHECKSUM|TLV)/)
    }
    const [first = 0] = offsets
    expect(judge(header)).toBe(`bad PROXY_CHECKSUM at ${first - 3}`)
  })

  test('D-14: twice, and only one holds', () => {
    const header = withChecksum(withTlvs(zeros, zeros), 31, 38)
    header.writeUInt32BE(0, 38)
    expect(judge(header)).toBe('bad PROXY_CHECKSUM at 35')
  })

  test('the payload is not part of it', () => {
    const header = withChecksum(withTlvs(zeros), 31)
    expect(judge(Buffer.concat([header, text('EHLO')]))).toMatch(/^done/)
  })

  test('a number of the wrong byte order does not hold', () => {
    const header = withChecksum(withTlvs(zeros), 31)
    header.subarray(31, 35).reverse()
    expect(judge(header)).toBe('bad PROXY_CHECKSUM at 28')
  })
})

describe('D-03: the checksum where TLVs have no defined place', () => {
  const zeros = tlv(0x03, '\0\0\0\0')
  const awsHealthCheck = hex(`${signatureHex} 2011 0054 030004 bce5951f 04004a ${'00'.repeat(74)}`)

  test('C7: an AWS health check as captured', () => {
    expect(judge(awsHealthCheck)).toBe('done v2 local UNSPEC UNSPEC 100')
  })

  test('is broken: the header is invalid', () => {
    const broken = Buffer.from(awsHealthCheck)
    broken[99] = 1
    expect(judge(broken)).toBe('bad PROXY_CHECKSUM at 16')
  })

  /** 3.0.4.188 to 229.149.31.4, ports 9 and 0: from byte 16 on, CRC32C and then NOOP of nine bytes. */
  const misleading = hex('030004bc e5951f04 0009 0000')
  test('behind the addresses of LOCAL it holds', () => {
    expect(judge(withChecksum(local(inetBlock, [zeros]), 31))).toBe('done v2 local UNSPEC UNSPEC 35')
  })
  test('behind the addresses of LOCAL it does not hold', () => {
    expect(judge(local(inetBlock, [zeros]))).toBe('bad PROXY_CHECKSUM at 28')
  })
  test('addresses that happen to read as a broken checksum are outvoted by one that holds', () => {
    expect(judge(withChecksum(local(misleading, [zeros]), 31))).toBe('done v2 local UNSPEC UNSPEC 35')
  })
  test('addresses that happen to read as a broken checksum fail where none holds', () => {
    expect(judge(local(misleading, [zeros]))).toBe('bad PROXY_CHECKSUM at 16')
    expect(judge(local(misleading, [tlv(0x02, 'name')]))).toBe('bad PROXY_CHECKSUM at 16')
  })
  test('PROXY with UNSPEC is judged in the same way', () => {
    const unspec = v2({ familyAndTransport: 0x00, block: none, tlvs: [zeros] })
    expect(judge(withChecksum(unspec, 19))).toBe('done v2 proxy UNSPEC UNSPEC 23')
    expect(judge(unspec)).toBe('bad PROXY_CHECKSUM at 16')
  })
  test('where no reading is clean, nothing is judged', () => {
    expect(judge(v2({ familyAndTransport: 0x00, block: none, tlvs: [zeros, hex('ff')] }))).toBe(
      'done v2 proxy UNSPEC UNSPEC 24',
    )
    expect(judge(local(inetBlock, [zeros, hex('ff')]))).toBe('done v2 local UNSPEC UNSPEC 36')
  })
})

function withTlvs(...tlvs: readonly Buffer[]): Buffer {
  return v2({ tlvs })
}

function local(block: Uint8Array, tlvs: readonly Buffer[]): Buffer {
  return v2({ versionAndCommand: 0x20, block, tlvs })
}
