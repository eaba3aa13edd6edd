import type { Endpoint } from '../contracts/address.ts'
import type { ProxyErrorCode } from '../errors.ts'
import { ipv4FromNumber, ipv6FromWords } from '../ip/address.ts'
import { TlvSpan, type Tlvs } from './tlv.ts'

export type ProxyCommand = 'proxy' | 'local'
export type ProxyFamily = 'UNSPEC' | 'INET' | 'INET6' | 'UNIX'
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

export type ParseStatus = 'done' | 'more' | 'bad'

export const familyUnspec = 0
export const familyInet = 1
export const familyInet6 = 2
export const familyUnix = 3

const familyNames: readonly ProxyFamily[] = ['UNSPEC', 'INET', 'INET6', 'UNIX']
const transportNames: readonly ProxyTransport[] = ['UNSPEC', 'STREAM', 'DGRAM']
const none = Buffer.alloc(0)

/**
 * The one object that the readers of both versions fill: numbers and one buffer, always the same shape, so that reading
 * a header allocates nothing and every access has one kind of object to deal with.
 */
export class HeaderFields implements ProxyHeader {
  /** After `more`: the least number of bytes, from the first, that a verdict takes. */
  atLeast = 0
  /** After `bad`. */
  code: ProxyErrorCode = 'PROXY_NO_SIGNATURE'
  /** After `bad`: the offset of the byte at fault. */
  at = 0

  version: 1 | 2 = 1
  command: ProxyCommand = 'proxy'
  length = 0
  /** One of the `family…` constants. */
  familyNumber: number = familyUnspec
  /** 0 UNSPEC, 1 STREAM, 2 DGRAM. */
  transportNumber = 0
  /** Words as in an `IpAddress`; IPv4 has one. */
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
  /** The TLVs stand from here up to `length`. */
  tlvStart = 0
  bytes: Buffer = none

  get family(): ProxyFamily {
    return familyNames[this.familyNumber]!
  }

  get transport(): ProxyTransport {
    return transportNames[this.transportNumber]!
  }

  get source(): Endpoint | undefined {
    return this.#endpoint(this.source0, this.source1, this.source2, this.source3, this.sourcePort)
  }

  get destination(): Endpoint | undefined {
    const { destination0, destination1, destination2, destination3, destinationPort } = this
    return this.#endpoint(destination0, destination1, destination2, destination3, destinationPort)
  }

  get unixSource(): Buffer | undefined {
    return this.familyNumber === familyUnix ? this.bytes.subarray(16, 124) : undefined
  }

  get unixDestination(): Buffer | undefined {
    return this.familyNumber === familyUnix ? this.bytes.subarray(124, 232) : undefined
  }

  get tlvs(): Tlvs {
    return new TlvSpan(this.bytes, this.tlvStart, this.length)
  }

  more(atLeast: number): 'more' {
    this.atLeast = atLeast
    return 'more'
  }

  bad(code: ProxyErrorCode, at: number): 'bad' {
    this.code = code
    this.at = at
    return 'bad'
  }

  #endpoint(w0: number, w1: number, w2: number, w3: number, port: number): Endpoint | undefined {
    if (this.familyNumber === familyInet) return { address: ipv4FromNumber(w0), port }
    return this.familyNumber === familyInet6 ? { address: ipv6FromWords(w0, w1, w2, w3), port } : undefined
  }
}
