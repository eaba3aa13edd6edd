/*
 * What the gateway tells about itself, as JSON: the whole of it at `GET /status`, what moves once a second at
 * `GET /events`. Everything in it is bounded, and every text from the network is printable ASCII; a page must show it as
 * text all the same.
 */
import type { ListenerProtocol, TlsMode } from '@postern/core'
import type { AcmeStatus } from '../acme/keeper.ts'
import type { ProxyMode } from '../config/schema.ts'
import type { OpenConnection } from '../observe/connection-log.ts'
import type { Peer, Refusal } from '../observe/incidents.ts'
import type { Health } from '../supervisor/health.ts'

export interface Status {
  readonly version: string
  readonly hostname: string
  /** Milliseconds since 1970. */
  readonly at: number
  /** Since the supervisor started. */
  readonly seconds: number
  readonly pid: number
  readonly health: Health
  /** Of all listeners together, since the supervisor started. */
  readonly totals: Totals
  readonly listeners: readonly ListenerStatus[]
  readonly workers: readonly WorkerStatus[]
  readonly identity: IdentityStatus
  /** Absent when no certificate is ordered. */
  readonly acme?: AcmeStatus
  /** Newest first. */
  readonly refusals: readonly Refusal[]
}

/** What moves. `refusals` has only those since the event before. */
export type StatusNews = Omit<Status, 'identity' | 'acme'>

/** Counts only grow, until the supervisor is started anew. */
export interface Totals {
  readonly open: number
  readonly accepted: number
  /** By how they ended. */
  readonly outcomes: Readonly<Record<string, number>>
  readonly bytesIn: number
  readonly bytesOut: number
  readonly commands: number
  /** By class of the reply: `2yz`, `4yz`, `5yz`. */
  readonly transactions: Readonly<Record<string, number>>
  readonly messageBytes: number
  /** By `granted`, `denied`, `unavailable`, `cancelled`, `malformed`. */
  readonly authentications: Readonly<Record<string, number>>
  /** By version: `1`, `2`. */
  readonly headers: Readonly<Record<string, number>>
  /** Connections refused over a PROXY header or the lack of one, by reason. */
  readonly headersRefused: Readonly<Record<string, number>>
  /** Refusals of policies and rules, by reason. */
  readonly refused: Readonly<Record<string, number>>
  /** By version. */
  readonly tls: Readonly<Record<string, number>>
  readonly handshakesFailed: number
}

export interface ListenerStatus extends Totals {
  readonly name: string
  readonly protocol: ListenerProtocol
  readonly tlsMode: TlsMode
  /** As in `127.0.0.1:25` and `[::1]:25`. */
  readonly addresses: readonly string[]
  readonly proxyMode: ProxyMode
  readonly trustedNetworks: readonly string[]
}

export interface WorkerStatus {
  readonly slot: number
  readonly worker: number
  readonly pid: number
  readonly state: 'starting' | 'ready' | 'draining' | 'gone'
  readonly connections: number
  readonly seconds: number
  /** Absent until it has told of itself. */
  readonly eventLoopDelayMs?: number
  readonly eventLoopUtilization?: number
  readonly residentBytes?: number
  readonly passwordChecksWaiting?: number
}

/** "Why this address?", for all connections. */
export interface IdentityStatus {
  /** Taken PROXY headers that spoke for a client, by version. */
  readonly proxied: Readonly<Record<string, number>>
  /** Taken headers of balancers that spoke for themselves. */
  readonly health: number
  /** They sent a header, or came to a listener for balancers alone, and are not trusted. Those that came last first. */
  readonly untrustedSenders: readonly Peer[]
  /** They are trusted, and sent no header until its time was up. */
  readonly silentPeers: readonly Peer[]
}

/** `GET /sessions`. */
export interface Sessions {
  /** How many are open and match. */
  readonly matches: number
  /** The newest of them, bounded. Names of users are told only to whoever has the token. */
  readonly sessions: readonly OpenConnection[]
  /** Clients with the most open connections. */
  readonly topClients: readonly { readonly client: string; readonly connections: number }[]
  /** Workers that did not answer in time. */
  readonly missing: number
}
