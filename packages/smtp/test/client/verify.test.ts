import { endpoint, secret, type ConnectionInfo } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { verifyAtBackend, type RelayOptions, type Verification } from '../../src/index.ts'
import { ScriptedBackend } from './scripted-backend.ts'

const connection: ConnectionInfo = {
  id: '0123456789abcdef',
  listener: { name: 'users', protocol: 'submission', tls: 'starttls' },
  identity: {
    origin: 'direct',
    client: endpoint('203.0.113.7', 40_000),
    peer: endpoint('203.0.113.7', 40_000),
    destination: endpoint('192.0.2.1', 587),
    trust: { rule: 'absent' },
  },
  security: { kind: 'cleartext' },
}

const told: string[] = []

function verify(backends: readonly ScriptedBackend[], more: Partial<RelayOptions> = {}): Promise<Verification> {
  told.length = 0
  const options: RelayOptions = {
    protocol: 'smtp',
    hostname: 'gate.example',
    backends: () => backends.map(({ port }) => ({ host: '127.0.0.1', port })),
    tls: 'off',
    announcement: 'none',
    authRequiresTls: false,
    observer: { failed: ({ code, detail }) => told.push(`${code} ${detail}`) },
    limits: { greetingPatienceMs: 30_000, replyPatienceMs: 30_000 },
    ...more,
  }
  return verifyAtBackend(options, connection, { username: 'ann', password: secret('hush') })
}

const asked = (reply: string): string => `
  S: 220 mx1.example
  C: EHLO gate.example
  S: 250-mx1.example
  S: 250 AUTH PLAIN
  C: AUTH PLAIN AGFubgBodXNo
  ${reply}`

describe('J12: a backend judges who signs in', () => {
  test.each([
    ['S: 235 2.7.0 welcome\nC: QUIT\nS: 221 bye', 'granted'],
    ['S: 535 5.7.8 no', 'denied'],
    ['S: 534 5.7.9 too weak', 'denied'],
    ['S: 454 4.7.0 later', 'unavailable'],
    ['S: 504 5.5.4 no such mechanism', 'unavailable'],
    ['S: 538 5.7.11 encryption required', 'unavailable'],
    ['!close', 'unavailable'],
    ['S: 334 what?', 'unavailable'],
  ] as const)('%s: %s', async (reply, outcome) => {
    const backend = await ScriptedBackend.start(asked(reply))
    expect(await verify([backend])).toMatchObject({ outcome })
    await backend.ended()
  })

  test('the client is announced before that, so the backend sees who tries', async () => {
    const backend = await ScriptedBackend.start(`
      S: 220 mx1.example
      C: EHLO gate.example
      S: 250-mx1.example
      S: 250 XCLIENT ADDR PORT
      C: XCLIENT PORT=40000 ADDR=203.0.113.7
      S: 220 mx1.example
      C: EHLO gate.example
      S: 250-mx1.example
      S: 250 AUTH LOGIN
      C: AUTH LOGIN
      S: 334 VXNlcm5hbWU6
      C: YW5u
      S: 334 UGFzc3dvcmQ6
      C: aHVzaA==
      S: 235 welcome
      C: QUIT
      S: 221 bye`)
    expect(await verify([backend], { announcement: 'xclient' })).toEqual({ outcome: 'granted' })
    await backend.ended()
    expect(backend.surprises).toEqual([])
  })

  test('another is asked when one cannot be spoken with, and never when one has judged', async () => {
    const closing = await ScriptedBackend.start('S: 421 not now')
    const other = await ScriptedBackend.start(asked('S: 235 welcome\nC: QUIT\nS: 221 bye'))
    expect(await verify([closing, other])).toEqual({ outcome: 'granted' })
    expect(told).toEqual([expect.stringContaining('SMTP_UPSTREAM_UNAVAILABLE')])
    const refusing = await ScriptedBackend.start(asked('S: 535 no'))
    const unasked = await ScriptedBackend.start('S: 220 hello')
    expect(await verify([refusing, unasked])).toEqual({ outcome: 'denied' })
    expect(unasked.connections).toBe(0)
  })

  test('LG-02: what a backend repeats of the credentials reaches no log', async () => {
    const backend = await ScriptedBackend.start(asked('S: 454 4.7.0 you said AUTH PLAIN AGFubgBodXNo'))
    const verification = await verify([backend])
    expect(JSON.stringify(verification)).not.toContain('AGFubgBodXNo')
    expect(verification).toMatchObject({ failure: { detail: 'AUTH: 454 4.7.0' } })
  })

  test('credentials do not go in the clear, unless that is wanted', async () => {
    const backend = await ScriptedBackend.start(`S: 220 x\nC: EHLO gate.example\nS: 250-x\nS: 250 AUTH PLAIN`)
    expect(await verify([backend], { authRequiresTls: true })).toMatchObject({
      outcome: 'unavailable',
      failure: { code: 'SMTP_UPSTREAM_TLS' },
    })
    await backend.ended()
    expect(backend.heard[0]).not.toContain('AUTH')
  })

  test('nobody to ask', async () => {
    expect(await verify([])).toMatchObject({ outcome: 'unavailable', failure: { code: 'SMTP_UPSTREAM_UNREACHABLE' } })
  })
})
