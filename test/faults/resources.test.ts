// A worker that has no descriptors left, whose accepts fail now and then, or that has more memory than it should: who is
// served is served on, the others hear so or wait, and it is over when there is room again.
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { ann, startGateway, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { eventually, within } from '../kit/patience.ts'
import { requirePeer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { start } from '../kit/run.ts'
import { tellFigure } from './figure.ts'
import { descriptors } from './processes.ts'

const cleanUps: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

async function started(more: string, under?: readonly string[]): Promise<{ gateway: Gateway; port: number }> {
  const ports = await freePorts('admin', 'smtp')
  const config = [
    '[server]\nhostname = "mx.example.org"\nworkers = 1\ndata-dir = "data"',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    '[policy.concurrency]\nconnections-per-client = "unlimited"',
    more,
  ].join('\n\n')
  const gateway = await startGateway({ config, adminPort: ports.admin, ...(under && { under }) })
  cleanUps.push(() => gateway.stop())
  return { gateway, port: ports.smtp }
}

/** Delivers a message, or gets as far as it gets; the last code. */
async function deliver(client: Dialogue, subject: string): Promise<number> {
  await client.ask('MAIL FROM:<a@example.net>')
  const { code } = await client.ask(`RCPT TO:<${ann.name}>`)
  if (code !== 250) return code
  const invited = await client.ask('DATA')
  if (invited.code !== 354) return invited.code
  return (await client.ask(`Subject: ${subject}\r\n\r\nx\r\n.`)).code
}

/** A client that is there before the trouble, and gone before the gateway stops. */
async function comesEarly(port: number): Promise<Dialogue> {
  const client = await Dialogue.connect(port, { timeoutMs: 30_000 })
  cleanUps.push(() => client.destroy())
  await client.reply()
  await client.ask('EHLO client.example')
  return client
}

test('RS-01: no descriptors are left, and some again', async () => {
  requirePeer('prlimit')
  const { gateway, port } = await started('', ['prlimit', '--nofile=96:96'])
  const early = await comesEarly(port)

  // More than there can be: the kernel takes them all, the worker what it can.
  const crowd: Socket[] = []
  for (let count = 0; count < 200; count += 1) {
    const socket = connect({ host: '127.0.0.1', port, localAddress: `127.0.2.${1 + count}` })
    socket.on('error', () => {}).resume()
    await within(30_000, 'the kernel to connect', once(socket, 'connect'))
    crowd.push(socket)
  }
  // Then it closes those that it cannot keep, so that nobody waits for nothing.
  await eventually(
    'surplus connections to be closed',
    () => (crowd.some((socket) => socket.closed) ? true : undefined),
    60_000,
  )
  const most = descriptors(gateway)
  // Who is there is heard, and put off while there is no file for the message.
  expect((await early.ask('NOOP')).code).toBe(250)
  expect([250, 451, 452]).toContain(await deliver(early, 'without a descriptor'))

  for (const socket of crowd) socket.resetAndDestroy()
  const begun = performance.now()
  await eventually(
    'a delivery',
    async () => {
      try {
        const client = await Dialogue.connect(port, { timeoutMs: 20_000 })
        if ((await client.reply()).code !== 220) return undefined
        await client.ask('EHLO client.example')
        const code = await deliver(client, 'with descriptors again')
        client.destroy()
        return code === 250 ? true : undefined
      } catch {
        return undefined
      }
    },
    60_000,
  )
  tellFigure(
    `${most} descriptors open of 96, delivered ${(performance.now() - begun).toFixed(0)} ms after the crowd had gone`,
  )
  expect(gateway.log.filter(({ event }) => event === 'worker.crashed')).toEqual([])
})

test('RS-02: accepts that fail now and then', async () => {
  requirePeer('strace')
  const { gateway, port } = await started('')
  const [pid = 0] = gateway.workers()
  const inject = ['-e', 'trace=accept4', '-e', 'inject=accept4:error=EMFILE:when=2+3']
  const tracer = start('strace', ['-f', '-qq', '-o', '/dev/null', '-p', `${pid}`, ...inject])
  cleanUps.push(() => void tracer.kill())
  await eventually(
    'the tracer to attach',
    () => (/^TracerPid:\t[1-9]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) ? true : undefined),
    60_000,
  )
  const greetings: string[] = []
  for (let visit = 0; visit < 20; visit += 1) {
    const visitor = await Dialogue.connect(port, { timeoutMs: 20_000 })
    greetings.push(await visitor.line().catch(() => 'closed'))
    visitor.destroy()
  }
  const served = greetings.filter((line) => line.startsWith('220 ')).length
  tellFigure(`${served} of ${greetings.length} served, the others closed`)
  expect(served).toBeGreaterThan(0)
  expect(served).toBeLessThan(greetings.length)
  tracer.kill('SIGTERM')
  await once(tracer, 'close')
  const client = await Dialogue.connect(port, { timeoutMs: 20_000 })
  expect((await client.reply()).code).toBe(220)
  client.destroy()
  expect(gateway.workers()).toEqual([pid])
})

test('RS-03: memory over its soft limit', async () => {
  // Who was there before a reload may stay until it is seen that they are served.
  const { gateway, port } = await started('[limits]\ndrain-timeout = "10m"\nworker-memory = "unlimited"')
  const early = await comesEarly(port)

  // Less than any worker has: the successor is over it as soon as it looks.
  gateway.rewriteConfig((text) => text.replace('worker-memory = "unlimited"', 'worker-memory = "64MiB"'))
  gateway.signal('SIGHUP')
  const short = await gateway.waitForLog('that memory is short', ({ event }) => event === 'memory.short')
  expect(short).toMatchObject({ level: 'error' })
  const refused = await Dialogue.connect(port, { timeoutMs: 20_000 })
  expect(await refused.end()).toMatch(/^421 4\.3\.2 /)
  await gateway.waitForLog(
    'the overload',
    ({ event, ...record }) => event === 'connection.overload' && String(record['reason']).includes('worker-memory'),
  )
  expect(await deliver(early, 'by one who was there before')).toBe(250)

  gateway.rewriteConfig((text) => text.replace('"64MiB"', '"1GiB"'))
  gateway.signal('SIGHUP')
  const greeting = await eventually('a greeting', async () => {
    const client = await Dialogue.connect(port, { timeoutMs: 20_000 })
    const { code } = await client.reply()
    client.destroy()
    return code === 220 ? code : undefined
  })
  expect(greeting).toBe(220)
  tellFigure(`${String(short['mib'])} MiB in a worker allowed 64: 421, and 220 again with more`)
})

test(
  'PR-04, PR-09: an error that nobody hears, and a heap that is full, end one worker',
  { timeout: 240_000 },
  async () => {
    const folder = temporaryFolder('faults-inside')
    const program = new URL('fault-inside.ts', import.meta.url)
    const options = `NODE_OPTIONS=--max-old-space-size=96 --import=${program.href}`
    const ports = await freePorts('admin', 'smtp')
    const gateway = await startGateway({
      config: listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
      adminPort: ports.admin,
      under: ['env', `POSTERN_FAULTS_IN=${folder}`, options],
    })
    cleanUps.push(() => gateway.stop())
    const [other = 0] = gateway.workers()
    const ends: unknown[] = []
    for (const what of ['rejection', 'throw', 'heap']) {
      const pid = gateway.workers().find((each) => each !== other) ?? 0
      writeFileSync(join(folder, `${pid}`), what)
      const isIt = ({ event, workerPid }: LogRecord): boolean => event === 'worker.crashed' && workerPid === pid
      const { code, signal, slot, worker } = await gateway.waitForLog(`the end by ${what}`, isIt, 60_000)
      ends.push(code ?? signal)
      const isNext = (record: LogRecord): boolean =>
        record.event === 'worker.ready' && record['slot'] === slot && Number(record['worker']) > Number(worker)
      await gateway.waitForLog('the next worker', isNext, 60_000)
    }
    expect(ends).toEqual([1, 1, 'SIGABRT'])
    const told = gateway.log.filter(({ event }) => event === 'internal-error').map(({ stack }) => String(stack))
    expect(told).toEqual([expect.stringContaining('nobody hears'), expect.stringContaining('nobody catches')])
    expect(gateway.workers()).toContain(other)
  },
)
