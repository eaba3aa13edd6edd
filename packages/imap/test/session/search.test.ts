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
  ['LARGER 200', '2 3'],
  ['SMALLER 200', '1'],
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
  ['BODY ""', '1 2 3'],
  ['OR SEEN FLAGGED', '1 2'],
  ['OR (SEEN SMALLER 5) NOT (OR FLAGGED SEEN)', '3'],
  ['NOT NOT SEEN', '1'],
  ['(((1)))', '1'],
])('SEARCH %s', async ([keys, numbers]) => {
  const octets = Buffer.from(keys ?? '').toString('latin1')
  expect(await found(octets)).toBe(`* SEARCH ${numbers}`.trimEnd())
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
  ['CHARSET X-UNKNOWN ALL', 'NO [BADCHARSET (US-ASCII UTF-8)]'],
  ['FROM', 'BAD'],
  ['FROM ann SEEN EXTRA', 'BAD'],
  ['ALL  ALL', 'BAD'],
  ['()', 'BAD'],
  ['(ALL', 'BAD'],
  ['NOT', 'BAD'],
  ['OR SEEN', 'BAD'],
  ['KEYWORD \\Seen', 'BAD'],
  ['ON 31-Feb-2026', 'BAD'],
  ['LARGER -1', 'BAD'],
  ['LARGER 4294967296', 'BAD'],
  ['4', 'BAD'],
  ['UID 0', 'BAD'],
  ['__proto__', 'BAD'],
  ['UNconstructor', 'BAD'],
  ['SUBJECT "\xff\xfe"', 'NO [BADCHARSET (US-ASCII UTF-8)]'],
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
