/*
 * The records of one connection: the only file that writes their event and field names. Everything that comes from the
 * network is escaped and cut here, and one connection writes a bounded number of lines. What is written is counted beside
 * it, whatever the level of the log, so that log and metrics tell the same.
 *
 *   id          the connection's id, the same in every line, reply and `Received`
 *   listener    its name in the configuration
 *   client      whom the connection speaks for, with clientPort; absent while nobody knows
 *   proxy       who sent the PROXY header, or should have, with proxyPort; absent for a direct client
 *   via         how the client is known: `socket`, `v1`, `v2`, `xclient`, `id`
 *   reason      one word of a closed list; the sentence in `msg` names the cause and the mend
 */
import type {
  ChannelSecurity,
  ClientIdentity,
  CloseReason,
  ConnectionInfo,
  Endpoint,
  SessionObserver,
} from '@postern/core'
import { limits } from '../limits.ts'
import type { ConnectionOutcome, ListenerCounts } from './listener-counts.ts'
import type { Logger } from './logger.ts'
import { printable, printableStack } from './text.ts'

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

/** An open connection, for whoever asks what is open now. Plain data, every text printable and cut. */
export interface OpenConnection {
  readonly id: string
  readonly listener: string
  /** Absent while nobody knows. */
  readonly client?: string
  readonly clientPort?: number
  /** Who sent the PROXY header, or should have. */
  readonly proxy?: string
  readonly via?: string
  /** As in `TLSv1.3`, with ` at the balancer` when it ends there. */
  readonly tls?: string
  readonly username?: string
  readonly commands: number
  readonly seconds: number
}

/** What all connections of a listener have in common. */
export interface Listening {
  /** `proxy.mode` of the listener is "off": no header is believed, whoever sends it. */
  readonly takesNoHeaders?: boolean
  /** Told of each sign-in that ended, beside the log. */
  readonly onSignIn?: SessionObserver['authenticated']
}

export class ConnectionLog implements SessionObserver {
  readonly id: string
  readonly #logger: Logger
  readonly #counts: ListenerCounts
  readonly #listening: Listening
  readonly #acceptedAt = performance.now()
  #who: Fields
  #security: ChannelSecurity | undefined
  /** How it ended, as far as it is known. */
  #outcome: ConnectionOutcome = 'connection-lost'
  /** Coming and going is news of a client; of a balancer that looks whether we live it is not. */
  #comingAndGoing: Level = 'info'
  #isSilent = false
  #lines = 0
  #suppressed = 0
  #commands = 0
  #username: string | undefined

  constructor(logger: Logger, id: string, counts: ListenerCounts, peer: Endpoint, listening: Listening = {}) {
    this.#listening = listening
    this.id = id
    this.#logger = logger
    this.#counts = counts
    counts.began()
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
   * @param kind.isTlsBelieved - what its header says of the client's TLS counts.
   */
  identified(
    identity: ClientIdentity,
    kind: { readonly isIgnored: boolean; readonly isCheck: boolean; readonly isTlsBelieved: boolean },
  ): void {
    const { client, peer, claims } = identity
    this.#isSilent = kind.isIgnored
    this.#comingAndGoing = kind.isCheck ? 'debug' : 'info'
    this.#who = {
      client: client.address.toString(),
      clientPort: client.port,
      ...(identity.origin === 'direct' ? {} : { proxy: peer.address.toString(), proxyPort: peer.port }),
      via: claims === undefined ? 'socket' : `v${claims.version}`,
    }
    if (kind.isCheck) this.#outcome = 'health-check'
    if (kind.isIgnored) this.#outcome = 'ignored'
    if (claims === undefined) {
      this.#write(this.#comingAndGoing, 'connection.open')
      return
    }
    this.#counts.headerTaken(claims, performance.now() - this.#acceptedAt)
    this.#write(this.#comingAndGoing, 'proxy.accepted', {
      origin: identity.origin,
      destination: identity.destination.address.toString(),
      destinationPort: identity.destination.port,
      network: identity.trust.network,
      uniqueId: claims.uniqueId,
      authority: claims.authority,
      tls: claims.tls?.version,
      ...(claims.tls !== undefined && !kind.isTlsBelieved && { tlsBelieved: false }),
    })
  }

  /** The peer has not one place more for headers that are awaited, or came and went without a word. */
  endedBeforeHeader(outcome: 'overloaded' | 'silent-peer'): void {
    this.#outcome = outcome
  }

  proxyRefused(reason: ProxyRefusalReason, mend: string, fields: Fields = {}): void {
    this.#outcome = 'proxy-refused'
    const { code = '' } = fields
    this.#counts.headerRefused(reason, String(code))
    this.#notePeer(reason, fields, mend)
    this.#note('proxy.refused', reason, mend)
    this.#write('warn', 'proxy.refused', { reason, ...fields }, mend)
  }

  backendsDown(trouble: string): void {
    this.#counts.refused('connect', 'backends-down')
    this.#note('backends.refused', 'backends-down', trouble)
    this.#write(this.#comingAndGoing, 'backends.refused', { reason: 'backends-down' }, trouble)
  }

  policyRefused(reason: string, policy: string, detail: string): void {
    this.#counts.refused('connect', reason)
    this.#note('policy.refused', reason, detail)
    this.#write('info', 'policy.refused', { reason, policy }, detail)
  }

  /** TLS ends here, or a trusted balancer says that it ends there. */
  secured(security: ChannelSecurity): void {
    this.#security = security
    this.#counts.secured(security)
  }

  handshakeFailed(): void {
    this.#counts.handshakeFailed()
  }

  /** Behind XCLIENT or ID the client is another one; what XFORWARD says stands in this one line. */
  announced({ connection, verb, client }: Parameters<NonNullable<SessionObserver['announced']>>[0]): void {
    if (verb !== 'XFORWARD') {
      const { address, port } = connection.identity.client
      this.#who = { ...this.#who, client: address.toString(), clientPort: port, via: verb === 'ID' ? 'id' : 'xclient' }
    }
    const fields = Object.entries(client).map(([name, value]) => [`announced.${name}`, value] as const)
    this.#write('info', 'client.announced', { verb, ...Object.fromEntries(fields) })
  }

  // ── the session ───────────────────────────────────────────────────────────

  command({ verb, reply }: Parameters<NonNullable<SessionObserver['command']>>[0]): void {
    this.#commands++
    this.#counts.commands.value++
    if (this.#logger.isLevelEnabled('debug')) this.#write('debug', 'session.command', { verb, reply })
  }

  authenticated(event: Parameters<NonNullable<SessionObserver['authenticated']>>[0]): void {
    const { mechanism, username, outcome, detail } = event
    this.#counts.authenticated(mechanism, outcome)
    this.#listening.onSignIn?.(event)
    if (outcome === 'granted') {
      this.#username = username
      this.#write('info', 'auth.ok', { mechanism, username })
    } else {
      const level = outcome === 'unavailable' ? 'error' : 'info'
      this.#note('auth.failed', outcome)
      this.#write(level, 'auth.failed', { mechanism, username, reason: outcome }, detail)
    }
  }

  /** From here on the client speaks with its backend. */
  handedOn({ username, upstream, backend }: Parameters<NonNullable<SessionObserver['handedOn']>>[0]): void {
    this.#write('info', 'imap.handed-on', { username, upstream, backend })
  }

  transaction(event: Parameters<NonNullable<SessionObserver['transaction']>>[0]): void {
    const { envelope, connection } = event
    this.#counts.transaction(event.replyCode, event.bytes)
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
    if (reason === 'proxy-untrusted') this.proxyRefused(reason, untrustedSender(connection, this.#listening))
    else if (reason === 'proxy-again') this.proxyRefused(reason, detail)
    else if (clumsiness.has(reason)) this.#write('debug', 'session.refused', { verb, reason }, detail)
    else {
      this.#counts.refused(verb, reason)
      this.#note('policy.refused', reason)
      // A disk or a directory that fails is for the operator to mend; all else is what the rules are for.
      this.#write(reason === 'unavailable' ? 'warn' : 'info', 'policy.refused', { verb, reason }, detail)
    }
  }

  // ── going ─────────────────────────────────────────────────────────────────

  imapSession(bytesIn: number, bytesOut: number): void {
    const fields = { username: this.#username, commands: this.#commands, bytesIn, bytesOut }
    this.#write(this.#comingAndGoing, 'imap.session', fields)
  }

  closed(reason: CloseReason, bytes: { readonly in: number; readonly out: number }, error?: unknown): void {
    if (reason === 'internal-error') this.#fault(error)
    if (this.#outcome === 'connection-lost') this.#outcome = reason
    this.#counts.bytes(bytes.in, bytes.out)
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

  /** Its place is given back: said of every connection, once, whatever else was or was not said. */
  ended(): void {
    this.#counts.ended(this.#outcome)
  }

  describe(): OpenConnection {
    const tls = this.#security?.kind === 'tls' ? this.#security : undefined
    return {
      id: this.id,
      listener: this.#counts.listener,
      ...printableOf(this.#who),
      ...(tls && { tls: printable(tls.endedBy === 'proxy' ? `${tls.version} at the balancer` : tls.version) }),
      ...(this.#username === undefined ? {} : { username: printable(this.#username) }),
      commands: this.#commands,
      seconds: Math.round((performance.now() - this.#acceptedAt) / 1000),
    }
  }

  /**
   * One more for those who look at `/status`.
   *
   * @param mend - of connections only: what is said of sessions may name their users, and the board is read without the
   *   token.
   */
  #note(event: string, reason: string, mend = ''): void {
    if (this.#isSilent) return
    const { client, proxy } = this.#who
    this.#counts.incidents.refused({
      at: Date.now(),
      id: this.id,
      listener: this.#counts.listener,
      event,
      reason,
      ...(typeof client === 'string' ? { client } : {}),
      ...(typeof proxy === 'string' ? { proxy } : {}),
      ...(mend === '' ? {} : { mend: printable(mend, limits.maxLogSentenceChars) }),
    })
  }

  /** Peers whose configuration, or ours, is to be looked at. */
  #notePeer(reason: ProxyRefusalReason, { bytes }: Fields, mend: string): void {
    const { incidents, listener } = this.#counts
    const peer = String(this.#who['proxy'] ?? this.#who['client'])
    if (reason === 'not-trusted' || reason === 'proxy-untrusted') {
      incidents.peer('untrusted-sender', listener, peer, mend)
    } else if (reason === 'proxy-timeout' && bytes === 0) {
      incidents.peer('silent-peer', listener, peer, mend)
    }
  }

  /** A bug: the stack says where, and never goes to the client. */
  #fault(error: unknown): void {
    this.#write('error', 'internal-error', { stack: printableStack(error) })
  }

  #write(level: Level, event: string, fields: Fields = {}, sentence?: string): void {
    if (this.#isSilent || !this.#logger.isLevelEnabled(level)) return
    if (this.#lines === limits.maxLogLinesPerConnection) {
      this.#suppressed++
      return
    }
    this.#lines++
    const record: Record<string, string | number | boolean> = { event, id: this.id, listener: this.#counts.listener }
    copyInto(record, this.#who)
    copyInto(record, fields)
    if (sentence === undefined) this.#logger[level](record)
    else this.#logger[level](record, printable(sentence, limits.maxLogSentenceChars))
  }
}

function printableOf(fields: Fields): Record<string, string | number | boolean> {
  const record: Record<string, string | number | boolean> = {}
  copyInto(record, fields)
  return record
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
function untrustedSender({ identity, listener }: ConnectionInfo, { takesNoHeaders }: Listening): string {
  const peer = identity.peer.address.toString()
  if (takesNoHeaders === true) {
    return (
      `${peer} sent a PROXY header but listener ${listener.name} takes none (proxy.mode = "off"): ` +
      `if it is your balancer, add ${peer} to trusted-networks, and set proxy.mode to "require" or "mixed"`
    )
  }
  return (
    `${peer} sent a PROXY header but is in no trusted network of listener ${listener.name}: ` +
    `if it is your balancer, add ${peer} to trusted-networks`
  )
}
