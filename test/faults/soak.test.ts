// RS-04, PX-26, JS-08 and more, all at once and for long: idle sessions, steady mail into the store and through to a
// backend, IMAP clients that append, flag and remove, and a fault a minute. `npm run soak -- --hours 1` is the long form.
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { createSmtpServer, type SmtpServer } from '../../packages/smtp/src/index.ts'
import { afterEach, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { startGateway, type Account, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { BelievingSession } from '../kit/imap-session.ts'
import { eventually, within } from '../kit/patience.ts'
import { startPersistentSenders, wholeMessages } from '../kit/persistent-senders.ts'
import { freePorts } from '../kit/ports.ts'
import { v2, v2Local } from '../kit/proxy-header.ts'
import { startChaosProxy, type Troubles } from './chaos-proxy.ts'
import { tellFigure } from './figure.ts'
import { lookThrough, startImapClients } from './imap-ledger.ts'
import { descriptorsOf, residentBytesOf } from './processes.ts'

const seconds = Number(process.env['POSTERN_SOAK_SECONDS'] ?? 8)
const isLong = seconds >= 120
/** A fault a minute, or more often when the run is too short for each of them to come three times. */
const faultEveryMs = isLong ? Math.min(60_000, (seconds * 1000) / 20) : Math.max(1_500, (seconds * 1000) / 8)
/** A reload is waited for as long as its workers may take to start, one after the other, and each of them is given half a minute. */
const reloadMs = 120_000
const sampleEveryMs = isLong ? 10_000 : 500
const idleSessions = isLong ? 300 : 20
const mib = 2 ** 20

const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
const carol: Account = { name: 'carol@example.org', password: 'the password of carol' }
const dora: Account = { name: 'dora@example.org', password: 'the password of dora' }

const cleanUps: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

test('RS-04, RS-08, PX-26, JS-08: a soak', { timeout: seconds * 1000 + 300_000 }, async () => {
  const backend = await startBackend()
  const { cert, key } = await makeCertificate()
  const ports = await freePorts('admin', 'smtp', 'imaps', 'proxied')
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]\nheader-timeout = "3s"',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
    listener('proxied', { protocol: 'smtp', bind: ports.proxied, mode: 'require' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    '[policy.concurrency]\nconnections-per-client = "unlimited"\nsessions-per-user = "unlimited"',
    // All idle sessions of a worker that died come again at once.
    '[limits]\npassword-checks-waiting = 1000',
    `[upstream.there]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${backend.port}"]`,
    '[[route]]\nrecipients = ["backend.example"]\nto = "there"',
  ]
  const gateway = await startGateway({
    config: tables.join('\n\n'),
    adminPort: ports.admin,
    accounts: [bob, carol, dora],
    keeps: ({ event = '', level }) => level === 'error' || level === 'fatal' || /^(?:worker|gateway)\./.test(event),
  })
  cleanUps.push(() => gateway.stop())

  // Half of the mail comes over a network that cuts one connection in four.
  const bad = await startChaosProxy(ports.smtp, cutsSome)
  cleanUps.push(() => bad.stop())
  const paced = { protocol: 'smtp', senders: 2, pauseMs: isLong ? 150 : 20 } as const
  const senders = [
    startPersistentSenders({ ...paced, port: ports.smtp, recipients: [bob.name] }),
    startPersistentSenders({ ...paced, port: bad.port, recipients: [bob.name] }),
    startPersistentSenders({ ...paced, port: ports.smtp, recipients: ['x@backend.example'] }),
  ]
  cleanUps.push(() => Promise.all(senders.map((each) => each.stop())))
  const clients = startImapClients({
    port: ports.imaps,
    account: carol,
    clients: 3,
    keeps: 50,
    pauseMs: isLong ? 200 : 10,
  })
  cleanUps.push(() => clients.stop())
  const reader = startReader(ports.imaps)
  cleanUps.push(() => reader.stop())
  const idlers = startIdlers(ports.imaps, idleSessions)
  cleanUps.push(() => idlers.stop())
  const samples = startSamples(gateway)
  cleanUps.push(() => samples.stop())

  type Fault = readonly [name: string, happens: () => Promise<void>]
  const faults: readonly Fault[] = [
    ['kill -9 of a worker', () => Promise.resolve(killOne(gateway))],
    ['resets in the middle of headers', () => burst(ports.proxied, v2().subarray(0, 20))],
    ['the backend away', () => backend.away(isLong ? 5_000 : 300)],
    ['a reload', () => reload(gateway)],
    ['health checks that close at once', () => burst(ports.proxied, v2Local)],
    ['a worker stopped', () => stopOne(gateway, isLong ? 3_000 : 300)],
  ]
  // A reload ends every worker. In between there is none, so that one worker lives long enough for its memory to tell.
  const isReloadTime = (share: number): boolean => !isLong || share < 0.25 || share > 0.9
  const happened = new Map<string, number>()
  const end = performance.now() + seconds * 1000
  for (let index = 0; performance.now() + faultEveryMs < end; index += 1) {
    await pause(faultEveryMs)
    const [name, happens] = faults[index % faults.length] ?? ['', () => Promise.resolve()]
    if (name === 'a reload' && !isReloadTime(1 - (end - performance.now()) / (seconds * 1000))) continue
    await happens()
    happened.set(name, (happened.get(name) ?? 0) + 1)
  }
  await pause(Math.max(0, end - performance.now()))
  await Promise.all([...senders, clients].map((each) => each.stop()))
  await idlers.stop()
  const consumed = await reader.stop()
  const { rows, worst } = await samples.stop()

  // ── what is left ──────────────────────────────────────────────────────────
  const [direct, cut, relayed] = senders.map(({ ledger }) => ledger)
  const toStore = [direct, cut].flatMap((ledger) => [...(ledger?.acknowledged.keys() ?? [])])
  const toBackend = [...(relayed?.acknowledged.keys() ?? [])]
  const lost = [
    ...toStore.filter((serial) => !consumed.copies.has(serial)),
    ...toBackend.filter((serial) => !backend.accepted.has(serial)),
  ]
  const wrong = await lookThrough(ports.imaps, carol, clients.ledger)
  const errors = gateway.log.filter(isUnexpected)
  const report = [
    `seconds: ${seconds}`,
    `faults: ${[...happened].map(([name, count]) => `${name} ${count}`).join(', ')}`,
    `mail: ${toStore.length} acknowledged into the store, ${toBackend.length} through to the backend, ` +
      `${senders.reduce((sum, { ledger }) => sum + ledger.broken, 0)} attempts broken`,
    `IMAP: ${clients.ledger.appended.size} APPENDs, ${clients.ledger.flagged.size} STOREs, ` +
      `${clients.ledger.removed.size} removals acknowledged, ${clients.ledger.broken} sessions broken`,
    `idle: ${idleSessions} sessions, reconnected ${idlers.reconnected} times`,
    `lost: ${lost.length}, duplicated: ${again(consumed.copies) + again(backend.accepted)}, wrong: ${wrong.length + consumed.wrong.length}, errors: ${errors.length}`,
    ...(isLong ? rows : []),
  ]
  process.stdout.write(`\n${report.join('\n')}\n`)
  const file = process.env['POSTERN_SOAK_REPORT']
  if (file !== undefined) writeFileSync(file, reportOf(report))
  tellFigure(report.slice(0, 6).join('; '))

  expect(lost).toEqual([])
  expect(wrong).toEqual([])
  expect(consumed.wrong).toEqual([])
  expect(errors).toEqual([])
  // A worker that keeps what it should let go shows it within its life; an hour of 64 MiB more is none that could stay up.
  expect(isLong ? worst : 0).toBeLessThan(64)
})

/** How often messages came more than once. */
function again(copies: ReadonlyMap<number, number>): number {
  return [...copies.values()].reduce((sum, count) => sum + count - 1, 0)
}

function reportOf(lines: readonly string[]): string {
  return `# Soak\n\n${new Date().toISOString().slice(0, 10)}, Node ${process.version}.\n\n${lines.map((line) => `- ${line}`).join('\n')}\n`
}

/** We kill workers ourselves, and a backend that is away is told as such. */
function isUnexpected({ event, level }: LogRecord): boolean {
  return (level === 'error' || level === 'fatal') && event !== 'worker.crashed' && event !== 'relay.in-doubt'
}

// ── faults ──────────────────────────────────────────────────────────────────

function oneOf(gateway: Gateway): number {
  const workers = gateway.workers()
  return workers[Math.floor(Math.random() * workers.length)] ?? 0
}

/** Any worker; in a long run never the one of the first slot, whose memory is watched. */
function killOne(gateway: Gateway): void {
  process.kill((isLong ? servingIn(gateway, 1) : undefined) ?? oneOf(gateway), 'SIGKILL')
}

/** The worker that was the last to be ready in a slot. */
function servingIn(gateway: Gateway, slot: number): number | undefined {
  const pid = gateway.log.findLast((record) => record.event === 'worker.ready' && record['slot'] === slot)?.[
    'workerPid'
  ]
  return gateway.workers().find((each) => each === pid)
}

async function stopOne(gateway: Gateway, ms: number): Promise<void> {
  const pid = oneOf(gateway)
  process.kill(pid, 'SIGSTOP')
  await pause(ms)
  process.kill(pid, 'SIGCONT')
}

async function reload(gateway: Gateway): Promise<void> {
  const before = gateway.log.length
  gateway.signal('SIGHUP')
  await eventually('the reload', () => (gateway.log.slice(before).some(isEndOfReload) ? true : undefined), reloadMs)
}

/** One that fails is an error in the log, and found there. */
function isEndOfReload({ event = '' }: LogRecord): boolean {
  return /^gateway\.reload(?:ed|-failed|-refused)$/.test(event)
}

async function burst(port: number, bytes: Uint8Array): Promise<void> {
  await Promise.all(
    Array.from({ length: isLong ? 500 : 50 }, async () => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true })
      socket.on('error', () => {})
      await within(60_000, 'a connection', once(socket, 'connect'))
      socket.write(bytes)
      socket.resetAndDestroy()
    }),
  )
}

function cutsSome(connection: number): Troubles {
  if (connection % 4 !== 0) return { toServer: { pieceBytes: 700 }, toClient: { delayMs: 2 } }
  const happens = (['reset', 'close', 'half-close', 'vanish'] as const)[(connection / 4) % 4] ?? 'reset'
  const after = { bytes: Math.floor(Math.random() * 20_000), happens }
  return (connection / 4) % 2 === 0
    ? { toServer: { after } }
    : { toClient: { after: { ...after, bytes: after.bytes % 600 } } }
}

// ── who takes part ──────────────────────────────────────────────────────────

interface Backend {
  readonly port: number
  /** Serial to how often it was accepted. */
  readonly accepted: ReadonlyMap<number, number>
  readonly away: (ms: number) => Promise<void>
}

async function startBackend(): Promise<Backend> {
  const accepted = new Map<number, number>()
  const open = (port: number): Promise<SmtpServer> => openBackend(port, accepted)
  const { backend: port } = await freePorts('backend')
  let server = await open(port)
  cleanUps.push(() => server.close(0))
  return {
    port,
    accepted,
    away: async (ms) => {
      await server.close(0)
      await pause(ms)
      server = await open(port)
    },
  }
}

async function openBackend(port: number, accepted: Map<number, number>): Promise<SmtpServer> {
  const server = createSmtpServer({
    hostname: 'backend.example',
    backend: wholeMessages(accepted),
  })
  await server.listen(port, '127.0.0.1')
  return server
}

interface Consumed {
  /** Serial to the number of UIDs it came under. */
  readonly copies: ReadonlyMap<number, number>
  readonly wrong: readonly string[]
}

/** Reads bob's INBOX, and removes what it has read, so that a long run does not fill the disk. */
function startReader(port: number): { readonly stop: () => Promise<Consumed> } {
  const stopping = new AbortController()
  /** UIDVALIDITY and UID to serial: a message is consumed once under each, whatever broke in between. */
  const seen = new Map<string, number>()
  const wrong: string[] = []
  const round = async (): Promise<boolean> => {
    const session = await BelievingSession.open(port, bob.name, bob.password)
    try {
      const { untagged } = await session.ask('SELECT INBOX')
      const validity = /\[UIDVALIDITY (\d+)\]/.exec(untagged.join('\n'))?.[1]
      session.onFetch = ({ uid, subject }) => {
        const serial = Number(subject?.replace('kill-', ''))
        const key = `${validity} ${uid}`
        const known = seen.get(key)
        if (known !== undefined && known !== serial) wrong.push(`UID ${key} was ${known} and is ${serial}`)
        seen.set(key, serial)
      }
      const { status } = await session.ask('UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])')
      if (status !== 'OK') return false
      const last = Math.max(0, ...session.uids.map((uid) => uid ?? 0))
      if (last > 0) await session.ask(`UID STORE 1:${last} +FLAGS.SILENT (\\Deleted)`)
      if (last > 0) await session.ask(`UID EXPUNGE 1:${last}`)
      return true
    } finally {
      await session.close()
    }
  }
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await pause(isLong ? 10_000 : 1_000, undefined, { signal: stopping.signal }).catch(() => {})
      await round().catch(() => {})
    }
    // The last word: whatever is there by now is seen.
    await eventually(
      'a last look at the mailbox',
      async () => ((await round().catch(() => false)) ? true : undefined),
      60_000,
    )
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
      const copies = new Map<number, number>()
      for (const serial of seen.values()) copies.set(serial, (copies.get(serial) ?? 0) + 1)
      return { copies, wrong }
    },
  }
}

/** Sessions that wait for news, and come back when they are cut off. */
function startIdlers(port: number, count: number): { reconnected: number; readonly stop: () => Promise<void> } {
  const stopping = new AbortController()
  const open = new Set<TLSSocket>()
  const idlers = {
    reconnected: -count,
    stop: async () => {
      stopping.abort()
      for (const socket of open) socket.destroy()
      await Promise.all(running)
    },
  }
  const idle = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      idlers.reconnected += 1
      const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
      open.add(socket)
      // Not by `once`, for which an error before the end would be one of ours: a killed worker resets its connections.
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
      socket.on('error', () => {})
      socket.resume()
      socket.write(`a LOGIN ${dora.name} "${dora.password}"\r\nb SELECT INBOX\r\nc IDLE\r\n`)
      await closed
      open.delete(socket)
      // Not all in the same breath.
      if (!stopping.signal.aborted) await pause(100 + Math.random() * 1_000)
    }
  }
  const running = Array.from({ length: count }, idle)
  return idlers
}

// ── memory ──────────────────────────────────────────────────────────────────

interface Sample {
  readonly hours: number
  readonly bytes: number
  readonly descriptors: number
}

/** Memory and descriptors of each process, and how they grew over its life. */
function startSamples(gateway: Gateway): { readonly stop: () => Promise<{ rows: string[]; worst: number }> } {
  const samples = new Map<number, Sample[]>()
  const begun = performance.now()
  const timer = setInterval(() => {
    for (const pid of [gateway.pid, ...gateway.workers()]) {
      try {
        const hours = (performance.now() - begun) / 3_600_000
        const sample = { hours, bytes: residentBytesOf(pid), descriptors: descriptorsOf(pid) }
        samples.set(pid, [...(samples.get(pid) ?? []), sample])
      } catch {
        // It died between the list and the look.
      }
    }
  }, sampleEveryMs)
  return {
    stop: () => {
      clearInterval(timer)
      const rows: string[] = []
      let worst = 0
      for (const [pid, all] of samples) {
        // Past its start, when code is compiled and caches fill.
        const settled = all.filter(({ hours }) => hours - (all[0]?.hours ?? 0) > (isLong ? 120 / 3600 : 0))
        const life = (all.at(-1)?.hours ?? 0) - (all[0]?.hours ?? 0)
        if (settled.length < 6) continue
        const memory = slope(settled.map(({ hours, bytes }) => [hours, bytes / mib]))
        const files = slope(settled.map(({ hours, descriptors }) => [hours, descriptors]))
        const who = pid === gateway.pid ? 'supervisor' : 'worker'
        // A slope over a few minutes is the noise of the collector.
        if (life > 0.25) worst = Math.max(worst, memory)
        rows.push(
          `${who} ${pid}: ${(life * 60).toFixed(1)} min, ${((settled.at(-1)?.bytes ?? 0) / mib).toFixed(0)} MiB at its end, ` +
            `${memory.toFixed(1)} MiB/h; ${settled.at(-1)?.descriptors} descriptors, ${files.toFixed(1)}/h`,
        )
      }
      return Promise.resolve({ rows, worst })
    },
  }
}

/** Least squares. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (at: 0 | 1): number => points.reduce((sum, point) => sum + point[at], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  const rise = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0)
  const run = points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0)
  return run === 0 ? 0 : rise / run
}
