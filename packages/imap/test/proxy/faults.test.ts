import type { Policy } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { dialogue, master, play, ProxySession, type ProxySetup } from './scripted.ts'

const greeted = `
  !dial
  B: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN STARTTLS] ready
`
const unavailable = 'NO [UNAVAILABLE] Account is temporarily unavailable.'
const denied = 'NO [AUTHENTICATIONFAILED] Authentication failed'
const ourFault = 'NO [SERVERBUG] Internal error, ask the operator.'

describe('what a backend says to the sign-in, and what the client hears (4.3.16)', () => {
  test.each([
    ['NO [AUTHENTICATIONFAILED] no user ann here', denied],
    // The text may tell whether there is such a user.
    ['NO no user ann here', denied],
    ['NO', denied],
    ['NO [X-CUSTOM 1] no user ann here', denied],
    ['NO [AUTHORIZATIONFAILED] not by IMAP', 'NO [AUTHORIZATIONFAILED] not by IMAP'],
    ['NO [EXPIRED] change your password', 'NO [EXPIRED] change your password'],
    ['NO [PRIVACYREQUIRED] use TLS', 'NO [PRIVACYREQUIRED] use TLS'],
    ['NO [contactadmin]', 'NO [CONTACTADMIN] Login is not allowed'],
    ['NO [ALERT] a program needs a password of its own', 'NO [ALERT] a program needs a password of its own'],
    ['NO [LIMIT] too many connections', 'NO [LIMIT] too many connections'],
    ['NO [INUSE] being moved', 'NO [INUSE] being moved'],
    ['NO [UNAVAILABLE] userdb lookup of ann timed out', unavailable],
    ['NO [SERVERBUG] core dumped', unavailable],
    ['NO [REFERRAL imap://ann@elsewhere.example/] go there', ourFault],
    ['BAD what is LOGIN', ourFault],
  ])('%s', async (said, heard) => {
    await dialogue(
      {},
      `
      C: a LOGIN ann secret
      ${greeted}
      P: L LOGIN "ann" "secret"
      B: L ${said}
      S: a ${heard}
      P: Q LOGOUT
      C: b NOOP
      S: b OK *
      `,
    )()
  })

  test('its words cannot hold more than a line, and not too much', async () => {
    const session = new ProxySession()
    await play(session, `S: * OK *\nC: a LOGIN ann secret\n${greeted}\nP: L LOGIN *`)
    session.backend?.stream.write(`L NO [EXPIRED] \x1b[31m${'x'.repeat(1000)}\r\n`)
    await play(session, `S: a NO [EXPIRED] [31m${'x'.repeat(196)}`)
    session.running.cut()
  })

  test.each([
    ['NO [AUTHENTICATIONFAILED] no', ourFault],
    ['NO no', ourFault],
    ['NO [EXPIRED] of ann', 'NO [EXPIRED] of ann'],
    ['NO [UNAVAILABLE] no', unavailable],
  ])('to a master: %s', async (said, heard) => {
    await dialogue(
      { judge: 'authenticator', backends: { credentials: master } },
      `
      C: a LOGIN ann secret
      ${greeted}
      P: L AUTHENTICATE PLAIN *
      B: L ${said}
      S: a ${heard}
      C: b LOGIN ann secret
      `,
    )()
  })

  test('a refusal counts, an outage does not', async () => {
    const session = new ProxySession({ count: 1 })
    await play(session, 'S: * OK *')
    for (const tag of ['a', 'b', 'c', 'd']) {
      await play(session, `C: ${tag} LOGIN ann secret\n!dial\nB: * BYE later\nS: ${tag} ${unavailable}`)
    }
    for (const tag of ['e', 'f', 'g']) {
      await play(session, `C: ${tag} LOGIN ann wrong\n${greeted}\nP: L *\nB: L NO no\nS: ${tag} ${denied}`)
    }
    await play(session, 'S: * BYE Too many failed logins\n!close too-many-errors')
  })
})

describe('BK-09: a backend that is no use, before the credentials', () => {
  const patience = { openingPatienceMs: 60, signInPatienceMs: 120 }
  test.each<[string, ProxySetup, string, string, string?]>([
    ['greets with BYE', {}, 'B: * BYE overloaded', unavailable],
    ['greets with PREAUTH', {}, 'B: * PREAUTH as root', ourFault],
    ['greets as SMTP', {}, 'B: 220 mx.example ESMTP', unavailable, 'it does not speak IMAP: "220 mx.example ESMTP"'],
    ['greets with a tagged response', {}, 'B: x OK hello', unavailable, 'its greeting is none of IMAP'],
    ['says nothing', { limits: patience }, '', unavailable, 'not in time'],
    ['says half a greeting', { limits: patience }, '', unavailable, 'not in time'],
    ['closes at once', {}, '!hangup', unavailable, 'it closed the connection'],
    ['is lost', {}, '!lost', unavailable, 'ECONNRESET'],
    [
      'hangs at CAPABILITY',
      { limits: { ...patience, openingPatienceMs: 500 } },
      'B: * OK ready\nP: C CAPABILITY',
      unavailable,
      'not in time',
    ],
    [
      'refuses CAPABILITY',
      {},
      'B: * OK ready\nP: C CAPABILITY\nB: C BAD',
      unavailable,
      'it does not say what it offers',
    ],
    ['answers what was not asked', {}, 'B: * OK ready\nP: C CAPABILITY\nB: Z OK', unavailable],
    ['wants more of CAPABILITY', {}, 'B: * OK ready\nP: C CAPABILITY\nB: + more', unavailable, 'it wants more of C'],
    ['takes its leave', {}, 'B: * OK ready\nP: C CAPABILITY\nB: * BYE now', unavailable],
    ['offers no way to sign in', {}, 'B: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED]', ourFault],
    ['has no TLS', { backends: { tls: 'starttls' } }, 'B: * OK [CAPABILITY IMAP4rev1]', ourFault],
    [
      'has no TLS, and credentials need it',
      { backends: { tls: 'optional', sendsCredentialsInClear: false } },
      'B: * OK [CAPABILITY IMAP4rev1]',
      ourFault,
    ],
    [
      'refuses STARTTLS',
      { backends: { tls: 'starttls' } },
      'B: * OK [CAPABILITY STARTTLS]\nP: S STARTTLS\nB: S BAD no',
      ourFault,
    ],
    [
      'fails the handshake',
      { backends: { tls: 'starttls' }, tlsFailure: 'TLS: CERT_HAS_EXPIRED' },
      'B: * OK [CAPABILITY STARTTLS]\nP: S STARTTLS\nB: S OK go',
      unavailable,
    ],
  ])('%s', async (_, setup, script, heard, told) => {
    await dialogue(
      setup,
      `
      C: a LOGIN ann secret
      !dial
      ${script}
      S: a ${heard}
      ${told === undefined ? '' : `!told ${told}`}
      C: b NOOP
      S: b OK *
      `,
    )()
  })

  test('never ends its line', async () => {
    const session = new ProxySession({ limits: { maxResponseBytes: 1_000 } })
    await play(session, 'S: * OK *\nC: a LOGIN ann secret\n!dial')
    session.backend?.stream.write(`* OK ${'x'.repeat(1_000)}`)
    await play(session, `S: a ${unavailable}\n!told a response without end`)
    session.running.cut()
  })

  test(
    'the next one is tried, with what it says of itself',
    dialogue(
      { count: 3 },
      `
      C: a LOGIN ann secret
      !dial
      B: * BYE overloaded
      !dial
      !lost
      ${greeted}
      P: L LOGIN "ann" "secret"
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *
      `,
    ),
  )

  test('TLS: what was said in the clear is forgotten, and what was slipped in behind the OK ends it', async () => {
    await dialogue(
      { backends: { tls: 'optional', sendsCredentialsInClear: false }, count: 2 },
      `
      C: a LOGIN ann secret
      !dial
      B: * OK ready
      P: C CAPABILITY
      B: * CAPABILITY STARTTLS LOGINDISABLED
      B: C OK
      P: S STARTTLS
      B: S OK go
      !secured
      P: C CAPABILITY
      B: * CAPABILITY IMAP4rev1
      B: C OK
      P: L LOGIN "ann" "secret"
      B: L OK [CAPABILITY IMAP4rev1] in
      S: a OK *
      `,
    )()
    const session = new ProxySession({ backends: { tls: 'starttls' } })
    await play(session, `S: * OK *\nC: a LOGIN ann secret\n${greeted}\nP: S STARTTLS`)
    session.backend?.stream.write('S OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n')
    await play(session, `S: a ${unavailable}\n!told bytes in the clear came behind the OK to STARTTLS`)
    session.running.cut()
  })
})

describe('BK-09: behind the credentials no other backend is asked', () => {
  test.each([
    ['it refuses', 'B: L NO no', denied],
    ['it is lost', '!lost', unavailable],
    ['it closes', '!hangup', unavailable],
    ['it takes its leave', 'B: * BYE too many connections', unavailable],
    ['it says garbage', 'B: %%%', unavailable],
    ['it asks for more', 'B: + more', unavailable],
    ['it does not answer', '', unavailable],
  ])('%s', async (_, script, heard) => {
    await dialogue(
      { count: 2, ...(script === '' && { limits: { signInPatienceMs: 500 } }) },
      `
      C: a LOGIN ann secret
      ${greeted}
      P: L LOGIN "ann" "secret"
      ${script}
      S: a ${heard}
      !told
      C: b NOOP
      S: b OK *
      `,
    )()
  })

  test(
    'a proof that never came is none',
    dialogue(
      { backends: { mechanisms: ['SCRAM-SHA-256'] } },
      `
      C: a LOGIN ann secret
      !dial
      B: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256] ready
      P: L AUTHENTICATE SCRAM-SHA-256 *
      B: L OK [CAPABILITY IMAP4rev1] believe me
      S: a ${unavailable}
      !told
      C: b LOGIN ann secret
      !dial
      B: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256] ready
      P: L AUTHENTICATE SCRAM-SHA-256 *
      B: + ~r=x,s=AAAA,i=4096~
      S: b ${unavailable}
      !told
      `,
    ),
  )

  test('what it says meanwhile is kept for the client, but not without end', async () => {
    const session = new ProxySession({ limits: { maxKeptBytes: 40 } })
    await play(
      session,
      `S: * OK *
      C: a LOGIN ann secret
      ${greeted}
      P: L *
      B: * ENABLED UTF8=ACCEPT
      B: * ID NIL
      B: * OK [ALERT] ${'x'.repeat(20)}
      B: * OK [ALERT] one more that does not fit
      B: L OK [CAPABILITY IMAP4rev1] in
      S: * OK [ALERT] ${'x'.repeat(20)}
      S: a OK *`,
    )
    session.running.cut()
  })
})

test.each(['backend', 'authenticator'] as const)(
  'a bug in who finds backends ends the session, and leaves nothing open or counted: the %s judges',
  async (judge) => {
    let open = 0
    const counting: Policy = {
      name: 'counting',
      onSession: () => {
        open += 1
        return { verdict: 'pass' }
      },
      onSessionEnd: () => void (open -= 1),
    }
    const session = new ProxySession({
      judge,
      policies: [counting],
      route: () => {
        throw new Error('a bug')
      },
    })
    await play(session, 'S: * OK *\nC: a LOGIN ann secret\nS: * BYE [UNAVAILABLE] *\n!close internal-error')
    expect(session.dialled).toEqual([])
    expect(open).toBe(0)
  },
)
