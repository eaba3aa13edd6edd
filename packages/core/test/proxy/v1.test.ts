import { describe, expect, test } from 'vitest'
import { encodeProxyHeader, parseProxyHeader, reencodeProxyHeader } from '@postern/core'
import { text } from '../kit/header-bytes.ts'
import { judge } from '../kit/summary.ts'

const longestTcp6 =
  'PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n'
const longestUnknown =
  'PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n'

const good: readonly (readonly [name: string, line: string, source: string, destination: string])[] = [
  [
    'R-G-02, R-V1-01: the specification’s form',
    'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n',
    '192.168.0.1:56324',
    '192.168.0.11:443',
  ],
  ['R-V1-02: octets 0 and 255', 'PROXY TCP4 0.0.0.0 255.255.255.255 1 2\r\n', '0.0.0.0:1', '255.255.255.255:2'],
  ['R-V1-03: lower-case groups', 'PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n', '[2001:db8::1]:1', '[2001:db8::2]:2'],
  ['R-V1-03, D-08: upper-case groups', 'PROXY TCP6 2001:DB8::A ::B 1 2\r\n', '[2001:db8::a]:1', '[::b]:2'],
  [
    'R-V1-03, D-08: :: that is not the longest run',
    'PROXY TCP6 1:0:0:0:2::3 1::2:0:0:0:3 1 2\r\n',
    '[1::2:0:0:3]:1',
    '[1:0:0:2::3]:2',
  ],
  ['R-V1-03: all eight groups', 'PROXY TCP6 1:2:3:4:5:6:7:8 0:0:0:0:0:0:0:0 1 2\r\n', '[1:2:3:4:5:6:7:8]:1', '[::]:2'],
  ['R-V1-05: ports 0 and 65535', 'PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n', '1.2.3.4:0', '5.6.7.8:65535'],
  [
    'R-V1-06: 56 bytes of TCP4',
    'PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n',
    '255.255.255.255:65535',
    '255.255.255.255:65535',
  ],
  [
    'R-V1-06: 104 bytes of TCP6',
    longestTcp6,
    '[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535',
    '[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535',
  ],
  [
    'D-09, PX-28: IPv4-mapped is folded',
    'PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n',
    '192.0.2.1:1',
    '192.0.2.2:2',
  ],
  [
    'PX-28: other embeddings stay IPv6',
    'PROXY TCP6 ::1.2.3.4 64:ff9b::1.2.3.4 1 2\r\n',
    '[::102:304]:1',
    '[64:ff9b::102:304]:2',
  ],
  ['PX-33: addresses of no single host', 'PROXY TCP6 ff02::1 fe80::1 1 2\r\n', '[ff02::1]:1', '[fe80::1]:2'],
]

describe('a text header', () => {
  test.each(good)('%s', (_name, line, source, destination) => {
    const family = line.includes('TCP4') ? 'INET' : 'INET6'
    expect(judge(text(line))).toBe(`done v1 proxy ${family} STREAM ${line.length} ${source} ${destination}`)
  })

  test.each(good)('%s: the same as version 2', (_name, line, source, destination) => {
    const parse = parseProxyHeader(text(line))
    if (parse.status !== 'done') throw new Error(parse.status)
    const encoded = reencodeProxyHeader(parse.header, { passes: () => true })
    if (!encoded.ok) throw new Error(encoded.detail)
    expect(judge(encoded.bytes)).toContain(`${source} ${destination}`)
    expect(judge(encoded.bytes)).toMatch(/^done v2 proxy INET6? STREAM (28|52) /)
  })

  test('R-G-10: what follows the header is not judged', () => {
    expect(judge(text('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n\0\xff\r\nPROXY'))).toBe(
      'done v1 proxy INET STREAM 32 1.2.3.4:1 5.6.7.8:2',
    )
  })
})

describe('UNKNOWN', () => {
  test.each([
    ['R-V1-13, D-12, PX-24: alone', 'PROXY UNKNOWN\r\n'],
    ['R-V1-12, PX-24: with addresses', 'PROXY UNKNOWN 192.0.2.1 198.51.100.2 1 2\r\n'],
    ['R-V1-12: with anything', 'PROXY UNKNOWN \0\xff  x\r\n'],
    ['R-V1-12: with a blank and nothing', 'PROXY UNKNOWN \r\n'],
    ['R-V1-12: what is ignored may hold a CR or LF, which is no line end', 'PROXY UNKNOWN a\rb\nc\r\r\n'],
    ['R-V1-06: 107 bytes', longestUnknown],
  ])('%s', (_name, line) => {
    expect(judge(text(line))).toBe(`done v1 proxy UNSPEC UNSPEC ${line.length}`)
    expect(judge(text(`${line}EHLO x\r\n`))).toBe(`done v1 proxy UNSPEC UNSPEC ${line.length}`)
  })

  test('PO-02: becomes LOCAL when it is passed on', () => {
    const parse = parseProxyHeader(text('PROXY UNKNOWN 192.0.2.1 198.51.100.2 1 2\r\n'))
    if (parse.status !== 'done') throw new Error(parse.status)
    expect(reencodeProxyHeader(parse.header, { passes: () => true })).toEqual(
      encodeProxyHeader({ version: 2, command: 'local' }),
    )
  })
})

describe('PX-21, R-V1-11: a line that does not match exactly', () => {
  test.each([
    ['lower case', 'proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n', 'NO_SIGNATURE', 0],
    ['mixed case', 'Proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n', 'NO_SIGNATURE', 1],
    ['a blank first', ' PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n', 'NO_SIGNATURE', 0],
    ['a byte order mark first', '\xef\xbb\xbfPROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n', 'NO_SIGNATURE', 0],
    ['CRLF first', '\r\nPROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n', 'NO_SIGNATURE', 2],
    ['another method', 'POST / HTTP/1.1\r\n', 'NO_SIGNATURE', 1],
    ['PROXYX', 'PROXYX TCP4 1.2.3.4 5.6.7.8 1 2\r\n', 'LINE', 5],
    ['a tab', 'PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n', 'LINE', 5],
    ['two blanks before the family', 'PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 6],
    ['no family', 'PROXY\r\n', 'LINE', 5],
    ['lower-case family', 'PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 6],
    ['lower-case unknown', 'PROXY unknown\r\n', 'FAMILY', 6],
    ['TCP', 'PROXY TCP 1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 9],
    ['TXP4', 'PROXY TXP4 1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 7],
    ['TCX4', 'PROXY TCX4 1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 8],
    ['TCP5', 'PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 9],
    ['TCP44', 'PROXY TCP44 1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 10],
    ['UDP4', 'PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 7],
    ['UNIX', 'PROXY UNIX /a /b\r\n', 'FAMILY', 8],
    ['UNKNOWNX', 'PROXY UNKNOWNX\r\n', 'FAMILY', 13],
    ['two blanks before the source', 'PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n', 'ADDRESS', 11],
    ['two blanks before the destination', 'PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n', 'ADDRESS', 19],
    ['two blanks before the source port', 'PROXY TCP4 1.2.3.4 5.6.7.8  1 2\r\n', 'PORT', 27],
    ['two blanks before the destination port', 'PROXY TCP4 1.2.3.4 5.6.7.8 1  2\r\n', 'PORT', 29],
    ['a blank before CRLF', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n', 'LINE', 30],
    ['a field too many', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n', 'LINE', 30],
    ['a field too few', 'PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n', 'PORT', 28],
    ['no ports', 'PROXY TCP4 1.2.3.4 5.6.7.8\r\n', 'ADDRESS', 26],
    ['no destination', 'PROXY TCP4 1.2.3.4\r\n', 'ADDRESS', 18],
    ['R-V1-02: an octet of 256', 'PROXY TCP4 256.2.3.4 5.6.7.8 1 2\r\n', 'ADDRESS', 13],
    ['R-V1-02: a leading zero', 'PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n', 'ADDRESS', 12],
    ['R-V1-02: octal', 'PROXY TCP4 1.2.3.4 5.6.7.010 1 2\r\n', 'ADDRESS', 26],
    ['R-V1-02: hexadecimal', 'PROXY TCP4 0x1.2.3.4 5.6.7.8 1 2\r\n', 'ADDRESS', 12],
    ['R-V1-02: an integer', 'PROXY TCP4 16909060 5.6.7.8 1 2\r\n', 'ADDRESS', 14],
    ['R-V1-02: three octets', 'PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n', 'ADDRESS', 16],
    ['R-V1-02: five octets', 'PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n', 'ADDRESS', 18],
    ['R-V1-02: a port behind the address', 'PROXY TCP4 1.2.3.4:25 5.6.7.8 1 2\r\n', 'ADDRESS', 18],
    ['R-V1-03: nine groups', 'PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n', 'ADDRESS', 26],
    ['R-V1-03: seven groups', 'PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n', 'ADDRESS', 24],
    ['R-V1-03: five digits', 'PROXY TCP6 12345:: ::1 1 2\r\n', 'ADDRESS', 15],
    ['R-V1-03: two ::', 'PROXY TCP6 1::2::3 ::1 1 2\r\n', 'ADDRESS', 16],
    ['R-V1-03: :::', 'PROXY TCP6 1:::2 ::1 1 2\r\n', 'ADDRESS', 14],
    ['R-V1-03: :: for nothing', 'PROXY TCP6 1:2:3:4::5:6:7:8 ::1 1 2\r\n', 'ADDRESS', 25],
    ['R-V1-03: no digit', 'PROXY TCP6 g::1 ::1 1 2\r\n', 'ADDRESS', 11],
    ['D-10: a zone id', 'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n', 'ADDRESS', 18],
    ['brackets', 'PROXY TCP6 [::1] ::1 1 2\r\n', 'ADDRESS', 11],
    ['R-V1-04: IPv6 in TCP4', 'PROXY TCP4 ::1 5.6.7.8 1 2\r\n', 'ADDRESS', 11],
    ['R-V1-04, D-09: plain IPv4 in TCP6', 'PROXY TCP6 1.2.3.4 ::1 1 2\r\n', 'ADDRESS', 12],
    ['R-V1-04: IPv6 destination in TCP4', 'PROXY TCP4 1.2.3.4 ::1 1 2\r\n', 'ADDRESS', 19],
    ['R-V1-04: IPv4 destination in TCP6', 'PROXY TCP6 ::1 1.2.3.4 1 2\r\n', 'ADDRESS', 16],
    ['a name', 'PROXY TCP4 localhost 5.6.7.8 1 2\r\n', 'ADDRESS', 11],
    ['R-V1-05: 65536', 'PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n', 'PORT', 31],
    ['R-V1-05: 99999', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n', 'PORT', 33],
    ['R-V1-05: a leading zero', 'PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n', 'PORT', 28],
    ['R-V1-05: two zeros', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 00\r\n', 'PORT', 30],
    ['R-V1-05: a sign', 'PROXY TCP4 1.2.3.4 5.6.7.8 +80 2\r\n', 'PORT', 27],
    ['R-V1-05: negative', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 -1\r\n', 'PORT', 29],
    ['R-V1-05: a fraction', 'PROXY TCP4 1.2.3.4 5.6.7.8 80.0 2\r\n', 'PORT', 29],
    ['R-V1-05: hexadecimal', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 0x50\r\n', 'LINE', 30],
    ['R-V1-05: a service name', 'PROXY TCP4 1.2.3.4 5.6.7.8 smtp 25\r\n', 'PORT', 27],
    ['8-bit digits', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 \xb2\r\n', 'PORT', 29],
    ['NUL behind the port', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\0\r\n', 'LINE', 30],
    ['R-V1-10, PX-23: LF alone', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n', 'LINE', 30],
    ['R-V1-10, PX-23: CR alone', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rEHLO', 'LINE', 31],
    ['R-V1-10, PX-23: CR CR LF', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n', 'LINE', 31],
    ['R-V1-10, PX-23: UNKNOWN with LF alone', 'PROXY UNKNOWN\n', 'FAMILY', 13],
    ['R-V1-10, PX-23: UNKNOWN with CR CR LF', 'PROXY UNKNOWN\r\r\n', 'LINE', 14],
    ['PX-23: LF inside', 'PROXY TCP4\n1.2.3.4 5.6.7.8 1 2\r\n', 'FAMILY', 10],
    ['PX-23: CRLF inside', 'PROXY TCP4 1.2.3.4\r\n5.6.7.8 1 2\r\n', 'ADDRESS', 18],
  ])('%s', (_name, line, code, at) => {
    const bytes = text(line)
    expect(judge(bytes)).toBe(`bad PROXY_${code} at ${at}`)
    // As soon as the byte at fault is there, and not before (R-V1-11); whatever follows.
    expect(judge(bytes.subarray(0, at + 1))).toBe(`bad PROXY_${code} at ${at}`)
    expect(judge(bytes.subarray(0, at))).toMatch(/^more /)
    expect(judge(Buffer.concat([bytes, text('x\r\n')]))).toBe(`bad PROXY_${code} at ${at}`)
  })
})

describe('the bound of a text header', () => {
  test.each([
    ['R-V1-07, PX-22: no CRLF in 107 bytes', `PROXY UNKNOWN ${'x'.repeat(93)}`, 'bad PROXY_TOO_LONG at 106'],
    ['PX-22: 70 000 bytes', `PROXY UNKNOWN ${'x'.repeat(70_000)}\r\n`, 'bad PROXY_TOO_LONG at 106'],
    ['R-V1-07: CRLF at 107 and 108', `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`, 'bad PROXY_TOO_LONG at 106'],
    ['R-V1-07: CRLF at 106 and 107', `PROXY UNKNOWN ${'x'.repeat(91)}\r\n`, 'done v1 proxy UNSPEC UNSPEC 107'],
    [
      'R-V1-07: addresses longer than any sender writes them',
      `PROXY TCP6 0000:0000:0000:0000:0000:ffff:255.255.255.255 0000:0000:0000:0000:0000:ffff:255.255.255.255 1 2\r\n`,
      'bad PROXY_TOO_LONG at 106',
    ],
    ['R-V1-07: 105 bytes, which CRLF can still end', `PROXY UNKNOWN ${'x'.repeat(91)}`, 'more 107'],
    [
      'R-V1-07: 106 bytes without a CR, which no 107th can end',
      `PROXY UNKNOWN ${'x'.repeat(92)}`,
      'bad PROXY_TOO_LONG at 106',
    ],
    ['R-V1-07: 106 bytes with a CR', `PROXY UNKNOWN ${'x'.repeat(91)}\r`, 'more 107'],
    [
      'R-V1-07: addresses that leave no room for the ports',
      `PROXY TCP6 0000:0000:0000:0000:0000:ffff:255.255.255.255 0000:0000:0000:0000:0000:ffff:255.255.255.255`,
      'bad PROXY_TOO_LONG at 106',
    ],
    [
      'R-V1-07: the same, whatever stands where the ports should',
      `PROXY TCP6 0000:0000:0000:0000:0000:ffff:255.255.255.255 0000:0000:0000:0000:0000:ffff:255.255.255.255!`,
      'bad PROXY_TOO_LONG at 106',
    ],
  ])('%s', (_name, line, verdict) => {
    expect(judge(text(line))).toBe(verdict)
  })

  test('a bound that was set lower holds', () => {
    const line = text('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n')
    expect(judge(line, 32)).toMatch(/^done/)
    expect(judge(line, 31)).toBe('bad PROXY_TOO_LONG at 30')
    expect(judge(line.subarray(0, 20), 31)).toBe('bad PROXY_TOO_LONG at 30')
    expect(judge(line.subarray(0, 20), 32)).toBe('more 32')
  })

  test('R-V1-06, R-V1-09: each prefix of the longest lines asks for more, and never for more than the line', () => {
    for (const line of [longestTcp6, longestUnknown, ...good.map(([, bytes]) => bytes)]) {
      for (let length = 0; length < line.length; length++) {
        const parse = parseProxyHeader(text(line.slice(0, length)))
        const atLeast = parse.status === 'more' ? parse.atLeast : Number.NaN
        expect(atLeast).toBeGreaterThan(length)
        expect(atLeast).toBeLessThanOrEqual(line.length)
      }
    }
  })
})

describe('R-V1-08: the least that is asked for', () => {
  test.each([
    ['', 15],
    ['PROXY', 15],
    ['PROXY ', 15],
    ['PROXY U', 15],
    ['PROXY UNKNOWN', 15],
    ['PROXY UNKNOWN\r', 15],
    ['PROXY UNKNOWN x', 17],
    ['PROXY UNKNOWN x\r', 17],
    ['PROXY T', 22],
    ['PROXY TCP', 22],
    ['PROXY TCP4', 32],
    ['PROXY TCP4 ', 32],
    ['PROXY TCP4 1', 32],
    ['PROXY TCP4 1.', 32],
    ['PROXY TCP4 1.2.3.4', 32],
    ['PROXY TCP4 1.2.3.4 5.6.7.8', 32],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 ', 32],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1', 32],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 ', 32],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2', 32],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r', 32],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 22', 33],
    ['PROXY TCP6', 22],
    ['PROXY TCP6 ', 22],
    ['PROXY TCP6 :', 22],
    ['PROXY TCP6 ::', 22],
    ['PROXY TCP6 1', 23],
    ['PROXY TCP6 1:', 23],
    ['PROXY TCP6 ::1.', 29],
    ['PROXY TCP6 1:2:3:4:5:6:7', 35],
    ['PROXY TCP6 1:2:3:4:5:6:7:', 35],
  ])('behind %j, a header has at least %i bytes', (line, atLeast) => {
    expect(judge(text(line))).toBe(`more ${atLeast}`)
  })
})
