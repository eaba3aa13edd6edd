/*
 * Writes PROXY headers (PROXY protocol specification, sections 2.1 and 2.2), for upstreams and for tests.
 *
 * A header goes out whole, first of all, in one write, and never on a connection that another client used (S-01, S-02):
 * that is the caller's part; `connect` does it.
 */
import type { Endpoint, IpAddress } from '../contracts/address.ts'
import type { ClientIdentity } from '../contracts/identity.ts'
import type { ProxySendCode } from '../errors.ts'
import { wordsOf } from '../ip/address.ts'
import { limits } from '../limits.ts'
import { crc32c } from './crc32c.ts'
import { familyInet, familyInet6, familyUnix, type ProxyHeader } from './header.ts'
import { signature } from './signature.ts'
import { readSsl } from './tlv-ssl.ts'
import { tlvType, type Tlv } from './tlv.ts'

/** A UNIX socket by its name: at most 108 bytes; an abstract name begins with NUL. */
export interface UnixName {
  readonly path: Uint8Array
}

/**
 * A header as it is to be sent: text (section 2.1) or binary (section 2.2), for a client or for the sender itself.
 */
export type HeaderToSend =
  /** `PROXY UNKNOWN`. Some receivers refuse it (S-04). */
  | { readonly version: 1; readonly command: 'unknown' }
  /** Where the families differ, IPv4 is written as IPv4-mapped IPv6. */
  | { readonly version: 1; readonly command: 'proxy'; readonly source: Endpoint; readonly destination: Endpoint }
  /** The sender speaks for itself, as in a health check: family 0, length 0 (S-07). */
  | { readonly version: 2; readonly command: 'local' }
  | InetHeader
  | UnixHeader

/** A binary header for TCP or UDP over IP. Where the families differ, IPv4 is written as IPv4-mapped IPv6. */
export interface InetHeader extends BinaryHeader {
  readonly source: Endpoint
  readonly destination: Endpoint
}

/** A binary header for UNIX sockets. */
export interface UnixHeader extends BinaryHeader {
  readonly source: UnixName
  readonly destination: UnixName
}

/** What all binary headers that name a client have (section 2.2). */
export interface BinaryHeader {
  readonly version: 2
  readonly command: 'proxy'
  /** `STREAM` when absent. */
  readonly transport?: 'STREAM' | 'DGRAM'
  /** In this order. The checksum is not one of them. */
  readonly tlvs?: readonly Tlv[]
  /** Adds a CRC32C behind the other TLVs. */
  readonly hasChecksum?: boolean
}

/** Where a header is written, and within what. */
export interface EncodeOptions {
  /** Writes here instead of into a new buffer. */
  readonly into?: Buffer
  /** Where in `into`; 0 when absent. */
  readonly at?: number
  /** Bound for the whole header, in bytes; `limits.maxSentHeaderBytes` when absent. */
  readonly maxBytes?: number
  /** Lets types 0xF0 to 0xF7 out, which section 2.2.8 keeps from production. */
  readonly isExperiment?: boolean
}

/** An encoded header, or why it may not be sent. `detail` is for the operator's log. */
export type Encoded =
  | {
      readonly ok: true
      /** The header: a view of `into`, or a buffer of its own. */
      readonly bytes: Buffer
      /** Types of TLVs that did not fit within the bound and were left out whole (S-08). */
      readonly skipped: readonly number[]
    }
  | { readonly ok: false; readonly code: ProxySendCode; readonly detail: string }

type Refusal = Extract<Encoded, { ok: false }>

/**
 * Encodes a header. What the specification forbids to send is refused as a value; nothing is written then. TLVs that do
 * not fit within the bound are left out whole, and named; a header that does not fit without them is refused.
 *
 * @throws {TypeError} for an address that this library did not make.
 * @see PROXY protocol specification, sections 2.1 and 2.2.
 */
export function encodeProxyHeader(header: HeaderToSend, options: EncodeOptions = {}): Encoded {
  if (header.version === 2 && header.command === 'proxy') {
    for (const tlv of header.tlvs ?? []) {
      const refusal = judgeTlv(tlv, options.isExperiment === true)
      if (refusal !== undefined) return refusal
    }
  }
  return encode(header, options)
}

/** Whom an upstream is to see: the client and what it dialled; a peer that speaks for itself becomes LOCAL or UNKNOWN. */
export function headerAnnouncing(identity: ClientIdentity, version: 1 | 2): HeaderToSend {
  const { origin, client: source, destination } = identity
  if (version === 1) {
    return origin === 'proxy-itself'
      ? { version, command: 'unknown' }
      : { version, command: 'proxy', source, destination }
  }
  return origin === 'proxy-itself' ? { version, command: 'local' } : { version, command: 'proxy', source, destination }
}

/**
 * Encodes a received header anew, as version 2, with those of its TLVs that `passes` picks, in their order. A received
 * checksum is never passed on, since it no longer holds. A header without addresses becomes LOCAL.
 */
export function reencodeProxyHeader(
  received: ProxyHeader,
  options: EncodeOptions & {
    readonly passes: (type: number) => boolean
    /** Adds a fresh CRC32C. */
    readonly hasChecksum?: boolean
  },
): Encoded {
  const { source, destination, unixSource, unixDestination } = received
  const rest: BinaryHeader = {
    version: 2,
    command: 'proxy',
    transport: received.transport === 'DGRAM' ? 'DGRAM' : 'STREAM',
    tlvs: [...received.tlvs].filter(({ type }) => canBeRelayed(type) && options.passes(type)),
    hasChecksum: options.hasChecksum === true,
  }
  if (source !== undefined && destination !== undefined) return encode({ ...rest, source, destination }, options)
  if (unixSource !== undefined && unixDestination !== undefined) {
    return encode({ ...rest, source: { path: unixSource }, destination: { path: unixDestination } }, options)
  }
  return encode({ version: 2, command: 'local' }, options)
}

/** Types this library does not know may be passed on, but 0xF8 and up may one day be longer than a byte (section 2.2.8). */
function canBeRelayed(type: number): boolean {
  return type !== tlvType.crc32c && type < 0xf8
}

// ── what may be sent ────────────────────────────────────────────────────────

const registered: ReadonlySet<number> = new Set(Object.values(tlvType))

/** S-10, S-11. */
function judgeTlv({ type, value }: Tlv, isExperiment: boolean): Refusal | undefined {
  const hexType = `0x${type.toString(16).padStart(2, '0')}`
  if (type === tlvType.crc32c) return refuse('PROXY_SEND_TYPE', 'CRC32C is computed here: set hasChecksum')
  const isCustom = type >= 0xe0 && type <= 0xef
  const isExperimental = type >= 0xf0 && type <= 0xf7
  if (!registered.has(type) && !isCustom && !(isExperimental && isExperiment)) {
    return refuse('PROXY_SEND_TYPE', `${hexType} is neither registered nor one of 0xe0 to 0xef`)
  }
  if (type === tlvType.uniqueId && value.length > limits.maxUniqueIdBytes) {
    return refuse('PROXY_SEND_VALUE', `UNIQUE_ID has ${value.length} bytes, of ${limits.maxUniqueIdBytes} allowed`)
  }
  if (type === tlvType.ssl && readSsl(value) === undefined) {
    return refuse('PROXY_SEND_VALUE', 'SSL is not five bytes and whole TLVs behind them: make it by sslTlv')
  }
  return undefined
}

function judgePorts(source: Endpoint, destination: Endpoint): Refusal | undefined {
  const wrong = [source.port, destination.port].find((port) => !Number.isInteger(port) || port < 0 || port > 65_535)
  return wrong === undefined ? undefined : refuse('PROXY_SEND_PORT', `${wrong} is not a port`)
}

function refuse(code: ProxySendCode, detail: string): Refusal {
  return { ok: false, code, detail }
}

// ── writing ─────────────────────────────────────────────────────────────────

function encode(header: HeaderToSend, options: EncodeOptions): Encoded {
  if (header.version === 1) return encodeText(header, options)
  if (header.command === 'local') return place(prefix(0x20, 0x00, 0), [], options)
  if (isUnix(header)) {
    const tooLong = [header.source, header.destination].find(({ path }) => path.length > unixNameBytes)
    if (tooLong !== undefined) return refuse('PROXY_SEND_UNIX_NAME', `${tooLong.path.length} bytes, of 108 allowed`)
    const block = Buffer.alloc(2 * unixNameBytes)
    block.set(header.source.path, 0)
    block.set(header.destination.path, unixNameBytes)
    return encodeBinary(header, familyUnix, block, options)
  }
  const { source, destination } = header
  const refusal = judgePorts(source, destination)
  if (refusal !== undefined) return refusal
  const isIpv4 = source.address.family === 4 && destination.address.family === 4
  const block = isIpv4 ? inetBlock(source, destination) : inet6Block(source, destination)
  return encodeBinary(header, isIpv4 ? familyInet : familyInet6, block, options)
}

function encodeBinary(header: BinaryHeader, family: number, block: Buffer, options: EncodeOptions): Encoded {
  const bound = Math.min(boundOf(options), limits.largestHeaderBytes)
  const checksumBytes = header.hasChecksum === true ? 7 : 0
  let length = 16 + block.length + checksumBytes
  const parts: Uint8Array[] = []
  const skipped: number[] = []
  for (const { type, value } of header.tlvs ?? []) {
    if (length + 3 + value.length > bound) {
      skipped.push(type)
      continue
    }
    parts.push(Uint8Array.of(type, value.length >>> 8, value.length & 255), value)
    length += 3 + value.length
  }
  const transport = header.transport === 'DGRAM' ? 2 : 1
  const start = prefix(0x21, (family << 4) | transport, length - 16)
  if (checksumBytes > 0) parts.push(Uint8Array.of(tlvType.crc32c, 0, 4, 0, 0, 0, 0))
  const bytes = Buffer.concat([start, block, ...parts])
  // S-09: over the header as it goes out, with zeros where the sum will stand.
  if (checksumBytes > 0) bytes.writeUInt32BE(crc32c(bytes), length - 4)
  return place(bytes, skipped, options)
}

/** The bound that was asked for, and that the caller's buffer sets. */
function boundOf({ into, at = 0, maxBytes = limits.maxSentHeaderBytes }: EncodeOptions): number {
  return into === undefined ? maxBytes : Math.min(maxBytes, into.length - at)
}

function place(bytes: Buffer, skipped: readonly number[], options: EncodeOptions): Encoded {
  const { into, at = 0 } = options
  const bound = boundOf(options)
  if (bytes.length > bound) return refuse('PROXY_SEND_TOO_LONG', `${bytes.length} bytes, of ${bound} allowed`)
  if (into === undefined) return { ok: true, bytes, skipped }
  bytes.copy(into, at)
  return { ok: true, bytes: into.subarray(at, at + bytes.length), skipped }
}

const unixNameBytes = 108

function isUnix(header: InetHeader | UnixHeader): header is UnixHeader {
  return 'path' in header.source
}

/** S-03: the canonical text form. */
function encodeText(header: Extract<HeaderToSend, { version: 1 }>, options: EncodeOptions): Encoded {
  if (header.command === 'unknown') return place(Buffer.from('PROXY UNKNOWN\r\n', 'latin1'), [], options)
  const { source, destination } = header
  const refusal = judgePorts(source, destination)
  if (refusal !== undefined) return refusal
  const isIpv4 = source.address.family === 4 && destination.address.family === 4
  const text = ({ address }: Endpoint): string =>
    `${isIpv4 || address.family === 6 ? '' : '::ffff:'}${address.toString()}`
  const addresses = `${text(source)} ${text(destination)}`
  const line = `PROXY ${isIpv4 ? 'TCP4' : 'TCP6'} ${addresses} ${source.port} ${destination.port}\r\n`
  return place(Buffer.from(line, 'latin1'), [], options)
}

function prefix(versionAndCommand: number, familyAndTransport: number, length: number): Buffer {
  const bytes = Buffer.alloc(16)
  signature.copy(bytes)
  bytes[12] = versionAndCommand
  bytes[13] = familyAndTransport
  bytes.writeUInt16BE(length, 14)
  return bytes
}

function inetBlock(source: Endpoint, destination: Endpoint): Buffer {
  const block = Buffer.alloc(12)
  block.writeInt32BE(wordsOf(source.address).w0, 0)
  block.writeInt32BE(wordsOf(destination.address).w0, 4)
  block.writeUInt16BE(source.port, 8)
  block.writeUInt16BE(destination.port, 10)
  return block
}

function inet6Block(source: Endpoint, destination: Endpoint): Buffer {
  const block = Buffer.alloc(36)
  writeInet6Address(source.address, block, 0)
  writeInet6Address(destination.address, block, 16)
  block.writeUInt16BE(source.port, 32)
  block.writeUInt16BE(destination.port, 34)
  return block
}

/** Sixteen bytes; IPv4 beside IPv6 is written IPv4-mapped (RFC 4291 section 2.5.5.2). */
export function writeInet6Address(address: IpAddress, into: Buffer, at: number): void {
  const { family, w0, w1, w2, w3 } = wordsOf(address)
  const words = family === 6 ? [w0, w1, w2, w3] : [0, 0, 0xffff, w0]
  for (const [index, word] of words.entries()) into.writeInt32BE(word, at + 4 * index)
}
