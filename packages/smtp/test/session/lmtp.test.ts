/* RFC 2033: LMTP, in which each recipient has a reply to the end of data. */
import { describe, expect, test } from 'vitest'
import type { DeliveryReply } from '../../src/index.ts'
import { dialogue, play, TestSession, type Setup } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

const lmtp: Setup = { mode: 'lmtp', tls: 'gateway', hasAuthenticator: false }

/** A session with these recipients, which may send its message now. */
async function withRecipients(recipients: readonly string[], setup: Setup = {}): Promise<TestSession> {
  const session = await new TestSession({ ...lmtp, ...setup }).start()
  await session.ask('LHLO queue.example')
  await session.ask('MAIL FROM:<bob@example.net>')
  for (const recipient of recipients) await session.ask(`RCPT TO:<${recipient}>`)
  session.take()
  return session
}

/** A destination in which each recipient has a fate of its own. */
function eachAlone(refusals: Readonly<Record<string, DeliveryReply>>): MemoryDestination {
  const destination = new MemoryDestination()
  destination.eachReplies = new Map(Object.entries(refusals))
  return destination
}

const full: DeliveryReply = { code: 452, enhanced: '4.2.2', lines: ['Mailbox full'], detail: 'quota' }

describe('LMTP', () => {
  test(
    'the example of section 4.2: a reply for each accepted recipient, in order',
    dialogue(
      { ...lmtp, destination: eachAlone({ 'green@example.org': full }) },
      `
      S: 220 mx.example LMTP ready
      C: LHLO foo.edu
      S: 250-mx.example Hello foo.edu [203.0.113.7]
      S: 250-PIPELINING
      S: 250-SIZE 26214400
      S: 250-LIMITS RCPTMAX=1000
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-SMTPUTF8
      S: 250 CHUNKING
      C: MAIL FROM:<chris@bar.com>
      S: 250 *
      C+ RCPT TO:<pat@example.org>
      C+ RCPT TO:<jones@far.example>
      C: RCPT TO:<green@example.org>
      S: 250 2.1.5 *
      S: 550 5.7.1 *
      S: 250 2.1.5 *
      C: DATA
      S: 354 *
      C+ Blah blah blah...
      C: .
      S: 250 2.0.0 OK pat@example.org
      S: 452 4.2.2 Mailbox full
      C: QUIT
      S: 221 *
      `,
    ),
  )

  test('a recipient that was given twice has two replies', async () => {
    const session = await withRecipients(['ann@example.org', 'joe@example.org', 'ann@example.org'], {
      destination: eachAlone({ 'joe@example.org': full }),
    })
    await session.send('DATA\r\n')
    await session.send('a\r\n.\r\nNOOP\r\n')
    expect(session.take().split('\r\n').slice(1, 5)).toEqual([
      '250 2.0.0 OK ann@example.org',
      '452 4.2.2 Mailbox full',
      '250 2.0.0 OK ann@example.org',
      '250 2.0.0 OK',
    ])
  })

  test('the observer hears the worst once', async () => {
    const told: string[] = []
    const session = await withRecipients(['ann@example.org', 'joe@example.org'], {
      destination: eachAlone({ 'joe@example.org': full }),
      observer: { transaction: ({ replyCode, detail }) => told.push(`${replyCode} ${detail}`) },
    })
    await session.send('BDAT 3 LAST\r\na\r\n')
    expect(told).toEqual(['452 quota'])
  })

  test.each<[string, Partial<MemoryDestination>, string]>([
    ['that has one fate for all', {}, '250 2.0.0 OK test000000000001-1\r\n'],
    ['that refuses all', { commitReply: full }, '452 4.2.2 Mailbox full\r\n'],
    ['that throws', { breaksAt: 'commit' }, '451 4.3.0 Local error in processing, try again later\r\n'],
  ])('a destination %s says it to each', async (_, how, reply) => {
    const destination = Object.assign(new MemoryDestination(), how)
    const session = await withRecipients(['ann@example.org', 'joe@example.org'], { destination })
    await session.send('BDAT 3 LAST\r\na\r\n')
    expect(session.take()).toBe(reply.repeat(2))
    expect(destination.open).toBe(0)
  })

  test.each([
    ['throws in the middle of them', 'breaks'],
    ['has too few replies', 'too-few'],
  ] as const)('a destination that %s is 451 for each', async (_, eachFails) => {
    const destination = Object.assign(eachAlone({}), { eachFails })
    const session = await withRecipients(['ann@example.org', 'joe@example.org'], { destination })
    await session.send('BDAT 3 LAST\r\na\r\n')
    expect(session.take()).toMatch(/^(?:451 4\.3\.0 [^\r\n]+\r\n){2}$/)
    expect(destination.open).toBe(0)
  })

  test('a message that is refused is refused to each; a chunk before the last has one reply', async () => {
    const setup: Setup = { limits: { maxMessageBytes: 100 } }
    const two = ['ann@example.org', 'joe@example.org']
    const byData = await withRecipients(two, setup)
    await byData.send('DATA\r\n')
    await byData.send(`${'x'.repeat(101)}\r\n.\r\n`)
    expect(byData.take()).toMatch(/^354 [^\r\n]+\r\n(?:552 5\.3\.4 [^\r\n]+\r\n){2}$/)
    const byLast = await withRecipients(two, setup)
    await byLast.send(`BDAT 101 LAST\r\n${'x'.repeat(101)}`)
    expect(byLast.take()).toMatch(/^(?:552 5\.3\.4 [^\r\n]+\r\n){2}$/)
    const byChunk = await withRecipients(two, setup)
    await byChunk.send(`BDAT 101\r\n${'x'.repeat(101)}`)
    expect(byChunk.take()).toMatch(/^552 5\.3\.4 [^\r\n]+\r\n$/)
  })

  test('a destination that fails at once is told to each behind the last chunk', async () => {
    const session = await withRecipients(['ann@example.org', 'joe@example.org'])
    session.destination.breaksAt = 'write'
    await session.send('BDAT 3 LAST\r\na\r\n')
    expect(session.take()).toMatch(/^(?:451 4\.3\.0 [^\r\n]+\r\n){2}$/)
  })

  test('DATA without an accepted recipient is 503 (section 4.2)', async () => {
    const session = await withRecipients([])
    expect(await session.ask('DATA')).toMatch(/^503 /)
  })

  test('EHLO and HELO are unknown in it, and LHLO elsewhere (section 4.1)', async () => {
    const session = await new TestSession(lmtp).start()
    expect(await session.ask('EHLO a')).toMatch(/^500 /)
    expect(await session.ask('HELO a')).toMatch(/^500 /)
    expect(await session.ask('HELP')).not.toContain('EHLO')
    const other = await new TestSession().start()
    expect(await other.ask('LHLO a')).toMatch(/^500 /)
  })

  test('Received says LMTPS (RFC 3848)', async () => {
    const session = await withRecipients(['ann@example.org'])
    await play(session, 'R: BDAT 3 LAST\\r\\na\\r\\n\nS: 250 *')
    expect(session.destination.messages[0]?.bytes.toString()).toContain('by mx.example with LMTPS (')
  })
})
