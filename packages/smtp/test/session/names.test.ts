// The names of a client, as the DNS has them, in what a session writes and tells.
import type { ClientNames, SessionObserver } from '@postern/core'
import { expect, test } from 'vitest'
import { greeted, TestSession, type Setup } from '../dialogue.ts'

const envelope = 'MAIL FROM:<bob@example.net>\r\nRCPT TO:<ann@example.org>\r\n'

/** The first line of the Received field of a message that a session takes. */
async function firstLineOf(setup: Setup): Promise<string | undefined> {
  const session = await greeted(setup)
  await session.send(`${envelope}BDAT 3 LAST\r\na\r\n`)
  return session.destination.messages[0]?.bytes.toString().split('\r\n')[0]
}

test.each([
  ['looked up already', (names: ClientNames) => names],
  ['found by then', (names: ClientNames) => Promise.resolve(names)],
])('S10: Received has the name that leads back, %s (RFC 5321 section 4.4)', async (_, given) => {
  const clientNames = given({ verified: 'mx.example.net', claimed: 'mx.example.net' })
  expect(await firstLineOf({ clientNames })).toBe('Received: from client.example (mx.example.net [203.0.113.7])')
})

test.each([
  ['a claim', { claimed: 'mail.bank.example' }],
  ['nothing', {}],
  ['not known', { isUnknown: true }],
] as const)('S10: %s is no name', async (_, clientNames) => {
  expect(await firstLineOf({ clientNames })).toBe('Received: from client.example ([203.0.113.7])')
})

test('S10: nothing but the first message waits for the names, and that one is told with them', async () => {
  const { promise, resolve } = Promise.withResolvers<ClientNames>()
  const told: unknown[] = []
  const observer: SessionObserver = { transaction: ({ connection }) => told.push(connection.clientNames) }
  const session = await new TestSession({ clientNames: promise, observer }).start()
  expect(session.take()).toMatch(/^220 /)
  expect(await session.ask('EHLO a')).toMatch(/^250-/)
  await session.send(envelope)
  expect(session.take()).toBe('250 2.1.0 OK\r\n250 2.1.5 OK\r\n')
  const data = session.send('DATA\r\n')
  expect(session.take()).toBe('')
  resolve({ verified: 'mx.example.net' })
  await data
  expect(session.take()).toMatch(/^354 /)
  await session.send('.\r\n')
  expect(told).toEqual([{ verified: 'mx.example.net' }])
})

test('behind XCLIENT the name is the one that was announced, or none', async () => {
  for (const [words, line] of [
    ['ADDR=198.51.100.9', 'Received: from a ([198.51.100.9])'],
    ['NAME=far.example ADDR=198.51.100.9', 'Received: from a (far.example [198.51.100.9])'],
  ] as const) {
    const session = await greeted({ clientNames: { verified: 'front.example' }, announcers: ['203.0.113.7'] })
    await session.ask(`XCLIENT ${words}`)
    await session.ask('EHLO a')
    await session.send(`${envelope}BDAT 3 LAST\r\na\r\n`)
    expect(session.destination.messages[0]?.bytes.toString()).toMatch(new RegExp(`^${RegExp.escape(line)}\r\n`))
  }
})

test('and STARTTLS does not bring the front end’s own name back', async () => {
  const session = await greeted({ clientNames: { verified: 'front.example' }, announcers: ['203.0.113.7'] })
  await session.ask('XCLIENT ADDR=198.51.100.9')
  await session.ask('EHLO a')
  await session.ask('STARTTLS')
  await session.secure()
  await session.ask('EHLO a')
  await session.send(`${envelope}BDAT 3 LAST\r\na\r\n`)
  expect(session.destination.messages[0]?.bytes.toString()).toMatch(/^Received: from a \(\[198\.51\.100\.9\]\)\r\n/)
})
