import { expect, test } from 'vitest'
import { planLoad, type LoadOptions } from '../../src/load/options.ts'
import { garbled, imapCode } from '../../src/load/replies.ts'
import { isAwaited, messageOf, scripted, workOf, type Turn, type Work } from '../../src/load/work.ts'

const work = (options: LoadOptions): Work => workOf(planLoad(options))
const said = (turns: readonly Turn[] | undefined): readonly string[] =>
  (turns ?? []).map(({ bytes, awaits }) => `${bytes.toString().replaceAll('\r\n', '⏎').slice(0, 60)} → ${awaits}`)

const smtp = 'smtp://localhost'
const imap = 'imap://ann:pa"ss@localhost'

const appendWith = (options: Partial<LoadOptions>): string | undefined =>
  said(work({ url: imap, mode: 'imap', mix: ['append'], size: 100, ...options }).operations[0]?.turns)[0]

test('a message: each command waits for its reply', () => {
  const {
    openings: [opening],
    operations,
    closing,
  } = work({ url: smtp, mode: 'message', recipients: 2 })
  expect(said(opening)).toEqual([' → 2', 'EHLO client.example⏎ → 2'])
  expect(said(operations[0]?.turns).slice(0, 4)).toEqual([
    'MAIL FROM:<ann@example.net>⏎ → 2',
    'RCPT TO:<bob1@example.org>⏎ → 2',
    'RCPT TO:<bob2@example.org>⏎ → 2',
    'DATA⏎ → 3',
  ])
  expect(said(closing)).toEqual(['QUIT⏎ → 2'])
})

test('a message, pipelined: DATA is the last of the group (RFC 2920 §3.1)', () => {
  const turns = work({ url: smtp, mode: 'message', pipelining: 2 }).operations[0]?.turns
  expect(said(turns)[0]).toMatch(/^MAIL .*⏎RCPT .* → 223$/)
  expect(turns?.[0]?.bytes.toString()).toMatch(/DATA\r\n$/)
  expect(turns).toHaveLength(2)
})

test('LMTP answers for each recipient behind the data (RFC 2033 §4.2)', () => {
  const {
    openings: [opening],
    operations,
  } = work({ url: 'lmtp://localhost', mode: 'message', recipients: 3 })
  expect(said(opening)[1]).toBe('LHLO client.example⏎ → 2')
  expect(operations[0]?.turns.at(-1)?.awaits).toBe('222')
})

test('submission: STARTTLS, then EHLO again, then a login (RFC 4616)', () => {
  const {
    openings: [opening],
  } = work({ url: 'submission://ann:secret@localhost', mode: 'message', starttls: true })
  expect(said(opening)).toEqual([
    ' → 2',
    'EHLO client.example⏎ → 2',
    'STARTTLS⏎ → 2',
    'EHLO client.example⏎ → 2',
    `AUTH PLAIN ${Buffer.from('\0ann\0secret').toString('base64')}⏎ → 2`,
  ])
  expect(opening?.map(({ upgrades }) => upgrades ?? false)).toEqual([false, false, true, false, false])
})

test.each([64, 100, 2_048, 65_536, 65_537])(
  'a message of %d octets has that many, in lines, without one that begins with a dot',
  (size) => {
    const text = messageOf(size).toString('latin1')
    expect(text).toHaveLength(size)
    expect(text.endsWith('\r\n')).toBe(true)
    expect(text).not.toMatch(/^\./m)
    expect(text).not.toMatch(/[^\r]\n|\r[^\n]/)
    expect(Math.max(...text.split('\r\n').map((line) => line.length))).toBeLessThan(130)
  },
)

test('the data ends with a dot on a line of its own, once', () => {
  const body = work({ url: smtp, mode: 'message', size: 1_000 }).operations[0]?.turns.at(-1)?.bytes.toString() ?? ''
  expect(body).toHaveLength(1_003)
  expect(body.split('\r\n.\r\n')).toHaveLength(2)
})

test('a login of IMAP quotes what it must (RFC 9051 §4.3)', () => {
  expect(said(work({ url: imap, mode: 'login' }).openings[0])).toEqual([
    ' → *',
    String.raw`a LOGIN "ann" "pa\"ss"⏎ → O`,
  ])
})

test('each connection signs in as the next user', () => {
  const { openings } = work({ url: 'imap://ann%40example.org:secret@localhost', mode: 'login', users: 2 })
  expect(openings.map((opening) => said(opening)[1])).toEqual([
    'a LOGIN "ann1@example.org" "secret"⏎ → O',
    'a LOGIN "ann2@example.org" "secret"⏎ → O',
  ])
})

test('each kind of IMAP command, as often as it is named, over all messages', () => {
  const { operations } = work({ url: imap, mode: 'imap', mix: ['fetch-body', 'noop', 'fetch-body'], messages: 3 })
  const lines = operations.flatMap(({ turns }) => said(turns))
  expect(new Set(lines.filter((line) => line.includes('BODY.PEEK')))).toHaveLength(3)
  expect(lines.filter((line) => line.includes('BODY.PEEK'))).toHaveLength(12)
  expect(lines.filter((line) => line.includes('NOOP'))).toHaveLength(6)
})

test.each([1, 3, 200, 1_000, 1_025])('each STORE changes something, also in a mailbox of %d messages', (messages) => {
  const { operations } = work({ url: imap, mode: 'imap', mix: ['store', 'noop', 'store'], messages })
  const stores = operations.flatMap(({ turns }) => said(turns)).filter((line) => line.includes('STORE'))
  const answered = new Set<string>()
  // Twice over: connections begin anew when they are through.
  const idle = [...stores, ...stores].filter((line) => {
    const [, number = '', sign] = /STORE (\d+) ([+-])FLAGS/.exec(line) ?? []
    const changes = sign === '+' ? !answered.has(number) : answered.has(number)
    if (sign === '+') answered.add(number)
    else answered.delete(number)
    return !changes
  })
  expect(idle).toEqual([])
  expect(stores.length).toBeGreaterThan(1)
})

test('APPEND puts its messages where it is told, and else into the mailbox that is selected', () => {
  expect(appendWith({})).toBe('a APPEND "INBOX" {100}⏎ → +')
  expect(appendWith({ mailbox: 'Archive' })).toBe('a APPEND "Archive" {100}⏎ → +')
  expect(appendWith({ mailbox: 'Archive', appendTo: 'Sent' })).toBe('a APPEND "Sent" {100}⏎ → +')
})

test('APPEND waits for the continuation before its literal', () => {
  const { operations } = work({ url: imap, mode: 'imap', mix: ['append'], size: 100 })
  expect(said(operations[0]?.turns).map((line) => line.replace(/.* → /, ''))).toEqual(['+', 'O'])
  expect(operations[0]?.turns[1]?.bytes).toHaveLength(102)
})

test('pipelined IMAP commands go out together; those with a continuation do not (RFC 9051 §5.5)', () => {
  const { operations } = work({ url: imap, mode: 'imap', mix: ['noop', 'idle'], messages: 1, pipelining: 4 })
  expect(operations.map(({ turns }) => turns.map(({ awaits }) => awaits).join('|'))).toEqual(['O', '+|O', 'O', '+|O'])
  const noops = work({ url: imap, mode: 'imap', mix: ['noop'], messages: 2, pipelining: 4 })
  expect(noops.operations.map(({ turns }) => turns[0]?.awaits)).toEqual(['OOOO'])
})

test('connections that are held: greeted, or in IDLE when somebody signs in', () => {
  expect(said(work({ url: smtp, mode: 'idle' }).openings[0])).toEqual([' → 2', 'EHLO client.example⏎ → 2'])
  expect(said(work({ url: imap, mode: 'idle' }).openings[0]).slice(2)).toEqual(['a SELECT "INBOX"⏎ → O', 'a IDLE⏎ → +'])
})

test('a script: what is written in a row goes out together', () => {
  expect(
    said(scripted('S: 220\n# a comment\nC: EHLO x\n\nS: 250\nC: MAIL FROM:<>\nC: RCPT TO:<a@b>\nS: 250 OK\nS: 550\n')),
  ).toEqual([' → 2', 'EHLO x⏎ → 2', 'MAIL FROM:<>⏎RCPT TO:<a@b>⏎ → 25'])
})

test.each(['C: EHLO x\nS: 250\n', 'S: 220\nX: 1\n', 'S: 220\nS: hello\n', ''])('%o is no script', (text) => {
  expect(() => scripted(text)).toThrow('script')
})

test.each<[code: number, awaited: string, is: boolean]>([
  [250, '2', true],
  [354, '2', false],
  [421, '4', true],
  [garbled, '2', false],
  [imapCode.ok, 'O', true],
  [imapCode.no, 'O', false],
  [imapCode.continuation, '+', true],
  [imapCode.bye, '*', false],
])('a code %d where %s is awaited: %o', (code, awaited, is) => {
  expect(isAwaited(code, awaited)).toBe(is)
})
