/* Runs dialogues like those in the RFCs against a session, without a socket, a timer or a clock. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  parseIpAddress,
  type Authenticator,
  type ChannelSecurity,
  type ClientIdentity,
  type CloseReason,
  type ConnectionInfo,
  type Output,
  type Policy,
  type SessionMachine,
  type SessionObserver,
  type Wish,
} from '@postern/core'
import { expect } from 'vitest'
import { createImapSession, type ImapLimits } from '../src/index.ts'
import { MemoryStore } from './memory-store.ts'

export interface DialogueSetup {
  readonly store?: MemoryStore
  readonly security?: ChannelSecurity['kind']
  readonly origin?: ClientIdentity['origin']
  readonly offersStartTls?: boolean
  /** Who may announce a client by ID. */
  readonly announcers?: readonly string[]
  readonly observer?: SessionObserver
  readonly policies?: readonly Policy[]
  readonly limits?: Partial<ImapLimits>
  readonly maxAppendBytes?: number
  readonly mayUnauthenticate?: boolean
  readonly now?: () => Date
  /** The directory cannot be asked. */
  readonly isDirectoryDown?: boolean
  /** Of a client certificate that was verified. */
  readonly clientCommonName?: string
  /** The channel binding of TLS that ends here. */
  readonly tlsExporter?: Buffer
  /** Replaces the one that knows `ann`. */
  readonly authenticator?: Authenticator
}

const tls = { kind: 'tls', endedBy: 'gateway', version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256' } as const

/** A session with what it wrote and wished; `ann` signs in with `secret`. */
export class TestSession {
  readonly store: MemoryStore
  readonly machine: SessionMachine
  readonly wishes: Wish[] = []
  closed: CloseReason | undefined
  /** Asks for a drain at every write when set: a client that reads slowly. */
  isFull = false
  drains = 0
  /** How often others were given the event loop. */
  turns = 0
  #written: Buffer[] = []
  #wakeAsked = false
  readonly #connection: ConnectionInfo

  constructor(setup: DialogueSetup = {}) {
    this.store = setup.store ?? new MemoryStore()
    this.#connection = connectionOf(setup)
    const output: Output = {
      write: (chunk) => void this.#written.push(Buffer.from(chunk)),
      drained: async () => void (this.drains += 1),
      isFull: false,
    }
    Object.defineProperty(output, 'isFull', { get: () => this.isFull })
    this.machine = createImapSession(
      {
        connection: this.#connection,
        output,
        signal: new AbortController().signal,
        turn: () => {
          this.turns += 1
          return nextTurn()
        },
        wake: () => {
          this.#wakeAsked = true
        },
      },
      {
        hostname: 'imap.example',
        offersStartTls: setup.offersStartTls ?? true,
        policies: setup.policies ?? [],
        authenticator: setup.authenticator ?? {
          verify: async ({ username, password, actAs }) => {
            if (setup.isDirectoryDown === true) return { outcome: 'unavailable', cause: new Error('down') }
            const isRight = username === 'ann' && password.reveal() === 'secret' && actAs === undefined
            return isRight
              ? { outcome: 'granted', principal: { account: 'ann@example.org', username } }
              : { outcome: 'denied' }
          },
          verifyCertificate: async ({ commonName, actAs }) =>
            commonName === 'ann' && actAs === undefined
              ? { outcome: 'granted', principal: { account: 'ann@example.org', username: 'ann' } }
              : { outcome: 'denied' },
        },
        store: this.store,
        now: setup.now ?? (() => new Date('2026-02-03T04:05:06Z')),
        maxAppendBytes: setup.maxAppendBytes ?? 100_000,
        ...(setup.announcers === undefined
          ? {}
          : { mayAnnounce: (by) => setup.announcers?.includes(by.toString()) === true }),
        ...(setup.mayUnauthenticate === undefined ? {} : { mayUnauthenticate: setup.mayUnauthenticate }),
        ...(setup.observer === undefined ? {} : { observer: setup.observer }),
        ...(setup.limits === undefined ? {} : { limits: setup.limits }),
      },
    )
  }

  /** Does what a pump does with a wish, and with a call of `wake`. */
  async #follow(wish: Wish): Promise<void> {
    this.wishes.push(wish)
    if (wish.next === 'close') {
      this.closed = wish.reason
      await this.machine.ended(wish.reason)
    } else if (wish.next === 'upgrade-tls') {
      await this.#follow(await this.machine.secured({ ...this.#connection, security: tls }))
    }
    await settle()
    if (this.#wakeAsked && this.closed === undefined) {
      this.#wakeAsked = false
      await this.#follow(await this.machine.woken())
    }
  }

  async start(): Promise<void> {
    await this.#follow(await this.machine.start())
  }

  /** @param text - one octet in each character. */
  async send(text: string): Promise<void> {
    if (this.closed !== undefined) return
    const bytes = Buffer.from(text, 'latin1')
    await this.#follow(await this.machine.receive(bytes))
    // A pump may reuse its buffer.
    bytes.fill(0)
  }

  /** Something outside the session happened: lets a hint reach it. */
  async rest(): Promise<void> {
    await settle()
    if (!this.#wakeAsked) return
    this.#wakeAsked = false
    await this.#follow(await this.machine.woken())
  }

  async passDeadline(): Promise<void> {
    await this.#follow(await this.machine.timedOut('patience'))
  }

  async stop(): Promise<void> {
    await this.#follow(this.machine.stopping())
  }

  /** What was written since the last call, one octet in each character. */
  take(): string {
    const text = Buffer.concat(this.#written).toString('latin1')
    this.#written = []
    return text
  }

  /** Sends a line and gives back what came of it. */
  async ask(line: string): Promise<string> {
    this.take()
    await this.send(`${line}\r\n`)
    return this.take()
  }
}

/** A started session that is signed in as `ann`, with its greeting read away. */
export async function signedIn(setup: DialogueSetup = {}): Promise<TestSession> {
  const session = new TestSession({ security: 'tls', ...setup })
  await session.start()
  await session.ask('a LOGIN ann secret')
  return session
}

/** Like `signedIn`, with INBOX selected. */
export async function selectedInbox(setup: DialogueSetup = {}): Promise<TestSession> {
  const session = await signedIn(setup)
  await session.ask('b SELECT INBOX')
  return session
}

/**
 * A test from a script: `C:` is sent with CRLF, `S:` must be the next line received, ` *` at its end matches the rest.
 * `!close` expects the session to have closed for that reason, `!tick` lets the deadline pass, `!rest` lets hints arrive,
 * `!stop` asks it to stop. At the end nothing may be left unread.
 */
export function dialogue(setup: DialogueSetup | (() => DialogueSetup), script: string): () => Promise<void> {
  return async () => {
    const session = new TestSession(typeof setup === 'function' ? setup() : setup)
    await session.start()
    await play(session, script)
  }
}

/** The same, after `LOGIN` and `SELECT INBOX`. */
export function inInbox(setup: () => DialogueSetup, script: string): () => Promise<void> {
  return async () => {
    const session = await selectedInbox(setup())
    await play(session, script)
  }
}

export async function play(session: TestSession, script: string): Promise<void> {
  let unread = ''
  for (const line of script.split('\n').map((text) => text.trim())) {
    if (line === '') continue
    unread += session.take()
    if (line.startsWith('S:')) {
      const end = unread.indexOf('\r\n')
      const received = end === -1 ? `(nothing; left: ${JSON.stringify(unread)})` : unread.slice(0, end)
      unread = end === -1 ? '' : unread.slice(end + 2)
      expectLine(received, line.slice(2).trimStart())
      continue
    }
    expect(unread, `unread before ${line}`).toBe('')
    if (line.startsWith('C:')) await session.send(`${line.slice(2).trimStart()}\r\n`)
    else if (line.startsWith('!close')) expect(session.closed).toBe(line.slice(6).trim())
    else if (line === '!tick') await session.passDeadline()
    else if (line === '!rest') await session.rest()
    else if (line === '!stop') await session.stop()
    else throw new Error(`not a line of a dialogue: ${line}`)
  }
  expect(unread + session.take(), 'unread at the end').toBe('')
}

function expectLine(received: string, expected: string): void {
  if (expected.length > 1 && expected.endsWith(' *')) {
    expect(received.startsWith(expected.slice(0, -1)), `${received}\n  should match\n${expected}`).toBe(true)
  } else {
    expect(received).toBe(expected)
  }
}

function connectionOf(setup: DialogueSetup): ConnectionInfo {
  const client = { address: address('203.0.113.7'), port: 45_678 }
  const peer =
    setup.origin === undefined || setup.origin === 'direct' ? client : { address: address('10.0.0.1'), port: 1 }
  return {
    id: 'test000000000001',
    listener: { name: 'imap', protocol: 'imap', tls: 'starttls' },
    identity: {
      origin: setup.origin ?? 'direct',
      client,
      peer,
      destination: { address: address('192.0.2.1'), port: 143 },
      trust: { rule: 'absent' },
    },
    security: securityOf(setup),
  }
}

function securityOf({ security, clientCommonName, tlsExporter }: DialogueSetup): ChannelSecurity {
  if (security !== 'tls') return { kind: 'cleartext' }
  return {
    ...tls,
    ...(clientCommonName === undefined ? {} : { clientCommonName }),
    ...(tlsExporter === undefined ? {} : { tlsExporter: () => tlsExporter }),
  }
}

function address(text: string): ClientIdentity['client']['address'] {
  const parsed = parseIpAddress(text)
  if (parsed === undefined) throw new Error(`no address: ${text}`)
  return parsed
}

/** Lets promises that are due settle; no time passes. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
}
