import { describe, expect, test } from 'vitest'
import {
  ipv4FromBytes,
  ipv4FromNumber,
  ipv6FromBytes,
  ipv6FromWords,
  parseIpAddress,
  type IpAddress,
} from '@postern/core'

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text)
  if (parsed === undefined) throw new Error(`no address: ${text}`)
  return parsed
}

describe('an address', () => {
  test('is the same from text, numbers and bytes', () => {
    expect(ipv4FromNumber(0xc0000201).equals(address('192.0.2.1'))).toBe(true)
    expect(ipv4FromBytes(Buffer.from('00c0000201', 'hex'), 1).toString()).toBe('192.0.2.1')
    expect(ipv6FromBytes(Buffer.from('20010db8000000000000000000000001', 'hex')).toString()).toBe('2001:db8::1')
    expect(ipv6FromWords(0x20010db8, 0, 0, 1).equals(address('2001:db8::1'))).toBe(true)
    expect(ipv4FromBytes(Buffer.from('7f000001', 'hex')).toString()).toBe('127.0.0.1')
  })

  test('prints as text in JSON and in templates, and always the same text', () => {
    const one = address('2001:db8::1')
    expect(JSON.stringify({ one })).toBe('{"one":"2001:db8::1"}')
    expect(`${one.toString()} ${one.toString()}`).toBe('2001:db8::1 2001:db8::1')
  })

  test.each([
    ['::1', '::2'],
    ['1::', '2::'],
    ['0:0:1::', '0:0:2::'],
    ['0:0:0:0:1::', '0:0:0:0:2::'],
    ['0.0.0.1', '::1'],
    ['0.0.0.0', '::'],
  ])('%s is not %s', (one, other) => {
    expect(address(one).equals(address(other))).toBe(false)
  })

  test('is compared with nothing but addresses of this library', () => {
    const foreign = { family: 4, toString: () => '192.0.2.1', equals: () => true, network: () => foreign } as IpAddress
    expect(() => address('192.0.2.1').equals(foreign)).toThrow(TypeError)
  })
})

describe('its network', () => {
  test.each([
    ['192.0.2.255', 32, '192.0.2.255'],
    ['192.0.2.255', 24, '192.0.2.0'],
    ['192.0.2.255', 25, '192.0.2.128'],
    ['192.0.2.255', 0, '0.0.0.0'],
    ['2001:db8:1:2:3:4:5:6', 128, '2001:db8:1:2:3:4:5:6'],
    ['2001:db8:1:2:3:4:5:6', 64, '2001:db8:1:2::'],
    ['2001:db8:1:2:3:4:5:6', 127, '2001:db8:1:2:3:4:5:6'],
    ['2001:db8:1:2:3:4:5:7', 127, '2001:db8:1:2:3:4:5:6'],
    ['2001:db8:1:2:3:4:5:6', 33, '2001:db8::'],
    ['2001:db8:1:2:3:4:5:6', 0, '::'],
  ])('%s/%i is %s', (text, prefixBits, network) => {
    expect(address(text).network(prefixBits).toString()).toBe(network)
  })
})

describe('IPv4-mapped IPv6', () => {
  test('PX-28: only ::ffff:0:0/96 is folded; other spellings stay strangers in IPv6', () => {
    expect(address('::ffff:192.0.2.1').family).toBe(4)
    for (const text of ['::192.0.2.1', '64:ff9b::192.0.2.1', '2002:c000:201::', '::ffff:0:192.0.2.1']) {
      expect(address(text).family).toBe(6)
    }
  })

  test('R-V2-12: bytes of a mapped address are folded too', () => {
    const mapped = ipv6FromBytes(Buffer.from('00000000000000000000ffffc0000201', 'hex'))
    expect(mapped.family).toBe(4)
    expect(mapped.equals(address('192.0.2.1'))).toBe(true)
  })
})
