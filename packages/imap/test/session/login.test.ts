import type { Policy } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { dialogue, signedIn, TestSession } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

test(
  'a session in the clear offers STARTTLS and no login',
  dialogue(
    {},
    `
    S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE IDLE STARTTLS LOGINDISABLED] imap.example ready
    C: a1 CAPABILITY
    S: * CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE IDLE STARTTLS LOGINDISABLED
    S: a1 OK Capability completed
    C: a2 LOGIN ann secret
    S: a2 NO [PRIVACYREQUIRED] Login needs TLS
    C: a3 LOGIN {3}
    S: a3 NO [PRIVACYREQUIRED] Login needs TLS
    C: a4 AUTHENTICATE PLAIN
    S: a4 NO [PRIVACYREQUIRED] Login needs TLS
    C: a5 LOGOUT
    S: * BYE imap.example logging out
    S: a5 OK Logout completed
    !close quit
    `,
  ),
)

test(
  'J5: after STARTTLS everything begins anew and logins are offered',
  dialogue(
    {},
    `
    S: * OK *
    C: a STARTTLS
    S: a OK Begin TLS negotiation now
    C: b CAPABILITY
    S: * CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN
    S: b OK *
    C: c STARTTLS
    S: c BAD TLS is active already
    C: d LOGIN ann secret
    S: d OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL+ ID ENABLE IDLE NAMESPACE UIDPLUS *
    C: e STARTTLS
    S: e BAD Command is not valid in this state
    `,
  ),
)

test(
  'W6: a channel that the balancer secured takes logins and offers no STARTTLS',
  dialogue(
    { security: 'tls', origin: 'proxied' },
    `
    S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN] imap.example ready
    C: a LOGIN ann secret
    S: a OK *
    `,
  ),
)

test(
  'AU-04: unknown user and wrong password are told in the same words, and the third failure ends it',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a LOGIN nobody secret
    S: a NO [AUTHENTICATIONFAILED] Authentication failed
    C: b LOGIN ann wrong
    S: b NO [AUTHENTICATIONFAILED] Authentication failed
    C: c LOGIN "ann" ""
    S: c NO [AUTHENTICATIONFAILED] Authentication failed
    S: * BYE Too many failed logins
    !close too-many-errors
    `,
  ),
)

test(
  'LOGIN with literals, waiting and not',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a LOGIN {3}
    S: + Ready for the literal
    C: ann {6+}
    C: secret
    S: a OK *
    `,
  ),
)

test(
  'AUTHENTICATE PLAIN with and without an initial response',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a AUTHENTICATE PLAIN
    S: + *
    C: AGFubgB3cm9uZw==
    S: a NO [AUTHENTICATIONFAILED] Authentication failed
    C: b authenticate plain AGFubgBzZWNyZXQ=
    S: b OK *
    `,
  ),
)

test(
  'AUTHENTICATE LOGIN asks for name and password; an asterisk cancels',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a AUTHENTICATE LOGIN
    S: + VXNlcm5hbWU6
    C: *
    S: a BAD Authentication cancelled
    C: b AUTHENTICATE LOGIN
    S: + VXNlcm5hbWU6
    C: YW5u
    S: + UGFzc3dvcmQ6
    C: c2VjcmV0
    S: b OK *
    `,
  ),
)

test(
  'X3: AUTHENTICATE EXTERNAL, by a certificate that was verified (RFC 4422 appendix A)',
  dialogue(
    { security: 'tls', clientCommonName: 'ann' },
    `
    S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE IDLE AUTH=EXTERNAL AUTH=PLAIN AUTH=LOGIN] imap.example ready
    C: a AUTHENTICATE EXTERNAL am9l
    S: a NO [AUTHORIZATIONFAILED] Not allowed
    C: b AUTHENTICATE EXTERNAL
    S: + *
    C:
    S: b OK [CAPABILITY *
    `,
  ),
)

test(
  'X3: EXTERNAL with an initial response, and without a certificate',
  dialogue(
    { security: 'tls', clientCommonName: 'ann' },
    `
    S: * OK *
    C: a AUTHENTICATE EXTERNAL =
    S: a OK *
    `,
  ),
)

test('without a certificate EXTERNAL is not offered, and refused', async () => {
  const session = new TestSession({ security: 'tls' })
  await session.start()
  expect(session.take()).not.toContain('EXTERNAL')
  expect(await session.ask('a AUTHENTICATE EXTERNAL =')).toBe('a NO [CANNOT] Mechanism is not offered\r\n')
})

test(
  'without anybody who checks passwords LOGIN is disabled on a secure channel too',
  dialogue(
    { security: 'tls', authenticator: {} },
    `
    S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE IDLE LOGINDISABLED] imap.example ready
    C: a LOGIN ann secret
    S: a NO [CANNOT] Passwords are not taken here
    C: b AUTHENTICATE PLAIN
    S: b NO [CANNOT] Mechanism is not offered
    `,
  ),
)

test('AU-01: the answer to each failed login waits longer, and nothing else waits', async () => {
  const session = new TestSession({ security: 'tls' })
  await session.start()
  for (const line of ['a LOGIN ann wrong', 'b NOOP', 'c AUTHENTICATE PLAIN AGFubgB3cm9uZw==', 'd LOGIN ann secret']) {
    await session.ask(line)
  }
  const waits = session.wishes.map((wish) => (wish.next === 'read' ? wish.afterMs : undefined))
  expect(waits).toEqual([undefined, 1_000, undefined, 2_000, undefined])
})

test.for([
  ['no base64', '!!!!'],
  ['unpadded', 'AGFubgBzZWNyZXQ'],
  ['spare bits set', 'AGFubgBzZWNyZXR='],
  ['one NUL', 'AGFubg=='],
  ['four fields', 'AGFubgBzZWNyZXQAeA=='],
  ['blanks between', 'AGFu bgBzZWNyZXQ='],
])('AU-05: malformed SASL, %s, is BAD', async ([, response]) => {
  const session = new TestSession({ security: 'tls' })
  await session.start()
  expect(await session.ask(`a AUTHENTICATE PLAIN ${response}`)).toBe('a BAD Response is malformed\r\n')
})

test(
  'AU-05: names of mechanisms that the language knows are no mechanisms',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a AUTHENTICATE __proto__
    S: a NO [CANNOT] Mechanism is not offered
    C: b AUTHENTICATE constructor
    S: b NO [CANNOT] Mechanism is not offered
    `,
  ),
)

test(
  'AU-06: another identity than the password is for is refused',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a AUTHENTICATE PLAIN Ym9iAGFubgBzZWNyZXQ=
    S: a NO [AUTHORIZATIONFAILED] Not allowed
    `,
  ),
)

test(
  'a directory that cannot be asked is no wrong password',
  dialogue(
    { security: 'tls', isDirectoryDown: true },
    `
    S: * OK *
    C: a LOGIN ann secret
    S: a NO [UNAVAILABLE] *
    C: b LOGIN ann secret
    S: b NO [UNAVAILABLE] *
    C: c LOGIN ann secret
    S: c NO [UNAVAILABLE] *
    C: d NOOP
    S: d OK *
    `,
  ),
)

test('mail that cannot be opened is no wrong password either, and the operator hears why', async () => {
  const store = new MemoryStore()
  const details: (string | undefined)[] = []
  const session = new TestSession({
    security: 'tls',
    store,
    observer: { authenticated: ({ outcome, detail }) => void details.push(`${outcome}: ${detail}`) },
  })
  await session.start()
  store.openAccount = async () => Promise.reject(new Error('EIO: i/o error'))
  expect(await session.ask('a LOGIN ann secret')).toMatch(/^a NO \[UNAVAILABLE\] /)
  expect(details).toEqual(['unavailable: EIO: i/o error'])
  expect(await session.ask('b SELECT INBOX')).toMatch(/^b BAD /)
})

test('a policy is asked before the password is looked at', async () => {
  const told: string[] = []
  const session = new TestSession({
    security: 'tls',
    policies: [
      { name: 'p', onAuthenticate: ({ username }) => ({ verdict: 'defer', reason: 'rate', detail: username }) },
    ],
    observer: {
      refused: ({ reason, detail }) => void told.push(`${reason} ${detail}`),
      authenticated: ({ outcome }) => void told.push(outcome),
    },
  })
  await session.start()
  expect(await session.ask('a LOGIN ann secret')).toBe('a NO [LIMIT] Too many logins\r\n')
  expect(told).toEqual(['rate ann'])
})

test('the observer hears who signed in and never a password', async () => {
  const told: unknown[] = []
  const session = new TestSession({
    security: 'tls',
    observer: {
      authenticated: (event) => void told.push({ ...event, connection: undefined }),
      command: ({ verb, reply }) => void told.push(`${verb} ${reply}`),
    },
  })
  await session.start()
  await session.ask('a LOGIN ann secret')
  await session.ask('b FROBNICATE secret')
  expect(told).toEqual([
    { connection: undefined, mechanism: 'LOGIN', username: 'ann', outcome: 'granted' },
    'LOGIN OK',
    'UNKNOWN BAD',
  ])
})

test(
  'J15: the balancer itself may look whether we are up, and no more',
  dialogue(
    { security: 'tls', origin: 'proxy-itself' },
    `
    S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] imap.example ready
    C: a CAPABILITY
    S: * CAPABILITY IMAP4rev1 LOGINDISABLED
    S: a OK *
    C: b NOOP
    S: b OK *
    C: c LOGIN ann secret
    S: c NO [CANNOT] Not for health checks
    C: d STARTTLS
    S: d NO [CANNOT] Not for health checks
    C: e LOGOUT
    S: * BYE *
    S: e OK *
    !close quit
    `,
  ),
)

test('TL-01: bytes behind STARTTLS end the connection', async () => {
  const reasons: string[] = []
  const session = new TestSession({ observer: { refused: ({ reason }) => void reasons.push(reason) } })
  await session.start()
  session.take()
  await session.send('a STARTTLS\r\nb LOGIN ann secret\r\n')
  expect(session.take()).toBe('* BYE Nothing may follow STARTTLS\r\n')
  expect(session.closed).toBe('protocol')
  expect(reasons).toEqual(['injection'])
})

test('TL-02: half a line behind STARTTLS ends the connection too', async () => {
  const session = new TestSession()
  await session.start()
  await session.send('a STARTTLS\r\nb LOG')
  expect(session.closed).toBe('protocol')
})

test('TL-06: STARTTLS takes no argument', async () => {
  const session = new TestSession()
  await session.start()
  expect(await session.ask('a STARTTLS now')).toBe('a BAD No arguments are expected\r\n')
})

test('the deadline before login runs from the greeting, whatever is said', async () => {
  const session = new TestSession({ security: 'tls' })
  await session.start()
  await session.ask('a NOOP')
  await session.ask('b NOOP')
  expect(session.wishes).toEqual([
    { next: 'read', patienceMs: 180_000 },
    { next: 'read', patienceMs: 180_000, keepsDeadline: true },
    { next: 'read', patienceMs: 180_000, keepsDeadline: true },
  ])
  await session.passDeadline()
  expect(session.take()).toBe('* BYE Login timed out\r\n')
  expect(session.closed).toBe('timeout')
})

test('after login every command gives half an hour, and half a command none', async () => {
  const session = await signedIn()
  await session.ask('b NOOP')
  await session.send('c NO')
  expect(session.wishes.slice(-3)).toEqual([
    { next: 'read', patienceMs: 1_800_000 },
    { next: 'read', patienceMs: 1_800_000 },
    { next: 'read', patienceMs: 1_800_000, keepsDeadline: true },
  ])
})

test.for([
  [{ verdict: 'refuse', reason: 'listed' }, 'NO [AUTHORIZATIONFAILED] Login is not allowed', undefined],
  [{ verdict: 'defer', reason: 'unavailable' }, 'NO [UNAVAILABLE] Try again later', undefined],
  [{ verdict: 'refuse', reason: 'tls-required' }, 'NO [PRIVACYREQUIRED] Login needs TLS', undefined],
  [
    { verdict: 'refuse', reason: 'listed', reply: { text: 'Call\r\nus' } },
    'NO [AUTHORIZATIONFAILED] Call us',
    undefined,
  ],
  [{ verdict: 'drop', reason: 'listed' }, 'NO [AUTHORIZATIONFAILED] Login is not allowed', 'refused'],
] as const)('a policy that says %o', async ([decision, answer, closed]) => {
  const session = new TestSession({ security: 'tls', policies: [{ name: 'p', onAuthenticate: () => decision }] })
  await session.start()
  expect(await session.ask('a LOGIN ann secret')).toBe(`a ${answer}\r\n`)
  expect(session.closed).toBe(closed)
})

describe('IM-21: a policy that counts sessions of users', () => {
  /** Lets two sessions be. */
  function counting() {
    const counted = { open: 0, ends: 0 }
    const policy: Policy = {
      name: 'sessions',
      onSession: () =>
        counted.open === 2 ? { verdict: 'defer', reason: 'concurrency', detail: 'mend it' } : (counted.open++, passed),
      onSessionEnd: () => {
        counted.open -= 1
        counted.ends += 1
      },
    }
    return { counted, policy }
  }
  const passed = { verdict: 'pass' } as const

  test('refuses one too many with LIMIT, later each time, and then no more', async () => {
    const { policy } = counting()
    const refusals: (string | undefined)[] = []
    const observer = {
      refused: ({ reason, detail }: { reason: string; detail?: string }) => void refusals.push(`${reason}: ${detail}`),
    }
    const store = new MemoryStore()
    await signedIn({ store, policies: [policy] })
    await signedIn({ store, policies: [policy] })
    const third = new TestSession({ security: 'tls', store, policies: [policy], observer })
    await third.start()
    expect(await third.ask('a LOGIN ann secret')).toBe('a NO [LIMIT] Too many logins\r\n')
    expect(third.wishes.at(-1)).toMatchObject({ afterMs: 1_000 })
    expect(await third.ask('b LOGIN ann wrong')).toMatch(/^b NO \[AUTHENTICATIONFAILED\]/)
    expect(await third.ask('c LOGIN ann secret')).toBe(
      'c NO [LIMIT] Too many logins\r\n* BYE Too many failed logins\r\n',
    )
    expect(refusals.filter((text) => text === 'concurrency: mend it')).toHaveLength(2)
  })

  test.each([
    ['LOGOUT', (session: TestSession) => session.ask('a LOGOUT')],
    ['UNAUTHENTICATE', (session: TestSession) => session.ask('a UNAUTHENTICATE')],
    ['a lost connection', (session: TestSession) => session.machine.ended('connection-lost')],
  ])('is told of the end once: %s', async (_, end) => {
    const { counted, policy } = counting()
    const session = await signedIn({ policies: [policy] })
    expect(counted).toEqual({ open: 1, ends: 0 })
    await end(session)
    await session.machine.ended('quit')
    expect(counted).toEqual({ open: 0, ends: 1 })
  })

  test('is told of the end when the mail cannot be opened, and when the client left meanwhile', async () => {
    const { counted, policy } = counting()
    const store = new MemoryStore()
    const gate = Promise.withResolvers<void>()
    const open = store.openAccount.bind(store)
    store.openAccount = async () => Promise.reject(new Error('EIO'))
    const session = new TestSession({ security: 'tls', store, policies: [policy] })
    await session.start()
    await session.ask('a LOGIN ann secret')
    expect(counted).toEqual({ open: 0, ends: 1 })
    store.openAccount = async (account) => {
      await gate.promise
      return open(account)
    }
    const login = session.send('b LOGIN ann secret\r\n')
    await session.machine.ended('connection-lost')
    gate.resolve()
    await login.catch(() => undefined)
    expect(counted).toEqual({ open: 0, ends: 2 })
  })

  test('gives back what was counted before another policy refused, or failed', async () => {
    const { counted, policy } = counting()
    const refuses: Policy = { name: 'refuses', onSession: () => ({ verdict: 'refuse', reason: 'listed' }) }
    const session = new TestSession({ security: 'tls', policies: [policy, refuses] })
    await session.start()
    expect(await session.ask('a LOGIN ann secret')).toBe('a NO [AUTHORIZATIONFAILED] Login is not allowed\r\n')
    expect(counted).toEqual({ open: 0, ends: 1 })
    const fails: Policy = { name: 'fails', onSession: async () => Promise.reject(new Error('a bug')) }
    const other = new TestSession({ security: 'tls', policies: [policy, fails] })
    await other.start()
    await expect(other.ask('a LOGIN ann secret')).rejects.toThrow('a bug')
    expect(counted).toEqual({ open: 0, ends: 2 })
  })
})
