// Transactions with backends that play a script. What our own client is told is the point of each.
import { expect, test } from 'vitest'
import { Client } from './relaying.ts'
import { ScriptedBackend } from './scripted-backend.ts'

/** Up to the reply to EHLO. */
const greeted = (...extensions: readonly string[]): string => `
  S: 220 mx1.example
  C: EHLO gate.example
  ${['mx1.example', ...extensions].map((line, index, all) => `S: 250${index === all.length - 1 ? ' ' : '-'}${line}`).join('\n')}
`
/** A whole transaction but the reply to its data. */
const upToDot = `
  ${greeted('PIPELINING')}
  C: MAIL FROM:<bob@example.com>
  C: RCPT TO:<ann@example.org>
  S: 250 2.1.0 OK
  S: 250 2.1.5 OK
  C: DATA
  S: 354 go on
  C: Subject: hello
  C:
  C: world
  C: .
`
const taken = `
  ${upToDot}
  S: 250 2.0.0 OK queued as 1A2B3C
  C: QUIT
  S: 221 bye
`

test('a message goes through step by step, and the final words are the backend’s', async () => {
  const backend = await ScriptedBackend.start(taken)
  const client = new Client([backend])
  expect(await client.recipient()).toBe('250 2.1.5 OK')
  expect(await client.message()).toBe('250 2.0.0 OK queued as 1A2B3C')
  await backend.ended()
  expect(backend.surprises).toEqual([])
  expect(client.events).toEqual([{ backend: `127.0.0.1:${backend.port}`, replies: ['250 2.0.0 OK queued as 1A2B3C'] }])
})

test('without PIPELINING each command waits for its reply', async () => {
  const backend = await ScriptedBackend.start(`
    ${greeted('SIZE 1000')}
    C: MAIL FROM:<bob@example.com>
    S: 250 OK
    C: RCPT TO:<ann@example.org>
    S: 250 OK
    C: RCPT TO:<eve@example.org>
    S: 550-5.1.1 There is nobody
    S: 550 5.1.1 of that name
    C: DATA
    S: 354 go on
    C: ..
    C: a line
    C: .
    S: 250 OK
    C: QUIT
    S: 221 bye
  `)
  const client = new Client([backend])
  expect(await client.recipient()).toBe('250 OK')
  expect(await client.recipient('eve@example.org')).toBe('550-5.1.1 There is nobody\r\n550 5.1.1 of that name')
  expect(await client.message('.\r\na line')).toBe('250 OK')
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test('a refused MAIL is the answer to every recipient', async () => {
  const backend = await ScriptedBackend.start(`
    ${greeted('PIPELINING')}
    C: MAIL FROM:<bob@example.com>
    C: RCPT TO:<ann@example.org>
    S: 550 5.7.1 not you
    S: 503 5.5.1 MAIL first
    C: QUIT
    S: 221 bye
  `)
  const client = new Client([backend])
  expect(await client.recipient()).toBe('550 5.7.1 not you')
  expect(await client.recipient('eve@example.org')).toBe('550 5.7.1 not you')
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test('a recipient that was refused does not end the transaction', async () => {
  const backend = await ScriptedBackend.start(`
    ${greeted('PIPELINING')}
    C: MAIL FROM:<bob@example.com>
    C: RCPT TO:<eve@example.org>
    S: 250 OK
    S: 450 4.2.1 busy
    C: RCPT TO:<ann@example.org>
    S: 250 OK
  `)
  const client = new Client([backend])
  expect(await client.recipient('eve@example.org')).toBe('450 4.2.1 busy')
  expect(await client.recipient()).toBe('250 OK')
  await client.delivery.abort()
})

test('an aborted message is cut off without its end', async () => {
  const backend = await ScriptedBackend.start(`
    ${greeted('PIPELINING')}
    C: MAIL FROM:<bob@example.com>
    C: RCPT TO:<ann@example.org>
    S: 250 OK
    S: 250 OK
    C: DATA
    S: 354 go on
    C: half a message
  `)
  const client = new Client([backend])
  await client.recipient()
  await client.delivery.write(Buffer.from('half a message\r\n'))
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test.each(['ann@example.org>\r\nRSET', 'ann\n@example.org', 'ann\0@example.org'])(
  'an address that would end the line goes nowhere: %j',
  async (forwardPath) => {
    const backend = await ScriptedBackend.start(taken)
    const client = new Client([backend])
    expect(await client.recipient(forwardPath)).toBe('501 5.1.3 Bad recipient address')
    expect(await client.send()).toBe('250 2.0.0 OK queued as 1A2B3C')
    await backend.ended()
    expect(backend.surprises).toEqual([])
  },
)

test('a reverse-path that would end the line goes nowhere', async () => {
  const client = new Client([await ScriptedBackend.start(greeted())], {}, { envelope: { reversePath: 'a>\r\nDATA' } })
  expect(await client.recipient()).toBe('501 5.1.7 Bad sender address')
  await client.delivery.abort()
})

/** The failure mapping: what the backend does, what our client hears, what the operator is told. */
const afterHello = `
  ${greeted('PIPELINING')}
  C: MAIL FROM:<bob@example.com>
  C: RCPT TO:<ann@example.org>
`
const afterRecipient = `
  ${afterHello}
  S: 250 OK
  S: 250 OK
  C: DATA
`
const failures: readonly (readonly [name: string, script: string, reply: RegExp, code: string | undefined])[] = [
  ['BK-02: a greeting of 554', 'S: 554 no', /^451 4\.3\.2 /, 'SMTP_UPSTREAM_UNAVAILABLE'],
  ['BK-02: a greeting of 421', 'S: 421 busy', /^451 4\.3\.2 /, 'SMTP_UPSTREAM_UNAVAILABLE'],
  ['BK-02: closed at once', '!close', /^451 4\.4\.2 /, 'SMTP_UPSTREAM_LOST'],
  ['EHLO refused', 'S: 220 x\nD:\nS: 502 what?', /^451 4\.3\.5 /, 'SMTP_UPSTREAM_REFUSES_US'],
  ['EHLO deferred', 'S: 220 x\nD:\nS: 452 full', /^451 4\.3\.2 /, 'SMTP_UPSTREAM_UNAVAILABLE'],
  ['421 to RCPT', `${afterHello}S: 250 OK\nS: 421 bye`, /^451 4\.3\.2 /, 'SMTP_UPSTREAM_UNAVAILABLE'],
  ['530 to MAIL', `${afterHello}S: 530 sign in\nS: 503 no`, /^451 4\.7\.0 /, 'SMTP_UPSTREAM_AUTHENTICATION'],
  ['hung up at RCPT', `${afterHello}!close`, /^451 4\.4\.2 /, 'SMTP_UPSTREAM_LOST'],
  ['BK-03: half a reply', 'R: 220-half\n!close', /^451 4\.4\.2 /, 'SMTP_UPSTREAM_LOST'],
  ['BK-03: no reply', 'S: HTTP/1.1 400 Bad', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['BK-03: four digits', 'S: 2200 x', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['BK-03: a NUL', String.raw`R: 220 \u0000\r\n`, /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['BK-03: ended by LF', String.raw`R: 220 x\n`, /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['BK-03: two codes', 'S: 220-x\nS: 250 x', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['BK-03: a line without an end', `R: 220 ${'x'.repeat(100_000)}`, /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['BK-03: lines without an end', 'S: 220-x\n'.repeat(5_000), /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['BK-03: two replies', 'S: 220 x\nS: 220 x', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_STRAY_REPLY'],
  ['BK-03: 354 to RCPT', `${afterHello}S: 250 OK\nS: 354 go`, /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['DATA refused', `${afterRecipient}S: 554 5.7.1 no\nC: QUIT\nS: 221 x`, /^554 5\.7\.1 no$/, undefined],
  ['DATA answered 250', `${afterRecipient}S: 250 OK`, /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['hung up at DATA', `${afterRecipient}!close`, /^451 4\.4\.2 /, 'SMTP_UPSTREAM_LOST'],
  ['the message refused', `${upToDot}S: 554 5.6.0 spam\nC: QUIT\nS: 221 x`, /^554 5\.6\.0 spam$/, undefined],
  ['the message deferred', `${upToDot}S: 452 4.3.1 full\nC: QUIT\nS: 221 x`, /^452 4\.3\.1 full$/, undefined],
  ['421 to the message', `${upToDot}S: 421 4.3.2 going`, /^451 4\.3\.2 /, 'SMTP_UPSTREAM_UNAVAILABLE'],
  ['BK-04: closed behind the dot', `${upToDot}!close`, /^451 4\.4\.2 /, 'SMTP_UPSTREAM_IN_DOUBT'],
  ['BK-04: reset behind the dot', `${upToDot}!reset`, /^451 4\.4\.2 /, 'SMTP_UPSTREAM_IN_DOUBT'],
  ['BK-04: half a reply', `${upToDot}R: 250-2.0\n!close`, /^451 4\.4\.2 /, 'SMTP_UPSTREAM_IN_DOUBT'],
  ['BK-04: nonsense for a reply', `${upToDot}S: yes`, /^451 4\.4\.2 /, 'SMTP_UPSTREAM_IN_DOUBT'],
]

test.each(failures)('%s', async (_, script, reply, code) => {
  const backend = await ScriptedBackend.start(script)
  const client = new Client([backend])
  expect(await client.send()).toMatch(reply)
  expect(client.codes.filter((each) => each !== undefined)).toEqual(code === undefined ? [] : [code])
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test.each([
  ['greeting', '', { greetingPatienceMs: 50 }],
  ['reply to EHLO', 'S: 220 x\nD:', { replyPatienceMs: 50 }],
  ['reply to MAIL', afterHello, { replyPatienceMs: 50 }],
  ['reply to DATA', afterRecipient, { replyPatienceMs: 50 }],
])('BK-02: no %s in time', async (_, script, limits) => {
  const client = new Client([await ScriptedBackend.start(script)], { limits })
  expect(await client.send()).toMatch(/^451 4\.4\.2 /)
  expect(client.codes).toEqual(['SMTP_UPSTREAM_TIMEOUT'])
})

test('BK-04: no reply to the dot in time is in doubt, too', async () => {
  const client = new Client([await ScriptedBackend.start(upToDot)], { limits: { finalPatienceMs: 50 } })
  expect(await client.send()).toMatch(/^451 4\.4\.2 /)
  expect(client.codes).toEqual(['SMTP_UPSTREAM_IN_DOUBT'])
})

test('BK-04: what is in doubt is told to the operator with its backend', async () => {
  const backend = await ScriptedBackend.start(`${upToDot}!close`)
  const client = new Client([backend])
  await client.recipient()
  await client.delivery.write(Buffer.from('Subject: hello\r\n\r\nworld\r\n'))
  expect(await client.delivery.commit()).toMatchObject({
    code: 451,
    detail: expect.stringMatching(`^127.0.0.1:${backend.port}: .*the backend may have the message`) as string,
  })
})

test.each([
  ['421, as when it shuts down', 'S: 421 4.3.2 going', /^451 4\.3\.2 /, 'SMTP_UPSTREAM_UNAVAILABLE'],
  ['a reply to nothing', 'S: 250 OK', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_STRAY_REPLY'],
  ['half a reply', 'R: 250-O', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_STRAY_REPLY'],
  ['nonsense', 'S: yes', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_REPLY'],
  ['the end', '!close', /^451 4\.4\.2 /, 'SMTP_UPSTREAM_LOST'],
] as const)('BK-05: %s while our client is silent between RCPT and DATA', async (_, said, reply, code) => {
  const backend = await ScriptedBackend.start(`${afterHello}S: 250 OK\nS: 250 OK\n${said}`)
  const client = new Client([backend])
  expect(await client.recipient()).toBe('250 OK')
  expect(await client.message()).toMatch(reply)
  expect(client.codes).toEqual([code])
  await backend.ended()
  expect(backend.heard[0]).not.toContain('\r\n.\r\n')
})

test.each([
  ['530 to RCPT', `${afterHello}S: 250 OK\nS: 530 5.7.0 sign in`],
  ['535 to DATA', `${afterRecipient}S: 535 5.7.8 no`],
  ['530 to the message', `${upToDot}S: 530 5.7.0 sign in`],
])('%s is our trouble, and never in doubt', async (_, script) => {
  const client = new Client([await ScriptedBackend.start(script)])
  expect(await client.send()).toBe('451 4.7.0 Local configuration error, try again later')
  expect(client.codes).toEqual(['SMTP_UPSTREAM_AUTHENTICATION'])
})

const early = (reply: string): string => `
  ${afterRecipient}
  S: 354 go on
  C: first
  S: ${reply}
`
test.each([
  ['BK-05: an early 250 is no acceptance', '250 2.0.0 OK', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_EARLY_ACCEPTANCE'],
  ['BK-05: an early 550 is passed on', '550 5.6.0 enough', /^550 5\.6\.0 enough$/, 'SMTP_UPSTREAM_EARLY_REFUSAL'],
  ['BK-05: an early 452 is passed on', '452 4.3.1 full', /^452 4\.3\.1 full$/, 'SMTP_UPSTREAM_EARLY_REFUSAL'],
  ['BK-05: an early 354 is nonsense', '354 again', /^451 4\.5\.0 /, 'SMTP_UPSTREAM_STRAY_REPLY'],
] as const)('%s', async (_, said, reply, code) => {
  const backend = await ScriptedBackend.start(early(said))
  const client = new Client([backend])
  await client.recipient()
  await client.delivery.write(Buffer.from('first\r\n'))
  await backend.ended()
  expect(await client.message('second\r\n')).toMatch(reply)
  expect(client.codes).toEqual([code])
  expect(backend.heard[0]).not.toContain('\r\n.\r\n')
})

test('BK-05: half a reply before the dot keeps the dot back, so nothing is in doubt', async () => {
  const backend = await ScriptedBackend.start(String.raw`${afterRecipient}R: 354 go on\r\n250 2.0`)
  const client = new Client([backend])
  expect(await client.send()).toMatch(/^451 4\.5\.0 /)
  expect(client.codes).toEqual(['SMTP_UPSTREAM_STRAY_REPLY'])
})

test('BK-05: 250 in one segment with 354 is no acceptance', async () => {
  const backend = await ScriptedBackend.start(`${afterRecipient}S: 354 go on\nS: 250 OK`)
  const client = new Client([backend])
  expect(await client.send()).toMatch(/^451 4\.5\.0 /)
  expect(client.codes).toEqual(['SMTP_UPSTREAM_EARLY_ACCEPTANCE'])
})

/** Nobody listens there, and nobody is given that port by chance. */
const closed = { host: '127.0.0.1', port: 1 } as const
/** Nobody is asked for it: a label is shorter (RFC 1035 section 2.3.4). */
const noName = { host: `${'x'.repeat(64)}.invalid`, port: 25 } as const

test('BK-01: a backend that refuses connections is passed over', async () => {
  const backend = await ScriptedBackend.start(taken)
  const client = new Client([closed, backend])
  expect(await client.send()).toBe('250 2.0.0 OK queued as 1A2B3C')
  expect(client.events[0]).toEqual({
    backend: `127.0.0.1:${closed.port}`,
    code: 'SMTP_UPSTREAM_UNREACHABLE',
    detail: 'ECONNREFUSED',
  })
})

test('BK-01: when none is left the client is told to come back', async () => {
  const client = new Client([closed, noName, { path: '/nowhere/lmtp' }])
  expect(await client.recipient()).toMatch(/^451 4\.4\.1 /)
  expect(await client.recipient('eve@example.org')).toMatch(/^451 4\.4\.1 /)
  expect(client.codes).toEqual(Array.from({ length: 3 }, () => 'SMTP_UPSTREAM_UNREACHABLE'))
  expect(await new Client([]).recipient()).toMatch(/^451 4\.4\.1 /)
})

test('BK-01: the opening as a whole is bounded, over all backends', async () => {
  const silent = await ScriptedBackend.start('S: 220 x\nD:')
  const client = new Client(
    Array.from({ length: 50 }, () => silent),
    { limits: { openingPatienceMs: 100 } },
  )
  expect(await client.recipient()).toMatch(/^451 4\.4\.2 /)
  expect(new Set(client.codes)).toEqual(new Set(['SMTP_UPSTREAM_TIMEOUT']))
  // Without it each of the fifty would have had as long as it may take to reply.
  expect(client.codes.length).toBeLessThan(50)
})

test.each([
  ['a greeting of 554', 'S: 554 no'],
  ['a refused EHLO', 'S: 220 x\nD:\nS: 500 what?'],
  ['421 to MAIL', `${afterHello}S: 421 bye`],
  ['a lost connection at RCPT', `${afterHello}S: 250 OK\n!close`],
])('BK-02: behind %s the next backend is tried', async (_, script) => {
  const [broken, backend] = [await ScriptedBackend.start(script), await ScriptedBackend.start(taken)]
  expect(await new Client([broken, backend]).send()).toBe('250 2.0.0 OK queued as 1A2B3C')
})

test('each connection is told when it begins and when it is over, and which of them opened', async () => {
  const closing = await ScriptedBackend.start('S: 421 not now')
  const backend = await ScriptedBackend.start(taken)
  const told: string[] = []
  const name = (text: string): string => (text.endsWith(`:${closing.port}`) ? 'first' : 'second')
  const client = new Client([closing, backend], {
    observer: {
      connecting: (event) => told.push(`connecting ${name(event.backend)}`),
      opened: (event) => told.push(`opened ${name(event.backend)} ${[...event.capabilities.keys()].join(' ')}`),
      failed: (event) => told.push(`failed ${name(event.backend)} ${event.step}`),
      gone: (event) => told.push(`gone ${name(event.backend)}`),
    },
  })
  await client.recipient()
  await client.message()
  await backend.ended()
  await expect.poll(() => told.at(-1)).toBe('gone second')
  expect(told).toEqual([
    'connecting first',
    'gone first',
    'failed first opening',
    'connecting second',
    'opened second PIPELINING',
    'gone second',
  ])
})

test('the next backend is asked for when the one before has failed', async () => {
  const closing = await ScriptedBackend.start('S: 421 not now')
  const backend = await ScriptedBackend.start(taken)
  let asked = 0
  const client = new Client([], {
    *backends() {
      asked++
      yield { host: '127.0.0.1', port: closing.port }
      expect(closing.connections).toBe(1)
      asked++
      yield { host: '127.0.0.1', port: backend.port }
      asked++
    },
  })
  expect(await client.recipient()).toBe('250 2.1.5 OK')
  expect(asked).toBe(2)
  await client.delivery.abort()
})

test('behind the first accepted recipient no other backend is tried', async () => {
  const first = await ScriptedBackend.start(`${afterHello}S: 250 OK\nS: 250 OK\nD:\n!close`)
  const second = await ScriptedBackend.start(taken)
  const client = new Client([first, second])
  expect(await client.recipient()).toBe('250 OK')
  expect(await client.recipient('eve@example.org')).toMatch(/^451 4\.4\.2 /)
  expect(await client.message()).toMatch(/^451 4\.4\.2 /)
  expect(second.connections).toBe(0)
})

test('BK-07: the words of a backend that took the message are kept for the log', async () => {
  const backend = await ScriptedBackend.start(taken)
  const client = new Client([backend])
  await client.recipient()
  await client.delivery.write(Buffer.from('Subject: hello\r\n\r\nworld\r\n'))
  expect((await client.delivery.commit()).detail).toBe(`127.0.0.1:${backend.port} said: 250 2.0.0 OK queued as 1A2B3C`)
})

test('BK-08: a backend that does not read holds the client back, and is given up in time', async () => {
  const backend = await ScriptedBackend.start(`${afterRecipient}S: 354 go on\n!stall`)
  const client = new Client([backend], { limits: { blockPatienceMs: 200 } })
  await client.recipient()
  const chunk = Buffer.alloc(65_536, 'x')
  const waits: number[] = []
  for (let index = 0; index < 1_000; index++) {
    const startedAt = performance.now()
    await client.delivery.write(chunk)
    waits.push(performance.now() - startedAt)
  }
  // What the kernels hold was taken; then one piece waited as long as it may, and the rest went nowhere.
  const waited = waits.findIndex((ms) => ms > 190)
  expect(waited).toBeGreaterThanOrEqual(0)
  expect(waited).toBeLessThan(500)
  expect(await client.message('')).toMatch(/^451 4\.4\.5 /)
  expect(client.codes).toEqual(['SMTP_UPSTREAM_STALLED'])
})

test.each([
  ['SIZE too small', ['SIZE 1000'], { declaredBytes: 1_001 }, '552 5.3.4'],
  ['no 8BITMIME', [], { body: '8BITMIME' }, '550 5.6.3'],
  ['no BINARYMIME', ['CHUNKING'], { body: 'BINARYMIME' }, '550 5.6.3'],
  ['BINARYMIME without CHUNKING', ['BINARYMIME'], { body: 'BINARYMIME' }, '550 5.6.3'],
  ['no SMTPUTF8', ['8BITMIME'], { isSmtpUtf8: true }, '550 5.6.7'],
] as const)('BK-13: %s', async (_, extensions, envelope, reply) => {
  const client = new Client([await ScriptedBackend.start(greeted(...extensions))], {}, { envelope })
  expect(await client.recipient()).toMatch(new RegExp(`^${RegExp.escape(reply)} `))
  await client.delivery.abort()
})

test.each([
  ['SIZE', ['SIZE 1000'], { declaredBytes: 1_000 }, ' SIZE=1000'],
  ['SIZE without a bound', ['SIZE 0'], { declaredBytes: 1_000 }, ' SIZE=1000'],
  ['no SIZE', [], { declaredBytes: 1_000 }, ''],
  ['8BITMIME', ['8bitmime'], { body: '8BITMIME' }, ' BODY=8BITMIME'],
  ['SMTPUTF8', ['8BITMIME', 'SMTPUTF8'], { body: '8BITMIME', isSmtpUtf8: true }, ' BODY=8BITMIME SMTPUTF8'],
] as const)('BK-13: what was offered is used: %s', async (_, extensions, envelope, parameters) => {
  const backend = await ScriptedBackend.start(`
    ${greeted(...extensions)}
    C: MAIL FROM:<bob@example.com>${parameters}
    S: 250 OK
    C: RCPT TO:<ann@example.org>
    S: 250 OK
    C: QUIT
    S: 221 bye
  `)
  const client = new Client([backend], {}, { envelope })
  expect(await client.recipient()).toBe('250 OK')
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test('with CHUNKING the message goes in counted octets, without stuffing', async () => {
  const backend = await ScriptedBackend.start(`
    ${greeted('CHUNKING')}
    C: MAIL FROM:<bob@example.com>
    S: 250 OK
    C: RCPT TO:<ann@example.org>
    S: 250 OK
    C: BDAT 9
    C: .dot
    C: x
    S: 250 9 octets
    C: BDAT 0 LAST
    S: 250 2.0.0 OK
    C: QUIT
    S: 221 bye
  `)
  const client = new Client([backend], { prefersChunking: true })
  await client.recipient()
  expect(await client.message('.dot\nx\n')).toBe('250 2.0.0 OK')
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test('a binary message goes as it is, by BDAT', async () => {
  const backend = await ScriptedBackend.start(`
    ${greeted('CHUNKING', 'BINARYMIME')}
    C: MAIL FROM:<bob@example.com> BODY=BINARYMIME
    S: 250 OK
    C: RCPT TO:<ann@example.org>
    S: 250 OK
    C: BDAT 7
    C: a*
    S: 250 7 octets
    C: BDAT 0 LAST
    S: 250 2.0.0 OK
    C: QUIT
    S: 221 bye
  `)
  const client = new Client([backend], {}, { envelope: { body: 'BINARYMIME' } })
  await client.recipient()
  expect(await client.message('a\nb\rc\r\n')).toBe('250 2.0.0 OK')
  await backend.ended()
  expect(backend.surprises).toEqual([])
  expect(backend.heard[0]).toContain('BDAT 7\r\na\nb\rc\r\nBDAT 0 LAST\r\n')
})

test('a refused chunk is the verdict on the message, and no other chunk follows', async () => {
  const backend = await ScriptedBackend.start(`
    ${greeted('CHUNKING')}
    C: MAIL FROM:<bob@example.com>
    S: 250 OK
    C: RCPT TO:<ann@example.org>
    S: 250 OK
    C: BDAT 3
    C: x
    S: 552 5.3.4 too big
    C: QUIT
    S: 221 bye
  `)
  const client = new Client([backend], { prefersChunking: true })
  await client.recipient()
  await client.delivery.write(Buffer.from('x\r\n'))
  expect(await client.message('y\r\n')).toBe('552 5.3.4 too big')
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
})
