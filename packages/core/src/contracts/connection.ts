import type { Duplex } from 'node:stream'
import type { Awaitable } from './awaitable.ts'
import type { ClientIdentity } from './identity.ts'

/** What is spoken on a listener; `submission` is SMTP for clients that sign in (RFC 6409), `lmtp` is RFC 2033. */
export type ListenerProtocol = 'smtp' | 'submission' | 'lmtp' | 'imap'

/** `starttls`: in the clear until the client asks. `implicit`: TLS from the first byte after the PROXY header. */
export type TlsMode = 'off' | 'starttls' | 'implicit'

/** The listener that accepted a connection. */
export interface ListenerInfo {
  /** Its name in the configuration, as in `[listener.mx]`. */
  readonly name: string
  readonly protocol: ListenerProtocol
  readonly tls: TlsMode
}

/** Who protects the bytes between the client and us. */
export type ChannelSecurity =
  | { readonly kind: 'cleartext' }
  | {
      readonly kind: 'tls'
      /** `proxy`: a trusted balancer ended TLS and said so in its SSL TLV. */
      readonly endedBy: 'gateway' | 'proxy'
      /** As in `TLSv1.3`. */
      readonly version: string
      readonly cipher: string
      /** SNI, or the AUTHORITY TLV. */
      readonly serverName?: string
      /** Present only when a client certificate was verified. */
      readonly clientCommonName?: string
      /** Gives the channel binding `tls-exporter` (RFC 9266): present only when TLS 1.3 ends here. Nothing, once it is gone. */
      readonly tlsExporter?: () => Buffer | undefined
    }

/** What the DNS says of a client's address. Both names are host names in lower case, and fit for logs and headers. */
export interface ClientNames {
  /** A name of the address that leads back to the address: forward-confirmed reverse DNS. */
  readonly verified?: string
  /** What the PTR record says, and whoever owns the address block may write into it: nothing is granted by it. */
  readonly claimed?: string
  /** The DNS was not reached, so there may be a name. */
  readonly isUnknown?: true
}

/** All that policies, routers and sessions may know of a connection. Never changed: TLS gives a new one, same id. */
export interface ConnectionInfo {
  /** One id for logs, replies, `Received` and upstreams: 16 characters of [0-9a-z]. */
  readonly id: string
  readonly listener: ListenerInfo
  readonly identity: ClientIdentity
  readonly security: ChannelSecurity
  /**
   * The client's names, looked up from the accept on: a promise until they are found, which is bounded in time and never
   * rejects. Absent where nobody looks them up.
   */
  readonly clientNames?: Awaitable<ClientNames>
}

/** Plaintext side of one accepted connection. A TLS upgrade yields a new one; the old one is spent. */
export interface Connection extends ConnectionInfo {
  readonly stream: Duplex
  /** Aborted when the peer is gone or the worker stops: waits on behalf of this connection end then. */
  readonly signal: AbortSignal
}
