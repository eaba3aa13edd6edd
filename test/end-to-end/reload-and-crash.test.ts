// What survives what: a worker that is killed, a reload under load, a full disk, a broken configuration, a stop.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { makeCertificate } from '../kit/certificates.ts'
import { Dialogue, type SmtpReply } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { ann, startGateway, type Gateway, type GatewayOptions, type LogRecord } from '../kit/gateway.ts'
import { startLoad, type Ledger } from '../kit/load.ts'
import { openImap, readInbox } from '../kit/mailbox.ts'
import { eventually, within } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'

const cleanUps: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

interface Started {
  readonly gateway: Gateway
  readonly ports: Record<'admin' | 'smtp' | 'imap', number>
  readonly config: string
}

async function start(options: Partial<GatewayOptions> = {}): Promise<Started> {
  const ports = await freePorts('admin', 'smtp', 'imap')
  const { cert, key } = await makeCertificate()
  const tables = [
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    // Who was there before a reload may stay until a test has seen it, however slow the machine.
    '[limits]\ndrain-timeout = "10m"',
  ]
  const config = tables.join('\n\n')
  const gateway = await startGateway({ config, adminPort: ports.admin, ...options })
  cleanUps.push(() => gateway.stop())
  return { gateway, ports, config }
}

/** Every message that was acknowledged is in the store, and nothing that was never sent. */
async function expectNothingLost(ledger: Ledger, imapPort: number): Promise<void> {
  const subjects = new Set<string>()
  for (const message of await readInbox(imapPort)) {
    const subject = /^Subject: (load-\d+)\r$/m.exec(message)?.[1]
    if (subject !== undefined) subjects.add(subject)
  }
  expect([...ledger.acknowledged].filter((subject) => !subjects.has(subject))).toEqual([])
  expect([...subjects].filter((subject) => !ledger.sent.has(subject))).toEqual([])
}

describe('a worker that dies', { timeout: 420_000 }, () => {
  test('X5: kill -9 under load loses only what that worker had not acknowledged; its place is taken', async () => {
    const { gateway, ports } = await start()
    const before = gateway.workers()
    expect(before).toHaveLength(2)
    const load = startLoad(ports.smtp, 16, ann.name, 5)
    await load.acknowledgedMore(100)
    const [first = 0] = before
    process.kill(first, 'SIGKILL')
    await within(100_000, 'deliveries after the first kill', load.acknowledgedMore(100))
    const isSuccessor = ({ event, workerPid }: LogRecord): boolean =>
      event === 'worker.ready' && !before.includes(Number(workerPid))
    const second = Number((await gateway.waitForLog('a successor', isSuccessor))['workerPid'])
    await within(100_000, 'deliveries with the successor', load.acknowledgedMore(100))
    process.kill(second, 'SIGKILL')
    await within(100_000, 'deliveries after the second kill', load.acknowledgedMore(100))
    await load.stop()

    await gateway.settleLog()
    expect(gateway.log.filter(({ event }) => event === 'worker.crashed')).toHaveLength(2)
    // A worker serves about half of the sixteen; nobody else noticed anything.
    expect(load.ledger.broken.length).toBeGreaterThan(0)
    expect(load.ledger.broken.length).toBeLessThanOrEqual(32)
    await eventually('two workers', () => (gateway.workers().length === 2 ? true : undefined))
    await expectNothingLost(load.ledger, ports.imap)
  })

  test('X5: the sessions of the other worker go on', async () => {
    const { gateway, ports } = await start()
    const sessions = await Promise.all(
      Array.from({ length: 24 }, async (_, index) => {
        const client = await Dialogue.connect(ports.smtp, { from: `127.0.2.${index + 1}` })
        await client.reply()
        await client.ask('EHLO client.example.net')
        return client
      }),
    )
    const [victim = 0] = gateway.workers()
    process.kill(victim, 'SIGKILL')
    const answers = await Promise.all(
      sessions.map((client) =>
        client.ask('NOOP').then(
          () => 'served',
          () => 'cut',
        ),
      ),
    )
    expect(new Set(answers)).toEqual(new Set(['served', 'cut']))
    for (const client of sessions) client.destroy()
    await gateway.waitForLog(
      'the crash',
      ({ event, ...fields }) => event === 'worker.crashed' && fields['workerPid'] === victim,
    )
  })
})

test('X5: kill -9 of every process under load: what was acknowledged is there at the next start', async () => {
  const { gateway, ports, config } = await start()
  const load = startLoad(ports.smtp, 16, ann.name, 5)
  await load.acknowledgedMore(200)
  const ended = load.stop()
  await gateway.kill()
  await ended
  cleanUps.length = 0
  const again = await startGateway({ config, adminPort: ports.admin, folder: gateway.folder, accounts: [] })
  cleanUps.push(() => again.stop())
  expect(load.ledger.acknowledged.size).toBeGreaterThanOrEqual(200)
  await expectNothingLost(load.ledger, ports.imap)
  const client = await Dialogue.connect(ports.smtp)
  expect((await client.reply()).code).toBe(220)
  client.destroy()
})

/** New workers start one after the other, and a machine that is busy gives each of them half a minute. */
const reloadMs = 100_000

describe('reload', () => {
  test('OP-01, X5: SIGHUP under load loses no connection', { timeout: 420_000 }, async () => {
    const { gateway, ports } = await start()
    const lasting = await Dialogue.connect(ports.smtp)
    await lasting.reply()
    await lasting.ask('EHLO lasting.example.net')
    await lasting.ask('MAIL FROM:<x@example.net>')

    const load = startLoad(ports.smtp, 12, ann.name, 2)
    for (let round = 1; round <= 3; round += 1) {
      await load.acknowledgedMore(60)
      const before = gateway.workers()
      gateway.signal('SIGHUP')
      const reloaded = (): boolean => gateway.log.filter(({ event }) => event === 'gateway.reloaded').length === round
      await eventually('the end of the reload', () => reloaded() || undefined, reloadMs)
      expect(gateway.workers().filter((pid) => !before.includes(pid))).toHaveLength(2)
    }
    await load.acknowledgedMore(60)
    await load.stop()
    expect(load.ledger.broken).toEqual([])
    expect(load.ledger.connections).toBeGreaterThan(100)
    expect(load.ledger.acknowledged).toEqual(load.ledger.sent)

    // A session that was there before the first reload still has its worker, and its transaction.
    expect((await lasting.ask(`RCPT TO:<${ann.name}>`)).code).toBe(250)
    expect((await lasting.ask('DATA')).code).toBe(354)
    expect((await lasting.ask('Subject: lasting\r\n\r\ntext\r\n.')).code).toBe(250)
    await lasting.ask('QUIT')
    await lasting.end()
    await expectNothingLost(load.ledger, ports.imap)
  })

  test('the live part changes for new connections; one keeps what it was born with', async () => {
    const { gateway, ports } = await start()
    const old = await Dialogue.connect(ports.smtp, { from: '127.0.3.3' })
    await old.reply()
    gateway.rewriteConfig((text) => `${text}\n[policy]\ndeny = ["127.0.3.0/24"]\n`)
    gateway.signal('SIGHUP')
    await gateway.waitForLog('the reload', ({ event }) => event === 'gateway.reloaded', reloadMs)
    expect((await old.ask('EHLO client.example.net')).code).toBe(250)
    const denied = await Dialogue.connect(ports.smtp, { from: '127.0.3.3' })
    expect(await denied.end()).toMatch(/^554 /)
    await old.ask('QUIT')
    await old.end()
  })

  test('a configuration with problems changes nothing, and the log says what is wrong and where', async () => {
    const { gateway, ports } = await start()
    const before = gateway.workers()
    gateway.rewriteConfig((text) => text.replace('mode = "off"', 'mode = "maybe"'))
    gateway.signal('SIGHUP')
    const refused = await gateway.waitForLog('the refusal', ({ event }) => event === 'gateway.reload-refused')
    expect(JSON.stringify(refused['problems'])).toContain('listener.mx.proxy.mode')
    expect(gateway.workers()).toEqual(before)
    const client = await Dialogue.connect(ports.smtp)
    expect((await client.reply()).code).toBe(220)
    client.destroy()
  })

  test('X5: listeners and workers change without a connection lost', { timeout: 420_000 }, async () => {
    const { gateway, ports } = await start()
    const { extra } = await freePorts('extra')
    const load = startLoad(ports.smtp, 8, ann.name, 5)
    await load.acknowledgedMore(20)
    const reloaded = (): number => gateway.log.filter(({ event }) => event === 'gateway.reloaded').length
    const change = async (rewrite: (text: string) => string): Promise<void> => {
      const before = reloaded()
      gateway.rewriteConfig(rewrite)
      gateway.signal('SIGHUP')
      await eventually('the reload', () => (reloaded() > before ? true : undefined), reloadMs)
      expect(gateway.log.filter(({ event }) => event === 'gateway.reload-refused')).toEqual([])
    }
    const more = listener('extra', { protocol: 'smtp', bind: extra, mode: 'off' })
    await change((text) => `${text.replace('workers = 2', 'workers = 3')}\n${more}\n`)
    expect(gateway.log.findLast(({ event }) => event === 'gateway.reloaded')).toMatchObject({
      paths: ['server.workers', 'listener.extra'],
    })
    const client = await Dialogue.connect(extra)
    expect((await client.reply()).code).toBe(220)
    client.destroy()
    await load.acknowledgedMore(20)
    await change((text) => text.replace('workers = 3', 'workers = 1').replace(more, ''))
    await load.acknowledgedMore(20)
    await load.stop()
    expect(load.ledger.broken).toEqual([])
    await eventually('one worker', () => (gateway.workers().length === 1 ? true : undefined), 60_000)
    await eventually('the port to be free', () =>
      Dialogue.connect(extra).then(
        (late) => late.destroy(),
        () => true,
      ),
    )
    await expectNothingLost(load.ledger, ports.imap)
  })

  test('an address that somebody else has changes nothing', async () => {
    const { gateway, ports } = await start()
    const before = gateway.workers()
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    cleanUps.push(() => void other.close())
    const { port } = other.address() as AddressInfo
    gateway.rewriteConfig((text) => `${text}\n${listener('extra', { protocol: 'smtp', bind: port, mode: 'off' })}`)
    gateway.signal('SIGHUP')
    const failed = await gateway.waitForLog('that it failed', ({ event }) => event === 'gateway.reload-failed')
    expect(failed['reason']).toContain(`EADDRINUSE 127.0.0.1:${port}`)
    expect(gateway.workers()).toEqual(before)
    const client = await Dialogue.connect(ports.smtp)
    expect((await client.reply()).code).toBe(220)
    client.destroy()
  })
})

describe('stop', () => {
  test('C10: SIGTERM says 421 and BYE to every session, ends with status 0, and the port is free again', async () => {
    const { gateway, ports } = await start()
    const smtp = await Dialogue.connect(ports.smtp)
    await smtp.reply()
    await smtp.ask('EHLO client.example.net')
    const imap = await Dialogue.connect(ports.imap)
    await imap.line()
    const ends = Promise.all([smtp.end(), imap.end()])
    await gateway.stop()
    const [smtpEnd, imapEnd] = await ends
    expect(smtpEnd).toMatch(/^421 4\.3\.2 /)
    expect(imapEnd).toMatch(/^\* BYE /)
    await expect(Dialogue.connect(ports.smtp)).rejects.toThrow('ECONNREFUSED')
    cleanUps.length = 0
  })

  test('OP-02: a message that is under way is finished first', async () => {
    const { gateway, ports } = await start()
    const client = await Dialogue.connect(ports.smtp)
    await client.reply()
    await client.ask('EHLO client.example.net')
    await client.ask('MAIL FROM:<x@example.net>')
    await client.ask(`RCPT TO:<${ann.name}>`)
    await client.ask('DATA')
    client.send('Subject: load-1\r\n\r\nhalf of it\r\n')
    gateway.signal('SIGTERM')
    await gateway.waitForLog('that it stops', ({ event }) => event === 'gateway.stopping')
    client.send('and the rest\r\n.\r\n')
    expect((await client.reply()).code).toBe(250)
    expect(await client.end()).toMatch(/^(?:421 [^\r\n]*\r\n)?$/)
    await gateway.stop()
    cleanUps.length = 0
  })
})

const uid = process.getuid?.() ?? 0
/** Mounting needs root, or sudo without a password. */
const asRoot = uid === 0 ? [] : ['sudo', '-n']

function root(...command: readonly string[]): void {
  const [program = '', ...args] = [...asRoot, ...command]
  execFileSync(program, args, { stdio: 'pipe' })
}

function mayMount(): boolean {
  try {
    root('true')
    return true
  } catch {
    return false
  }
}

/** A folder whose `data` is a file system of its own, small enough to be filled. */
function mountSmall(size: string): string {
  const folder = temporaryFolder('small')
  const data = join(folder, 'data')
  mkdirSync(data)
  root('mount', '-t', 'tmpfs', '-o', `size=${size},uid=${uid},mode=700`, 'tmpfs', data)
  cleanUps.push(() => {
    root('umount', '-l', data)
  })
  return folder
}

async function greet(port: number): Promise<Dialogue> {
  const client = await Dialogue.connect(port)
  await client.reply()
  await client.ask('EHLO client.example.net')
  return client
}

/** One transaction of 36 KB, up to the first reply that refuses it. */
async function deliver(client: Dialogue, subject: string): Promise<SmtpReply> {
  const text = `${'x'.repeat(70)}\r\n`.repeat(500)
  for (const command of ['MAIL FROM:<x@example.net>', `RCPT TO:<${ann.name}>`, 'DATA']) {
    const reply = await client.ask(command)
    if (reply.code >= 400) return reply
  }
  return client.ask(`Subject: ${subject}\r\n\r\n${text}.`)
}

async function storedSubjects(port: number): Promise<readonly (string | undefined)[]> {
  return (await readInbox(port)).map((message) => /^Subject: ([\w-]+)\r$/m.exec(message)?.[1])
}

test('a folder that may not be written to is 451, with the cause in the log, and used again when it may', async () => {
  // Root may write everywhere by a capability, which the gateway has no need of.
  const withoutIt = ['setpriv', '--bounding-set=-dac_override,-dac_read_search']
  const { gateway, ports } = await start(uid === 0 ? { under: withoutIt } : {})
  const client = await greet(ports.smtp)
  expect(await deliver(client, 'before')).toMatchObject({ code: 250 })
  const folders = readdirSync(gateway.folder, { recursive: true, encoding: 'utf8' })
  const tmp = join(gateway.folder, folders.find((name) => name.endsWith('Maildir/tmp')) ?? '')
  chmodSync(tmp, 0o500)
  const refused = await deliver(client, 'meanwhile')
  expect(refused.code).toBe(451)
  expect(refused.text).toMatch(/^4\.3\.0 /)
  const told = await gateway.waitForLog('the cause', (record) => JSON.stringify(record).includes('EACCES'))
  expect(['warn', 'error']).toContain(told['level'])
  await client.ask('RSET')
  chmodSync(tmp, 0o700)
  expect(await deliver(client, 'afterwards')).toMatchObject({ code: 250 })
  client.destroy()
  expect(await storedSubjects(ports.imap)).toEqual(['before', 'afterwards'])
})

describe.skipIf(!mayMount())('a disk that fails (needs root, or sudo without a password, to mount one)', () => {
  test('a full disk is 452, the session goes on, nothing acknowledged is lost, and room is used again', async () => {
    const { gateway, ports } = await start({ folder: mountSmall('1m') })
    const client = await greet(ports.smtp)
    const ledger: Ledger = { sent: new Set(), acknowledged: new Set(), broken: [], connections: 1 }
    let refused: SmtpReply = { code: 0, lines: [], text: '' }
    for (let count = 0; count < 60 && refused.code === 0; count += 1) {
      const subject = `load-${count}`
      ledger.sent.add(subject)
      const reply = await deliver(client, subject)
      if (reply.code === 250) ledger.acknowledged.add(subject)
      else refused = reply
      await client.ask('RSET')
    }
    expect(refused).toMatchObject({ code: 452 })
    expect(refused.text).toMatch(/^4\.3\.1 /)
    expect(ledger.acknowledged.size).toBeGreaterThan(5)
    expect((await client.ask('NOOP')).code).toBe(250)
    const told = await gateway.waitForLog('the full disk', (record) => JSON.stringify(record).includes('ENOSPC'))
    expect(['warn', 'error']).toContain(told['level'])
    await expectNothingLost(ledger, ports.imap)

    const imap = await openImap(ports.imap)
    await imap.mailboxOpen('INBOX')
    await imap.messageDelete('1:5')
    await imap.logout()
    expect(await deliver(client, 'load-100')).toMatchObject({ code: 250 })
    client.destroy()
  })

  test('a file system that became read-only is 451, and used again when it may be written', async () => {
    const folder = mountSmall('4m')
    const { gateway, ports } = await start({ folder })
    const client = await greet(ports.smtp)
    expect(await deliver(client, 'before')).toMatchObject({ code: 250 })
    root('mount', '-o', 'remount,ro', join(folder, 'data'))
    const refused = await deliver(client, 'meanwhile')
    expect(refused.code).toBe(451)
    expect(refused.text).toMatch(/^4\.3\.0 /)
    await gateway.waitForLog('the cause', (record) => JSON.stringify(record).includes('EROFS'))
    await client.ask('RSET')
    root('mount', '-o', 'remount,rw', join(folder, 'data'))
    expect(await deliver(client, 'afterwards')).toMatchObject({ code: 250 })
    client.destroy()
    expect(await storedSubjects(ports.imap)).toEqual(['before', 'afterwards'])
  })
})
