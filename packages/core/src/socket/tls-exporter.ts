import type { TLSSocket } from 'node:tls'
import type { ChannelSecurity } from '../contracts/connection.ts'

/**
 * The channel binding of a TLS connection (RFC 9266), as `ChannelSecurity` has it; nothing below TLS 1.3, where a channel
 * has a name of its own only with an extension that nobody here can ask for. Computed when it is asked for, since few
 * connections sign in.
 */
export function exporterOf(stream: TLSSocket): Pick<Extract<ChannelSecurity, { readonly kind: 'tls' }>, 'tlsExporter'> {
  if (stream.getProtocol() !== 'TLSv1.3') return {}
  return {
    // A connection that is gone has no keys any more.
    tlsExporter: () => (stream.destroyed ? undefined : stream.exportKeyingMaterial(exporterBytes, label, nothing)),
  }
}

const label = 'EXPORTER-Channel-Binding'
const exporterBytes = 32
const nothing = Buffer.alloc(0)
