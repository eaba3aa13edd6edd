import type { DeliveryReply } from '../../src/index.ts'
import { describe, expect, test } from 'vitest'
import { cutAt, everyCut } from '../cuts.ts'
import { greeted, inData, play, type Setup, type TestSession } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

/** The content of the first message behind our Received field. */
function contentOf({ destination }: TestSession): string | undefined {
  const text = destination.messages[0]?.bytes.toString('latin1')
  return text?.slice(text.indexOf('+0000\r\n') + 7)
}

const second = 'MAIL FROM:<evil@example.net>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nsmuggled\r\n'

describe('SM-01, SM-04: nothing but CRLF.CRLF makes a second transaction', () => {
  const fakes = ['\n.\n', '\n.\r\n', '\r\n.\n', '\r\n.\r\r\n', '\r.\r', '\r.\r\n', '\r\n.\r', '\n.\r', '\r.\n']
  const setups: readonly (readonly [string, Setup])[] = [
    ['a stranger', {}],
    ['behind a trusted balancer', { origin: 'proxied' }],
    ['in TLS', { tls: 'gateway' }],
  ]

  test.each(setups)('%s', async (_, setup) => {
    for (const fake of fakes) {
      const message = `body${fake}${second}.\r\n`
      for (const chunks of [[message], message.split(''), cutAt(message, [3, 4, 5, 6, 7, 8])]) {
        const session = await inData(setup)
        for (const chunk of chunks) await session.send(chunk)
        expect(session.take()).toBe('250 2.0.0 OK test000000000001-1\r\n')
        expect(session.destination.messages).toHaveLength(1)
        expect(contentOf(session)?.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
      }
    }
  })

  test('reject: 550 5.6.11 behind the true end, then the connection is closed, and nothing is stored', async () => {
    for (const fake of fakes) {
      const told: string[] = []
      const session = await inData({
        bareNewline: 'reject',
        observer: { transaction: ({ replyCode, detail }) => told.push(`${replyCode} ${detail}`) },
      })
      await session.send(`body${fake}${second}.\r\nNOOP\r\n`)
      expect(session.take()).toMatch(/^550 5\.6\.11 [^\r\n]+\r\n$/)
      expect(session.closed).toBe('protocol')
      expect(session.destination).toMatchObject({ messages: [], open: 0 })
      expect(told).toHaveLength(1)
      expect(told[0]).toMatch(/^550 .*bare CR or LF$/)
    }
  })

  test.each([
    ['normalize', []],
    ['note', [{ id: 'test000000000001-1', newlines: 2 }]],
  ] as const)(
    '%s: repaired and counted; only where it is noted the operator hears of it',
    async (bareNewline, noted) => {
      const told: unknown[] = []
      const repaired: unknown[] = []
      const session = await inData({
        bareNewline,
        observer: {
          transaction: ({ detail, repairs }) => told.push([detail, repairs]),
          repaired: ({ id, newlines }) => repaired.push({ id, newlines }),
        },
      })
      await session.send('a\nb\rc\r\n..d\r\n.\r\n')
      expect(contentOf(session)).toBe('a\r\nb c\r\n.d\r\n')
      expect(told).toEqual([['2 bare CR or LF', { newlines: 2, nuls: 0 }]])
      expect(repaired).toEqual(noted)
    },
  )

  test('NULs are left out where that is the policy, by DATA and by BDAT, and counted', async () => {
    const told: unknown[] = []
    const observer = {
      transaction: ({ detail, repairs }: { detail?: string; repairs?: unknown }) => told.push([detail, repairs]),
    }
    const session = await inData({ nul: 'strip', observer })
    await session.send('a\0b\r\n\0.\r\n\0\0c\r\n.\r\n')
    expect(contentOf(session)).toBe('ab\r\n.\r\nc\r\n')
    await session.ask('MAIL FROM:<bob@example.net>')
    await session.ask('RCPT TO:<ann@example.org>')
    await session.send('BDAT 6 LAST\r\na\0\0b\r\n')
    expect(session.destination.messages[1]?.bytes.toString()).toMatch(/\r\nab\r\n$/)
    expect(told).toEqual([
      ['4 NUL', { newlines: 0, nuls: 4 }],
      ['2 NUL', { newlines: 0, nuls: 2 }],
    ])
  })

  test('a clean message is told without a word', async () => {
    const told: unknown[] = []
    const session = await inData({ observer: { transaction: (event) => told.push({ ...event, connection: '' }) } })
    await session.send('a\r\n.\r\n')
    expect(told).toEqual([
      {
        connection: '',
        id: 'test000000000001-1',
        envelope: {
          reversePath: 'bob@example.net',
          forwardPaths: ['ann@example.org'],
          body: '7BIT',
          isSmtpUtf8: false,
        },
        replyCode: 250,
        bytes: 3,
      },
    ])
  })
})

describe('SM-05: our Received field joins no end of data', () => {
  test.each([
    ['LF.LF', '\n.\n\r\n', '\r\n.\r\n\r\n'],
    ['a dot', '..\r\n', '.\r\n'],
    ['an empty line', '\r\nbody\r\n', '\r\nbody\r\n'],
    ['nothing', '', ''],
  ])('before a message that begins with %s', async (_, sent, content) => {
    for (const chunks of everyCut(`${sent}.\r\nQUIT\r\n`)) {
      const session = await inData()
      for (const chunk of chunks) await session.send(chunk)
      expect(contentOf(session)).toBe(content)
      expect(session.closed).toBe('quit')
    }
  })
})

describe('what ends a message otherwise', () => {
  test.each([
    ['a NUL', 'a\0b\r\n', {}, /^554 5\.6\.0 /],
    ['SC-13: more than SIZE', `${'x'.repeat(101)}\r\n`, { maxMessageBytes: 100 }, /^552 5\.3\.4 /],
    ['SC-12, TR-11: 51 Received fields', 'Received: x\r\n'.repeat(51), {}, /^554 5\.4\.6 /],
    ['a header section of 300 KiB', `X: ${'x'.repeat(300_000)}\r\n`, {}, /^554 5\.6\.0 /],
  ] as const)('%s: refused at its end, nothing stored, the session goes on', async (_, message, limits, reply) => {
    const session = await inData({ limits })
    for (let at = 0; at < message.length; at += 10_000) await session.send(message.slice(at, at + 10_000))
    expect(session.take()).toBe('')
    expect(session.destination.open).toBe(0)
    await session.send('\r\nrest\r\n.\r\nNOOP\r\n')
    expect(session.take()).toMatch(new RegExp(`${reply.source}[^\\r\\n]+\\r\\n250 2\\.0\\.0 OK\\r\\n$`))
    expect(session.destination.messages).toEqual([])
  })

  test('50 Received fields, and Received lines in the body, are no loop', async () => {
    const session = await inData()
    await session.send(`${'Received: x\r\n'.repeat(50)}\r\n${'Received: x\r\n'.repeat(100)}.\r\n`)
    expect(session.take()).toMatch(/^250 /)
  })

  test('SC-13: what is announced to be too big is refused at MAIL', async () => {
    const session = await greeted({ limits: { maxMessageBytes: 100 } })
    expect(await session.ask('EHLO a')).toContain('250-SIZE 100\r\n')
    expect(await session.ask('MAIL FROM:<bob@example.net> SIZE=101')).toMatch(/^552 5\.3\.4 /)
    expect(await session.ask(`MAIL FROM:<bob@example.net> SIZE=${'9'.repeat(20)}`)).toMatch(/^552 5\.3\.4 /)
    expect(await session.ask('MAIL FROM:<bob@example.net> SIZE=100')).toMatch(/^250 /)
  })
})

describe('the destination', () => {
  test.each([false, true])('answers at once or later, and the dialogue is the same (slow: %s)', async (isSlow) => {
    const destination = new MemoryDestination()
    destination.isSlow = isSlow
    const session = await greeted({ destination })
    await session.send('MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n')
    expect(session.take()).toBe(
      '250 2.1.0 OK\r\n250 2.1.5 OK\r\n250 2.1.5 OK\r\n354 Start mail input; end with <CRLF>.<CRLF>\r\n',
    )
    await session.send('one\r\n..two\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n')
    expect(session.take()).toBe(
      '250 2.0.0 OK test000000000001-1\r\n250 2.1.0 OK\r\n221 2.0.0 mx.example closing connection\r\n',
    )
    expect(contentOf(session)).toBe('one\r\n.two\r\n')
    expect(destination.messages[0]?.recipients).toEqual(['ann@example.org', 'joe@example.org'])
    expect(destination.open).toBe(0)
  })

  test.each([[false], [true]])(
    'RFC 2034 section 3: what it says without a status code has one (each: %j)',
    async (isEach) => {
      const destination = new MemoryDestination()
      destination.commitReply = { code: 250, lines: ['queued'] }
      if (isEach) destination.eachReplies = new Map([['ann@example.org', { code: 450, lines: ['busy'] }]])
      destination.recipientReplies = new Map([
        ['ann@example.org', { code: 250, lines: ['fine'] }],
        ['joe@example.org', { code: 550, lines: ['5.1.1 is no status of his'] }],
      ])
      const session = await greeted({ destination, ...(isEach && { mode: 'lmtp' }) })
      if (isEach) await session.ask('LHLO client.example')
      await session.ask('MAIL FROM:<>')
      expect(await session.ask('RCPT TO:<ann@example.org>')).toBe('250 2.0.0 fine\r\n')
      expect(await session.ask('RCPT TO:<joe@example.org>')).toBe('550 5.0.0 5.1.1 is no status of his\r\n')
      await session.ask('DATA')
      expect(await session.ask('.')).toBe(isEach ? '450 4.0.0 busy\r\n' : '250 2.0.0 queued\r\n')
    },
  )

  test('its refusals are passed on, and what it keeps of them is given up', async () => {
    const full: DeliveryReply = {
      code: 452,
      enhanced: '4.3.1',
      lines: ['Insufficient system storage'],
      detail: 'ENOSPC',
    }
    const told: (string | undefined)[] = []
    const destination = new MemoryDestination()
    destination.commitReply = full
    destination.recipientReplies = new Map([
      ['joe@example.org', { code: 550, enhanced: '5.1.1', lines: ['No such user'] }],
    ])
    const session = await greeted({ destination, observer: { transaction: ({ detail }) => told.push(detail) } })
    await play(
      session,
      `
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: RCPT TO:<joe@example.org>
      S: 550 5.1.1 No such user
      C: RCPT TO:<ann@example.org>
      S: 250 *
      C: DATA
      S: 354 *
      C: .
      S: 452 4.3.1 Insufficient system storage
      C: RCPT TO:<ann@example.org>
      S: 503 *
      `,
    )
    expect(told).toEqual(['ENOSPC'])
    expect(destination).toMatchObject({ messages: [], open: 0, aborted: 1 })
  })

  test.each([
    ['begin', '451 4.3.0 ', '554 5.5.1 ', '250 '],
    ['addRecipient', '451 4.3.0 ', '554 5.5.1 ', '250 '],
    ['write', '250 2.1.5 ', '451 4.3.0 ', '250 '],
    ['commit', '250 2.1.5 ', '354 ', '451 4.3.0 '],
  ] as const)(
    'what it throws at %s is 451, and nothing is lost or left behind',
    async (call, toRcpt, toData, toNext) => {
      for (const isSlow of [false, true]) {
        const told: string[] = []
        const destination = new MemoryDestination()
        destination.isSlow = isSlow
        destination.breaksAt = call
        const session = await greeted({
          destination,
          observer: {
            refused: ({ detail }) => told.push(detail),
            transaction: ({ replyCode, detail }) => told.push(`${replyCode} ${detail}`),
          },
        })
        await session.ask('MAIL FROM:<bob@example.net>')
        expect(await session.ask('RCPT TO:<ann@example.org>')).toContain(toRcpt)
        expect(await session.ask('DATA')).toContain(toData)
        expect(await session.ask(call === 'commit' ? '.' : 'NOOP')).toContain(toNext)
        expect(destination).toMatchObject({ messages: [], open: 0 })
        expect(told[0]).toContain(`broken at ${call}`)
        expect(session.closed).toBeUndefined()
      }
    },
  )

  test('what it throws in the middle of a message is 451 at its end', async () => {
    const session = await inData()
    session.destination.breaksAt = 'write'
    await session.send('one\r\n')
    expect(session.destination.open).toBe(0)
    session.destination.breaksAt = undefined
    await session.send('two\r\n.\r\n')
    expect(session.take()).toMatch(/^451 4\.3\.0 /)
    expect(session.destination.messages).toEqual([])
  })

  test('SC-17: a client that hangs up leaves nothing behind', async () => {
    const atDestination = await greeted()
    await atDestination.ask('MAIL FROM:<>')
    await atDestination.ask('RCPT TO:<ann@example.org>')
    const inMessage = await inData()
    await inMessage.send('half a mess')
    for (const session of [atDestination, inMessage]) {
      await session.hangUp()
      expect(session.destination).toMatchObject({ messages: [], open: 0, aborted: 1 })
    }
  })

  test('a client that hangs up while its message is being committed: the commit ends first, and counts', async () => {
    const gate = Promise.withResolvers<void>()
    const destination = new MemoryDestination()
    destination.commitGate = gate.promise
    const told: number[] = []
    const session = await inData({ destination, observer: { transaction: ({ replyCode }) => told.push(replyCode) } })
    const step = session.machine.receive(Buffer.from('a\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n'))
    const ended = session.machine.ended('connection-lost')
    gate.resolve()
    await Promise.all([step, ended])
    expect(told).toEqual([250])
    expect(destination).toMatchObject({ open: 0, aborted: 0 })
    expect(destination.messages).toHaveLength(1)
  })
})

describe('one destination in a transaction', () => {
  const setup: Setup = {
    routes: {
      'a@far.example': { to: 'upstream', upstream: 'far' },
      'b@far.example': { to: 'upstream', upstream: 'far' },
      'c@other.example': { to: 'upstream', upstream: 'other' },
    },
  }

  test('the first accepted recipient fixes it; others are sent separately', async () => {
    const told: string[] = []
    const session = await greeted({
      ...setup,
      observer: { refused: ({ reason, detail }) => told.push(`${reason}: ${detail}`) },
    })
    await play(
      session,
      `
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: RCPT TO:<a@far.example>
      S: 250 *
      C: RCPT TO:<ann@example.org>
      S: 452 4.5.3 Too many recipients, send this one separately
      C: RCPT TO:<c@other.example>
      S: 452 4.5.3 *
      C: RCPT TO:<b@far.example>
      S: 250 *
      C: DATA
      S: 354 *
      C: .
      S: 250 *
      `,
    )
    expect(session.destination.messages[0]?.recipients).toEqual(['a@far.example', 'b@far.example'])
    expect(told).toEqual(['route: another route than the recipients before it'])
  })

  test('a recipient that was refused fixes nothing', async () => {
    const destination = new MemoryDestination()
    destination.recipientReplies = new Map([['a@far.example', { code: 550, enhanced: '5.1.1', lines: ['No'] }]])
    const session = await greeted({ ...setup, destination })
    await play(
      session,
      `
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: RCPT TO:<a@far.example>
      S: 550 *
      C: RCPT TO:<ann@example.org>
      S: 250 *
      C: DATA
      S: 354 *
      C: .
      S: 250 *
      `,
    )
    expect(destination).toMatchObject({ open: 0, aborted: 1 })
    expect(destination.messages[0]?.recipients).toEqual(['ann@example.org'])
  })
})

describe('the header section', () => {
  const sent = 'Authentication-Results: mx.example; auth=pass\r\nSubject: a\r\n\r\nbody\r\n.\r\n'

  test('a forged word of ours is taken out (RFC 8601 section 5), and nothing else is changed', async () => {
    const session = await inData()
    await session.send(sent)
    expect(contentOf(session)).toBe('Subject: a\r\n\r\nbody\r\n')
  })

  test('submission: Date and Message-ID are added when they are missing (RFC 6409 sections 8.2 and 8.3)', async () => {
    const session = await greeted({ mode: 'submission', tls: 'gateway' })
    await session.ask(`AUTH PLAIN ${Buffer.from('\0ann\0secret').toString('base64')}`)
    await session.send('MAIL FROM:<ann@example.org>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n')
    await session.send(sent)
    expect(contentOf(session)).toBe(
      'Subject: a\r\nDate: Tue, 03 Feb 2026 04:05:06 +0000\r\n' +
        'Message-ID: <ml62s380.test000000000001-1@mx.example>\r\n\r\nbody\r\n',
    )
  })
})
