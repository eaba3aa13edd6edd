// Every bound of a session, reached, with what is said then. A bound without a row does not compile.
import { expect, test } from 'vitest'
import { limits, type SmtpLimits } from '../../src/index.ts'
import { play, TestSession, type Setup } from '../dialogue.ts'

interface Row {
  /** The bound in this dialogue; the default one when absent. */
  readonly value?: number
  readonly setup?: Omit<Setup, 'limits'>
  readonly others?: Partial<SmtpLimits>
  readonly script: string
  /** What the client may take at the end of the dialogue, in milliseconds. */
  readonly patienceMs?: number
  readonly delayMs?: number
}

const greeted = `
  S: 220 *
  C: HELO a
  S: 250 *`
const envelope = `${greeted}
  C: MAIL FROM:<>
  S: 250 *
  C: RCPT TO:<ann@example.org>
  S: 250 *`
const data = `${envelope}
  C: DATA
  S: 354 *`
const login = `
  C: AUTH PLAIN AGFubgBub3Q=
  S: 535 5.7.8 *`

const rows: Readonly<Record<keyof SmtpLimits, Row>> = {
  maxCommandLineBytes: { value: 512, script: `${greeted}\nC: NOOP ${'a'.repeat(506)}\nS: 500 5.5.2 Line too long` },
  maxAuthLineBytes: {
    setup: { tls: 'gateway' },
    script: `${greeted}
      C: AUTH PLAIN
      S: 334 *
      C: ${'A'.repeat(12_288)}
      S: 500 5.5.6 Authentication exchange line is too long`,
  },
  maxSkippedBytes: {
    value: 100,
    script: `${greeted}\nR: ${'a'.repeat(12_389)}\nS: 500 5.5.2 Line too long\nS: 421 4.7.0 Line too long\n!close protocol`,
  },
  maxOverlongLines: {
    value: 1,
    script: `${greeted}
      C: ${'a'.repeat(4_096)}
      S: 500 5.5.2 Line too long
      C: NOOP
      S: 421 4.7.0 mx.example Too many lines too long
      !close too-many-errors`,
  },
  maxLocalPartBytes: { script: `${greeted}\nC: MAIL FROM:<${'a'.repeat(65)}@b.example>\nS: 501 5.1.7 Path too long` },
  maxDomainBytes: {
    others: { maxPathBytes: 1_000 },
    script: `${greeted}\nC: MAIL FROM:<a@${'b.'.repeat(127)}cc>\nS: 501 5.1.7 Path too long`,
  },
  maxPathBytes: {
    script: `${greeted}\nC: MAIL FROM:<${'a'.repeat(60)}@${'b.'.repeat(97)}cc>\nS: 501 5.1.7 Path too long`,
  },
  maxRecipients: { value: 1, script: `${envelope}\nC: RCPT TO:<bob@example.org>\nS: 452 4.5.3 Too many recipients` },
  maxPlaces: {
    value: 1,
    setup: { mode: 'lmtp', routes: { 'bob@far.example': { to: 'upstream', upstream: 'far' } } },
    script: `
      S: 220 *
      C: LHLO a
      S: 250-*
      ${'S: 250-*\n'.repeat(7)}
      S: 250 CHUNKING
      C: MAIL FROM:<>
      S: 250 *
      C: RCPT TO:<ann@example.org>
      S: 250 *
      C: RCPT TO:<bob@far.example>
      S: 452 4.5.3 *`,
  },
  maxDeferredRecipients: {
    value: 1,
    others: { maxRecipients: 1, maxErrors: 1 },
    script: `${envelope}
      C: RCPT TO:<bob@example.org>
      S: 452 4.5.3 Too many recipients
      C: RCPT TO:<bob@example.org>
      S: 452 4.5.3 Too many recipients
      C: NOOP
      S: 421 4.7.0 mx.example Too many errors
      !close too-many-errors`,
  },
  maxMessageBytes: { value: 5, script: `${data}\nC: 123456\nC: .\nS: 552 5.3.4 Message too big` },
  maxHeaderSectionBytes: { value: 5, script: `${data}\nC: A: bcd\nC: .\nS: 554 5.6.0 Header section too big` },
  maxHops: { value: 1, script: `${data}\nC: Received: a\nC: Received: b\nC: .\nS: 554 5.4.6 Too many hops` },
  maxErrors: {
    value: 1,
    script: `${greeted}
      C: BOGUS
      S: 500 5.5.2 *
      C: NOOP
      S: 421 4.7.0 mx.example Too many errors
      !close too-many-errors`,
  },
  maxPromptErrors: { value: 1, script: `${greeted}\nC+ BOGUS\nC: BOGUS\nS: 500 *\nS: 500 *`, delayMs: 1_000 },
  errorDelayMs: {
    value: 7,
    others: { maxPromptErrors: 1 },
    script: `${greeted}\nC+ A\nC+ A\nC: A\nS: 500 *\nS: 500 *\nS: 500 *`,
    delayMs: 14,
  },
  maxErrorDelayMs: {
    value: 9,
    others: { maxPromptErrors: 1 },
    script: `${greeted}\nC+ A\nC: A\nS: 500 *\nS: 500 *`,
    delayMs: 9,
  },
  maxIdleCommands: {
    value: 2,
    script: `${greeted}
      C: NOOP
      S: 250 *
      C: NOOP
      S: 421 4.7.0 mx.example Too many commands without mail
      !close too-many-errors`,
  },
  maxFailedAuthentications: {
    value: 2,
    setup: { tls: 'gateway' },
    script: `${greeted}${login}${login}
      C: NOOP
      S: 421 4.7.0 mx.example Too many failed authentications
      !close too-many-errors`,
  },
  firstCommandPatienceMs: { script: 'S: 220 *', patienceMs: 60_000 },
  commandPatienceMs: { script: greeted, patienceMs: 300_000 },
  dataBlockPatienceMs: { script: data, patienceMs: 180_000 },
  minDataBytesPerSecond: {
    value: 1_000,
    others: { dataBlockPatienceMs: 1_000 },
    script: `${data}\nR: ${'a'.repeat(999)}`,
    patienceMs: 1_000,
  },
}

const names = Object.keys(rows) as (keyof SmtpLimits)[]

async function reach(name: keyof SmtpLimits): Promise<TestSession> {
  const { value = limits[name], setup, others, script } = rows[name]
  const session = await new TestSession({ ...setup, limits: { ...others, [name]: value } }).start()
  await play(session, script)
  return session
}

test.each(names.filter((name) => rows[name].patienceMs === undefined))('SC-15: %s', async (name) => {
  const { delayMs } = rows[name]
  const { lastWish } = await reach(name)
  expect(lastWish?.next === 'read' ? lastWish.afterMs : undefined).toBe(delayMs)
})

test.each(names.filter((name) => rows[name].patienceMs !== undefined))('SC-15: %s', async (name) => {
  const session = await reach(name)
  expect(session.lastWish).toMatchObject({ next: 'read', patienceMs: rows[name].patienceMs })
  await session.passDeadline()
  expect(session.take()).toBe('421 4.4.2 mx.example Timeout, closing connection\r\n')
  expect(session.closed).toBe('timeout')
})

test('SC-15: a slower message than minDataBytesPerSecond does not move its deadline, a faster one does', async () => {
  const session = await new TestSession({
    limits: { minDataBytesPerSecond: 1_000, dataBlockPatienceMs: 1_000 },
  }).start()
  await play(session, data)
  await session.send('a'.repeat(999))
  expect(session.lastWish).toMatchObject({ keepsDeadline: true })
  await session.send('a')
  expect(session.lastWish).toMatchObject({ keepsDeadline: false })
})

test('SC-15: and the time of a whole session, wherever it is', async () => {
  for (const script of ['S: 220 *', greeted, data]) {
    const session = await new TestSession().start()
    await play(
      session,
      `${script}\n!tock\nS: 421 4.4.2 mx.example Session too long, closing connection\n!close timeout`,
    )
    expect(session.destination.open).toBe(0)
  }
})
