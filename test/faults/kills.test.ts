// ST-01: kill -9 of workers that deliver, append and set flags, again and again, with a ledger at the clients: nothing
// acknowledged is lost, no flag forgotten, no UID used twice.
//
// POSTERN_KILLS=10000 npx vitest run --project end-to-end faults/kills      kills as often as is asked for
import { afterEach, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { startPersistentSenders, storedCopies, type DeliveryLedger } from '../kit/persistent-senders.ts'
import { freePorts } from '../kit/ports.ts'
import { tellFigure } from './figure.ts'
import { lookThrough, startImapClients } from './imap-ledger.ts'
import { perTier } from './tier.ts'

const kills = Number(process.env['POSTERN_KILLS'] ?? perTier({ change: 8, nightly: 1_000, release: 10_000 }))
/** The more there are, the sooner is one there to be killed: each comes back after a second. */
const workers = kills > 100 ? 6 : 3

const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
const carol: Account = { name: 'carol@example.org', password: 'the password of carol' }

const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

/** Workers that serve: those that were ready and have not died. */
class Serving {
  readonly #gateway: Gateway
  readonly #dead = new Set<number>()
  #read = 0
  readonly #ready: number[] = []

  constructor(gateway: Gateway) {
    this.#gateway = gateway
  }

  async one(): Promise<number> {
    return eventually(
      'a worker that serves',
      () => {
        const { log } = this.#gateway
        for (; this.#read < log.length; this.#read += 1) {
          const record = log[this.#read]
          if (record?.event === 'worker.ready') this.#ready.push(Number(record['workerPid']))
        }
        const alive = this.#ready.filter((pid) => !this.#dead.has(pid))
        return alive.length === 0 ? undefined : alive[Math.floor(Math.random() * alive.length)]
      },
      120_000,
    )
  }

  kill(pid: number): void {
    this.#dead.add(pid)
    this.#ready.splice(this.#ready.indexOf(pid), 1)
    process.kill(pid, 'SIGKILL')
  }
}

function lostOf(ledger: DeliveryLedger, copies: ReadonlyMap<number, number>): readonly string[] {
  return [...ledger.acknowledged.keys()].filter((serial) => !copies.has(serial)).map((serial) => `kill-${serial}`)
}

test('ST-01: kill -9 under deliveries, APPEND and STORE', { timeout: 120_000 + kills * 5_000 }, async () => {
  const { cert, key } = await makeCertificate()
  const ports = await freePorts('admin', 'smtp', 'imaps')
  const tables = [
    `[server]\nhostname = "mx.example.org"\nworkers = ${workers}\ndata-dir = "data"`,
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    '[policy.concurrency]\nconnections-per-client = "unlimited"',
  ]
  const gateway = await startGateway({
    config: tables.join('\n\n'),
    adminPort: ports.admin,
    accounts: [bob, carol],
    keeps: ({ event }) => event === 'worker.ready' || event === 'internal-error',
  })
  cleanUps.push(() => gateway.stop())
  const senders = startPersistentSenders({
    port: ports.smtp,
    protocol: 'smtp',
    recipients: [bob.name],
    senders: 4,
    pauseMs: kills > 100 ? 50 : 0,
  })
  cleanUps.push(() => senders.stop())
  const clients = startImapClients({ port: ports.imaps, account: carol, clients: 4, keeps: 40 })
  cleanUps.push(() => clients.stop())

  const serving = new Serving(gateway)
  const begun = performance.now()
  for (let round = 1; round <= kills; round += 1) {
    const pid = await serving.one()
    // Some work between two kills, of each kind by turns.
    await (round % 2 === 0 ? senders : clients).acknowledgedMore(1 + Math.floor(Math.random() * 4))
    serving.kill(pid)
    if (round % 500 === 0) process.stdout.write(`${new Date().toISOString()} ${round} kills\n`)
  }
  const seconds = (performance.now() - begun) / 1000
  await Promise.all([senders.acknowledgedMore(5), clients.acknowledgedMore(5)])
  await Promise.all([senders.stop(), clients.stop()])

  const { copies, halves } = storedCopies(gateway.folder, bob.name)
  expect(halves).toEqual([])
  expect(lostOf(senders.ledger, copies)).toEqual([])
  expect(storedCopies(gateway.folder, carol.name).halves).toEqual([])
  expect(await lookThrough(ports.imaps, carol, clients.ledger)).toEqual([])
  expect(gateway.log.filter(({ event }) => event === 'internal-error')).toEqual([])
  const twice = [...copies.values()].reduce((sum, count) => sum + count - 1, 0)
  const { appended, flagged, removed, broken } = clients.ledger
  tellFigure(
    `${kills} kills, ${(kills / seconds).toFixed(1)} a second: ${senders.ledger.acknowledged.size} deliveries, ` +
      `${appended.size} APPENDs, ${flagged.size} STOREs and ${removed.size} removals acknowledged, ` +
      `${senders.ledger.broken + broken} attempts broken; 0 lost, 0 half, 0 UIDs used twice, ${twice} deliveries came twice`,
  )
})
