// Many IMAP sessions that idle. RS-04: what each of them costs is looked at from outside: all memory of the workers, before
// and after, as the kernel counts it. IM-18: all of them on one mailbox, and something happens there.
import { argon2Sync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { startGateway, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { BelievingSession } from '../kit/imap-session.ts'
import { eventually, within } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { start } from '../kit/run.ts'
import { tellFigure } from './figure.ts'
import type { Heard } from './idler.ts'
import { descriptorsOf, residentBytes } from './processes.ts'
import { perTier, tier } from './tier.ts'

const program = fileURLToPath(new URL('idler.ts', import.meta.url))
const password = 'a password of the idle'
/** Each has a mailbox of its own with some mail; several sessions share one, as the devices of a person do. */
const sessionsPerUser = 5
const messages = 20
/**
 * Signed in and gone before, so that what work costs a process once is not counted: compiled code, and the room that the
 * heap keeps for what is made and thrown away.
 */
const warmup = 2_000

const cleanUps: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

/** RFC 9106 section 3.1: the least that is taken, so that ten thousand logins take seconds. */
function cheapHash(): string {
  const salt = randomBytes(16)
  const settings = { message: password, nonce: salt, parallelism: 1, tagLength: 32, memory: 8, passes: 1 }
  return `$argon2id$v=19$m=8,t=1,p=1$${unpadded(salt)}$${unpadded(argon2Sync('argon2id', settings))}`
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

/** Maildirs whose mail a server has seen, and the accounts to open them. */
function seed(folder: string, users: number): void {
  const hash = cheapHash()
  const accounts: string[] = []
  for (let user = 1; user <= users; user += 1) {
    const name = `user${user}@example.org`
    accounts.push(`[[account]]\nname = "${name}"\npassword = "${hash}"\n`)
    const inbox = join(folder, 'data', 'mail', name, 'Maildir')
    for (const part of ['cur', 'new', 'tmp']) mkdirSync(join(inbox, part), { recursive: true, mode: 0o700 })
    const text = 'Subject: soup\r\n\r\nhot\r\n'
    for (let index = 0; index < messages; index += 1) {
      const sizes = `S=${text.length},W=${text.length}`
      writeFileSync(join(inbox, 'cur', `${1_700_000_000 + index}.M${index}P1Q1.mx.example.org,${sizes}:2,S`), text)
    }
  }
  writeFileSync(join(folder, 'accounts.toml'), accounts.join(''), { mode: 0o600 })
}

async function started(
  users: number,
): Promise<{ gateway: Gateway; ports: { plain: number; tls: number; smtp: number } }> {
  const ports = await freePorts('admin', 'plain', 'tls', 'smtp')
  const { cert, key } = await makeCertificate()
  const folder = temporaryFolder('idle')
  seed(folder, users)
  const config = [
    '[server]\nhostname = "mx.example.org"\nworkers = 2\ndata-dir = "data"',
    listener('plain', { protocol: 'imap', bind: ports.plain, mode: 'require', trusted: ['127.0.0.0/8'] }),
    listener('tls', { protocol: 'imap', bind: ports.tls, tls: 'implicit', mode: 'off' }),
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    '[policy]\nexempt-networks = ["127.0.0.0/8", "203.0.0.0/16"]',
    '[policy.concurrency]\nsessions-per-user = "unlimited"',
  ].join('\n\n')
  const gateway = await startGateway({ config, adminPort: ports.admin, accounts: [], folder, keeps: isOfGateway })
  cleanUps.push(() => gateway.stop())
  return { gateway, ports }
}

/** A log of ten thousand connections would be more than it is for. */
const isOfGateway = ({ event }: LogRecord): boolean => event?.startsWith('gateway.') === true

interface Idlers {
  readonly letGo: () => Promise<void>
  /** Who calls waits until all of them listen for a word, and then for when all of them heard it. */
  readonly listen: (word: string) => Promise<() => Promise<Heard>>
}

/** Sessions that idle, until they are let go of. */
async function idlers(channel: 'plain' | 'tls', port: number, count: number, users: number): Promise<Idlers> {
  const child = start(process.execPath, [program, channel, String(port), String(count), String(users)])
  let told = ''
  child.stderr?.on('data', (chunk: Buffer) => (told += chunk.toString()))
  const ended = once(child, 'close')
  cleanUps.push(() => void child.kill('SIGKILL'))
  child.stdin?.write(`${password}\n`)
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  const line = async (what: string): Promise<string> => {
    const { value, done } = await within(240_000, () => `${count} sessions to ${what}; ${told}`, lines.next())
    if (done === true) throw new Error(`the idle ended:\n${told}`)
    return value
  }
  await line('idle')
  return {
    letGo: async () => {
      child.stdin?.end()
      await ended
    },
    listen: async (word) => {
      child.stdin?.write(`${word}\n`)
      await line('listen')
      return async () => JSON.parse(await line(`hear ${word}`)) as Heard
    },
  }
}

/** When it grows no more: what was needed on the way to there has gone, as far as it goes. */
async function settledBytes(gateway: Gateway): Promise<number> {
  let least = Infinity
  let since = performance.now()
  return eventually(
    'memory to settle',
    async () => {
      const bytes = residentBytes(gateway)
      if (bytes < least - 1_048_576) {
        least = bytes
        since = performance.now()
      }
      return performance.now() - since > settleMs ? Math.min(least, bytes) : undefined
    },
    120_000,
  )
}

/** V8 gives memory back some seconds after its last work. */
const settleMs = 8_000
/** With each change none: some thousand logins take a minute, and fewer sessions say nothing of what one costs. */
const counts = perTier<readonly number[]>({ change: [5_000], nightly: [5_000], release: [5_000, 10_000] })

test.skipIf(tier === 'change').for(counts.flatMap((count) => [['plain', count] as const, ['tls', count] as const]))(
  'RS-04: idle IMAP sessions, signed in with INBOX selected: %s, %i of them',
  { timeout: 600_000 },
  async ([channel, count]) => {
    const users = Math.ceil(count / sessionsPerUser)
    const { gateway, ports } = await started(users)
    await (await idlers(channel, ports[channel], warmup, users)).letGo()
    const rest = () => (gateway.workers().every((pid) => descriptorsOf(pid) < 60) ? true : undefined)
    await eventually('the first sessions to be gone', rest, 30_000)
    const before = await settledBytes(gateway)
    const many = await idlers(channel, ports[channel], count, users)
    const bytes = (await settledBytes(gateway)) - before
    const kib = bytes / count / 1_024
    tellFigure(
      `${count} sessions, ${channel}: ${kib.toFixed(1)} KiB each, ${(bytes / 1_048_576).toFixed(0)} MiB in all`,
    )
    // What operators are told, and room for a machine that collects later.
    expect(kib).toBeLessThan(channel === 'plain' ? 32 : 80)
    await many.letGo()
  },
)

const together = perTier({ change: 100, nightly: 5_000, release: 10_000 })

test(
  `IM-18: ${together} sessions idle on one mailbox, and each is told of a delivery and of a flag`,
  { timeout: 600_000 },
  async () => {
    const { gateway, ports } = await started(1)
    const many = await idlers('plain', ports.plain, together, 1)
    const others = await startOthers(ports.tls)
    const owner = await BelievingSession.open(ports.tls, 'user1@example.org', password)
    await owner.ask('SELECT INBOX')
    const before = residentBytes(gateway)

    const toldOfMail = await many.listen(`* ${messages + 1} EXISTS`)
    const deliveredAt = await deliver(ports.smtp)
    const mail = await toldOfMail()
    const toldOfFlag = await many.listen(String.raw`FLAGS (\Answered`)
    const flaggedAt = Date.now()
    await owner.ask(String.raw`STORE ${messages} FLAGS.SILENT (\Answered)`)
    const flag = await toldOfFlag()

    const grown = (residentBytes(gateway) - before) / 1_048_576
    const slowest = await others.stop()
    tellFigure(
      `${together} sessions: told of a delivery, ${times(mail, deliveredAt)}; of a flag, ${times(flag, flaggedAt)}; ` +
        `a NOOP of others meanwhile took ${slowest.toFixed(0)} ms at most; ${grown.toFixed(0)} MiB more memory`,
    )
    // Of a machine that does nothing else, as the release tier has it.
    const patienceMs = tier === 'release' ? 2_000 : 30_000
    expect(mail.last - deliveredAt).toBeLessThan(patienceMs)
    expect(flag.last - flaggedAt).toBeLessThan(patienceMs)
    await owner.close()
    await many.letGo()
  },
)

const times = ({ half, last }: Heard, since: number): string => `half in ${half - since} ms, all in ${last - since} ms`

/** @returns when it began with the end of data, milliseconds since 1970. */
async function deliver(port: number): Promise<number> {
  const client = await Dialogue.connect(port)
  await client.expect(220)
  for (const command of ['EHLO client.example.net', 'MAIL FROM:<bob@example.net>', 'RCPT TO:<user1@example.org>']) {
    client.command(command)
    await client.expect(250)
  }
  client.command('DATA')
  await client.expect(354)
  const at = Date.now()
  client.send('Subject: stew\r\n\r\nhot too\r\n.\r\n')
  await client.expect(250)
  client.destroy()
  return at
}

/** Sessions on both workers that want nothing of the mailbox, and ask again and again whether anybody is there. */
async function startOthers(port: number): Promise<{ readonly stop: () => Promise<number> }> {
  let slowest = 0
  const stopping = new AbortController()
  const sessions = await Promise.all(
    Array.from({ length: 6 }, () => BelievingSession.open(port, 'user1@example.org', password)),
  )
  const asking = sessions.map(async (session) => {
    while (!stopping.signal.aborted) {
      const begun = performance.now()
      await session.ask('NOOP')
      slowest = Math.max(slowest, performance.now() - begun)
      await pause(5)
    }
    await session.close()
  })
  return {
    stop: async () => {
      stopping.abort()
      await Promise.all(asking)
      return slowest
    },
  }
}
