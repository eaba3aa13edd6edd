// The fleet's count over real connections, to a server that answers what no server should.
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { openFleet, type Fleet } from '../../src/policy/fleet.ts'
import { userKey } from '../../src/policy/client-key.ts'

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

interface FakeServer {
  readonly url: string
  /** Each command, with its arguments. */
  readonly heard: string[][]
  /** What it answers to everything but the questions of a connection that begins. */
  answer: string
}

/** RESP 2 as clients speak it: arrays of strings with their lengths. */
async function startServer(answer: string): Promise<FakeServer> {
  const heard: string[][] = []
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      for (;;) {
        const command = commandIn(bytes)
        if (command === undefined) return
        bytes = bytes.subarray(command.length)
        heard.push(command.words)
        const opens = /^(?:info|client|hello)$/i.test(command.words[0] ?? '')
        socket.write(opens ? '+OK\r\n' : fake.answer)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const fake: FakeServer = { url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`, heard, answer }
  return fake
}

function commandIn(bytes: Buffer): { readonly words: string[]; readonly length: number } | undefined {
  const head = /^\*(\d+)\r\n/.exec(bytes.toString('latin1', 0, 16))
  if (head === null) return undefined
  const words: string[] = []
  let at = head[0].length
  while (words.length < Number(head[1])) {
    const size = /^\$(\d+)\r\n/.exec(bytes.toString('latin1', at, at + 16))
    if (size === null) return undefined
    const start = at + size[0].length
    at = start + Number(size[1]) + 2
    if (at > bytes.length) return undefined
    words.push(bytes.toString('utf8', start, at - 2))
  }
  return { words, length: at }
}

async function open(server: FakeServer, onAway: (trouble: string | undefined) => void = () => {}): Promise<Fleet> {
  const fleet = await openFleet({ url: server.url, prefix: 'postern:', timeoutMs: 30_000, onAway })
  closing.push(() => fleet.close())
  return fleet
}

const rate = { count: 100, perMs: 60_000 }
/** Counted once, for another minute. */
const counted = '*2\r\n:1\r\n:60000\r\n'

const errors = [
  '-LOADING Redis is loading the dataset in memory',
  '-MISCONF Redis is configured to save RDB snapshots',
  '-OOM command not allowed when used memory > maxmemory',
  '-READONLY You can’t write against a read only replica',
  '-MOVED 3999 127.0.0.1:6381',
  '-NOAUTH Authentication required',
  '-WRONGTYPE Operation against a key holding the wrong kind of value',
  '-BUSY Redis is busy running a script',
  '-CLUSTERDOWN Hash slot not served',
  '-ERR \u001B[31m a colour',
  'no RESP at all',
]

test.each(errors)(
  'RD-02: %j is no answer: the machine counts alone, it is told once, and all is well when it is over',
  async (error) => {
    const server = await startServer(`${error}\r\n`)
    const told: (string | undefined)[] = []
    const fleet = await open(server, (trouble) => told.push(trouble))
    for (let n = 0; n < 20; n++) expect(await fleet.count('client-connections', rate, 'a')).toBe('unknown')
    expect(told).toEqual([expect.any(String)])
    server.answer = counted
    // It is asked again a second later, by one client.
    const later = vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 3_600_000)
    closing.push(() => later.mockRestore())
    await vi.waitFor(async () => {
      later.mockReturnValue(later() + 3_600_000)
      expect(await fleet.count('client-connections', rate, 'a')).toBe('pass')
    }, 30_000)
    expect(told).toEqual([expect.any(String), undefined])
  },
)

test.each([
  ['a number where the count should be', ':1\r\n'],
  ['nothing', '$-1\r\n'],
  ['an empty list', '*0\r\n'],
  ['texts', '*2\r\n$1\r\nx\r\n$1\r\ny\r\n'],
])('RD-02: %s never counts against anybody', async (_, answer) => {
  const server = await startServer(answer)
  const fleet = await open(server)
  for (let n = 0; n < 5; n++) expect(await fleet.count('client-connections', rate, 'a')).not.toBe('over')
})

const hostileNames = [
  'ann smith@example.org',
  'ann\r\nFLUSHALL\r\n',
  'ann\r\n*1\r\n$8\r\nFLUSHALL\r\n',
  '{slot}ann',
  '{}',
  'ann\u0000',
  '\u001B[31mann',
  '*',
  '__proto__',
  'a:b',
  'ä'.repeat(5_000),
]

test('RD-05: a name is one argument of one command, whatever is in it, and no two are one key', async () => {
  const server = await startServer(counted)
  const fleet = await open(server)
  for (const name of hostileNames) expect(await fleet.count('user-messages', rate, userKey(name))).toBe('pass')
  const commands = server.heard.filter(([verb = '']) => /^eval/i.test(verb))
  expect([...new Set(server.heard.map(([verb = '']) => verb.toLowerCase()))]).not.toContain('flushall')
  // EVALSHA script 1 key …
  const keys = commands.map((words) => words[3])
  expect(keys).toEqual(hostileNames.map((name) => `postern:user-messages:${userKey(name)}`))
  expect(new Set(keys).size).toBe(hostileNames.length)
  expect(Math.max(...keys.map((key = '') => key.length))).toBeLessThan(400)
})
