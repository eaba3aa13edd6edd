import type { Endpoint, IpAddress } from '../contracts/address.ts'
import { ipv4FromNumber, ipv6FromWords } from './address.ts'
import { AddressScanner } from './scan.ts'

/** Eight groups of four digits, or six and a dotted tail: `0000:0000:0000:0000:0000:ffff:255.255.255.255`. */
const longestText = 45

const scanner = new AddressScanner()
const scratch = Buffer.alloc(3 * longestText)

/**
 * Reads an address as `inet_pton` does, and no more: no short forms (`127.1`), no octal or hexadecimal octets, no
 * leading zeros in IPv4, no brackets, no zone id, no blanks. An IPv4-mapped address becomes IPv4.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (text.length > longestText) return undefined
  const end = scratch.write(text)
  if (text.includes(':')) {
    if (scanner.scanIpv6(scratch, 0, end) !== end) return undefined
    return ipv6FromWords(scanner.w0, scanner.w1, scanner.w2, scanner.w3)
  }
  return scanner.scanIpv4(scratch, 0, end) === end ? ipv4FromNumber(scanner.w0) : undefined
}

/**
 * One end of a connection from text, for configuration that was checked and for tests.
 * @throws {RangeError} when the address or the port is none.
 */
export function endpoint(address: IpAddress | string, port: number): Endpoint {
  const value = typeof address === 'string' ? parseIpAddress(address) : address
  if (value === undefined) throw new RangeError(`no IP address: ${JSON.stringify(address)}`)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`no port: ${port}`)
  return Object.freeze({ address: value, port })
}

/** `192.0.2.1:25`, or `[2001:db8::1]:25` (RFC 3986 section 3.2.2). */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.family === 4 ? `${address.toString()}:${port}` : `[${address.toString()}]:${port}`
}
