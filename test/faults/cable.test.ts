// BK-12: the cable behind open connections is cut. RS-08: it loses packets, and lets some overtake others.
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { eventually, within } from '../kit/patience.ts'
import { contentOf, startPersistentSenders } from '../kit/persistent-senders.ts'
import { start } from '../kit/run.ts'
import { tellFigure } from './figure.ts'
import { descriptors } from './processes.ts'
import { perTier, tier } from './tier.ts'
import { startTwoMachines, whyNoMachines, type TwoMachines } from './two-machines.ts'

const why = whyNoMachines()
if (why !== undefined) process.stdout.write(`\nno cable is cut here: ${why}\n`)

/**
 * The kernel sends again for 15 minutes before it gives a connection up, so the gateway's own deadlines and its probes of
 * silent connections are what ends them. With each change the kernel is told to give up first, within a second or two.
 */
const hasOwnDeadlines = tier !== 'change'
/** The longest of the own deadlines is that for a block of a message, and that for a silent connection: a minute, and ten probes. */
const patienceMs = hasOwnDeadlines ? 120_000 : 30_000
const ports = { smtp: 2525, imaps: 2993, admin: 2080 }
/** Serials that no sender gets to. */
const [before, after] = [1_000_001, 1_000_002]
/** Serials that the backend has taken. */
const taken = new Set<number>()
/** Why the backend is gone; it never is. */
let backendEnd: string | undefined
let machines: TwoMachines
let gateway: Gateway

beforeAll(async () => {
  if (why !== undefined) return
  machines = await startTwoMachines()
  const backend = startBackend()
  const { cert, key } = await makeCertificate()
  const at = (port: number): readonly string[] => [`${machines.host}:${port}`]
  const config = [
    listener('mx', { protocol: 'smtp', bind: at(ports.smtp), mode: 'off' }),
    listener('imaps', { protocol: 'imap', bind: at(ports.imaps), tls: 'implicit', mode: 'off' }).replace(
      '\nbind',
      '\nsign-in = "upstream"\nbind',
    ),
    // Senders that are put off come again at once.
    '[policy]\nexempt-networks = ["198.51.100.0/24"]',
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    '[upstream.far]\nprotocol = "smtp"\nbackends = ["192.0.2.2:25"]\nidle-time = "30s"',
    health('far'),
    '[upstream.boxes]\nprotocol = "imap"\nbackends = ["192.0.2.2:143"]\ncredentials-in-clear = true',
    health('boxes'),
    '[[route]]\nrecipients = ["far.example"]\nto = "far"',
    '[[route]]\nlisteners = ["imaps"]\nto = "boxes"',
  ]
  await backend
  gateway = await startGateway({
    config: config.join('\n\n'),
    adminPort: ports.admin,
    accounts: [],
    under: machines.near,
  })
})
afterAll(async () => {
  await gateway?.stop()
  machines?.remove()
})

const health = (upstream: string): string =>
  `[upstream.${upstream}.health]\ninterval = "500ms"\ntimeout = "500ms"\nrise = 1\nfall = 2`

async function startBackend(): Promise<void> {
  const program = fileURLToPath(new URL('far-backend.ts', import.meta.url))
  const [ip = '', ...args] = machines.far
  const child = start(ip, [...args, process.execPath, '--conditions=@postern/source', program])
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const lines = createInterface({ input: child.stdout! })
  const ready = Promise.withResolvers<void>()
  child.once('close', (code) => (backendEnd = `${code} ${errors}`))
  lines.on('line', (line) => (line === 'ready' ? ready.resolve() : taken.add(Number(line))))
  await within(30_000, () => `the backend; ${errors}`, ready.promise)
}

/** A transaction up to the reply to its RCPT. */
async function recipient(client: Dialogue): Promise<number> {
  await client.ask('MAIL FROM:<bob@example.net>')
  return (await client.ask('RCPT TO:<ann@far.example>')).code
}

async function greeted(): Promise<Dialogue> {
  const client = await Dialogue.connect(ports.smtp, { host: machines.host, timeoutMs: patienceMs })
  await client.expect(220)
  expect((await client.ask('EHLO client.example.net')).code).toBe(250)
  return client
}

async function send(client: Dialogue, serial: number): Promise<void> {
  expect(await recipient(client)).toBe(250)
  expect((await client.ask('DATA')).code).toBe(354)
  client.send(`${contentOf(serial)}.\r\n`)
  await client.expect(250)
}

async function signedIn(): Promise<Dialogue> {
  const client = await Dialogue.connect(ports.imaps, { host: machines.host, timeoutMs: patienceMs })
  await client.startTls()
  await client.line()
  expect((await client.imap('a LOGIN ann@far.example secret')).at(-1)).toMatch(/^a OK/)
  expect((await client.imap('b NOOP')).at(-1)).toMatch(/^b OK/)
  return client
}

test.skipIf(why !== undefined)(
  'BK-12: a cable is cut behind a message, a connection that is kept and a user: each ends in time, and mail flows when it is whole',
  { timeout: 4 * patienceMs },
  async () => {
    const calm = descriptors(gateway)
    const inData = await greeted()
    expect(await recipient(inData)).toBe(250)
    expect((await inData.ask('DATA')).code).toBe(354)
    inData.send('Subject: half\r\n\r\n')
    const kept = await greeted()
    await send(kept, before)
    const user = await signedIn()

    if (!hasOwnDeadlines) await setRetries(1)
    await machines.cable('cut')
    const cutAt = performance.now()
    // More than buffers on the way take, where a block must be waited for.
    inData.send(`${`${'x'.repeat(62)}\r\n`.repeat(hasOwnDeadlines ? 400_000 : 100)}.\r\n`)
    if (!hasOwnDeadlines) user.command('c NOOP')
    const times: string[] = []
    const ended = async <End>(what: string, end: Promise<End>): Promise<End> => {
      const how = await end
      times.push(`${what} after ${((performance.now() - cutAt) / 1_000).toFixed(1)} s`)
      return how
    }
    // Over a connection that was kept; behind its silence a new one is tried, for five seconds more.
    const next = hasOwnDeadlines ? ended('the next message', recipient(kept)) : 451
    const [message, session] = await Promise.all([
      ended('a message', inData.reply()),
      ended('a user', user.end()),
      ended('the look at the backend for mail', isDown('far')),
      ended('at the other', isDown('boxes')),
    ])
    expect(message.code).toBe(451)
    expect(session).toMatch(/^\* BYE /)
    expect(await next).toBe(451)
    const { msg } = await gateway.waitForLog('why the message failed', ({ event }) => event === 'relay.failed')
    expect(String(msg)).toMatch(hasOwnDeadlines ? /\d+ ms$/ : /ETIMEDOUT/)
    tellFigure(`ended behind the cut: ${times.join(', ')}`)
    for (const client of [inData, kept, user]) client.destroy()
    await eventually('all descriptors to be given back', () => (descriptors(gateway) <= calm + 2 ? true : undefined))

    await machines.cable('whole')
    const client = await greeted()
    await eventually(
      'mail to flow',
      async () => ((await recipient(client)) === 250 ? true : void (await client.ask('RSET'))),
      patienceMs,
    )
    await client.ask('RSET')
    await send(client, after)
    expect([...taken].toSorted((a, b) => a - b)).toEqual([before, after])
    const again = await eventually('users to come in', () => signedIn().catch(() => undefined), patienceMs)
    again.destroy()
    client.destroy()
  },
)

/** tcp(7), `tcp_retries2`; of the near machine alone. */
async function setRetries(count: number): Promise<void> {
  const [ip = '', ...args] = machines.near
  await once(start(ip, [...args, 'sh', '-c', `echo ${count} > /proc/sys/net/ipv4/tcp_retries2`]), 'close')
}

function isDown(upstream: string): Promise<unknown> {
  const accepts: Parameters<Gateway['waitForLog']>[1] = (record) =>
    record.event === 'upstream.down' && record['upstream'] === upstream
  return gateway.waitForLog(`that ${upstream} is down`, accepts, patienceMs)
}

test.skipIf(why !== undefined)(
  'RS-08: packets are lost, late and out of order between us and a backend: nothing acknowledged is lost',
  { timeout: 4 * patienceMs },
  async () => {
    await setRetries(15)
    await machines.cable('bad')
    const senders = startPersistentSenders({
      host: machines.host,
      port: ports.smtp,
      protocol: 'smtp',
      recipients: ['ann@far.example'],
      senders: perTier({ change: 3, nightly: 8, release: 8 }),
    })
    const enough = senders.acknowledgedMore(perTier({ change: 3, nightly: 500, release: 2_000 }))
    await within(3 * patienceMs, () => `mail to arrive; the backend: ${backendEnd ?? 'is there'}`, enough)
    await senders.stop()
    await machines.cable('whole')
    const { acknowledged, broken } = senders.ledger
    // A reply comes back over the cable; what the backend tells of itself does not.
    await expect.poll(() => [...acknowledged.keys()].filter((serial) => !taken.has(serial))).toEqual([])
    tellFigure(
      `5 % of packets lost, 20 ms late, 25 % overtaking: ${acknowledged.size} acknowledged, ${broken} attempts broken, 0 lost`,
    )
  },
)
