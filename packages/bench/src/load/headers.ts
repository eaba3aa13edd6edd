/*
 * PROXY headers as a balancer would send them, and the addresses they name.
 */
import {
  encodeProxyHeader,
  endpoint,
  ipv4FromNumber,
  parseIpAddress,
  sslTlv,
  tlvType,
  type HeaderToSend,
  type IpAddress,
} from '@postern/core'
import { UsageError } from '../command.ts'
import type { LoadPlan } from './options.ts'

/** A network whose addresses are taken in turn. */
export interface AddressRange {
  readonly size: number
  at(index: number): IpAddress
}

/** Reads `203.0.113.0/24`, or one address of either family. */
export function parseRange(text: string): AddressRange {
  const [, host = '', bits] = /^([^/]+)(?:\/(\d{1,2}))?$/.exec(text) ?? []
  const address = parseIpAddress(host)
  if (address === undefined) throw new UsageError(`${JSON.stringify(text)} is no network, as 203.0.113.0/24 is one`)
  if (address.family === 6) {
    if (bits !== undefined) throw new UsageError('a range of client addresses is an IPv4 network')
    return { size: 1, at: () => address }
  }
  const length = Number(bits ?? 32)
  if (length < 1 || length > 32) throw new UsageError(`${JSON.stringify(text)} is no network: 1 to 32 bits`)
  const size = 2 ** (32 - length)
  const first = host.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
  const base = first - (first % size)
  // Without the first address of a network, which is nobody's.
  return size === 1
    ? { size, at: () => address }
    : { size: size - 1, at: (index) => ipv4FromNumber((base + 1 + (index % (size - 1))) | 0) }
}

/** @returns what a connection sends first, by its serial number; undefined when nothing. */
export function headersOf({ proxy, clients, target }: LoadPlan): ((serial: number) => Buffer) | undefined {
  if (proxy === 'none') return undefined
  const range = parseRange(clients)
  const destination = endpoint(range.at(0).family === 6 ? '2001:db8::1' : '198.51.100.5', target.port)
  const encode = (serial: number): Buffer => {
    // Behind a balancer the same client comes again from another port.
    const port = 1_024 + (Math.floor(serial / range.size) % 64_000)
    const encoded = encodeProxyHeader(headerOf(proxy, { address: range.at(serial), port }, destination))
    if (!encoded.ok) throw new Error(encoded.detail)
    return encoded.bytes
  }
  if (range.size > 1) return encode
  const only = encode(0)
  return () => only
}

function headerOf(
  proxy: Exclude<LoadPlan['proxy'], 'none'>,
  source: ReturnType<typeof endpoint>,
  destination: ReturnType<typeof endpoint>,
): HeaderToSend {
  if (proxy === 'v1') return { version: 1, command: 'proxy', source, destination }
  const tlvs = [
    { type: tlvType.authority, value: Buffer.from('mx.example.org') },
    { type: tlvType.uniqueId, value: Buffer.from('00112233445566778899aabbccddeeff', 'hex') },
  ]
  const header = { version: 2, command: 'proxy', source, destination } as const
  if (proxy === 'v2-tlvs') return { ...header, tlvs, hasChecksum: true }
  return proxy === 'v2-ssl' ? { ...header, tlvs: [overTls] } : header
}

/** What a balancer says of a client that speaks TLS 1.3 to it, without a certificate. */
const overTls = sslTlv({ certificate: 'none', isVerified: false, version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' })
