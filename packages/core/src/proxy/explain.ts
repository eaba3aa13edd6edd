/*
 * Explains header bytes field by field, for `postern inspect` and for whoever reads a capture. The record has the same
 * fields whatever the bytes are; those that do not apply are null.
 */
import { proxyErrors, type ProxyErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import type { ProxyFamily, ProxyHeader, ProxyTransport } from './header.ts'
import { parseProxyHeader } from './parse.ts'
import { sslClientBit, sslSubType, viewSsl } from './tlv-ssl.ts'
import { readVendorTlv } from './tlv-vendor.ts'
import {
  readAlpn,
  readAscii,
  readAuthority,
  readCrc32c,
  readNetns,
  readUtf8,
  tlvType,
  type Tlv,
  type Tlvs,
} from './tlv.ts'

/** A header field by field, as plain JSON. Fields that do not apply are null. */
export interface HeaderRecord {
  /** `incomplete`: more bytes could make it valid. `not-proxy`: the bytes do not begin as any header does. */
  readonly status: 'ok' | 'invalid' | 'incomplete' | 'not-proxy'
  readonly version: 1 | 2 | null
  readonly command: 'PROXY' | 'LOCAL' | null
  readonly family: ProxyFamily | null
  readonly protocol: ProxyTransport | null
  /** RFC 5952 text, or the name of a UNIX socket. Null for LOCAL, UNKNOWN and UNSPEC. */
  readonly sourceAddress: string | null
  readonly sourcePort: number | null
  readonly destinationAddress: string | null
  readonly destinationPort: number | null
  readonly tlvs: readonly TlvRecord[] | null
  /** Bytes of the header; what follows is the application's. */
  readonly headerLength: number | null
  /** Only for `invalid`: the stable code, and a sentence for people. */
  readonly code: ProxyErrorCode | null
  readonly reason: string | null
}

/** One TLV (section 2.2), explained. */
export interface TlvRecord {
  /** 0 to 255. */
  readonly type: number
  /** Lower case, without blanks. */
  readonly valueHex: string
  /** As the specification or the vendor names it; null for a type that neither does. */
  readonly name: string | null
  /** The value decoded; null when it is opaque or not well-formed for its type. */
  readonly value: TlvValue | null
}

/** The value of a TLV as far as it is understood. */
export type TlvValue = string | number | SslRecord | Readonly<Record<string, string | number>>

/** The SSL TLV (section 2.2.6). */
export interface SslRecord {
  readonly client: {
    readonly ssl: boolean
    readonly certificateOnConnection: boolean
    readonly certificateInSession: boolean
  }
  /** Zero when a certificate was shown and verified; otherwise of no stated meaning. */
  readonly verify: number
  readonly tlvs: readonly TlvRecord[]
}

/** Judges the header at the start of `bytes` with the protocol's own bound, 65,551 bytes. Bytes may follow the header. */
export function explainHeader(bytes: Buffer): HeaderRecord {
  const parse = parseProxyHeader(bytes, limits.largestHeaderBytes)
  if (parse.status === 'done') return recordOf(parse.header)
  if (parse.status === 'more') return { ...nothing, status: 'incomplete' }
  const { code, at } = parse
  if (code === 'PROXY_NO_SIGNATURE') return { ...nothing, status: 'not-proxy' }
  return { ...nothing, status: 'invalid', code, reason: `${proxyErrors[code]} (At byte ${at}, counted from 0.)` }
}

const nothing: Omit<HeaderRecord, 'status'> = {
  version: null,
  command: null,
  family: null,
  protocol: null,
  sourceAddress: null,
  sourcePort: null,
  destinationAddress: null,
  destinationPort: null,
  tlvs: null,
  headerLength: null,
  code: null,
  reason: null,
}

function recordOf(header: ProxyHeader): HeaderRecord {
  const { source, destination, unixSource, unixDestination } = header
  return {
    status: 'ok',
    version: header.version,
    command: header.command === 'local' ? 'LOCAL' : 'PROXY',
    family: header.family,
    protocol: header.transport,
    sourceAddress: source?.address.toString() ?? unixName(unixSource),
    sourcePort: source?.port ?? null,
    destinationAddress: destination?.address.toString() ?? unixName(unixDestination),
    destinationPort: destination?.port ?? null,
    tlvs: recordsOf(header.tlvs, explainTlv),
    headerLength: header.length,
    code: null,
    reason: null,
  }
}

/**
 * R-V2-15: names are NUL padded, a full 108 bytes have no NUL, and an abstract name begins with one. Nothing but NULs is
 * a socket without a name.
 */
function unixName(path: Buffer | undefined): string | null {
  if (path === undefined) return null
  const end = path.indexOf(0, 1)
  const name = end === -1 ? path : path.subarray(0, end)
  return name.length === 1 && name[0] === 0 ? '' : name.toString('utf8')
}

// ── TLVs ────────────────────────────────────────────────────────────────────

type Explained = readonly [name: string | null, value: TlvValue | null | undefined]

function recordsOf(tlvs: Tlvs, explain: (tlv: Tlv) => Explained): readonly TlvRecord[] {
  return [...tlvs].map((tlv) => {
    const [name, value = null] = explain(tlv)
    return { type: tlv.type, valueHex: tlv.value.toString('hex'), name, value }
  })
}

function explainTlv({ type, value }: Tlv): Explained {
  switch (type) {
    case tlvType.alpn:
      return ['ALPN', readAlpn(value)]
    case tlvType.authority:
      return ['AUTHORITY', readAuthority(value)]
    case tlvType.crc32c:
      return ['CRC32C', readCrc32c(value)]
    case tlvType.noop:
      return ['NOOP', null]
    case tlvType.uniqueId:
      return ['UNIQUE_ID', readAscii(value)]
    case tlvType.ssl:
      return ['SSL', explainSsl(value)]
    case tlvType.netns:
      return ['NETNS', readNetns(value)]
    default:
      return explainVendor(type, value)
  }
}

function explainVendor(type: number, value: Buffer): Explained {
  const tlv = readVendorTlv(type, value)
  if (tlv === undefined) return [null, null]
  const { vendor, ...facts } = tlv
  const readable = Object.entries(facts).map(([name, fact]) => [name, typeof fact === 'bigint' ? String(fact) : fact])
  return [vendorNames[vendor], Object.fromEntries(readable) as Readonly<Record<string, string | number>>]
}

const vendorNames = {
  aws: 'AWS_VPC_ENDPOINT',
  azure: 'AZURE_PRIVATE_ENDPOINT',
  gcp: 'GCP_PRIVATE_SERVICE_CONNECT',
  alibaba: 'ALIBABA_PRIVATELINK',
} as const

function explainSsl(value: Buffer): SslRecord {
  const { client, verify, tlvs } = viewSsl(value)
  return {
    client: {
      ssl: (client & sslClientBit.ssl) !== 0,
      certificateOnConnection: (client & sslClientBit.certificateOnConnection) !== 0,
      certificateInSession: (client & sslClientBit.certificateInSession) !== 0,
    },
    verify,
    tlvs: recordsOf(tlvs, explainSslTlv),
  }
}

const sslTextNames: ReadonlyMap<number, string> = new Map([
  [sslSubType.version, 'SSL_VERSION'],
  [sslSubType.cipher, 'SSL_CIPHER'],
  [sslSubType.signatureAlgorithm, 'SSL_SIG_ALG'],
  [sslSubType.keyAlgorithm, 'SSL_KEY_ALG'],
  [sslSubType.group, 'SSL_GROUP'],
  [sslSubType.signatureScheme, 'SSL_SIG_SCHEME'],
])

function explainSslTlv({ type, value }: Tlv): Explained {
  if (type === sslSubType.commonName) return ['SSL_CN', readUtf8(value)]
  if (type === sslSubType.clientCertificate) return ['SSL_CLIENT_CERT', null]
  const name = sslTextNames.get(type)
  return name === undefined ? [null, null] : [name, readAscii(value)]
}
