// ST-01: kill -9 of workers that deliver, append and set flags, again and again, and of everything at once at the end, with
// a ledger at the clients: nothing acknowledged is lost, no flag forgotten, no UID used twice.
//
//   POSTERN_KILLS=10000 POSTERN_RECORD=1 npx vitest run --project end-to-end faults/kills
//
// kills as often as is asked for, in batches that are each looked through, and records each of them in kills.jsonl.
import { randomBytes, scryptSync } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { startGateway, type Account, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { startPersistentSenders, storedCopies, type DeliveryLedger } from '../kit/persistent-senders.ts'
import { freePorts } from '../kit/ports.ts'
import { tellFigure } from './figure.ts'
import { lookThrough, startImapClients } from './imap-ledger.ts'
import { recordKills, sumOf, type Counts } from './kill-record.ts'
import { perTier } from './tier.ts'

const kills = Number(process.env['POSTERN_KILLS'] ?? perTier({ change: 8, nightly: 1_000, release: 10_000 }))
const isRecorded = process.env['POSTERN_RECORD'] === '1'
/** Then all is looked through, and a new gateway begins: what was found so far is worth something if the rest never runs. */
const killsPerBatch = 250
/** The more there are, the sooner is one there to be killed: each comes back after a second. */
const workers = kills > 100 ? 8 : 3

const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
const carol: Account = { name: 'carol@example.org', password: 'the password of carol' }

const cleanUps: (() => Promise<unknown>)[] = []
async function cleanUp(): Promise<void> {
  for (const each of cleanUps.splice(0).toReversed()) await each()
}
afterEach(cleanUp)

/** Workers that serve: those that were ready and have not died. */
class Serving {
  readonly #gateway: Gateway
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
        return this.#ready[Math.floor(Math.random() * this.#ready.length)]
      },
      120_000,
    )
  }

  kill(pid: number): void {
    this.#ready.splice(this.#ready.indexOf(pid), 1)
    process.kill(pid, 'SIGKILL')
  }
}

/** Clients that were cut off sign in again by the thousand, and what a password costs is not what is tried here. */
function writeCheapAccounts(folder: string, accounts: readonly Account[]): void {
  const entries = accounts.map(({ name, password }) => {
    const salt = randomBytes(16)
    const [saltText, tag] = [salt, scryptSync(password, salt, 32, { N: 2 ** 4, r: 8, p: 1 })].map((bytes) =>
      bytes.toString('base64').replace(/=+$/, ''),
    )
    return `[[account]]\nname = "${name}"\npassword = "$scrypt$ln=4,r=8,p=1$${saltText}$${tag}"\n`
  })
  writeFileSync(join(folder, 'accounts.toml'), entries.join('\n'), { mode: 0o600 })
}

function lostOf(ledger: DeliveryLedger, copies: ReadonlyMap<number, number>): readonly string[] {
  return [...ledger.acknowledged.keys()].filter((serial) => !copies.has(serial)).map((serial) => `kill-${serial}`)
}

function isFault({ event }: LogRecord): boolean {
  return event === 'internal-error'
}

interface Batch {
  readonly counts: Counts
  /** What is not as it must be, in words. */
  readonly found: readonly string[]
}

/** So many kills of workers, then one of everything; and what is there afterwards. */
async function runBatch(count: number): Promise<Batch> {
  const { cert, key } = await makeCertificate()
  const ports = await freePorts('admin', 'smtp', 'imaps')
  const folder = temporaryFolder('kills')
  mkdirSync(join(folder, 'data'))
  writeCheapAccounts(folder, [bob, carol])
  const tables = [
    `[server]\nhostname = "mx.example.org"\nworkers = ${workers}\ndata-dir = "data"`,
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    '[policy.concurrency]\nconnections-per-client = "unlimited"',
  ]
  const started = () =>
    startGateway({
      config: tables.join('\n\n'),
      adminPort: ports.admin,
      accounts: [],
      folder,
      keeps: ({ event }) => event === 'worker.ready' || event === 'internal-error',
    })
  const gateway = await started()
  let isRunning = true
  cleanUps.push(async () => isRunning && (await gateway.stop()))
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
  for (let round = 1; round <= count; round += 1) {
    const pid = await serving.one()
    // Some work between two kills, of each kind by turns.
    await (round % 2 === 0 ? senders : clients).acknowledgedMore(1 + Math.floor(Math.random() * 4))
    serving.kill(pid)
  }
  const seconds = (performance.now() - begun) / 1000
  // The workers that came last have served too when everything dies.
  await Promise.all([senders.acknowledgedMore(5), clients.acknowledgedMore(5)])
  await gateway.kill()
  isRunning = false
  await Promise.all([senders.stop(), clients.stop()])

  const { copies, halves } = storedCopies(folder, bob.name)
  const lost = lostOf(senders.ledger, copies)
  const next = await started()
  cleanUps.push(() => next.stop())
  const wrong = await lookThrough(ports.imaps, carol, clients.ledger)
  const faults = [...gateway.log, ...next.log].filter(isFault).map((record) => JSON.stringify(record))
  const half = [...halves, ...storedCopies(folder, carol.name).halves]
  await cleanUp()
  rmSync(folder, { recursive: true, force: true })
  const { appended, flagged, removed, broken } = clients.ledger
  const counts: Counts = {
    kills: count,
    outages: 1,
    deliveries: senders.ledger.acknowledged.size,
    appends: appended.size,
    stores: flagged.size,
    removals: removed.size,
    broken: senders.ledger.broken + broken,
    lost: lost.length,
    half: half.length,
    wrong: wrong.length + faults.length,
    again: [...copies.values()].reduce((sum, each) => sum + each - 1, 0),
    seconds: Math.round(seconds * 10) / 10,
  }
  return { counts, found: [...lost, ...half, ...wrong, ...faults] }
}

function inWords({ kills: killed, outages, seconds, ...counts }: Counts): string {
  return (
    `${killed} kills, ${(killed / seconds).toFixed(1)} a second, and ${outages} of everything: ${counts.deliveries} deliveries, ` +
    `${counts.appends} APPENDs, ${counts.stores} STOREs and ${counts.removals} removals acknowledged, ` +
    `${counts.broken} attempts broken; ${counts.lost} lost, ${counts.half} half, ${counts.wrong} wrong, ` +
    `${counts.again} deliveries came twice`
  )
}

test('ST-01: kill -9 under deliveries, APPEND and STORE', { timeout: 120_000 + kills * 5_000 }, async () => {
  const done: Counts[] = []
  for (let left = kills; left > 0; left -= killsPerBatch) {
    const { counts, found } = await runBatch(Math.min(left, killsPerBatch))
    if (isRecorded) recordKills(counts)
    done.push(counts)
    if (kills > killsPerBatch) process.stdout.write(`${new Date().toISOString()} ${inWords(sumOf(done))}\n`)
    expect(found).toEqual([])
  }
  tellFigure(inWords(sumOf(done)))
})
