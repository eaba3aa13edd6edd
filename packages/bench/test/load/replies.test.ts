import fc from 'fast-check'
import { expect, test } from 'vitest'
import { garbled, ImapResponses, imapCode, nameOfCode, SmtpReplies, type ReplyReader } from '../../src/load/replies.ts'

function read(reader: ReplyReader, ...pieces: readonly string[]): readonly string[] {
  const codes: string[] = []
  for (const piece of pieces) {
    // Rubbish behind the octets that count: a shared buffer is never empty there.
    const bytes = Buffer.concat([Buffer.from(piece, 'latin1'), Buffer.from('\n999 \na OK\n')])
    reader.feed(bytes, piece.length, (code) => codes.push(nameOfCode(code)))
  }
  return codes
}

const { ok, no, bye } = imapCode

test.each<[name: string, text: string, codes: readonly (number | string)[]]>([
  ['one line', '220 mx.example ESMTP\r\n', [220]],
  ['several lines are one reply', '250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1000\r\n', [250]],
  ['replies in a row', '250 OK\r\n250 OK\r\n354 go on\r\n', [250, 250, 354]],
  ['a code alone', '250\r\n', [250]],
  ['an unfinished line is none yet', '250 OK\r\n25', [250]],
  ['no code', 'HTTP/1.1 400\r\n', ['garbled']],
  ['an empty line', '\r\n250 OK\r\n', ['garbled', 250]],
  ['a line feed alone', '\n', ['garbled']],
  ['two digits', '25\r\n', ['garbled']],
])('SMTP: %s', (_, text, codes) => {
  expect(read(new SmtpReplies(), text)).toEqual(codes.map(String))
  expect(read(new SmtpReplies(), ...text.split(''))).toEqual(codes.map(String))
})

test.each<[name: string, text: string, codes: readonly number[]]>([
  ['a greeting', '* OK [CAPABILITY IMAP4rev1] ready\r\n', [imapCode.greeting]],
  ['a greeting that is none', '* BYE too many\r\n', [bye]],
  [
    'tagged, behind untagged data',
    '* OK hi\r\n* 3 EXISTS\r\n* FLAGS (\\Seen)\r\na OK done\r\n',
    [imapCode.greeting, ok],
  ],
  ['NO and BAD', '* OK hi\r\na NO not here\r\na BAD what\r\n', [imapCode.greeting, no, imapCode.bad]],
  ['BYE before the end', '* OK hi\r\n* BYE\r\na OK bye\r\n', [imapCode.greeting, bye, ok]],
  ['a continuation request', '* OK hi\r\n+ idling\r\n', [imapCode.greeting, imapCode.continuation]],
  [
    'a literal is read over, though it looks like responses',
    '* OK hi\r\n* 1 FETCH (BODY[] {19}\r\na OK no\r\n* BYE no\r\n)\r\na OK done\r\n',
    [imapCode.greeting, ok],
  ],
  ['an empty literal', '* OK hi\r\n* 1 FETCH (BODY[] {0}\r\n)\r\na OK done\r\n', [imapCode.greeting, ok]],
  ['two literals in one response', '* OK hi\r\n* X {2}\r\na  {3}\r\n+ \n)\r\na OK\r\n', [imapCode.greeting, ok]],
  ['braces that are no literal', '* OK hi\r\n* X {2} \r\na OK\r\n', [imapCode.greeting, ok]],
  ['another tag', '* OK hi\r\nb OK\r\n', [imapCode.greeting, garbled]],
])('IMAP: %s', (_, text, codes) => {
  const names = codes.map(nameOfCode)
  expect(read(new ImapResponses(), text)).toEqual(names)
  expect(read(new ImapResponses(), ...text.split(''))).toEqual(names)
})

const smtpText = '220 hi\r\n250-a\r\n250-b c\r\n250 d\r\n354 e\r\nnonsense\r\n'
const imapText = '* OK hi\r\n* 1 FETCH (BODY[] {25}\r\na OK no\r\n+ no\r\n* BYE no\r\n) {0}\r\n\r\n+ go\r\na NO\r\n'

test.each([
  ['SMTP', smtpText, () => new SmtpReplies()],
  ['IMAP', imapText, () => new ImapResponses()],
] as const)('%s: any split gives the same', (_, text, reader) => {
  const whole = read(reader(), text)
  expect(whole.length).toBeGreaterThan(2)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: text.length }), { maxLength: 12 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), text.length]
      expect(read(reader(), ...at.slice(1).map((end, i) => text.slice(at[i], end)))).toEqual(whole)
    }),
  )
})

test('no input throws', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), (pieces) => {
      for (const reader of [new SmtpReplies(), new ImapResponses()]) {
        for (const piece of pieces) reader.feed(piece, piece.length, (code) => expect(nameOfCode(code)).toBeTruthy())
      }
    }),
  )
})
