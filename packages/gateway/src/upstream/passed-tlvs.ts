import { sslTlv, tlvType, type ConnectionInfo, type Tlv } from '@postern/core'
import type { PassedTlv } from '../config/schema.ts'
import { limits } from '../limits.ts'

/**
 * What a PROXY header says beside the addresses. Made anew from what is known of the client, whoever told it: what a
 * balancer's header held otherwise, and its checksum, are not passed on.
 */
export function passedTlvs(connection: ConnectionInfo, passed: readonly PassedTlv[]): readonly Tlv[] {
  return passed.flatMap((name) => tlvs[name](connection) ?? [])
}

const tlvs: Readonly<Record<PassedTlv, (connection: ConnectionInfo) => Tlv | undefined>> = {
  // Section 2.2.5: at most 128 bytes. A balancer's id follows the connection through; without one ours begins here.
  'unique-id': ({ id, identity }) => {
    const told = identity.claims?.uniqueId
    const value = told === undefined ? Buffer.from(id, 'latin1') : Buffer.from(told, 'hex')
    return value.length > limits.maxUniqueIdBytes ? undefined : { type: tlvType.uniqueId, value }
  },
  authority: ({ identity, security }) => {
    const name = identity.claims?.authority ?? (security.kind === 'tls' ? security.serverName : undefined)
    return name === undefined ? undefined : { type: tlvType.authority, value: Buffer.from(name) }
  },
  alpn: ({ identity }) => {
    const alpn = identity.claims?.alpn
    return alpn === undefined ? undefined : { type: tlvType.alpn, value: Buffer.from(alpn, 'latin1') }
  },
  /** The client's TLS, here or at the balancer (row X3): a certificate only when it was verified. */
  ssl: ({ security }) => {
    if (security.kind !== 'tls') return undefined
    const { version, cipher, clientCommonName } = security
    return sslTlv({
      certificate: clientCommonName === undefined ? 'none' : 'on-connection',
      isVerified: clientCommonName !== undefined,
      version,
      ...(cipher === 'unknown' ? {} : { cipher }),
      ...(clientCommonName === undefined ? {} : { commonName: clientCommonName }),
    })
  },
}
