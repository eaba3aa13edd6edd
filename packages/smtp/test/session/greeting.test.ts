// Clients that do not wait for their greeting, and those that are not made to.
import type { SessionObserver } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { dialogue, TestSession } from '../dialogue.ts'

const greetingDelay = { delayMs: 2_000 }
const talksFirst = '421 4.7.0 Wait for the greeting'

test('SC-14: without a delay, what came before the greeting is answered behind it, in order', async () => {
  const session = new TestSession()
  const wish = await session.machine.start()
  expect(wish).toMatchObject({ next: 'read' })
  await session.send('EHLO a\r\nNOOP\r\n')
  expect(session.take()).toMatch(/^220 [^]*\r\n250-[^]*\r\n250 2\.0\.0 OK\r\n$/)
})

describe('SC-14: a greeting that comes late', () => {
  test(
    'is there when the delay is over, and then all is as ever',
    dialogue(
      { greetingDelay },
      `
      !tick
      S: 220 mx.example ESMTP ready
      C: NOOP
      S: 250 2.0.0 OK
      `,
    ),
  )

  test('the delay is a wait like any other: nothing is written, and the first command has its whole time behind it', async () => {
    const session = await new TestSession({ greetingDelay }).start()
    expect(session.take()).toBe('')
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 2_000 })
    await session.passDeadline()
    expect(session.lastWish).toEqual({ next: 'read', patienceMs: 60_000, keepsDeadline: false })
  })

  test.each(['EHLO a\r\n', 'E', '\r\n', 'QUIT\r\n', 'GET / HTTP/1.1\r\n'])(
    'who says %j before it is sent away',
    async (early) => {
      const told: unknown[] = []
      const observer: SessionObserver = { refused: ({ verb, reason }) => told.push([verb, reason]) }
      const session = await new TestSession({ greetingDelay, observer }).start()
      await session.send(early)
      expect(session.take()).toBe(`${talksFirst}\r\n`)
      expect(told).toEqual([['UNKNOWN', 'early-talker']])
      expect(session.closed).toBe('protocol')
    },
  )

  test(
    'the first line may come at once: who takes it for all of the greeting gives itself away',
    dialogue(
      { greetingDelay: { ...greetingDelay, isTeasing: true } },
      `
      S: 220-mx.example ESMTP
      C: EHLO a
      S: ${talksFirst}
      !close protocol
      `,
    ),
  )

  test(
    'and who does not is greeted in two lines',
    dialogue(
      { greetingDelay: { ...greetingDelay, isTeasing: true } },
      `
      S: 220-mx.example ESMTP
      !tick
      S: 220 mx.example ESMTP ready
      `,
    ),
  )

  test('W4, H1: a header from a balancer that is not trusted is told as that', async () => {
    const told: string[] = []
    const observer: SessionObserver = { refused: ({ reason }) => told.push(reason) }
    const session = await new TestSession({ greetingDelay, observer }).start()
    await session.send('PROXY TCP4 203.0.113.7 192.0.2.1 45678 25\r\n')
    expect(session.take()).toBe('421 4.7.0 mx.example PROXY header from an untrusted network\r\n')
    expect(told).toEqual(['proxy-untrusted'])
  })

  test('a worker that stops waits for nobody', async () => {
    const session = await new TestSession({ greetingDelay }).start()
    await session.stop()
    expect(session.take()).toMatch(/^421 4\.3\.2 /)
  })
})

describe('who is not made to wait, or may have spoken', () => {
  test.each([
    ['a balancer that speaks for itself', { origin: 'proxy-itself' }],
    ['a monitor', { opening: { isGreetedAtOnce: true } }],
  ] as const)('%s is greeted at once', async (_, setup) => {
    const session = await new TestSession({ greetingDelay, ...setup }).start()
    expect(session.take()).toMatch(/^220 /)
  })

  test.each([
    ['whole', ['EHLO a\r\n']],
    ['in pieces', ['EHL', 'O a\r\n']],
  ])(
    'J8: a command that came in one piece with the PROXY header, %s, is answered behind the greeting',
    async (_, pieces) => {
      const session = await new TestSession({
        greetingDelay,
        origin: 'proxied',
        opening: { bytesWithHeader: 8 },
      }).start()
      for (const piece of pieces) await session.send(piece)
      expect(session.take()).toBe('')
      expect(session.lastWish).toEqual({ next: 'read', patienceMs: 2_000, keepsDeadline: true })
      await session.passDeadline()
      expect(session.take()).toMatch(/^220 mx\.example ESMTP ready\r\n250-mx\.example Hello a /)
    },
  )

  test('J8: a command behind it in a piece of its own is early', async () => {
    const session = await new TestSession({ greetingDelay, origin: 'proxied', opening: { bytesWithHeader: 8 } }).start()
    await session.send('EHLO a\r\n')
    await session.send('N')
    expect(session.take()).toBe(`${talksFirst}\r\n`)
  })
})
