// RS-04: many IMAP sessions that idle. What each of them costs is looked at from outside: all memory of the workers, before
// and after, as the kernel counts it.
import { argon2Sync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { startGateway, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { eventually, within } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { start } from '../kit/run.ts'
import { tellFigure } from './figure.ts'
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

async function started(users: number): Promise<{ gateway: Gateway; ports: { plain: number; tls: number } }> {
  const ports = await freePorts('admin', 'plain', 'tls')
  const { cert, key } = await makeCertificate()
  const folder = temporaryFolder('idle')
  seed(folder, users)
  const config = [
    '[server]\nhostname = "mx.example.org"\nworkers = 2\ndata-dir = "data"',
    listener('plain', { protocol: 'imap', bind: ports.plain, mode: 'require', trusted: ['127.0.0.0/8'] }),
    listener('tls', { protocol: 'imap', bind: ports.tls, tls: 'implicit', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    '[policy]\nexempt-networks = ["127.0.0.0/8", "203.0.0.0/16"]',
  ].join('\n\n')
  const gateway = await startGateway({ config, adminPort: ports.admin, accounts: [], folder, keeps: isOfGateway })
  cleanUps.push(() => gateway.stop())
  return { gateway, ports }
}

/** A log of ten thousand connections would be more than it is for. */
const isOfGateway = ({ event }: LogRecord): boolean => event?.startsWith('gateway.') === true

/** Sessions that idle, until they are let go of. */
async function idlers(
  channel: 'plain' | 'tls',
  port: number,
  count: number,
): Promise<{ readonly letGo: () => Promise<void> }> {
  const users = Math.ceil(count / sessionsPerUser)
  const child = start(process.execPath, [program, channel, String(port), String(count), String(users)])
  let told = ''
  child.stderr?.on('data', (chunk: Buffer) => (told += chunk.toString()))
  const ended = once(child, 'close')
  cleanUps.push(() => void child.kill('SIGKILL'))
  child.stdin?.write(`${password}\n`)
  const all = new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', () => resolve())
    child.once('close', () => reject(new Error(`the idle ended:\n${told}`)))
  })
  await within(240_000, () => `${count} sessions to idle; ${told}`, all)
  return {
    letGo: async () => {
      child.stdin?.end()
      await ended
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
    const { gateway, ports } = await started(Math.ceil(count / sessionsPerUser))
    await (await idlers(channel, ports[channel], warmup)).letGo()
    const rest = () => (gateway.workers().every((pid) => descriptorsOf(pid) < 60) ? true : undefined)
    await eventually('the first sessions to be gone', rest, 30_000)
    const before = await settledBytes(gateway)
    const many = await idlers(channel, ports[channel], count)
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
