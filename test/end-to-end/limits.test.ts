// Lists, rates and ceilings: on the client that the header names, never on the balancer. The tests play the balancer.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { heldTogether } from '../kit/held-together.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, v1, v2, v2Local } from '../kit/proxy-header.ts'

const ports = await freePorts('admin', 'smtp', 'imap', 'direct')
let gateway: Gateway
const processes = 3
/** `FLOOD_CLIENTS=100000 vitest run --project end-to-end limits.test` is the long form, and prints its figures. */
const isLongFlood = process.env['FLOOD_CLIENTS'] !== undefined
const floodClients = Number(process.env['FLOOD_CLIENTS'] ?? 10_000)
/** Behind these each process has what any traffic takes: compiled code, and Node's room for short-lived objects. */
const warmUpClients = 3_000
/** Each takes well under a millisecond; on a busy machine some. */
const flooding = 60_000 + 10 * floodClients

beforeAll(async () => {
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1", "127.0.0.67"]',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require' }),
    listener('direct', { protocol: 'smtp', bind: ports.direct, mode: 'off' }),
    `[policy]
deny = ["203.0.113.0/24", "2001:db8:bad::/48", "127.0.0.66/31"]
ignored-hosts = ["10.0.0.0/24"]
[policy.deny-reply]
code = 550
text = "5.7.1 Listed by us; see https://example.org/listed"
[policy.rate]
connections-per-client = "10/1m"
[policy.concurrency]
connections-per-client = 3`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
})

function headerFor(source: string): Buffer {
  return source.includes(':') ? v2({ ...ends, source, destination: '2001:db8::1' }) : v1({ ...ends, source })
}

/** Connects for this client, through the balancer; the connection stays open. */
async function connectFor(client: string, port = ports.smtp): Promise<Dialogue> {
  const connection = await Dialogue.connect(port)
  connection.send(headerFor(client))
  return connection
}

/** One connection for this client, from greeting to the end; tells how it was greeted. */
async function visit(client: string): Promise<number> {
  const connection = await connectFor(client)
  const { code } = await connection.reply()
  if (code === 220) await connection.ask('QUIT')
  await connection.end()
  return code
}

const refusalOf = (client: string | RegExp, reason: string) =>
  gateway.waitForLog(`that ${String(client)} was refused for ${reason}`, (record) => {
    const who = String(record['client'])
    const isWho = typeof client === 'string' ? who === client : client.test(who)
    return record.event === 'policy.refused' && isWho && record['reason'] === reason
  })

describe('deny', () => {
  test.each([
    ['an IPv4 client', '203.0.113.7'],
    ['an IPv6 client', '2001:db8:bad::7'],
  ])('S16, H5, J13: %s of a denied network gets the configured reply instead of a greeting', async (_, client) => {
    const connection = await connectFor(client)
    expect(await connection.end()).toMatch(/^550 .*Listed by us; see https:\/\/example\.org\/listed\r\n$/)
    expect(await refusalOf(client, 'listed')).toMatchObject({ proxy: '127.0.0.1', listener: 'mx' })
  })

  test('S16, J13: on IMAP it is BYE', async () => {
    const connection = await connectFor('203.0.113.8', ports.imap)
    expect(await connection.end()).toMatch(/^\* BYE [^\r\n]*\r\n$/)
    expect(await refusalOf('203.0.113.8', 'listed')).toMatchObject({ listener: 'imap' })
  })

  test('H5: a direct client is its own client', async () => {
    const connection = await Dialogue.connect(ports.direct, { from: '127.0.0.66' })
    expect(await connection.end()).toMatch(/^550 /)
  })

  test('W8, H5: a balancer that keeps client addresses: the end it connects from is the client it names', async () => {
    // As AWS NLB does with client IP preservation, so that this is the form of every header.
    const connection = await Dialogue.connect(ports.smtp, { from: '127.0.0.67' })
    const { localPort } = connection
    connection.send(
      v2({ source: '127.0.0.67', sourcePort: localPort, destination: '198.51.100.5', destinationPort: 25 }),
    )
    expect(await connection.end()).toMatch(/^550 /)
    expect(await refusalOf('127.0.0.67', 'listed')).toMatchObject({ clientPort: localPort })
  })

  test('W8, H5: the balancer is not refused for its clients', async () => {
    expect(await visit('192.0.2.1')).toBe(220)
  })
})

describe('rate', () => {
  test('S17, J13: the eleventh connection of a minute gets 421, on whichever worker; other clients are greeted', async () => {
    const comesOften = async (client: string): Promise<readonly number[]> => {
      const codes: number[] = []
      for (let count = 0; count < 12; count += 1) codes.push(await visit(client))
      return codes
    }
    const expected = [...Array.from({ length: 10 }, () => 220), 421, 421]
    expect(await heldTogether(gateway, expected, (round) => comesOften(`192.0.2.${100 + round}`))).toEqual(expected)
    expect(await visit('192.0.2.11')).toBe(220)
    const refused = await refusalOf(/^192\.0\.2\.10\d$/, 'rate')
    expect(refused.msg).toContain('policy.rate.connections-per-client')
  })

  test('S17: an IPv6 client is its /64', async () => {
    const expected = [...Array.from({ length: 10 }, () => 220), 421]
    const found = await heldTogether(gateway, expected, async (round) => {
      const codes: number[] = []
      for (let host = 1; host <= 11; host += 1) codes.push(await visit(`2001:db8:1:1${round}::${host.toString(16)}`))
      return codes
    })
    expect(found).toEqual(expected)
    expect(await visit('2001:db8:1:2::1')).toBe(220)
  })

  test(
    'S17: a flood from distinct clients leaves memory bounded, and others are served',
    async () => {
      let before = 0
      const latencies: number[] = []
      const inBatch = 100
      for (let batch = 0; batch < floodClients / inBatch; batch += 1) {
        if (batch * inBatch === warmUpClients) before = await memoryOf(gateway)
        await Promise.all(
          Array.from({ length: inBatch }, async (_, index) => {
            const client = batch * inBatch + index
            const connection = await connectFor(`100.${64 + (client >> 16)}.${(client >> 8) & 255}.${client & 255}`)
            expect((await connection.reply()).code).toBe(220)
            connection.reset()
          }),
        )
        if (batch % 10 !== 0) continue
        // Somebody else, who comes rarely.
        const began = performance.now()
        expect(await visit(`198.18.${batch >> 8}.${batch & 255}`)).toBe(220)
        latencies.push(performance.now() - began)
      }
      const grown = (await memoryOf(gateway)) - before
      if (isLongFlood) {
        const median = latencies.sort((a, b) => a - b)[latencies.length >> 1] ?? 0
        const figures = `${(grown / 1_048_576).toFixed(0)} MiB more in ${processes} processes; another client was served in ${median.toFixed(1)} ms`
        process.stdout.write(
          `flood: ${floodClients} distinct clients: ${figures} (median), ${latencies.at(-1)?.toFixed(1)} ms (worst)\n`,
        )
      }
      // At most 65,536 clients are kept, some 300 bytes each, in each process that counts; and Node's heap has its room.
      expect(grown).toBeLessThan((isLongFlood ? 400 : 150) * 1024 * 1024)
    },
    flooding,
  )
})

describe('concurrency', () => {
  test('J14, W8: a fourth connection at once gets 421; the balancer may have as many clients as come', async () => {
    const held: Dialogue[] = []
    const expected = [220, 220, 220, 421]
    const found = await heldTogether(gateway, expected, async (round) => {
      const codes: number[] = []
      for (let count = 0; count < 4; count += 1) {
        const connection = await connectFor(`192.0.2.${110 + round}`)
        codes.push((await connection.reply()).code)
        held.push(connection)
      }
      return codes
    })
    expect(found).toEqual(expected)
    expect((await refusalOf(/^192\.0\.2\.11\d$/, 'concurrency')).msg).toContain('policy.concurrency')

    for (let client = 30; client < 60; client += 1) {
      const connection = await connectFor(`192.0.2.${client}`)
      expect((await connection.reply()).code).toBe(220)
      held.push(connection)
    }
    for (const connection of held) connection.destroy()
  })

  test('J14: SMTP and IMAP connections of one client count together, and an ended one is given back', async () => {
    const held: Dialogue[] = []
    const expected = ['220', '* OK', '220', '* BY', '220']
    const found = await heldTogether(gateway, expected, async (round) => {
      const heard: string[] = []
      const comes = async (port: number): Promise<Dialogue> => {
        const connection = await connectFor(`192.0.2.${120 + round}`, port)
        heard.push((await connection.line()).slice(0, 4).trim())
        held.push(connection)
        return connection
      }
      await comes(ports.smtp)
      await comes(ports.imap)
      const third = await comes(ports.smtp)
      await comes(ports.imap)
      await third.ask('QUIT')
      await third.end()
      // Its end is told to the other workers, too, before it is in the log.
      await gateway.waitForLog('its end', (each) => each.event === 'connection.close' && third.isIn(each, 'mx'))
      await comes(ports.smtp)
      return heard
    })
    expect(found).toEqual(expected)
    for (const connection of held) connection.destroy()
  })
})

describe('ignored hosts', () => {
  test('S6, S7, S8, S9: after the header, by network: no policy and no log line, however often they come', async () => {
    for (let count = 0; count < 15; count += 1) expect(await visit('10.0.0.9')).toBe(220)
    const held: Dialogue[] = []
    for (let count = 0; count < 5; count += 1) {
      const connection = await connectFor('10.0.0.200')
      expect((await connection.reply()).code).toBe(220)
      held.push(connection)
    }
    for (const connection of held) connection.destroy()
    // A neighbour that is not in the network, as the control.
    expect(await visit('10.0.1.9')).toBe(220)
    await gateway.waitForLog('the neighbour', (record) => record['client'] === '10.0.1.9')
    await gateway.settleLog()
    expect(gateway.log.filter((record) => String(record['client']).startsWith('10.0.0.'))).toEqual([])
  })
})

test('W8: a balancer that checks our health is counted by nothing', async () => {
  for (let count = 0; count < 15; count += 1) {
    const connection = await Dialogue.connect(ports.smtp)
    connection.send(v2Local)
    expect((await connection.reply()).code).toBe(220)
    connection.reset()
  }
})

/** Resident bytes of all processes of the gateway. */
async function memoryOf({ pid, workers }: Gateway): Promise<number> {
  const sizes = await Promise.all(
    [pid, ...workers()].map(async (id) => {
      const status = await readFile(`/proc/${id}/status`, 'utf8')
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
    }),
  )
  return sizes.reduce((sum, bytes) => sum + bytes, 0)
}
