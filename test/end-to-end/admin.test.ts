// What an operator asks a running gateway, over HTTP and by the command line: one gateway for the whole file.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sessions, Status } from '../../packages/gateway/src/admin/status.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { postern, startGateway, type Gateway } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'

const token = 'the-token-of-this-test'
let gateway: Gateway
let ports: Record<'admin' | 'mx' | 'open', number>

beforeAll(async () => {
  ports = await freePorts('admin', 'mx', 'open')
  const folder = temporaryFolder('admin')
  writeFileSync(join(folder, 'admin.token'), `${token}\n`, { mode: 0o600 })
  const config = [
    listener('mx', { protocol: 'smtp', bind: ports.mx, mode: 'require', trusted: ['127.0.0.1'] }),
    listener('open', { protocol: 'smtp', bind: ports.open, mode: 'off' }),
    `[admin]\nbind = "127.0.0.1:${ports.admin}"\ntoken-file = "admin.token"`,
    '[limits]\ndrain-notice = "1m"\ndrain-timeout = "30s"',
  ].join('\n\n')
  gateway = await startGateway({ config, adminPort: ports.admin, folder })
})
afterAll(() => gateway?.stop())

const get = async (path: string): Promise<Response> => fetch(`http://127.0.0.1:${ports.admin}${path}`)
const status = async (): Promise<Status> => (await (await get('/status')).json()) as Status

/** The sum of a metric over all its series that have these labels. */
async function metric(name: string, ...labels: readonly string[]): Promise<number> {
  const text = await (await get('/metrics')).text()
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

async function come(port: number, from: string): Promise<void> {
  const client = await Dialogue.connect(port, { from })
  await client.reply()
  await client.ask('QUIT')
  await client.end()
}

describe('what an operator is told', () => {
  test('counts are summed over workers, and do not fall when one is killed', async () => {
    for (let index = 1; index <= 12; index++) await come(ports.open, `127.0.3.${index}`)
    const quits = (): Promise<number> => metric('postern_connections_total', 'listener="open"', 'outcome="quit"')
    await eventually('twelve connections in the metrics', async () => ((await quits()) === 12 ? true : undefined))
    const [worker = 0] = gateway.workers()
    process.kill(worker, 'SIGKILL')
    await gateway.waitForLog('that a worker died', ({ event }) => event === 'worker.crashed')
    expect(await quits()).toBe(12)
    await eventually('a successor', async () => ((await metric('postern_workers', 'ready')) === 2 ? true : undefined))
    for (let index = 1; index <= 4; index++) await come(ports.open, `127.0.3.${index}`)
    await eventually('four more', async () => ((await quits()) === 16 ? true : undefined))
    expect(await metric('postern_worker_deaths_total', 'how="crashed"')).toBe(1)
    expect(await metric('postern_event_loop_utilization')).toBeGreaterThan(0)
  })

  test('X1, W4: who is not trusted, with the mend, over HTTP and by the command', async () => {
    const stranger = await Dialogue.connect(ports.mx, { from: '127.0.0.9' })
    await stranger.end()
    const { identity, refusals } = await eventually('the stranger in the status', async () => {
      const state = await status()
      return state.identity.untrustedSenders.length > 0 ? state : undefined
    })
    const mend = expect.stringContaining('add 127.0.0.9 to trusted-networks')
    expect(identity.untrustedSenders).toMatchObject([{ listener: 'mx', peer: '127.0.0.9', count: 1, mend }])
    expect(refusals[0]).toMatchObject({ event: 'proxy.refused', reason: 'not-trusted', client: '127.0.0.9', mend })
    const told = await postern(['status', '-c', gateway.configFile])
    expect(told).toMatchObject({ code: 0, stdout: expect.stringContaining('add 127.0.0.9 to trusted-networks') })
    expect(told.stdout).toMatch(/mx: smtp on 127\.0\.0\.1:\d+; TLS off; PROXY header require/)
  })

  test('open sessions of all workers, with the client behind the balancer, can be searched', async () => {
    const clients = await Promise.all(
      [7, 8, 9, 10].map(async (last) => {
        const client = await Dialogue.connect(ports.mx)
        client.send(`PROXY TCP4 203.0.113.${last} 192.0.2.1 4567 25\r\n`)
        await client.reply()
        return client
      }),
    )
    // Until every worker answers in time, and those of the tests before are over.
    const found = await eventually('an answer of all workers about four clients', async () => {
      const sessions = (await (await get('/sessions?matching=203.0.113.9')).json()) as Sessions
      return sessions.missing === 0 && sessions.topClients.length === 4 ? sessions : undefined
    })
    expect(found).toMatchObject({ matches: 1, sessions: [{ client: '203.0.113.9', proxy: '127.0.0.1', via: 'v1' }] })
    for (const client of clients) await client.ask('QUIT')
  })
})

describe('what an operator does', () => {
  test('postern reload waits until the configuration is in force, and tells what is wrong with one that is not', async () => {
    gateway.rewriteConfig((text) => text.replace('[limits]', '[policy]\ndeny = ["127.0.4.0/24"]\n\n[limits]'))
    // New workers start one after the other, and a machine that is busy gives each of them half a minute.
    expect(await postern(['reload', '-c', gateway.configFile], { timeoutMs: 100_000 })).toMatchObject({ code: 0 })
    const denied = await Dialogue.connect(ports.open, { from: '127.0.4.1' })
    expect((await denied.reply()).code).toBe(554)
    gateway.rewriteConfig((text) => text.replace('127.0.4.0/24', '127.0.4.0/33'))
    const refused = await postern(['reload', '-c', gateway.configFile])
    expect(refused).toMatchObject({ code: 1, stdout: expect.stringMatching(/policy\.deny\[0\].*\nnothing changed/s) })
    gateway.rewriteConfig((text) => text.replace('127.0.4.0/33', '127.0.4.0/24'))
    expect(await metric('postern_reloads_total', 'outcome="done"')).toBe(1)
    expect(await metric('postern_reloads_total', 'outcome="refused"')).toBe(1)
  })

  test('nobody acts by a token that others can read', async () => {
    const file = join(gateway.folder, 'admin.token')
    chmodSync(file, 0o644)
    const refused = await postern(['reload', '-c', gateway.configFile])
    chmodSync(file, 0o600)
    expect(refused).toMatchObject({ code: 74, stderr: expect.stringContaining('its mode is 0644') })
  })

  test('X4, X5: postern drain: checks fail, clients are served, sessions finish, and a line tells what became of all', async () => {
    const working = await Dialogue.connect(ports.open, { from: '127.0.3.1' })
    await working.reply()
    await working.ask('EHLO client.example')
    await working.ask('MAIL FROM:<eve@example.net>')
    const drained = postern(['drain', '-c', gateway.configFile])
    await gateway.waitForLog('that it leaves', ({ event }) => event === 'gateway.leaving')
    const health = await get('/healthz')
    expect({ status: health.status, body: await health.json() }).toMatchObject({
      status: 503,
      body: { reasons: ['leaving'] },
    })
    const check = await Dialogue.connect(ports.mx)
    check.send(Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex'))
    expect((await check.reply()).code).toBe(421)
    await come(ports.open, '127.0.3.2')
    await eventually('all but one to be gone', async () => {
      const { matches, missing } = (await (await get('/sessions')).json()) as Sessions
      return (missing === 0 && matches === 1) || undefined
    })
    // The rest of the minute is nobody's wish any more.
    gateway.signal('SIGTERM')
    await gateway.waitForLog('that it stops', ({ event }) => event === 'gateway.stopping')
    // It was in a transaction: that ends first, and then it hears why it is to go.
    expect((await working.ask('RSET')).code).toBe(250)
    expect((await working.reply()).code).toBe(421)
    expect(await drained).toMatchObject({ code: 0, stdout: expect.stringMatching(/^leaving: /) })
    const end = await gateway.waitForLog('how it ended', ({ event }) => event === 'gateway.stopped')
    expect(end).toMatchObject({ finished: 1, cut: 0, inDoubt: 0 })
    await gateway.stop()
  })

  test('X5: a first SIGTERM behind the notice of a drain does not cut what is promised to finish', async () => {
    const more = await freePorts('admin', 'open')
    const folder = temporaryFolder('drained')
    writeFileSync(join(folder, 'admin.token'), `${token}\n`, { mode: 0o600 })
    const config = [
      listener('open', { protocol: 'smtp', bind: more.open, mode: 'off' }),
      `[admin]\nbind = "127.0.0.1:${more.admin}"\ntoken-file = "admin.token"`,
      '[limits]\ndrain-notice = "1s"\ndrain-timeout = "2m"',
    ].join('\n\n')
    const drained = await startGateway({ config, adminPort: more.admin, folder })
    const working = await Dialogue.connect(more.open)
    await working.reply()
    await working.ask('EHLO client.example')
    await working.ask('MAIL FROM:<eve@example.net>')
    const draining = postern(['drain', '-c', drained.configFile], { timeoutMs: 120_000 })
    await drained.waitForLog('that it stops', ({ event }) => event === 'gateway.stopping')
    // Longer than one signal may be told twice.
    await pause(600)
    drained.signal('SIGTERM')
    expect((await working.ask('RSET')).code).toBe(250)
    expect((await working.reply()).code).toBe(421)
    expect(await draining).toMatchObject({ code: 0 })
    await drained.stop()
  })
})
