/*
 * Cloudflare's Simple Proxy Protocol, which Spectrum puts before each UDP datagram. It is not the PROXY protocol:
 *
 *    0  magic, 0x56EC
 *    2  client address, 16 bytes, IPv4 as IPv4-mapped
 *   18  proxy address, 16 bytes
 *   34  client port, u16 big endian
 *   36  proxy port, u16 big endian
 *
 * See Cloudflare Spectrum, "Simple Proxy Protocol Header".
 */
import type { Endpoint } from '../contracts/address.ts'
import { ipv6FromBytes } from '../ip/address.ts'
import { writeInet6Address } from './encode.ts'

/** One datagram behind Cloudflare Spectrum. */
export interface SimpleProxyDatagram {
  /** Who sent it to Cloudflare. */
  readonly client: Endpoint
  /** The address at Cloudflare that the client sent to. */
  readonly proxy: Endpoint
  /** A view over the datagram. */
  readonly payload: Buffer
}

const headerBytes = 38
const magic = 0x56ec

/**
 * Splits a datagram into its 38-byte header and its payload.
 *
 * @returns a view over the datagram, or `undefined` when it does not begin with such a header.
 */
export function parseSimpleProxyDatagram(datagram: Buffer): SimpleProxyDatagram | undefined {
  if (datagram.length < headerBytes || datagram.readUInt16BE(0) !== magic) return undefined
  return {
    client: { address: ipv6FromBytes(datagram, 2), port: datagram.readUInt16BE(34) },
    proxy: { address: ipv6FromBytes(datagram, 18), port: datagram.readUInt16BE(36) },
    payload: datagram.subarray(headerBytes),
  }
}

/**
 * A datagram with its header, in a buffer of its own. A reply goes back with the header of its request: addresses and
 * ports in the same places.
 */
export function encodeSimpleProxyDatagram(client: Endpoint, proxy: Endpoint, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(headerBytes)
  header.writeUInt16BE(magic, 0)
  writeInet6Address(client.address, header, 2)
  writeInet6Address(proxy.address, header, 18)
  header.writeUInt16BE(client.port, 34)
  header.writeUInt16BE(proxy.port, 36)
  return Buffer.concat([header, payload])
}
