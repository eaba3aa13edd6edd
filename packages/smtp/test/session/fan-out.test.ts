/* A message that goes to several places, where each recipient has a verdict of its own (RFC 2033 §4.2). */
import { describe, expect, test } from 'vitest'
import { dialogue, TestSession, type Setup } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

const routes: NonNullable<Setup['routes']> = {
  'bob@a.example': { to: 'upstream', upstream: 'a' },
  'eve@a.example': { to: 'upstream', upstream: 'a' },
  'joe@b.example': { to: 'upstream', upstream: 'b' },
  'pat@c.example': { to: 'upstream', upstream: 'a', server: '10.0.0.7:24' },
}

class Places {
  readonly store = new MemoryDestination()
  readonly a = new MemoryDestination()
  readonly b = new MemoryDestination()

  get setup(): Setup {
    return {
      mode: 'lmtp',
      tls: 'gateway',
      hasAuthenticator: false,
      destination: this.store,
      upstreams: { a: this.a, b: this.b },
      routes,
    }
  }

  get all(): readonly MemoryDestination[] {
    return [this.store, this.a, this.b]
  }
}

async function send(places: Places, recipients: readonly string[], more: Setup = {}): Promise<readonly string[]> {
  const session = await new TestSession({ ...places.setup, ...more }).start()
  await session.ask('LHLO queue.example')
  await session.ask('MAIL FROM:<bob@example.net>')
  for (const recipient of recipients) await session.ask(`RCPT TO:<${recipient}>`)
  await session.send('DATA\r\n')
  session.take()
  await session.send('Subject: all\r\n\r\nhello\r\n.\r\n')
  const replies = session.take().split('\r\n').slice(0, -1)
  await session.ask('QUIT')
  await session.machine.ended('quit')
  return replies
}

describe('LMTP to several places', () => {
  const places = new Places()
  test(
    'each recipient goes its way, and all in one transaction',
    dialogue(
      places.setup,
      `
      S: 220 *
      C: LHLO queue.example
      S: 250-*
      S: 250-*
      S: 250-*
      S: 250-*
      S: 250-*
      S: 250-*
      S: 250-*
      S: 250 CHUNKING
      C: MAIL FROM:<bob@example.net>
      S: 250 *
      C: RCPT TO:<bob@a.example>
      S: 250 *
      C: RCPT TO:<ann@example.org>
      S: 250 *
      C: RCPT TO:<joe@b.example>
      S: 250 *
      C: RCPT TO:<eve@a.example>
      S: 250 *
      C: DATA
      S: 354 *
      C+ hello
      C: .
      S: 250 *
      S: 250 *
      S: 250 *
      S: 250 *
      C: QUIT
      S: 221 *
      `,
    ),
  )

  test('the whole message is everywhere, with its recipients', async () => {
    const all = new Places()
    expect(await send(all, ['bob@a.example', 'ann@example.org', 'joe@b.example', 'eve@a.example'])).toHaveLength(4)
    expect(all.all.map(({ messages }) => messages.map(({ recipients }) => recipients))).toEqual([
      [['ann@example.org']],
      [['bob@a.example', 'eve@a.example']],
      [['joe@b.example']],
    ])
    for (const { messages, open } of all.all) {
      expect(messages[0]?.bytes.toString()).toContain('\r\nhello\r\n')
      expect(open).toBe(0)
    }
  })

  test('verdicts stand in the order of the recipients, each from its own place', async () => {
    const all = new Places()
    all.a.eachReplies = new Map([['eve@a.example', { code: 452, enhanced: '4.2.2', lines: ['Mailbox full'] }]])
    all.b.commitReply = { code: 550, enhanced: '5.7.1', lines: ['spam'] }
    const replies = await send(all, [
      'bob@a.example',
      'joe@b.example',
      'eve@a.example',
      'ann@example.org',
      'bob@a.example',
    ])
    expect(replies.map((reply) => reply.slice(0, 3))).toEqual(['250', '550', '452', '250', '250'])
    expect(all.all.map(({ open }) => open)).toEqual([0, 0, 0])
  })

  test.each(['write', 'commit'] as const)('what throws at %s is no matter of the others', async (call) => {
    const all = new Places()
    all.a.breaksAt = call
    const replies = await send(all, ['ann@example.org', 'bob@a.example', 'joe@b.example', 'eve@a.example'])
    expect(replies.map((reply) => reply.slice(0, 9))).toEqual(['250 2.0.0', '451 4.3.0', '250 2.0.0', '451 4.3.0'])
    expect(all.all.map(({ open }) => open)).toEqual([0, 0, 0])
  })

  test.each(['begin', 'addRecipient'] as const)(
    'a place that throws at %s refuses its recipients only',
    async (call) => {
      const all = new Places()
      all.b.breaksAt = call
      expect(await send(all, ['bob@a.example', 'joe@b.example', 'ann@example.org'])).toHaveLength(2)
      expect(all.all.map(({ messages }) => messages.length)).toEqual([1, 1, 0])
      expect(all.all.map(({ open }) => open)).toEqual([0, 0, 0])
    },
  )

  test('a place whose recipients were all refused is left', async () => {
    const all = new Places()
    all.b.recipientReplies = new Map([['joe@b.example', { code: 550, enhanced: '5.1.1', lines: ['nobody'] }]])
    expect(await send(all, ['bob@a.example', 'joe@b.example'])).toHaveLength(1)
    expect(all.all.map(({ messages }) => messages.length)).toEqual([0, 1, 0])
    expect(all.b).toMatchObject({ open: 0, aborted: 1 })
  })

  test('their number is bounded', async () => {
    const all = new Places()
    const session = await new TestSession({ ...all.setup, limits: { maxPlaces: 2 } }).start()
    await session.ask('LHLO queue.example')
    await session.ask('MAIL FROM:<bob@example.net>')
    for (const [recipient, reply] of [
      ['bob@a.example', '250'],
      ['joe@b.example', '250'],
      ['ann@example.org', '452'],
      // One address of an upstream is a place of its own.
      ['pat@c.example', '452'],
      ['eve@a.example', '250'],
    ] as const) {
      expect([recipient, (await session.ask(`RCPT TO:<${recipient}>`)).slice(0, 3)]).toEqual([recipient, reply])
    }
    await session.machine.ended('client-closed')
    expect(all.all.map(({ open, aborted }) => [open, aborted])).toEqual([
      [0, 0],
      [0, 1],
      [0, 1],
    ])
  })

  test('slow places are waited for', async () => {
    const all = new Places()
    for (const place of all.all) place.isSlow = true
    expect(await send(all, ['bob@a.example', 'joe@b.example', 'ann@example.org'])).toHaveLength(3)
    expect(all.all.map(({ messages }) => messages.length)).toEqual([1, 1, 1])
  })
})

test('without a verdict for each the second place is another transaction, as before', async () => {
  const session = await new TestSession({ ...new Places().setup, mode: 'mx' }).start()
  await session.ask('EHLO client.example')
  await session.ask('MAIL FROM:<bob@example.net>')
  expect(await session.ask('RCPT TO:<bob@a.example>')).toMatch(/^250 /)
  expect(await session.ask('RCPT TO:<joe@b.example>')).toMatch(/^452 4\.5\.3 /)
})
