// SORT and THREAD (RFC 5256), their results as ESORT (RFC 5267) and DISPLAY (RFC 5957).
import { expect, test } from 'vitest'
import { selectedInbox, type TestSession } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

function store(): MemoryStore {
  const memory = new MemoryStore()
  const put = (header: string, day: number, body = ''): void =>
    void memory.put(account, 'INBOX', `${header}\r\n\r\n${body}`, [], new Date(Date.UTC(2026, 0, day)))
  put(
    'From: Zoe <bob@x>\r\nTo: c@x\r\nSubject: Re: beta\r\nDate: Tue, 3 Feb 2026 10:00:00 +0000\r\nMessage-ID: <2@x>\r\nReferences: <1@x>',
    3,
  )
  put(
    'From: ann@x\r\nTo: B <b@x>\r\nCc: z@x\r\nSubject: beta\r\nDate: Tue, 3 Feb 2026 10:00:00 +0100\r\nMessage-ID: <1@x>',
    1,
    'longest',
  )
  put('From: =?utf-8?q?=C3=84nne?= <carl@x>\r\nTo: a@x\r\nSubject: [x] Alpha\r\nMessage-ID: <3@x>', 2)
  return memory
}

function session(): Promise<TestSession> {
  return selectedInbox({ store: store() })
}

test.for([
  ['(ARRIVAL)', '2 3 1'],
  ['(REVERSE ARRIVAL)', '1 3 2'],
  ['(DATE)', '3 2 1'],
  ['(FROM)', '2 1 3'],
  ['(TO)', '3 2 1'],
  ['(CC)', '1 3 2'],
  ['(SIZE)', '3 2 1'],
  ['(SUBJECT)', '3 1 2'],
  ['(SUBJECT REVERSE DATE)', '3 1 2'],
  ['(SUBJECT ARRIVAL)', '3 2 1'],
  ['(REVERSE SUBJECT)', '1 2 3'],
  ['(DISPLAYFROM)', '2 3 1'],
  ['(DISPLAYTO)', '3 2 1'],
])('SORT %s', async ([criteria, numbers]) => {
  const inbox = await session()
  expect(await inbox.ask(`a SORT ${criteria} UTF-8 ALL`)).toBe(`* SORT ${numbers}\r\na OK Sort completed\r\n`)
})

test.for([
  ['SORT (ARRIVAL) UTF-8 2:*', '* SORT 2 3'],
  ['SORT (ARRIVAL) US-ASCII FROM nobody', '* SORT'],
  ['UID SORT (ARRIVAL) UTF-8 UID 2:3', '* SORT 2 3'],
  ['SORT RETURN (MIN MAX COUNT) (ARRIVAL) UTF-8 ALL', '* ESEARCH (TAG "a") MIN 2 MAX 1 COUNT 3'],
  ['SORT RETURN () (ARRIVAL) UTF-8 ALL', '* ESEARCH (TAG "a") ALL 2:3,1'],
  ['UID SORT RETURN (PARTIAL 2:9) (ARRIVAL) UTF-8 ALL', '* ESEARCH (TAG "a") UID PARTIAL (2:9 3,1)'],
  ['THREAD REFERENCES UTF-8 ALL', '* THREAD (3)(2 1)'],
  ['THREAD ORDEREDSUBJECT UTF-8 ALL', '* THREAD (3)(2 1)'],
  ['UID THREAD REFERENCES UTF-8 1', '* THREAD (1)'],
  ['THREAD REFERENCES UTF-8 FROM nobody', '* THREAD'],
])('%s', async ([command, answer]) => {
  const inbox = await session()
  const [first] = (await inbox.ask(`a ${command}`)).split('\r\n')
  expect(first).toBe(answer)
})

test.for([
  'SORT',
  'SORT ()',
  'SORT (ARRIVAL)',
  'SORT (ARRIVAL) UTF-8',
  'SORT (REVERSE) UTF-8 ALL',
  'SORT (REVERSE REVERSE DATE) UTF-8 ALL',
  'SORT (NOTHING) UTF-8 ALL',
  'SORT RETURN (ARRIVAL) UTF-8 ALL',
  'SORT RETURN (PARTIAL 1:2 ALL) (ARRIVAL) UTF-8 ALL',
  'THREAD',
  'THREAD REFERENCES',
  'THREAD REFERENCES UTF-8',
  'THREAD CONSTRUCTOR UTF-8 ALL',
])('%s is BAD', async (command) => {
  expect(await (await session()).ask(`a ${command}`)).toMatch(/^a BAD /)
})

test('a charset that is none is told', async () => {
  const inbox = await session()
  expect(await inbox.ask('a SORT (ARRIVAL) X-NONE ALL')).toMatch(/^a NO \[BADCHARSET \(US-ASCII UTF-8 /)
  expect(await inbox.ask('a THREAD REFERENCES X-NONE ALL')).toMatch(/^a NO \[BADCHARSET \(US-ASCII UTF-8 /)
})

test('ARRIVAL and SIZE open no message', async () => {
  const memory = store()
  const inbox = await selectedInbox({ store: memory })
  await inbox.ask('a SORT (REVERSE SIZE ARRIVAL) UTF-8 ALL')
  expect(memory.contentsOpened).toBe(0)
})

test('a message that is gone meanwhile is in no result', async () => {
  const memory = store()
  const inbox = await selectedInbox({ store: memory })
  memory
    .mailboxes(account)
    .get('INBOX')
    ?.messages.delete(2 as never)
  expect(await inbox.ask('a SORT (SUBJECT) UTF-8 ALL')).toBe('* SORT 3 1\r\na OK Sort completed\r\n')
})
