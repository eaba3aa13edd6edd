/*
 * SMTP smuggling (CVE-2023-51764 to -51766, CVE-2024-27305 and their kin): each sequence that some server takes for the end
 * of a message, at each place of a message, cut at each byte, by DATA and by BDAT, under each policy. The message is one,
 * and no byte of what is inside it runs as a command.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BareNewlinePolicy } from '../../src/index.ts'
import { DataEncoder } from '../../src/wire/data-encoder.ts'
import { cutAt, everyCut } from '../cuts.ts'
import { greeted, inData, type Setup, type TestSession } from '../dialogue.ts'

interface Sequence {
  readonly name: string
  readonly bytes: string
  /** What of it is in the message that leaves. */
  readonly content: string
  /** The same by BDAT, where no dot is stuffed. */
  readonly counted: string
}

/** What servers have been seen to end a message at. */
const sequences: readonly Sequence[] = [
  { name: 'LF . LF', bytes: '\n.\n', content: '\r\n.\r\n', counted: '\r\n.\r\n' },
  { name: 'LF . CRLF', bytes: '\n.\r\n', content: '\r\n.\r\n', counted: '\r\n.\r\n' },
  { name: 'CRLF . LF', bytes: '\r\n.\n', content: '\r\n\r\n', counted: '\r\n.\r\n' },
  { name: 'CRLF . CR CRLF', bytes: '\r\n.\r\r\n', content: '\r\n\r\n', counted: '\r\n.\r\n' },
  { name: 'CR . CR', bytes: '\r.\r', content: ' . ', counted: ' . ' },
  { name: 'CR . CRLF', bytes: '\r.\r\n', content: ' .\r\n', counted: ' .\r\n' },
  { name: 'CRLF . CR', bytes: '\r\n.\r', content: '\r\n ', counted: '\r\n. ' },
  { name: 'CR . LF', bytes: '\r.\n', content: ' .\r\n', counted: ' .\r\n' },
  { name: 'LF . CR', bytes: '\n.\r', content: '\r\n. ', counted: '\r\n. ' },
  { name: 'LF .. CRLF', bytes: '\n..\r\n', content: '\r\n..\r\n', counted: '\r\n..\r\n' },
  { name: 'CR CRLF . LF', bytes: '\r\r\n.\n', content: '\r\n\r\n', counted: '\r\n.\r\n' },
  { name: 'LF CR . CR LF', bytes: '\n\r.\r\n', content: '\r\n .\r\n', counted: '\r\n .\r\n' },
]
/** These are content as they are. */
const clean: readonly Omit<Sequence, 'counted'>[] = [
  { name: 'CRLF SP . CRLF', bytes: '\r\n .\r\n', content: '\r\n .\r\n' },
  { name: 'CRLF . SP CRLF', bytes: '\r\n. \r\n', content: '\r\n \r\n' },
  { name: 'VT . VT', bytes: '\v.\v', content: '\v.\v' },
  { name: 'NEL . NEL', bytes: '\u0085.\u0085', content: '\u0085.\u0085' },
]
const withNul: readonly Omit<Sequence, 'counted'>[] = [
  { name: 'CRLF NUL . CRLF', bytes: '\r\n\0.\r\n', content: '\r\n.\r\n' },
  { name: 'CRLF . NUL CRLF', bytes: '\r\n.\0\r\n', content: '\r\n\r\n' },
  { name: 'CRLF NUL . NUL CRLF', bytes: '\r\n\0.\0\r\n', content: '\r\n.\r\n' },
]

const inner = 'MAIL FROM:<evil@example.net>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nsmuggled\r\n'
const policies: readonly BareNewlinePolicy[] = ['normalize', 'note', 'reject']

/** Where the sequence stands: as the first line behind DATA, in the header section, in the body, at the very end. */
const places: readonly (readonly [name: string, before: string])[] = [
  ['first', ''],
  ['in the header section', 'Subject: x'],
  ['in the body', 'Subject: x\r\n\r\nbody'],
]

function contentOf({ destination }: TestSession): string | undefined {
  const text = destination.messages[0]?.bytes.toString('latin1')
  return text?.slice(text.indexOf('+0000\r\n') + 7)
}

/** The sequence as the first line follows the CRLF of the DATA command, so that its own first line end is not needed. */
const firstLine = (bytes: string): string => bytes.replace(/^\r\n/, '')

async function sendAll(session: TestSession, chunks: readonly string[]): Promise<string> {
  for (const chunk of chunks) await session.send(chunk)
  return session.take()
}

interface Outcome {
  /** Codes of the replies to the message, and to the NOOP behind it. */
  readonly codes: readonly string[]
  readonly closed: string | undefined
  /** Of the messages that were stored. */
  readonly contents: readonly (string | undefined)[]
}

const taken = (content: string): Outcome => ({
  codes: ['250 2.0.0', '250 2.0.0'],
  closed: undefined,
  contents: [content],
})
const refused: Outcome = { codes: ['550 5.6.11'], closed: 'protocol', contents: [] }

async function outcomeOf(session: TestSession, chunks: readonly string[]): Promise<Outcome> {
  const replies = await sendAll(session, chunks)
  expect(session.destination.open).toBe(0)
  return {
    codes: replies
      .trimEnd()
      .split('\r\n')
      .map((reply) => reply.split(' ', 2).join(' ')),
    closed: session.closed,
    contents: session.destination.messages.map(() => contentOf(session)),
  }
}

async function toChunks(setup: Setup): Promise<TestSession> {
  const session = await greeted(setup)
  await session.ask('MAIL FROM:<bob@example.net>')
  await session.ask('RCPT TO:<ann@example.org>')
  return session
}

describe.each(policies)('SM-01, SM-02, %s, by DATA', (bareNewline) => {
  test.each([...sequences, ...clean])('$name', async ({ bytes, content }) => {
    for (const [place, before] of places) {
      const isFirst = place === 'first'
      const sent = `${isFirst ? firstLine(bytes) : before + bytes}${inner}.\r\nNOOP\r\n`
      const isOdd = bytes.replaceAll('\r\n', '').match(/[\r\n]/) !== null
      for (const chunks of everyCut(sent)) {
        const session = await inData({ bareNewline })
        const left = isFirst && bytes.startsWith('\r\n') ? content.slice(2) : before + content
        const isRefused = isOdd && bareNewline === 'reject'
        expect(await outcomeOf(session, chunks)).toEqual(isRefused ? refused : taken(left + inner))
      }
    }
  })
})

describe.each(policies)('SM-07, %s, by BDAT', (bareNewline) => {
  test.each(sequences)('$name', async ({ bytes, counted }) => {
    const text = `body${bytes}${inner}.\r\n`
    for (const chunks of everyCut(`BDAT ${text.length} LAST\r\n${text}NOOP\r\n`)) {
      const session = await toChunks({ bareNewline })
      const isRefused = bareNewline === 'reject'
      expect(await outcomeOf(session, chunks)).toEqual(isRefused ? refused : taken(`body${counted}${inner}.\r\n`))
    }
  })

  test('a sequence that two chunks share', async () => {
    const session = await toChunks({ bareNewline })
    await session.send('BDAT 7\r\nbody\r\n.')
    await session.send(`BDAT ${inner.length + 2} LAST\r\n\r\n${inner}NOOP\r\n`)
    expect(session.take()).toMatch(/^250 .*\r\n250 .*\r\n250 2\.0\.0 OK\r\n$/)
    expect(contentOf(session)).toBe(`body\r\n.\r\n${inner}`)
  })
})

describe('NUL', () => {
  test.each(withNul)('$name: refused behind the true end, or left out', async ({ bytes, content }) => {
    for (const chunks of everyCut(`body${bytes}${inner}.\r\nNOOP\r\n`)) {
      const refusing = await inData()
      expect(await sendAll(refusing, chunks)).toMatch(/^554 5\.6\.0 [^\r\n]+\r\n250 2\.0\.0 OK\r\n$/)
      expect(refusing.destination).toMatchObject({ messages: [], open: 0 })
      const stripping = await inData({ nul: 'strip' })
      expect(await sendAll(stripping, chunks)).toMatch(/^250 2\.0\.0 [^\r\n]+\r\n250 2\.0\.0 OK\r\n$/)
      expect(stripping.destination.messages).toHaveLength(1)
      expect(contentOf(stripping)).toBe(`body${content}${inner}`)
    }
  })
})

/** Every reader behind us, however lax, finds one message: what it might end it at is not there. */
function isCanonical(stuffed: string): boolean {
  const body = stuffed.slice(0, -'.\r\n'.length)
  const endsOnce = /(?:^|\r\n)\.\r\n$/.test(stuffed) && !/(?:^|\r\n)\.\r\n/.test(body)
  return endsOnce && !/[\r\n]/.test(body.replaceAll('\r\n', ''))
}

describe('nothing bare leaves', () => {
  const pieces = fc.constantFrom('\r', '\n', '.', '\r\n', '\r\n.', 'a', '\0', 'X: y\r\n', '\r\n\r\n', 'text', '\u0085')
  const messages = fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join(''))
  const cuts = fc.array(fc.nat(300), { maxLength: 8 })

  test('from server to store, and on through a relay to the wire, by DATA and by BDAT', async () => {
    await fc.assert(
      fc.asyncProperty(
        messages,
        cuts,
        fc.constantFrom<BareNewlinePolicy>('normalize', 'note'),
        fc.boolean(),
        async (message, at, bareNewline, isCounted) => {
          const setup: Setup = { bareNewline, nul: 'strip' }
          const session = isCounted ? await toChunks(setup) : await inData(setup)
          const framed = isCounted ? `BDAT ${message.length} LAST\r\n${message}` : `${message}\r\n.\r\n`
          await sendAll(session, cutAt(framed, at))
          const stored = session.destination.messages[0]?.bytes.toString('latin1') ?? ''
          expect(stored.replaceAll('\r\n', '')).not.toMatch(/[\r\n\0]/)
          const encoder = new DataEncoder('dots')
          const sent = cutAt(stored, at).map((chunk) => encoder.encode(Buffer.from(chunk, 'latin1')).toString('latin1'))
          expect(isCanonical(sent.join('') + encoder.end().toString('latin1'))).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('whatever a destination of somebody else hands to a relay', () => {
    fc.assert(
      fc.property(messages, cuts, (message, at) => {
        const encoder = new DataEncoder('dots')
        const sent = cutAt(message, at).map((chunk) => encoder.encode(Buffer.from(chunk, 'latin1')).toString('latin1'))
        expect(isCanonical(sent.join('') + encoder.end().toString('latin1'))).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })
})
