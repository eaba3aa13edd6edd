/* A front end that says by ID for whom it speaks, in Dovecot's names. The connection itself comes from 203.0.113.7. */
import { describe, expect, test } from 'vitest'
import type { ConnectionInfo, Decision, Policy, SessionObserver } from '@postern/core'
import { TestSession, type DialogueSetup } from '../dialogue.ts'

const front: DialogueSetup = { announcers: ['203.0.113.7'], security: 'tls' }
const announced = '"x-originating-ip" "2001:db8::9" "x-originating-port" "4242"'

interface Watched {
  readonly session: TestSession
  /** Who signed in, as observers and policies were told: user, address, port. */
  readonly signedIn: string[]
  readonly told: Parameters<NonNullable<SessionObserver['announced']>>[0][]
  readonly refused: string[]
}

function whoOf({ identity: { client } }: ConnectionInfo): string {
  return `${client.address.toString()} ${client.port}`
}

async function start(setup: DialogueSetup = front): Promise<Watched> {
  const signedIn: string[] = []
  const told: Watched['told'] = []
  const refused: string[] = []
  const session = new TestSession({
    ...setup,
    observer: {
      announced: (event) => told.push(event),
      authenticated: ({ connection, username }) => signedIn.push(`${username} ${whoOf(connection)}`),
      refused: ({ verb, reason, detail }) => refused.push(`${verb} ${reason} ${detail}`),
    },
  })
  await session.start()
  session.take()
  return { session, signedIn, told, refused }
}

async function ask(session: TestSession, line: string): Promise<string> {
  await session.send(`${line}\r\n`)
  return session.take()
}

/** Policies that ban one address, and count who is there. */
function counting(banned: string, verdict: 'defer' | 'refuse' | 'drop' = 'refuse') {
  const here: string[] = []
  const came: string[] = []
  const policy = (name: string, decide: (address: string) => Decision): Policy => ({
    name,
    onConnect: ({ identity }) => {
      const address = identity.client.address.toString()
      const decision = decide(address)
      if (decision.verdict === 'pass') {
        here.push(address)
        came.push(`${name} ${address}`)
      }
      return decision
    },
    onClose: ({ identity }) => {
      here.splice(here.indexOf(identity.client.address.toString()), 1)
    },
  })
  const pass: Decision = { verdict: 'pass' }
  const policies = [
    policy('count', () => pass),
    policy('ban', (address) => (address === banned ? { verdict, reason: 'banned', detail: 'too many guesses' } : pass)),
  ]
  return { policies, here, came }
}

describe('4.1.6: whom a front end speaks for', () => {
  test('is the client from then on: for the log, for policies, and for who judges passwords', async () => {
    const { session, signedIn, told } = await start()
    expect(await ask(session, `a ID ("name" "Roundcube" ${announced} "x-session-id" "web1")`)).toMatch(
      /^\* ID \(.*\)\r\na OK /,
    )
    expect(await ask(session, 'b LOGIN ann secret')).toMatch(/^b OK /)
    expect(signedIn).toEqual(['ann 2001:db8::9 4242'])
    expect(told.map(({ verb, client }) => [verb, client])).toEqual([
      ['ID', { 'originating-ip': '2001:db8::9', 'originating-port': '4242', 'session-id': 'web1' }],
    ])
    expect(told[0]?.connection.identity).toMatchObject({
      origin: 'proxied',
      client: { port: 4242 },
      peer: { port: 45_678 },
      destination: { port: 143 },
    })
  })

  test('with where it came to, and by what name', async () => {
    const { session, told } = await start()
    await ask(
      session,
      `a ID ("X-Originating-IP" "198.51.100.9" "x-connected-ip" "192.0.2.99" "x-connected-port" "993" "x-connected-name" "Mail.Example")`,
    )
    const { connection } = told[0] ?? {}
    expect(connection?.identity.client).toMatchObject({ port: 0 })
    expect(connection?.identity.destination.address.toString()).toBe('192.0.2.99')
    expect(connection?.identity.destination.port).toBe(993)
    expect(connection?.security).toMatchObject({ kind: 'tls', endedBy: 'gateway', serverName: 'mail.example' })
  })

  test('an IPv4 address that IPv6 carries is the IPv4 address', async () => {
    const { session, signedIn } = await start()
    await ask(session, 'a ID ("x-originating-ip" "::ffff:198.51.100.9")')
    await ask(session, 'b LOGIN ann secret')
    expect(signedIn).toEqual(['ann 198.51.100.9 0'])
  })

  test.each<[string, DialogueSetup]>([
    ['where nobody is listed', { security: 'tls' }],
    ['by somebody who is not listed', { ...front, announcers: ['203.0.113.8'] }],
  ])('is not asked %s: ID is what a program says of itself', async (_, setup) => {
    const { session, signedIn, told } = await start(setup)
    expect(await ask(session, `a ID ("x-originating-ip" "no address")`)).toMatch(/^\* ID \(.*\)\r\na OK /)
    expect(await ask(session, `a ID (${announced})`)).toMatch(/^\* ID \(.*\)\r\na OK /)
    await ask(session, 'b LOGIN ann secret')
    expect(told).toEqual([])
    expect(signedIn.every((who) => who === 'ann 203.0.113.7 45678')).toBe(true)
  })

  test.each([
    ['no address', '"x-originating-ip" "mail.example"'],
    ['an empty one', '"x-originating-ip" ""'],
    ['one with a zone', '"x-originating-ip" "fe80::1%eth0"'],
    ['a port that is none', '"x-originating-ip" "198.51.100.9" "x-originating-port" "65536"'],
    ['a destination that is none', '"x-originating-ip" "198.51.100.9" "x-connected-ip" "here"'],
    ['a port of it that is none', '"x-originating-ip" "198.51.100.9" "x-connected-port" "-1"'],
  ])('%s is an error, and changes nothing', async (_, pairs) => {
    const { session, signedIn, told } = await start()
    expect(await ask(session, `a ID (${pairs})`)).toMatch(/^a BAD /)
    await ask(session, 'b LOGIN ann secret')
    expect([told, signedIn]).toEqual([[], ['ann 203.0.113.7 45678']])
  })

  test('without quotes is the same, and a comma behind a word is none of its characters (ADR 0039)', async () => {
    const { session, signedIn } = await start()
    await ask(session, 'a ID (name, NIL, x-originating-ip, 198.51.100.9, x-originating-port 4242)')
    await ask(session, 'b LOGIN ann secret')
    expect(signedIn).toEqual(['ann 198.51.100.9 4242'])
  })

  test.each([
    ['nothing', 'NIL'],
    ['no pairs', '()'],
    ['a name without a value', '("x-originating-ip" NIL)'],
    ['a name without a value, and a comma', '(x-originating-ip NIL, name probe)'],
    ['all but the address', '("x-originating-port" "1" "x-session-id" "web1")'],
  ])('%s announces nobody', async (_, pairs) => {
    const { session, told } = await start()
    expect(await ask(session, `a ID ${pairs}`)).toMatch(/a OK /)
    expect(told).toEqual([])
  })

  test('is said once: a second word changes nothing', async () => {
    const { session, signedIn, told } = await start()
    await ask(session, `a ID (${announced})`)
    expect(await ask(session, 'b ID ("x-originating-ip" "198.51.100.1")')).toMatch(/b OK /)
    await ask(session, 'c LOGIN ann secret')
    expect([told.length, signedIn]).toEqual([1, ['ann 2001:db8::9 4242']])
  })

  test('not behind the login', async () => {
    const { session, told } = await start()
    await ask(session, 'a LOGIN ann secret')
    expect(await ask(session, `b ID (${announced})`)).toMatch(/b OK /)
    expect(told).toEqual([])
  })
})

describe('4.1.6: policies are asked of the client that was announced', () => {
  test('and what they counted of it is given back once', async () => {
    const { policies, here, came } = counting('198.51.100.66')
    const { session } = await start({ ...front, policies })
    await ask(session, `a ID (${announced})`)
    expect(came).toEqual(['count 2001:db8::9', 'ban 2001:db8::9'])
    expect(here).toHaveLength(2)
    await ask(session, 'b LOGOUT')
    expect(here).toEqual([])
  })

  test.each([
    ['refuse', '* BYE [ALERT] imap.example Access denied\r\na NO Access denied\r\n'],
    ['defer', '* BYE [UNAVAILABLE] imap.example Try again later\r\na NO Access denied\r\n'],
    ['drop', 'a NO Access denied\r\n'],
  ] as const)('one that is banned goes (%s), though its front end may stay', async (verdict, expected) => {
    const { policies, here } = counting('198.51.100.66', verdict)
    const { session, refused, told, signedIn } = await start({ ...front, policies })
    expect(await ask(session, 'a ID ("x-originating-ip" "198.51.100.66")\r\nb LOGIN ann secret')).toBe(expected)
    expect([session.closed, here, told, signedIn]).toEqual(['refused', [], [], []])
    expect(refused).toEqual(['ID banned too many guesses'])
  })
})

describe('X3: TLS across a front end', () => {
  test('that ended it is as good as TLS here, on its word', async () => {
    const { session } = await start({ ...front, security: 'cleartext' })
    expect(await ask(session, 'a LOGIN ann secret')).toMatch(/^a NO \[PRIVACYREQUIRED\]/)
    await ask(session, `b ID (${announced} "x-client-transport" "TLS")`)
    expect(await ask(session, 'c CAPABILITY')).not.toContain('STARTTLS')
    expect(await ask(session, 'd LOGIN ann secret')).toMatch(/^d OK /)
  })

  test.each(['insecure', 'tls13 or so', ''])('and is not, when it says %j', async (transport) => {
    const { session } = await start({ ...front, security: 'cleartext' })
    await ask(session, `b ID (${announced} "x-client-transport" "${transport}")`)
    expect(await ask(session, 'd LOGIN ann secret')).toMatch(/^d NO \[PRIVACYREQUIRED\]/)
  })

  test('its certificate signs its client in as nobody', async () => {
    const { session } = await start({ ...front, clientCommonName: 'ann' })
    expect(await ask(session, 'a CAPABILITY')).toContain('AUTH=EXTERNAL')
    await ask(session, `b ID (${announced})`)
    expect(await ask(session, 'c CAPABILITY')).not.toContain('AUTH=EXTERNAL')
    expect(await ask(session, 'd AUTHENTICATE EXTERNAL =')).toMatch(/^d NO /)
  })

  test('STARTTLS keeps who was announced before it, as Dovecot does, until it is said anew', async () => {
    const { policies, here } = counting('198.51.100.66')
    const { session, signedIn } = await start({ ...front, policies, security: 'cleartext' })
    await ask(session, `a ID (${announced})`)
    await ask(session, 'b STARTTLS')
    expect(here).toEqual(['2001:db8::9', '2001:db8::9'])
    await ask(session, 'c LOGIN ann wrong')
    await ask(session, 'd ID ("x-originating-ip" "198.51.100.1")')
    expect(here).toEqual(['198.51.100.1', '198.51.100.1'])
    await ask(session, 'e ID ("x-originating-ip" "198.51.100.2")')
    await ask(session, 'f LOGIN ann secret')
    expect(signedIn).toEqual(['ann 2001:db8::9 4242', 'ann 198.51.100.1 0'])
    await ask(session, 'g LOGOUT')
    expect(here).toEqual([])
  })
})
