import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { endpoint, formatEndpoint, ipv4FromNumber, ipv6FromWords, parseIpAddress } from '@postern/core'

describe('text that is an address', () => {
  test.each([
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['192.0.2.1', '192.0.2.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8::A', '2001:db8::a'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['0001:0002:0003:0004:0005:0006:0007:0008', '1:2:3:4:5:6:7:8'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['0000:0000:0000:0000:0000:ffff:255.255.255.255', '255.255.255.255'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
    ['::192.0.2.1', '::c000:201'],
    ['::ffff:0:192.0.2.1', '::ffff:0:c000:201'],
  ])('%s', (text, formatted) => {
    expect(parseIpAddress(text)?.toString()).toBe(formatted)
  })
})

describe('text that is none', () => {
  test.each([
    '',
    ' ',
    '1.2.3',
    '1.2.3.',
    '1.2.3.4.',
    '1.2.3.4.5',
    '.1.2.3.4',
    '1..2.3',
    '256.0.0.1',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.04',
    '00.0.0.0',
    '0x7f.0.0.1',
    '127.1',
    '2130706433',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4/32',
    '1.2.3.4:25',
    '\u0131.2.3.4',
    '\uff11.2.3.4',
    ':',
    ':::',
    ':1',
    '1:',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '1:2:3:4:5:6:7:8:',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4::5:6:7:8',
    '::1:2:3:4:5:6:7:8',
    '1:2:3:4:5:6:7:8::',
    '1:2:3:4:5:6:7::8',
    '1::2::3',
    '1:::2',
    ':::1',
    '12345::',
    'g::',
    '::1%eth0',
    'fe80::1%1',
    '[::1]',
    '::1.2.3',
    '::1.2.3.256',
    '::01.2.3.4',
    '::1.2.3.4:5',
    '1:2:3:4:5:1.2.3.4',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1:2:3:4:5:6::1.2.3.4',
    '::ffff:192.0.2.1x',
    `${'0'.repeat(46)}::`,
  ])('%j', (text) => {
    expect(parseIpAddress(text)).toBeUndefined()
  })
})

describe('beside ipaddr.js', () => {
  test('every IPv4 address is read and written as ipaddr.js does', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(parseIpAddress(text)?.toString()).toBe(ipaddr.IPv4.parse(text).toString())
      }),
    )
  })

  test('every IPv6 address is read as ipaddr.js reads it, and written in RFC 5952 form', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        // ipaddr.js takes IPv4-compatible addresses for IPv4-mapped ones, which RFC 4291 section 2.5.5 keeps apart.
        fc.pre(!/^::\d+\./.test(text))
        const theirs = ipaddr.IPv6.parse(text)
        const expected = theirs.isIPv4MappedAddress() ? theirs.toIPv4Address().toString() : theirs.toRFC5952String()
        expect(parseIpAddress(text)?.toString()).toBe(expected)
      }),
    )
  })

  test('no text throws, and what is read comes back from what is written', () => {
    const near = fc.stringMatching(/^[0-9a-gA-F:.%[\]/ ]{0,50}$/)
    fc.assert(
      fc.property(fc.oneof(near, fc.string()), (text) => {
        const address = parseIpAddress(text)
        const again = address === undefined ? undefined : parseIpAddress(address.toString())
        expect(again).toEqual(address)
      }),
      { numRuns: 5_000 },
    )
  })

  test('any four words are written so that they are read again', () => {
    const word = fc.oneof(fc.constant(0), fc.constant(0xffff), fc.integer({ min: 0, max: 0xffff_ffff }))
    fc.assert(
      fc.property(word, word, word, word, (w0, w1, w2, w3) => {
        const address = ipv6FromWords(w0, w1, w2, w3)
        expect(parseIpAddress(address.toString())?.equals(address)).toBe(true)
      }),
    )
  })
})

describe('endpoints', () => {
  test('are made from text or values, and written as in a URL', () => {
    expect(formatEndpoint(endpoint('192.0.2.1', 25))).toBe('192.0.2.1:25')
    expect(formatEndpoint(endpoint('2001:DB8::1', 0))).toBe('[2001:db8::1]:0')
    expect(formatEndpoint(endpoint(ipv4FromNumber(0x7f000001), 65_535))).toBe('127.0.0.1:65535')
  })

  test.each([
    ['localhost', 25],
    ['192.0.2.1', -1],
    ['192.0.2.1', 65_536],
    ['192.0.2.1', 2.5],
    ['192.0.2.1', Number.NaN],
  ])('%s with port %s is misuse', (address, port) => {
    expect(() => endpoint(address, port)).toThrow(RangeError)
  })
})
