/*
 * What is counted of the connections of one listener. The numbers of the common cases are looked up once, when the
 * listener opens: a connection that is taken, greeted and ended costs a handful of increments.
 */
import type { ChannelSecurity, ClientIdentity, CloseReason } from '@postern/core'
import type { Count, Counts, Distribution } from './counts.ts'
import type { ProxyRefusalReason } from './connection-log.ts'
import type { Incidents } from './incidents.ts'

/** How a connection ended, beside the reasons of a session's end. */
export type ConnectionOutcome =
  | CloseReason
  | 'proxy-refused'
  | 'silent-peer'
  | 'overloaded'
  | 'health-check'
  | 'ignored'

export class ListenerCounts {
  readonly listener: string
  readonly incidents: Incidents
  readonly open: Count
  readonly commands: Count
  readonly #counts: Counts
  readonly #accepted: Count
  readonly #bytesIn: Count
  readonly #bytesOut: Count
  readonly #headerWait: Distribution
  readonly #headerParse: Distribution
  readonly #messageBytes: Count
  /** The numbers that were looked up before, by what they are asked by: a word of a closed list. */
  readonly #outcomes = new Map<ConnectionOutcome, Count>()
  readonly #headers = new Map<string, Count>()

  constructor(counts: Counts, listener: string, incidents: Incidents) {
    this.listener = listener
    this.incidents = incidents
    this.#counts = counts
    this.open = counts.count('postern_connections_open', listener)
    this.commands = counts.count('postern_commands_total', listener)
    this.#accepted = counts.count('postern_connections_accepted_total', listener)
    this.#bytesIn = counts.count('postern_received_bytes_total', listener)
    this.#bytesOut = counts.count('postern_sent_bytes_total', listener)
    this.#headerWait = counts.distribution('postern_proxy_header_wait_seconds', listener)
    this.#headerParse = counts.distribution('postern_proxy_header_parse_seconds', listener)
    this.#messageBytes = counts.count('postern_message_bytes_total', listener)
  }

  /** There was no room for it. */
  overloaded(): void {
    this.#accepted.value++
    this.#outcome('overloaded').value++
  }

  began(): void {
    this.#accepted.value++
    this.open.value++
  }

  ended(outcome: ConnectionOutcome): void {
    this.open.value--
    this.#outcome(outcome).value++
  }

  bytes(bytesIn: number, bytesOut: number): void {
    this.#bytesIn.value += bytesIn
    this.#bytesOut.value += bytesOut
  }

  headerParsed(ms: number): void {
    this.#headerParse.observe(ms / 1000)
  }

  /** @param waitMs - since the accept. */
  headerTaken({ version, command }: NonNullable<ClientIdentity['claims']>, waitMs: number): void {
    this.#headerWait.observe(waitMs / 1000)
    const key = version === 1 ? command : `v2 ${command}`
    let count = this.#headers.get(key)
    if (count === undefined) {
      count = this.#counts.count('postern_proxy_headers_total', this.listener, String(version), command)
      this.#headers.set(key, count)
    }
    count.value++
  }

  headerRefused(reason: ProxyRefusalReason, code: string): void {
    this.#counts.count('postern_proxy_refused_total', this.listener, reason, code).value++
  }

  /** @param stage - `connect`, or the command. */
  refused(stage: string, reason: string): void {
    this.#counts.count('postern_policy_refusals_total', this.listener, stage.toLowerCase(), reason).value++
  }

  secured(security: ChannelSecurity): void {
    if (security.kind === 'cleartext') return
    const version = tlsVersions.has(security.version) ? security.version : 'other'
    this.#counts.count('postern_tls_sessions_total', this.listener, version, security.endedBy).value++
  }

  handshakeFailed(): void {
    this.#counts.count('postern_tls_handshakes_failed_total', this.listener).value++
  }

  authenticated(mechanism: string, outcome: string): void {
    const known = mechanisms.has(mechanism) ? mechanism : 'other'
    this.#counts.count('postern_authentications_total', this.listener, known, outcome).value++
  }

  transaction(replyCode: number, bytes: number): void {
    const replyClass = `${Math.trunc(replyCode / 100)}yz`
    this.#counts.count('postern_transactions_total', this.listener, replyClass).value++
    if (replyCode < 300) this.#messageBytes.value += bytes
  }

  #outcome(outcome: ConnectionOutcome): Count {
    const known = this.#outcomes.get(outcome)
    if (known !== undefined) return known
    const count = this.#counts.count('postern_connections_total', this.listener, outcome)
    this.#outcomes.set(outcome, count)
    return count
  }
}

/** A balancer writes the version into its header as text. */
const tlsVersions: ReadonlySet<string> = new Set(['SSLv3', 'TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'])

/** A client may name any mechanism. */
const mechanisms: ReadonlySet<string> = new Set([
  'PLAIN',
  'LOGIN',
  'EXTERNAL',
  'OAUTHBEARER',
  'XOAUTH2',
  'SCRAM-SHA-1',
  'SCRAM-SHA-1-PLUS',
  'SCRAM-SHA-256',
  'SCRAM-SHA-256-PLUS',
])
