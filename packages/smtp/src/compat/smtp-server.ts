/*
 * The class of the npm package smtp-server, on the server of this package: a program that was written for it changes one
 * import, and gains PROXY v2, networks in `useProxy`, and bounds. What is not here is not in the types either.
 */
import { EventEmitter } from 'node:events'
import type { Server } from 'node:net'
import { hostname } from 'node:os'
import {
  compileCidrSet,
  createTrustRule,
  type ConnectionInfo,
  type Decision,
  type ReadProxyHeaderOptions,
} from '@postern/core'
import type { TransactionStart } from '../session/destination.ts'
import { limits } from '../limits.ts'
import type { SmtpBackend } from '../server/backend.ts'
import { createSmtpServer, type SmtpServer, type SmtpServerOptions } from '../server/smtp-server.ts'
import { authenticationRequired } from '../wire/codes.ts'
import type { Verdict } from '../server/backend.ts'
import { asked, CompatDelivery, refusalOf } from './delivery.ts'
import type { CompatOptions } from './options.ts'
import { argumentsOf, sessionOf, type CompatSession } from './session.ts'

/** Emits `listening`, `connect` and `close` with the session, and `error`. */
export class SMTPServer extends EventEmitter {
  readonly options: CompatOptions
  readonly #server: SmtpServer
  /** By the id of their connection. */
  readonly #sessions = new Map<string, CompatSession>()
  #address: Awaited<ReturnType<SmtpServer['listen']>> = null

  constructor(options: CompatOptions = {}) {
    super()
    this.options = options
    this.#server = createSmtpServer(this.#serverOptions())
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#server.connections
  }

  /** What a program of smtp-server asks `server.server` for. */
  get server(): Pick<Server, 'address'> {
    return { address: () => this.#address }
  }

  /** `listen(port[, host][, callback])`. A port that is taken is an `error` event. */
  listen(port: number, ...rest: readonly (string | (() => void) | undefined)[]): this {
    const host = rest.find((one) => typeof one === 'string')
    const callback = rest.find((one) => typeof one === 'function')
    if (callback !== undefined) this.once('listening', callback)
    void this.#listen(port, host)
    return this
  }

  async #listen(port: number, host: string | undefined): Promise<void> {
    try {
      this.#address = await this.#server.listen({ port, ...(host !== undefined && { host }) })
      this.emit('listening')
    } catch (error) {
      this.emit('error', error)
    }
  }

  /** Stops accepting; the callback is called when the last session has ended. */
  close(callback?: () => void): void {
    void this.#closeAll(callback)
  }

  async #closeAll(callback: () => void = ignore): Promise<void> {
    await this.#server.close(this.options.closeTimeout)
    callback()
  }

  #serverOptions(): SmtpServerOptions {
    const { options } = this
    const tls = tlsOf(options)
    return {
      hostname: options.name ?? hostname(),
      backend: this.#backend(),
      mode: options.lmtp === true ? 'lmtp' : 'mx',
      policies: [{ name: 'session', onGreeting: (at) => this.#greeted(at.connection, at.domain) }],
      destination: { begin: (start) => this.#begin(start) },
      authRequiresTls: options.allowInsecureAuth !== true,
      limits: {
        ...(options.size !== undefined && { maxMessageBytes: options.size }),
        ...(options.socketTimeout !== undefined && {
          commandPatienceMs: options.socketTimeout,
          firstCommandPatienceMs: Math.min(options.socketTimeout, limits.firstCommandPatienceMs),
        }),
      },
      ...(tls !== undefined && { tls }),
      ...(options.maxClients !== undefined && { maxConnections: options.maxClients }),
      ...(options.clientNames !== undefined && { clientNames: options.clientNames }),
      ...proxyOf(options),
      observer: {
        closed: ({ connection }) => this.#close(connection),
        failed: (error) => this.#tell(error),
        proxyRefused: ({ detail }) => this.#tell(new Error(detail)),
      },
    }
  }

  /** An `error` event without a listener would end the process, and whoever sends a bad header could do that. */
  #tell(error: unknown): void {
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }

  #backend(): SmtpBackend {
    const { onAuth, onConnect, onMailFrom, disabledCommands = [], authOptional = false } = this.options
    const offersAuth = onAuth !== undefined && !disabledCommands.includes('AUTH')
    return {
      connection: (connection) => {
        const session = sessionOf(connection)
        this.#sessions.set(connection.id, session)
        this.#follow(session, connection)
        return orRefuse(554, async () => {
          await asked(onConnect && ((callback) => onConnect(session, callback)))
          this.emit('connect', session)
        }).then((verdict) => {
          if (verdict !== undefined) this.#sessions.delete(connection.id)
          return verdict
        })
      },
      ...(offersAuth && {
        authentication: async ({ mechanism: method, username, password, actAs }, connection) => {
          // RFC 4616 section 2: smtp-server's callback cannot say whether this is allowed.
          if (actAs !== undefined) return undefined
          const session = this.#session(connection)
          const auth = { method, username, password: password.reveal() }
          const answer = await asked<{ readonly user?: unknown }>((callback) => onAuth(auth, session, callback)).catch(
            ignore,
          )
          if (answer?.user === undefined) return undefined
          session.user = answer.user
          return { account: username, username }
        },
      }),
      reversePath: ({ connection, principal, envelope }): Promise<Verdict> | Verdict => {
        if (!authOptional && principal === undefined && !disabledCommands.includes('AUTH'))
          return authenticationRequired
        const session = this.#session(connection)
        const path = { address: envelope.reversePath, args: argumentsOf(envelope) }
        session.transaction++
        session.envelope = { mailFrom: path, rcptTo: [] }
        return orRefuse(550, () => asked(onMailFrom && ((callback) => onMailFrom(path, session, callback))))
      },
      data: () => undefined,
    }
  }

  #greeted(connection: ConnectionInfo, domain: string): Decision {
    this.#session(connection).hostNameAppearsAs = domain
    return { verdict: 'pass' }
  }

  #begin(start: TransactionStart): CompatDelivery {
    const session = this.#session(start.connection)
    const verb = start.hello?.verb ?? 'EHLO'
    session.openingCommand = verb
    const protocol = { HELO: 'SMTP', EHLO: 'ESMTP', LHLO: 'LMTP' }[verb]
    session.transmissionType = `${protocol}${session.secure ? 'S' : ''}${start.principal === undefined ? '' : 'A'}`
    return new CompatDelivery(this.options, session, start)
  }

  #session(connection: ConnectionInfo): CompatSession {
    const session = this.#sessions.get(connection.id) ?? sessionOf(connection)
    this.#follow(session, connection)
    return session
  }

  /** TLS and names come while a session is under way. */
  #follow(session: CompatSession, { security, clientNames }: ConnectionInfo): void {
    session.secure = security.kind === 'tls'
    session.servername = (security.kind === 'tls' && security.serverName) || false
    if (clientNames !== undefined && !(clientNames instanceof Promise) && clientNames.verified !== undefined) {
      session.clientHostname = clientNames.verified
    }
  }

  #close(connection: ConnectionInfo): void {
    const session = this.#session(connection)
    this.#sessions.delete(connection.id)
    this.options.onClose?.(session)
    this.emit('close', session)
  }
}

/** What the program refuses is said in its words; everything else passes. */
async function orRefuse(usualCode: number, ask: () => Promise<unknown>): Promise<Verdict> {
  try {
    await ask()
    return undefined
  } catch (error) {
    return refusalOf(error, usualCode)
  }
}

function tlsOf(options: CompatOptions): SmtpServerOptions['tls'] {
  const { key, cert, ca, ciphers, minVersion, secure = false, hideSTARTTLS = false, disabledCommands = [] } = options
  if (key === undefined || cert === undefined) return undefined
  if (!secure && (hideSTARTTLS || disabledCommands.includes('STARTTLS'))) return undefined
  return {
    key,
    cert,
    ...(ca !== undefined && { ca }),
    ...(ciphers !== undefined && { ciphers }),
    ...(minVersion !== undefined && { minVersion }),
    mode: secure ? 'implicit' : 'starttls',
  }
}

/** @throws for what is no address and no network: smtp-server would never have matched it. */
function proxyOf({ useProxy = false }: CompatOptions): { readonly proxy?: ReadProxyHeaderOptions } {
  if (useProxy === false) return {}
  const everybody = useProxy === true || useProxy.includes('*')
  const compiled = compileCidrSet(everybody ? ['0.0.0.0/0', '::/0'] : useProxy)
  if (!compiled.ok) throw new TypeError(`useProxy: ${compiled.problems.map(({ expected }) => expected).join(', ')}`)
  return { proxy: { trust: createTrustRule({ mode: everybody ? 'require' : 'mixed', networks: compiled.set }) } }
}

function ignore(): undefined {
  return undefined
}
