// The proxy that makes trouble makes the trouble that it is asked for.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { within } from '../kit/patience.ts'
import { startChaosProxy, type Troubles } from './chaos-proxy.ts'

const cleanUps: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

interface Ends {
  readonly client: Socket
  readonly server: Socket
  /** What the server received, chunk by chunk. */
  readonly atServer: string[]
  /** How each end learned of the end of the other: `end`, or the code of an error. */
  readonly clientEnd: Promise<string>
  readonly serverEnd: Promise<string>
}

async function connected(troubles: Troubles): Promise<Ends> {
  const listening = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const proxy = await startChaosProxy((listening.address() as AddressInfo).port, () => troubles)
  const accepted = once(listening, 'connection') as Promise<[Socket]>
  const client = connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true, noDelay: true })
  const [server] = await within(30_000, 'a connection', accepted)
  cleanUps.push(
    () => once(listening.close(), 'close'),
    () => proxy.stop(),
    () => void [client, server].map((socket) => socket.destroy()),
  )
  const atServer: string[] = []
  server.on('data', (chunk: Buffer) => atServer.push(chunk.toString()))
  client.resume()
  return { client, server, atServer, clientEnd: endOf(client), serverEnd: endOf(server) }
}

function endOf(socket: Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  socket.once('end', () => resolve('end'))
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  return within(30_000, 'the end of a connection', promise)
}

test('without trouble bytes and ends pass both ways', async () => {
  const { client, server, atServer, clientEnd, serverEnd } = await connected({})
  client.end('to the server')
  server.end('to the client')
  expect(await Promise.all([clientEnd, serverEnd])).toEqual(['end', 'end'])
  expect(atServer.join('')).toBe('to the server')
})

test('pieces are small, and later', async () => {
  const { client, atServer, serverEnd } = await connected({ toServer: { pieceBytes: 1, delayMs: 20 } })
  const begun = performance.now()
  client.end('abcdef')
  expect(await serverEnd).toBe('end')
  expect(atServer).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  expect(performance.now() - begun).toBeGreaterThan(100)
})

test.each([
  ['reset', 'ECONNRESET', 'ECONNRESET'],
  ['close', 'end', 'end'],
] as const)('%s behind so many bytes', async (happens, atClient, atTheServer) => {
  const { client, atServer, clientEnd, serverEnd } = await connected({ toServer: { after: { bytes: 3, happens } } })
  client.write('abc')
  expect(await Promise.all([clientEnd, serverEnd])).toEqual([atClient, atTheServer])
  // A reset may overtake what was sent before it.
  expect('abc'.startsWith(atServer.join(''))).toBe(true)
})

test('a half-close: the server may go on speaking', async () => {
  const { client, server, atServer, serverEnd } = await connected({
    toServer: { after: { bytes: 3, happens: 'half-close' } },
  })
  client.write('abcdef')
  expect(await serverEnd).toBe('end')
  expect(atServer.join('')).toBe('abc')
  const heard = once(client, 'data') as Promise<[Buffer]>
  server.write('still here')
  const [chunk] = await within(30_000, 'the other direction', heard)
  expect(chunk.toString()).toBe('still here')
})

test('a stall: the other direction goes on', async () => {
  const { client, server, atServer } = await connected({ toServer: { after: { bytes: 3, happens: 'stall' } } })
  client.write('abcdef')
  const arrived = once(client, 'data')
  server.write('heard')
  await within(30_000, 'the other direction', arrived)
  expect('abc'.startsWith(atServer.join(''))).toBe(true)
})

test('a peer that vanishes: the receiver is reset, and the sender hears nothing', async () => {
  const { client, atServer, serverEnd } = await connected({ toServer: { after: { bytes: 3, happens: 'vanish' } } })
  client.write('abc')
  expect(await serverEnd).toBe('ECONNRESET')
  client.write('def')
  expect(client.destroyed).toBe(false)
  expect('abc'.startsWith(atServer.join(''))).toBe(true)
})
