/* Dialogues of three: a client, the session between, and a backend that does what its script says. In memory. */
import assert from 'node:assert/strict'
import { duplexPair, type Duplex } from 'node:stream'
import {
  parseIpAddress,
  runSession,
  secret,
  type Authenticator,
  type ChannelSecurity,
  type Connection,
  type Policy,
  type RunningSession,
  type SessionObserver,
} from '@postern/core'
import {
  createImapSession,
  type BackendConnecting,
  type ImapLogins,
  type ImapProxyLimits,
  type LoginBackends,
  type LoginRoute,
} from '../../src/index.ts'
import { MemoryStore } from '../memory-store.ts'

export interface ProxySetup {
  readonly judge?: ImapLogins['judge']
  readonly needsPassword?: boolean
  readonly backends?: Partial<Omit<LoginBackends, 'next'>>
  /** How many can be connected to; 1 when absent. */
  readonly count?: number
  /** In the place of the backends. */
  readonly route?: (username: string) => LoginRoute
  /** Where the user is, once the backends have refused: there again, in the store, or nowhere. */
  readonly reconsidered?: 'backends' | 'store' | 'nowhere'
  readonly offers?: readonly (readonly string[] | undefined)[]
  readonly withholds?: ImapLogins['withholds']
  readonly authenticator?: Authenticator
  readonly policies?: readonly Policy[]
  readonly observer?: SessionObserver
  readonly limits?: Partial<ImapProxyLimits>
  /** The links have TLS already. */
  readonly isSecure?: boolean
  /** What comes of the handshake. */
  readonly tlsFailure?: string
  readonly security?: Partial<Extract<ChannelSecurity, { kind: 'tls' }>> | 'cleartext'
}

const tls = { kind: 'tls', endedBy: 'gateway', version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256' } as const

/** One connection to a backend, from the backend's side. */
class ScriptedBackend {
  readonly name: string
  stream: Duplex
  ours: Duplex
  text = ''
  isEnded = false
  isSecure: boolean
  readonly told: string[] = []
  readonly #wake: () => void

  constructor(name: string, isSecure: boolean, wake: () => void) {
    this.name = name
    this.isSecure = isSecure
    this.#wake = wake
    const [stream, ours] = duplexPair({ allowHalfOpen: true })
    this.stream = stream
    this.ours = ours
    this.#listen()
  }

  /** A handshake: a new pair over nothing. */
  secure(): void {
    const [stream, ours] = duplexPair({ allowHalfOpen: true })
    this.stream = stream
    this.ours = ours
    this.isSecure = true
    this.#listen()
  }

  #listen(): void {
    const { stream } = this
    stream.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1')
      this.#wake()
    })
    for (const event of ['end', 'close']) {
      stream.on(event, () => {
        if (stream !== this.stream) return
        this.isEnded = true
        this.#wake()
      })
    }
    stream.on('error', () => undefined)
  }
}

export class ProxySession {
  readonly client: Duplex
  readonly running: RunningSession
  readonly store = new MemoryStore()
  readonly dialled: ScriptedBackend[] = []
  /** The one that the script speaks of. */
  backend: ScriptedBackend | undefined
  text = ''
  readonly #transcript: string[] = []
  #wake: (() => void) | undefined

  constructor(setup: ProxySetup = {}) {
    const [stream, client] = duplexPair({ allowHalfOpen: true })
    this.client = client
    client.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1')
      this.#wake?.()
    })
    client.on('error', () => undefined)
    const gone = new AbortController()
    stream.once('close', () => gone.abort())
    const connection: Connection = {
      id: 'test000000000001',
      listener: { name: 'imap', protocol: 'imap', tls: 'starttls' },
      identity: {
        origin: 'direct',
        client: { address: parseIpAddress('203.0.113.7')!, port: 45_678 },
        peer: { address: parseIpAddress('203.0.113.7')!, port: 45_678 },
        destination: { address: parseIpAddress('192.0.2.1')!, port: 143 },
        trust: { rule: 'absent' },
      },
      security: setup.security === 'cleartext' ? { kind: 'cleartext' } : { ...tls, ...setup.security },
      stream,
      signal: gone.signal,
    }
    const logins: ImapLogins = {
      judge: setup.judge ?? 'backend',
      needsPassword: setup.needsPassword ?? false,
      routeOf: ({ username }) => setup.route?.(username) ?? { to: 'backend', backends: this.#backends(setup) },
      reconsider: () => this.#reconsidered(setup),
      offers: () => setup.offers ?? [['IMAP4REV1', 'IDLE']],
      withholds: setup.withholds,
    }
    this.running = runSession(connection, (context) =>
      createImapSession(context, {
        hostname: 'imap.example',
        offersStartTls: false,
        policies: setup.policies ?? [],
        authenticator: setup.authenticator ?? {
          verify: async ({ username, password }) =>
            password.reveal() === 'secret'
              ? { outcome: 'granted', principal: { account: `${username}@example.org`, username } }
              : { outcome: 'denied' },
        },
        store: this.store,
        logins,
        now: () => new Date('2026-02-03T04:05:06Z'),
        maxAppendBytes: 100_000,
        limits: { failedLoginDelayMs: 0 },
        ...(setup.limits === undefined ? {} : { proxyLimits: setup.limits }),
        ...(setup.observer === undefined ? {} : { observer: setup.observer }),
      }),
    )
  }

  #reconsidered(setup: ProxySetup): LoginRoute | undefined {
    if (setup.reconsidered === undefined) return undefined
    if (setup.reconsidered === 'store') return { to: 'store' }
    if (setup.reconsidered === 'backends') return { to: 'backend', backends: this.#backends(setup) }
    return { to: 'nowhere', decision: { verdict: 'defer', reason: 'unavailable' } }
  }

  #backends(setup: ProxySetup): LoginBackends {
    let left = setup.count ?? 1
    return {
      upstream: 'inside',
      tls: 'off',
      sendsCredentialsInClear: true,
      announcesById: 'no',
      ...setup.backends,
      next: async () => {
        if (left === 0) return { ok: false, detail: 'none is left' }
        left -= 1
        const backend = new ScriptedBackend(`b${this.dialled.length + 1}`, setup.isSecure === true, () =>
          this.#wake?.(),
        )
        this.dialled.push(backend)
        this.#wake?.()
        return linkOf(backend, setup)
      },
    }
  }

  /**
   * `C:` and `S:` are the client's and our lines between client and session; `B:` is what the backend says, `P:` what it must
   * hear from us. `!dial` waits for the next backend, `!hangup` closes the backend's half, `!lost` all of it, `!secure` is the
   * backend's side of a handshake, `!gone` expects us to have closed the backend's connection, `!close` the session to have
   * ended so. ` *` at the end of a line matches the rest, `~text~` is its base64, `\0` and `\x01` in it what they say.
   */
  async play(script: string): Promise<void> {
    for (const raw of script.split('\n').map((text) => text.trim())) {
      if (raw === '') continue
      this.#transcript.push(raw)
      const line = raw.replaceAll(/~([^~]*)~/g, (_, text: string) => encode(text))
      const words = line.slice(2).trimStart()
      if (line.startsWith('C:')) this.client.write(`${words}\r\n`, 'latin1')
      else if (line.startsWith('S:')) expectLine(await this.#line('client'), words, this.transcript)
      else if (line.startsWith('B:')) this.#backend.stream.write(`${words}\r\n`, 'latin1')
      else if (line.startsWith('P:')) expectLine(await this.#line('backend'), words, this.transcript)
      else await this.#act(line)
    }
  }

  get transcript(): string {
    const left = `\nclient has ${JSON.stringify(this.text)}, backend ${JSON.stringify(this.backend?.text)}`
    return this.#transcript.join('\n') + left
  }

  get #backend(): ScriptedBackend {
    if (this.backend === undefined) throw new Error(`no backend was dialled yet\n${this.transcript}`)
    return this.backend
  }

  async #act(line: string): Promise<void> {
    const [word = '', ...rest] = line.split(' ')
    switch (word) {
      case '!dial': {
        const before = this.backend
        this.backend = await this.#wait('a backend to be dialled', () => {
          const next = this.dialled.at(before === undefined ? 0 : this.dialled.indexOf(before) + 1)
          return next === before ? undefined : next
        })
        return
      }
      case '!hangup':
        this.#backend.stream.end()
        return
      case '!lost':
        this.#backend.ours.destroy(new Error('ECONNRESET'))
        return
      case '!secured':
        await this.#wait('the handshake', () => (this.#backend.isSecure ? true : undefined))
        return
      case '!gone':
        await this.#wait('the backend to be left', () =>
          this.#backend.isEnded || this.#backend.ours.destroyed ? true : undefined,
        )
        return
      case '!told':
        assert.deepEqual(this.#backend.told, rest.join(' ') === '' ? [] : [rest.join(' ')])
        return
      case '!stop':
        this.running.stop()
        return
      case '!cut':
        this.running.cut()
        return
      case '!leave':
        this.client.end()
        return
      case '!close': {
        this.client.end()
        assert.equal((await this.running.ended).reason, rest[0], this.transcript)
        return
      }
      default:
        throw new Error(`not a line of a dialogue: ${line}`)
    }
  }

  #line(whose: 'client' | 'backend'): Promise<string> {
    const holder = whose === 'client' ? this : this.#backend
    return this.#wait(`a line for the ${whose}`, () => {
      const end = holder.text.indexOf('\r\n')
      if (end === -1) return undefined
      const line = holder.text.slice(0, end)
      holder.text = holder.text.slice(end + 2)
      return line
    })
  }

  async #wait<T>(what: string, take: () => T | undefined): Promise<T> {
    const end = performance.now() + 30_000
    for (;;) {
      const taken = take()
      if (taken !== undefined) return taken
      if (performance.now() > end) throw new Error(`waited for ${what}\n${this.transcript}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        setTimeout(resolve, 100).unref()
      })
    }
  }
}

function linkOf(backend: ScriptedBackend, setup: ProxySetup): BackendConnecting {
  return {
    ok: true,
    link: {
      backend: backend.name,
      socket: backend.ours,
      isSecure: backend.isSecure,
      secure: async () => {
        if (setup.tlsFailure !== undefined) {
          backend.ours.destroy()
          return { ok: false, detail: setup.tlsFailure }
        }
        backend.secure()
        return linkOf(backend, setup)
      },
      succeeded: () => undefined,
      failed: (detail) => {
        backend.told.push(detail)
        backend.ours.destroy()
      },
    },
  }
}

function encode(text: string): string {
  return Buffer.from(text.replaceAll('\\0', '\0').replaceAll('\\x01', '\x01'), 'latin1').toString('base64')
}

function expectLine(received: string, expected: string, transcript: string): void {
  if (expected.length > 1 && expected.endsWith(' *')) {
    assert(
      received.startsWith(expected.slice(0, -1)),
      `${received}
  should match
${expected}
${transcript}`,
    )
  } else {
    assert.equal(
      received,
      expected,
      `${received}
  is not
${expected}
${transcript}`,
    )
  }
}

/** A test from a script, behind our greeting. */
export function dialogue(setup: ProxySetup | (() => ProxySetup), script: string): () => Promise<void> {
  return async () => {
    const session = new ProxySession(typeof setup === 'function' ? setup() : setup)
    try {
      await play(session, `S: * OK *\n${script}`)
      assert.equal(session.text, '', `unread at the end\n${session.transcript}`)
    } finally {
      session.running.cut()
      session.client.destroy()
    }
  }
}

export function play(session: ProxySession, script: string): Promise<void> {
  return session.play(script)
}

export const master = { as: 'master', username: 'postern', password: secret('m4ster') } as const
