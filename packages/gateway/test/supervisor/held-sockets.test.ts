import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { holdSockets, type HeldListener } from '../../src/supervisor/held-sockets.ts'

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
    expect(new Set([0, 1, 2].map((slot) => held.fdOf(slot))).size).toBe(3)
    held.release()
    held.release()
  })

  test('a port that somebody serves is an error, with its address, and nothing stays bound', async () => {
    const held = hold('127.0.0.1', 1)
    const child = await serving(held.fdOf(0), 'first')
    const free = hold('127.0.0.1', 1)
    free.release()
    const both = [at('127.0.0.1', free.port), at('127.0.0.1', held.port)]
    expect(() => holdSockets(both, 2)).toThrow(`EADDRINUSE 127.0.0.1:${held.port}`)
    for (const again of holdSockets([at('127.0.0.1', free.port)], 1)) again.release()
    held.release()
    child.kill('SIGKILL')
    await once(child, 'exit')
  })

  test('both families of one port can be bound beside each other', () => {
    const v4 = hold('0.0.0.0', 1)
    v4.release()
    const held = holdSockets([at('0.0.0.0', v4.port), at('::', v4.port)], 2)
    expect(held.map(({ host, port }) => [host, port])).toEqual([
      ['0.0.0.0', v4.port],
      ['::', v4.port],
    ])
    for (const one of held) one.release()
  })

  test('X5: a connection that waits while nobody serves the socket is served by whoever comes next', async () => {
    const held = hold('127.0.0.1', 1)
    const { port } = held
    const first = await serving(held.fdOf(0), 'first')
    expect(await greeting(port)).toBe('first')
    first.kill('SIGKILL')
    await once(first, 'exit')
    const waiting = greeting(port)
    const second = await serving(held.fdOf(0), 'second')
    expect(await waiting).toBe('second')
    second.kill('SIGKILL')
    await once(second, 'exit')
    held.release()
  })
})
