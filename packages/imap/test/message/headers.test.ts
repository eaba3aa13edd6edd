import { expect, test } from 'vitest'
import { parseAddressList, type EnvelopeAddress } from '../../src/message/address.ts'
import { decodeFieldText } from '../../src/message/encoded-words.ts'
import { parseEnvelope } from '../../src/message/envelope.ts'
import { emptyLineEnd, fieldValue, headerFields, headerLength } from '../../src/message/fields.ts'
import { CrlfNormalizer } from '../../src/message/line-ends.ts'
import { parseParameterized } from '../../src/message/parameters.ts'
import { transferDecoder } from '../../src/message/transfer-encoding.ts'

/** `name <route:mailbox@host>`, so that a table can be read. */
function written({ name, route, mailbox, host }: EnvelopeAddress): string {
  if (mailbox === undefined) return 'end'
  if (host === undefined) return `group ${mailbox}`
  return `${name ?? '-'} <${route === undefined ? '' : `${route}:`}${mailbox}@${host}>`
}

test.for([
  ['"" <ann@example.org>', ['- <ann@example.org>']],
  ['ann@example.org', ['- <ann@example.org>']],
  ['Ann Lee <ann@example.org>', ['Ann Lee <ann@example.org>']],
  ['"Lee, Ann" <ann@example.org>, bob@x', ['Lee, Ann <ann@example.org>', '- <bob@x>']],
  ['John Q. Public <j@x>', ['John Q. Public <j@x>']],
  ['ann@example.org (Ann Lee)', ['Ann Lee <ann@example.org>']],
  ['Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>', ['Pete <pete@silly.test>']],
  ['<pete (his account) @ (his host) silly.test>', ['- <pete@silly.test>']],
  ['pete@(his host)silly.test (Pete)', ['Pete <pete@silly.test>']],
  ['<@a.test,@b.test:joe@c.test>', ['- <@a.test,@b.test:joe@c.test>']],
  [
    'A Group:Ed Jones <joe@where.test>,john@one.test;',
    ['group A Group', 'Ed Jones <joe@where.test>', '- <john@one.test>', 'end'],
  ],
  ['undisclosed-recipients:;', ['group undisclosed-recipients', 'end']],
  ['Broken group: a@b', ['group Broken group', '- <a@b>', 'end']],
  ['"quoted local"@x', ['- <quoted local@x>']],
  ['"a\\"b"@x', ['- <a"b@x>']],
  ['joe@[192.0.2.1]', ['- <joe@[192.0.2.1]>']],
  ['joe@x . test', ['- <joe@x.test>']],
  ['root', ['- <root@>']],
  ['MAILER-DAEMON (Mail System)', ['Mail System <MAILER-DAEMON@>']],
  ['Ann <ann@x', ['Ann <ann@x>']],
  ['Ann <ann@x, Bob <bob@y>', ['Ann <ann@x>', 'Bob <bob@y>']],
  ['<>', []],
  [',,,', []],
  ['', []],
  ['"never ends', ['- <never ends@>']],
  ['(never ends', []],
  ['a@b@c', ['- <a@b@c>']],
  ['caf\xe9 <c@x>', ['caf\xe9 <c@x>']],
  ['=?utf-8?q?caf=C3=A9?= <c@x>', ['=?utf-8?q?caf=C3=A9?= <c@x>']],
] as const)('addresses of %s', ([value, expected]) => {
  expect(parseAddressList(value, 100).map(written)).toEqual(expected)
})

test('Envelope: the budget is for all its addresses, and is kept to', () => {
  const budget = { left: 3 }
  const envelope = parseEnvelope('From: a@x\r\nTo: b@x, c@x, d@x\r\nCc: e@x\r\n\r\n', budget)
  expect([envelope.from, envelope.to, envelope.cc].map((list) => list.map(({ mailbox }) => mailbox))).toEqual([
    ['a'],
    ['b', 'c'],
    [],
  ])
  expect(budget.left).toBe(0)
})

test('Envelope: Sender and Reply-To default to From, addresses that stand twice are joined', () => {
  const envelope = parseEnvelope(
    'From: a@x\r\nTo: b@x\r\nto: c@x\r\nSubject: one\r\n two\r\nSubject: three\r\nSender:\r\n\r\n',
    { left: 100 },
  )
  expect(envelope.sender).toEqual(envelope.from)
  expect(envelope.to.map(({ mailbox }) => mailbox)).toEqual(['b', 'c'])
  expect(envelope.subject).toBe('one two')
  expect(envelope.messageId).toBeUndefined()
})

test('fields: folded, nameless, and without a colon', () => {
  const block = 'A: 1\r\n 2\r\n\t3\r\nno colon here\r\nB :4\r\n: nameless\r\nb ad: x\r\nConstructor: 5\r\n\r\n'
  const fields = Array.from(headerFields(block), (field) => [field.name, fieldValue(block, field)])
  expect(fields).toEqual([
    ['a', '1 2\t3'],
    ['b', '4'],
    ['constructor', '5'],
  ])
})

test.for([
  ['A: b\r\n\r\nbody', 8],
  ['A: b\n\nbody', 6],
  ['\r\nbody', 2],
  ['\nbody', 1],
  ['A: b\r\n', undefined],
  ['A: b\r\n\r', undefined],
] as const)('the header of %j has %s octets', ([text, length]) => {
  expect(headerLength(Buffer.from(text), 0)).toBe(length)
})

test('an empty line is not seen at the start of a later piece', () => {
  expect(emptyLineEnd(Buffer.from('\r\nx'), 0)).toBeUndefined()
  expect(emptyLineEnd(Buffer.from('a\r\n\r\nx'), 0)).toBe(5)
})

test.for([
  ['plain', 'plain'],
  ['=?utf-8?B?R3LDvMOf?=', 'Grüß'],
  ['=?ISO-8859-1?Q?a_b=E9?= c', 'a bé c'],
  ['=?utf-8?Q?a?= =?utf-8?Q?b?=', 'ab'],
  ['=?utf-8?Q?a?= x =?utf-8?Q?b?=', 'a x b'],
  ['=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=', 'é'], // a character split over two words
  ['=?utf-8*en?Q?x?=', 'x'],
  ['=?x-unknown?Q?caf=C3=A9?=', 'café'],
  ['=?utf-8?X?abc?=', '=?utf-8?X?abc?='],
  ['=?utf-8?Q?never ends', '=?utf-8?Q?never ends'],
  ['caf\xc3\xa9', 'café'],
  ['caf\xe9', 'café'],
  ['=?utf-7?Q?x?=', 'x'],
] as const)('RFC 2047: %s', ([value, text]) => {
  expect(decodeFieldText(value)).toBe(text)
})

test.for([
  ['text/plain', 'text/plain', []],
  ['text/plain; charset=utf-8', 'text/plain', [['charset', 'utf-8']]],
  [
    'text/plain; charset="utf-8"; Format=flowed',
    'text/plain',
    [
      ['charset', 'utf-8'],
      ['Format', 'flowed'],
    ],
  ],
  ['a/b; name="x;\\"y"', 'a/b', [['name', 'x;"y']]],
  ['a/b; name=two words.pdf ; x', 'a/b', [['name', 'two words.pdf']]],
  ['a/b (comment; x=y); z=1', 'a/b', [['z', '1']]],
  ["a/b; filename*0*=utf-8''a; filename*1=b", 'a/b', [['filename*', "utf-8''ab"]]],
  ['a/b;;; =x; y', 'a/b', []],
  ['a/b; c="never ends', 'a/b', [['c', 'never ends']]],
] as const)('parameters of %s', ([field, value, parameters]) => {
  expect(parseParameterized(field, 100)).toEqual({ value, parameters })
})

test.for([
  ['base64', 'aGVs\r\nbG8=', 'hello'],
  ['base64', 'aGVsbG8', 'hello'],
  ['quoted-printable', 'a=3Db=\r\nc=\nd=e9=zz=', 'a=bcd\xe9=zz'],
  ['quoted-printable', 'padding \t\r\nsoft= \t\r\nend \tof= line =20 \nend  ', 'padding\r\nsoftend \tof= line  \nend'],
  ['quoted-printable', '  a\r \r\n=\r=3\r\n', '  a\r\r\n=\r=3\r\n'],
  ['7bit', 'a=3D', 'a=3D'],
  ['x-unknown', 'abc', 'abc'],
] as const)('%s, cut anywhere: %j', ([encoding, octets, decoded]) => {
  for (let cut = 0; cut <= octets.length; cut += 1) {
    const decoder = transferDecoder(encoding)
    const parts = [octets.slice(0, cut), octets.slice(cut)].map((part) => decoder.push(Buffer.from(part, 'latin1')))
    expect(Buffer.concat([...parts, decoder.end()]).toString('latin1')).toBe(decoded)
  }
})

test.for([
  ['a\nb\r\nc\n', 'a\r\nb\r\nc\r\n'],
  ['\n\n', '\r\n\r\n'],
  ['\r\r\n', '\r\r\n'],
  ['none', 'none'],
] as const)('line ends, cut anywhere: %j', ([octets, expected]) => {
  for (let cut = 0; cut <= octets.length; cut += 1) {
    const normalizer = new CrlfNormalizer()
    const parts = [octets.slice(0, cut), octets.slice(cut)].map((part) => normalizer.push(Buffer.from(part)).toString())
    expect(parts.join('')).toBe(expected)
  }
})
