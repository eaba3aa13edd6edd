/** What was found out about a message is noted, and from then on answered without opening it: with the same words. */
import type { Uid } from '@postern/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { parseEnvelope } from '../../src/message/envelope.ts'
import { headerFields } from '../../src/message/fields.ts'
import { encodeNote, isNotedField, readNote, readNotedFields } from '../../src/message/message-note.ts'
import { StructureScanner } from '../../src/message/structure.ts'
import { HeaderFacts, NotedFacts } from '../../src/session/search-program.ts'
import { encodeBody, encodeEnvelope } from '../../src/wire/structure.ts'
import { selectedInbox } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

function mailbox(notes?: Map<Uid, string>): MemoryStore {
  const store = new MemoryStore()
  store.notes = notes
  const put = (text: string): void => void store.put('ann@example.org', 'INBOX', text, [], new Date(0))
  put(
    'Received: from a\r\n\tby b\r\nFrom: "Ann (of soup)" <ann@example.org>\r\nSubject: =?utf-8?B?R3LDvMOf?=\r\n =?iso-8859-1?Q?e?=\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700\r\nMessage-ID: <1@x>\r\nX-Spam: no\r\n\r\nsoup\r\n',
  )
  put(
    'TO: bob@example.net,\r\n carl@example.net\r\nTo: dora@example.net\r\nSubject:two\r\nReferences: <1@x>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx\r\n--b--\r\n',
  )
  put('no header at all')
  return store
}

const commands = [
  'SEARCH SUBJECT gr\u00fc\u00dfe',
  'SEARCH CHARSET UTF-8 SUBJECT "two"',
  'SEARCH FROM "ann (of"',
  'SEARCH FROM "ann@"',
  'SEARCH TO dora',
  'SEARCH NOT TO bob',
  'SEARCH HEADER X-Spam ""',
  'SEARCH HEADER Message-ID "<1@"',
  'SEARCH HEADER Cc ""',
  'SEARCH TEXT soup',
  'SEARCH TEXT "by b"',
  'SEARCH BODY inner',
  'SEARCH SENTON 17-Jul-1996',
  'SEARCH SENTSINCE 1-Jan-2000',
  'SEARCH OR SUBJECT two SENTBEFORE 1-Jan-2000',
  'SORT (SUBJECT) UTF-8 ALL',
  'SORT (REVERSE FROM DATE) UTF-8 ALL',
  'THREAD REFERENCES UTF-8 ALL',
  'FETCH 1:* ENVELOPE',
  'FETCH 1:* (FLAGS BODYSTRUCTURE)',
  'FETCH 1:* (BODY UID ENVELOPE)',
  'FETCH 1:* (ENVELOPE BODY.PEEK[HEADER])',
  'FETCH 1:* BODY.PEEK[2.HEADER]',
]

test('every answer is the same without notes, while they are made, and from them', async () => {
  const fresh = new MemoryStore()
  expect(fresh.notes).toBeUndefined()
  for (const command of commands) {
    const plain = await (await selectedInbox({ store: mailbox() })).ask(`a ${command}`)
    const noting = await selectedInbox({ store: mailbox(new Map()) })
    expect(await noting.ask(`a ${command}`)).toBe(plain)
    expect(await noting.ask(`a ${command}`)).toBe(plain)
    // Notes that other commands made.
    for (const other of commands) await noting.ask(`a ${other}`)
    expect(await noting.ask(`a ${command}`)).toBe(plain)
  }
})

describe('a message is not opened again', () => {
  test('for its envelope, once it was searched by a field', async () => {
    const store = mailbox(new Map())
    const inbox = await selectedInbox({ store })
    await inbox.ask('a SEARCH SUBJECT soup')
    store.contentsOpened = 0
    await inbox.ask('a FETCH 1:* (FLAGS ENVELOPE)')
    await inbox.ask('a SORT (FROM) UTF-8 SENTSINCE 1-Jan-2000 NOT SUBJECT two')
    await inbox.ask('a THREAD REFERENCES UTF-8 ALL')
    expect(store.contentsOpened).toBe(0)
  })

  test('for its structure, once that was fetched', async () => {
    const store = mailbox(new Map())
    const inbox = await selectedInbox({ store })
    await inbox.ask('a FETCH 1:* ENVELOPE')
    await inbox.ask('a FETCH 1:* BODYSTRUCTURE')
    store.contentsOpened = 0
    await inbox.ask('a FETCH 1:* (BODYSTRUCTURE BODY ENVELOPE)')
    expect(store.contentsOpened).toBe(0)
  })

  test('but is for a field that is not noted, and for its text', async () => {
    const store = mailbox(new Map())
    const inbox = await selectedInbox({ store })
    await inbox.ask('a SEARCH SUBJECT soup')
    for (const keys of ['HEADER X-Spam no', 'TEXT zebra', 'BODY zebra']) {
      store.contentsOpened = 0
      await inbox.ask(`a SEARCH ${keys}`)
      expect(store.contentsOpened).toBe(3)
    }
  })
})

test('a note that is none, of another version or cut, is made again', async () => {
  const notes = new Map<Uid, string>()
  const store = mailbox(notes)
  const inbox = await selectedInbox({ store })
  const right = await inbox.ask('a FETCH 1:* (ENVELOPE BODYSTRUCTURE)')
  const [whole] = notes.values()
  for (const spoil of ['', 'soup', `1${whole?.slice(1)}`, whole?.slice(0, -1), `${whole} `, '2 0 3\n{"a']) {
    for (const uid of notes.keys()) notes.set(uid, spoil ?? '')
    expect(await inbox.ask('a FETCH 1:* (ENVELOPE BODYSTRUCTURE)')).toBe(right)
    expect([...notes.values()][0]).toBe(whole)
  }
})

test('a header of which only the beginning is looked at is not noted', async () => {
  const store = new MemoryStore()
  store.notes = new Map()
  store.put('ann@example.org', 'INBOX', `X: ${'x'.repeat(300)}\r\nSubject: late\r\n\r\nx`, [], new Date(0))
  const inbox = await selectedInbox({ store, limits: { maxHeaderBytes: 200 } })
  await inbox.ask('a FETCH 1 ENVELOPE')
  expect(store.notes.size).toBe(0)
})

const envelope = (header: string): string => encodeEnvelope(parseEnvelope(header, { left: limits.maxAddresses }))

describe('any message', () => {
  const piece = fc.constantFrom(
    '\r\n',
    '\n',
    '\r',
    ' ',
    '\t',
    ':',
    '\0',
    '"',
    '\\',
    '(',
    '<',
    '>',
    '@',
    ',',
    ';',
    '\u00e9',
    '\u00ff',
    'x',
    'Subject',
    'from',
    'TO',
    'Date',
    'X-Other',
    'References',
    'Bcc',
    '=?utf-8?q?=C3=A9?=',
    '17 Jul 1996',
    'Content-Type: multipart/mixed; boundary=b',
    'Content-Type: message/rfc822',
    '\r\n--b\r\n',
    'ann@example.org',
  )
  const text = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''))

  test('has the same envelope, and is found by the same words, from its note', () => {
    fc.assert(
      fc.property(text, fc.array(piece, { maxLength: 2 }), (header, words) => {
        const fields = readNotedFields(encodeNote(header, undefined)) ?? 'no note'
        expect(envelope(fields)).toBe(envelope(header))
        const whole = new HeaderFacts(header)
        const noted = new NotedFacts(fields)
        expect(noted.sentDay).toBe(whole.sentDay)
        const wanted = words.join('').toLowerCase()
        for (const name of ['subject', 'from', 'to', 'date', 'references', 'bcc', 'cc']) {
          expect(noted.field(name, wanted)).toBe(whole.field(name, wanted))
        }
        expect(noted.field('x-other', wanted)).toBeUndefined()
        expect([...headerFields(fields)].every(({ name }) => isNotedField(name))).toBe(true)
        // Noted again from the note, it is the same note.
        expect(readNotedFields(encodeNote(fields, undefined))).toBe(fields)
      }),
      { numRuns: 500 },
    )
  })

  test('has the same structure from its note, which is one octet in each character', () => {
    fc.assert(
      fc.property(text, (message) => {
        const scanner = new StructureScanner(limits)
        scanner.push(Buffer.from(message, 'latin1'))
        const part = scanner.end(message.length)
        const note = encodeNote(message, part)
        expect(Buffer.from(note, 'latin1').toString('latin1')).toBe(note)
        const noted = readNote(note)?.structure
        expect(noted === undefined ? noted : encodeBody(noted, true)).toBe(encodeBody(part, true))
      }),
      { numRuns: 300 },
    )
  })
})
