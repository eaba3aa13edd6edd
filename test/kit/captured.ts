/*
 * Headers as balancers write them that the tests cannot run. Each row says where its bytes come from; the checksums in
 * the captures are the senders' own.
 */
export interface Captured {
  readonly bytes: Buffer
  readonly client: string
  readonly clientPort: number
  readonly destination: string
  readonly destinationPort: number
}

const signature = '0d0a0d0a000d0a515549540a'
const hex = (...parts: readonly string[]): Buffer => Buffer.from(parts.join(''), 'hex')
const ascii = (text: string): string => Buffer.from(text, 'latin1').toString('hex')

export const captured: Readonly<Record<string, Captured>> = {
  // Envoy, upstream PROXY transport socket, `version: V1`: the example of its own test of the text it sends.
  'Envoy, version 1': {
    bytes: Buffer.from('PROXY TCP4 174.2.2.222 172.0.0.1 50000 80\r\n', 'latin1'),
    client: '174.2.2.222',
    clientPort: 50_000,
    destination: '172.0.0.1',
    destinationPort: 80,
  },
  // The same socket with `version: V2`, over IPv6: the same test's addresses 1:2:3::4 and 5:6::7:8, ports 62000 and 8000.
  'Envoy, version 2, IPv6': {
    bytes: hex(
      signature,
      '21',
      '21',
      '0024',
      '00010002000300000000000000000004',
      '00050006000000000000000000070008',
      'f230',
      '1f40',
    ),
    client: '1:2:3::4',
    clientPort: 62_000,
    destination: '5:6::7:8',
    destinationPort: 8_000,
  },
  // Traefik, TCP service with `proxyProtocol.version = 2`: go-proxyproto's header from the connection's two ends, no TLVs.
  'Traefik, version 2': {
    bytes: hex(signature, '21', '11', '000c', 'cb007109', 'c6336406', 'd431', '0019'),
    client: '203.0.113.9',
    clientPort: 54_321,
    destination: '198.51.100.6',
    destinationPort: 25,
  },
  // Caddy's transport with `proxy_protocol v2`: the destination is unknown to it and written as zeros, port and all.
  'Caddy, version 2, no destination': {
    bytes: hex(signature, '21', '11', '000c', 'cb00710a', '00000000', 'd432', '0000'),
    client: '203.0.113.10',
    clientPort: 54_322,
    destination: '0.0.0.0',
    destinationPort: 0,
  },
  // AWS NLB before an endpoint service: captured by the authors of go-proxyproto. CRC32C, endpoint id, padding to 100 bytes.
  'AWS NLB, VPC endpoint': {
    bytes: hex(
      signature,
      '21',
      '11',
      '0054',
      'ac1f0771',
      'ac1f0a1f',
      'c8f2',
      '0050',
      '030004',
      'e8d6892d',
      'ea0017',
      '01',
      ascii('vpce-08d2bf15fac5001c9'),
      '040024',
      '00'.repeat(36),
    ),
    client: '172.31.7.113',
    clientPort: 51_442,
    destination: '172.31.10.31',
    destinationPort: 80,
  },
}

/**
 * AWS NLB's health check, captured in kubernetes/kubernetes#57250: LOCAL, yet of family TCP over IPv4, and where a family
 * has its addresses there are TLVs: CRC32C and 74 bytes of padding.
 */
export const nlbHealthCheck: Buffer = hex(
  signature,
  '20',
  '11',
  '0054',
  '030004',
  'bce5951f',
  '04004a',
  '00'.repeat(74),
)
