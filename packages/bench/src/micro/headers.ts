import { crc32c } from '@postern/core'

/** The headers that are measured: what real balancers send, all bytes written out by hand. */

const signature = '0d0a0d0a000d0a515549540a'
// 203.0.113.7 → 198.51.100.5, 45678 → 25
const inet = ['cb007107', 'c6336405', 'b26e', '0019'].join('')
const inet6 = ['20010db8000000000000000000000007', '20010db8000000000000000000000001', 'b26e', '0019'].join('')

export const v1Tcp4: Buffer = Buffer.from('PROXY TCP4 203.0.113.7 198.51.100.5 45678 25\r\n', 'latin1')
export const v1Tcp6: Buffer = Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::1 45678 25\r\n', 'latin1')
export const v2Tcp4: Buffer = v2('2111', inet)
export const v2Tcp6: Buffer = v2('2121', inet6)
export const v2Local: Buffer = v2('2000', '')

const authority = tlv(0x02, Buffer.from('mx.example.org').toString('hex'))
const uniqueId = tlv(0x05, '00112233445566778899aabbccddeeff')
const awsEndpoint = tlv(0xea, `01${Buffer.from('vpce-08d2bf15fac5001c9').toString('hex')}`)

export const v2ThreeTlvs: Buffer = v2('2111', inet, authority + uniqueId + awsEndpoint)
/** A hundred bytes in all, checksum and padding included, as an AWS network load balancer sends. */
export const v2Checksum100: Buffer = withChecksum(v2('2111', inet, tlv(0x03, '00000000') + tlv(0x04, '00'.repeat(62))))

function v2(versionCommandFamily: string, addresses: string, tlvs: string = ''): Buffer {
  const length = ((addresses.length + tlvs.length) / 2).toString(16).padStart(4, '0')
  return Buffer.from(signature + versionCommandFamily + length + addresses + tlvs, 'hex')
}

function tlv(type: number, value: string): string {
  return type.toString(16).padStart(2, '0') + (value.length / 2).toString(16).padStart(4, '0') + value
}

/** The checksum is the first TLV behind the IPv4 addresses: its value stands at byte 31. */
function withChecksum(header: Buffer): Buffer {
  header.writeUInt32BE(crc32c(header), 31)
  return header
}
