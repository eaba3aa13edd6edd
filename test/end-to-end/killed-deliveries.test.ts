// ST-01: kill -9 at any moment of a delivery and at each of its steps, again and again. What was acknowledged is there,
// whole; what is half is nowhere to be seen; and how often a message came twice is told.
//
// POSTERN_KILLS=400 npx vitest run --project end-to-end killed-deliveries     runs as many rounds as are asked for
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createSmtpServer } from '../../packages/smtp/src/index.ts'
import { afterEach, describe, expect, test } from 'vitest'
import { tellFigure } from '../faults/figure.ts'
import { perTier } from '../faults/tier.ts'
import { listener } from '../kit/configuration.ts'
import { startGateway, type Account, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { eventually, within } from '../kit/patience.ts'
import { requirePeer } from '../kit/peers.ts'
import {
  startPersistentSenders,
  storedCopies,
  wholeMessages,
  type DeliveryLedger,
  type PersistentSenders,
} from '../kit/persistent-senders.ts'
import { freePorts } from '../kit/ports.ts'
import { start } from '../kit/run.ts'

const kills = Number(process.env['POSTERN_KILLS'] ?? perTier({ change: 16, nightly: 200, release: 400 }))
/** Each round waits for a worker to come back, which takes a second. */
const timeoutMs = 60_000 + kills * 6_000

/** The system calls by which a delivery becomes a message, in their order; each is killed on entry, before it happens. */
const steps = ['openat', 'utimensat', 'fsync', 'rename', 'symlink', 'pwrite64', 'fdatasync', 'unlink'] as const

const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
const carol: Account = { name: 'carol@example.org', password: 'the password of carol' }

const cleanUps: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

interface Started {
  readonly gateway: Gateway
  readonly senders: readonly PersistentSenders[]
}

async function startUnderLoad(): Promise<Started> {
  const ports = await freePorts('admin', 'smtp', 'lmtp')
  const tables = [
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    listener('lmtp', { protocol: 'lmtp', bind: ports.lmtp, mode: 'off' }),
    '[policy.concurrency]\nconnections-per-client = "unlimited"',
  ]
  const accounts = [bob, carol]
  const gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin, accounts })
  cleanUps.push(() => gateway.stop())
  const senders = [
    startPersistentSenders({ port: ports.smtp, protocol: 'smtp', recipients: [bob.name], senders: 6 }),
    startPersistentSenders({ port: ports.lmtp, protocol: 'lmtp', recipients: [bob.name, carol.name], senders: 3 }),
  ]
  cleanUps.push(async () => {
    await Promise.all(senders.map((each) => each.stop()))
  })
  return { gateway, senders }
}

/** Of the workers that serve, one by chance. */
async function someWorker({ gateway }: Started): Promise<number> {
  const pids = (event: string): number[] =>
    gateway.log.filter((record) => record.event === event).map(({ workerPid }) => Number(workerPid))
  const [pid = 0] = await eventually(
    'a worker that serves',
    () => {
      const crashed = pids('worker.crashed')
      const serving = pids('worker.ready').filter((one) => !crashed.includes(one))
      return serving.length > 0 ? serving.toSorted(() => Math.random() - 0.5) : undefined
    },
    60_000,
  )
  return pid
}

async function untilDead({ gateway }: Started, pid: number, where: string): Promise<void> {
  const isIt = (record: LogRecord): boolean => record.event === 'worker.crashed' && record['workerPid'] === pid
  await gateway.waitForLog(`that worker ${pid} died at ${where}`, isIt, 60_000)
}

/** Kills a worker when some work has been done. */
async function killAtRandom(started: Started): Promise<void> {
  const pid = await someWorker(started)
  await Promise.race(started.senders.map((each) => each.acknowledgedMore(1 + Math.floor(Math.random() * 10))))
  process.kill(pid, 'SIGKILL')
  await untilDead(started, pid, 'any moment')
}

/** Kills a worker at its next system call of this name, or at one of the few after it. */
async function killAt(step: (typeof steps)[number], started: Started): Promise<void> {
  const pid = await someWorker(started)
  const nth = 1 + Math.floor(Math.random() * 3)
  const inject = ['-e', `trace=${step}`, '-e', `inject=${step}:signal=SIGKILL:when=${nth}`]
  const tracer = start('strace', ['-f', '-qq', '-o', '/dev/null', '-p', `${pid}`, ...inject])
  await within(60_000, `a worker to be killed at ${step}`, once(tracer, 'close'))
  await untilDead(started, pid, step)
}

/** @returns how often a message is there more than once. */
function expectNothingLost(ledger: DeliveryLedger, account: string, copies: ReadonlyMap<number, number>): number {
  const lost = [...ledger.acknowledged].filter(([serial, who]) => who.has(account) && !copies.has(serial))
  expect(lost.map(([serial]) => `${account}: kill-${serial}`)).toEqual([])
  return [...ledger.sent].reduce((sum, serial) => sum + Math.max(0, (copies.get(serial) ?? 0) - 1), 0)
}

describe('ST-01: kill -9 of workers that deliver by SMTP and LMTP', () => {
  test('X5: nothing acknowledged is lost, and nothing half is there', { timeout: timeoutMs }, async () => {
    requirePeer('strace')
    const started = await startUnderLoad()
    const { gateway, senders } = started
    const killed = new Map<string, number>()
    for (let round = 0; round < kills; round += 1) {
      // Half of the rounds at any moment, the other half at each step in turn.
      const step = round % 2 === 0 ? undefined : steps[((round - 1) / 2) % steps.length]
      if (step === undefined) await killAtRandom(started)
      else await killAt(step, started)
      killed.set(step ?? 'any moment', (killed.get(step ?? 'any moment') ?? 0) + 1)
    }
    await Promise.all(senders.map((each) => each.acknowledgedMore(10)))
    await Promise.all(senders.map((each) => each.stop()))
    const boxes = [bob.name, carol.name].map((account) => ({ account, ...storedCopies(gateway.folder, account) }))
    expect(boxes.flatMap(({ halves }) => halves)).toEqual([])
    const twice = boxes.flatMap(({ account, copies }) =>
      senders.map(({ ledger }) => expectNothingLost(ledger, account, copies)),
    )
    const sum = (of: (ledger: DeliveryLedger) => number): number => senders.reduce((n, { ledger }) => n + of(ledger), 0)
    tellFigure(
      `${kills} kills (${[...killed].map(([where, count]) => `${where} ${count}`).join(', ')}): ` +
        `${sum(({ acknowledged }) => acknowledged.size)} messages acknowledged, ${sum(({ broken }) => broken)} attempts broken, ` +
        `0 lost, 0 half, ${twice.reduce((n, count) => n + count, 0)} came twice`,
    )
  })
})

describe('ST-01: kill -9 of a server that relays', () => {
  test('what it acknowledged, its upstream had accepted', { timeout: timeoutMs }, async () => {
    const accepted = new Map<number, number>()
    const upstream = createSmtpServer({
      hostname: 'upstream.example',
      backend: wholeMessages(accepted),
    })
    const { port: upstreamPort } = await upstream.listen(0, '127.0.0.1')
    cleanUps.push(() => upstream.close(0))
    const { front: port } = await freePorts('front')
    const startFront = async () => {
      const front = start(process.execPath, [
        '--conditions=@postern/source',
        fileURLToPath(new URL('../kit/relaying-front.ts', import.meta.url)),
        `${port}`,
        `${upstreamPort}`,
      ])
      await within(60_000, 'the front to listen', once(front.stdout ?? front, 'data'))
      return front
    }
    const senders = startPersistentSenders({ port, protocol: 'smtp', recipients: ['ann@example.org'], senders: 6 })
    const rounds = Math.ceil(kills / 4)
    for (let round = 0; round < rounds; round += 1) {
      const front = await startFront()
      await within(60_000, 'some messages', senders.acknowledgedMore(5 + Math.floor(Math.random() * 20)))
      const gone = once(front, 'close')
      front.kill('SIGKILL')
      await gone
    }
    await senders.stop()
    const { ledger } = senders
    expect([...ledger.acknowledged.keys()].filter((serial) => !accepted.has(serial))).toEqual([])
    const twice = [...accepted.values()].reduce((sum, copies) => sum + copies - 1, 0)
    tellFigure(
      `${rounds} kills of a relaying server: ${ledger.acknowledged.size} messages acknowledged, ` +
        `${ledger.broken} attempts broken, 0 lost, ${twice} came twice`,
    )
  })
})
