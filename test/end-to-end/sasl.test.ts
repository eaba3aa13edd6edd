// Signing in, as clients that others wrote do it: SCRAM with and without a channel to bind to, and what keeps guessers out.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'

const ports = await freePorts('admin', 'submission', 'imap', 'imaps')
let gateway: Gateway

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  const tables = [
    listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'starttls' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
})

/** GNU SASL signs in, over STARTTLS, and says at the end whether it could. */
function gsasl(protocol: 'smtp' | 'imap', mechanism: string, options: readonly string[] = [], password = ann.password) {
  const port = protocol === 'smtp' ? ports.submission : ports.imap
  const who = ['--authentication-id', ann.name, '--authorization-id', ann.name, '--password', password]
  const args = [`--${protocol}`, '--connect', `127.0.0.1:${port}`, '--starttls', '--x509-ca-file=', ...who]
  return peer('gsasl', [...args, '--mechanism', mechanism, ...options])
}

describe.each(['smtp', 'imap'] as const)('gsasl, %s', (protocol) => {
  test.each([
    ['SCRAM-SHA-256-PLUS', []],
    ['SCRAM-SHA-256', ['--no-cb']],
    ['PLAIN', []],
    ['LOGIN', []],
  ])('signs in by %s', async (mechanism, options) => {
    const outcome = await gsasl(protocol, mechanism, options)
    expect(outcome).toMatchObject({ code: 0 })
    await gateway.waitForLog('who signed in', ({ event, ...record }) => {
      return event === 'auth.ok' && record['mechanism'] === mechanism && record['username'] === ann.name
    })
  })

  test.each([
    ['a wrong password', 'SCRAM-SHA-256-PLUS', [], 'wrong password'],
    ['a downgrade: "y" where -PLUS was offered', 'SCRAM-SHA-256', [], ann.password],
    ['a binding of TLS 1.2, which is none', 'SCRAM-SHA-256-PLUS', ['--priority', 'NORMAL:-VERS-TLS1.3'], ann.password],
  ])('is refused with %s', async (_, mechanism, options, password) => {
    const outcome = await gsasl(protocol, mechanism, options, password)
    expect(outcome).not.toMatchObject({ code: 0 })
  })
})
