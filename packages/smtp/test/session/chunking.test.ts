/* RFC 3030: CHUNKING and BINARYMIME. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseChunkHeader } from '../../src/wire/bdat.ts'
import { cutAt, everyCut } from '../cuts.ts'
import { dialogue, greeted, play, type Setup, type TestSession } from '../dialogue.ts'

/** The content of the messages behind our Received fields. */
function contentsOf({ destination }: TestSession): string[] {
  return destination.messages.map(({ bytes }) => {
    const text = bytes.toString('latin1')
    return text.slice(text.indexOf('+0000\r\n') + 7)
  })
}

/** A session with an envelope, in which the next thing may be BDAT. */
async function inEnvelope(setup: Setup = {}, parameters = ''): Promise<TestSession> {
  const session = await greeted(setup)
  await session.ask(`MAIL FROM:<bob@example.net>${parameters}`)
  expect(await session.ask('RCPT TO:<ann@example.org>')).toMatch(/^250 /)
  return session
}

const chunk = (content: string, isLast = false): string =>
  `BDAT ${content.length}${isLast ? ' LAST' : ''}\r\n${content}`

describe('BDAT (RFC 3030 section 2)', () => {
  test(
    'the example of section 4.2: chunks, each acknowledged',
    dialogue(
      {},
      `
      S: 220 *
      C: EHLO ymir.claremont.edu
      S: 250-mx.example *
      S: 250-PIPELINING
      S: 250-SIZE 26214400
      S: 250-LIMITS RCPTMAX=1000
      S: 250-STARTTLS
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-SMTPUTF8
      S: 250 CHUNKING
      C: MAIL FROM:<ned@ymir.claremont.edu>
      S: 250 *
      C: RCPT TO:<ann@example.org>
      S: 250 *
      R: BDAT 10\\r\\nSubject: a
      S: 250 2.0.0 10 octets received
      R: BDAT 4\\r\\n\\r\\n\\r\\n
      S: 250 2.0.0 4 octets received
      R: BDAT 6 LAST\\r\\nbody\\r\\n
      S: 250 2.0.0 OK test000000000001-1
      C: QUIT
      S: 221 *
      `,
    ),
  )

  test('SM-07: a chunk is counted: an end of data and commands inside it are content', async () => {
    const content = 'a\r\n.\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<ann@example.org>\r\n..\r\n'
    for (const chunks of everyCut(`${chunk(content)}${chunk('', true)}NOOP\r\n`)) {
      const session = await inEnvelope()
      for (const piece of chunks) await session.send(piece)
      expect(session.take()).toBe(
        `250 2.0.0 ${content.length} octets received\r\n250 2.0.0 OK test000000000001-1\r\n250 2.0.0 OK\r\n`,
      )
      expect(contentsOf(session)).toEqual([content])
    }
  })

  test.each([
    ['before MAIL', [], 503],
    ['before RCPT', ['MAIL FROM:<>'], 503],
    ['when all recipients were refused', ['MAIL FROM:<>', 'RCPT TO:<a@far.example>'], 554],
  ] as const)('SM-07: %s it is read over before it is refused, however it is cut', async (_, before, code) => {
    const refused = chunk('RCPT TO:<ann@example.org>\r\nQUIT\r\n', true)
    for (const chunks of everyCut(`${refused}NOOP\r\n`)) {
      const session = await greeted()
      for (const line of before) await session.ask(line)
      for (const piece of chunks) await session.send(piece)
      expect(session.take()).toMatch(new RegExp(`^${code} 5\\.5\\.1 [^\\r\\n]+\\r\\n250 2\\.0\\.0 OK\\r\\n$`))
      expect(session.destination).toMatchObject({ messages: [], open: 0 })
    }
  })

  test.each(['', ' ', ' x', ' -1', ' 1 FIRST', ' 1,000', ' 0x10', ' 1 LAST LAST', ' 9999999999999999', ' 1\0'])(
    'SM-07: a size that cannot be read (%j) ends the session, since nothing behind it can be told from commands',
    async (argument) => {
      const session = await inEnvelope()
      await session.send(`BDAT${argument}\r\nRSET\r\nMAIL FROM:<evil@example.net>\r\n`)
      expect(session.take()).toBe('501 5.5.4 Bad chunk size\r\n')
      expect(session.closed).toBe('protocol')
      expect(session.destination.open).toBe(0)
    },
  )

  test('SM-07: so does a line of BDAT that is too long, or ends in no CRLF where it must', async () => {
    const long = await inEnvelope()
    await long.send(`BDAT 5${' '.repeat(5_000)}LAST\r\nQUIT\n`)
    const bare = await inEnvelope({ bareNewline: 'reject' })
    await bare.send('BDAT 5\nQUIT\n')
    for (const session of [long, bare]) {
      expect(session.take()).toBe('501 5.5.4 Bad chunk size\r\n')
      expect(session.closed).toBe('protocol')
    }
  })

  test('SM-07: DATA, MAIL, RCPT and STARTTLS behind a chunk are 503; RSET gives the message up', async () => {
    const session = await inEnvelope()
    await play(
      session,
      `
      R: BDAT 3\\r\\nabc
      S: 250 *
      C: DATA
      S: 503 5.5.1 Bad sequence of commands: send BDAT or RSET first
      C: MAIL FROM:<>
      S: 503 *
      C: RCPT TO:<joe@example.org>
      S: 503 *
      C: STARTTLS
      S: 503 *
      C: NOOP
      S: 250 *
      R: BDAT 2\\r\\nde
      S: 250 *
      C: RSET
      S: 250 *
      R: BDAT 3 LAST\\r\\nabc
      S: 503 *
      `,
    )
    expect(session.destination).toMatchObject({ messages: [], open: 0, aborted: 1 })
  })

  test.each([
    ['by one chunk', [101], 0],
    ['by small chunks', [60, 60], 1],
  ] as const)('SC-13: too big, %s: 552, and nothing is kept', async (_, sizes, accepted) => {
    const session = await inEnvelope({ limits: { maxMessageBytes: 100 } })
    await session.send(sizes.map((size) => chunk('x'.repeat(size))).join('') + chunk('QUIT\r\n', true))
    const replies = session.take().split('\r\n')
    expect(replies.slice(0, accepted)).toEqual(Array(accepted).fill('250 2.0.0 60 octets received'))
    expect(replies[accepted]).toMatch(/^552 5\.3\.4 /)
    expect(replies[accepted + 1]).toMatch(/^503 5\.5\.1 /)
    expect(session.destination).toMatchObject({ messages: [], open: 0 })
    expect(session.closed).toBeUndefined()
  })

  test('a destination that fails in the middle is told at once, and the chunks behind it are read over', async () => {
    const session = await inEnvelope()
    await session.ask('BDAT 0')
    session.destination.breaksAt = 'write'
    await session.send(chunk('one\r\n') + chunk('QUIT\r\n') + chunk('QUIT\r\n', true))
    expect(session.take()).toMatch(/^451 4\.3\.0 [^\r\n]+\r\n503 5\.5\.1 [^\r\n]+\r\n503 5\.5\.1 [^\r\n]+\r\n$/)
    expect(session.destination).toMatchObject({ messages: [], open: 0 })
  })

  test('SM-08: 2,000 chunks of one octet, pipelined, are one message', async () => {
    const told: number[] = []
    const session = await inEnvelope({ observer: { transaction: ({ bytes }) => told.push(bytes) } })
    const content = 'a line\r\n'.repeat(250)
    const script = content.split('').map((octet) => chunk(octet))
    for (const piece of cutAt(`${script.join('')}${chunk('', true)}`, [10_000, 20_000])) await session.send(piece)
    expect(session.take()).toMatch(/^(?:250 2\.0\.0 1 octets received\r\n){2000}250 2\.0\.0 OK [^\r\n]+\r\n$/)
    expect(contentsOf(session)).toEqual([content])
    expect(told).toEqual([2_000])
  })

  test('empty chunks that end nothing are a waste of time, and counted as such', async () => {
    const session = await inEnvelope()
    for (let count = 0; count < 101 && session.closed === undefined; count++) await session.ask('BDAT 0')
    expect(session.closed).toBe('too-many-errors')
  })

  test('two messages by chunks and one by DATA, on one connection', async () => {
    const envelope = 'MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n'
    const session = await greeted()
    await session.send(`${envelope}${chunk('one\r\n', true)}${envelope}DATA\r\n`)
    await session.send(`two\r\n.\r\n${envelope}${chunk('thr')}${chunk('ee\r\n', true)}`)
    expect(contentsOf(session)).toEqual(['one\r\n', 'two\r\n', 'three\r\n'])
  })

  test('a transaction that began is finished when the server stops', async () => {
    const session = await inEnvelope()
    await session.ask('BDAT 0')
    await session.stop()
    await session.send(chunk('abc\r\n', true))
    expect(session.take()).toMatch(/^250 [^\r\n]+\r\n421 4\.3\.2 /)
    expect(contentsOf(session)).toEqual(['abc\r\n'])
  })

  test('any cut of any chunks gives the same message', async () => {
    const text = fc.array(fc.constantFrom('\r', '\n', '\r\n', '.', '\r\n.', 'a', 'QUIT\r\n'), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(fc.array(text, { maxLength: 4 }), fc.array(fc.nat(500)), async (parts, cuts) => {
        const contents = parts.map((part) => part.join(''))
        const script = `${contents.map((content) => chunk(content)).join('')}${chunk('', true)}`
        const [whole, cut] = [await inEnvelope(), await inEnvelope()]
        await whole.send(script)
        for (const piece of cutAt(script, cuts)) await cut.send(piece)
        expect(contentsOf(cut)).toEqual(contentsOf(whole))
        expect(cut.take()).toBe(whole.take())
        expect(contentsOf(whole)[0]?.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
      }),
      { numRuns: 200 },
    )
  })
})

describe('SM-06: text in chunks has the lines that text behind DATA has', () => {
  test.each([
    ['LF.LF', 'a\n.\nb\r\n', 'a\r\n.\r\nb\r\n'],
    ['CR CR LF', 'a\r\r\n', 'a\r\n'],
    ['CR between chunks', 'a\r', 'a \r\n'],
    ['a line without an end', 'a', 'a\r\n'],
    ['dots', '.\r\n..\r\n', '.\r\n..\r\n'],
    ['nothing', '', ''],
  ])('%s', async (_, content, expected) => {
    for (const isSplit of [false, true]) {
      const session = await inEnvelope()
      await session.send(isSplit ? chunk(content) + chunk('', true) : chunk(content, true))
      expect(contentsOf(session)).toEqual([expected])
    }
  })

  test('CRLF cut between two chunks is a CRLF', async () => {
    const session = await inEnvelope({ bareNewline: 'reject' })
    await session.send(chunk('a\r') + chunk('\nb\r\n', true))
    expect(contentsOf(session)).toEqual(['a\r\nb\r\n'])
  })

  test('reject: 550 5.6.11 at the chunk that holds it, and the connection is closed', async () => {
    const session = await inEnvelope({ bareNewline: 'reject' })
    await session.send(chunk('a\nb') + chunk('c\r\n', true))
    expect(session.take()).toMatch(/^550 5\.6\.11 [^\r\n]+\r\n$/)
    expect(session.closed).toBe('protocol')
    expect(session.destination).toMatchObject({ messages: [], open: 0 })
  })

  test('a NUL is refused', async () => {
    const session = await inEnvelope()
    await session.send(chunk('a\0b', true))
    expect(session.take()).toMatch(/^554 5\.6\.0 /)
  })
})

describe('BINARYMIME (RFC 3030 section 3)', () => {
  const setup: Setup = { destinationTakes: ['BINARYMIME'] }

  test('is offered only where every destination takes it', async () => {
    expect(await (await greeted(setup)).ask('EHLO a')).toContain('250 BINARYMIME\r\n')
    const plain = await greeted()
    expect(await plain.ask('EHLO a')).not.toContain('BINARYMIME')
    expect(await plain.ask('MAIL FROM:<> BODY=BINARYMIME')).toMatch(/^501 5\.5\.4 /)
  })

  test('every octet is handed on as it came', async () => {
    const content = `Subject: x\r\n\r\n${String.fromCharCode(...Array(256).keys())}\r\r\n\n.\r\n\0`
    const session = await inEnvelope({ ...setup, bareNewline: 'reject' }, ' BODY=BINARYMIME')
    await session.send(chunk(content.slice(0, 50)) + chunk(content.slice(50), true))
    expect(session.take()).toMatch(/250 2\.0\.0 OK [^\r\n]+\r\n$/)
    expect(contentsOf(session)).toEqual([content])
    expect(session.destination.messages[0]?.transaction.envelope.body).toBe('BINARYMIME')
  })

  test('DATA cannot carry it: 503', async () => {
    const session = await inEnvelope(setup, ' body=binarymime')
    expect(await session.ask('DATA')).toBe('503 5.5.1 Bad sequence of commands: send BDAT for BINARYMIME\r\n')
  })
})

test.each([
  ['0', 0, false],
  ['86 LAST', 86, true],
  ['00012  last', 12, true],
  ['999999999999999', 999_999_999_999_999, false],
] as const)('the size of a chunk: %s', (text, bytes, isLast) => {
  expect(parseChunkHeader(text)).toEqual({ ok: true, value: { bytes, isLast } })
})
