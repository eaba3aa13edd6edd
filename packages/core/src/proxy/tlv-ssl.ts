/*
 * The SSL TLV (PROXY protocol specification, section 2.2.6): what the balancer says of the client's TLS connection.
 *
 *   struct pp2_tlv_ssl { uint8_t client; uint32_t verify; struct pp2_tlv sub_tlv[0]; };
 */
import type { ProxyTlsClaim } from '../contracts/identity.ts'
import { findFrameFault, noFault, readAscii, readUtf8, TlvSpan, tlvType, type Tlv, type Tlvs } from './tlv.ts'

/** The bits of `client` in the SSL TLV (section 2.2.6). */
export const sslClientBit = {
  /** The client connected over SSL or TLS. */
  ssl: 0x01,
  /** It showed a certificate on this connection. */
  certificateOnConnection: 0x02,
  /** It showed a certificate at least once in this TLS session. */
  certificateInSession: 0x04,
} as const

const certificateBits = sslClientBit.certificateOnConnection | sslClientBit.certificateInSession

/** The types that are nested in the SSL TLV (section 2.2.6): text in US-ASCII, the common name in UTF-8, the certificate in DER. */
export const sslSubType = {
  version: 0x21,
  commonName: 0x22,
  cipher: 0x23,
  signatureAlgorithm: 0x24,
  keyAlgorithm: 0x25,
  group: 0x26,
  signatureScheme: 0x27,
  clientCertificate: 0x28,
} as const

/** The value of an SSL TLV, as a view over it (section 2.2.6). */
export interface SslTlv {
  /** The bits of `client`, as sent. */
  readonly client: number
  /** Zero only when a certificate was shown and verified. Nothing else may be read from it: its byte order is not stated. */
  readonly verify: number
  /** A certificate was shown, on this connection or earlier in its TLS session, and verified. */
  readonly isCertificateVerified: boolean
  /** The nested TLVs: views into the value. */
  readonly tlvs: Tlvs
}

/**
 * Reads the value of an SSL TLV. Keeps a view of `value`.
 *
 * @returns `undefined` when the value is too short or its nested TLVs do not fill it.
 * @see PROXY protocol specification, section 2.2.6.
 */
export function readSsl(value: Buffer): SslTlv | undefined {
  const isWellFormed = value.length >= 5 && findFrameFault(value, 5, value.length, value.length) === noFault
  return isWellFormed ? viewSsl(value) : undefined
}

/** The same for a value that was judged already, as every one of a parsed header was. */
export function viewSsl(value: Buffer): SslTlv {
  const client = value[0]!
  const verify = ((value[1]! << 24) | (value[2]! << 16) | (value[3]! << 8) | value[4]!) >>> 0
  return {
    client,
    verify,
    isCertificateVerified: (client & certificateBits) !== 0 && verify === 0,
    tlvs: new TlvSpan(value, 5, value.length),
  }
}

/** What a sender says of its client's TLS connection (section 2.2.6). What is absent is not sent. */
export interface SslFacts {
  /** As in `TLSv1.3` (S-11: always sent). */
  readonly version: string
  readonly certificate: 'none' | 'on-connection' | 'in-session'
  /** The certificate was verified; never true without one. */
  readonly isVerified: boolean
  readonly commonName?: string
  readonly cipher?: string
  readonly signatureAlgorithm?: string
  readonly keyAlgorithm?: string
  readonly group?: string
  readonly signatureScheme?: string
  /** DER. */
  readonly clientCertificate?: Uint8Array
}

/** An SSL TLV to send, with its nested TLVs (section 2.2.6): one of the `tlvs` of a header. Copies what it is given. */
export function sslTlv(facts: SslFacts): Tlv {
  const { certificate } = facts
  const client = sslClientBit.ssl | (certificate === 'none' ? 0 : certificateBit[certificate])
  const isVerified = facts.isVerified && certificate !== 'none'
  const parts: Uint8Array[] = [Uint8Array.of(client, 0, 0, 0, isVerified ? 0 : 1)]
  for (const [name, type] of Object.entries(sslSubType)) {
    const given = facts[name as keyof typeof sslSubType]
    if (given === undefined) continue
    const value = typeof given === 'string' ? Buffer.from(given, 'utf8') : given
    parts.push(Uint8Array.of(type, value.length >>> 8, value.length & 255), value)
  }
  return { type: tlvType.ssl, value: Buffer.concat(parts) }
}

const certificateBit = {
  'on-connection': sslClientBit.certificateOnConnection,
  'in-session': sslClientBit.certificateInSession,
} as const

/** What may be kept of an SSL TLV; `undefined` when the client did not use TLS (bit 0x01 is not set). */
export function tlsClaimFrom(ssl: SslTlv): ProxyTlsClaim | undefined {
  if ((ssl.client & sslClientBit.ssl) === 0) return undefined
  const hasCertificate = (ssl.client & certificateBits) !== 0
  const version = textOf(ssl.tlvs.find(sslSubType.version), readAscii)
  const cipher = textOf(ssl.tlvs.find(sslSubType.cipher), readAscii)
  // R-SSL-05: a common name that nobody verified is a claim of the client, not of the balancer.
  const commonName = ssl.isCertificateVerified ? textOf(ssl.tlvs.find(sslSubType.commonName), readUtf8) : undefined
  return {
    clientCertificate: ssl.isCertificateVerified ? 'verified' : hasCertificate ? 'unverified' : 'none',
    ...(version === undefined ? {} : { version }),
    ...(cipher === undefined ? {} : { cipher }),
    ...(commonName === undefined ? {} : { commonName }),
  }
}

function textOf(value: Buffer | undefined, read: (value: Buffer) => string | undefined): string | undefined {
  return value === undefined ? undefined : read(value)
}
