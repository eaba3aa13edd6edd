/*
 * The generator against servers of a few lines in this process. Nothing here depends on how fast this machine is: amounts
 * are exact, durations are short, and of times only that they are there.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { bench } from '../../src/load/bench.ts'
import type { LoadOptions } from '../../src/load/options.ts'
import type { LoadResult } from '../../src/load/result.ts'
import { smtpLines, tinyServer, type TinyServer } from '../kit/tiny-server.ts'

const running: TinyServer[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()))
})

async function started(server: Promise<TinyServer>): Promise<TinyServer> {
  running.push(await server)
  return running.at(-1)!
}

function load(server: TinyServer, options: Omit<LoadOptions, 'url'>, scheme = 'smtp'): Promise<LoadResult> {
  return bench({ url: `${scheme}://127.0.0.1:${server.port}`, connections: 2, timeout: 30, ...options })
}

/** Each connection a dialogue of its own. */
const smtp = (refuse?: (line: string) => string | undefined): Promise<TinyServer> => {
  const dialogues = new WeakMap<object, (line: string) => string | undefined>()
  return tinyServer('220 mx.example\r\n', (line, socket) => {
    if (!dialogues.has(socket)) dialogues.set(socket, smtpLines(refuse))
    return dialogues.get(socket)!(line)
  })
}

test('an amount of connections is exactly that many, each greeted once', async () => {
  const server = await started(smtp())
  const result = await load(server, { amount: 25 })
  expect(result.requests.total).toBe(25)
  expect(result.errors).toBe(0)
  expect(server.connections()).toBe(25)
  expect(result.statusCodeStats).toEqual({ 220: { count: 25 } })
  expect(result.latency.totalCount).toBe(25)
  expect(result.latency['p50']).toBeGreaterThan(0)
  expect(result.latency['p50']).toBeLessThanOrEqual(result.latency['p99']!)
})

test('messages on kept connections: a connection for each lane, and every reply counted by its code', async () => {
  const server = await started(smtp())
  const result = await load(server, { mode: 'message', amount: 30, recipients: 2, size: 500 })
  // What is sent counts, too: nearly all of it is.
  expect(result.throughput.total).toBeGreaterThan(30 * 500)
  expect(result.requests.total).toBe(30)
  expect(server.connections()).toBe(2)
  // A greeting and EHLO for each connection come before the measuring.
  expect(result.statusCodeStats).toEqual({ 250: { count: 30 * 4 }, 354: { count: 30 } })
})

test('two threads share the work, and their counts are one', async () => {
  const server = await started(smtp())
  const result = await load(server, { mode: 'message', amount: 31, workers: 2, connections: 3, pipelining: 2 })
  expect(result.requests.total).toBe(31)
  expect(result.latency.totalCount).toBe(31)
  expect(server.connections()).toBe(3)
  expect(result.generator.utilization).toHaveLength(2)
})

test('a connection for each message takes its leave', async () => {
  const server = await started(smtp())
  const result = await load(server, { mode: 'message', reconnect: true, amount: 9 })
  expect(result.requests.total).toBe(9)
  expect(server.connections()).toBe(9)
  expect(result.statusCodeStats['354']).toEqual({ count: 9 })
})

test('a refused message is an error and never a success', async () => {
  let count = 0
  const server = await started(
    smtp((line) => (line.startsWith('RCPT') && ++count % 3 === 0 ? '550 no\r\n' : undefined)),
  )
  const result = await load(server, { mode: 'message', amount: 12 })
  expect(result.refused).toBe(4)
  expect(result.errors).toBe(4)
  expect(result.requests.total).toBe(8)
  expect(result.latency.totalCount).toBe(8)
  expect(result.examples[0]).toBe('550 where 2 was awaited')
  expect(result.warnings.join(' ')).toContain('4 of 12 failed')
})

test('several refusals in one piece are one failure', async () => {
  const server = await started(
    tinyServer('220 hi\r\n', (line) => (line.startsWith('MAIL') ? '500 a\r\n500 b\r\n' : '250 OK\r\n')),
  )
  const result = await load(server, { mode: 'message', amount: 5 })
  expect([result.requests.total, result.refused, result.errors]).toEqual([0, 5, 5])
})

test('what a server says behind its greeting is nobody’s business', async () => {
  const server = await started(tinyServer('220 hi\r\n421 busy\r\n', () => undefined))
  const result = await load(server, { amount: 4 })
  expect([result.requests.total, result.errors]).toEqual([4, 0])
})

test('a message that was acknowledged is done, however its connection ends', async () => {
  const dialogues = new WeakMap<object, (line: string) => string | undefined>()
  const server = await started(
    tinyServer('220 hi\r\n', (line, socket) => {
      if (!dialogues.has(socket)) dialogues.set(socket, smtpLines())
      if (line === 'QUIT') socket.resetAndDestroy()
      return dialogues.get(socket)!(line)
    }),
  )
  const result = await load(server, { mode: 'message', reconnect: true, amount: 4 })
  expect([result.requests.total, result.errors]).toEqual([4, 0])
})

test('a server that says something else is refused, whatever it is', async () => {
  const server = await started(tinyServer('HTTP/1.1 400 Bad Request\r\n', () => undefined))
  const result = await load(server, { amount: 4 })
  expect([result.requests.total, result.refused]).toEqual([0, 4])
})

test('a server that closes without a word is a reset', async () => {
  const server = await started(tinyServer('', () => undefined))
  const result = await load(server, { mode: 'session', script: 'S: 220\n', amount: 2, timeout: 0.2 })
  expect([result.requests.total, result.timeouts]).toEqual([0, 2])
  const closing = await started(smtp(() => undefined))
  await closing.close()
  const refused = await load(closing, { amount: 3 })
  expect([refused.requests.total, refused.errors, refused.failedConnections]).toEqual([0, 3, 3])
  running.pop()
})

test('a server that ends in the middle of a message is a reset, and the lane goes on with another connection', async () => {
  let count = 0
  const server = await started(
    tinyServer('220 hi\r\n', (line) =>
      line === 'DATA' && ++count === 1
        ? undefined
        : line === 'DATA'
          ? '354 go\r\n'
          : line === '.' || /^[A-Z]{4} /.test(line)
            ? '250 OK\r\n'
            : '',
    ),
  )
  const result = await load(server, { mode: 'message', connections: 1, amount: 3, size: 60 })
  expect([result.resets, result.requests.total, server.connections()]).toEqual([1, 2, 2])
})

test('a script is played to its end', async () => {
  const server = await started(smtp())
  const script = 'S: 220\nC: EHLO x\nS: 250\nC: NOOP\nC: NOOP\nS: 250\nS: 250\nC: QUIT\nS: 221\n'
  const result = await load(server, { mode: 'session', script, amount: 5 })
  expect(result.statusCodeStats).toEqual({ 220: { count: 5 }, 221: { count: 5 }, 250: { count: 15 } })
  expect(result.requests.total).toBe(5)
})

test('connections that are held are open at the end, and their opening is what was timed', async () => {
  const server = await started(smtp())
  const result = await load(server, { mode: 'idle', connections: 70, duration: 0.1 })
  expect([result.open, server.connections(), result.latency.totalCount]).toEqual([70, 70, 70])
})

const imap = (): Promise<TinyServer> =>
  tinyServer('* OK hi\r\n', (line) => {
    if (line.includes('LOGOUT')) return '* BYE\r\na OK bye\r\n'
    if (line.includes('BODY.PEEK')) return '* 1 FETCH (BODY[] {10}\r\na NO tricky)\r\na OK\r\n'
    if (line.includes('IDLE')) return '+ idling\r\n'
    return line.startsWith('a ') || line === 'DONE' ? '* 1 EXISTS\r\na OK\r\n' : ''
  })

test('IMAP: logins, each a connection; and commands in a mailbox', async () => {
  const server = await started(imap())
  const url = `imap://ann:secret@127.0.0.1:${server.port}`
  const logins = await bench({ url, mode: 'login', connections: 2, amount: 6 })
  expect([logins.requests.total, logins.errors, server.connections()]).toEqual([6, 0, 6])
  expect(logins.url).toBe(`imap://127.0.0.1:${server.port}`)
  const commands = await bench({ url, mode: 'imap', mix: ['fetch-body', 'idle', 'noop'], connections: 1, amount: 9 })
  expect([commands.requests.total, commands.errors]).toEqual([9, 0])
  expect(commands.statusCodeStats).toEqual({ OK: { count: 9 }, '+': { count: 3 } })
})

test('each connection sends its PROXY header before everything else', async () => {
  const seen: string[] = []
  const server = createServer((socket) => {
    socket.once('data', (bytes: Buffer) => {
      seen.push(bytes.toString('latin1'))
      socket.end('220 hi\r\n')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `smtp://127.0.0.1:${port}`
  await bench({ url, connections: 1, amount: 2, proxy: 'v1', clients: '192.0.2.0/29' })
  await once(server.close(), 'close')
  expect(seen).toEqual([1, 2].map((last) => `PROXY TCP4 192.0.2.${last} 198.51.100.5 1024 ${port}\r\n`))
})

test('an overall rate: a server that stalls is told with the whole wait of those behind it', async () => {
  // Every reply waits for the first to be over: with a closed loop a single latency would tell of it.
  let isFirst = true
  const server = await started(
    tinyServer('220 hi\r\n', (line, socket) => {
      if (line !== 'NOOP' || !isFirst) return line === 'QUIT' ? '221 bye\r\n' : '250 OK\r\n'
      isFirst = false
      setTimeout(() => socket.write('250 OK\r\n'), 400)
      return ''
    }),
  )
  const script = 'S: 220\nC: NOOP\nS: 250\nC: QUIT\nS: 221\n'
  const result = await load(server, { mode: 'session', script, connections: 1, amount: 40, overallRate: 100 })
  expect(result.requests.total).toBe(40)
  // Forty were due within the stall: half of them waited for more than 100 ms, though each took less by itself.
  expect(result.latency['p50']).toBeGreaterThan(100)
})

test('rounds: each is told, and their spread', async () => {
  const server = await started(smtp())
  const result = await load(server, { amount: 5, rounds: 3 })
  expect(result.rounds?.map(({ operations }) => operations)).toEqual([5, 5, 5])
  expect(result.requests.total).toBe(15)
  expect(result.spread?.perSecond.min).toBeLessThanOrEqual(result.spread!.perSecond.median)
})

test('progress is told, and a load can be ended before its time', async () => {
  const server = await started(smtp())
  const interrupt = new AbortController()
  const result = await bench(
    { url: `smtp://127.0.0.1:${server.port}`, connections: 1, duration: 60 },
    {
      signal: interrupt.signal,
      onProgress: ({ operations, unit }) => {
        expect(unit).toBe('connections')
        if (operations > 0) interrupt.abort()
      },
    },
  )
  expect(result.requests.total).toBeGreaterThan(0)
  expect(result.duration).toBeLessThan(50)
})
