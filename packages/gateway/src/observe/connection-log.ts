/*
 * The records of one connection: the only file that writes their event and field names. Everything that comes from the
 * network is escaped and cut here, and one connection writes a bounded number of lines.
 *
 *   id          the connection's id, the same in every line, reply and `Received`
 *   listener    its name in the configuration
 *   client      whom the connection speaks for, with clientPort; absent while nobody knows
 *   proxy       who sent the PROXY header, or should have, with proxyPort; absent for a direct client
 *   via         how the client is known: `socket`, `v1`, `v2`, `xclient`
 *   reason      one word of a closed list; the sentence in `msg` names the cause and the mend
 */
import type { ClientIdentity, CloseReason, ConnectionInfo, Endpoint, SessionObserver } from '@postern/core'
import { limits } from '../limits.ts'
import type { Logger } from './logger.ts'
import { printable } from './text.ts'

/** Why a connection was refused before its session began, and why a session refused a PROXY header. */
export type ProxyRefusalReason =
  | 'proxy-timeout'
  | 'proxy-missing'
  | 'proxy-malformed'
  | 'proxy-untrusted'
  | 'proxy-again'
  | 'not-trusted'

type Level = 'debug' | 'info' | 'warn' | 'error'
type Fields = Readonly<Record<string, string | number | boolean | undefined>>

export class ConnectionLog implements SessionObserver {
  readonly id: string
  readonly #logger: Logger
  readonly #listener: string
  readonly #acceptedAt = performance.now()
  #who: Fields
  /** Coming and going is news of a client; of a balancer that looks whether we live it is not. */
  #comingAndGoing: Level = 'info'
  #isSilent = false
  #lines = 0
  #suppressed = 0
  #commands = 0
  #username: string | undefined

  constructor(logger: Logger, id: string, listener: string, peer: Endpoint) {
    this.id = id
    this.#logger = logger
    this.#listener = listener
    this.#who = { client: peer.address.toString(), clientPort: peer.port, via: 'socket' }
  }

  /** The peer is trusted to speak for others, so until its header came nobody knows the client. */
  expectsHeader(peer: Endpoint): void {
    this.#who = { proxy: peer.address.toString(), proxyPort: peer.port }
  }

  // ── coming ────────────────────────────────────────────────────────────────

  /**
   * The one line at the beginning: `connection.open` of a direct client, `proxy.accepted` of one that a header named.
   *
   * @param kind.isIgnored - the client is one of the ignored hosts: nothing is written of it, whatever it does.
   * @param kind.isCheck - the balancer speaks for itself.
   */
  identified(identity: ClientIdentity, kind: { readonly isIgnored: boolean; readonly isCheck: boolean }): void {
    const { client, peer, claims } = identity
    this.#isSilent = kind.isIgnored
    this.#comingAndGoing = kind.isCheck ? 'debug' : 'info'
    this.#who = {
      client: client.address.toString(),
      clientPort: client.port,
      ...(identity.origin === 'direct' ? {} : { proxy: peer.address.toString(), proxyPort: peer.port }),
      via: claims === undefined ? 'socket' : `v${claims.version}`,
    }
    if (claims === undefined) {
      this.#write(this.#comingAndGoing, 'connection.open')
      return
    }
    this.#write(this.#comingAndGoing, 'proxy.accepted', {
      origin: identity.origin,
      destination: identity.destination.address.toString(),
      destinationPort: identity.destination.port,
      network: identity.trust.network,
      uniqueId: claims.uniqueId,
      authority: claims.authority,
      tls: claims.tls?.version,
    })
  }

  proxyRefused(reason: ProxyRefusalReason, mend: string, fields: Fields = {}): void {
    this.#write('warn', 'proxy.refused', { reason, ...fields }, mend)
  }

  backendsDown(trouble: string): void {
    this.#write(this.#comingAndGoing, 'backends.refused', { reason: 'backends-down' }, trouble)
  }

  policyRefused(reason: string, policy: string, detail: string): void {
    this.#write('info', 'policy.refused', { reason, policy }, detail)
  }

  /** Behind XCLIENT the client is another one; what XFORWARD says stands in this one line. */
  announced({ connection, verb, client }: Parameters<NonNullable<SessionObserver['announced']>>[0]): void {
    if (verb === 'XCLIENT') {
      const { address, port } = connection.identity.client
      this.#who = { ...this.#who, client: address.toString(), clientPort: port, via: 'xclient' }
    }
    const fields = Object.entries(client).map(([name, value]) => [`announced.${name}`, value] as const)
    this.#write('info', 'client.announced', { verb, ...Object.fromEntries(fields) })
  }

  // ── the session ───────────────────────────────────────────────────────────

  command({ verb, reply }: Parameters<NonNullable<SessionObserver['command']>>[0]): void {
    this.#commands++
    if (this.#logger.isLevelEnabled('debug')) this.#write('debug', 'session.command', { verb, reply })
  }

  authenticated({
    mechanism,
    username,
    outcome,
    detail,
  }: Parameters<NonNullable<SessionObserver['authenticated']>>[0]): void {
    if (outcome === 'granted') {
      this.#username = username
      this.#write('info', 'auth.ok', { mechanism, username })
    } else {
      const level = outcome === 'unavailable' ? 'error' : 'info'
      this.#write(level, 'auth.failed', { mechanism, username, reason: outcome }, detail)
    }
  }

  transaction(event: Parameters<NonNullable<SessionObserver['transaction']>>[0]): void {
    const { envelope, connection } = event
    const { clientNames } = connection
    this.#write(
      event.replyCode < 400 ? 'info' : 'warn',
      'smtp.transaction',
      {
        transaction: event.id,
        clientName: clientNames instanceof Promise ? undefined : clientNames?.verified,
        reversePath: envelope.reversePath,
        recipients: envelope.forwardPaths.length,
        bytes: event.bytes,
        reply: event.replyCode,
        newlines: event.repairs?.newlines,
        nuls: event.repairs?.nuls,
      },
      event.detail,
    )
  }

  repaired({ id, newlines }: Parameters<NonNullable<SessionObserver['repaired']>>[0]): void {
    const sentence = `a message with bare CR or LF was repaired; with bare-newline = "reject" it would be refused`
    this.#write('warn', 'smtp.repaired', { transaction: id, newlines }, sentence)
  }

  refused({ connection, verb, reason, detail }: Parameters<NonNullable<SessionObserver['refused']>>[0]): void {
    if (reason === 'proxy-untrusted') this.proxyRefused(reason, untrustedSender(connection))
    else if (reason === 'proxy-again') this.proxyRefused(reason, detail)
    else if (clumsiness.has(reason)) this.#write('debug', 'session.refused', { verb, reason }, detail)
    // A disk or a directory that fails is for the operator to mend; all else is what the rules are for.
    else this.#write(reason === 'unavailable' ? 'warn' : 'info', 'policy.refused', { verb, reason }, detail)
  }

  // ── going ─────────────────────────────────────────────────────────────────

  imapSession(bytesIn: number, bytesOut: number): void {
    const fields = { username: this.#username, commands: this.#commands, bytesIn, bytesOut }
    this.#write(this.#comingAndGoing, 'imap.session', fields)
  }

  closed(reason: CloseReason, bytes: { readonly in: number; readonly out: number }, error?: unknown): void {
    if (reason === 'internal-error') this.#fault(error)
    const fields = {
      reason,
      bytesIn: bytes.in,
      bytesOut: bytes.out,
      ms: Math.round(performance.now() - this.#acceptedAt),
      suppressed: this.#suppressed || undefined,
    }
    this.#suppressed = 0
    this.#lines = 0
    this.#write(this.#comingAndGoing, 'connection.close', fields, error instanceof Error ? error.message : undefined)
  }

  /** A bug: the stack says where, and never goes to the client. */
  #fault(error: unknown): void {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#write('error', 'internal-error', { stack: printable(stack, limits.maxLogStackChars) })
  }

  #write(level: Level, event: string, fields: Fields = {}, sentence?: string): void {
    if (this.#isSilent || !this.#logger.isLevelEnabled(level)) return
    if (this.#lines === limits.maxLogLinesPerConnection) {
      this.#suppressed++
      return
    }
    this.#lines++
    const record: Record<string, string | number | boolean> = { event, id: this.id, listener: this.#listener }
    copyInto(record, this.#who)
    copyInto(record, fields)
    if (sentence === undefined) this.#logger[level](record)
    else this.#logger[level](record, printable(sentence, limits.maxLogSentenceChars))
  }
}

function copyInto(record: Record<string, string | number | boolean>, fields: Fields): void {
  for (const name in fields) {
    const value = fields[name]
    if (value !== undefined) record[name] = typeof value === 'string' && name !== 'stack' ? printable(value) : value
  }
}

/** Refusals that say something of the client's program and nothing of our rules: many, and of little news. */
const clumsiness: ReadonlySet<string> = new Set([
  'syntax',
  'sequence',
  'limit',
  'injection',
  'bare-line-end',
  'early-talker',
])

/** Somebody sent a header whom this listener does not trust: most often a balancer that was forgotten. */
function untrustedSender({ identity, listener }: ConnectionInfo): string {
  const peer = identity.peer.address.toString()
  return (
    `${peer} sent a PROXY header but is in no trusted network of listener ${listener.name}: ` +
    `if it is your balancer, add ${peer} to trusted-networks`
  )
}
