/*
 * The path of a connection, from the socket to its session. One function, read from top to bottom: the order of the
 * steps is the security argument, so it is code and not configuration.
 *
 *   admission   is there room? not a byte is read
 *   trust       the peer's network alone decides whether a PROXY header must come
 *   header      exactly the header is read, before one absolute deadline; nothing is written before that
 *   identity    whom the connection speaks for; everything after this line is about `identity.client`
 *   memory      with too little left, everybody new is told to come back
 *   backends    when all of them are down, a balancer that looks whether we live hears it
 *   policy      lists, rates, ceilings: refusing in the clear costs a tenth of a handshake
 *   tls         implicit TLS now; STARTTLS later, when the session asks
 *   session     the dialogue, until one side ends it
 */
import type { Socket } from 'node:net'
import {
  channelSecurityFrom,
  createTrustRule,
  identify,
  localOf,
  looksLikeProxyHeader,
  newConnectionId,
  peerOf,
  receiveHeader,
  runSession,
  sayGoodbye,
  type AcceptRefusal,
  type ChannelSecurity,
  type CidrSet,
  type ClientIdentity,
  type Connection,
  type ConnectionInfo,
  type Endpoint,
  type ListenerInfo,
  type Policy,
  type SessionObserver,
  type TrustVerdict,
} from '@postern/core'
import type { ListenerProxyConfig } from '../config/schema.ts'
import { ConnectionLog, type Listening } from '../observe/connection-log.ts'
import type { ListenerCounts } from '../observe/listener-counts.ts'
import type { Logger } from '../observe/logger.ts'
import type { QuietSummary } from '../observe/quiet-summary.ts'
import { askOnConnect, type Admission } from '../policy/chain.ts'
import { networks } from '../policy/networks.ts'
import type { ClientNameLookup } from '../dns/client-names.ts'
import { speaksForItself } from '../policy/speaks-for-itself.ts'
import type { AwaitedHeaders, Places } from './admission.ts'
import type { Dialect } from './dialects.ts'
import { explainHeaderRefusal } from './header-refusal.ts'
import type { OpenConnections } from './open-connections.ts'
import { HandshakeError, type TlsGate } from './tls.ts'

/** What the acceptor of one listener works with. */
export interface AcceptorOptions {
  readonly listener: ListenerInfo
  readonly proxy: ListenerProxyConfig
  readonly dialect: Dialect
  /** Absent with `tls = "off"`. */
  readonly tls?: TlsGate | undefined
  readonly policies: readonly Policy[]
  /** Clients that no policy and no log line is about. */
  readonly ignoredHosts: CidrSet
  /** Connections of this listener, within those of the worker. */
  readonly places: Places
  readonly awaitedHeaders: AwaitedHeaders
  readonly logger: Logger
  readonly counts: ListenerCounts
  readonly summary: QuietSummary
  readonly connections: OpenConnections
  /** Told of each sign-in that ended. */
  readonly onSignIn?: SessionObserver['authenticated']
  /** Looks up the names of clients; absent where nobody needs them. */
  readonly names?: Pick<ClientNameLookup, 'namesOf'> | undefined
  /** Why nothing to which this listener's routes lead takes mail or logins now; absent while something does. */
  readonly backendsDown?: (() => string | undefined) | undefined
  /** Clients are refused then as well; a health check always is, so that the balancer turns to others (row X4). */
  readonly refusesWhenBackendsDown?: boolean
  /** This worker has more memory than it should: clients and health checks are told to come back. */
  readonly isShortOfMemory?: () => boolean
  /** The gateway is about to stop: a health check is refused, so that the balancer turns to others. Clients are served. */
  readonly isLeaving?: () => boolean
}

interface HeaderAwaited {
  readonly peer: Endpoint
  readonly local: Endpoint
  readonly verdict: TrustVerdict
  readonly rule: 'required' | 'optional'
}

/** @returns what serves one accepted socket; it resolves when the connection is gone, and never rejects. */
export function createAcceptor(options: AcceptorOptions): (socket: Socket) => Promise<void> {
  const { listener, proxy, dialect, tls, policies, ignoredHosts, places, awaitedHeaders, summary, names } = options
  const { connections, counts } = options
  const trust = createTrustRule({ mode: proxy.mode, networks: networks(proxy.trustedNetworks) })
  // PX-35: a balancer may be trusted for addresses, and not for TLS.
  const believedOnTls = proxy.tlsNetworks === undefined ? undefined : networks(proxy.tlsNetworks)

  const listening: Listening = {
    takesNoHeaders: proxy.mode === 'off',
    ...(options.onSignIn === undefined ? {} : { onSignIn: options.onSignIn }),
  }
  // One for all: a connection costs no function more.
  const onParsed = (ms: number): void => counts.headerParsed(ms)

  return async function accept(socket) {
    // A client may be gone before it is looked at: then the system knows no peer, and there is nobody to serve.
    const peer = peerOf(socket)
    const local = localOf(socket)
    // Whoever writes to the socket hears of its end by `close`; an error that nobody hears would end the process.
    socket.on('error', ignore)
    if (peer === undefined || local === undefined) return sayGoodbye(socket, '')

    // ── admission ───────────────────────────────────────────────────────────
    if (!places.take()) {
      counts.overloaded()
      summary.overloaded(listener.name, 'more connections than max-connections')
      return sayGoodbye(socket, '')
    }
    const log = new ConnectionLog(options.logger, newConnectionId(), counts, peer, listening)
    connections.begin(socket, log)
    let admission: Admission | undefined
    try {
      // ── trust ─────────────────────────────────────────────────────────────
      const verdict = trust.verdictFor(peer)
      if (verdict.rule === 'refuse') {
        log.proxyRefused(
          'not-trusted',
          `${peer.address.toString()} is in no trusted network of listener ${listener.name}, which serves nobody else ` +
            `(proxy.mode = "require"): if it is your balancer, add ${peer.address.toString()} to trusted-networks`,
        )
        return await sayGoodbye(socket, refusal('not-trusted'))
      }

      // ── header and identity ───────────────────────────────────────────────
      const identity =
        verdict.rule === 'absent'
          ? identify({ peer, local, verdict })
          : await identifyByHeader(socket, { peer, local, verdict, rule: verdict.rule }, log)
      // Refused, and told why.
      if (identity === undefined) return
      // Behind the header of a listener with TLS come handshakes, and no commands.
      const bytesWithHeader = identity.claims === undefined || listener.tls === 'implicit' ? 0 : socket.readableLength
      const isIgnored = ignoredHosts.has(identity.client.address)
      const isCheck = speaksForItself(identity, local)
      const isTlsBelieved = believedOnTls?.has(peer.address) !== false
      log.identified(identity, { isIgnored, isCheck, isTlsBelieved })
      if (isCheck) summary.healthCheck(listener.name, peer.address.toString())

      // ── memory ────────────────────────────────────────────────────────────
      // Here and not at admission: a client must not hear a word before its header, and one that hears none comes again at once.
      if (options.isShortOfMemory?.() === true) {
        summary.overloaded(listener.name, 'more memory than limits.worker-memory', 'told to come back')
        return await refuse(socket, refusal('overloaded'), log)
      }

      // ── backends ──────────────────────────────────────────────────────────
      if (isCheck && options.isLeaving?.() === true) return await refuse(socket, refusal('stopping'), log)
      if (isCheck || options.refusesWhenBackendsDown === true) {
        const trouble = options.backendsDown?.()
        if (trouble !== undefined) {
          log.backendsDown(trouble)
          return await refuse(socket, refusal('backends-down'), log)
        }
      }

      // ── policy ────────────────────────────────────────────────────────────
      // Policies are about clients: a balancer that may not look whether we live takes all of them elsewhere.
      if (!isIgnored && !isCheck) admission = await askOnConnect(policies, { identity, listener })
      const decision = admission?.decision ?? { verdict: 'pass' }
      if (decision.verdict !== 'pass') {
        log.policyRefused(decision.reason, admission?.policy ?? '', decision.detail ?? '')
        return await refuse(socket, listener.tls === 'implicit' ? '' : dialect.refusal(decision), log)
      }

      // ── names ─────────────────────────────────────────────────────────────
      // The lookup begins, and is waited for where a name is needed first: at the first message.
      const clientNames = isIgnored || isCheck ? undefined : names?.namesOf(identity.client.address)

      // ── tls ───────────────────────────────────────────────────────────────
      const security = (isTlsBelieved ? channelSecurityFrom(identity) : undefined) ?? cleartext
      if (security.kind === 'tls') log.secured(security)
      let connection: Connection = new AcceptedConnection(
        { id: log.id, listener, identity, security, ...(clientNames !== undefined && { clientNames }) },
        socket,
      )
      if (listener.tls === 'implicit' && tls !== undefined) {
        const deadline = performance.now() + tls.timeoutMs
        if (verdict.rule === 'absent' && looksLikeProxyHeader(await firstBytes(socket, tls.timeoutMs))) {
          log.refused({ connection, verb: 'CONNECT', reason: 'proxy-untrusted', detail: '' })
          return await refuse(socket, '', log)
        }
        connection = await secure(tls, log, connection, deadline - performance.now())
      }

      if (connection.stream.destroyed) {
        log.closed('connection-lost', { in: socket.bytesRead, out: socket.bytesWritten })
        return
      }

      // ── session ───────────────────────────────────────────────────────────
      const opening = { isGreetedAtOnce: isIgnored || isCheck, bytesWithHeader }
      const { maxSessionMs } = dialect
      const session = runSession(connection, (context) => dialect.session(context, log, opening), {
        ...(tls && { upgradeTls: (spent) => secure(tls, log, spent) }),
        ...(maxSessionMs !== undefined && { maxSessionMs }),
      })
      connections.serve(socket, session)
      const end = await session.ended
      if (listener.protocol === 'imap') log.imapSession(end.bytesIn, end.bytesOut)
      log.closed(end.reason, { in: end.bytesIn, out: end.bytesOut }, end.error)
    } catch (error) {
      const isHandshake = error instanceof HandshakeError
      log.closed(
        isHandshake ? 'tls-failed' : 'internal-error',
        { in: socket.bytesRead, out: socket.bytesWritten },
        error,
      )
      await sayGoodbye(socket, isHandshake ? '' : refusal('internal-error'))
    } finally {
      admission?.release()
      log.ended()
      connections.end(socket)
      places.leave()
    }
  }

  /**
   * Reads exactly the header. A function of its own, so that the bytes it came in are let go with it, and not kept for as
   * long as the connection lives.
   *
   * @returns whom the connection speaks for; `undefined` when it was refused, and is gone.
   */
  async function identifyByHeader(
    socket: Socket,
    at: HeaderAwaited,
    log: ConnectionLog,
  ): Promise<ClientIdentity | undefined> {
    const { peer, rule } = at
    log.expectsHeader(peer)
    const key = peer.address.toString()
    if (!awaitedHeaders.begin(key)) {
      log.endedBeforeHeader('overloaded')
      summary.overloaded(listener.name, `${key} keeps too many PROXY headers waiting`)
      await sayGoodbye(socket, '')
      return undefined
    }
    const received = await receiveHeader(socket, {
      rule,
      timeoutMs: proxy.headerTimeoutMs,
      graceMs: proxy.optionalWaitMs,
      maxHeaderBytes: proxy.maxHeaderBytes,
      refusesSecondHeader: proxy.refusesSecondHeader,
      onParsed,
    })
    awaitedHeaders.end(key)
    if (received.outcome === 'header') return identify({ ...at, header: received.header })
    if (received.outcome === 'none') return identify(at)
    if (received.outcome === 'closed') {
      log.endedBeforeHeader('silent-peer')
      summary.silentPeer(listener.name, key)
      await sayGoodbye(socket, '')
      return undefined
    }
    const why = explainHeaderRefusal(received, { peer, listener, headerTimeoutMs: proxy.headerTimeoutMs })
    log.proxyRefused(why.reason, why.mend, why.fields)
    await sayGoodbye(socket, refusal(why.refusal))
    return undefined
  }

  /** Nothing can be said in the clear where TLS comes first: the client would take it for a broken handshake. */
  function refusal(why: AcceptRefusal): string {
    return listener.tls === 'implicit' ? '' : dialect.refusal(why)
  }
}

/** A handshake, which is counted however it ends. */
async function secure(tls: TlsGate, log: ConnectionLog, spent: Connection, withinMs?: number): Promise<Connection> {
  try {
    const connection = await tls.secure(spent, withinMs)
    log.secured(connection.security)
    return connection
  } catch (error) {
    log.handshakeFailed()
    throw error
  }
}

/** The end of a connection that was identified and gets no session: its last line tells how long it took. */
async function refuse(socket: Socket, words: string, log: ConnectionLog): Promise<void> {
  await sayGoodbye(socket, words)
  log.closed('refused', { in: socket.bytesRead, out: socket.bytesWritten })
}

const cleartext = { kind: 'cleartext' } as const

class AcceptedConnection implements Connection {
  readonly id: string
  readonly listener: ListenerInfo
  readonly identity: ClientIdentity
  readonly security: ChannelSecurity
  readonly stream: Socket
  readonly clientNames?: NonNullable<ConnectionInfo['clientNames']>
  #gone: AbortController | undefined

  constructor({ id, listener, identity, security, clientNames }: ConnectionInfo, stream: Socket) {
    this.id = id
    this.listener = listener
    this.identity = identity
    this.security = security
    this.stream = stream
    if (clientNames !== undefined) this.clientNames = clientNames
  }

  /** Made when somebody asks: most sessions wait for nothing outside, and a signal costs as much as a session. */
  get signal(): AbortSignal {
    if (this.#gone === undefined) {
      const gone = new AbortController()
      this.#gone = gone
      if (this.stream.closed) gone.abort(connectionGone)
      else this.stream.once('close', () => gone.abort(connectionGone))
    }
    return this.#gone.signal
  }
}

/** Why a connection's signal is aborted. One for all: making an error with its stack costs as much as a log line. */
const connectionGone = new Error('the connection is gone')

/**
 * Looks at what a direct client sends first where a TLS handshake is due, and puts it back. A header there means a
 * balancer that is not trusted yet, and deserves a better word in the log than a failed handshake.
 */
async function firstBytes(socket: Socket, withinMs: number): Promise<Buffer> {
  const first = await new Promise<Buffer | null>((resolve) => {
    const settle = (): void => {
      clearTimeout(deadline)
      socket.off('readable', settle)
      socket.off('close', settle)
      resolve(socket.read() as Buffer | null)
    }
    const deadline = setTimeout(settle, withinMs)
    socket.on('readable', settle)
    socket.on('close', settle)
  })
  if (first === null) throw new HandshakeError('the client sent nothing')
  socket.unshift(first)
  return first
}

function ignore(): void {}
