import type { Endpoint } from '../contracts/address.ts'
import type { ChannelSecurity } from '../contracts/connection.ts'
import type { ClientIdentity, ProxyClaims, ProxyVendorClaim, TrustVerdict } from '../contracts/identity.ts'
import type { ProxyHeader } from '../proxy/header.ts'
import { tlsClaimFrom, viewSsl } from '../proxy/tlv-ssl.ts'
import { readVendorTlv, vendorClaimFrom } from '../proxy/tlv-vendor.ts'
import { readAlpn, readAuthority, readNetns, readUniqueId, tlvType, type Tlvs } from '../proxy/tlv.ts'

/**
 * Says for whom a connection speaks. Everything is copied out of the header, so its buffer may be let go.
 *
 * @param facts.peer - who holds the TCP connection.
 * @param facts.local - the socket's own end.
 * @param facts.header - what the peer sent, when the verdict let it; a header without addresses (LOCAL, UNKNOWN, UNSPEC,
 *   UNIX) leaves the socket's own endpoints standing (R-V1-13, R-V2-03, R-V2-09).
 */
export function identify(facts: {
  readonly peer: Endpoint
  readonly local: Endpoint
  readonly verdict: TrustVerdict
  readonly header?: ProxyHeader | undefined
}): ClientIdentity {
  const { local, verdict: trust, header } = facts
  const peer = Object.freeze(facts.peer)
  if (header === undefined) return Object.freeze({ origin: 'direct', client: peer, peer, destination: local, trust })
  const { source, destination } = header
  const claims = claimsFrom(header)
  if (source === undefined || destination === undefined) {
    return Object.freeze({ origin: 'proxy-itself', client: peer, peer, destination: local, trust, claims })
  }
  return Object.freeze({
    origin: 'proxied',
    client: Object.freeze(source),
    peer,
    destination: Object.freeze(destination),
    trust,
    claims,
  })
}

/**
 * TLS that a trusted balancer ended on the client's behalf, from its SSL TLV; `undefined` when it says nothing of TLS.
 * Whether a listener takes that word is its own decision.
 */
export function channelSecurityFrom(identity: ClientIdentity): ChannelSecurity | undefined {
  const tls = identity.claims?.tls
  if (tls === undefined) return undefined
  const serverName = identity.claims?.authority
  return {
    kind: 'tls',
    endedBy: 'proxy',
    version: tls.version ?? 'unknown',
    cipher: tls.cipher ?? 'unknown',
    ...(serverName === undefined ? {} : { serverName }),
    ...(tls.commonName === undefined ? {} : { clientCommonName: tls.commonName }),
  }
}

function claimsFrom({ version, command, tlvs }: ProxyHeader): ProxyClaims {
  const uniqueId = read(tlvs, tlvType.uniqueId, readUniqueId)
  const authority = read(tlvs, tlvType.authority, readAuthority)
  const alpn = read(tlvs, tlvType.alpn, readAlpn)
  const networkNamespace = read(tlvs, tlvType.netns, readNetns)
  const tls = read(tlvs, tlvType.ssl, (value) => tlsClaimFrom(viewSsl(value)))
  const vendor = vendorFrom(tlvs)
  return Object.freeze({
    version,
    command,
    ...(uniqueId === undefined ? {} : { uniqueId }),
    ...(authority === undefined ? {} : { authority }),
    ...(alpn === undefined ? {} : { alpn }),
    ...(networkNamespace === undefined ? {} : { networkNamespace }),
    ...(tls === undefined ? {} : { tls: Object.freeze(tls) }),
    ...(vendor === undefined ? {} : { vendor: Object.freeze(vendor) }),
  })
}

function read<T>(tlvs: Tlvs, type: number, reader: (value: Buffer) => T | undefined): T | undefined {
  const value = tlvs.find(type)
  return value === undefined ? undefined : reader(value)
}

/** The first TLV that names a vendor's endpoint. */
function vendorFrom(tlvs: Tlvs): ProxyVendorClaim | undefined {
  for (const { type, value } of tlvs) {
    const tlv = readVendorTlv(type, value)
    const claim = tlv === undefined ? undefined : vendorClaimFrom(tlv)
    if (claim !== undefined) return claim
  }
  return undefined
}
