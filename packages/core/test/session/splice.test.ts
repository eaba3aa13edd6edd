import { duplexPair, type Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  endpoint,
  limits,
  runSession,
  type Awaitable,
  type CloseReason,
  type Connection,
  type RunningSession,
  type SessionContext,
  type SessionMachine,
  type Splice,
  type Wish,
} from '@postern/core'

const peer = endpoint('192.0.2.1', 40_000)

function connectionOver(stream: Duplex): Connection {
  return {
    id: '0123456789abcdef',
    listener: { name: 'imap', protocol: 'imap', tls: 'off' },
    identity: { origin: 'direct', client: peer, peer, destination: peer, trust: { rule: 'absent' } },
    security: { kind: 'cleartext' },
    stream,
    signal: new AbortController().signal,
  }
}

interface Setup {
  readonly first?: string
  readonly onPassing?: Splice['onPassing']
  readonly machine?: (context: SessionContext) => Partial<SessionMachine>
  /** What becomes of the first bytes of the client; splices at once when absent. */
  readonly receive?: (splice: Wish) => Awaitable<Wish>
}

/** A session that says hello, and hands its client on at the first word. */
class Handover {
  readonly client: Duplex
  readonly backend: Duplex
  readonly other: Duplex
  readonly running: RunningSession
  readonly calls: string[] = []
  context!: SessionContext
  toClient = ''
  toBackend = ''

  constructor({ first = '', onPassing, machine, receive }: Setup = {}) {
    const [stream, client] = duplexPair({ allowHalfOpen: true })
    const [other, backend] = duplexPair({ allowHalfOpen: true })
    Object.assign(this, { client, backend, other })
    this.client = client
    this.backend = backend
    this.other = other
    other.pause()
    client.on('data', (chunk: Buffer) => (this.toClient += chunk.toString('latin1')))
    backend.on('data', (chunk: Buffer) => (this.toBackend += chunk.toString('latin1')))
    for (const end of [client, backend]) end.on('error', () => undefined)
    const splice: Wish = {
      next: 'splice',
      splice: {
        other,
        first: Buffer.from(first),
        ...(onPassing === undefined ? {} : { onPassing }),
        onOtherEnd: (how) => {
          this.calls.push(how)
          this.context.output.write('* BYE\r\n')
          return how === 'closed' ? 'quit' : 'backend-lost'
        },
      },
    }
    const told = <T>(call: string, value: T): T => {
      this.calls.push(call)
      return value
    }
    this.running = runSession(connectionOver(stream), (context) => {
      this.context = context
      const script = machine?.(context)
      return {
        start: () => ({ next: 'read', patienceMs: 1_000 }),
        receive: () => {
          context.output.write('a OK\r\n')
          return receive?.(splice) ?? splice
        },
        secured: () => splice,
        woken: () => told('woken', script?.woken?.() ?? goOn),
        timedOut: (of) => told(`timedOut ${of}`, { next: 'close', reason: 'timeout' } as const),
        stopping: () => told('stopping', script?.stopping?.() ?? goOn),
        failed: () => told('failed', script?.failed?.()),
        ended: (reason: CloseReason) => told(`ended ${reason}`, undefined),
      }
    })
  }

  async begin(): Promise<this> {
    this.client.write('a LOGIN\r\n')
    await settle()
    return this
  }
}

const goOn: Wish = { next: 'read', patienceMs: 0 }

async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve))
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

describe('a splice', () => {
  test('passes bytes both ways behind what the machine wrote, and what was unread goes first', async () => {
    const session = await new Handover({ first: 'b NAMESPACE\r\n' }).begin()
    session.client.write('c LIST\r\n')
    session.backend.write('b OK\r\n')
    await settle()
    expect([session.toClient, session.toBackend]).toEqual(['a OK\r\nb OK\r\n', 'b NAMESPACE\r\nc LIST\r\n'])
    session.client.end()
    await settle()
    session.backend.end()
    expect(await session.running.ended).toMatchObject({ reason: 'client-closed', bytesIn: 17, bytesOut: 12 })
    expect(session.calls).toEqual(['ended client-closed'])
    expect(session.other.destroyed).toBe(true)
  })

  test('has no deadline', async () => {
    const session = await new Handover().begin()
    vi.advanceTimersByTime(86_400_000)
    await settle()
    expect(session.calls).toEqual([])
    session.running.cut()
  })

  test('lets who looks on see each piece before it goes over', async () => {
    const seen: string[] = []
    const session = await new Handover({
      first: 'x',
      onPassing: (bytes, to) => void seen.push(`${to} ${bytes.toString()}`),
    }).begin()
    session.client.write('y')
    await settle()
    session.backend.write('z')
    await settle()
    expect(seen).toEqual(['other x', 'other y', 'client z'])
    session.running.cut()
  })

  test.each(['first', 'later'])('ends by itself when who looks on throws (%s)', async (when) => {
    const session = await new Handover({
      first: when === 'first' ? 'x' : '',
      onPassing: () => {
        throw new Error('a bug')
      },
    }).begin()
    if (when === 'later') session.backend.write('z')
    session.client.end()
    expect(await session.running.ended).toMatchObject({ reason: 'internal-error', error: new Error('a bug') })
    expect(session.calls).toEqual(['failed', 'ended internal-error'])
    expect(session.other.destroyed).toBe(true)
  })
})

describe('backpressure', () => {
  const piece = Buffer.alloc(65_536, 'x')
  const much = Buffer.alloc(16 * piece.length, 'x')

  test('a client that does not read stops the other side, and starts it again', async () => {
    const session = await new Handover().begin()
    session.client.pause()
    for (let sent = 0; sent < 16; sent++) session.backend.write(piece)
    await settle()
    expect(session.other.isPaused()).toBe(true)
    expect(session.backend.writableLength).toBeGreaterThan(0)
    session.client.resume()
    await settle()
    expect(session.toClient).toHaveLength(much.length + 6)
    session.running.cut()
  })

  test('another side that does not read stops the client, whatever the session does meanwhile', async () => {
    const session = await new Handover().begin()
    session.backend.pause()
    for (let sent = 0; sent < 16; sent++) session.client.write(piece)
    await settle()
    session.context.wake()
    await settle()
    expect(session.calls).toEqual(['woken'])
    expect(session.client.writableLength).toBeGreaterThan(0)
    session.backend.resume()
    await settle()
    expect(session.toBackend).toHaveLength(much.length)
    session.running.cut()
  })

  test('a client that is still to read what came before keeps the other side waiting from the start', async () => {
    const session = new Handover({
      receive: (splice) => {
        session.context.output.write(much)
        return splice
      },
    })
    session.client.pause()
    session.backend.write('later')
    await session.begin()
    expect(session.other.isPaused()).toBe(true)
    session.client.resume()
    await settle()
    expect(session.toClient.endsWith('later')).toBe(true)
    session.running.cut()
  })
})

describe('the end of a splice', () => {
  test('a client that closes its half gets the rest, but no silence for ever', async () => {
    const session = await new Handover().begin()
    const halfClosed = vi.fn<() => void>()
    session.backend.once('end', halfClosed)
    session.client.end()
    await settle()
    expect(halfClosed).toHaveBeenCalledOnce()
    vi.advanceTimersByTime(limits.halfClosedMs - 1)
    session.backend.write('more')
    await settle()
    vi.advanceTimersByTime(limits.halfClosedMs - 1)
    await settle()
    expect(session.toClient).toBe('a OK\r\nmore')
    vi.advanceTimersByTime(1)
    expect(await session.running.ended).toMatchObject({ reason: 'client-closed' })
    expect(vi.getTimerCount()).toBe(0)
  })

  test('the client may have closed its half while it was signed in', async () => {
    const gate = Promise.withResolvers<Wish>()
    let splice: Wish | undefined
    const session = new Handover({
      receive: (wish) => {
        splice = wish
        return gate.promise
      },
    })
    session.client.write('a LOGIN\r\n')
    session.client.end()
    await settle()
    gate.resolve(splice!)
    await settle()
    expect(session.other.writableEnded).toBe(true)
    session.backend.end('rest')
    expect(await session.running.ended).toMatchObject({ reason: 'client-closed' })
    expect(session.toClient).toBe('a OK\r\nrest')
  })

  test('or before there was a session, if one begins with it', async () => {
    const [stream, client] = duplexPair({ allowHalfOpen: true })
    const [other, backend] = duplexPair({ allowHalfOpen: true })
    stream.resume()
    client.resume()
    client.end()
    await settle()
    const splice: Wish = { next: 'splice', splice: { other, first: Buffer.alloc(0), onOtherEnd: () => 'quit' } }
    const running = runSession(connectionOver(stream), () => ({
      start: () => splice,
      receive: () => splice,
      secured: () => splice,
      woken: () => goOn,
      timedOut: () => goOn,
      stopping: () => goOn,
      failed: () => undefined,
      ended: () => undefined,
    }))
    await settle()
    expect(other.writableEnded).toBe(true)
    backend.end()
    expect(await running.ended).toMatchObject({ reason: 'client-closed' })
  })

  test('what a client was to be handed on to is let go when the client has left', async () => {
    const gate = Promise.withResolvers<Wish>()
    let splice: Wish | undefined
    const session = new Handover({
      receive: (wish) => {
        splice = wish
        return gate.promise
      },
    })
    session.client.write('a LOGIN\r\n')
    await settle()
    session.client.destroy()
    session.running.cut()
    gate.resolve(splice!)
    await settle()
    expect(session.other.destroyed).toBe(true)
  })

  test('the other side says its last words, and the machine one more', async () => {
    const session = await new Handover().begin()
    session.backend.end('last')
    await settle()
    session.client.end()
    expect(session.toClient).toBe('a OK\r\nlast* BYE\r\n')
    expect(await session.running.ended).toMatchObject({ reason: 'quit' })
    expect(session.calls).toEqual(['closed', 'ended quit'])
  })

  test('the other side is lost', async () => {
    const session = await new Handover().begin()
    session.other.destroy(new Error('ECONNRESET'))
    await settle()
    session.client.end()
    expect(await session.running.ended).toMatchObject({ reason: 'backend-lost' })
    expect(session.toClient).toBe('a OK\r\n* BYE\r\n')
    expect(session.calls).toEqual(['lost', 'ended backend-lost'])
  })

  test.each(['closed', 'lost'])('the other side is %s before it begins', async (how) => {
    const session = new Handover()
    if (how === 'lost') session.other.destroy()
    else {
      session.other.resume()
      session.backend.end()
    }
    await settle()
    await session.begin()
    session.client.end()
    await session.running.ended
    expect(session.calls[0]).toBe(how)
  })

  test('the other side ends while the machine is busy', async () => {
    const gate = Promise.withResolvers<Wish>()
    const session = await new Handover({ machine: () => ({ woken: () => gate.promise }) }).begin()
    session.context.wake()
    await settle()
    session.other.destroy()
    await settle()
    expect(session.calls).toEqual(['woken'])
    gate.resolve(goOn)
    await settle()
    session.client.end()
    expect(await session.running.ended).toMatchObject({ reason: 'backend-lost' })
  })

  test('the client is lost', async () => {
    const session = await new Handover().begin()
    session.client.destroy()
    session.context.output.write('')
    const stream = session.running
    stream.cut()
    await settle()
    expect(session.other.destroyed).toBe(true)
  })

  test('a worker that drains lets the machine say when', async () => {
    let isAtBoundary = false
    const leave: Wish = { next: 'close', reason: 'stopping' }
    const session = await new Handover({
      machine: ({ output }) => ({
        woken: () => {
          if (!isAtBoundary) return goOn
          output.write('* BYE stopping\r\n')
          return leave
        },
      }),
    }).begin()
    session.running.stop()
    session.backend.write('half')
    await settle()
    isAtBoundary = true
    session.backend.write(' and whole\r\n')
    await settle()
    session.context.wake()
    await settle()
    session.client.end()
    expect(await session.running.ended).toMatchObject({ reason: 'stopping' })
    expect(session.toClient).toBe('a OK\r\nhalf and whole\r\n* BYE stopping\r\n')
    expect(session.calls).toEqual(['stopping', 'woken', 'ended stopping'])
  })
})
