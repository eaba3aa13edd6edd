// A whole server on loopback, around a machine that greets, repeats lines and leaves at "quit".
import { once } from 'node:events'
import { connect, createServer, Server, Socket } from 'node:net'
import { connect as connectTls, createSecureContext } from 'node:tls'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  compileCidrSet,
  createSessionServer,
  createTrustRule,
  limits,
  sayGoodbye,
  tlsModeOf,
  type ConnectionInfo,
  type SessionContext,
  type SessionMachine,
  type SessionServer,
  type SessionServerOptions,
  type TrustMode,
  type Wish,
} from '@postern/core'
import { tlsFiles } from '../kit/tls.ts'

const onward: Wish = { next: 'read', patienceMs: 60_000 }

class Parrot implements SessionMachine {
  readonly #context: SessionContext
  readonly #packed: number

  constructor(context: SessionContext, packed: number) {
    this.#context = context
    this.#packed = packed
  }

  start(): Wish {
    const { identity, security } = this.#context.connection
    this.#context.output.write(`hello ${identity.client.address.toString()} ${security.kind} ${this.#packed}\n`)
    return onward
  }

  receive(bytes: Buffer): Wish {
    const text = bytes.toString('latin1')
    if (text === 'starttls\n') {
      this.#context.output.write('go\n')
      return { next: 'upgrade-tls' }
    }
    if (text === 'quit\n') return { next: 'close', reason: 'quit' }
    this.#context.output.write(text)
    return onward
  }

  secured(connection: ConnectionInfo): Wish {
    this.#context.output.write(`secured ${connection.security.kind}\n`)
    return onward
  }

  woken(): Wish {
    return onward
  }

  timedOut(of: 'patience' | 'session'): Wish {
    this.#context.output.write(`late: ${of}\n`)
    return { next: 'close', reason: 'timeout' }
  }

  /** Stays until it is cut. */
  stopping(): Wish {
    this.#context.output.write('soon\n')
    return onward
  }

  failed(): void {
    this.#context.output.write('cut\n')
  }

  ended(): void {
    // Nothing is open.
  }
}

interface Running {
  readonly server: SessionServer
  readonly port: number
  readonly events: string[]
}

async function start(options: Partial<SessionServerOptions> = {}): Promise<Running> {
  const events: string[] = []
  const server = createSessionServer({
    protocol: 'smtp',
    session: (context, bytesWithHeader) => new Parrot(context, bytesWithHeader),
    refusal: (why) => `no: ${why}\n`,
    observer: {
      opened: ({ id }) => events.push(`opened ${id.length}`),
      closed: ({ reason }) => events.push(`closed ${reason}`),
      proxyRefused: ({ code }) => events.push(`refused ${code}`),
      failed: (error) => events.push(`failed ${String(error)}`),
    },
    ...options,
  })
  onTestFinished(() => server.close(0))
  const { port } = await server.listen(0, '127.0.0.1')
  return { server, port, events }
}

/** A client that says something, and waits for what comes back. */
class Client {
  readonly socket: Socket
  #heard = ''

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => (this.#heard += text))
    socket.on('error', () => undefined)
    onTestFinished(() => void socket.destroy())
  }

  async line(): Promise<string> {
    return vi.waitUntil(
      () => {
        const end = this.#heard.indexOf('\n') + 1
        const line = this.#heard.slice(0, end)
        this.#heard = this.#heard.slice(end)
        return line
      },
      { timeout: 30_000, interval: 2 },
    )
  }

  async rest(): Promise<string> {
    if (!this.socket.closed) await new Promise((resolve) => this.socket.once('close', resolve))
    return this.#heard
  }
}

const connected = (port: number): Client => new Client(connect(port, '127.0.0.1'))

/** Both ends of a connection that some other server accepted. */
async function pair(): Promise<readonly [client: Socket, server: Socket]> {
  const other = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  onTestFinished(() => void other.close())
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  client.on('error', () => undefined)
  onTestFinished(() => void client.destroy())
  const [socket] = (await once(other, 'connection')) as [Socket]
  return [client, socket]
}

function trusting(mode: TrustMode): Pick<SessionServerOptions, 'proxy'> {
  const compiled = compileCidrSet(['127.0.0.0/8'])
  if (!compiled.ok) throw new Error('networks')
  return { proxy: { trust: createTrustRule({ mode, networks: compiled.set }) } }
}

describe('a connection', () => {
  test('has a session, and both ends of it are told', async () => {
    const { port, events, server } = await start()
    const client = connected(port)
    expect(await client.line()).toBe('hello 127.0.0.1 cleartext 0\n')
    expect(server.connections).toBe(1)
    client.socket.write('quit\n')
    expect(await client.rest()).toBe('')
    await expect.poll(() => events).toEqual(['opened 16', 'closed quit'])
    expect(server.connections).toBe(0)
  })

  test('J8: is the client’s behind a trusted header, and what came in one piece with it is counted', async () => {
    const { port } = await start(trusting('require'))
    const client = connected(port)
    client.socket.write('PROXY TCP4 203.0.113.7 192.0.2.1 1000 25\r\nearly\n')
    expect(await client.line()).toBe('hello 203.0.113.7 cleartext 6\n')
    expect(await client.line()).toBe('early\n')
  })

  test.each([
    { bytes: 'EHLO a\r\n', code: 'PROXY_MISSING', words: 'no: proxy-missing\n' },
    { bytes: 'PROXY TCP4 1\r\n', code: 'PROXY_V1_ADDRESS', words: 'no: proxy-malformed\n' },
  ])('without a header that can be read is told so: $code', async ({ bytes, words }) => {
    const { port, events } = await start(trusting('require'))
    const client = connected(port)
    client.socket.write(bytes)
    expect(await client.rest()).toBe(words)
    expect(events).toHaveLength(1)
    expect(events[0]).toMatch(/^refused PROXY_/)
  })

  test('that closes before its header is let go without a word', async () => {
    const { port, events } = await start(trusting('require'))
    const client = connected(port)
    client.socket.end('PRO')
    expect(await client.rest()).toBe('')
    expect(events).toEqual(['refused PROXY_CLOSED'])
  })

  test('brings the names that were looked up', async () => {
    const names = vi.fn<NonNullable<SessionServerOptions['clientNames']>>(() => ({ helo: undefined }) as never)
    const { port } = await start({ clientNames: names })
    await connected(port).line()
    expect(names).toHaveBeenCalledOnce()
  })

  test('may be turned away by the program', async () => {
    const { port, events } = await start({ admit: () => 'not you\n' })
    expect(await connected(port).rest()).toBe('not you\n')
    expect(events).toEqual([])
  })

  test('whose client left while the program thought has no session', async () => {
    const gate = Promise.withResolvers<undefined>()
    const { server, events } = await start({ admit: () => gate.promise })
    const [client, socket] = await pair()
    const served = server.accept(socket)
    await expect.poll(() => server.connections).toBe(1)
    client.resetAndDestroy()
    await expect.poll(() => socket.closed).toBe(true)
    gate.resolve(undefined)
    await served
    expect(events).toEqual([])
  })

  test('meets a program that throws: it is told, and the client refused', async () => {
    const { port, events } = await start({
      admit: () => {
        throw new Error('oops')
      },
    })
    expect(await connected(port).rest()).toBe('no: internal-error\n')
    expect(events).toEqual(['failed Error: oops'])
  })

  test('takes no longer than a session may', async () => {
    const { port } = await start({ maxSessionMs: 20 })
    const client = connected(port)
    await client.line()
    expect(await client.line()).toBe('late: session\n')
  })
})

describe('TLS', () => {
  test.each([
    { tls: undefined, mode: 'off' },
    { tls: tlsFiles, mode: 'starttls' },
    { tls: { ...tlsFiles, mode: 'implicit' as const }, mode: 'implicit' },
  ])('its mode is $mode', ({ tls, mode }) => {
    expect(tlsModeOf(tls)).toBe(mode)
  })

  test.each(['smtp', 'imap'] as const)('from the first byte, for %s alone', async (protocol) => {
    const { port } = await start({ protocol, tls: { ...tlsFiles, mode: 'implicit' } })
    const client = new Client(
      connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2', protocol] }),
    )
    expect(await client.line()).toBe('hello 127.0.0.1 tls 0\n')
    const other = new Client(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }))
    expect(await other.rest()).toBe('')
  })

  test('when the client asks, with the certificate of the name that it asks for', async () => {
    const asked: string[] = []
    const other = createSecureContext(tlsFiles)
    const contextFor = (name: string) => {
      asked.push(name)
      return name === 'a.example' ? other : undefined
    }
    const { port } = await start({ tls: { ...tlsFiles, contextFor } })
    for (const servername of ['a.example', 'b.example']) {
      const plain = connect(port, '127.0.0.1')
      await once(plain, 'data')
      plain.write('starttls\n')
      await once(plain, 'data')
      const client = new Client(connectTls({ socket: plain, servername, rejectUnauthorized: false }))
      expect(await client.line()).toBe('secured tls\n')
    }
    expect(asked).toEqual(['a.example', 'b.example'])
  })

  const implicit = { tls: { ...tlsFiles, mode: 'implicit' as const } }

  test('what is no handshake ends that connection without a word', async () => {
    const { port, events } = await start(implicit)
    const client = connected(port)
    client.socket.write('EHLO a\r\n')
    expect(await client.rest()).not.toContain('no:')
    await expect.poll(() => events).toHaveLength(1)
  })

  test('a client that leaves during the handshake is let go', async () => {
    const { port, events } = await start(implicit)
    connected(port).socket.end()
    await expect.poll(() => events).toEqual(['failed Error: the client left during the handshake'])
  })

  test('a client that stalls in the handshake is let go in time', async () => {
    const { port, events, server } = await start(implicit)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const client = connected(port)
    while (server.connections === 0) await new Promise((resolve) => setImmediate(resolve))
    await vi.advanceTimersByTimeAsync(limits.handshakeTimeoutMs)
    await client.rest()
    expect(events).toEqual(['failed Error: the handshake took too long'])
  })

  test('a certificate that cannot be used is told at once', () => {
    const options = { protocol: 'smtp', session: () => new Parrot({} as never, 0), refusal: () => '' } as const
    expect(() => createSessionServer({ ...options, tls: { cert: 'x', key: 'y' } })).toThrow('PEM')
  })
})

describe('the server', () => {
  test('is full: it says so, and serves again when one has left', async () => {
    const { port, server } = await start({ maxConnections: 1 })
    const first = connected(port)
    await first.line()
    expect(await connected(port).rest()).toBe('no: overloaded\n')
    first.socket.end('quit\n')
    await expect.poll(() => server.connections).toBe(0)
    await connected(port).line()
  })

  test('closes: sessions are asked to end, and cut when they do not; newcomers are refused', async () => {
    const { port, server, events } = await start()
    const client = connected(port)
    await client.line()
    const closed = Promise.all([server.close(), server.close(50)])
    const [late, socket] = await pair()
    const heard = new Client(late)
    late.on('end', () => late.end())
    await server.accept(socket)
    expect(await heard.rest()).toBe('no: stopping\n')
    expect(await client.rest()).toBe('soon\nsoon\ncut\n')
    await closed
    expect(server.connections).toBe(0)
    expect(events.at(-1)).toBe('closed stopping')
  })

  test('closes while a header is awaited: that connection is dropped', async () => {
    const { port, server } = await start(trusting('require'))
    const client = connected(port)
    await expect.poll(() => server.connections).toBe(1)
    await server.close()
    expect(await client.rest()).toBe('')
  })

  test('closes while the program thinks: that connection is dropped, and the end awaited', async () => {
    const gate = Promise.withResolvers<undefined>()
    const { port, server, events } = await start({ admit: () => gate.promise })
    const client = connected(port)
    await expect.poll(() => server.connections).toBe(1)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const closed = server.close()
    await vi.advanceTimersByTimeAsync(limits.closePatienceMs)
    expect(await client.rest()).toBe('')
    gate.resolve(undefined)
    await closed
    expect(events).toEqual([])
  })

  test('has a default patience', async () => {
    const { server } = await start()
    await server.close()
    await server.close()
    expect(server.connections).toBe(0)
  })

  test('C10: listens again on the same port, by options too', async () => {
    const { port, server } = await start()
    await server.close()
    expect(await server.listen({ port, host: '127.0.0.1' })).toMatchObject({ port })
    expect(await connected(port).line()).toMatch(/^hello /)
    await server.close(0)
    const anywhere = await server.listen(0)
    expect(await connected(anywhere.port).line()).toMatch(/^hello /)
  })

  test('a port that is taken is told', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    onTestFinished(() => void other.close())
    const { server } = await start()
    await server.close()
    await expect(server.listen((other.address() as { port: number }).port, '127.0.0.1')).rejects.toThrow('EADDRINUSE')
  })

  test('an accept that fails is told, and the next client is served', async () => {
    const listen = vi.spyOn(Server.prototype, 'listen')
    onTestFinished(() => listen.mockRestore())
    const { port, events } = await start()
    const [server] = listen.mock.contexts as Server[]
    server?.emit('error', new Error('accept ENOBUFS'))
    expect(events).toEqual(['failed Error: accept ENOBUFS'])
    await connected(port).line()
  })

  test('goes on without an observer', async () => {
    const { port, server } = await start({ observer: {}, ...trusting('optional') })
    const client = connected(port)
    client.socket.write('hello\n')
    await client.line()
    expect(server.connections).toBe(1)
    const closed = server.close(0)
    expect(await client.rest()).toContain('cut\n')
    await closed
  })

  test('goes on without an observer when the program throws', async () => {
    const { port } = await start({
      observer: {},
      admit: () => {
        throw new Error('oops')
      },
    })
    expect(await connected(port).rest()).toBe('no: internal-error\n')
  })
})

describe('a goodbye', () => {
  test('to a stream that is gone is said at once', async () => {
    const socket = new Socket()
    socket.destroy()
    await once(socket, 'close')
    await expect(sayGoodbye(socket, 'bye\n')).resolves.toBeUndefined()
  })

  test('waits no longer than a while for a client that does not close', async () => {
    const [, socket] = await pair()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const said = sayGoodbye(socket, 'bye\n')
    await vi.advanceTimersByTimeAsync(limits.lingerMs)
    await said
    expect(socket.destroyed).toBe(true)
  })
})
