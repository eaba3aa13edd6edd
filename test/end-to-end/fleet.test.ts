// X8: two gateways that count together in Redis, and what becomes of their clients when it hangs or dies.
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tellFigure } from '../faults/figure.ts'
import { perTier } from '../faults/tier.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { heldTogether } from '../kit/held-together.ts'
import { eventually } from '../kit/patience.ts'
import { requirePeer } from '../kit/peers.ts'
import { freePort, freePorts } from '../kit/ports.ts'
import { ends, v2 } from '../kit/proxy-header.ts'
import { start } from '../kit/run.ts'

const timeoutMs = 1_000
const machines: { readonly gateway: Gateway; readonly mx: number; readonly imap: number }[] = []
let redis: ChildProcess
let redisPort: number

/** Connections that we have made to this Redis ourselves. */
let asked = 0

/** RESP knows commands on a line as well. @returns what came of it; nothing, while nobody answers. */
function say(command: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(redisPort, '127.0.0.1')
    socket.on('error', () => resolve(''))
    socket.on('close', () => resolve(''))
    socket.on('connect', () => {
      asked++
      socket.write(`${command}\r\n`)
    })
    socket.on('data', (bytes) => {
      socket.destroy()
      resolve(bytes.toString())
    })
  })
}

async function startRedis(): Promise<ChildProcess> {
  requirePeer('redis-server')
  const args = ['--port', `${redisPort}`, '--bind', '127.0.0.1', '--save', '', '--dir', temporaryFolder('redis')]
  asked = 0
  const child = start('redis-server', args)
  await eventually('Redis to answer', async () => ((await say('PING')).startsWith('+PONG') ? true : undefined))
  return child
}

beforeAll(async () => {
  redisPort = await freePort()
  redis = await startRedis()
  for (let n = 0; n < 2; n++) {
    const ports = await freePorts('admin', 'mx', 'imap')
    const tables = [
      '[proxy]\ntrusted-networks = ["127.0.0.1"]',
      listener('mx', { protocol: 'smtp', bind: ports.mx, mode: 'require' }),
      listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require' }),
      `[policy.rate]\nconnections-per-client = "6/10m"
[policy.fleet]\nurl = "redis://127.0.0.1:${redisPort}"\ntimeout = "${timeoutMs}ms"`,
    ]
    const gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
    machines.push({ gateway, mx: ports.mx, imap: ports.imap })
  }
})
afterAll(async () => {
  redis?.kill('SIGKILL')
  for (const { gateway } of machines) await gateway.stop()
})

/** The first line that this client hears, and how long it waited for it. */
async function visit(source: string, port: number): Promise<{ readonly line: string; readonly ms: number }> {
  const connection = await Dialogue.connect(port)
  const began = performance.now()
  connection.send(v2(source.includes(':') ? { ...ends, source, destination: '2001:db8::1' } : { ...ends, source }))
  const line = await connection.line()
  connection.destroy()
  return { line, ms: performance.now() - began }
}

test('X8: one limit for SMTP and IMAP, over both machines, by /64', async () => {
  const heard: string[] = []
  for (let n = 0; n < 8; n++) {
    const machine = machines[n % 2]!
    const port = n % 4 < 2 ? machine.mx : machine.imap
    heard.push((await visit(`2001:db8:5:5::${n + 1}`, port)).line.slice(0, 5))
  }
  expect(heard).toEqual(['220 m', '220 m', '* OK ', '* OK ', '220 m', '220 m', '* BYE', '* BYE'])
  expect((await visit('2001:db8:5:6::1', machines[0]!.mx)).line).toMatch(/^220 /)
})

/** Somebody who was never here. */
function stranger(): string {
  return `10.${[...randomBytes(3)].map((octet) => Math.max(1, octet)).join('.')}`
}

test('RD-03: what was counted is flushed away: nobody is refused for it, and each machine has still counted by itself', async () => {
  const expected = ['220', '220', '220', '220', '220', '220', '421']
  const found = await heldTogether(machines[0]!.gateway, expected, async () => {
    const client = stranger()
    const heard: string[] = []
    const comesAgain = async (times: number): Promise<void> => {
      for (let n = 0; n < times; n++) heard.push((await visit(client, machines[0]!.mx)).line.slice(0, 3))
    }
    await comesAgain(3)
    expect(await say('FLUSHALL')).toMatch(/^\+OK/)
    await comesAgain(4)
    return heard
  })
  expect(found).toEqual(expected)
})

test('RD-04: no count stays in Redis for longer than it counts', async () => {
  for (let n = 0; n < 5; n++) await visit(stranger(), machines[n % 2]!.mx)
  const keys = (await say('KEYS *')).split('\r\n').filter((line) => /^[^*$]/.test(line))
  expect(keys.length).toBeGreaterThanOrEqual(5)
  const lives = await Promise.all(keys.map(async (key) => Number((await say(`TTL ${key}`)).slice(1))))
  expect(lives.filter((seconds) => seconds <= 0 || seconds > 600)).toEqual([])
})

test('RD-01, X8: Redis hangs: clients wait no longer than its timeout, each machine keeps its own limit, and it is told of', async () => {
  redis.kill('SIGSTOP')
  try {
    const waits: number[] = []
    const expected = [...Array.from({ length: 6 }, () => '220'), '421', '421']
    const found = await heldTogether(machines[0]!.gateway, expected, async (round) => {
      const heard: string[] = []
      for (let n = 0; n < 8; n++) {
        const { line, ms } = await visit(`203.0.113.${50 + round}`, machines[0]!.mx)
        heard.push(line.slice(0, 3))
        waits.push(ms)
      }
      return heard
    })
    expect(found).toEqual(expected)
    const away = await machines[0]!.gateway.waitForLog('the server', ({ event }) => event === 'fleet.away')
    expect(away).toMatchObject({ level: 'warn' })
    // The timeout, once or so for each worker until it is known to be away, and what a loaded machine adds.
    const slowest = Math.max(...waits)
    expect(slowest).toBeLessThan(timeoutMs + 15_000)
  } finally {
    redis.kill('SIGCONT')
  }
})

test('RD-01, X8: Redis dies and comes back: nobody is refused for it, and the fleet counts again', async () => {
  redis.kill('SIGKILL')
  await once(redis, 'close')
  for (let n = 0; n < 3; n++) expect((await visit(`203.0.113.${60 + n}`, machines[1]!.mx)).line).toMatch(/^220 /)
  redis = await startRedis()
  // Both workers of both machines: as long as one goes by its own count a seventh visit may be greeted.
  await eventually('the fleet to count together again', async () => {
    const client = `10.9.${Math.floor(Math.random() * 250)}.${Math.floor(Math.random() * 250)}`
    const heard: string[] = []
    for (let n = 0; n < 7; n++) heard.push((await visit(client, machines[n % 2]!.mx)).line.slice(0, 3))
    return heard.join(' ') === '220 220 220 220 220 220 421' ? true : undefined
  })
})

const kills = perTier({ change: 2, nightly: 20, release: 20 })

test('RD-01, RD-06: Redis is killed again and again under load', { timeout: 60_000 + kills * 20_000 }, async () => {
  const waits: number[] = []
  const refused: string[] = []
  const over = new AbortController()
  const comeAgain = async (index: number): Promise<void> => {
    while (!over.signal.aborted) {
      const { line, ms } = await visit(stranger(), machines[index % 2]!.mx)
      waits.push(ms)
      if (!line.startsWith('220 ')) refused.push(line)
    }
  }
  const moreVisits = async (): Promise<void> => {
    const goal = waits.length + 20
    await eventually('more visits', () => (waits.length >= goal ? true : undefined), 60_000)
  }
  const visitors = Array.from({ length: 4 }, (_, index) => comeAgain(index))
  const connections: number[] = []
  for (let round = 0; round < kills; round++) {
    redis.kill('SIGKILL')
    await once(redis, 'close')
    await moreVisits()
    redis = await startRedis()
    await moreVisits()
    await eventually('every worker to come back', async () =>
      Number(/^connected_clients:(\d+)/m.exec(await say('INFO clients'))?.[1]) > 4 ? true : undefined,
    )
    connections.push(await connectionsOfOthers())
  }
  over.abort()
  await Promise.all(visitors)
  const slowest = Math.max(...waits)
  tellFigure(
    `${kills} times: ${waits.length} clients, ${refused.length} refused, the slowest greeted in ${slowest.toFixed(0)} ms ` +
      `(timeout ${timeoutMs} ms); at most ${Math.max(...connections)} connections to Redis when it was back, of 4 workers`,
  )
  expect(refused).toEqual([])
  expect(slowest).toBeLessThan(timeoutMs + 15_000)
  // One for each worker, and one more where the first came too early.
  expect(Math.max(...connections)).toBeLessThanOrEqual(8)
})

async function connectionsOfOthers(): Promise<number> {
  const total = Number(/^total_connections_received:(\d+)/m.exec(await say('INFO stats'))?.[1])
  return total - asked
}
