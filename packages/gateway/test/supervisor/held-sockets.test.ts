import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { holdSockets, releaseUnused, type HeldListener } from '../../src/supervisor/held-sockets.ts'

const at = (host: string, port: number, listener = 'mx') => ({ listener, bind: { host, port } })

/** One address on a port that the system chooses, for so many slots. */
function hold(host: string, slots: number): HeldListener {
  const [held] = holdSockets([at(host, 0)], slots)
  if (held === undefined) throw new Error('nothing was held')
  return held
}

/** A process that serves an inherited socket and greets with its own name. */
async function serving(fd: number, name: string) {
  const child = fork(new URL('../kit/greeter.mjs', import.meta.url), [name], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', fd],
  })
  await once(child, 'message')
  return child
}

async function greeting(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return chunk.toString()
}

describe('held sockets', () => {
  test('each slot has a socket of its own on the same port, also when the system chose it', () => {
    const held = hold('127.0.0.1', 3)
    expect(held.port).toBeGreaterThan(0)
    expect(new Set([0, 1, 2].map((slot) => held.fdsOf(slot)[0])).size).toBe(3)
    releaseUnused([held])
    releaseUnused([held])
  })

  test('a port that somebody serves is an error, with its address, and nothing stays bound', async () => {
    const held = hold('127.0.0.1', 1)
    const child = await serving(held.fdsOf(0)[0] ?? -1, 'first')
    const free = hold('127.0.0.1', 1)
    releaseUnused([free])
    const both = [at('127.0.0.1', free.port), at('127.0.0.1', held.port)]
    expect(() => holdSockets(both, 2)).toThrow(`EADDRINUSE 127.0.0.1:${held.port}`)
    releaseUnused(holdSockets([at('127.0.0.1', free.port)], 1))
    releaseUnused([held])
    child.kill('SIGKILL')
    await once(child, 'exit')
  })

  test('both families of one port can be bound beside each other', () => {
    const v4 = hold('0.0.0.0', 1)
    releaseUnused([v4])
    const held = holdSockets([at('0.0.0.0', v4.port), at('::', v4.port)], 2)
    expect(held.map(({ host, port }) => [host, port])).toEqual([
      ['0.0.0.0', v4.port],
      ['::', v4.port],
    ])
    releaseUnused(held)
  })

  test('X5: a connection that waits while nobody serves the socket is served by whoever comes next', async () => {
    const held = hold('127.0.0.1', 1)
    const { port } = held
    const first = await serving(held.fdsOf(0)[0] ?? -1, 'first')
    expect(await greeting(port)).toBe('first')
    first.kill('SIGKILL')
    await once(first, 'exit')
    const waiting = greeting(port)
    const second = await serving(held.fdsOf(0)[0] ?? -1, 'second')
    expect(await waiting).toBe('second')
    second.kill('SIGKILL')
    await once(second, 'exit')
    releaseUnused([held])
  })

  test('X5: a new configuration keeps the sockets of addresses that stay, and binds what is new', () => {
    const [kept, gone] = holdSockets([at('127.0.0.1', 0), at('127.0.0.1', 0, 'gone')], 2)
    const before = [kept!, gone!]
    const now = holdSockets([at('127.0.0.1', kept!.port, 'renamed'), at('127.0.0.1', 0, 'new')], 3, before)
    const [renamed, added] = now
    expect(renamed).toMatchObject({ listener: 'renamed', port: kept!.port })
    expect(renamed!.sockets.slice(0, 2)).toEqual(kept!.sockets)
    expect(renamed!.sockets).toHaveLength(3)
    expect(added!.sockets.some((socket) => before.flatMap(({ sockets }) => sockets).includes(socket))).toBe(false)
    releaseUnused(before, now)
    // What was let go is free for anybody.
    releaseUnused(holdSockets([at('127.0.0.1', gone!.port)], 1))
    releaseUnused(now)
  })

  test('X5: when the slots become fewer, those that are left serve the sockets of the others', () => {
    const before = holdSockets([at('127.0.0.1', 0)], 3)
    const [held] = holdSockets([at('127.0.0.1', before[0]!.port)], 2, before)
    const fds = before[0]!.sockets.map((socket) => socket.fd())
    expect([0, 1].map((slot) => held!.fdsOf(slot))).toEqual([[fds[0], fds[2]], [fds[1]]])
    releaseUnused(before)
  })

  test('an address that cannot be had leaves what was held, and nothing else', async () => {
    const taken = hold('127.0.0.1', 1)
    const child = await serving(taken.fdsOf(0)[0] ?? -1, 'other')
    const before = [hold('127.0.0.1', 1)]
    const wanted = [at('127.0.0.1', before[0]!.port), at('127.0.0.1', taken.port, 'new')]
    expect(() => holdSockets(wanted, 2, before)).toThrow('EADDRINUSE')
    expect(before[0]!.sockets.map((socket) => socket.fd() >= 0)).toEqual([true])
    releaseUnused([taken, ...before])
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
})
