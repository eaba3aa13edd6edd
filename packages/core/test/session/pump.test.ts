import { Duplex, duplexPair } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  ConnectionLostError,
  endpoint,
  limits,
  runSession,
  type Awaitable,
  type CloseReason,
  type Connection,
  type PumpOptions,
  type RunningSession,
  type SessionContext,
  type SessionMachine,
  type Wish,
} from '@postern/core'

const peer = endpoint('192.0.2.1', 40_000)
const local = endpoint('198.51.100.2', 25)

function connectionOver(stream: Duplex, security: Connection['security'] = { kind: 'cleartext' }): Connection {
  return {
    id: '0123456789abcdef',
    listener: { name: 'mx', protocol: 'smtp', tls: 'starttls' },
    identity: { origin: 'direct', client: peer, peer, destination: local, trust: { rule: 'absent' } },
    security,
    stream,
    signal: new AbortController().signal,
  }
}

const read: Wish = { next: 'read', patienceMs: 1_000 }
const quit: Wish = { next: 'close', reason: 'quit' }
const starttls: Wish = { next: 'upgrade-tls' }

/** A machine that does what its script says, and writes down what is asked of it. */
class Scripted implements SessionMachine {
  readonly calls: string[] = []
  readonly context: SessionContext
  readonly #script: Partial<SessionMachine>

  constructor(context: SessionContext, script: Partial<SessionMachine>) {
    this.context = context
    this.#script = script
  }

  start(): Awaitable<Wish> {
    return this.#told('start', this.#script.start?.() ?? read)
  }

  receive(bytes: Buffer): Awaitable<Wish> {
    this.calls.push(`receive ${bytes.toString('latin1')}`)
    return this.#script.receive?.(bytes) ?? read
  }

  secured(connection: Connection): Awaitable<Wish> {
    this.calls.push(`secured ${connection.security.kind}`)
    return this.#script.secured?.(connection) ?? read
  }

  woken(): Awaitable<Wish> {
    return this.#told('woken', this.#script.woken?.() ?? read)
  }

  timedOut(of: 'patience' | 'session'): Awaitable<Wish> {
    const wish = this.#script.timedOut?.(of) ?? ({ next: 'close', reason: 'timeout' } as const)
    return this.#told(of === 'patience' ? 'timedOut' : 'timedOut session', wish)
  }

  stopping(): Wish {
    return this.#told('stopping', this.#script.stopping?.() ?? { next: 'close', reason: 'stopping' })
  }

  failed(): void {
    this.#told('failed', this.#script.failed?.())
  }

  ended(reason: CloseReason): Awaitable<void> {
    return this.#told(`ended ${reason}`, this.#script.ended?.(reason))
  }

  #told<T>(call: string, value: T): T {
    this.calls.push(call)
    return value
  }
}

interface Session {
  readonly machine: Scripted
  readonly running: RunningSession
  readonly stream: Duplex
  /** The client's end. */
  readonly client: Duplex
  /** What the client got, each write by itself. */
  readonly received: string[]
}

type Script = (context: SessionContext) => Partial<SessionMachine>

function run(script: Script = () => ({}), options?: PumpOptions, pair = duplexPair({ allowHalfOpen: true })): Session {
  const [stream, client] = pair
  const received: string[] = []
  client.on('data', (chunk: Buffer) => received.push(chunk.toString('latin1')))
  client.on('error', () => undefined)
  let machine: Scripted | undefined
  const running = runSession(
    connectionOver(stream),
    (context) => (machine = new Scripted(context, script(context))),
    options,
  )
  if (machine === undefined) throw new Error('the machine is made at once')
  return { machine, running, stream, client, received }
}

/** A session that works at what it gets until the gate opens, and keeps its deadline. */
const working = (): Session & { readonly gate: PromiseWithResolvers<Wish> } => {
  const gate = Promise.withResolvers<Wish>()
  return { ...run(() => ({ receive: () => gate.promise })), gate }
}

/** An answer that takes as long as a share of a turn. */
function hog(): Wish {
  vi.advanceTimersByTime(limits.turnShareMs)
  return read
}

/** Three sessions hear something in one turn, and the first uses it up: the second and the third wait. */
async function three(whatTheSecondDoes: (third: Session) => void, script?: Script): Promise<Session> {
  const first = run(() => ({ receive: hog }))
  const second = run(() => ({
    receive: () => {
      whatTheSecondDoes(third)
      return read
    },
  }))
  const third = run(script)
  for (const { client } of [first, second, third]) client.write('x')
  await settle()
  return third
}

/** Lets everything that is due happen, but no timer. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

describe('what a session may know', () => {
  test('its connection and the signal of it, and behind a handshake those of the secured one', async () => {
    const [stream, client] = duplexPair({ allowHalfOpen: true })
    client.resume()
    const connection = connectionOver(stream)
    const secured = connectionOver(duplexPair()[0], {
      kind: 'tls',
      endedBy: 'gateway',
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
    })
    const seen: boolean[] = []
    let context: SessionContext | undefined
    const running = runSession(
      connection,
      (given) => {
        context = given
        seen.push(given.connection === connection, given.signal === connection.signal)
        return new Scripted(given, { start: () => starttls, secured: () => quit })
      },
      { upgradeTls: () => Promise.resolve(secured) },
    )
    await settle()
    seen.push(context?.connection === secured, context?.signal === secured.signal)
    expect(seen).toEqual([true, true, true, true])
    running.cut()
  })
})

describe('a dialogue', () => {
  test('greets, answers, and ends when the session says so', async () => {
    const { machine, running, client, received } = run(({ output }) => ({
      start: () => {
        output.write('220 mx\r\n')
        return read
      },
      receive: () => {
        output.write('221 bye\r\n')
        return quit
      },
    }))
    client.write('QUIT\r\n')
    client.end()
    const end = await running.ended
    expect(machine.calls).toEqual(['start', 'receive QUIT\r\n', 'ended quit'])
    expect(received).toEqual(['220 mx\r\n', '221 bye\r\n'])
    expect(end).toMatchObject({ reason: 'quit', bytesIn: 6, bytesOut: 17 })
    expect(end).not.toHaveProperty('error')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('what one step writes goes out as one write, in order', async () => {
    const writes: string[] = []
    const { stream, client } = run(({ output }) => ({
      receive: () => {
        for (const chunk of ['a', 'ü', Buffer.from('c'), Buffer.from('d'), 'e', Buffer.from('f'), 'g'])
          output.write(chunk)
        return read
      },
    }))
    stream.cork = vi.fn<() => void>(() => writes.push('cork'))
    stream.uncork = vi.fn<() => void>(() => writes.push('uncork'))
    let received = ''
    client.on('data', (chunk: Buffer) => (received += chunk.toString()))
    client.write('x')
    await settle()
    expect(received).toBe('aücdefg')
    expect(writes).toEqual(['cork', 'uncork'])
  })

  test('a step may end with bytes as with text', async () => {
    const { client, received } = run(({ output }) => ({
      receive: () => {
        output.write('text ')
        output.write(Buffer.from('bytes'))
        return read
      },
    }))
    client.write('x')
    await settle()
    expect(received.join('')).toBe('text bytes')
  })

  test('a session that writes nothing sends nothing', async () => {
    const { client, received, running } = run()
    client.write('a')
    await settle()
    running.stop()
    client.end()
    expect(await running.ended).toMatchObject({ reason: 'stopping', bytesOut: 0 })
    expect(received).toEqual([])
  })

  test('calls never overlap, and bytes that come meanwhile wait', async () => {
    const gate = Promise.withResolvers<Wish>()
    const { machine, client } = run(() => ({ receive: (bytes) => (bytes.toString() === 'a' ? gate.promise : read) }))
    client.write('a')
    await settle()
    client.write('b')
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a'])
    gate.resolve(read)
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a', 'receive b'])
  })

  test('bytes that were there before the session began are received', async () => {
    const [stream, client] = duplexPair()
    stream.pause()
    stream.unshift(Buffer.from('EHLO x\r\n'))
    const { machine } = run(undefined, undefined, [stream, client])
    await settle()
    expect(machine.calls).toEqual(['start', 'receive EHLO x\r\n'])
  })
})

describe('time', () => {
  test('a deadline that passes is told once, and the session decides', async () => {
    const { machine, running, client, received } = run(({ output }) => ({
      timedOut: () => {
        output.write('421 timeout\r\n')
        return { next: 'close', reason: 'timeout' }
      },
    }))
    vi.advanceTimersByTime(999)
    expect(machine.calls).toEqual(['start'])
    vi.advanceTimersByTime(1)
    client.end()
    expect(await running.ended).toMatchObject({ reason: 'timeout' })
    expect(received).toEqual(['421 timeout\r\n'])
  })

  test('each read starts it anew, of the same length or another', async () => {
    const { machine, client } = run(() => ({
      receive: (bytes) => ({ next: 'read', patienceMs: Number(bytes.toString()) }),
    }))
    for (const patience of ['1000', '1000', '3000']) {
      vi.advanceTimersByTime(900)
      client.write(patience)
      await settle()
    }
    vi.advanceTimersByTime(2_999)
    expect(machine.calls).not.toContain('timedOut')
    vi.advanceTimersByTime(1)
    expect(machine.calls).toContain('timedOut')
  })

  test('a deadline that is kept is not moved by bytes', async () => {
    const { machine, client } = run(() => ({ receive: () => ({ ...read, keepsDeadline: true }) }))
    for (let i = 0; i < 9; i++) {
      vi.advanceTimersByTime(100)
      client.write('x')
      await settle()
    }
    expect(machine.calls).not.toContain('timedOut')
    vi.advanceTimersByTime(100)
    expect(machine.calls).toContain('timedOut')
  })

  test('what was written may be held back: then nothing is sent or read until its time has come', async () => {
    const { machine, client, received } = run(({ output }) => ({
      receive: () => {
        output.write('550 no\r\n')
        return { ...read, afterMs: 5_000 }
      },
    }))
    client.write('a')
    await settle()
    client.write('b')
    vi.advanceTimersByTime(4_999)
    await settle()
    expect(received).toEqual([])
    expect(machine.calls).toEqual(['start', 'receive a'])
    vi.advanceTimersByTime(1)
    await settle()
    expect(received).toEqual(['550 no\r\n'])
    expect(machine.calls).toEqual(['start', 'receive a', 'receive b'])
  })

  test.each([
    ['the connection is lost', ({ stream }: Session) => void stream.destroy()],
    ['the worker’s time is up', ({ running }: Session) => running.cut()],
  ])('while it is held back %s: nothing waits for its time', async (_, happens) => {
    const session = run(({ output }) => ({
      receive: () => {
        output.write('550 no\r\n')
        return { ...read, afterMs: 5_000 }
      },
    }))
    session.client.write('a')
    await settle()
    happens(session)
    await settle()
    session.client.end()
    vi.advanceTimersByTime(limits.lingerMs)
    await session.running.ended
    vi.advanceTimersByTime(5_000)
    expect(session.machine.calls.filter((call) => call.startsWith('ended'))).toHaveLength(1)
  })

  test('a delay of zero is none', async () => {
    const { received } = run(({ output }) => ({
      start: () => {
        output.write('220\r\n')
        return { ...read, afterMs: 0 }
      },
    }))
    await settle()
    expect(received).toEqual(['220\r\n'])
  })

  test('a first deadline may be asked to be kept: then it is set', async () => {
    const { machine } = run(() => ({ start: () => ({ ...read, keepsDeadline: true }) }))
    vi.advanceTimersByTime(1_000)
    expect(machine.calls).toEqual(['start', 'timedOut', 'ended timeout'])
  })

  test('while the session works no deadline is told, and what the work took is given back to the client', async () => {
    const { machine, client, gate } = working()
    vi.advanceTimersByTime(300)
    client.write('a')
    await settle()
    vi.advanceTimersByTime(5_000)
    expect(machine.calls).toEqual(['start', 'receive a'])
    gate.resolve({ ...read, keepsDeadline: true })
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a'])
    vi.advanceTimersByTime(4_999)
    expect(machine.calls).toEqual(['start', 'receive a'])
    vi.advanceTimersByTime(1)
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a', 'timedOut', 'ended timeout'])
  })

  test('work within the deadline moves it, too', async () => {
    const { machine, client, gate } = working()
    client.write('a')
    await settle()
    vi.advanceTimersByTime(400)
    gate.resolve({ ...read, keepsDeadline: true })
    await settle()
    vi.advanceTimersByTime(999)
    expect(machine.calls).not.toContain('timedOut')
    vi.advanceTimersByTime(1)
    expect(machine.calls).toContain('timedOut')
  })

  test('a deadline that passes while replies are held back is told behind them', async () => {
    const { machine, client } = run(() => ({ receive: () => ({ ...read, keepsDeadline: true, afterMs: 2_000 }) }))
    vi.advanceTimersByTime(500)
    client.write('a')
    await settle()
    vi.advanceTimersByTime(1_999)
    expect(machine.calls).toEqual(['start', 'receive a'])
    vi.advanceTimersByTime(1)
    expect(machine.calls).toContain('timedOut')
  })

  test('the time of a whole session passes once, whatever moves in it', async () => {
    const { machine, client } = run(() => ({ timedOut: (of) => (of === 'session' ? quit : read) }), {
      maxSessionMs: 2_500,
    })
    for (let i = 0; i < 4; i++) {
      vi.advanceTimersByTime(600)
      client.write('x')
      await settle()
    }
    expect(machine.calls).not.toContain('timedOut session')
    vi.advanceTimersByTime(100)
    await settle()
    expect(machine.calls.slice(-2)).toEqual(['timedOut session', 'ended quit'])
  })

  test('and in the midst of work when the work is done', async () => {
    const gate = Promise.withResolvers<Wish>()
    const { machine, client, running } = run(() => ({ receive: () => gate.promise }), { maxSessionMs: 500 })
    client.write('a')
    await settle()
    vi.advanceTimersByTime(500)
    expect(machine.calls).toEqual(['start', 'receive a'])
    gate.resolve(read)
    client.end()
    await running.ended
    expect(machine.calls.slice(-2)).toEqual(['timedOut session', 'ended timeout'])
  })

  test('what ends earlier leaves no timer behind', async () => {
    const { client, running } = run(() => ({ receive: () => quit }), { maxSessionMs: 500 })
    client.write('a')
    client.end()
    await running.ended
    vi.advanceTimersByTime(limits.lingerMs)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a session in long work gives others their turn', async () => {
    const order: string[] = []
    const { client } = run((context) => ({
      receive: async () => {
        setImmediate(() => order.push('another'))
        await context.turn()
        order.push('this one')
        return read
      },
    }))
    client.write('a')
    await settle()
    expect(order).toEqual(['another', 'this one'])
  })

  describe('a turn of the event loop that others have used up', () => {
    test('what came behind them waits for a later one, in order of coming', async () => {
      const order: string[] = []
      const sessions = ['a', 'b', 'c'].map((name) =>
        run(() => ({
          receive: () => {
            order.push(name)
            return hog()
          },
        })),
      )
      for (const { client } of sessions) client.write('x')
      for (let turn = 0; turn < 10; turn++) {
        await new Promise((resolve) => setImmediate(resolve))
        order.push('|')
      }
      // However the turns fell: of sessions that use one up no three had one together.
      expect(order.filter((each) => each !== '|')).toEqual(['a', 'b', 'c'])
      expect(order.join('')).not.toContain('abc')
    })

    test('the time that one waits is none of its client’s', async () => {
      const third = await three(
        () => vi.advanceTimersByTime(900),
        () => ({ receive: () => ({ ...read, keepsDeadline: true }) }),
      )
      expect(third.machine.calls).toEqual(['start', 'receive x'])
      vi.advanceTimersByTime(200)
      expect(third.machine.calls).toEqual(['start', 'receive x'])
      vi.advanceTimersByTime(800)
      expect(third.machine.calls).toContain('timedOut')
    })

    test('what one has more to say is read behind that', async () => {
      const third = await three(({ client }) => client.write('y'))
      expect(third.machine.calls).toEqual(['start', 'receive x', 'receive y'])
    })

    test('one whose end comes first is not heard any more', async () => {
      const third = await three(({ running }) => running.cut())
      expect(third.machine.calls).toEqual(['start', 'failed', 'ended stopping'])
    })

    test('a session that awaits room for its output lets others be looked at first', async () => {
      const order: string[] = []
      const { client } = run((context) => ({
        receive: async () => {
          hog()
          const drained = context.output.drained().then(() => order.push('went on'))
          for (let step = 0; step < 5; step++) await Promise.resolve()
          order.push('waited')
          await drained
          return read
        },
      }))
      client.write('x')
      await settle()
      expect(order).toEqual(['waited', 'went on'])
    })

    test('and hears of it when its connection ended meanwhile', async () => {
      const heard: unknown[] = []
      const { client, running } = run((context) => ({
        receive: async () => {
          hog()
          const drained = context.output.drained().catch((error: unknown) => heard.push(error))
          running.cut()
          await drained
          return quit
        },
      }))
      client.write('x')
      await settle()
      expect(heard).toEqual([expect.any(ConnectionLostError)])
    })
  })

  test('a session may give more time', async () => {
    const { machine } = run(() => ({ timedOut: () => read }))
    vi.advanceTimersByTime(2_000)
    expect(machine.calls).toEqual(['start', 'timedOut', 'timedOut'])
  })
})

describe('wake', () => {
  test('many wakes are one call, soon', async () => {
    const { machine } = run()
    machine.context.wake()
    machine.context.wake()
    expect(machine.calls).toEqual(['start'])
    await settle()
    expect(machine.calls).toEqual(['start', 'woken'])
  })

  test('while the session works: when it is done', async () => {
    const gate = Promise.withResolvers<Wish>()
    const { machine, client } = run(() => ({ receive: () => gate.promise }))
    client.write('a')
    await settle()
    machine.context.wake()
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a'])
    gate.resolve(read)
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a', 'woken'])
  })

  test('a wake is not told when something else took its turn and ended the session', async () => {
    const { machine, running, client } = run()
    machine.context.wake()
    running.stop()
    client.end()
    await running.ended
    machine.context.wake()
    await settle()
    expect(machine.calls).toEqual(['start', 'stopping', 'ended stopping'])
  })

  test('a wake whose turn another call took is told behind it', async () => {
    const gate = Promise.withResolvers<Wish>()
    const { machine, client } = run(() => ({ receive: () => gate.promise }))
    client.write('a')
    machine.context.wake()
    await settle()
    gate.resolve(read)
    await settle()
    expect(machine.calls.toSorted()).toEqual(['receive a', 'start', 'woken'])
  })
})

/** Asks to be woken again while it is woken, as one in a mailbox that changes all the time. */
const restless = (woken: () => Awaitable<Wish>): Session =>
  run((context) => ({
    woken: () => {
      context.wake()
      return woken()
    },
    receive: (bytes) => (bytes.toString('latin1') === 'DONE' ? quit : read),
  }))

describe('a session that is woken without end', () => {
  test.each([
    { machine: 'answers at once', woken: () => read },
    { machine: 'waits for a disk', woken: () => new Promise<Wish>((resolve) => setImmediate(() => resolve(read))) },
  ])('hears its client all the same: one that $machine', async ({ woken }) => {
    const { machine, running, client } = restless(woken)
    machine.context.wake()
    await settle()
    client.end('DONE')
    await running.ended
    expect(machine.calls).toContain('receive DONE')
    expect(machine.calls.filter((call) => call === 'woken').length).toBeGreaterThan(1)
  })
})

describe('the worker stops', () => {
  test('while the session is idle', async () => {
    const { machine, running, client } = run()
    running.stop()
    client.end()
    expect(await running.ended).toMatchObject({ reason: 'stopping' })
    running.stop()
    running.cut()
    expect(machine.calls).toEqual(['start', 'stopping', 'ended stopping'])
  })

  test('while it works: it may finish first', async () => {
    const gate = Promise.withResolvers<Wish>()
    const { machine, running, client } = run(() => ({ receive: () => gate.promise, stopping: () => read }))
    client.write('a')
    await settle()
    running.stop()
    gate.resolve(read)
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a', 'stopping'])
  })

  test('and its time is up: leave is taken at once, even in the middle of work', async () => {
    const gate = Promise.withResolvers<Wish>()
    const { machine, running, client, received } = run(({ output }) => ({
      receive: () => gate.promise,
      failed: () => output.write('421 bye\r\n'),
    }))
    client.write('a')
    await settle()
    running.cut()
    client.end()
    expect(await running.ended).toMatchObject({ reason: 'stopping' })
    gate.resolve(read)
    await settle()
    expect(received).toEqual(['421 bye\r\n'])
    expect(machine.calls).toEqual(['start', 'receive a', 'failed', 'ended stopping'])
  })
})

describe('the client goes', () => {
  test('it closes its half: what it sent is still answered', async () => {
    const gate = Promise.withResolvers<Wish>()
    const { running, client, received } = run(({ output }) => ({
      receive: async () => {
        const wish = await gate.promise
        output.write('250 ok\r\n')
        return wish
      },
    }))
    client.end('NOOP\r\n')
    await settle()
    gate.resolve(read)
    expect(await running.ended).toMatchObject({ reason: 'client-closed' })
    expect(received).toEqual(['250 ok\r\n'])
  })

  test('it closes its half while nothing is under way', async () => {
    const { running, client } = run()
    await settle()
    client.end()
    expect(await running.ended).toMatchObject({ reason: 'client-closed', bytesIn: 0 })
  })

  test.each([
    ['with an error', new Error('read ECONNRESET')],
    ['without one', undefined],
  ])('it resets %s', async (_name, error) => {
    const { machine, running, stream } = run()
    stream.destroy(error)
    expect(await running.ended).toMatchObject({ reason: 'connection-lost', ...(error && { error }) })
    expect(machine.calls).toEqual(['start', 'ended connection-lost'])
  })

  test('PX-31: it was gone before the session began', async () => {
    const [stream, client] = duplexPair()
    stream.destroy()
    await settle()
    const { machine, running } = run(undefined, undefined, [stream, client])
    expect(await running.ended).toMatchObject({ reason: 'connection-lost' })
    expect(machine.calls).toEqual(['start', 'ended connection-lost'])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('PX-31: it had closed its half before the session began', async () => {
    const [stream, client] = duplexPair({ allowHalfOpen: true })
    client.end()
    stream.resume()
    await settle()
    const { running, received } = run(
      ({ output }) => ({
        start: () => {
          output.write('220 mx\r\n')
          return read
        },
      }),
      undefined,
      [stream, client],
    )
    expect(await running.ended).toMatchObject({ reason: 'client-closed' })
    expect(received).toEqual(['220 mx\r\n'])
  })

  test('it closes while the session writes: the reason is the first one', async () => {
    const { running, client, stream } = run(() => ({ receive: () => new Promise(() => undefined) }))
    client.end('a')
    await settle()
    stream.destroy()
    expect(await running.ended).toMatchObject({ reason: 'client-closed' })
  })
})

describe('the session fails', () => {
  const bug = new Error('bug')

  test.each<[name: string, receive: () => Awaitable<Wish>]>([
    [
      'at once',
      () => {
        throw bug
      },
    ],
    ['later', () => Promise.reject(bug)],
  ])('%s: it takes leave in its own grammar', async (_name, receive) => {
    const { machine, running, client, received } = run(({ output }) => ({
      receive,
      failed: () => output.write('421 sorry\r\n'),
    }))
    client.end('x')
    expect(await running.ended).toMatchObject({ reason: 'internal-error', error: bug })
    expect(received).toEqual(['421 sorry\r\n'])
    expect(machine.calls).toEqual(['start', 'receive x', 'failed', 'ended internal-error'])
  })

  test('and cannot even take leave', async () => {
    const { running, client } = run(() => ({
      start: () => {
        throw bug
      },
      failed: () => {
        throw new Error('another')
      },
    }))
    client.end()
    expect(await running.ended).toMatchObject({ reason: 'internal-error', error: bug })
  })

  test('at its end: the first fault is told', async () => {
    const broken = {
      ended: (): never => {
        throw new Error('at the end')
      },
    }
    const first = run(() => ({
      ...broken,
      start: () => {
        throw bug
      },
    }))
    first.client.end()
    expect(await first.running.ended).toMatchObject({ error: bug })
    const second = run(() => ({ ...broken, start: () => quit }))
    second.client.end()
    expect(await second.running.ended).toMatchObject({ reason: 'quit', error: { message: 'at the end' } })
  })

  test('after the connection was over: nobody cares', async () => {
    const gate = Promise.withResolvers<Wish>()
    const { machine, running, client, stream } = run(() => ({ receive: () => gate.promise }))
    client.write('x')
    await settle()
    stream.destroy()
    await running.ended
    gate.reject(bug)
    await settle()
    expect(machine.calls).toEqual(['start', 'receive x', 'ended connection-lost'])
  })
})

describe('a slow reader', () => {
  const big = 'x'.repeat(100_000)

  test('gets no further answer until it has read, and is cut off when it never does', async () => {
    const { machine, running, stream, client } = run(({ output }) => ({
      receive: () => {
        output.write(big)
        return { next: 'read', patienceMs: 10 * limits.stalledReaderMs }
      },
    }))
    client.pause()
    client.write('a')
    await settle()
    client.write('b')
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a'])
    expect(stream.writableNeedDrain).toBe(true)
    vi.advanceTimersByTime(limits.stalledReaderMs)
    expect(await running.ended).toMatchObject({ reason: 'stalled' })
  })

  test('reads in the end', async () => {
    const { machine, client } = run(({ output }) => ({
      receive: () => {
        output.write(big)
        return read
      },
    }))
    client.pause()
    client.write('a')
    await settle()
    client.write('b')
    client.resume()
    await settle()
    expect(machine.calls).toEqual(['start', 'receive a', 'receive b'])
  })

  test('is waited for by a session that asks', async () => {
    const states: boolean[] = []
    const { client, received } = run(({ output }) => ({
      receive: async () => {
        output.write(big)
        states.push(output.isFull)
        await output.drained()
        states.push(output.isFull)
        await output.drained()
        output.write('done')
        states.push(output.isFull)
        return read
      },
    }))
    client.write('a')
    await settle()
    expect(states).toEqual([true, false, false])
    expect(received.at(-1)).toBe('done')
  })

  test('goes: who waits for it hears of it, and who asks afterwards too', async () => {
    let failure: unknown
    const { machine, running, client, stream } = run(({ output }) => ({
      receive: async () => {
        output.write(big)
        await output.drained().catch((error: unknown) => (failure = error))
        throw failure
      },
    }))
    client.pause()
    client.write('a')
    await settle()
    stream.destroy()
    expect(await running.ended).toMatchObject({ reason: 'connection-lost' })
    expect(failure).toBeInstanceOf(ConnectionLostError)
    await expect(machine.context.output.drained()).rejects.toBeInstanceOf(ConnectionLostError)
  })

  test('a session that gives up because its client is gone has not failed', async () => {
    const { machine, running } = run(() => ({
      start: () => Promise.reject(new ConnectionLostError('upstream said so')),
    }))
    expect(await running.ended).toMatchObject({ reason: 'connection-lost' })
    expect(machine.calls).toEqual(['start', 'ended connection-lost'])
  })

  test('the last reply may take a while, and the close another', async () => {
    const { running, client } = run(({ output }) => ({
      start: () => {
        output.write(big)
        return quit
      },
    }))
    client.pause()
    await settle()
    vi.advanceTimersByTime(limits.stalledReaderMs - 1)
    await settle()
    client.resume()
    await settle()
    vi.advanceTimersByTime(limits.lingerMs)
    expect(await running.ended).toMatchObject({ reason: 'quit', bytesOut: big.length })
  })

  test('SC-02: a client that goes on sending after it is cut off at a bound', async () => {
    const { running, client, stream } = run(() => ({ receive: () => quit }))
    client.write('x')
    await settle()
    const piece = Buffer.alloc(65_536)
    let sent = 0
    while (!stream.destroyed && sent < 2 * limits.maxLingerBytes) {
      client.write(piece)
      sent += piece.length
      await settle()
    }
    expect(sent).toBe(limits.maxLingerBytes + piece.length)
    expect(await running.ended).toMatchObject({ reason: 'quit' })
  })

  test('the last reply is never read', async () => {
    const { running, client } = run(({ output }) => ({
      start: () => {
        output.write(big)
        return quit
      },
    }))
    client.pause()
    await settle()
    vi.advanceTimersByTime(limits.stalledReaderMs)
    expect(await running.ended).toMatchObject({ reason: 'quit' })
  })
})

/** STARTTLS in the machine; the upgrade gives the stream of another pair. */
const asksForTls: Script = ({ output }) => ({
  receive: (bytes) => {
    output.write('220 go ahead\r\n')
    return bytes.toString().startsWith('STARTTLS') ? starttls : read
  },
})

describe('TLS', () => {
  test('TL-01, TL-02: what came in the clear behind STARTTLS is thrown away before the reply', async () => {
    const [secured, securedClient] = duplexPair()
    const gate = Promise.withResolvers<Connection>()
    const spent: Connection[] = []
    const left: unknown[] = []
    const { machine, client, received } = run(asksForTls, {
      upgradeTls: (connection) => {
        spent.push(connection)
        // What a handshake would find first.
        left.push(connection.stream.read())
        return gate.promise
      },
    })
    client.cork()
    client.write('STARTTLS\r\n')
    client.write('MAIL FROM:<injected@example.org>\r\n')
    client.uncork()
    await settle()
    expect(received).toEqual(['220 go ahead\r\n'])
    gate.resolve(connectionOver(secured, { kind: 'tls', endedBy: 'gateway', version: 'TLSv1.3', cipher: 'x' }))
    await settle()
    securedClient.write('EHLO x\r\n')
    await settle()
    expect(spent).toHaveLength(1)
    expect(left).toEqual([null])
    expect(machine.calls).toEqual(['start', 'receive STARTTLS\r\n', 'secured tls', 'receive EHLO x\r\n'])
  })

  test('is not to be had on this listener: a bug', async () => {
    const { running, client } = run(() => ({ start: () => starttls }))
    client.end()
    expect(await running.ended).toMatchObject({ reason: 'internal-error', error: expect.any(Error) })
  })

  test('fails', async () => {
    const error = new Error('no shared cipher')
    const { machine, running } = run(() => ({ start: () => starttls }), { upgradeTls: () => Promise.reject(error) })
    expect(await running.ended).toMatchObject({ reason: 'tls-failed', error })
    expect(machine.calls).toEqual(['start', 'ended tls-failed'])
  })

  test('TL-09: a reset of the spent stream during the handshake is the handshake’s failure alone', async () => {
    const gate = Promise.withResolvers<Connection>()
    const { running, stream } = run(() => ({ start: () => starttls }), { upgradeTls: () => gate.promise })
    await settle()
    stream.destroy(new Error('read ECONNRESET'))
    await settle()
    gate.reject(new Error('socket hang up'))
    expect(await running.ended).toMatchObject({ reason: 'tls-failed', error: { message: 'socket hang up' } })
  })

  test('the client goes before the reply was sent', async () => {
    const upgradeTls = vi.fn<() => Promise<Connection>>()
    const { running, stream, client } = run(asksForTls, { upgradeTls })
    client.write('STARTTLS\r\n')
    stream.once('pause', () => stream.destroy())
    expect(await running.ended).toMatchObject({ reason: 'connection-lost' })
    await settle()
    expect(upgradeTls).not.toHaveBeenCalled()
  })

  test('TL-09: the client never reads the reply that invites it', async () => {
    const upgradeTls = vi.fn<() => Promise<Connection>>()
    // The kernel takes nothing, and little waits: the stream itself is not full.
    const stream = new Duplex({ allowHalfOpen: true, read: () => undefined, write: () => undefined })
    const { running } = run(asksForTls, { upgradeTls }, [stream, duplexPair()[1]])
    stream.push('STARTTLS\r\n')
    await settle()
    vi.advanceTimersByTime(limits.stalledReaderMs)
    await settle()
    expect(stream.destroyed).toBe(true)
    expect(await running.ended).toMatchObject({ reason: 'stalled' })
    expect(upgradeTls).not.toHaveBeenCalled()
  })

  test('the worker’s time is up during the handshake: nothing is said in the clear', async () => {
    const [secured] = duplexPair()
    const gate = Promise.withResolvers<Connection>()
    const { machine, running, received } = run(() => ({ start: () => starttls }), { upgradeTls: () => gate.promise })
    await settle()
    running.cut()
    expect(await running.ended).toMatchObject({ reason: 'stopping' })
    gate.resolve(connectionOver(secured))
    await settle()
    expect(secured.destroyed).toBe(true)
    expect(received).toEqual([])
    expect(machine.calls).toEqual(['start', 'ended stopping'])
  })

  test('the handshake fails after the worker’s time was up: the reason is the first one', async () => {
    const gate = Promise.withResolvers<Connection>()
    const { machine, running } = run(() => ({ start: () => starttls }), { upgradeTls: () => gate.promise })
    await settle()
    running.cut()
    gate.reject(new Error('socket hang up'))
    expect(await running.ended).toMatchObject({ reason: 'stopping' })
    expect(machine.calls).toEqual(['start', 'ended stopping'])
  })

  test('the secured stream is gone by the time it is handed over', async () => {
    const [secured] = duplexPair()
    secured.destroy()
    const { machine, running } = run(() => ({ start: () => starttls }), {
      upgradeTls: () => Promise.resolve(connectionOver(secured)),
    })
    expect(await running.ended).toMatchObject({ reason: 'connection-lost' })
    expect(machine.calls).toEqual(['start', 'secured cleartext', 'ended connection-lost'])
  })
})
