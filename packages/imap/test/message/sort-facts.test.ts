// What SORT and THREAD compare: base subjects, sent dates, message ids, collation.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { baseSubject } from '../../src/message/base-subject.ts'
import { casemap, sortable } from '../../src/message/casemap.ts'
import { messageIds } from '../../src/message/message-ids.ts'
import { parseSentDate } from '../../src/message/sent-date.ts'

test.for([
  ['hello', 'hello', false],
  ['Re: hello', 'hello', true],
  ['RE:RE : re  : hello', 'hello', true],
  ['Fwd: hello', 'hello', true],
  ['FW: hello', 'hello', true],
  ['Re[2]: hello', 'hello', true],
  ['Re [list] : hello', 'hello', true],
  ['[list] Re: hello', 'hello', true],
  ['[a][b] [c]Re: hello', 'hello', true],
  ['[list] hello', 'hello', false],
  ['[list]', '[list]', false],
  ['[a] [b]', '[b]', false],
  ['hello (fwd)', 'hello', true],
  ['hello (fwd) (FWD) ', 'hello', true],
  ['[fwd: hello]', 'hello', true],
  ['[Fwd: Re: hello (fwd)]', 'hello', true],
  ['[fwd: [fwd: hello]]', 'hello', true],
  ['[fwd: hello', '[fwd: hello', false],
  ['Re: [list] Re: hello', 'hello', true],
  ['Re: ', '', true],
  ['', '', false],
  ['Resent: hello', 'Resent: hello', false],
  ['Re[[x]]: hello', 'Re[[x]]: hello', false],
  ['a \t  b', 'a b', false],
  ['=?utf-8?q?Re=3A_caf=C3=A9?=', 'café', true],
  ['[]', '[]', false],
  ['(fwd)', '', true],
] as const)('RFC 5256 section 2.1: the base subject of %j', ([subject, text, isReply]) => {
  expect(baseSubject(subject)).toEqual({ text, isReply })
})

test.for([
  ['Re: ', 20_000],
  ['[x]', 20_000],
  ['[', 50_000],
  ['Re[x]', 20_000],
  ['[fwd: ', 20_000],
  ['(fwd)', 20_000],
  ['re [', 20_000],
] as const)('IM-16: a subject of %j over and over is read at once', ([piece, times]) => {
  const started = process.threadCpuUsage()
  baseSubject(piece.repeat(times))
  baseSubject(`${piece.repeat(times)}${']'.repeat(times)}`)
  expect(process.threadCpuUsage(started).user).toBeLessThan(1_000_000)
})

test('any subject has a base subject that is its own, and nothing throws', () => {
  const pieces = fc.constantFrom('re', 'fwd', 'Fw', ':', '[', ']', ' ', '(fwd)', 'x', '[fwd:')
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 24 }), (words) => {
      const { text } = baseSubject(words.join(''))
      expect(baseSubject(text).text).toBe(text)
    }),
  )
})

test.for([
  ['Wed, 17 Jul 1996 02:23:25 -0700', '1996-07-17T09:23:25.000Z'],
  ['17 Jul 1996 02:23 +0200', '1996-07-17T00:23:00.000Z'],
  ['Wed, 17 Jul 96 02:23:25 EST', '1996-07-17T07:23:25.000Z'],
  ['Wed, 17 Jul 26 02:23:25 GMT', '2026-07-17T02:23:25.000Z'],
  ['Wed, 17 July 2026 02:23:25 Z', '2026-07-17T02:23:25.000Z'],
  ['17 Jul 2026 02:23:25', '2026-07-17T02:23:25.000Z'],
  ['17 Jul 2026 99:23:25 +0100', '2026-07-17T00:00:00.000Z'],
  ['17 Jul 2026', '2026-07-17T00:00:00.000Z'],
  ['17 Jul 2026 02:23:25 constructor', '2026-07-17T02:23:25.000Z'],
  ['31 Feb 2026 00:00:00 +0000', undefined],
  ['yesterday', undefined],
  ['', undefined],
] as const)('RFC 5256 section 2.2: the sent date %j', ([value, expected]) => {
  const ms = parseSentDate(value)
  expect(ms === undefined ? undefined : new Date(ms).toISOString()).toBe(expected)
})

test.for([
  ['<a@x> <b@y>', ['a@x', 'b@y']],
  ['words <a@x> (and) <b@y>,', ['a@x', 'b@y']],
  ['<"01KF8JCEOCBS0045PS"@xxx.yyy.com>', ['01KF8JCEOCBS0045PS@xxx.yyy.com']],
  ['<"a\\"b"@x>', ['a"b@x']],
  ['< a@x >', ['a@x']],
  ['a@x', []],
  ['<a>', []],
  ['<a@>', []],
  ['', []],
] as const)('the message ids of %j', ([value, ids]) => {
  expect(messageIds(value, 10)).toEqual(ids)
})

test('IM-16: of many references the nearest are kept', () => {
  const value = Array.from({ length: 20_000 }, (_, at) => `<${at}@x>`).join(' ')
  expect(messageIds(value, 3)).toEqual(['19997@x', '19998@x', '19999@x'])
})

test.for([
  ['abc', 'ABC', 0],
  ['straße', 'STRASSE', 1],
  ['é', 'e\u0301', 0],
  ['Ǆ', 'ǆ', 0],
  ['a', 'b', -1],
  ['a', 'ab', -1],
  ['\u{1f600}', '\ufffd', 1],
  ['\ue000', '\u{1f600}', -1],
  ['\u{1f600}', '\u{1f601}', -1],
] as const)('RFC 5051: %j against %j', ([one, other, order]) => {
  expect(orderOf(casemap(one), casemap(other))).toBe(order)
})

test('the order of code points is that of their UTF-8', () => {
  const codePoint = fc.integer({ min: 0, max: 0x10_ffff }).filter((code) => code < 0xd800 || code > 0xdfff)
  const text = fc.array(codePoint, { maxLength: 3 }).map((codes) => String.fromCodePoint(...codes))
  fc.assert(
    fc.property(text, text, (one, other) => {
      const expected = Buffer.compare(Buffer.from(one), Buffer.from(other))
      expect(orderOf(one, other)).toBe(expected)
    }),
  )
})

function orderOf(one: string, other: string): number {
  return Number(sortable(one) > sortable(other)) - Number(sortable(one) < sortable(other))
}

test.for([
  ['an id', (header: string) => messageIds(header, 1)[0]],
  ['a name in capitals', (header: string) => casemap(header.slice(1, 20))],
] as const)('%s keeps nothing of the header it was in', ([, keep]) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const kept: (string | undefined)[] = []
  collect()
  const before = process.memoryUsage().heapUsed
  for (let number = 10; number < 60; number += 1) {
    const header = `<ABCDEFGHIJKLMNOPQRST${number}@example.org> ${'x'.repeat(1_000_000)}`
    kept.push(keep(Buffer.from(header, 'latin1').toString('latin1')))
  }
  collect()
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(20_000_000)
  expect(kept[0]).toMatch(/^ABCDEFGHIJKLMNOPQRS/)
})
