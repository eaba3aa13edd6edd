import type { ConnectionOptions } from 'node:tls'
import type { UpstreamTlsConfig } from '../config/schema.ts'

/** What `tls.connect` takes beside the host. The name of the backend is checked, unless TLS is optional or pinned. */
export function tlsOptionsOf({ ca, serverName, certificate }: UpstreamTlsConfig): ConnectionOptions {
  return {
    minVersion: 'TLSv1.2', // RFC 8996
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }),
  }
}
