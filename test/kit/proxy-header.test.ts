import { expect, test } from 'vitest'
import { captured, nlbHealthCheck } from './captured.ts'
import { crc32c, ends, tlv, v1, v2, v2Bytes, v2Local } from './proxy-header.ts'

test('the checksum is CRC-32C: the check value of its definition', () => {
  expect(crc32c(Buffer.from('123456789')).toString(16)).toBe('e3069283')
})

test('a text header reads as section 2.1 shows it', () => {
  expect(v1().toString()).toBe('PROXY TCP4 203.0.113.7 198.51.100.5 45678 25\r\n')
  expect(v1({ ...ends, source: '2001:db8::7', destination: '2001:db8::1' }).toString()).toBe(
    'PROXY TCP6 2001:db8::7 2001:db8::1 45678 25\r\n',
  )
})

test('a binary header for TCP over IPv4 is signature, command, family, length, addresses, ports', () => {
  expect(v2().toString('hex')).toBe(
    ['0d0a0d0a000d0a515549540a', '21', '11', '000c', 'cb007107', 'c6336405', 'b26e', '0019'].join(''),
  )
})

test('a binary header for TCP over IPv6', () => {
  const bytes = v2({ ...ends, source: '2001:db8::7', destination: '::1' })
  expect(bytes.subarray(13).toString('hex')).toBe(
    ['21', '0024', '20010db8000000000000000000000007', '00000000000000000000000000000001', 'b26e', '0019'].join(''),
  )
})

test('a checksum is computed with its own field zero, over the whole header', () => {
  const bytes = v2(ends, { tlvs: [tlv(0x04, 'x')], crc: true })
  const field = bytes.subarray(-4)
  const told = field.readUInt32BE()
  field.fill(0)
  expect(crc32c(bytes)).toBe(told)
})

test('LOCAL has no family and no block', () => {
  expect(v2Local.toString('hex')).toBe('0d0a0d0a000d0a515549540a20000000')
})

test('a header may lie about its length', () => {
  expect(v2Bytes({ length: 65_535 }).toString('hex')).toBe('0d0a0d0a000d0a515549540a2111ffff')
})

test.each([
  ['AWS NLB, VPC endpoint', captured['AWS NLB, VPC endpoint']?.bytes, 31],
  ['AWS NLB, health check', nlbHealthCheck, 19],
])('the checksum that was captured from %s is ours too', (_, bytes, at) => {
  const copy = Buffer.from(bytes ?? '')
  const told = copy.readUInt32BE(at)
  copy.writeUInt32BE(0, at)
  expect(crc32c(copy)).toBe(told)
})
