// Backends that misbehave at one step of a transaction, behind the whole gateway: the client hears so, at once, and goes on.
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { freePorts } from '../kit/ports.ts'

const steps = ['greeting', 'hello', 'mail', 'rcpt', 'data', 'dot'] as const
type Step = (typeof steps)[number]

/** What it does instead of its reply. */
const ways = {
  closes: (socket: Socket) => void socket.end(),
  resets: (socket: Socket) => void socket.resetAndDestroy(),
  'stops in the middle of a line': (socket: Socket) => void socket.end('25'),
  'speaks another protocol': (socket: Socket) => void socket.write('* OK IMAP4rev1 ready\r\n'),
  'goes on without end': (socket: Socket) => void socket.write(`250-${'x'.repeat(100_000)}\r\n`),
  'says 421': (socket: Socket) => void socket.end('421 4.3.2 going down\r\n'),
} as const
type Way = keyof typeof ways

const rows = (['smtp', 'lmtp'] as const).flatMap((protocol) =>
  steps.flatMap((step) => (Object.keys(ways) as Way[]).map((way) => ({ protocol, step, way }))),
)

const domainOf = ({ protocol, step, way }: (typeof rows)[number]): string =>
  `${protocol}-${step}-${way.replaceAll(/\W/g, '-')}.example`

const servers: Server[] = []
let gateway: Gateway
const ports = await freePorts('front', 'round', 'admin')

beforeAll(async () => {
  const tables: string[] = []
  for (const [index, row] of rows.entries()) {
    const port = await backendThat(row)
    const upstream = `[upstream.b${index}]\nprotocol = "${row.protocol}"\nbackends = ["127.0.0.1:${port}"]\n[upstream.b${index}.health]\ncheck = false`
    tables.push(upstream, `[[route]]\nrecipients = ["${domainOf(row)}"]\nto = "b${index}"`)
  }
  const front = listener('mx', { protocol: 'smtp', bind: ports.front, mode: 'off' })
  const round = listener('round', { protocol: 'smtp', bind: ports.round, mode: 'off' })
  // The condition hides it: the configuration is taken.
  tables.push(
    `[upstream.round]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${ports.round}"]\n[upstream.round.health]\ncheck = false`,
  )
  tables.push('[[route]]\nrecipients = ["round.example"]\nclients = ["127.0.0.0/8"]\nto = "round"')
  gateway = await startGateway({ config: [front, round, ...tables].join('\n\n'), adminPort: ports.admin, accounts: [] })
})
afterAll(async () => {
  await gateway?.stop()
  for (const server of servers) server.close()
})

/** A server that takes mail until the step at which it misbehaves. */
async function backendThat({ step, way }: (typeof rows)[number]): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    const say = (at: Step, reply: string): void => {
      if (at === step) ways[way](socket)
      else socket.write(reply)
    }
    let isData = false
    let text = ''
    say('greeting', '220 backend.example\r\n')
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      for (let end = text.indexOf('\r\n'); end !== -1; end = text.indexOf('\r\n')) {
        const line = text.slice(0, end)
        text = text.slice(end + 2)
        if (isData) {
          if (line === '.') say('dot', '250 2.0.0 taken\r\n')
          isData &&= line !== '.'
        } else if (/^(?:EHLO|LHLO)/.test(line)) say('hello', '250-backend.example\r\n250 8BITMIME\r\n')
        else if (line.startsWith('MAIL')) say('mail', '250 2.1.0 ok\r\n')
        else if (line.startsWith('RCPT')) say('rcpt', '250 2.1.5 ok\r\n')
        else if (line === 'DATA') {
          say('data', '354 go on\r\n')
          isData = true
        } else socket.write(line === 'QUIT' ? '221 bye\r\n' : '250 ok\r\n')
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  servers.push(server)
  return (server.address() as AddressInfo).port
}

test.each(rows)('BK-02: $protocol, at $step it $way: 4yz in bounded time, and the session goes on', async (row) => {
  const startedAt = performance.now()
  const client = await Dialogue.connect(ports.front)
  await client.reply()
  await client.ask('EHLO client.example.net')
  expect((await client.ask('MAIL FROM:<bob@example.net>')).code).toBe(250)
  let { code } = await client.ask(`RCPT TO:<ann@${domainOf(row)}>`)
  if (code === 250) code = (await client.ask('DATA')).code
  if (code === 354) code = (await client.ask('Subject: never\r\n\r\nhello\r\n.')).code
  // 421 of a backend is its own business: our session with the client goes on.
  expect(String(code)).toMatch(/^4(?!21)\d\d$/)
  expect(performance.now() - startedAt).toBeLessThan(15_000)
  expect((await client.ask('NOOP')).code).toBe(250)
  client.destroy()
})

test('what may have arrived is told, with its hash', async () => {
  await gateway.settleLog()
  const doubtful = gateway.log.filter(({ event }) => event === 'relay.in-doubt')
  const atDot = rows.filter(({ step, way }) => step === 'dot' && way !== 'says 421')
  expect(new Set(doubtful.map(({ upstream }) => upstream))).toEqual(
    new Set(atDot.map((row) => `b${rows.indexOf(row)}`)),
  )
  for (const record of doubtful) expect(record['sha256']).toMatch(/^[0-9a-f]{64}$/)
})

test('TR-11: a way back to ourselves that no configuration shows ends with 451 when it has all connections of a client', async () => {
  const client = await Dialogue.connect(ports.round)
  await client.reply()
  await client.ask('EHLO client.example.net')
  await client.ask('MAIL FROM:<bob@example.net>')
  expect((await client.ask('RCPT TO:<ann@round.example>')).code).toBe(451)
  await gateway.waitForLog(
    'what ended it',
    ({ event, listener: at, reason }) => event === 'policy.refused' && at === 'round' && reason === 'concurrency',
    30_000,
  )
  expect((await client.ask('NOOP')).code).toBe(250)
  client.destroy()
})
