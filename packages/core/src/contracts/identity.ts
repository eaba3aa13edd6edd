import type { Endpoint } from './address.ts'

/**
 * What the peer's address alone decides, before a byte is read (PROXY protocol specification, sections 2 and 5).
 *
 * - `required`: a trusted network; a header must come first.
 * - `optional`: a trusted network that is migrating; a header may come.
 * - `absent`: a direct client; a header must not come.
 * - `refuse`: this listener serves nobody but its trusted networks.
 */
export type HeaderRule = 'required' | 'optional' | 'absent' | 'refuse'

/** Why a peer got its rule, for the log and for "why this address?". */
export interface TrustVerdict {
  readonly rule: HeaderRule
  /** The network that matched, as it stands in the configuration; absent when none did. */
  readonly network?: string
}

/** Who a connection speaks for. Frozen; strings and numbers only; keeps no view of a buffer. */
export interface ClientIdentity {
  /** `proxy-itself`: LOCAL, UNKNOWN, UNSPEC or a UNIX client. The peer speaks for itself, as a health check does. */
  readonly origin: 'direct' | 'proxied' | 'proxy-itself'
  /** Whom the connection speaks for. Every policy, limit, log line and trace header uses this one. */
  readonly client: Endpoint
  /** Who holds the TCP connection: the balancer, when `origin` is not `direct`. */
  readonly peer: Endpoint
  /** The address the client dialled; the socket's own when no header tells. */
  readonly destination: Endpoint
  readonly trust: TrustVerdict
  /** What a trusted peer said beside the addresses. */
  readonly claims?: ProxyClaims
}

/** What a trusted peer's header said beside the addresses, all copied out of the buffer. */
export interface ProxyClaims {
  readonly version: 1 | 2
  readonly command: 'proxy' | 'local'
  /** TLV 0x05, lower-case hexadecimal. */
  readonly uniqueId?: string
  /** TLV 0x02: the name the client asked for (SNI). Valid UTF-8 without control characters, or absent. */
  readonly authority?: string
  /** TLV 0x01, when it is printable ASCII. */
  readonly alpn?: string
  /** TLV 0x30. */
  readonly networkNamespace?: string
  readonly tls?: ProxyTlsClaim
  readonly vendor?: ProxyVendorClaim
}

/** TLV 0x20: what the balancer says of the client's TLS connection to it. */
export interface ProxyTlsClaim {
  readonly version?: string
  readonly cipher?: string
  /** A client certificate was presented and verified (section 2.2.6: only then is `verify` zero). */
  readonly clientCertificate: 'none' | 'unverified' | 'verified'
  /** Subject common name; present only for a verified certificate. */
  readonly commonName?: string
}

/** What a cloud balancer's own TLV names: the endpoint that the client came through. */
export interface ProxyVendorClaim {
  readonly name: 'aws' | 'azure' | 'gcp' | 'alibaba'
  /** AWS and Alibaba: endpoint id text. Azure: LINKID, decimal. GCP: pscConnectionId, decimal. */
  readonly id: string
}
