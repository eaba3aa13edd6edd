/* Runs dialogues like those in the RFCs against a session, without a socket, a timer or a clock. */
import {
  endpoint,
  type Authenticator,
  type AuthOutcome,
  type Awaitable,
  type ClientNames,
  type Credentials,
  type ChannelSecurity,
  type ClientIdentity,
  type CloseReason,
  type ConnectionInfo,
  type Output,
  type Policy,
  type Route,
  type SessionMachine,
  type SessionObserver,
  type Wish,
} from '@postern/core'
import {
  createSmtpSession,
  type BareNewlinePolicy,
  type DeliveredJournal,
  type DestinationExtension,
  type DestinationExtensions,
  type GreetingDelay,
  type NulPolicy,
  type SessionOpening,
  type SmtpLimits,
  type SmtpMode,
  type SmtpSessionOptions,
} from '../src/index.ts'
import { expect } from 'vitest'
import { MemoryDestination } from './memory-destination.ts'

export interface Setup {
  readonly mode?: SmtpMode
  /** TLS ended by us, or by the balancer. */
  readonly tls?: 'gateway' | 'proxy'
  /** Of a client certificate that was verified. */
  readonly clientCommonName?: string
  /** The channel binding of TLS that ends here. */
  readonly tlsExporter?: Buffer
  /** Replaces the one that knows `ann`. */
  readonly authenticator?: Authenticator
  /** Certificates sign in, `ann` as herself. */
  readonly takesCertificates?: boolean
  readonly origin?: ClientIdentity['origin']
  readonly client?: string
  readonly clientNames?: Awaitable<ClientNames>
  readonly offersStartTls?: boolean
  readonly authRequiresTls?: boolean
  readonly hasAuthenticator?: boolean
  readonly isDirectoryDown?: boolean
  readonly policies?: readonly Policy[]
  /** The addresses that may say XCLIENT and XFORWARD. */
  readonly announcers?: readonly string[]
  readonly observer?: SessionObserver
  readonly limits?: Partial<SmtpLimits>
  readonly greetingDelay?: GreetingDelay
  readonly opening?: SessionOpening
  readonly bareNewline?: BareNewlinePolicy
  readonly nul?: NulPolicy
  readonly requiresTls?: boolean
  readonly destination?: MemoryDestination
  /** What destinations can do, beside 8BITMIME and SMTPUTF8. */
  readonly destinationTakes?: readonly DestinationExtension[]
  /** The same, whole. */
  readonly destinationExtensions?: DestinationExtensions
  /** The same, as they are at each greeting. */
  readonly extensionsNow?: NonNullable<SmtpSessionOptions['destinationExtensions']>
  /** The destinations of upstreams, by name; the others go to `destination`. */
  readonly upstreams?: Readonly<Record<string, MemoryDestination>>
  /** Routes by recipient; the others go to the store when they are at `example.org`, and else nowhere. */
  readonly routes?: Readonly<Record<string, Route>>
  readonly journal?: DeliveredJournal
  /** Where recipients are by now whom a destination has refused. */
  readonly routesNow?: Readonly<Record<string, Route>>
}

/** Keeps what is written, and asks for a drain when it is told to: a client that reads slowly. */
class TestOutput implements Output {
  isFull = false
  drains = 0
  #written = ''

  write(chunk: Parameters<Output['write']>[0]): void {
    this.#written += chunk.toString()
  }

  async drained(): Promise<void> {
    this.drains++
    this.isFull = false
  }

  take(): string {
    const text = this.#written
    this.#written = ''
    return text
  }
}

/** A session with what it wrote and wished; `ann` signs in with `secret`. */
export class TestSession {
  readonly machine: SessionMachine
  readonly destination: MemoryDestination
  readonly wishes: Wish[] = []
  /** What the authenticator was asked. */
  readonly asked: Credentials[] = []
  closed: CloseReason | undefined
  readonly output = new TestOutput()
  readonly #setup: Setup
  #connection: ConnectionInfo

  constructor(setup: Setup = {}) {
    this.#setup = setup
    this.destination = setup.destination ?? new MemoryDestination()
    this.#connection = connectionOf(setup)
    this.machine = createSmtpSession(
      {
        connection: this.#connection,
        signal: new AbortController().signal,
        turn: () => Promise.resolve(),
        wake: () => {
          throw new Error('SMTP speaks only when spoken to')
        },
        output: this.output,
      },
      {
        hostname: 'mx.example',
        mode: setup.mode ?? 'mx',
        offersStartTls: setup.offersStartTls ?? true,
        policies: setup.policies ?? [],
        router: {
          forRecipient: ({ forwardPath }) =>
            setup.routes?.[forwardPath] ??
            (forwardPath.endsWith('@example.org') || forwardPath === 'postmaster'
              ? { to: 'store', account: forwardPath }
              : { to: 'nowhere', decision: { verdict: 'refuse', reason: 'no-relay' } }),
          ...(setup.routesNow === undefined ? {} : { reconsider: (at) => setup.routesNow?.[at.forwardPath] }),
        },
        destinationFor: (route) =>
          (route.to === 'upstream' ? setup.upstreams?.[route.upstream] : undefined) ?? this.destination,
        now: () => new Date('2026-02-03T04:05:06Z'),
        ...(setup.journal === undefined ? {} : { journal: setup.journal }),
        ...(setup.hasAuthenticator === false ? {} : { authenticator: this.#authenticator(setup) }),
        ...(setup.authRequiresTls === undefined ? {} : { authRequiresTls: setup.authRequiresTls }),
        ...(setup.observer === undefined ? {} : { observer: setup.observer }),
        ...(setup.limits === undefined ? {} : { limits: setup.limits }),
        ...(setup.announcers === undefined
          ? {}
          : { mayAnnounce: (_, by) => setup.announcers?.includes(by.toString()) === true }),
        ...extensionsOf(setup),
        ...(setup.bareNewline === undefined ? {} : { bareNewline: setup.bareNewline }),
        ...(setup.nul === undefined ? {} : { nul: setup.nul }),
        ...(setup.requiresTls === undefined ? {} : { requiresTls: setup.requiresTls }),
        ...(setup.greetingDelay === undefined ? {} : { greetingDelay: setup.greetingDelay }),
      },
      setup.opening,
    )
  }

  #authenticator(setup: Setup): Authenticator {
    if (setup.authenticator !== undefined) return setup.authenticator
    return {
      verify: (credentials) => this.#verify(credentials, setup),
      ...(setup.takesCertificates === true && {
        verifyCertificate: async ({ commonName, actAs = commonName }) =>
          commonName === 'ann' && actAs === 'ann'
            ? { outcome: 'granted', principal: { account: 'ann@example.org', username: commonName } }
            : { outcome: 'denied' },
      }),
    }
  }

  async #verify(credentials: Credentials, setup: Setup): Promise<AuthOutcome> {
    this.asked.push(credentials)
    if (setup.isDirectoryDown === true) return { outcome: 'unavailable', cause: new Error('the directory is down') }
    const { username, password, actAs } = credentials
    return username === 'ann' && password.reveal() === 'secret' && actAs === undefined
      ? { outcome: 'granted', principal: { account: 'ann@example.org', username } }
      : { outcome: 'denied' }
  }

  async start(): Promise<this> {
    await this.#follow(await this.machine.start())
    return this
  }

  /** @param text - one octet in each character. */
  async send(text: string): Promise<void> {
    if (this.closed !== undefined) return
    const bytes = Buffer.from(text, 'latin1')
    const wish = this.machine.receive(bytes)
    await this.#follow(await wish)
    // A pump may reuse its buffer.
    bytes.fill(0x21)
  }

  /** Sends a line and gives back what came of it. */
  async ask(line: string): Promise<string> {
    this.take()
    await this.send(`${line}\r\n`)
    return this.take()
  }

  async secure(): Promise<void> {
    this.#connection = { ...this.#connection, security: tlsEndedBy('gateway', this.#setup) }
    await this.#follow(await this.machine.secured(this.#connection))
  }

  async passDeadline(of: 'patience' | 'session' = 'patience'): Promise<void> {
    await this.#follow(await this.machine.timedOut(of))
  }

  async stop(): Promise<void> {
    await this.#follow(this.machine.stopping())
  }

  async hangUp(): Promise<void> {
    await this.#follow({ next: 'close', reason: 'connection-lost' })
  }

  get lastWish(): Wish | undefined {
    return this.wishes.at(-1)
  }

  /** What was written since the last call. */
  take(): string {
    return this.output.take()
  }

  async #follow(wish: Wish): Promise<void> {
    this.wishes.push(wish)
    if (wish.next !== 'close') return
    this.closed = wish.reason
    await this.machine.ended(wish.reason)
  }
}

/** A session that said EHLO, with the replies read away. */
export async function greeted(setup: Setup = {}): Promise<TestSession> {
  const session = await new TestSession(setup).start()
  await session.ask('EHLO client.example')
  return session
}

/** The same, up to the 354 of a message to `ann@example.org`. */
export async function inData(setup: Setup = {}): Promise<TestSession> {
  const session = await greeted(setup)
  await session.ask('MAIL FROM:<bob@example.net>')
  await session.ask('RCPT TO:<ann@example.org>')
  expect(await session.ask('DATA')).toMatch(/^354 /)
  return session
}

/**
 * A test from a script.
 *
 * - `C:` sends a line with CRLF; `C+` adds a line to the segment that the next `C:` sends, as a pipelining client does.
 * - `R:` sends bytes with the escapes of JSON and no CRLF.
 * - `S:` must be the next line received: `*` at its end matches the rest, `<name>` a word, the same one each time.
 * - `!close REASON`, `!open`: whether the session has closed, and why. `!tls` expects it to ask for TLS, and secures.
 * - `!tick` lets the deadline pass, `!tock` that of the session; `!stop` asks it to stop.
 *
 * At the end nothing may be left unread.
 */
export function dialogue(setup: Setup, script: string): () => Promise<void> {
  return async () => {
    await play(await new TestSession(setup).start(), script)
  }
}

export async function play(session: TestSession, script: string): Promise<void> {
  let unread = ''
  let segment = ''
  const captures = new Map<string, string>()
  for (const line of script.split('\n').map((text) => text.trim())) {
    if (line === '') continue
    unread += session.take()
    const rest = line.slice(2).replace(/^ /, '')
    if (line.startsWith('S:')) {
      const end = unread.indexOf('\r\n')
      const received = end === -1 ? `(nothing; left: ${JSON.stringify(unread)})` : unread.slice(0, end)
      unread = end === -1 ? '' : unread.slice(end + 2)
      expectLine(received, rest, captures)
      continue
    }
    expect(unread, `unread before ${line}`).toBe('')
    if (line.startsWith('C+')) segment += `${rest}\r\n`
    else if (line.startsWith('C:')) {
      await session.send(`${segment}${rest}\r\n`)
      segment = ''
    } else if (line.startsWith('R:')) await session.send(JSON.parse(`"${rest}"`) as string)
    else if (line === '!open') expect(session.closed).toBeUndefined()
    else if (line.startsWith('!close')) expect(session.closed).toBe(line.slice(6).trim())
    else if (line === '!tls') {
      expect(session.lastWish).toEqual({ next: 'upgrade-tls' })
      await session.secure()
    } else if (line === '!tick') await session.passDeadline()
    else if (line === '!tock') await session.passDeadline('session')
    else if (line === '!stop') await session.stop()
    else throw new Error(`not a line of a dialogue: ${line}`)
  }
  expect(unread + session.take(), 'unread at the end').toBe('')
}

function expectLine(received: string, expected: string, captures: Map<string, string>): void {
  const names: string[] = []
  const isPrefix = expected.endsWith('*')
  const pattern = (isPrefix ? expected.slice(0, -1) : expected)
    .split(/(<[a-z]+>)/)
    .map((part) => {
      const name = /^<([a-z]+)>$/.exec(part)?.[1]
      if (name === undefined) return RegExp.escape(part)
      const known = captures.get(name)
      if (known !== undefined) return RegExp.escape(known)
      names.push(name)
      return String.raw`(\S+)`
    })
    .join('')
  const match = new RegExp(`^${pattern}${isPrefix ? '' : '$'}`, 'u').exec(received)
  expect(match, `${received}\n  should match\n${expected}`).not.toBeNull()
  for (const [index, name] of names.entries()) captures.set(name, match?.[index + 1] ?? '')
}

function extensionsOf({
  destinationTakes,
  destinationExtensions,
  extensionsNow,
}: Setup): Pick<SmtpSessionOptions, 'destinationExtensions'> {
  if (extensionsNow !== undefined) return { destinationExtensions: extensionsNow }
  if (destinationExtensions !== undefined) return { destinationExtensions: () => destinationExtensions }
  if (destinationTakes === undefined) return {}
  const extensions = new Set<DestinationExtension>(['8BITMIME', 'SMTPUTF8', ...destinationTakes])
  return { destinationExtensions: () => ({ extensions }) }
}

function tlsEndedBy(
  endedBy: 'gateway' | 'proxy',
  { clientCommonName, tlsExporter }: Pick<Setup, 'clientCommonName' | 'tlsExporter'>,
): ChannelSecurity {
  return {
    kind: 'tls',
    endedBy,
    version: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    ...(clientCommonName === undefined ? {} : { clientCommonName }),
    ...(tlsExporter === undefined ? {} : { tlsExporter: () => tlsExporter }),
  }
}

function connectionOf(setup: Setup): ConnectionInfo {
  const origin = setup.origin ?? 'direct'
  const client = endpoint(setup.client ?? '203.0.113.7', 45_678)
  return {
    id: 'test000000000001',
    listener: { name: 'mx', protocol: setup.mode === 'submission' ? 'submission' : 'smtp', tls: 'starttls' },
    identity: {
      origin,
      client,
      peer: origin === 'direct' ? client : endpoint('10.0.0.1', 50_000),
      destination: endpoint('192.0.2.1', 25),
      trust: { rule: origin === 'direct' ? 'absent' : 'required' },
    },
    security: setup.tls === undefined ? { kind: 'cleartext' } : tlsEndedBy(setup.tls, setup),
    ...(setup.clientNames !== undefined && { clientNames: setup.clientNames }),
  }
}
