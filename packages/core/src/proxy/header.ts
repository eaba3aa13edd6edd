import type { Endpoint } from '../contracts/address.ts'
import type { ProxyErrorCode } from '../errors.ts'
import { ipv4FromBytes, ipv4FromNumber, ipv6FromBytes, ipv6FromWords } from '../ip/address.ts'
import { TlvSpan, type Tlvs } from './tlv.ts'

/** `proxy`: the sender speaks for a client. `local`: it speaks for itself (section 2.2). A text header is `proxy`. */
export type ProxyCommand = 'proxy' | 'local'
/** The address family (section 2.2); `INET` and `INET6` are TCP4 and TCP6 of the text form. */
export type ProxyFamily = 'UNSPEC' | 'INET' | 'INET6' | 'UNIX'
/** The transport (section 2.2); a text header with addresses is `STREAM`. */
export type ProxyTransport = 'UNSPEC' | 'STREAM' | 'DGRAM'

/**
 * A PROXY header as a view over the bytes it was read from: valid as long as they are, and as its reader reads nothing
 * else. Copy what is kept.
 */
export interface ProxyHeader {
  readonly version: 1 | 2
  /** `local`: the balancer speaks for itself (section 2.2). There are no addresses and no TLVs then. */
  readonly command: ProxyCommand
  /** `UNSPEC` for LOCAL, for UNKNOWN, and for every pair of family and transport that carries no usable address. */
  readonly family: ProxyFamily
  readonly transport: ProxyTransport
  /** All bytes of the header; what follows is the application's. */
  readonly length: number
  /** Whom the connection comes from; only for INET and INET6. Made when asked. */
  readonly source: Endpoint | undefined
  /** What the client dialled; only for INET and INET6. Made when asked. */
  readonly destination: Endpoint | undefined
  /** The 108 bytes of a `sun_path`, NUL padded; only for UNIX. */
  readonly unixSource: Buffer | undefined
  readonly unixDestination: Buffer | undefined
  readonly tlvs: Tlvs
}

/** The header is whole and valid, or may become so with more bytes, or never will. */
export type ParseStatus = 'done' | 'more' | 'bad'

export const familyInet = 1
export const familyInet6 = 2
export const familyUnix = 3

const familyNames: readonly ProxyFamily[] = ['UNSPEC', 'INET', 'INET6', 'UNIX']
const transportNames: readonly ProxyTransport[] = ['UNSPEC', 'STREAM', 'DGRAM']
const none = Buffer.alloc(0)

/** `shape` of the headers that are read, beside those of the families: LOCAL, and PROXY without usable addresses. */
export const shapeLocal = 0x2000
export const shapeUnspec = 0x2100

/**
 * The one object that the readers of both versions fill, always the same shape, so that reading a header allocates
 * nothing and every access has one kind of object to deal with. A binary header is done with four stores: its addresses
 * stay in the buffer until somebody asks.
 */
export class HeaderFields implements ProxyHeader {
  /** After `more`: the least number of bytes, from the first, that a whole header has. */
  atLeast = 0
  /** After `bad`. */
  code: ProxyErrorCode = 'PROXY_NO_SIGNATURE'
  /** After `bad`: the offset of the byte at fault. */
  at = 0

  /**
   * Version, command, family and transport as the bytes 12 and 13 of a binary header tell them (section 2.2), a nibble
   * each. A text header has version 1; a header without usable addresses has no family and no transport.
   */
  shape = 0
  length = 0
  /** The TLVs stand from here up to `length`. */
  tlvStart = 0
  bytes: Buffer = none

  // The addresses of a text header, words as in an `IpAddress`; IPv4 has one. Those of a binary header are in `bytes`.
  source0 = 0
  source1 = 0
  source2 = 0
  source3 = 0
  destination0 = 0
  destination1 = 0
  destination2 = 0
  destination3 = 0
  sourcePort = 0
  destinationPort = 0

  get version(): 1 | 2 {
    return this.shape >>> 12 === 1 ? 1 : 2
  }

  get command(): ProxyCommand {
    return this.shape === shapeLocal ? 'local' : 'proxy'
  }

  get family(): ProxyFamily {
    return familyNames[this.#familyNumber]!
  }

  get transport(): ProxyTransport {
    return transportNames[this.shape & 15]!
  }

  get source(): Endpoint | undefined {
    return this.version === 1
      ? this.#textEndpoint(this.source0, this.source1, this.source2, this.source3, this.sourcePort)
      : this.#binaryEndpoint(0)
  }

  get destination(): Endpoint | undefined {
    return this.version === 1
      ? this.#textEndpoint(
          this.destination0,
          this.destination1,
          this.destination2,
          this.destination3,
          this.destinationPort,
        )
      : this.#binaryEndpoint(1)
  }

  get unixSource(): Buffer | undefined {
    return this.#familyNumber === familyUnix ? this.bytes.subarray(16, 124) : undefined
  }

  get unixDestination(): Buffer | undefined {
    return this.#familyNumber === familyUnix ? this.bytes.subarray(124, 232) : undefined
  }

  get tlvs(): Tlvs {
    return new TlvSpan(this.bytes, this.tlvStart, this.length)
  }

  get #familyNumber(): number {
    return (this.shape >>> 4) & 15
  }

  #textEndpoint(w0: number, w1: number, w2: number, w3: number, port: number): Endpoint | undefined {
    switch (this.#familyNumber) {
      case familyInet:
        return { address: ipv4FromNumber(w0), port }
      case familyInet6:
        return { address: ipv6FromWords(w0, w1, w2, w3), port }
      default:
        return undefined
    }
  }

  /** R-V2-12: both addresses, then both ports. @param index - 0 for the source, 1 for the destination. */
  #binaryEndpoint(index: 0 | 1): Endpoint | undefined {
    const { bytes } = this
    switch (this.#familyNumber) {
      case familyInet:
        return { address: ipv4FromBytes(bytes, 16 + 4 * index), port: portAt(bytes, 24 + 2 * index) }
      case familyInet6:
        return { address: ipv6FromBytes(bytes, 16 + 16 * index), port: portAt(bytes, 48 + 2 * index) }
      default:
        return undefined
    }
  }

  /** @internal For the readers of both versions. */
  more(atLeast: number): 'more' {
    this.atLeast = atLeast
    return 'more'
  }

  /** @internal For the readers of both versions. */
  bad(code: ProxyErrorCode, at: number): 'bad' {
    this.code = code
    this.at = at
    return 'bad'
  }
}

function portAt(bytes: Buffer, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}
