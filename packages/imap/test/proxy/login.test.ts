import { secret, type Policy } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { dialogue, master, play, ProxySession } from './scripted.ts'

const greeted = `
  !dial
  B: * OK [CAPABILITY IMAP4rev1 SASL-IR ID IDLE AUTH=PLAIN] ready
`

test.each([
  ['right', 'L OK [CAPABILITY IMAP4rev1] in'],
  ['wrong', 'L NO [AUTHENTICATIONFAILED] no'],
])('AU-02: a client that was banned meanwhile is not told that its guess was %s', async (_, verdict) => {
  const told: (readonly string[])[] = []
  await dialogue(
    {
      withholds: ({ username }) => `${username} is banned`,
      observer: { authenticated: ({ outcome, detail = '' }) => told.push([outcome, detail]) },
    },
    `
    C: a LOGIN ann secret
    ${greeted}
    P: L LOGIN "ann" "secret"
    B: ${verdict}
    S: a NO [UNAVAILABLE] Accounts cannot be looked up now, try again later
    C: b NOOP
    S: b OK *
    `,
  )()
  expect(told).toEqual([['unavailable', 'ann is banned']])
})

describe('what is offered before a login', () => {
  test.each([
    [
      'what every backend has, and what we do ourselves',
      {
        offers: [
          ['IMAP4REV1', 'IDLE', 'IMAP4REV2'],
          ['IMAP4REV1', 'IDLE'],
        ],
      },
      'IMAP4rev1 SASL-IR LITERAL- ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN',
    ],
    [
      'nothing that is not known of one',
      { offers: [['IDLE'], undefined] },
      'IMAP4rev1 SASL-IR LITERAL- ID ENABLE AUTH=PLAIN AUTH=LOGIN',
    ],
    [
      'tokens, where every backend takes them',
      { offers: [['AUTH=XOAUTH2'], ['AUTH=PLAIN', 'AUTH=OAUTHBEARER']] },
      'IMAP4rev1 SASL-IR LITERAL- ID ENABLE AUTH=OAUTHBEARER AUTH=XOAUTH2 AUTH=PLAIN AUTH=LOGIN',
    ],
    [
      'no token, where one does not',
      { offers: [['AUTH=XOAUTH2'], ['AUTH=PLAIN']] },
      'IMAP4rev1 SASL-IR LITERAL- ID ENABLE AUTH=PLAIN AUTH=LOGIN',
    ],
  ])('%s', async (_, setup, expected) => {
    const session = new ProxySession(setup)
    await play(session, `S: * OK [CAPABILITY ${expected}] imap.example ready`)
    session.running.cut()
  })

  test.each([
    [true, 'AUTH=PLAIN AUTH=LOGIN'],
    [false, 'AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN'],
  ])(
    'SCRAM only where the backend can do without the password (needsPassword: %s)',
    async (needsPassword, mechanisms) => {
      const session = new ProxySession({
        judge: 'authenticator',
        needsPassword,
        authenticator: {
          verify: async () => ({ outcome: 'denied' }),
          scramKeys: async () => ({ outcome: 'unknown' }),
        },
      })
      await play(
        session,
        `S: * OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL- ID ENABLE IDLE ${mechanisms}] imap.example ready`,
      )
      session.running.cut()
    },
  )
})

describe('a login at the backend', () => {
  test(
    'J12: with what the client gave, and what the backend said of itself handed on',
    dialogue(
      {},
      `
      C: a LOGIN ann "se\\"cret"
      ${greeted}
      P: L LOGIN "ann" "se\\"cret"
      B: * OK [ALERT] your mailbox is nearly full
      B: L OK [CAPABILITY IMAP4rev1 IDLE STARTTLS AUTH=PLAIN LOGIN-REFERRALS UNAUTHENTICATE COMPRESS=DEFLATE] Logged in
      S: * OK [ALERT] your mailbox is nearly full
      S: a OK [CAPABILITY IMAP4rev1 IDLE COMPRESS=DEFLATE] Logged in
      C: b SELECT INBOX
      P: b SELECT INBOX
      B: * 1 EXISTS
      B: b OK done
      S: * 1 EXISTS
      S: b OK done
      !leave
      !gone
      !hangup
      !close client-closed
      `,
    ),
  )

  test(
    'a client that asked for capabilities is told by a response of its own (4.4.18)',
    dialogue(
      {},
      `
      C: a CAPABILITY
      S: * CAPABILITY *
      S: a OK *
      C: b LOGIN ann secret
      ${greeted}
      P: L LOGIN "ann" "secret"
      B: L OK [CAPABILITY IMAP4rev1 IDLE] Logged in
      S: * CAPABILITY IMAP4rev1 IDLE
      S: b OK Logged in
      `,
    ),
  )

  test(
    'a backend that does not say what it can do behind the login is asked',
    dialogue(
      {},
      `
      C: a LOGIN ann secret
      !dial
      B: * OK ready
      P: C CAPABILITY
      B: * CAPABILITY IMAP4rev1 AUTH=PLAIN
      B: C OK done
      P: L LOGIN "ann" "secret"
      B: L OK welcome
      P: C CAPABILITY
      B: * CAPABILITY IMAP4rev1 SORT
      B: C OK done
      S: a OK [CAPABILITY IMAP4rev1 SORT] Logged in
      `,
    ),
  )

  test('commands that came with the login are the first that the backend gets (4.2.11)', async () => {
    const session = new ProxySession()
    session.client.write('a LOGIN ann secret\r\nb NAMESPACE\r\nc LIST "" {1}\r\n')
    await play(
      session,
      `S: * OK *
      ${greeted}
      P: L LOGIN "ann" "secret"
      B: L OK [CAPABILITY IMAP4rev1] Logged in
      S: a OK *
      P: b NAMESPACE
      P: c LIST "" {1}`,
    )
    session.running.cut()
  })

  test('what the backend says behind its OK is the first that the client gets', async () => {
    const session = new ProxySession()
    await play(
      session,
      `S: * OK *
      C: a LOGIN ann secret
      ${greeted}
      P: L LOGIN "ann" "secret"`,
    )
    session.backend?.stream.write('L OK [CAPABILITY IMAP4rev1] in\r\n* OK still here\r\n')
    await play(session, 'S: a OK *\nS: * OK still here')
    session.running.cut()
  })

  test.each([
    ['8-bit', 'a LOGIN "ann" "grün"', 'ann', 'gr\xc3\xbcn'],
    ['AUTHENTICATE', `a AUTHENTICATE PLAIN ${Buffer.from('\0ann\0grün').toString('base64')}`, 'ann', 'gr\xc3\xbcn'],
  ])('by PLAIN where LOGIN cannot say it: %s', async (_, command, username, password) => {
    const session = new ProxySession()
    session.client.write(`${command}\r\n`)
    await play(
      session,
      `S: * OK *
      ${greeted}
      P: L AUTHENTICATE PLAIN ~\\0${username}\\0${password}~
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *`,
    )
    session.running.cut()
  })

  test(
    'without SASL-IR the response waits for its turn; LOGINDISABLED is heeded',
    dialogue(
      {},
      `
      C: a LOGIN ann secret
      !dial
      B: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN] ready
      P: L AUTHENTICATE PLAIN
      B: +
      P: ~\\0ann\\0secret~
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *
      `,
    ),
  )

  test(
    'by the mechanisms that the configuration names',
    dialogue(
      { backends: { mechanisms: ['LOGIN'] } },
      `
      C: a LOGIN ann secret
      !dial
      B: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN] ready
      P: L AUTHENTICATE LOGIN
      B: + VXNlcm5hbWU6
      P: ~ann~
      B: + UGFzc3dvcmQ6
      P: ~secret~
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *
      `,
    ),
  )

  test(
    'a token is passed on, and the word on it as well',
    dialogue(
      { offers: [['AUTH=XOAUTH2']] },
      `
      C: a AUTHENTICATE OAUTHBEARER ~n,a=ann,\\x01auth=Bearer old\\x01\\x01~
      !dial
      B: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
      P: L AUTHENTICATE XOAUTH2 ~user=ann\\x01auth=Bearer old\\x01\\x01~
      B: + ~{"status":"401"}~
      P:
      B: L NO [AUTHENTICATIONFAILED] expired
      S: + ~{"status":"invalid_token"}~
      C: AQ==
      S: a NO [AUTHENTICATIONFAILED] Authentication failed
      C: b AUTHENTICATE XOAUTH2 ~user=ann\\x01auth=Bearer new\\x01\\x01~
      !dial
      B: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
      P: L AUTHENTICATE XOAUTH2 ~user=ann\\x01auth=Bearer new\\x01\\x01~
      B: L OK [CAPABILITY IMAP4rev1] in
      S: b OK *
      `,
    ),
  )

  test(
    'a token without a name leads nowhere',
    dialogue(
      { offers: [['AUTH=XOAUTH2']] },
      `
      C: a AUTHENTICATE OAUTHBEARER ~n,,\\x01auth=Bearer token\\x01\\x01~
      S: + *
      C: AQ==
      S: a NO [AUTHENTICATIONFAILED] Authentication failed
      `,
    ),
  )

  test(
    'by a master, for somebody who was judged here',
    dialogue(
      { judge: 'authenticator', backends: { credentials: master } },
      `
      C: a LOGIN ann wrong
      S: a NO [AUTHENTICATIONFAILED] Authentication failed
      C: b LOGIN ann secret
      ${greeted}
      P: L AUTHENTICATE PLAIN ~ann@example.org\\0postern\\0m4ster~
      B: L OK [CAPABILITY IMAP4rev1] in
      S: b OK *
      `,
    ),
  )

  test(
    'a master would judge nobody: never where the backend is the judge',
    dialogue(
      { backends: { credentials: master } },
      `
      C: a LOGIN ann anything
      S: a NO [SERVERBUG] Internal error, ask the operator.
      `,
    ),
  )

  test(
    'with what a directory gave',
    dialogue(
      {
        judge: 'authenticator',
        backends: { credentials: { as: 'given', username: 'u1000', password: secret('internal') } },
      },
      `
      C: a LOGIN ann secret
      ${greeted}
      P: L LOGIN "u1000" "internal"
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *
      `,
    ),
  )

  test(
    'under a name that a directory gave, with the password of the client, which the backend judges',
    dialogue(
      { backends: { credentials: { as: 'given', username: 'u1000' } } },
      `
      C: a LOGIN ann wrong
      ${greeted}
      P: L LOGIN "u1000" "wrong"
      B: L NO [AUTHENTICATIONFAILED] no
      S: a NO [AUTHENTICATIONFAILED] Authentication failed
      `,
    ),
  )

  test(
    'with a token that a directory gave',
    dialogue(
      { judge: 'authenticator', backends: { credentials: { as: 'given', token: secret('minted') } } },
      `
      C: a LOGIN ann secret
      !dial
      B: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER] ready
      P: L AUTHENTICATE OAUTHBEARER ~n,a=ann@example.org,\\x01auth=Bearer minted\\x01\\x01~
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *
      `,
    ),
  )

  test(
    'the mail of some users is in the store',
    dialogue(
      { route: () => ({ to: 'store' }) },
      `
      C: a LOGIN ann secret
      S: a OK [CAPABILITY IMAP4rev1 IMAP4rev2 *
      C: b LOGOUT
      S: * BYE *
      S: b OK *
      !close quit
      `,
    ),
  )

  test(
    'and of others nowhere',
    dialogue(
      {
        route: (username) => ({
          to: 'nowhere',
          decision:
            username === 'later'
              ? { verdict: 'defer', reason: 'unavailable', detail: 'the directory is down' }
              : {
                  verdict: 'refuse',
                  reason: 'route',
                  ...(username === 'eve' ? { reply: { text: 'Gone\\r\\n* BYE' } } : {}),
                },
        }),
      },
      `
      C: a LOGIN later secret
      S: a NO [UNAVAILABLE] Account is temporarily unavailable.
      C: b LOGIN bob secret
      S: b NO [AUTHENTICATIONFAILED] Authentication failed
      C: c LOGIN eve secret
      S: c NO [AUTHENTICATIONFAILED] Gone\\r\\n* BYE
      `,
    ),
  )

  test(
    'on behalf of another: not where the backend judges',
    dialogue(
      {},
      `
      C: a AUTHENTICATE PLAIN ~bob\\0ann\\0secret~
      S: a NO [AUTHORIZATIONFAILED] Not allowed
      `,
    ),
  )

  test('PO-09: line ends in what a directory gave are not sent', async () => {
    const credentials = { as: 'given', username: 'u\r\nX LOGOUT', password: secret('p') } as const
    await dialogue(
      { judge: 'authenticator', backends: { credentials } },
      `
      C: a LOGIN ann secret
      ${greeted}
      S: a NO [SERVERBUG] *
      !gone
      `,
    )()
  })
})

describe('X2: the client is announced by ID (RFC 2971)', () => {
  const x =
    '"x-session-id" "test000000000001" "x-originating-ip" "203.0.113.7" "x-originating-port" "45678" "x-connected-ip" "192.0.2.1" "x-connected-port" "143"'

  test(
    'PO-08: with what it said of itself, in one write with the login',
    dialogue(
      { backends: { announcesById: 'required' }, security: { serverName: 'mail.example' } },
      `
      C: a ID ("name" "Thunderbird" "vendor" "${'x'.repeat(129)}" "x-originating-ip" "198.51.100.9" "os" NIL)
      S: * ID *
      S: a OK *
      C: b LOGIN ann secret
      ${greeted}
      P: I ID (${x} "x-connected-name" "mail.example" "x-client-transport" "TLS" "x-proxy-ttl" "4" "name" "Thunderbird")
      P: L LOGIN "ann" "secret"
      B: * ID NIL
      B: I OK done
      B: L OK [CAPABILITY IMAP4rev1] in
      S: b OK *
      `,
    ),
  )

  test(
    'a backend that does not take it is none for this, unless it need not',
    dialogue(
      { backends: { announcesById: 'required' } },
      `
      C: a LOGIN ann secret
      !dial
      B: * OK [CAPABILITY IMAP4rev1] ready
      S: a NO [SERVERBUG] *
      `,
    ),
  )

  test(
    'if it need not, it is left out',
    dialogue(
      { backends: { announcesById: 'if-offered' } },
      `
      C: a LOGIN ann secret
      !dial
      B: * OK [CAPABILITY IMAP4rev1] ready
      P: L LOGIN "ann" "secret"
      `,
    ),
  )

  test(
    'a login that came through too many proxies goes no further',
    dialogue(
      { backends: { announcesById: 'required' } },
      `
      C: a ID ("X-Proxy-TTL" "1")
      S: * ID *
      S: a OK *
      C: b LOGIN ann secret
      ${greeted}
      P: I ID (${x} "x-client-transport" "TLS" "x-proxy-ttl" "0")
      P: L LOGIN "ann" "secret"
      B: L NO no
      S: b NO *
      C: c ID ("x-proxy-ttl" "0")
      S: * ID *
      S: c OK *
      C: d LOGIN ann secret
      S: d NO [SERVERBUG] *
      `,
    ),
  )
})

/** One session at a time, and how many there are. */
function oneAtATime(): Policy & { open: number } {
  return {
    name: 'one-at-a-time',
    open: 0,
    onSession() {
      if (this.open === 1) return { verdict: 'defer', reason: 'concurrency' }
      this.open += 1
      return { verdict: 'pass' }
    },
    onSessionEnd() {
      this.open -= 1
    },
  }
}

describe('limits', () => {
  test('a session of a user is counted behind its login, and given back once', async () => {
    const policy = oneAtATime()
    const first = new ProxySession({ policies: [policy] })
    await play(
      first,
      `S: * OK *
      C: a LOGIN ann secret
      ${greeted}
      P: L LOGIN "ann" "secret"
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *`,
    )
    expect(policy.open).toBe(1)
    await dialogue(
      { policies: [policy] },
      `
      C: a LOGIN ann secret
      ${greeted}
      P: L LOGIN "ann" "secret"
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a NO [LIMIT] *
      !gone
      `,
    )()
    expect(policy.open).toBe(1)
    await play(first, '!leave\n!gone\n!hangup\n!close client-closed')
    expect(policy.open).toBe(0)
  })

  test('and where no backend could be had', async () => {
    const policy = oneAtATime()
    await dialogue(
      { judge: 'authenticator', policies: [policy], count: 0 },
      `
      C: a LOGIN ann secret
      S: a NO [UNAVAILABLE] *
      `,
    )()
    expect(policy.open).toBe(0)
  })

  test('a client that leaves while it is signed in leaves nothing behind', async () => {
    const policy = oneAtATime()
    const session = new ProxySession({ policies: [policy] })
    await play(
      session,
      `S: * OK *
      C: a LOGIN ann secret
      ${greeted}
      P: L LOGIN "ann" "secret"`,
    )
    session.client.destroy()
    session.running.cut()
    await play(session, 'B: L OK [CAPABILITY IMAP4rev1] in\n!gone')
    expect(policy.open).toBe(0)
  })
})

test('who listens is told where the client went', async () => {
  const told: unknown[] = []
  await dialogue(
    {
      observer: {
        handedOn: ({ username, upstream, backend }) => told.push({ username, upstream, backend }),
        authenticated: ({ outcome, detail }) => told.push([outcome, detail]),
      },
    },
    `
    C: a LOGIN ann wrong
    ${greeted}
    P: L LOGIN *
    B: L NO [AUTHENTICATIONFAILED] no such user ann
    S: a NO *
    C: b LOGIN ann secret
    ${greeted}
    P: L LOGIN *
    B: L OK [CAPABILITY IMAP4rev1] in
    S: b OK *
    `,
  )()
  expect(told).toEqual([
    ['denied', 'upstream inside: b1: NO [AUTHENTICATIONFAILED] to the sign-in'],
    ['granted', undefined],
    { username: 'ann', upstream: 'inside', backend: 'b2' },
  ])
})

describe('4.3.16: a backend that refuses, where the user may have moved', () => {
  const refused = `
    C: a LOGIN ann secret
    ${greeted}
    P: L LOGIN "ann" "secret"
    B: L NO [AUTHENTICATIONFAILED] no`
  const elsewhere = `
    ${greeted}
    P: L LOGIN "ann" "secret"`

  test.each(['backend', 'authenticator'] as const)(
    'is not the last that is asked (judge: %s)',
    async (judge) =>
      await dialogue(
        { judge, reconsidered: 'backends' },
        `${refused}
        P: Q LOGOUT
        ${elsewhere}
        B: L OK [CAPABILITY IMAP4rev1] in
        S: a OK *`,
      )(),
  )

  test(
    'two are asked at most',
    dialogue(
      { reconsidered: 'backends' },
      `${refused}
      ${elsewhere}
      B: L NO [AUTHENTICATIONFAILED] nor here
      S: a NO [AUTHENTICATIONFAILED] *`,
    ),
  )

  test(
    'our own credentials may be refused for the same reason',
    dialogue(
      { judge: 'authenticator', reconsidered: 'backends', backends: { credentials: master } },
      `
      C: a LOGIN ann secret
      ${greeted}
      P: L AUTHENTICATE PLAIN ~ann@example.org\\0postern\\0m4ster~
      B: L NO [AUTHENTICATIONFAILED] no
      ${greeted}
      P: L AUTHENTICATE PLAIN ~ann@example.org\\0postern\\0m4ster~
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *`,
    ),
  )

  test(
    'where the mail is in the store now, the accounts here are the judge',
    dialogue(
      { reconsidered: 'store' },
      `${refused}
      S: a OK *
      C: b LOGOUT
      S: * BYE *
      S: b OK *`,
    ),
  )

  test(
    'where nobody can say, nobody is denied',
    dialogue(
      { reconsidered: 'nowhere' },
      `${refused}
      S: a NO [UNAVAILABLE] *`,
    ),
  )

  test.each([
    ['that has too much to do', 'NO [LIMIT] too many', 'LIMIT'],
    ['that is away', 'NO [UNAVAILABLE] later', 'UNAVAILABLE'],
    ['that does not understand', 'BAD what', 'SERVERBUG'],
  ])('one %s says nothing of where the user is', async (_, said, code) => {
    await dialogue(
      { reconsidered: 'backends' },
      `
      C: a LOGIN ann secret
      ${greeted}
      P: L LOGIN "ann" "secret"
      B: L ${said}
      S: a NO [${code}] *`,
    )()
  })
})
