import { on } from 'node:events'
import { duplexPair, type Duplex } from 'node:stream'
import { endpoint, runSession, type Connection, type RunningSession } from '@postern/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSmtpSession } from '../../src/index.ts'
import { cutAt } from '../cuts.ts'
import { greeted, TestSession } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

/** A session over the real pump and a pair of streams in memory; `nextWrite` gives what one write of it sent. */
function overPump(destination: MemoryDestination): {
  readonly client: Duplex
  readonly session: RunningSession
  readonly nextWrite: () => Promise<string>
} {
  const [client, server] = duplexPair()
  const writes = on(client, 'data') as AsyncIterableIterator<unknown[]>
  client.on('end', () => client.end())
  const address = endpoint('203.0.113.7', 1)
  const connection: Connection = {
    id: 'test000000000001',
    listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
    identity: { origin: 'direct', client: address, peer: address, destination: address, trust: { rule: 'absent' } },
    security: { kind: 'cleartext' },
    stream: server,
    signal: new AbortController().signal,
  }
  const session = runSession(connection, (context) =>
    createSmtpSession(context, {
      hostname: 'mx.example',
      mode: 'mx',
      offersStartTls: false,
      policies: [],
      router: { forRecipient: ({ forwardPath }) => ({ to: 'store', account: forwardPath }) },
      destinationFor: () => destination,
      now: () => new Date(0),
    }),
  )
  const nextWrite = async (): Promise<string> => String((await writes.next()).value?.[0])
  return { client, session, nextWrite }
}

/** What a session in TLS answers to these segments. */
const transcript = async (chunks: readonly string[]): Promise<string> => {
  const session = await new TestSession({ tls: 'gateway' }).start()
  for (const chunk of chunks) await session.send(chunk)
  return session.take()
}

describe('PIPELINING (RFC 2920)', () => {
  test.each([false, true])('a group of commands is answered in order and in one write (slow: %s)', async (isSlow) => {
    const destination = new MemoryDestination()
    destination.isSlow = isSlow
    const { client, session, nextWrite } = overPump(destination)
    expect(await nextWrite()).toMatch(/^220 /)
    client.write('EHLO client.example\r\n')
    expect(await nextWrite()).toMatch(/^250-/)
    client.write('MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<@>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n')
    expect(await nextWrite()).toBe(
      '250 2.1.0 OK\r\n250 2.1.5 OK\r\n501 5.1.3 A path in angle brackets is needed\r\n250 2.1.5 OK\r\n' +
        '354 Start mail input; end with <CRLF>.<CRLF>\r\n',
    )
    client.write('Subject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n')
    expect(await nextWrite()).toBe(
      '250 2.0.0 OK test000000000001-1\r\n250 2.1.0 OK\r\n250 2.0.0 OK\r\n221 2.0.0 mx.example closing connection\r\n',
    )
    expect(await session.ended).toMatchObject({ reason: 'quit' })
    expect(destination.messages).toHaveLength(1)
  })

  test('SC-14: a message behind DATA in one segment is an injection: refused, closed, nothing run', async () => {
    const told: string[] = []
    const session = await greeted({ observer: { refused: ({ verb, reason }) => told.push(`${verb} ${reason}`) } })
    await session.send('MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nx\r\n.\r\nMAIL FROM:<>\r\n')
    expect(session.take()).toBe('250 2.1.0 OK\r\n250 2.1.5 OK\r\n554 5.5.0 Pipelining is not allowed here\r\n')
    expect(session.closed).toBe('protocol')
    expect(told).toEqual(['DATA injection'])
    expect(session.destination).toMatchObject({ messages: [], open: 0 })
  })

  test('a step that waits for nothing makes no promise', () => {
    const session = new TestSession()
    expect(session.machine.start()).not.toBeInstanceOf(Promise)
    for (const bytes of [
      'EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n',
      'Subject: x\r\n\r\nbody\r\n',
    ]) {
      expect(session.machine.receive(Buffer.from(bytes))).not.toBeInstanceOf(Promise)
    }
  })
})

describe('properties', () => {
  const line = fc.constantFrom(
    'EHLO client.example',
    'HELO a',
    'MAIL FROM:<bob@example.net>',
    'MAIL FROM:<>',
    'MAIL FROM:<j\u00c3\u00b6@example.net> SMTPUTF8',
    'RCPT TO:<ann@example.org>',
    'RCPT TO:<@>',
    'RSET',
    'NOOP \0',
    'NOOP\rNOOP',
    'VRFY x',
    'AUTH PLAIN AGFubgBzZWNyZXQ=',
    'AUTH LOGIN',
    'YW5u',
    '*',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 1',
    `NOOP ${'a'.repeat(5_000)}`,
    '\u00ff\u00fe',
    '',
  )
  const script = fc.array(line, { maxLength: 30 }).map((lines) => lines.map((text) => `${text}\r\n`).join(''))
  const cuts = fc.array(fc.nat(6_000), { maxLength: 10 })

  test('any split of the commands gets the same replies', async () => {
    await fc.assert(
      fc.asyncProperty(script, cuts, async (text, at) => {
        expect(await transcript(cutAt(text, at))).toBe(await transcript([text]))
      }),
      { numRuns: 300 },
    )
  })

  test('no bytes throw, and every line written is a reply', async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        'EHLO a\r\n',
        'MAIL FROM:<>\r\n',
        'RCPT TO:<ann@example.org>\r\n',
        'DATA\r\n',
        '\r\n.\r\n',
        '\n',
        '\r',
      ),
      fc.constantFrom('MAIL FROM:<', '>\r\n', 'AUTH PLAIN\r\n', 'AUTH LOGIN ', '\0', '\u0016', '"', '\\', ' '),
      fc.string({ unit: 'binary-ascii', maxLength: 20 }),
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 60 }), async (chunks) => {
        const session = await new TestSession({ tls: 'gateway' }).start()
        for (const chunk of chunks) await session.send(chunk)
        if (session.closed === undefined) await session.hangUp()
        expect(session.take()).toMatch(/^(?:\d{3}[ -][^\p{Cc}]*\r\n)*$/u)
        expect(session.destination.open).toBe(0)
        for (const { bytes } of session.destination.messages) {
          expect(bytes.toString('latin1').replaceAll('\r\n', '')).not.toMatch(/[\r\n\0]/)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
