// The load generator as its users run it, against the gateway as its users run it: every mode, over TLS, behind headers.
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { readInbox } from '../kit/mailbox.ts'
import { freePorts } from '../kit/ports.ts'
import { run, type Outcome } from '../kit/run.ts'

const bin = fileURLToPath(new URL('../../packages/bench/bin/postern-bench.mjs', import.meta.url))
const bare = fileURLToPath(new URL('../../packages/bench/dist/connection/bare-program.js', import.meta.url))
const ports = await freePorts('admin', 'smtp', 'proxied', 'submission', 'imap', 'imaps', 'balanced')
let gateway: Gateway

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, tls: 'starttls', mode: 'off' }),
    listener('proxied', { protocol: 'smtp', bind: ports.proxied, tls: 'starttls', mode: 'require' }),
    listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'implicit', mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
    listener('balanced', { protocol: 'imap', bind: ports.balanced, tls: 'off', mode: 'require' }),
    '[smtp]\nlocal-domains = ["example.org"]',
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
})

interface Result {
  readonly requests: { readonly total: number }
  readonly errors: number
  readonly open: number
  readonly examples: readonly string[]
  readonly server?: { readonly pids: readonly number[]; readonly processes: number; readonly cpuUsPerOperation: number }
}

function bench(...args: readonly string[]): Promise<Outcome> {
  return run(process.execPath, [bin, ...args], { timeoutMs: 50_000 })
}

async function measured(...args: readonly string[]): Promise<Result> {
  const { code, stdout, stderr } = await bench('-j', '-c', '2', '-t', '20', ...args)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout) as Result
}

const user = `${encodeURIComponent(ann.name)}:${encodeURIComponent(ann.password)}`

test.each<[name: string, args: readonly string[]]>([
  ['connections that are greeted', [`smtp://127.0.0.1:${ports.smtp}`]],
  ['with a v1 header', ['--proxy', 'v1', '--clients', '192.0.2.0/24', `smtp://127.0.0.1:${ports.proxied}`]],
  ['with a v2 header', ['--proxy', 'v2', `smtp://127.0.0.1:${ports.proxied}`]],
  ['with TLVs and a checksum', ['--proxy', 'v2-tlvs', `smtp://127.0.0.1:${ports.proxied}`]],
  ['sessions', ['-m', 'session', `smtp://127.0.0.1:${ports.smtp}`]],
  ['from many addresses', ['--from', '127.9.0.0/16', `smtp://127.0.0.1:${ports.smtp}`]],
  ['IMAP greetings', [`imap://127.0.0.1:${ports.imap}`]],
  ['IMAP greetings under TLS', [`imaps://127.0.0.1:${ports.imaps}`]],
  ['IMAP sessions', ['-m', 'session', `imap://127.0.0.1:${ports.imap}`]],
  ['logins after STARTTLS', ['-m', 'login', '--starttls', `imap://${user}@127.0.0.1:${ports.imap}`]],
  ['logins under TLS', ['-m', 'login', `imaps://${user}@127.0.0.1:${ports.imaps}`]],
  [
    'logins behind a balancer that ends TLS',
    ['-m', 'login', '-P', 'v2-ssl', `imap://${user}@127.0.0.1:${ports.balanced}`],
  ],
])('%s: an amount is done, and nothing fails', async (_, args) => {
  const result = await measured('-a', '6', ...args)
  expect(result).toMatchObject({ requests: { total: 6 }, errors: 0, examples: [] })
})

test('messages arrive: in the clear, after STARTTLS, and submitted under TLS behind a header', async () => {
  const before = (await readInbox(ports.imap)).length
  const to = ['-m', 'message', '--recipient', ann.name, '-a', '4']
  await measured(...to, `smtp://127.0.0.1:${ports.smtp}`)
  await measured(...to, '-p', '2', '--starttls', '--reconnect', `smtp://127.0.0.1:${ports.smtp}`)
  const submission = `submissions://${user}@127.0.0.1:${ports.submission}`
  await measured(...to, '--proxy', 'v2', '--sender', ann.name, submission)
  expect(await readInbox(ports.imap)).toHaveLength(before + 12)
})

test('commands in a mailbox, each kind', async () => {
  const mix = 'noop,select,fetch-flags,fetch-envelope,fetch-body,store,search,search-text,append,idle'
  const url = `imap://${user}@127.0.0.1:${ports.balanced}`
  const result = await measured('-a', '20', '-m', 'imap', '--mix', mix, '-P', 'v2-ssl', '-s', '400', url)
  expect(result).toMatchObject({ requests: { total: 20 }, errors: 0 })
})

test('sessions are held in IDLE', async () => {
  const url = `imap://${user}@127.0.0.1:${ports.balanced}`
  const result = await measured('-m', 'idle', '-d', '0.2', '-P', 'v2-ssl', url)
  expect(result).toMatchObject({ open: 2, errors: 0 })
})

test('the server is found by its port, with its workers', async () => {
  const { server } = await measured('-a', '50', `smtp://127.0.0.1:${ports.smtp}`)
  expect(server?.pids).toEqual([gateway.pid])
  expect(server?.processes).toBe(3)
  expect(server?.cpuUsPerOperation).toBeGreaterThan(1)
})

test('refusals are told, and are the exit status', async () => {
  const { code, stdout } = await bench(
    '-a',
    '2',
    '-m',
    'message',
    '-c',
    '1',
    `smtp://127.0.0.1:${ports.smtp}`,
    '--recipient',
    'nobody@example.com',
  )
  expect(code).toBe(1)
  expect(stdout).toContain('Failed: 2 refused')
  expect(stdout).toContain('0 messages in')
})

test('a server is started, measured where it listens, and ended', async () => {
  const greeting = '220 mx.example\r\n'
  const command = [process.execPath, bare, greeting]
  const { code, stdout } = await bench(
    '-a',
    '5',
    '-c',
    '1',
    '--renderStatusCodes',
    '--on-port',
    'smtp://127.0.0.1',
    '--',
    ...command,
  )
  expect(code).toBe(0)
  expect(stdout).toMatch(/│ 220 +│ 5 +│/)
  expect(stdout).toContain('Conn/Sec')
})

test('a wrong command line is told, with the usage', async () => {
  const { code, stderr } = await bench('-c', 'many', 'smtp://127.0.0.1')
  expect(code).toBe(2)
  expect(stderr).toContain('connections takes a number, not "many"')
  expect(stderr).toContain('usage: postern-bench')
})
