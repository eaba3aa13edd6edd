import { expect, test } from 'vitest'
import { selectedInbox } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

function mailbox(): MemoryStore {
  const store = new MemoryStore()
  store.put(
    account,
    'INBOX',
    'From: Ann <ann@example.org>\r\nSubject: Plain words\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700\r\n\r\nthe body of one\r\n',
    ['\\Seen'],
    new Date('1996-07-18T01:00:00Z'),
  )
  store.put(
    account,
    'INBOX',
    'From: bob@example.net\r\nTo: ann@example.org\r\nSubject: =?utf-8?B?R3LDvMOf?= =?iso-8859-1?Q?e_aus_K=F6ln?=\r\nX-Spam: no\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=\r\n=FC=DFe\r\n',
    ['\\Flagged', '$label1'],
    new Date('2026-01-02T00:00:00Z'),
  )
  store.put(
    account,
    'INBOX',
    'Subject: parts\r\nDate: 1 Feb 26 00:00 +0000\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n4oKsIGluIGJh\r\nc2U2NA==\r\n--b\r\nContent-Type: application/octet-stream; name=secret.bin\r\n\r\nhidden octets\r\n--b--\r\n',
    ['\\Deleted', '\\Answered'],
    new Date('2026-01-03T23:59:59Z'),
  )
  return store
}

async function found(keys: string): Promise<string> {
  const session = await selectedInbox({ store: mailbox() })
  return (await session.ask(`a SEARCH ${keys}`)).replace('a OK Search completed\r\n', '').trimEnd()
}

test.for([
  ['ALL', '1 2 3'],
  ['SEEN', '1'],
  ['UNSEEN', '2 3'],
  ['NEW', '2 3'],
  ['OLD', ''],
  ['RECENT SEEN', '1'],
  ['KEYWORD $Label1', '2'],
  ['UNKEYWORD $label1', '1 3'],
  ['ANSWERED UNFLAGGED UNDRAFT', '3'],
  ['UNDELETED', '1 2'],
  ['2:*', '2 3'],
  ['1,3 NOT 3', '1'],
  ['UID 2:9', '2 3'],
  ['UID 99:*', '3'],
  ['UID 99', ''],
  ['1000', ''],
  ['1:1000', '1 2 3'],
  ['OLDER 31536000', '1'],
  ['YOUNGER 31536000', '2 3'],
  ['NOT YOUNGER 2736306', '1 2'],
  ['CHARSET ISO-8859-1 SUBJECT "\xfc\xdfe"', '2'],
  ['CHARSET windows-1252 BODY "Sch\xf6ne"', '2'],
  ['CHARSET US-ASCII SUBJECT plain', '1'],
  ['LARGER 200', '2 3'],
  ['SMALLER 200', '1'],
  ['LARGER 4294967296', ''],
  ['SMALLER 9223372036854775807', '1 2 3'],
  ['BEFORE 19-Jul-1996', '1'],
  ['ON 18-Jul-1996', '1'],
  ['SINCE "2-Jan-2026"', '2 3'],
  ['SENTON 17-Jul-1996', '1'],
  ['SENTSINCE 1-Jan-2026', '3'],
  ['SENTBEFORE 1-Jan-2000', '1'],
  ['FROM ann', '1'],
  ['TO ANN@', '2'],
  ['SUBJECT "plain WORDS"', '1'],
  ['SUBJECT "köln"', '2'],
  ['CHARSET UTF-8 SUBJECT "grüße aus"', '2'],
  ['HEADER X-Spam ""', '2'],
  ['HEADER X-Spam yes', ''],
  ['BODY "body of"', '1'],
  ['BODY "Schöne Grüße"', '2'],
  ['BODY "€ in base64"', '3'],
  ['BODY hidden', ''],
  ['TEXT secret.bin', '3'],
  ['TEXT "plain words"', '1'],
  ['BODY "plain words"', ''],
  ['BODY secret.bin', ''],
  ['ALL  (  FLAGGED   SUBJECT "köln" ) ', '2'],
  ['BODY ""', '1 2 3'],
  ['OR SEEN FLAGGED', '1 2'],
  ['OR (SEEN SMALLER 5) NOT (OR FLAGGED SEEN)', '3'],
  ['NOT NOT SEEN', '1'],
  ['(((1)))', '1'],
])('SEARCH %s', async ([keys, numbers]) => {
  const isLatin1 = /CHARSET (?:ISO|windows)/.test(keys ?? '')
  const octets = isLatin1 ? (keys ?? '') : Buffer.from(keys ?? '').toString('latin1')
  expect(await found(octets)).toBe(`* SEARCH ${numbers}`.trimEnd())
})

// RFC 9051 section 6.4.4: TEXT looks into the header fields of parts, and BODY into no header at all.
test.for([
  ['BODY fields', ''],
  ['TEXT fields', '1'],
  ['BODY "the text"', '1'],
  ['TEXT "the text"', '1'],
  ['BODY outer', ''],
  ['BODY report.html', ''],
  ['TEXT report.html', '1'],
  ['TEXT fields NOT BODY fields', '1'],
  ['BODY "the text" TEXT "the text" TEXT fields', '1'],
  ['BODY fields TEXT fields', ''],
  ['TEXT fields TEXT elsewhere', ''],
])('what a message inside of the message holds: SEARCH %s', async ([keys, numbers]) => {
  const store = new MemoryStore()
  const inner = 'Subject: inner fields\r\nContent-Type: text/html; name=report.html\r\n\r\n<p>the text</p>\r\n'
  store.put(account, 'INBOX', `Subject: outer\r\nContent-Type: message/rfc822\r\n\r\n${inner}`)
  const session = await selectedInbox({ store })
  expect(await session.ask(`a SEARCH ${keys}`)).toBe(`${`* SEARCH ${numbers}`.trimEnd()}\r\na OK Search completed\r\n`)
})
test('UID SEARCH answers with UIDs', async () => {
  const session = await selectedInbox({ store: mailbox() })
  await session.ask('x STORE 1 +FLAGS \\Deleted')
  await session.ask('y UID EXPUNGE 1')
  expect(await session.ask('a UID SEARCH 1')).toBe('* SEARCH 2\r\na OK Search completed\r\n')
})

test.for([
  ['', 'BAD'],
  ['CHARSET', 'BAD'],
  ['CHARSET X-UNKNOWN ALL', 'NO [BADCHARSET (US-ASCII UTF-8 '],
  ['FROM', 'BAD'],
  ['FROM ann SEEN EXTRA', 'BAD'],
  ['()', 'BAD'],
  ['(ALL', 'BAD'],
  ['NOT', 'BAD'],
  ['OR SEEN', 'BAD'],
  ['KEYWORD \\Seen', 'BAD'],
  ['ON 31-Feb-2026', 'BAD'],
  ['LARGER -1', 'BAD'],
  ['LARGER 9223372036854775808', 'BAD'],
  ['UID 0', 'BAD'],
  ['OLDER 0', 'BAD'],
  ['YOUNGER x', 'BAD'],
  ['$1', 'BAD'],
  ['UID $x', 'BAD'],
  ['__proto__', 'BAD'],
  ['UNconstructor', 'BAD'],
  ['SUBJECT "\xff\xfe"', 'NO [BADCHARSET (US-ASCII UTF-8 '],
])('SEARCH %s is %s', async ([keys, answer]) => {
  expect((await found(keys ?? '')).startsWith(`a ${answer}`)).toBe(true)
})

test.for(['('.repeat(20_000), 'NOT '.repeat(15_000), 'OR '.repeat(15_000), `${'('.repeat(33)}ALL${')'.repeat(33)}`])(
  'IM-08: nesting without end is BAD at once',
  async (keys) => {
    expect(await found(keys)).toMatch(/^a BAD /)
  },
)

test.for([
  [`SUBJECT "${'a'.repeat(2_048)}"`, '* SEARCH'],
  [`SUBJECT "${'a'.repeat(2_049)}"`, 'a NO [LIMIT] Too much to search for'],
  [`OR TEXT "${'a'.repeat(1_500)}" NOT BODY "${'b'.repeat(549)}"`, 'a NO [LIMIT] Too much to search for'],
])('IM-08: the strings of one SEARCH are bounded together: %#', async ([keys, answer]) => {
  expect((await found(keys ?? '')).trim()).toBe(answer)
})

test('IM-08: what looks like a pattern means itself', async () => {
  expect(await found('TEXT "(a+)+$"')).toBe('* SEARCH')
})

test('a search that flags and sizes decide opens no message', async () => {
  const store = mailbox()
  const session = await selectedInbox({ store })
  await session.ask('a SEARCH OR (SEEN BODY x) (LARGER 1000000 TEXT y)')
  expect(store.contentsOpened).toBe(1)
  await session.ask('b SEARCH DRAFT TEXT z')
  expect(store.contentsOpened).toBe(1)
})

test.for([
  ['RETURN () ALL', '* ESEARCH (TAG "a") ALL 1:3'],
  ['RETURN (ALL) 3', '* ESEARCH (TAG "a") ALL 3'],
  ['RETURN (MIN MAX COUNT) ALL', '* ESEARCH (TAG "a") MIN 1 MAX 3 COUNT 3'],
  ['RETURN (MIN MAX COUNT ALL) DRAFT', '* ESEARCH (TAG "a") COUNT 0'],
  ['RETURN (PARTIAL 2:1) ALL', '* ESEARCH (TAG "a") PARTIAL (1:2 1:2)'],
  ['RETURN (PARTIAL 9:9) ALL', '* ESEARCH (TAG "a") PARTIAL (9:9 NIL)'],
  ['RETURN (PARTIAL -1:-2) ALL', '* ESEARCH (TAG "a") PARTIAL (-1:-2 2:3)'],
  ['RETURN (PARTIAL -3:-3) ALL', '* ESEARCH (TAG "a") PARTIAL (-3:-3 1)'],
  ['RETURN (PARTIAL -2:-100) ALL', '* ESEARCH (TAG "a") PARTIAL (-2:-100 1:2)'],
  ['RETURN (PARTIAL -4:-9) ALL', '* ESEARCH (TAG "a") PARTIAL (-4:-9 NIL)'],
  ['RETURN (COUNT PARTIAL 1:1) CHARSET UTF-8 ALL', '* ESEARCH (TAG "a") COUNT 3 PARTIAL (1:1 1)'],
  ['RETURN (SAVE) ALL', ''],
])('ESEARCH: SEARCH %s', async ([keys, answer]) => {
  const [first] = (await found(keys ?? '')).split('\r\n')
  expect(first).toBe(answer)
})

test.for([
  'RETURN ALL',
  'RETURN (MIN',
  'RETURN (NONE) ALL',
  'RETURN ()',
  'RETURN (PARTIAL 1:*) ALL',
  'RETURN (PARTIAL 0:1) ALL',
  'RETURN (PARTIAL 1) ALL',
  'RETURN (PARTIAL 1:-1) ALL',
  'RETURN (PARTIAL 1:1 ALL) ALL',
  'RETURN (PARTIAL 1:1 PARTIAL 2:2) ALL',
])('ESEARCH: SEARCH %s is BAD', async (keys) => {
  expect(await found(keys)).toMatch(/^a BAD /)
})

test('ESEARCH: a tag that is no atom is quoted, and UIDs are told as such', async () => {
  const session = await selectedInbox({ store: mailbox() })
  expect(await session.ask('a]&1 UID SEARCH RETURN (MIN) 2:3')).toBe(
    '* ESEARCH (TAG "a]&1") UID MIN 2\r\na]&1 OK Search completed\r\n',
  )
})

test('SEARCHRES: what was saved is named by $ (RFC 5182)', async () => {
  const session = await selectedInbox({ store: mailbox() })
  expect(await session.ask('a SEARCH RETURN (SAVE) OR SEEN FLAGGED')).toBe('a OK Search completed\r\n')
  expect(await session.ask('b FETCH $ UID')).toBe('* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\nb OK Fetch completed\r\n')
  expect(await session.ask('c UID SEARCH RETURN (COUNT) UID $ SEEN')).toBe(
    '* ESEARCH (TAG "c") UID COUNT 1\r\nc OK Search completed\r\n',
  )
  await session.ask('d STORE $ +FLAGS.SILENT (\\Deleted)')
  await session.ask('e UID EXPUNGE 1')
  // What is gone is no longer in it.
  expect(await session.ask('f SEARCH $')).toBe('* SEARCH 1\r\nf OK Search completed\r\n')
  expect(await session.ask('g SEARCH NOT $')).toBe('* SEARCH 2\r\ng OK Search completed\r\n')
  await session.ask('h SELECT INBOX')
  expect(await session.ask('i FETCH $ FLAGS')).toBe('i OK Fetch completed\r\n')
})

test.for([
  ['(SAVE MIN)', '1'],
  ['(SAVE MAX)', '3'],
  ['(SAVE MIN MAX)', '1 3'],
  ['(SAVE MIN COUNT)', '1 2 3'],
  ['(SAVE ALL MIN)', '1 2 3'],
  ['(SAVE COUNT)', '1 2 3'],
  ['(SAVE PARTIAL 2:2)', '2'],
  ['(SAVE MIN PARTIAL 2:2)', '1 2'],
  ['(SAVE COUNT PARTIAL 2:2)', '1 2 3'],
])('SEARCHRES: RETURN %s saves %s (RFC 5182 section 2.4)', async ([options, numbers]) => {
  const session = await selectedInbox({ store: mailbox() })
  await session.ask(`a SEARCH RETURN ${options} ALL`)
  expect(await session.ask('b SEARCH $')).toBe(`* SEARCH ${numbers}\r\nb OK Search completed\r\n`)
})

test('SEARCHRES: NO saves nothing, BAD changes nothing, pipelined commands see the result', async () => {
  const session = await selectedInbox({ store: mailbox() })
  session.take()
  await session.send('a SEARCH RETURN (SAVE) SEEN\r\nb SEARCH $\r\nc SEARCH RETURN (SAVE) NONE\r\nd SEARCH $\r\n')
  expect(session.take()).toBe(
    'a OK Search completed\r\n* SEARCH 1\r\nb OK Search completed\r\n' +
      'c BAD Arguments are missing or malformed\r\n* SEARCH 1\r\nd OK Search completed\r\n',
  )
  await session.ask('e SEARCH RETURN (SAVE) CHARSET X-NONE ALL')
  expect(await session.ask('f SEARCH $')).toBe('* SEARCH\r\nf OK Search completed\r\n')
})

test('INPROGRESS: a search that takes long says how far it is (RFC 9585)', async () => {
  const store = mailbox()
  for (let count = 0; count < 61; count += 1) store.put(account, 'INBOX', 'Subject: x\r\n\r\n')
  let seconds = 0
  const now = (): Date => new Date(1_000_000 + (seconds += 6) * 1000)
  const session = await selectedInbox({ store, now })
  const lines = (await session.ask('a SEARCH RETURN (COUNT) SUBJECT x')).split('\r\n')
  const progress = lines
    .splice(0, lines.length - 3)
    .map((line) => /^\* OK \[INPROGRESS \("a" (\d+) 64\)\] /.exec(line)?.[1])
  expect(progress.length).toBeGreaterThanOrEqual(2)
  expect(progress.map(Number)).toEqual(progress.map(Number).toSorted((a, b) => a - b))
  expect(lines).toEqual(['* ESEARCH (TAG "a") COUNT 61', 'a OK Search completed', ''])
})
