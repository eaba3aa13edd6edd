import { expect, test } from 'vitest'
import { inInbox, play, selectedInbox, signedIn } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

const mixed = [
  'From: Ann <ann@example.org>',
  'To: Bob <bob@example.net>, carol@example.net',
  'Subject: parts',
  'Date: Wed, 17 Jul 1996 02:23:25 -0700',
  'Message-ID: <m1@example.org>',
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed; boundary="outer"',
  '',
  'preamble',
  '--outer',
  'Content-Type: text/plain; charset=utf-8',
  '',
  'hello',
  'world',
  '--outer',
  'Content-Type: message/rfc822',
  '',
  'Subject: inner',
  'From: dan@example.org',
  'Content-Type: multipart/alternative; boundary=inner',
  '',
  '--inner',
  '',
  'plain',
  '--inner',
  'Content-Type: text/html',
  'Content-Disposition: inline; filename="a b.html"',
  '',
  '<p>html</p>',
  '--inner--',
  '--outer--',
  'epilogue',
  '',
].join('\r\n')

function one(text: string = mixed): { store: MemoryStore } {
  const store = new MemoryStore()
  store.put(account, 'INBOX', text, [], new Date('1996-07-17T09:44:25Z'))
  return { store }
}

/** What FETCH of `items` answers for message 1, between `* 1 FETCH (` and `)`. */
async function fetched(items: string, text?: string): Promise<string> {
  const session = await selectedInbox(one(text))
  const answer = await session.ask(`a FETCH 1 ${items}`)
  expect(answer).toMatch(/^\* 1 FETCH \([^]*\)\r\na OK Fetch completed\r\n$/)
  return answer.slice('* 1 FETCH ('.length, -')\r\na OK Fetch completed\r\n'.length)
}

/** The value of the one literal in an answer. */
function literal(answer: string): string {
  const found = /\{(\d+)\}\r\n/.exec(answer)
  if (found === null) return answer
  const start = found.index + found[0].length
  return answer.slice(start, start + Number(found[1]))
}

test.for([
  ['FAST', 'FLAGS (\\Recent) INTERNALDATE "17-Jul-1996 09:44:25 +0000" RFC822.SIZE 646'],
  ['(UID RFC822.SIZE)', 'UID 1 RFC822.SIZE 646'],
  ['UID', 'UID 1'],
])('FETCH %s', async ([items, answer]) => {
  expect(await fetched(items ?? '')).toBe(answer?.replace('646', String(mixed.length)))
})

test('ENVELOPE is that of RFC 3501 section 7.4.2', async () => {
  expect(await fetched('ENVELOPE')).toBe(
    'ENVELOPE ("Wed, 17 Jul 1996 02:23:25 -0700" "parts" (("Ann" NIL "ann" "example.org")) (("Ann" NIL "ann" "example.org")) ' +
      '(("Ann" NIL "ann" "example.org")) (("Bob" NIL "bob" "example.net")(NIL NIL "carol" "example.net")) NIL NIL NIL "<m1@example.org>")',
  )
})

test('BODYSTRUCTURE has the extension data, BODY has not', async () => {
  const inner =
    '(NIL "inner" ((NIL NIL "dan" "example.org")) ((NIL NIL "dan" "example.org")) ((NIL NIL "dan" "example.org")) NIL NIL NIL NIL NIL)'
  expect(await fetched('BODYSTRUCTURE')).toBe(
    'BODYSTRUCTURE (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 12 1 NIL NIL NIL NIL)' +
      `("message" "rfc822" NIL NIL NIL "7bit" 220 ${inner} (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0 NIL NIL NIL NIL)` +
      '("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 11 0 NIL ("inline" ("filename" "a b.html")) NIL NIL) "alternative" ("boundary" "inner") NIL NIL NIL) 12 NIL NIL NIL NIL) ' +
      '"mixed" ("boundary" "outer") NIL NIL NIL)',
  )
  expect(await fetched('BODY')).toBe(
    'BODY (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 12 1)' +
      `("message" "rfc822" NIL NIL NIL "7bit" 220 ${inner} (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0)` +
      '("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 11 0) "alternative") 12) "mixed")',
  )
})

const header = mixed.slice(0, mixed.indexOf('\r\n\r\n') + 4)

test.for([
  ['BODY.PEEK[]', mixed],
  ['RFC822.HEADER', header],
  ['BODY.PEEK[HEADER]', header],
  ['BODY.PEEK[TEXT]', mixed.slice(header.length)],
  ['BODY.PEEK[1]', 'hello\r\nworld'],
  ['BODY.PEEK[1.MIME]', 'Content-Type: text/plain; charset=utf-8\r\n\r\n'],
  ['BODY.PEEK[2.HEADER.FIELDS (SUBJECT)]', '"Subject: inner\r\n\r\n"'],
  ['BODY.PEEK[2.1]', 'plain'],
  ['BODY.PEEK[2.1.MIME]', '\r\n'],
  ['BODY.PEEK[2.2]', '<p>html</p>'],
  ['BODY.PEEK[2.2.MIME]', 'Content-Type: text/html\r\nContent-Disposition: inline; filename="a b.html"\r\n\r\n'],
  ['BODY.PEEK[HEADER.FIELDS (subject "date")]', 'Subject: parts\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700\r\n\r\n'],
  [
    'BODY.PEEK[HEADER.FIELDS.NOT (From To Message-Id Mime-Version Content-Type)]',
    'Subject: parts\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700\r\n\r\n',
  ],
  ['BODY.PEEK[HEADER.FIELDS (X-None)]', '\r\n'],
  ['BODY.PEEK[]<6.7>', 'Ann <an'],
  ['BODY.PEEK[]<100000.5>', ''],
  ['BODY.PEEK[HEADER.FIELDS (Subject)]<9.3>', 'par'],
])('the octets of %s', async ([items, octets]) => {
  const answer = await fetched(items ?? '')
  expect(answer.includes('{') ? literal(answer) : answer.slice(answer.lastIndexOf(' "') + 2, -1)).toBe(
    octets?.replace(/^"|"$/g, ''),
  )
})

test.for([
  ['BODY.PEEK[3]', 'BODY[3]'],
  ['BODY.PEEK[1.1]', 'BODY[1.1]'],
  ['BODY.PEEK[1.HEADER]', 'BODY[1.HEADER]'],
  ['BODY.PEEK[2.3]', 'BODY[2.3]'],
  ['BODY.PEEK[2.2.1.1.1.1.1.1.1.1.1]', 'BODY[2.2.1.1.1.1.1.1.1.1.1]'],
  ['BODY.PEEK[4294967295]', 'BODY[4294967295]'],
  ['BODY.PEEK[]<4294967296.4294967296>', 'BODY[]<4294967296>'],
  ['BINARY.PEEK[1]<4294967296.4294967296>', 'BINARY[1]<4294967296>'],
])('IM-15: what is not there is told as nothing: %s', async ([items, label]) => {
  expect(await fetched(items ?? '')).toBe(`${label} {0}\r\n`)
})

test.for([
  'BODY[',
  'BODY[]x',
  'BODY[0]',
  'BODY[1.]',
  'BODY[.1]',
  'BODY[MIME]',
  'BODY[4294967296]',
  'BODY[HEADER.FIELDS]',
  'BODY[HEADER.FIELDS ()]',
  'BODY[]<0>',
  'BODY[]<0.0>',
  'BODY[]<-1.5>',
  'BODY[]<0.9223372036854775808>',
  `BODY[1${'.1'.repeat(100)}]`,
  '()',
  '(FLAGS',
  '(ALL)',
  'FLAGS UID',
  'BODYSTRUCTURE[1]',
  'CONSTRUCTOR',
  '',
])('IM-15: FETCH 1 %s is BAD', async (items) => {
  const session = await selectedInbox(one())
  expect(await session.ask(`a FETCH 1 ${items}`)).toMatch(/^a BAD /)
})

test('the label of a section is told as the grammar writes it', async () => {
  expect(await fetched('body.peek[header.fields (from "X Y")]<0.5>')).toMatch(
    /^BODY\[HEADER\.FIELDS \(from "X Y"\)\]<0> /,
  )
  expect(await fetched('RFC822.TEXT')).toMatch(/^FLAGS \(\\Seen \\Recent\) RFC822\.TEXT \{/)
})

test('BODY[] sets \\Seen once, PEEK never', async () => {
  const session = await selectedInbox(one('a: b\r\n\r\nxy'))
  await play(
    session,
    `
    C: a FETCH 1 BODY.PEEK[TEXT]
    S: * 1 FETCH (BODY[TEXT] {2}
    S: xy)
    S: a OK *
    C: b FETCH 1 BODY[TEXT]
    S: * 1 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {2}
    S: xy)
    S: b OK *
    C: c FETCH 1 (FLAGS RFC822)
    S: * 1 FETCH (FLAGS (\\Seen \\Recent) RFC822 {10}
    S: a: b
    S:
    S: xy)
    S: c OK *
    `,
  )
})

test('in a mailbox opened with EXAMINE nothing is set', async () => {
  const session = await signedIn(one('a: b\r\n\r\nxy'))
  await session.ask('x EXAMINE INBOX')
  await play(session, 'C: b FETCH 1 BODY[TEXT]\nS: * 1 FETCH (BODY[TEXT] {2}\nS: xy)\nS: b OK *')
})

test(
  'UID FETCH names the UID and knows no wrong ones',
  inInbox(
    () => one(),
    `
    C: a UID FETCH 1:* FLAGS
    S: * 1 FETCH (UID 1 FLAGS (\\Recent))
    S: a OK *
    C: b UID FETCH 7:9 FLAGS
    S: b OK *
    C: c UID FETCH 7:* (FLAGS UID)
    S: * 1 FETCH (FLAGS (\\Recent) UID 1)
    S: c OK *
    C: d FETCH 2 FLAGS
    S: d BAD No such message
    `,
  ),
)

test('IM-20: a large message goes out in chunks, waiting for the reader between them', async () => {
  const text = `Subject: big\r\n\r\n${'0123456789abcdef'.repeat(65_536)}`
  const session = await selectedInbox(one(text))
  session.isFull = true
  const answer = await session.ask('a FETCH 1 BODY.PEEK[]')
  expect(literal(answer)).toBe(text)
  expect(session.drains).toBeGreaterThanOrEqual(16)
})

test('IM-20: parts of a large header are not gathered until all of them are found', async () => {
  const block = `Subject: ${'x'.repeat(5_000)}\r\n\r\n`
  const session = await selectedInbox({ ...one(block), limits: { maxHeaderBytes: 6_000 } })
  session.isFull = true
  const labels = Array.from({ length: 40 }, (_, count) => `BODY[HEADER.FIELDS.NOT (X-${count})]`)
  const answer = await session.ask(`a FETCH 1 (${labels.join(' ').replaceAll('BODY', 'BODY.PEEK')} UID)`)
  const parts = labels.map((label) => `${label} {${block.length}}\r\n${block}`)
  expect(answer).toBe(`* 1 FETCH (${parts.join(' ')} UID 1)\r\na OK Fetch completed\r\n`)
  expect(session.drains).toBeGreaterThanOrEqual(20)
})

test('an item that is asked for twice is told once', async () => {
  const session = await selectedInbox(one())
  const answer = await session.ask(`a FETCH 1 (${'ENVELOPE UID '.repeat(400)}BODY.PEEK[]<0.1> BODY.PEEK[]<1.1>)`)
  expect(answer).toMatch(
    /^\* 1 FETCH \(ENVELOPE \([^]*\) UID 1 BODY\[\]<0> \{1\}\r\n. BODY\[\]<1> \{1\}\r\n.\)\r\na OK /,
  )
  expect(answer.match(/ENVELOPE|UID/g)).toHaveLength(2)
})

test('IM-09: a set that names everything many times names each message once', async () => {
  const session = await selectedInbox(one())
  const answer = await session.ask(`a FETCH ${Array(2000).fill('1:*').join(',')} UID`)
  expect(answer).toBe('* 1 FETCH (UID 1)\r\na OK Fetch completed\r\n')
  expect(await session.ask('b UID FETCH 1:4294967295 UID')).toBe('* 1 FETCH (UID 1)\r\nb OK Fetch completed\r\n')
})

test('IM-14: every octet that a header can hold goes out so that the response can be read', async () => {
  const text = 'Subject: a"b\\c\x01{3}\r\n x\r\nFrom: "q\\"uote\\\\" <"lo cal"@h>\r\nTo: \xe9 <e@x>\r\n\r\n'
  expect(await fetched('ENVELOPE', text)).toBe(
    'ENVELOPE (NIL "a\\"b\\\\c\x01{3} x" (("q\\"uote\\\\" NIL "lo cal" "h")) (("q\\"uote\\\\" NIL "lo cal" "h")) ' +
      '(("q\\"uote\\\\" NIL "lo cal" "h")) (({1}\r\n\xe9 NIL "e" "x")) NIL NIL NIL NIL)',
  )
})

test('PARTIAL: places among the messages of the set (RFC 9394 section 3.3)', async () => {
  const store = new MemoryStore()
  for (let count = 0; count < 5; count += 1) store.put(account, 'INBOX', 'Subject: x\r\n\r\n')
  const session = await selectedInbox({ store })
  const numbers = async (command: string): Promise<string> =>
    [...(await session.ask(`a ${command}`)).matchAll(/^\* (\d+) FETCH|BAD/gm)].map(([all, n]) => n ?? all).join(' ')
  expect(await numbers('UID FETCH 2:* UID (PARTIAL 2:3)')).toBe('3 4')
  expect(await numbers('UID FETCH 1:* (UID) (PARTIAL -1:-2)')).toBe('4 5')
  expect(await numbers('FETCH 1:2 UID (PARTIAL 2:9)')).toBe('2')
  expect(await numbers('FETCH 1:2 UID (PARTIAL 8:9)')).toBe('')
  expect(await numbers('FETCH 1 UID ()')).toBe('BAD')
  expect(await numbers('FETCH 1 UID (PARTIAL 0:1)')).toBe('BAD')
  expect(await numbers('FETCH 1 UID (PARTIAL 1:1 PARTIAL 1:1)')).toBe('BAD')
  expect(await numbers('FETCH 1 UID PARTIAL 1:1')).toBe('BAD')
  expect(await numbers('FETCH 1 UID (NOTHING)')).toBe('BAD')
})

const encoded = [
  'Content-Type: multipart/mixed; boundary=b',
  '',
  '--b',
  'Content-Transfer-Encoding: base64',
  '',
  Buffer.from('a\0b\r\nc').toString('base64'),
  '--b',
  'Content-Transfer-Encoding: quoted-printable',
  '',
  'caf=E9 =',
  'x',
  '--b',
  'Content-Transfer-Encoding: x-uuencode',
  '',
  'begin',
  '--b',
  'Content-Type: message/rfc822',
  'Content-Transfer-Encoding: base64',
  '',
  'Subject: not encoded',
  '',
  'aGk=',
  '--b--',
  '',
].join('\r\n')

test.for([
  ['BINARY.PEEK[1]', 'BINARY[1] ~{6}\r\na\0b\r\nc'],
  ['BINARY.PEEK[1]<0.1>', 'BINARY[1]<0> {1}\r\na'],
  ['BINARY.PEEK[1]<1.2>', 'BINARY[1]<1> ~{2}\r\n\0b'],
  ['BINARY.PEEK[1]<4.99>', 'BINARY[1]<4> {2}\r\n\nc'],
  ['BINARY.PEEK[1]<6.1>', 'BINARY[1]<6> {0}\r\n'],
  ['BINARY.SIZE[1]', 'BINARY.SIZE[1] 6'],
  ['(BINARY.SIZE[1] BINARY.SIZE[2] BINARY.SIZE[1])', 'BINARY.SIZE[1] 6 BINARY.SIZE[2] 6'],
  ['BINARY.PEEK[2]', 'BINARY[2] {6}\r\ncaf\xe9 x'],
  ['(BINARY.SIZE[2] BINARY.PEEK[1]<0.1>)', 'BINARY.SIZE[2] 6 BINARY[1]<0> {1}\r\na'],
  ['BINARY.PEEK[4]', 'BINARY[4] {28}\r\nSubject: not encoded\r\n\r\naGk='],
  ['BINARY.SIZE[]', `BINARY.SIZE[] ${encoded.length}`],
  ['BINARY.PEEK[]<0.12>', 'BINARY[]<0> {12}\r\nContent-Type'],
  ['BINARY.PEEK[9]', 'BINARY[9] {0}\r\n'],
  ['BINARY.SIZE[9]', 'BINARY.SIZE[9] 0'],
] as const)('BINARY: FETCH %s (RFC 3516)', async ([items, answer]) => {
  expect(await fetched(items, encoded)).toBe(answer)
})

test.for([
  'BINARY',
  'BINARY[1',
  'BINARY[1.TEXT]',
  'BINARY[HEADER]',
  'BINARY.SIZE[1]<0.1>',
  'BINARY.PEEK',
  'BINARY[1]<0.0>',
])('BINARY: FETCH %s is BAD', async (items) => {
  expect(await (await selectedInbox(one(encoded))).ask(`a FETCH 1 ${items}`)).toMatch(/^a BAD /)
})

test('BINARY: an encoding that is not known is told, and nothing of the message is', async () => {
  const session = await selectedInbox(one(encoded))
  const refusal = 'a NO [UNKNOWN-CTE] A part is encoded in a way that is not known\r\n'
  expect(await session.ask('a FETCH 1 BINARY[3]')).toBe(refusal)
  expect(await session.ask('a FETCH 1 (BINARY.SIZE[3] FLAGS)')).toBe(refusal)
  expect(await session.ask('b FETCH 1 FLAGS')).toMatch(/FLAGS \(\\Recent\)/)
})

const pieces = (count: number) => Array.from({ length: count }, (_, at) => `BINARY.PEEK[1]<${at}.1>`).join(' ')

test('IM-09: BINARY: pieces that are asked for a thousand times are decoded up to a bound in all', async () => {
  const { store } = one(encoded)
  const session = await selectedInbox({ store, limits: { maxDecodedBytes: 100 } })
  // The part has eight octets, which are measured and sent: six pieces are 96.
  expect(await session.ask(`a FETCH 1 (${pieces(6)})`)).toMatch(/\r\na OK /)
  expect(await session.ask(`b FETCH 1 (${pieces(7)})`)).toBe(
    'b NO [LIMIT] Too many pieces of encoded parts at once\r\n',
  )
  expect(await session.ask('c FETCH 1 BINARY.PEEK[]')).toMatch(/\r\nc OK /)
})

test('BINARY sets \\Seen, PEEK and SIZE do not', async () => {
  const session = await selectedInbox(one(encoded))
  expect(await session.ask('a FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[2]<0.1>)')).not.toMatch(/Seen/)
  expect(await session.ask('b FETCH 1 BINARY[2]<0.1>')).toMatch(/FLAGS \(\\Seen \\Recent\)/)
})

test('BINARY: what was appended as literal8 comes back', async () => {
  const session = await selectedInbox({ store: new MemoryStore() })
  session.take()
  const octets = 'a\0\xff\n\r\0'
  const sent = `Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n${octets}`
  await session.send(`a APPEND INBOX ~{${sent.length}+}\r\n${sent}\r\n`)
  expect(session.take()).toMatch(/a OK \[APPENDUID 1001 1\] Append completed\r\n$/)
  expect(await session.ask('b FETCH 1 BINARY.PEEK[1]')).toBe(
    `* 1 FETCH (BINARY[1] ~{6}\r\n${octets})\r\nb OK Fetch completed\r\n`,
  )
  await session.send('c APPEND INBOX ~{4+}\r\na\0b\n\r\n')
  expect(session.take()).toBe('c NO [UNKNOWN-CTE] NUL in a part that is not binary\r\n')
})
