import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { inspectBackend, probeBareNewline, type InspectOptions, type Inspection } from '../../src/index.ts'
import { ScriptedBackend, tlsFiles } from './scripted-backend.ts'

const options: InspectOptions = { protocol: 'smtp', hostname: 'gate.example', tls: 'off', announcement: 'none' }

async function look(
  script: string,
  more: Partial<InspectOptions> = {},
): Promise<readonly [Inspection, ScriptedBackend]> {
  const backend = await ScriptedBackend.start(script)
  const inspection = await inspectBackend({ host: '127.0.0.1', port: backend.port }, { ...options, ...more })
  await backend.ended()
  return [inspection, backend]
}

const offers = `
  S: 250-backend.example
  S: 250-PIPELINING
  S: 250-XCLIENT NAME ADDR PORT
  S: 250 SIZE 1000`

const offering = (keyword: string): string => `
  S: 220 backend.example
  C: EHLO gate.example
  S: 250-backend.example
  S: 250 ${keyword}
  C: QUIT
  S: 221 bye`

describe('a look at a backend', () => {
  test('hears what it offers, and quits', async () => {
    const [inspection, backend] = await look(`
      S: 220 backend.example
      C: EHLO gate.example${offers}
      C: QUIT
      S: 221 bye`)
    expect(backend.surprises).toEqual([])
    expect(inspection).toMatchObject({ ok: true, report: { isSecure: false } })
    expect(inspection.ok && [...inspection.report.capabilities.keys()]).toEqual(['PIPELINING', 'XCLIENT', 'SIZE'])
  })

  test('PO-06: says LOCAL where a PROXY header of version 2 is awaited: a check is nobody’s client', async () => {
    const [inspection, { heard }] = await look(
      `
      D: the signature has three line ends
      D:
      D:
      S: 220 backend.example
      D: the rest of the header, and EHLO${offers}
      C: QUIT
      S: 221 bye`,
      { announcement: 'proxy-v2' },
    )
    expect(inspection.ok).toBe(true)
    expect(Buffer.from(heard[0]?.slice(0, 16) ?? '', 'latin1').toString('hex')).toBe('0d0a0d0a000d0a515549540a20000000')
  })

  test('version 1 has no LOCAL that every receiver takes: it names the connection itself, as HAProxy does', async () => {
    const [inspection, { heard }] = await look(
      `
      D: the header
      S: 220 backend.example
      C: EHLO gate.example${offers}
      C: QUIT
      S: 221 bye`,
      { announcement: 'proxy-v1' },
    )
    expect(inspection.ok).toBe(true)
    expect(heard[0]).toMatch(/^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nEHLO /)
  })

  test('a server that offers no STARTTLS to a balancer itself, as this one does not, is not down for that', async () => {
    const script = `
      D: the header
      S: 220 backend.example
      C: EHLO gate.example${offers}
      C: QUIT
      S: 221 bye`
    const [inspection] = await look(script, { announcement: 'proxy-v1', tls: 'starttls' })
    expect(inspection).toMatchObject({ ok: true, report: { isSecure: false } })
  })

  test('XCLIENT is not said, but must be there with ADDR', async () => {
    const [with_] = await look(offering('XCLIENT ADDR PORT'), { announcement: 'xclient' })
    expect(with_.ok).toBe(true)
    const [without] = await look(offering('XCLIENT HELO'), { announcement: 'xclient' })
    expect(without).toMatchObject({
      ok: false,
      failure: {
        code: 'SMTP_UPSTREAM_REFUSES_US',
        detail: expect.stringContaining('(Postfix: smtpd_authorized_xclient_hosts)'),
      },
    })
  })

  test.each([
    ['it says 421', 'S: 421 not now', 'SMTP_UPSTREAM_UNAVAILABLE'],
    ['it says nothing', '', 'SMTP_UPSTREAM_TIMEOUT'],
    ['it speaks another protocol', 'S: * OK IMAP', 'SMTP_UPSTREAM_REPLY'],
    ['it does not offer the TLS that is asked for', `S: 220 x\n C: EHLO gate.example\n S: 250 x`, 'SMTP_UPSTREAM_TLS'],
  ] as const)('%s', async (_, script, code) => {
    const limits = script === '' ? { greetingPatienceMs: 200 } : {}
    const [inspection] = await look(script, { limits, tls: code === 'SMTP_UPSTREAM_TLS' ? 'starttls' : 'off' })
    expect(inspection).toMatchObject({ ok: false, failure: { code } })
  })

  test('nobody listens', async () => {
    const inspection = await inspectBackend({ host: '127.0.0.1', port: 1 }, options)
    expect(inspection).toMatchObject({ ok: false, failure: { code: 'SMTP_UPSTREAM_UNREACHABLE' } })
  })
})

describe('a pinned certificate', () => {
  const script = `
    S: 220 backend.example
    C: EHLO gate.example
    S: 250-backend.example
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 go
    !tls
    C: EHLO gate.example
    S: 250 backend.example
    C: QUIT
    S: 221 bye`
  const print = new X509Certificate(tlsFiles.cert).fingerprint256.replaceAll(':', '').toLowerCase()

  test('is taken though nobody vouches for it', async () => {
    const [inspection] = await look(script, { tls: 'starttls', pinnedFingerprints: ['00'.repeat(32), print] })
    expect(inspection).toMatchObject({ ok: true, report: { isSecure: true } })
  })

  test('BK-10: no other is taken, and the operator hears which it was', async () => {
    const [inspection] = await look(script, { tls: 'starttls', pinnedFingerprints: ['00'.repeat(32)] })
    expect(inspection).toMatchObject({ ok: false, failure: { code: 'SMTP_UPSTREAM_TLS' } })
    expect(!inspection.ok && inspection.failure.detail).toContain(print)
  })
})

describe('whether a bare line feed ends a message', () => {
  const untilData = `
    S: 220 backend.example
    C: EHLO gate.example
    S: 250 backend.example
    C: MAIL FROM:<>
    S: 250 ok
    C: RCPT TO:<postmaster>`

  test.each([
    ['it waits for the true end', `${untilData}\nS: 250 ok\nC: DATA\nS: 354 go`, 'does-not-end'],
    [
      'it takes the dot for the end',
      `${untilData}\nS: 250 ok\nC: DATA\nS: 354 go\nD: Received\nS: 554 5.4.6 loop`,
      'ends',
    ],
    ['it accepts at the dot', `${untilData}\nS: 250 ok\nC: DATA\nS: 354 go\nD: Received\nS: 250 ok`, 'ends'],
    [
      'it refuses bare line feeds',
      `${untilData}\nS: 250 ok\nC: DATA\nS: 354 go\nD: Received\nS: 521 5.5.2 Error: bare <LF> received`,
      'refuses',
    ],
    ['it hangs up', `${untilData}\nS: 250 ok\nC: DATA\nS: 354 go\nD: Received\n!reset`, 'unknown'],
    ['it refuses the recipient', `${untilData}\nS: 550 nobody\nC: QUIT\nS: 221 bye`, 'unknown'],
  ] as const)('%s', async (_, script, verdict) => {
    const backend = await ScriptedBackend.start(script)
    const probing = probeBareNewline({ host: '127.0.0.1', port: backend.port }, options, {
      recipient: 'postmaster',
      waitMs: verdict === 'does-not-end' ? 150 : 4_000,
    })
    expect(await probing).toMatchObject({ verdict })
    await backend.ended()
    // Whatever the backend took for the end: the true one was never sent, and no command came behind it.
    expect(backend.heard[0]).not.toContain('\r\n.\r\n')
  })
})
