import { describe, expect, test } from 'vitest'
import { dialogue, greeted, inData, play, TestSession } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

/** An envelope, and what comes behind it. */
const envelopeOf = (...lines: readonly string[]): readonly string[] => [
  'MAIL FROM:<bob@example.net>',
  'RCPT TO:<ann@example.org>',
  ...lines,
]

describe('a typical session (RFC 5321, appendix D)', () => {
  test('a message is accepted when the destination has it, and not before', async () => {
    const destination = new MemoryDestination()
    await dialogue(
      { destination },
      `
      S: 220 mx.example ESMTP ready
      C: EHLO client.example
      S: 250-mx.example Hello client.example [203.0.113.7]
      S: 250-PIPELINING
      S: 250-SIZE 26214400
      S: 250-LIMITS RCPTMAX=1000
      S: 250-STARTTLS
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-SMTPUTF8
      S: 250 CHUNKING
      C: MAIL FROM:<bob@example.net> SIZE=1000 BODY=8BITMIME
      S: 250 2.1.0 OK
      C: RCPT TO:<ann@example.org>
      S: 250 2.1.5 OK
      C: RCPT TO:<nobody@elsewhere.example>
      S: 550 5.7.1 Relay access denied
      C: DATA
      S: 354 Start mail input; end with <CRLF>.<CRLF>
      C: Subject: hello
      C:
      C: Hi Ann,
      C: ..and a line that began with a dot
      C: .
      S: 250 2.0.0 OK test000000000001-1
      C: QUIT
      S: 221 2.0.0 mx.example closing connection
      !close quit
      `,
    )()
    expect(destination.messages.map(({ recipients }) => recipients)).toEqual([['ann@example.org']])
    expect(destination.messages[0]?.transaction.envelope).toMatchObject({
      reversePath: 'bob@example.net',
      forwardPaths: ['ann@example.org'],
      body: '8BITMIME',
      declaredBytes: 1000,
      isSmtpUtf8: false,
    })
    expect(destination.messages[0]?.bytes.toString()).toBe(
      [
        'Received: from client.example ([203.0.113.7])',
        '\tby mx.example with ESMTP',
        '\tid test000000000001-1',
        '\tfor <ann@example.org>;',
        '\tTue, 03 Feb 2026 04:05:06 +0000',
        'Subject: hello',
        '',
        'Hi Ann,',
        '.and a line that began with a dot',
        '',
      ].join('\r\n'),
    )
    expect(destination.open).toBe(0)
  })

  test('a second transaction has its own id', async () => {
    const session = await inData()
    await session.send('a\r\n.\r\n')
    await session.ask('MAIL FROM:<>')
    await session.ask('RCPT TO:<Postmaster>')
    await session.ask('DATA')
    expect(await session.ask('.')).toBe('250 2.0.0 OK test000000000001-2\r\n')
    expect(session.destination.messages[1]?.transaction.envelope.reversePath).toBe('')
  })

  test(
    'HELO offers no extensions',
    dialogue(
      {},
      `
      S: 220 *
      C: HELO client.example
      S: 250 mx.example Hello client.example [203.0.113.7]
      C: QUIT
      S: 221 *
      `,
    ),
  )
})

describe('order of commands (RFC 5321 §4.1.4)', () => {
  test(
    'a forward-path before a reverse-path is out of order',
    dialogue(
      {},
      `
      S: 220 *
      C: MAIL FROM:<bob@example.net>
      S: 503 5.5.1 Bad sequence of commands: send EHLO first
      C: HELO client.example
      S: 250 *
      C: RCPT TO:<ann@example.org>
      S: 503 5.5.1 Bad sequence of commands: send MAIL first
      C: DATA
      S: 503 5.5.1 Bad sequence of commands: send MAIL first
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: MAIL FROM:<bob@example.net>
      S: 503 *
      C: DATA
      S: 503 5.5.1 Bad sequence of commands: send RCPT first
      C: AUTH PLAIN
      S: 503 *
      C: STARTTLS
      S: 503 *
      C: RSET
      S: 250 2.0.0 OK
      C: RCPT TO:<ann@example.org>
      S: 503 *
      `,
    ),
  )

  test(
    'EHLO ends an open transaction',
    dialogue(
      {},
      `
      S: 220 *
      C: HELO a
      S: 250 *
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: HELO b
      S: 250 *
      C: RCPT TO:<ann@example.org>
      S: 503 *
      `,
    ),
  )

  test(
    'commands with the wrong number of arguments, in any case, and with white space at the end',
    dialogue(
      {},
      `
      S: 220 *
      C: EHLO
      S: 501 5.5.4 An argument is missing
      C: helo client.example
      S: 250 *
      C: rset now
      S: 501 5.5.4 No argument is allowed
      C: RSET  \t
      S: 250 *
      C: NOOP with anything
      S: 250 2.0.0 OK
      C: VRFY
      S: 501 *
      C: HELP
      S: 214-2.0.0 EHLO *
      S: 214 2.0.0 See RFC 5321
      C: QUIT now
      S: 501 *
      C: TURN
      S: 500 5.5.2 Command unrecognized
      C:
      S: 500 *
      C: XTURN ADDR=127.0.0.1
      S: 500 *
      !open
      `,
    ),
  )

  test('SM-10: nothing of a refused transaction lives on', async () => {
    const refusals = [
      'MAIL FROM:<bob@@example.net>',
      'MAIL FROM:<bob@example.net> SIZE=99999999999',
      'MAIL FROM:<bob@example.net> FOO=bar',
      'MAIL FROM:<b\u00c3\u00b6b@example.net>',
      'MAIL',
    ]
    for (const refusal of refusals) {
      const session = await greeted()
      expect(await session.ask(refusal)).toMatch(/^5/)
      expect(await session.ask('RCPT TO:<ann@example.org>')).toMatch(/^503 /)
      expect(await session.ask('DATA')).toMatch(/^503 /)
      expect(await session.ask('MAIL FROM:<bob@example.net>')).toMatch(/^250 /)
    }
  })

  /** How a transaction is refused or ended, up to the reply with which it is over. */
  const endings: readonly (readonly [name: string, lines: readonly string[], reply: RegExp])[] = [
    ['501 to RCPT', ['MAIL FROM:<bob@example.net>', 'RCPT TO:nonsense', 'RSET'], /^250 /],
    ['550 to RCPT', ['MAIL FROM:<bob@example.net>', 'RCPT TO:<eve@elsewhere.example>', 'RSET'], /^250 /],
    ['552 to the message', [...envelopeOf('DATA'), `${'x'.repeat(2_000)}\r\n.`], /^552 /],
    ['554 to the message', [...envelopeOf('DATA'), 'a\0b\r\n.'], /^554 /],
    ['552 to a chunk', envelopeOf(`BDAT 2000\r\n${'x'.repeat(1_998)}`), /^552 /],
    ['250 to the message', [...envelopeOf('DATA'), '.'], /^250 /],
    ['another EHLO', envelopeOf('EHLO other.example'), /^250-/],
  ]
  /** What may not come now: the envelope is gone. */
  const orphans = ['RCPT TO:<ann@example.org>', 'DATA', 'BDAT 0 LAST', 'BDAT 4 LAST\r\nDA']

  test.each(endings)(
    'SM-10: behind %s there is no transaction, whatever command comes next',
    async (_, lines, reply) => {
      for (const orphan of orphans) {
        const session = await greeted({ limits: { maxMessageBytes: 1_000 } })
        let last = ''
        for (const line of lines) last = await session.ask(line)
        expect(last).toMatch(reply)
        const stored = session.destination.messages.length
        expect(await session.ask(orphan)).toMatch(/^503 5\.5\.1 [^\r\n]+\r\n$/)
        expect(session.destination).toMatchObject({ open: 0, messages: { length: stored } })
        expect(await session.ask('MAIL FROM:<bob@example.net>')).toMatch(/^250 /)
      }
    },
  )

  test('SM-10: behind 451 of a destination that broke, too', async () => {
    for (const orphan of orphans) {
      const destination = new MemoryDestination()
      destination.breaksAt = 'commit'
      const session = await greeted({ destination })
      for (const line of envelopeOf('DATA')) await session.ask(line)
      expect(await session.ask('.')).toMatch(/^451 4\.3\.0 /)
      expect(await session.ask(orphan)).toMatch(/^503 5\.5\.1 /)
      expect(destination).toMatchObject({ open: 0, messages: [] })
    }
  })

  test('a DATA whose recipients were all refused is answered 554, and the transaction stays open', async () => {
    const session = await greeted()
    await play(
      session,
      `
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: RCPT TO:<nobody@elsewhere.example>
      S: 550 *
      C: DATA
      S: 554 5.5.1 No valid recipients
      C: RCPT TO:<ann@example.org>
      S: 250 *
      C: DATA
      S: 354 *
      `,
    )
  })
})

describe('HELO and EHLO', () => {
  test('J1: the answer names the client, not the balancer', async () => {
    const session = await new TestSession({ origin: 'proxied', client: '2001:db8::7' }).start()
    expect(await session.ask('EHLO client.example')).toContain(
      '250-mx.example Hello client.example [IPv6:2001:db8::7]\r\n',
    )
  })

  test.each([
    'client.example',
    'my_host',
    '[192.0.2.1]',
    '[IPv6:2001:db8::1]',
    '[IPv6:fe80::1%en0]',
    '10.0.0.1',
    'localhost',
    'a:b',
  ])('EHLO %s is taken', async (domain) => {
    const session = await new TestSession().start()
    expect(await session.ask(`EHLO ${domain}`)).toMatch(/^250-/)
  })

  test.each([
    ['two words', 'client example'],
    ['an angle bracket', '<a>'],
    ['a parenthesis', 'a(b'],
    ['a bracket that is not closed', '[192.0.2.1'],
    ['256 octets', 'a'.repeat(256)],
    ['SC-05: 2000 octets', 'a'.repeat(2_000)],
    ['SC-05: NUL', 'a\0b'],
    ['SC-05: ESC', 'a\u001b[31m'],
    ['SC-05: DEL', 'a\u007f'],
    ['SC-05: 8-bit', 'a\u00ff'],
    ['UTF-8', 'b\u00c3\u00bccher.example'],
  ])('a domain with %s is 501', async (_, domain) => {
    const session = await new TestSession().start()
    const reply = await session.ask(`EHLO ${domain}`)
    expect(reply).toMatch(/^501 5\.5\.4 [\x20-\x7e]+\r\n$/)
    expect(session.lastWish?.next).toBe('read')
  })
})

describe('J8: the first command comes before the greeting could be read', () => {
  test('it is answered behind the greeting', async () => {
    const session = await new TestSession().start()
    await session.send('EHLO client.example\r\n')
    expect(session.take()).toMatch(/^220 .*\r\n250-mx\.example Hello/)
  })
})

describe('a listener that requires TLS (RFC 3207 section 4)', () => {
  test(
    'in the clear it takes EHLO, NOOP, STARTTLS and QUIT, and nothing else',
    dialogue(
      { requiresTls: true, announcers: ['203.0.113.7'] },
      `
      S: 220 *
      C: HELO client.example
      S: 250 *
      C: NOOP
      S: 250 *
      C: MAIL FROM:<bob@example.net>
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: MAIL FROM:nonsense
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: RCPT TO:<ann@example.org>
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: DATA
      S: 530 5.7.0 Must issue a STARTTLS command first
      R: BDAT 6 LAST\\r\\nNOOP\\r\\n
      S: 503 5.5.1 *
      C: AUTH PLAIN AGFubgBzZWNyZXQ=
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: RSET
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: VRFY ann
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: EXPN staff
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: HELP
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: XFORWARD NAME=a
      S: 530 5.7.0 Must issue a STARTTLS command first
      C: STARTTLS
      S: 220 2.0.0 Ready to start TLS
      !tls
      C: HELO client.example
      S: 250 *
      C: MAIL FROM:<bob@example.net>
      S: 250 2.1.0 OK
      C: QUIT
      S: 221 *
      `,
    ),
  )

  test('TLS that a trusted balancer ended is TLS', async () => {
    const session = await greeted({ requiresTls: true, tls: 'proxy' })
    expect(await session.ask('MAIL FROM:<bob@example.net>')).toMatch(/^250 /)
  })

  test('a front end may say in the clear for whom it speaks, and no more', async () => {
    const session = await greeted({ requiresTls: true, announcers: ['203.0.113.7'] })
    expect(await session.ask('XCLIENT ADDR=192.0.2.9')).toMatch(/^220 /)
    await session.ask('EHLO client.example')
    expect(await session.ask('MAIL FROM:<bob@example.net>')).toMatch(/^530 5\.7\.0 /)
  })
})

describe('VRFY, EXPN', () => {
  test('SC-11: nobody learns who is here', async () => {
    const session = await greeted()
    const known = await session.ask('VRFY ann')
    expect(known).toMatch(/^252 2\.0\.0 /)
    expect(await session.ask('VRFY nobody')).toBe(known)
    expect(await session.ask('EXPN staff')).toMatch(/^502 5\.5\.1 /)
    expect(await session.ask('EXPN nothing')).toMatch(/^502 5\.5\.1 /)
  })

  test('SC-10: UTF-8 without SMTPUTF8 is refused in its command and the session lives', async () => {
    const session = await greeted()
    expect(await session.ask('VRFY j\u00c3\u00b6rg')).toBe('553 5.6.7 Non-ASCII address without SMTPUTF8\r\n')
    expect(await session.ask('VRFY j\u00c3\u00b6rg SMTPUTF8')).toMatch(/^252 /)
    expect(await session.ask('VRFY ann smtputf8')).toMatch(/^252 /)
    expect(await session.ask('EXPN j\u00c3\u00b6rg')).toMatch(/^502 5\.5\.1 /)
    expect(await session.ask('MAIL FROM:<j\u00c3\u00b6rg@example.net>')).toMatch(/^553 5\.6\.7 /)
    expect(await session.ask('MAIL FROM:<bob@example.net>')).toMatch(/^250 /)
    expect(await session.ask('RCPT TO:<j\u00c3\u00b6rg@example.org>')).toMatch(/^553 5\.6\.7 /)
    expect(await session.ask('RCPT TO:<ann@example.org>')).toMatch(/^250 /)
    expect(await session.ask('DATA')).toMatch(/^354 /)
    expect(await session.ask('.')).toMatch(/^250 /)
  })
})

describe('internationalized mail (RFC 6531)', () => {
  test('SMTPUTF8 takes UTF-8 addresses, and Received says so', async () => {
    const session = await greeted()
    expect(await session.ask('MAIL FROM:<j\u00c3\u00b6rg@b\u00c3\u00bccher.example> SMTPUTF8')).toMatch(/^250 /)
    expect(await session.ask('RCPT TO:<\u00c3\u00a4nn@example.org>')).toMatch(/^250 /)
    await session.ask('DATA')
    await session.ask('.')
    const [message] = session.destination.messages
    expect(message?.transaction.envelope).toMatchObject({
      reversePath: 'jörg@bücher.example',
      forwardPaths: ['änn@example.org'],
      isSmtpUtf8: true,
    })
    expect(message?.bytes.toString()).toContain(' with UTF8SMTP\r\n')
    expect(message?.bytes.toString()).toContain('for <änn@example.org>')
  })
})

describe('stray PROXY headers', () => {
  const events: string[] = []
  const observer = {
    refused: ({ reason, detail }: { readonly reason: string; readonly detail: string }) => {
      events.push(`${reason}: ${detail}`)
    },
  }
  const v1 = 'PROXY TCP4 198.51.100.1 192.0.2.1 1 25\r\n'
  const v2 = Buffer.from('0d0a0d0a000d0a515549540a2111000cc6336401c000020100010019', 'hex').toString('latin1')

  test.each([
    ['v1', v1],
    ['v1 UNKNOWN', 'PROXY UNKNOWN\r\n'],
    ['v2', v2],
  ])(
    'W4, H1: a direct client that sends %s is told off for now, and the log says how to mend it',
    async (_, header) => {
      for (const chunks of [[`${header}EHLO a\r\n`], header.split('')]) {
        events.length = 0
        const session = await new TestSession({ observer }).start()
        session.take()
        for (const chunk of chunks) await session.send(chunk)
        expect(session.take()).toBe('421 4.7.0 mx.example PROXY header from an untrusted network\r\n')
        expect(session.closed).toBe('refused')
        expect(events).toEqual([
          'proxy-untrusted: 203.0.113.7 sent a PROXY header but is in no trusted network of listener mx; ' +
            'if it is your balancer, add it to trusted-networks',
        ])
      }
    },
  )

  test('H11, S20: after a header was honoured, PROXY is an unknown command, counted, and changes nothing', async () => {
    events.length = 0
    const session = await new TestSession({ origin: 'proxied', observer }).start()
    session.take()
    await session.send(v1)
    expect(session.take()).toBe('500 5.5.2 Command unrecognized\r\n')
    expect(await session.ask('EHLO client.example')).toContain('[203.0.113.7]')
    expect(await session.ask(v1.trimEnd())).toMatch(/^500 5\.5\.2 /)
    expect(events.map((event) => event.split(':')[0])).toEqual(['proxy-again', 'proxy-again'])
  })

  test('S20: a binary header behind a header ends the session', async () => {
    events.length = 0
    const session = await new TestSession({ origin: 'proxied', observer }).start()
    session.take()
    for (const byte of v2) await session.send(byte)
    expect(session.take()).toMatch(/^421 4\.7\.0 /)
    expect(session.closed).toBe('refused')
    expect(events).toEqual(['proxy-again: a second PROXY header came behind the first'])
  })

  test('PX-10: later in a session, PROXY is an unknown command for a direct client too', async () => {
    const session = await greeted()
    expect(await session.ask(v1.trimEnd())).toMatch(/^500 5\.5\.2 /)
    expect(session.closed).toBeUndefined()
  })

  test.each(['PROXY\r\n', 'PROXY HTTP\r\n', 'PRO\r\n', '\r\n\r\nNOOP\r\n'])(
    '%j opens an ordinary session',
    async (bytes) => {
      for (const chunks of [[bytes], bytes.split('')]) {
        const session = await new TestSession().start()
        for (const chunk of chunks) await session.send(chunk)
        expect(await session.ask('EHLO a')).toMatch(/^250-/)
      }
    },
  )
})

describe('SC-04: other protocols', () => {
  test.each([
    ['HTTP', 'POST / HTTP/1.1\r\nHost: mx.example\r\n\r\nEHLO a\r\nMAIL FROM:<a@b>\r\n'],
    ['HTTP in HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['SSH', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['TLS in the clear', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003'],
  ])('%s closes at the first line', async (_, bytes) => {
    const session = await new TestSession().start()
    session.take()
    await session.send(bytes)
    expect(session.take()).toBe('554 5.5.2 This is an SMTP server\r\n')
    expect(session.closed).toBe('protocol')
  })
})

describe('why a recipient is refused by the destination', () => {
  test.each([
    ['quota', { code: 452, enhanced: '4.2.2', lines: ['Mailbox full'] }],
    ['quota', { code: 552, enhanced: '5.2.2', lines: ['Mailbox full'] }],
    ['unavailable', { code: 451, enhanced: '4.3.0', lines: ['Not now'] }],
    ['unavailable', { code: 450, lines: ['4.2.2 is no status of his'] }],
    ['unknown-recipient', { code: 550, enhanced: '5.1.1', lines: ['No such user'] }],
  ] as const)('%s: %o', async (reason, reply) => {
    const told: string[] = []
    const destination = new MemoryDestination()
    destination.recipientReplies = new Map([['ann@example.org', reply]])
    const observer = { refused: (event: { readonly reason: string }) => told.push(event.reason) }
    const session = await new TestSession({ destination, observer }).start()
    await session.send('EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n')
    expect(told).toEqual([reason])
  })
})

describe('a balancer that speaks for itself', () => {
  test('TR-02, J15: a health check is greeted and may take leave, and moves no mail', async () => {
    const events: string[] = []
    const session = await new TestSession({
      origin: 'proxy-itself',
      tls: 'proxy',
      observer: {
        command: ({ verb }) => events.push(verb),
        refused: ({ verb, reason }) => events.push(`${verb} ${reason}`),
      },
    }).start()
    await play(
      session,
      `
      S: 220 *
      C: EHLO haproxy
      S: 250-mx.example *
      S: 250-PIPELINING
      S: 250-SIZE 26214400
      S: 250-LIMITS RCPTMAX=1000
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-SMTPUTF8
      S: 250 CHUNKING
      C: NOOP
      S: 250 *
      C: RSET
      S: 250 *
      `,
    )
    expect(events).toEqual([])
    await play(
      session,
      `
      C: MAIL FROM:<>
      S: 550 5.7.1 *
      C: AUTH PLAIN AGFubgBzZWNyZXQ=
      S: 550 5.7.1 *
      C: STARTTLS
      S: 550 5.7.1 *
      C: RCPT TO:<x@elsewhere.example>
      S: 503 *
      C: QUIT
      S: 221 *
      !close quit
      `,
    )
    expect(events.slice(0, 3)).toEqual(['MAIL health-check', 'AUTH health-check', 'STARTTLS health-check'])
    expect(session.asked).toEqual([])
  })
})

describe('the worker stops', () => {
  test('OP-02: an idle session is told at once', async () => {
    const session = await greeted()
    await session.stop()
    expect(session.take()).toBe('421 4.3.2 mx.example Shutting down, try again later\r\n')
    expect(session.closed).toBe('stopping')
  })

  test('OP-02: a transaction is finished first', async () => {
    const session = await inData()
    await session.stop()
    expect(session.closed).toBeUndefined()
    await session.send('a\r\n.\r\n')
    expect(session.take()).toMatch(/^250 2\.0\.0 OK \S+\r\n421 4\.3\.2 /)
    expect(session.closed).toBe('stopping')
    expect(session.destination.messages).toHaveLength(1)
  })
})
