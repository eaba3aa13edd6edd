import { EventEmitter, once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { Writable } from 'node:stream'
import type { Decision, ListenerInfo, Policy, SessionContext, SessionMachine, Wish } from '@postern/core'
import { pino } from 'pino'
import { createAcceptor, type AcceptorOptions } from '../../src/accept/acceptor.ts'
import { AwaitedHeaders, Places } from '../../src/accept/admission.ts'
import type { Dialect } from '../../src/accept/dialects.ts'
import { OpenConnections } from '../../src/accept/open-connections.ts'
import type { ListenerProxyConfig } from '../../src/config/schema.ts'
import { Counts } from '../../src/observe/counts.ts'
import { Incidents } from '../../src/observe/incidents.ts'
import { ListenerCounts } from '../../src/observe/listener-counts.ts'
import { QuietSummary } from '../../src/observe/quiet-summary.ts'
import { networks } from '../../src/policy/networks.ts'

export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string }

/** A logger that keeps its lines, as whoever reads the log sees them. */
export function recordingLogger(level: 'debug' | 'info' = 'debug'): {
  readonly logger: pino.Logger
  readonly lines: LogLine[]
  /** Resolves with the first line of the event, once there is one. */
  readonly logged: (event: string) => Promise<LogLine>
} {
  const lines: LogLine[] = []
  const news = new EventEmitter()
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as LogLine)
      news.emit('line')
      done()
    },
  })
  const logged = async (event: string): Promise<LogLine> => {
    for (;;) {
      const line = lines.find((one) => one.event === event)
      if (line !== undefined) return line
      await once(news, 'line')
    }
  }
  return {
    lines,
    logged,
    logger: pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, sink),
  }
}

/**
 * A protocol for tests: greets with whom it sees, echoes lines, ends at `QUIT`, starts TLS at `STARTTLS`; `WORK` asks
 * to be finished before the session may stop, `DONE` finishes it.
 */
export const echoDialect: Dialect = {
  refusal: (why) => (typeof why === 'string' ? `REFUSED ${why}\r\n` : refusalOf(why)),
  session: (context) => new EchoSession(context),
}

function refusalOf(why: Exclude<Decision, { verdict: 'pass' }>): string {
  return why.verdict === 'drop'
    ? ''
    : `REFUSED ${why.reply?.smtpCode ?? why.verdict} ${why.reply?.text ?? why.reason}\r\n`
}

class EchoSession implements SessionMachine {
  readonly #context: SessionContext
  #isWorking = false
  #isStopping = false

  constructor(context: SessionContext) {
    this.#context = context
  }

  start(): Wish {
    const { identity, id } = this.#context.connection
    this.#say(`HELLO ${identity.client.address.toString()}:${identity.client.port} ${identity.origin} ${id}`)
    return this.#read()
  }

  receive(bytes: Buffer): Wish {
    for (const line of bytes.toString().split('\r\n').slice(0, -1)) {
      if (line === 'QUIT') return this.#leave('quit')
      if (line === 'STARTTLS') {
        this.#say('GO AHEAD')
        return { next: 'upgrade-tls' }
      }
      if (line === 'THROW') throw new Error('a bug')
      if (line === 'WORK') this.#isWorking = true
      if (line === 'DONE') this.#isWorking = false
      this.#say(`ECHO ${line}`)
    }
    return this.#isStopping && !this.#isWorking ? this.#leave('stopping') : this.#read()
  }

  secured(): Wish {
    this.#say('SECURED')
    return this.#read()
  }

  woken(): Wish {
    return this.#read()
  }

  timedOut(): Wish {
    return { next: 'close', reason: 'timeout' }
  }

  stopping(): Wish {
    this.#isStopping = true
    return this.#isWorking ? this.#read() : this.#leave('stopping')
  }

  failed(): void {
    this.#say('FAILED')
  }

  ended(): void {}

  #say(text: string): void {
    this.#context.output.write(`${text}\r\n`)
  }

  #read(): Wish {
    return { next: 'read', patienceMs: 10_000 }
  }

  #leave(reason: 'quit' | 'stopping'): Wish {
    this.#say('BYE')
    return { next: 'close', reason }
  }
}

export interface Bench extends AsyncDisposable {
  readonly port: number
  readonly lines: LogLine[]
  readonly logged: (event: string) => Promise<LogLine>
  readonly connections: OpenConnections
  readonly summary: QuietSummary
  readonly counts: Counts
  readonly incidents: Incidents
  /** Resolves when every accepted connection has ended. */
  idle(): Promise<void>
}

export interface BenchOptions extends Partial<Omit<AcceptorOptions, 'proxy' | 'ignoredHosts' | 'listener'>> {
  readonly proxy?: Partial<ListenerProxyConfig>
  readonly ignoredHosts?: readonly string[]
  readonly listener?: Partial<ListenerInfo>
  readonly policies?: readonly Policy[]
}

/** An acceptor over a real socket, in this process. 127.0.0.1 is the balancer unless told otherwise. */
export async function openBench(options: BenchOptions = {}): Promise<Bench> {
  const { logger, lines, logged } = recordingLogger()
  const connections = options.connections ?? new OpenConnections()
  const summary = options.summary ?? new QuietSummary(logger)
  const counts = new Counts()
  const incidents = new Incidents()
  const accept = createAcceptor({
    counts: new ListenerCounts(counts, options.listener?.name ?? 'mx', incidents),
    dialect: echoDialect,
    policies: [],
    places: new Places('unlimited'),
    awaitedHeaders: new AwaitedHeaders(),
    logger,
    ...options,
    summary,
    connections,
    listener: { name: 'mx', protocol: 'smtp', tls: 'off', ...options.listener },
    proxy: {
      mode: 'mixed',
      trustedNetworks: ['127.0.0.1'],
      headerTimeoutMs: 30_000,
      maxHeaderBytes: 4096,
      optionalWaitMs: 100,
      refusesSecondHeader: true,
      ...options.proxy,
    },
    ignoredHosts: networks(options.ignoredHosts ?? []),
  })
  const running = new Set<Promise<void>>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const served = accept(socket).finally(() => running.delete(served))
    running.add(served)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    lines,
    logged,
    connections,
    summary,
    counts,
    incidents,
    idle: async () => {
      await Promise.all(running)
    },
    async [Symbol.asyncDispose]() {
      connections.cut()
      server.close()
      summary.close()
      await Promise.all(running)
    },
  }
}

/** One client: what it was told so far, and waiting for more. */
export class Client implements Disposable {
  readonly socket: Socket
  received = ''

  constructor(port: number, localAddress = '127.0.0.1') {
    this.socket = connect({ port, host: '127.0.0.1', localAddress })
    this.socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1')
    })
    this.socket.on('error', () => {})
  }

  say(text: string | Buffer): this {
    this.socket.write(text)
    return this
  }

  /** Resolves with everything received once it matches. */
  async hears(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.received)) {
      if (this.socket.closed) throw new Error(`closed after ${JSON.stringify(this.received)}`)
      await Promise.race([once(this.socket, 'data'), once(this.socket, 'close')])
    }
    return this.received
  }

  /** Resolves with everything received when the connection has ended. */
  async ends(): Promise<string> {
    if (!this.socket.closed) await once(this.socket, 'close')
    return this.received
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

/** A v1 header for a client, as HAProxy's `send-proxy` writes it. */
export function v1(client: string, port = 45_678): string {
  return `PROXY TCP4 ${client} 192.0.2.1 ${port} 25\r\n`
}

const v2Signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

/** A v2 header, PROXY over TCP4. */
export function v2(client: string, port = 45_678): Buffer {
  const block = Buffer.alloc(12)
  for (const [index, octet] of client.split('.').entries()) block[index] = Number(octet)
  block.set([192, 0, 2, 1], 4)
  block.writeUInt16BE(port, 8)
  block.writeUInt16BE(25, 10)
  return Buffer.concat([v2Signature, Buffer.from([0x21, 0x11, 0, 12]), block])
}

/** What HAProxy's health check sends with `send-proxy-v2 check-send-proxy`. */
export const v2Local: Buffer = Buffer.concat([v2Signature, Buffer.from([0x20, 0, 0, 0])])
