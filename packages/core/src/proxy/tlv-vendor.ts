/*
 * TLVs of cloud balancers, in the range for custom use (PROXY protocol specification, section 2.2.8). The layouts are
 * the vendors' own:
 *
 *   AWS      0xEA  u8 0x01, VPC endpoint id in ASCII           NLB guide, "Proxy protocol"
 *   Azure    0xEE  u8 0x01, u32 LINKID, little endian          Private Link service, "TCP Proxy v2"
 *   GCP      0xE0  u64 pscConnectionId, big endian             Private Service Connect, "PROXY protocol"
 *   Alibaba  0xE1  u8 0x01 VPC, 0x02 endpoint or 0x03 endpoint service, then its id in ASCII   PrivateLink, "real client"
 */
import type { ProxyVendorClaim } from '../contracts/identity.ts'
import { readAscii } from './tlv.ts'

/** A TLV of a cloud balancer, decoded. */
export type VendorTlv =
  | { readonly vendor: 'aws'; readonly vpcEndpointId: string }
  | { readonly vendor: 'azure'; readonly linkId: number }
  | { readonly vendor: 'gcp'; readonly pscConnectionId: bigint }
  | { readonly vendor: 'alibaba'; readonly vpcId: string }
  | { readonly vendor: 'alibaba'; readonly endpointId: string }
  | { readonly vendor: 'alibaba'; readonly endpointServiceId: string }

/** The types that cloud balancers took from the range for custom use (section 2.2.8). */
export const vendorTlvType = { gcp: 0xe0, alibaba: 0xe1, aws: 0xea, azure: 0xee } as const

/**
 * Reads a TLV of AWS, Azure, Google Cloud or Alibaba Cloud; copies what it returns.
 *
 * @returns `undefined` for any other type or layout: the range is free, and others use the same numbers.
 */
export function readVendorTlv(type: number, value: Buffer): VendorTlv | undefined {
  switch (type) {
    case vendorTlvType.aws: {
      const vpcEndpointId = value[0] === 0x01 ? readAscii(value.subarray(1)) : undefined
      return vpcEndpointId === undefined ? undefined : { vendor: 'aws', vpcEndpointId }
    }
    case vendorTlvType.azure:
      if (value.length !== 5 || value[0] !== 0x01) return undefined
      return { vendor: 'azure', linkId: value.readUInt32LE(1) }
    case vendorTlvType.gcp:
      return value.length === 8 ? { vendor: 'gcp', pscConnectionId: value.readBigUInt64BE() } : undefined
    case vendorTlvType.alibaba:
      return readAlibaba(value)
    default:
      return undefined
  }
}

function readAlibaba(value: Buffer): VendorTlv | undefined {
  const subtype = value[0]
  const id = readAscii(value.subarray(1))
  if (id === undefined) return undefined
  if (subtype === 0x01) return { vendor: 'alibaba', vpcId: id }
  if (subtype === 0x02) return { vendor: 'alibaba', endpointId: id }
  return subtype === 0x03 ? { vendor: 'alibaba', endpointServiceId: id } : undefined
}

/** The endpoint that a vendor TLV names, for the identity; `undefined` for those that name something else. */
export function vendorClaimFrom(tlv: VendorTlv): ProxyVendorClaim | undefined {
  if ('vpcEndpointId' in tlv) return { name: 'aws', id: tlv.vpcEndpointId }
  if ('linkId' in tlv) return { name: 'azure', id: String(tlv.linkId) }
  if ('pscConnectionId' in tlv) return { name: 'gcp', id: String(tlv.pscConnectionId) }
  return 'endpointId' in tlv ? { name: 'alibaba', id: tlv.endpointId } : undefined
}
