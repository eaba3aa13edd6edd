import { randomBytes } from 'node:crypto'
import { duplexPair, type Duplex } from 'node:stream'
import { constants, createInflateRaw, deflateRawSync } from 'node:zlib'
import { expect, test } from 'vitest'
import {
  endpoint,
  runSession,
  type Awaitable,
  type RunningSession,
  type SessionContext,
  type SessionMachine,
  type Wish,
} from '@postern/core'

const read: Wish = { next: 'read', patienceMs: 60_000 }
const compress: Wish = { next: 'compress', patienceMs: 60_000 }

interface Session {
  readonly running: RunningSession
  readonly stream: Duplex
  readonly client: Duplex
  readonly context: SessionContext
  /** What the machine was given, in pieces. */
  readonly heard: string[]
}

/** A session that compresses from its first answer on. */
function compressing(receive: (text: string, context: SessionContext) => Awaitable<Wish>): Session {
  const [stream, client] = duplexPair()
  const peer = endpoint('192.0.2.1', 40_000)
  const heard: string[] = []
  let context: SessionContext | undefined
  const running = runSession(
    {
      id: '0123456789abcdef',
      listener: { name: 'imap', protocol: 'imap', tls: 'off' },
      identity: { origin: 'direct', client: peer, peer, destination: peer, trust: { rule: 'absent' } },
      security: { kind: 'cleartext' },
      stream,
      signal: new AbortController().signal,
    },
    (given): SessionMachine => {
      context = given
      return {
        start: () => read,
        receive: (bytes) => {
          heard.push(bytes.toString('latin1'))
          if (heard.length > 1) return receive(bytes.toString('latin1'), given)
          given.output.write('ok\r\n')
          return compress
        },
        secured: () => read,
        woken: () => read,
        timedOut: () => ({ next: 'close', reason: 'timeout' }),
        stopping: () => ({ next: 'close', reason: 'stopping' }),
        failed: () => undefined,
        ended: () => undefined,
      }
    },
  )
  if (context === undefined) throw new Error('the machine is made at once')
  return { running, stream, client, context, heard }
}

const packed = (text: string | Buffer): Buffer => deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH })

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

test('after the answer both directions are compressed, each step is flushed, and octets count inside', async () => {
  const { running, client } = compressing((text, { output }) => {
    output.write(`you said `)
    output.write(Buffer.from(text))
    return text === 'bye' ? { next: 'close', reason: 'quit' } : read
  })
  let clear = ''
  let inflated = ''
  const inflate = createInflateRaw().on('data', (chunk: Buffer) => (inflated += chunk.toString()))
  client.on('data', (chunk: Buffer) => {
    if (clear === '') clear = chunk.toString()
    else inflate.write(chunk)
  })
  client.write('COMPRESS\r\n')
  await expect.poll(() => clear).toBe('ok\r\n')
  client.write(packed('hello'))
  await expect.poll(() => inflated).toBe('you said hello')
  client.write(packed('bye'))
  await expect.poll(() => inflated).toBe('you said helloyou said bye')
  client.end()
  expect(await running.ended).toMatchObject({ reason: 'quit', bytesIn: 18, bytesOut: 30 })
})

test('MS-21: a little that becomes a lot is given out piece by piece, and not ahead of the session', async () => {
  const gates: PromiseWithResolvers<Wish>[] = []
  const { running, client, heard } = compressing(() => {
    const gate = Promise.withResolvers<Wish>()
    gates.push(gate)
    return gate.promise
  })
  client.resume()
  client.write('COMPRESS\r\n')
  await settle()
  const bytes = 50_000_000
  client.write(packed(Buffer.alloc(bytes)))
  const before = process.memoryUsage().arrayBuffers
  await expect.poll(() => gates.length, { interval: 1 }).toBe(1)
  for (let step = 0; step < 100; step += 1) {
    gates.at(-1)?.resolve(read)
    await expect.poll(() => gates.length, { interval: 1 }).toBeGreaterThan(step + 1)
    expect(heard.at(-1)?.length).toBeLessThanOrEqual(65_536)
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(bytes / 4)
  running.cut()
  gates.at(-1)?.resolve(read)
  client.end()
  await running.ended
})

test('a client that reads nothing is waited for', async () => {
  const { context, client, running } = compressing(() => read)
  client.write('COMPRESS\r\n')
  await settle()
  expect(context.output.isFull).toBe(false)
  // What cannot be made smaller.
  const noise = randomBytes(100_000)
  for (let step = 0; step < 40; step += 1) context.output.write(noise)
  const drained = context.output.drained()
  await settle()
  expect(context.output.isFull).toBe(true)
  client.resume()
  await drained
  expect(context.output.isFull).toBe(false)
  running.cut()
  client.end()
  await running.ended
})

test('octets that are not compressed end the connection', async () => {
  const { client, running, heard } = compressing(() => read)
  client.resume()
  client.write('COMPRESS\r\n')
  await settle()
  client.write('a NOOP\r\n'.repeat(10))
  expect(await running.ended).toMatchObject({ reason: 'connection-lost' })
  expect(heard).toEqual(['COMPRESS\r\n'])
})

test('a client that leaves in the middle of a block has been heard', async () => {
  const { client, running, heard } = compressing(() => read)
  client.resume()
  client.write('COMPRESS\r\n')
  await settle()
  client.end(packed('last words'))
  expect(await running.ended).toMatchObject({ reason: 'client-closed' })
  expect(heard).toEqual(['COMPRESS\r\n', 'last words'])
})

test('a stream that breaks below ends the session', async () => {
  const { client, stream, running } = compressing(() => read)
  client.resume()
  client.write('COMPRESS\r\n')
  await settle()
  stream.destroy(new Error('reset'))
  expect(await running.ended).toMatchObject({ reason: 'connection-lost' })
})

test('what came behind the request is taken for compressed', async () => {
  const { client, running, heard } = compressing(() => ({ next: 'close', reason: 'quit' }))
  client.resume()
  client.write('COMPRESS\r\n')
  client.write(packed('at once'))
  client.end()
  expect(await running.ended).toMatchObject({ reason: 'quit' })
  expect(heard).toEqual(['COMPRESS\r\n', 'at once'])
})
