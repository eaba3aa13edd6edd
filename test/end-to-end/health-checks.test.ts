// Balancers that look whether we live: HAProxy's own checks, each kind, and what AWS NLB sends. They find the gateway up,
// and leave neither errors nor noise in its log.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nlbHealthCheck } from '../kit/captured.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { startHaproxy, type Haproxy } from '../kit/haproxy.ts'
import { freePorts } from '../kit/ports.ts'
import { v2Local } from '../kit/proxy-header.ts'

const ports = await freePorts('admin', 'smtp', 'imap')
let gateway: Gateway
let haproxy: Haproxy

/** Every kind of check that HAProxy has for mail, by the name of its backend. */
const checks: Readonly<Record<string, string>> = {
  'connect-v1': `server s 127.0.0.1:${ports.smtp} send-proxy check check-send-proxy`,
  'connect-v2': `server s 127.0.0.1:${ports.smtp} send-proxy-v2 check check-send-proxy`,
  // No header with the check: the port is opened and reset at once.
  'connect-bare': `server s 127.0.0.1:${ports.smtp} send-proxy-v2 check`,
  'tcp-check-v1': smtpDialogue(`send-proxy`),
  'tcp-check-v2': smtpDialogue(`send-proxy-v2`),
  'smtpchk-v1': `option smtpchk EHLO balancer.example.org
  server s 127.0.0.1:${ports.smtp} send-proxy check check-send-proxy`,
  'smtpchk-v2': `option smtpchk EHLO balancer.example.org
  server s 127.0.0.1:${ports.smtp} send-proxy-v2 check check-send-proxy`,
  'smtpchk-helo': `option smtpchk
  server s 127.0.0.1:${ports.smtp} send-proxy-v2 check check-send-proxy`,
  'imap-v1': imapDialogue('send-proxy'),
  'imap-v2': imapDialogue('send-proxy-v2'),
}

function smtpDialogue(sends: string): string {
  return `option tcp-check
  tcp-check expect rstring ^220
  tcp-check send QUIT\\r\\n
  tcp-check expect rstring ^221
  server s 127.0.0.1:${ports.smtp} ${sends} check check-send-proxy`
}

function imapDialogue(sends: string): string {
  return `option tcp-check
  tcp-check expect rstring "^\\* OK"
  tcp-check send "a LOGOUT\\r\\n"
  tcp-check expect rstring "^\\* BYE"
  server s 127.0.0.1:${ports.imap} ${sends} check check-send-proxy`
}

beforeAll(async () => {
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require' }),
    // A balancer that looks every 50 ms in ten ways is not throttled for it.
    '[policy.rate]\nconnections-per-client = "5/1m"',
    '[policy.concurrency]\nconnections-per-client = 2',
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
  const backends = Object.entries(checks).map(([name, lines]) => `backend ${name}\n  ${lines}`)
  haproxy = await startHaproxy(`
defaults
  mode tcp
  timeout connect 2s
  timeout client 5s
  timeout server 5s
  timeout check 20s
  default-server inter 50ms fall 1 rise 2

${backends.join('\n\n')}
`)
})
afterAll(async () => {
  await haproxy?.stop()
  await gateway?.stop()
})

test.each(Object.keys(checks))('H6, H7, H8, J15: HAProxy finds the server up: %s', async (backend) => {
  const { status, check } = await haproxy.waitUntilUp(backend, 's')
  expect(status).toBe('UP')
  expect(check).toBe(backend === 'connect-bare' || backend.startsWith('connect-v') ? 'L4OK' : 'L7OK')
})

test.each([
  ['NLB: LOCAL, with TLVs where addresses should be', nlbHealthCheck],
  ['LOCAL of length 0', v2Local],
])('C7, W9: %s: greeted, may say QUIT', async (_, header) => {
  const client = await Dialogue.connect(ports.smtp)
  client.send(header)
  expect((await client.reply()).code).toBe(220)
  const hello = await client.ask('EHLO nlb.example.org')
  expect(hello.lines[0]).toContain('127.0.0.1')
  expect(hello.lines[0]).not.toContain('3.0.4.188')
  expect((await client.ask('QUIT')).code).toBe(221)
  expect(await client.end()).toBe('')
})

test('C7: NLB also sends its check and hangs up', async () => {
  for (let count = 0; count < 20; count += 1) {
    const client = await Dialogue.connect(ports.smtp)
    client.send(nlbHealthCheck)
    client.reset()
  }
  const next = await Dialogue.connect(ports.smtp)
  next.send(nlbHealthCheck)
  expect((await next.reply()).code).toBe(220)
  next.destroy()
})

test('H7, H8, J15: hundreds of checks leave no error, no warning and no line of their own', async () => {
  await gateway.settleLog()
  for (const backend of Object.keys(checks)) await haproxy.waitUntilUp(backend, 's')
  // One line a minute, for as long as this takes, says how many there were.
  const told = gateway.log.filter(({ event }) => !/^(?:gateway|worker|health)\./.test(event ?? ''))
  expect(told).toEqual([])
  expect(gateway.log.filter(({ level }) => level !== 'info')).toEqual([])
})

test('the health endpoint tells a balancer in its own way', async () => {
  const response = await fetch(`http://127.0.0.1:${ports.admin}/healthz`)
  expect(response.status).toBe(200)
  expect(await response.json()).toMatchObject({ status: 'ok', workers: { ready: 2, wanted: 2 } })
})
