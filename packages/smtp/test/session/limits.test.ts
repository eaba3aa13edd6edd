import type { Policy } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { dialogue, greeted, inData, TestSession } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

/** A policy that says this at that moment. */
const policy = (moment: keyof Policy, verdict: 'defer' | 'refuse' | 'drop', isSlow: boolean): Policy => {
  const decision = { verdict, reason: 'listed', detail: 'test list' } as const
  return { name: 'list', [moment]: () => (isSlow ? Promise.resolve(decision) : decision) }
}

describe('lines', () => {
  test.each(['NOOP ', 'MAIL FROM:<', ''])(
    'SC-01: a line of 70,000 octets that begins with %j is one 500',
    async (start) => {
      const session = await greeted()
      const line = `${start}${'a'.repeat(70_000)}\r\n`
      for (let at = 0; at < line.length; at += 8_192) await session.send(line.slice(at, at + 8_192))
      expect(session.take()).toBe('500 5.5.2 Line too long\r\n')
      expect(await session.ask('NOOP')).toBe('250 2.0.0 OK\r\n')
    },
  )

  test('a line at the bound is taken, and one octet more is not', async () => {
    const session = await greeted()
    expect(await session.ask(`NOOP ${'a'.repeat(4_096 - 7)}`)).toMatch(/^250 /)
    expect(await session.ask(`NOOP ${'a'.repeat(4_096 - 6)}`)).toMatch(/^500 5\.5\.2 /)
  })

  test('SC-01: the third line too long is the last', async () => {
    const session = await greeted()
    for (let count = 0; count < 3; count++) expect(await session.ask('a'.repeat(5_000))).toMatch(/^500 /)
    expect(await session.ask('NOOP')).toMatch(/^421 4\.7\.0 /)
    expect(session.closed).toBe('too-many-errors')
  })

  test('SC-02: 32 MiB without an end of line are cut off by 64 KiB beyond the bound', async () => {
    const session = await greeted()
    let sent = 0
    while (session.closed === undefined && sent < 33_554_432) {
      await session.send('a'.repeat(4_096))
      sent += 4_096
    }
    expect(session.take()).toBe('500 5.5.2 Line too long\r\n421 4.7.0 Line too long\r\n')
    expect(sent).toBeLessThanOrEqual(12_288 + 65_536 + 2 * 4_096)
  })

  test('SM-09: CR ends no command', async () => {
    const session = await greeted()
    await session.send('NOOP\rNOOP\r\n')
    expect(session.take()).toBe('500 5.5.2 Bare CR in a command\r\n')
  })

  test('SM-09: LF ends a command only where newlines are normalized', async () => {
    const lenient = await greeted()
    await lenient.send('NOOP\nNOOP\n')
    expect(lenient.take()).toBe('250 2.0.0 OK\r\n250 2.0.0 OK\r\n')
    for (const bareNewline of ['reject', 'note'] as const) {
      const strict = await greeted({ bareNewline })
      await strict.send('NOOP\nNOOP\r\n')
      expect(strict.take()).toBe('500 5.5.2 Lines must end in CRLF\r\n250 2.0.0 OK\r\n')
    }
  })

  test.each([
    ['MAIL FROM:<a\0@example.net>', /^501 5\.1\.7 /],
    ['MAIL FROM:<a\u001b@example.net>', /^501 5\.1\.7 /],
    ['MAIL FROM:<a\u00ff@example.net>', /^501 5\.1\.7 /],
    ['MAIL FROM:a@example.net', /^501 5\.1\.7 /],
    ['MAIL TO:<a@example.net>', /^501 5\.1\.7 /],
  ])('SC-05: %j is 501, and nothing of it is echoed', async (line, reply) => {
    const session = await greeted()
    const answer = await session.ask(line)
    expect(answer).toMatch(reply)
    expect(answer).toMatch(/^[\x20-\x7e]+\r\n$/)
  })

  test('a space behind the colon is let pass', async () => {
    const session = await greeted()
    expect(await session.ask('MAIL FROM: <bob@example.net>')).toMatch(/^250 /)
    expect(await session.ask('rcpt to:  <ann@example.org>')).toMatch(/^250 /)
    expect(await session.ask('RCPT TO:<bad\u007f@example.org>')).toMatch(/^501 5\.1\.3 /)
  })
})

describe('what a client may waste', () => {
  test('SC-03: after 20 errors it is sent away', async () => {
    const session = await greeted()
    for (let count = 0; count < 20; count++) expect(await session.ask('NONSENSE')).toMatch(/^500 /)
    expect(await session.ask('NOOP')).toBe('421 4.7.0 mx.example Too many errors\r\n')
    expect(session.closed).toBe('too-many-errors')
  })

  test('SC-03: after 100 commands that move no mail likewise', async () => {
    const session = await greeted()
    await session.send('NOOP\r\nRSET\r\nVRFY a\r\n'.repeat(33))
    expect(session.take().split('\r\n')).toHaveLength(100)
    expect(await session.ask('NOOP')).toBe('421 4.7.0 mx.example Too many commands without mail\r\n')
  })

  test('an accepted message gives it all back', async () => {
    const session = await inData({ limits: { maxErrors: 3, maxIdleCommands: 3 } })
    await session.send('.\r\n')
    for (let round = 0; round < 4; round++) {
      expect(await session.ask('NOOP')).toMatch(/^250 /)
      expect(await session.ask('NONSENSE')).toMatch(/^500 /)
      await session.send('MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n')
      await session.send('.\r\n')
    }
    expect(session.closed).toBeUndefined()
    expect(session.destination.messages).toHaveLength(5)
  })

  test('SC-08: recipients beyond the limit are 452, which is no error', async () => {
    const session = await greeted({ limits: { maxRecipients: 100 } })
    await session.ask('MAIL FROM:<>')
    for (let count = 0; count < 100; count++)
      expect(await session.ask(`RCPT TO:<r${count}@example.org>`)).toMatch(/^250 /)
    for (let count = 0; count < 100; count++) {
      expect(await session.ask('RCPT TO:<more@example.org>')).toBe('452 4.5.3 Too many recipients\r\n')
    }
    expect(await session.ask('DATA')).toMatch(/^354 /)
  })

  test.each([
    ['with its status', { code: 452, enhanced: '4.5.3', lines: ['Too many recipients'] }],
    ['without one', { code: 452, lines: ['Too many recipients'] }],
  ])('SC-08: nor are those that the destination defers so, %s: the message still goes', async (_, reply) => {
    const destination = new MemoryDestination()
    destination.recipientReplies = new Map([['more@example.org', reply]])
    const session = await greeted({ destination })
    await session.send(`MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n${'RCPT TO:<more@example.org>\r\n'.repeat(100)}`)
    expect(session.closed).toBeUndefined()
    expect(session.take().match(/^452 /gm)).toHaveLength(100)
    expect(await session.ask('DATA')).toMatch(/^354 /)
    expect(await session.ask('.')).toMatch(/^250 /)
    expect(destination.messages[0]?.recipients).toEqual(['ann@example.org'])
  })

  test('but a destination that is full is an error each time', async () => {
    const destination = new MemoryDestination()
    const full = { code: 452, enhanced: '4.3.1', lines: ['Insufficient system storage'] }
    destination.recipientReplies = new Map([['ann@example.org', full]])
    const session = await greeted({ destination, limits: { maxErrors: 3 } })
    await session.send(`MAIL FROM:<>\r\n${'RCPT TO:<ann@example.org>\r\n'.repeat(4)}`)
    expect(session.take()).toMatch(/(452 .*\r\n){3}421 4\.7\.0 .*\r\n$/)
  })

  test('SC-08: but not for ever', async () => {
    const session = await greeted({ limits: { maxRecipients: 1, maxDeferredRecipients: 5, maxErrors: 3 } })
    await session.send(`MAIL FROM:<>\r\n${'RCPT TO:<a@example.org>\r\n'.repeat(10)}`)
    expect(session.take()).toMatch(/(452 .*\r\n){8}421 4\.7\.0 .*\r\n$/)
  })
})

describe('patience', () => {
  test('a minute for the first command, five for each more', async () => {
    const session = await new TestSession().start()
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 60_000, keepsDeadline: false })
    await session.send('EHLO a\r\n')
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 300_000, keepsDeadline: false })
    await session.send('NO')
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 300_000, keepsDeadline: true })
    await session.send('OP\r\nNO')
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 300_000, keepsDeadline: false })
  })

  test('SC-15: three minutes for each 3 × 60 × 500 octets of a message: single bytes do not move the deadline', async () => {
    const session = await inData()
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 180_000, keepsDeadline: false })
    for (let count = 0; count < 3; count++) await session.send('x')
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 180_000, keepsDeadline: true })
    await session.send('x'.repeat(89_997))
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 180_000, keepsDeadline: false })
    await session.send('x')
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 180_000, keepsDeadline: true })
  })

  test(
    'SC-15: then 421',
    dialogue(
      {},
      `
      S: 220 *
      !tick
      S: 421 4.4.2 mx.example Timeout, closing connection
      !close timeout
      `,
    ),
  )

  test('SC-16: while the client does not read, nothing more is answered', async () => {
    const session = await greeted()
    session.output.isFull = true
    await session.send('NOOP\r\nNOOP\r\n')
    expect(session.output.drains).toBe(1)
    expect(session.take()).toBe('250 2.0.0 OK\r\n250 2.0.0 OK\r\n')
  })
})

describe('policies', () => {
  const passing: Policy = {
    name: 'passing',
    onGreeting: () => ({ verdict: 'pass' }),
    onReversePath: async () => ({ verdict: 'pass' }),
  }

  test.each([
    ['onGreeting', 'EHLO a'],
    ['onReversePath', 'MAIL FROM:<bob@example.net>'],
    ['onForwardPath', 'RCPT TO:<ann@example.org>'],
  ] as const)('%s refuses, defers and drops', async (moment, line) => {
    for (const isSlow of [false, true]) {
      const told: string[] = []
      const observer = {
        refused: ({ reason, detail }: { reason: string; detail: string }) => told.push(`${reason} ${detail}`),
      }
      const ask = async (verdict: 'defer' | 'refuse' | 'drop'): Promise<TestSession> => {
        const session = await new TestSession({
          observer,
          policies: [passing, policy(moment, verdict, isSlow)],
        }).start()
        if (moment !== 'onGreeting') await session.send('EHLO a\r\n')
        if (moment === 'onForwardPath') await session.send('MAIL FROM:<bob@example.net>\r\n')
        session.take()
        await session.send(`${line}\r\n`)
        return session
      }
      expect((await ask('refuse')).take()).toBe('550 5.7.1 Access denied\r\n')
      expect((await ask('defer')).take()).toBe('450 4.7.1 Access denied\r\n')
      const dropped = await ask('drop')
      expect([dropped.take(), dropped.closed]).toEqual(['', 'refused'])
      expect(told).toEqual(Array.from({ length: 3 }, () => 'listed list: test list'))
    }
  })

  test('a refusal that an operator worded as 421 also closes', async () => {
    const session = await new TestSession({
      policies: [
        {
          name: 'hours',
          onGreeting: () => ({ verdict: 'defer', reason: 'rate', reply: { smtpCode: 421, text: 'Closed on Sundays' } }),
        },
      ],
    }).start()
    expect(await session.ask('EHLO a')).toBe('421 4.7.0 Closed on Sundays\r\n')
    expect(session.closed).toBe('refused')
  })

  test('C9: every command is told with its verb and its reply', async () => {
    const told: string[] = []
    const session = await new TestSession({
      observer: { command: ({ verb, reply }) => told.push(`${verb}: ${reply}`) },
    }).start()
    await session.send('HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n')
    await session.send('.\r\nhunter2\r\nQUIT\r\n')
    expect(told).toEqual([
      'HELO: 250 mx.example Hello a [203.0.113.7]',
      'MAIL: 250 2.1.0 OK',
      'RCPT: 250 2.1.5 OK',
      'DATA: 354 Start mail input; end with <CRLF>.<CRLF>',
      'DATA: 250 2.0.0 OK test000000000001-1',
      'UNKNOWN: 500 5.5.2 Command unrecognized',
      'QUIT: 221 2.0.0 mx.example closing connection',
    ])
  })
})

test('a session that crashes takes leave', async () => {
  const session = await greeted()
  session.machine.failed()
  expect(session.take()).toBe('421 4.3.0 mx.example Internal error\r\n')
})

test('RFC 9422 section 4.2: how many recipients a transaction may have is announced, and holds', async () => {
  const session = await greeted({ limits: { maxRecipients: 2 } })
  expect(await session.ask('EHLO a')).toContain('250-LIMITS RCPTMAX=2\r\n')
  await session.ask('MAIL FROM:<>')
  expect(await session.ask('RCPT TO:<1@example.org>')).toMatch(/^250 /)
  expect(await session.ask('RCPT TO:<2@example.org>')).toMatch(/^250 /)
  expect(await session.ask('RCPT TO:<3@example.org>')).toMatch(/^452 4\.5\.3 /)
})

/** How long the replies of the last step are held back. */
function delayOf({ lastWish }: TestSession): number {
  return lastWish?.next === 'read' ? (lastWish.afterMs ?? 0) : -1
}

describe('errors cost time', () => {
  test('the first five none, each more a second more, up to ten; what goes well is answered at once', async () => {
    const session = await greeted()
    const delays: number[] = []
    for (let count = 0; count < 17; count++) {
      await session.ask('BOGUS')
      delays.push(delayOf(session))
      await session.ask('NOOP')
      expect(delayOf(session)).toBe(0)
    }
    const seconds = [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]
    expect(delays).toEqual(seconds.map((second) => second * 1_000))
  })

  test('a group of errors is held back as a whole, by the last', async () => {
    const session = await greeted()
    await session.send('BOGUS\r\n'.repeat(8))
    expect(delayOf(session)).toBe(3_000)
  })

  test('mail that is accepted gives the time back', async () => {
    const session = await greeted()
    for (let count = 0; count < 8; count++) await session.ask('BOGUS')
    await session.send('MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nBDAT 3 LAST\r\na\r\n')
    await session.ask('BOGUS')
    expect(delayOf(session)).toBe(0)
  })

  test('it can be switched off', async () => {
    const session = await greeted({ limits: { errorDelayMs: 0 } })
    for (let count = 0; count < 10; count++) await session.ask('BOGUS')
    expect(delayOf(session)).toBe(0)
  })
})

/** Lets so many pass. */
const counting = (most: number, verdict: 'defer' | 'refuse' | 'drop', isSlow: boolean) => {
  const verbs: string[] = []
  const counts: Policy = {
    name: 'counts',
    onCommand: ({ verb }) => {
      verbs.push(verb)
      const decision =
        verbs.length <= most
          ? ({ verdict: 'pass' } as const)
          : ({ verdict, reason: 'rate', reply: { text: 'Too many commands' } } as const)
      return isSlow ? Promise.resolve(decision) : decision
    },
  }
  return { verbs, policies: [counts] }
}

describe('a policy that counts commands', () => {
  test.each([
    ['defer', false, '421 4.7.0 mx.example Too many commands\r\n'],
    ['defer', true, '421 4.7.0 mx.example Too many commands\r\n'],
    ['refuse', false, '554 5.7.0 mx.example Too many commands\r\n'],
    ['drop', true, ''],
  ] as const)(
    '%s, slow: %s: the session ends at the command, and nothing behind it is looked at',
    async (verdict, isSlow, said) => {
      const { verbs, policies } = counting(4, verdict, isSlow)
      const session = await greeted({ policies })
      session.take()
      await session.send('NOOP\r\nOOPS\r\nRSET\r\nNOOP\r\n')
      expect(session.take()).toMatch(new RegExp(`^250 [^]*500 [^]*250 [^\r]*\r\n${said}$`))
      expect(session.closed).toBe('refused')
      expect(verbs.slice(-4)).toEqual(['NOOP', 'UNKNOWN', 'RSET', 'NOOP'])
    },
  )

  test('counts a command once, whatever lines and octets belong to it', async () => {
    const { verbs, policies } = counting(100, 'defer', false)
    const session = await inData({ policies })
    await session.send('NOOP\r\nQUIT\r\n.\r\n')
    await session.ask('QUIT')
    expect(verbs).toEqual(['EHLO', 'MAIL', 'RCPT', 'DATA', 'QUIT'])
  })
})
