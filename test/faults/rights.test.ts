// What an address in a header is worth: a client's name, and no right. And certificates that change under handshakes.
import { copyFileSync, statSync, globSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate, type Certificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, v1, v2, v2Bytes, v2Local } from '../kit/proxy-header.ts'
import { tellFigure } from './figure.ts'
import { perTier } from './tier.ts'

const ports = await freePorts('admin', 'smtp', 'submission', 'imap', 'imaps')
let gateway: Gateway
let certificate: Certificate

beforeAll(async () => {
  certificate = await makeCertificate()
  const { cert, key } = certificate
  const tables = [
    // The balancer is of a network that clients claim as well.
    '[proxy]\ntrusted-networks = ["127.0.0.0/8", "10.0.0.0/8", "::1"]',
    // Rights by address are for a network of nobody in this test.
    '[smtp]\nlocal-domains = ["example.org"]\nrelay-networks = ["192.0.2.0/24"]',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'starttls', mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'require' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    '[policy.concurrency]\nconnections-per-client = "unlimited"',
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
})

/** Addresses that somewhere mean "one of us". */
const privileged = [
  '127.0.0.1',
  '127.1.2.3',
  '10.0.0.1',
  '172.16.0.1',
  '192.168.1.1',
  '169.254.1.1',
  '0.0.0.0',
  '255.255.255.255',
  '224.0.0.1',
  '::1',
  '::',
  '::ffff:7f00:1',
  '::ffff:a00:1',
  'fc00::1',
  'fe80::1',
  'ff02::1',
]

function headersFor(source: string): readonly Buffer[] {
  const destination = source.includes(':') ? '2001:db8::1' : ends.destination
  return [v1({ ...ends, source, destination }), v2({ ...ends, source, destination })]
}

async function connectWith(header: Buffer, port = ports.smtp): Promise<Dialogue> {
  const client = await Dialogue.connect(port)
  client.send(header)
  return client
}

/** Whether a client of this header may send to a foreign domain. */
async function relays(header: Buffer, hello = 'client.example'): Promise<boolean> {
  const client = await connectWith(header)
  try {
    if ((await client.reply()).code !== 220) return false
    await client.ask(`EHLO ${hello}`)
    if ((await client.ask('MAIL FROM:<a@example.net>')).code !== 250) return false
    return (await client.ask('RCPT TO:<user@far.example>')).code === 250
  } finally {
    client.destroy()
  }
}

describe('no claim gives the right to relay', () => {
  test('TR-01: a claimed address of this machine, of its neighbours, or of nobody', async () => {
    const relayed: string[] = []
    for (const source of privileged) {
      for (const header of headersFor(source)) if (await relays(header)) relayed.push(source)
    }
    expect(relayed).toEqual([])
    tellFigure(`0 of ${2 * privileged.length} relayed`)
  })

  test.each([
    ['LOCAL', v2Local],
    [
      'LOCAL with a block of the relay network',
      v2Bytes({ command: 0, block: v2({ ...ends, source: '192.0.2.9' }).subarray(16) }),
    ],
    ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
    ['UNKNOWN with an address of the relay network', Buffer.from('PROXY UNKNOWN 192.0.2.9 198.51.100.5 1 2\r\n')],
    ['UNSPEC', v2Bytes({ family: 0 })],
    ['UNIX', v2Bytes({ family: 0x31, block: Buffer.alloc(216, 'x') })],
  ])('TR-02: a balancer that speaks for itself: %s', async (_, header) => {
    expect(await relays(header)).toBe(false)
    const client = await connectWith(header, ports.submission)
    await client.reply()
    await client.ask('EHLO balancer.example')
    const token = Buffer.from(`\0${ann.name}\0${ann.password}`).toString('base64')
    expect((await client.ask(`AUTH PLAIN ${token}`)).code).toBeGreaterThanOrEqual(500)
    client.destroy()
  })

  test('TR-06: a name in EHLO', async () => {
    const names = ['localhost', '[127.0.0.1]', '[IPv6:::1]', 'mx.example.org', 'example.org', '[10.0.0.1]']
    for (const name of names) expect({ name, relays: await relays(v1(), name) }).toEqual({ name, relays: false })
  })

  test('TR-10: a claimed address of the balancers’ own network: no header of its own, and no XCLIENT', async () => {
    const client = await connectWith(v1({ ...ends, source: '10.1.2.3' }))
    await client.reply()
    expect((await client.ask('EHLO client.example')).text).not.toContain('XCLIENT')
    expect((await client.ask('PROXY TCP4 192.0.2.9 198.51.100.5 1 25')).code).toBe(500)
    expect((await client.ask('XCLIENT ADDR=192.0.2.9')).code).toBeGreaterThanOrEqual(500)
    expect((await client.ask('EHLO client.example')).lines[0]).toContain('[10.1.2.3]')
    client.destroy()
  })
})

test('TR-09: LOGIN stays disabled in the clear, whatever address is claimed', async () => {
  const open: string[] = []
  for (const source of ['203.0.113.7', ends.destination, ...privileged]) {
    for (const header of headersFor(source)) {
      const client = await connectWith(header, ports.imap)
      if (!(await client.line()).includes('LOGINDISABLED')) open.push(source)
      const answer = (await client.imap(`a LOGIN ${ann.name} "${ann.password}"`)).at(-1) ?? ''
      if (!answer.startsWith('a NO [PRIVACYREQUIRED]')) open.push(`${source}: ${answer}`)
      client.destroy()
    }
  }
  const local = await connectWith(v2Local, ports.imap)
  if (!(await local.line()).includes('LOGINDISABLED')) open.push('LOCAL')
  local.destroy()
  expect(open).toEqual([])
})

test('PX-10: a header later in a session, in each of its states', async () => {
  const later = 'PROXY TCP4 192.0.2.99 198.51.100.5 1 25'
  const client = await connectWith(v1(), ports.submission)
  await client.reply()
  const codes = [(await client.ask(later)).code]
  await client.ask('EHLO client.example')
  codes.push((await client.ask(later)).code)
  await client.ask('STARTTLS')
  await client.startTls()
  codes.push((await client.ask(later)).code)
  await client.ask('EHLO client.example')
  const token = Buffer.from(`\0${ann.name}\0${ann.password}`).toString('base64')
  expect((await client.ask(`AUTH PLAIN ${token}`)).code).toBe(235)
  codes.push((await client.ask(later)).code)
  expect(codes).toEqual([500, 500, 500, 500])
  await client.ask(`MAIL FROM:<${ann.name}>`)
  await client.ask(`RCPT TO:<${ann.name}>`)
  expect((await client.ask('DATA')).code).toBe(354)
  expect((await client.ask(`${later}\r\n.`)).code).toBe(250)
  expect((await client.ask('EHLO client.example')).lines[0]).toContain('203.0.113.7')
  client.destroy()

  const imap = await Dialogue.connect(ports.imaps)
  await imap.startTls()
  await imap.line()
  await imap.imap(`a LOGIN ${ann.name} "${ann.password}"`)
  expect((await imap.imap(later)).at(-1)).toMatch(/^PROXY BAD /)
  await imap.imap('b SELECT INBOX')
  imap.command('c IDLE')
  await imap.line()
  imap.command(later)
  expect(await imap.line()).toMatch(/BAD /)
  imap.destroy()
  expect(gateway.log.some((record) => record['client'] === '192.0.2.99')).toBe(false)
})

async function fingerprint(): Promise<string> {
  const client = await Dialogue.connect(ports.imaps)
  const secure = await client.startTls()
  const { fingerprint256 } = secure.getPeerCertificate()
  client.destroy()
  return fingerprint256
}

test('HD-05: what is kept is its owner’s alone', async () => {
  const client = await connectWith(v1())
  await client.reply()
  await client.ask('EHLO client.example')
  await client.ask('MAIL FROM:<a@example.net>')
  await client.ask(`RCPT TO:<${ann.name}>`)
  await client.ask('DATA')
  expect((await client.ask('Subject: mine\r\n\r\nx\r\n.')).code).toBe(250)
  client.destroy()
  const paths = globSync(join(gateway.folder, 'data/mail/**/*'))
  expect(paths.length).toBeGreaterThan(5)
  const shared = paths.filter((path) => (statSync(path).mode & 0o077) !== 0)
  expect(shared).toEqual([])
})

test(
  'TL-13: certificates replaced under handshakes: none fails, and a pair that does not fit changes nothing',
  { timeout: 900_000 },
  async () => {
    const changes = perTier({ change: 1, nightly: 20, release: 20 })
    // As long as its workers may take to start, one after the other, on a machine that is busy.
    const reloadMs = 120_000
    const stopping = new AbortController()
    const failures: string[] = []
    let handshakes = 0
    const shaking = Promise.all(
      Array.from({ length: 2 }, async () => {
        while (!stopping.signal.aborted) {
          try {
            const client = await Dialogue.connect(ports.imaps)
            await client.startTls()
            if (!(await client.line()).startsWith('* OK')) failures.push('no greeting')
            client.destroy()
            handshakes += 1
          } catch (error) {
            failures.push(String(error))
          }
        }
      }),
    )
    const seen = new Set([await fingerprint()])
    const reloads = (event: string): number => gateway.log.filter((record) => record.event === event).length
    for (let change = 1; change <= changes; change += 1) {
      const next = await makeCertificate()
      copyFileSync(next.cert, certificate.cert)
      copyFileSync(next.key, certificate.key)
      gateway.signal('SIGHUP')
      await eventually('the reload', () => (reloads('gateway.reloaded') >= change ? true : undefined), reloadMs)
      seen.add(await fingerprint())
    }
    expect(seen.size).toBe(changes + 1)
    const last = await fingerprint()
    copyFileSync((await makeCertificate()).key, certificate.key)
    gateway.signal('SIGHUP')
    await eventually('the refusal', () => (reloads('gateway.reload-refused') > 0 ? true : undefined), reloadMs)
    expect(await fingerprint()).toBe(last)
    stopping.abort()
    await shaking
    expect(failures).toEqual([])
    tellFigure(`${changes} changes under ${handshakes} handshakes: 0 failed`)
  },
)
