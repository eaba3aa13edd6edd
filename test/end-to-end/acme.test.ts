// Certificates by ACME, from Pebble: ordered at the first start, used without a restart, kept where nobody else reads them;
// challenges answered on a port of their own and by the admin endpoint; and what is told when a name leads elsewhere.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { postern, startGateway, type Gateway } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { startPebble, type Pebble } from '../kit/pebble.ts'
import { freePorts } from '../kit/ports.ts'

/** Who orders asks again after 5, 10 and 20 seconds whether it is done. */
const patienceMs = 90_000
const ports = await freePorts('admin', 'submissions', 'challenge')
let pebble: Pebble
let gateway: Gateway

beforeAll(async () => {
  pebble = await startPebble(ports.challenge)
  const tables = [
    listener('submissions', { protocol: 'submission', bind: ports.submissions, tls: 'implicit', mode: 'off' }),
    `[tls.acme]
names = ["mx.example.org"]
agree-to-terms = true
email = "postmaster@example.org"
directory = "${pebble.directory}"
bind = "127.0.0.1:${ports.challenge}"`,
    // A session goes on for as long as an order takes.
    '[limits]\ndrain-timeout = "10m"',
  ]
  gateway = await startGateway({
    config: tables.join('\n\n'),
    adminPort: ports.admin,
    under: ['/usr/bin/env', `NODE_EXTRA_CA_CERTS=${pebble.ca}`],
  })
})
afterAll(async () => {
  await gateway?.stop()
  await pebble?.stop()
})

/** A client that has had its greeting, and the certificate that it saw. */
async function greeted() {
  const client = await Dialogue.connect(ports.submissions, { timeoutMs: patienceMs })
  const tls = await client.startTls()
  expect((await client.reply()).code).toBe(220)
  const { issuer, subjectaltname = '' } = tls.getPeerCertificate()
  return { client, issuer: issuer.CN, names: subjectaltname.split(', ').map((name) => name.replace('DNS:', '')) }
}

/** Until a new client sees a certificate for these names. */
async function serves(names: readonly string[]): Promise<void> {
  await eventually(
    `a certificate for ${names.join(', ')}`,
    async () => {
      const seen = await greeted()
      seen.client.destroy()
      return seen.names.toSorted().join() === names.toSorted().join() || undefined
    },
    patienceMs,
  )
}

const kept = (name: string): string => join(gateway.folder, 'data/acme', name)

describe('a certificate by ACME', () => {
  test('is ordered at the first start, and used by every worker without a restart', async () => {
    const told = await gateway.waitForLog('the certificate', ({ event }) => event === 'acme.obtained', patienceMs)
    expect(told).toMatchObject({ names: ['mx.example.org'], process: 'supervisor' })
    await gateway.waitForLog('the reload', ({ event }) => event === 'gateway.reloaded', patienceMs)
    const { client, issuer, names } = await greeted()
    expect({ issuer, names }).toEqual({ issuer: expect.stringMatching(/^Pebble/), names: ['mx.example.org'] })
    client.destroy()
    for (const name of ['account.pem', 'certificate.pem']) expect(statSync(kept(name)).mode & 0o777).toBe(0o600)
  })

  test('is ordered anew for another name, by the same account and through the admin endpoint; sessions go on', async () => {
    const before = await greeted()
    const account = readFileSync(kept('account.pem'), 'utf8')
    gateway.rewriteConfig((text) =>
      text
        .replace('names = ["mx.example.org"]', 'names = ["mx.example.org", "imap.example.org"]')
        .replace(/\nbind = "127\.0\.0\.1:\d+"/, '')
        .replace(/\[admin\]\nbind = "[^"]+"/, `[admin]\nbind = "127.0.0.1:${ports.challenge}"`),
    )
    gateway.signal('SIGHUP')
    await serves(['mx.example.org', 'imap.example.org'])
    expect(readFileSync(kept('account.pem'), 'utf8')).toBe(account)
    expect((await before.client.ask('NOOP')).code).toBe(250)
    before.client.destroy()
    const metrics = await (await fetch(`http://127.0.0.1:${ports.challenge}/metrics`)).text()
    expect(metrics).toContain('postern_acme_orders_total{outcome="obtained"} 2')
    expect(metrics).toMatch(/postern_certificate_end_seconds\{file=".*\/data\/acme\/certificate\.pem"\} \d{10}/)
  })

  test('that cannot be had leaves the one before in force; log, status and doctor say why', async () => {
    // Loopback, where nobody listens.
    await pebble.answerWith('127.0.0.9')
    gateway.rewriteConfig((text) => text.replace('"imap.example.org"]', '"imap.example.org", "elsewhere.example.org"]'))
    gateway.signal('SIGHUP')
    const told = await gateway.waitForLog('the failure', ({ event }) => event === 'acme.failed', patienceMs)
    expect(told).toMatchObject({ level: 'error', reason: 'challenge', inARow: 1, retrySeconds: 300 })
    expect(told['cause']).toMatch(/^[\w.]+: connection: /)
    expect(told['msg']).toMatch(/port 80 of each name/)
    await serves(['mx.example.org', 'imap.example.org'])
    const { stdout } = await postern(['status', '-c', gateway.configFile])
    expect(stdout).toMatch(/a certificate for \d+ d more; the next order is due in \d+ (?:min|s)\n {2}failed 1 times: /)
    const doctor = await postern(['doctor', '-c', gateway.configFile])
    expect(doctor.stdout).toMatch(/^advice tls\.acme: the last order failed \([\w.]+: connection: .*port 80/m)
    // Names under example.org are nobody's.
    expect(doctor.stdout).toMatch(/^WRONG {2}tls\.acme: elsewhere\.example\.org is not in the DNS/m)
  })
})
