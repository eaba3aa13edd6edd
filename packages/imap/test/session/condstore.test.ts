/* CONDSTORE and QRESYNC: RFC 7162. The store counts: the first message of a mailbox has modification sequence 2. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { parseSelectParameters } from '../../src/wire/modseq.ts'
import { encodeRanges, NumberRanges, parseSequenceSet } from '../../src/wire/sequence-set.ts'
import { Tokens } from '../../src/wire/tokens.ts'
import { dialogue, inInbox, play, selectedInbox, signedIn, type DialogueSetup } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'

/** UIDs 1 to 4 with modification sequences 2 to 5. */
function four(): DialogueSetup & { readonly store: MemoryStore } {
  const store = new MemoryStore()
  for (const [subject, flags] of [
    ['one', ['\\Seen']],
    ['two', []],
    ['three', ['\\Flagged']],
    ['four', []],
  ] as const) {
    store.put(account, 'INBOX', `Subject: ${subject}\r\n\r\ntext\r\n`, flags)
  }
  store.mailboxes(account).set('Other', store.newMailbox())
  return { store }
}

const inboxOf = (store: MemoryStore) => {
  const inbox = store.mailboxes(account).get('INBOX')
  if (inbox === undefined) throw new Error('no INBOX')
  return inbox
}

/** Of a store that keeps none. */
function without(): DialogueSetup {
  const { store } = four()
  store.can = []
  return { store }
}

/** A second session that has INBOX open too. */
async function another(store: MemoryStore) {
  return await selectedInbox({ store })
}

describe('CONDSTORE is switched on by', () => {
  test.each([
    ['ENABLE', 'ENABLE CONDSTORE', '* OK [HIGHESTMODSEQ 5] Highest modification sequence\r\n* ENABLED CONDSTORE\r\n'],
    [
      'STATUS',
      'STATUS Other (HIGHESTMODSEQ)',
      '* OK [HIGHESTMODSEQ 5] Highest modification sequence\r\n* STATUS "Other" (HIGHESTMODSEQ 1)\r\n',
    ],
    [
      'LIST with STATUS',
      'LIST "" Other RETURN (STATUS (HIGHESTMODSEQ))',
      '* LIST (\\HasNoChildren) "/" "Other"\r\n* OK [HIGHESTMODSEQ 5] Highest modification sequence\r\n* STATUS "Other" (HIGHESTMODSEQ 1)\r\n',
    ],
    [
      'FETCH MODSEQ',
      'FETCH 1 MODSEQ',
      '* OK [HIGHESTMODSEQ 5] Highest modification sequence\r\n* 1 FETCH (MODSEQ (2))\r\n',
    ],
    [
      'FETCH CHANGEDSINCE',
      'FETCH 1:* UID (CHANGEDSINCE 4)',
      '* OK [HIGHESTMODSEQ 5] Highest modification sequence\r\n* 4 FETCH (UID 4 MODSEQ (5))\r\n',
    ],
    [
      'SEARCH MODSEQ',
      'SEARCH MODSEQ 4',
      '* OK [HIGHESTMODSEQ 5] Highest modification sequence\r\n* SEARCH 3 4 (MODSEQ 5)\r\n',
    ],
    [
      'STORE UNCHANGEDSINCE',
      'STORE 1 (UNCHANGEDSINCE 2) FLAGS ()',
      '* OK [HIGHESTMODSEQ 5] Highest modification sequence\r\n* 1 FETCH (UID 1 FLAGS (\\Recent) MODSEQ (6))\r\n',
    ],
  ])('%s, and from then on changes come with their modification sequence', async (_, command, answer) => {
    const { store } = four()
    const session = await selectedInbox({ store })
    const other = await another(store)
    expect((await session.ask(`a ${command}`)).replace(/a OK .*\r\n$/, '')).toBe(answer)
    await other.ask('b STORE 2 +FLAGS \\Answered')
    expect(await session.ask('c NOOP')).toMatch(
      /^\* 2 FETCH \(UID 2 FLAGS \(\\Answered \\Recent\) MODSEQ \(\d+\)\)\r\n/,
    )
    // Told once.
    expect(await session.ask('d ENABLE CONDSTORE')).toBe('* ENABLED CONDSTORE\r\nd OK Enable completed\r\n')
  })

  test(
    'SELECT with CONDSTORE; the next one says that the mailbox before is closed',
    dialogue(
      { ...four(), security: 'tls' },
      `
    S: * OK *
    C: a LOGIN ann secret
    S: a OK *
    C: b SELECT INBOX (CONDSTORE)
    S: * FLAGS *
    S: * 4 EXISTS
    S: * 4 RECENT
    S: * OK [UNSEEN 2] *
    S: * OK [UIDVALIDITY 1001] *
    S: * OK [UIDNEXT 5] *
    S: * OK [PERMANENTFLAGS *
    S: * OK [HIGHESTMODSEQ 5] Highest modification sequence
    S: * OK [MAILBOXID *
    S: b OK [READ-WRITE] Mailbox opened
    C: c STORE 1 +FLAGS.SILENT \\Deleted
    S: * 1 FETCH (UID 1 MODSEQ (6))
    S: c OK Store completed
    C: d EXAMINE Other
    S: * OK [CLOSED] Mailbox closed
    S: * FLAGS *
    S: * 0 EXISTS
    S: * 0 RECENT
    S: * OK [UIDVALIDITY 1002] *
    S: * OK [UIDNEXT 1] *
    S: * OK [PERMANENTFLAGS ()] *
    S: * OK [HIGHESTMODSEQ 1] *
    S: * OK [MAILBOXID *
    S: d OK [READ-ONLY] Mailbox opened
    C: e SELECT missing
    S: * OK [CLOSED] Mailbox closed
    S: e NO [NONEXISTENT] *
    C: f SELECT INBOX (QRESYNC (1001 5))
    S: f BAD QRESYNC is not enabled
    C: g SELECT INBOX (CONDSTORE CONDSTORE)
    S: g BAD *
    C: h SELECT INBOX ()
    S: h BAD *
    C: i SELECT INBOX (X-UNKNOWN)
    S: i BAD *
  `,
    ),
  )

  test('nothing, where the store keeps no modification sequences', async () => {
    const session = await signedIn(without())
    expect(await session.ask('a CAPABILITY')).not.toMatch(/CONDSTORE|QRESYNC/)
    await session.ask('b SELECT INBOX')
    await play(
      session,
      `
      C: c ENABLE CONDSTORE QRESYNC
      S: * ENABLED
      S: c OK *
      C: d FETCH 1 MODSEQ
      S: d BAD *
      C: e FETCH 1 FLAGS (CHANGEDSINCE 1)
      S: e BAD *
      C: f STORE 1 (UNCHANGEDSINCE 9) FLAGS ()
      S: f BAD *
      C: g SELECT INBOX (CONDSTORE)
      S: g BAD *
      `,
    )
  })
})

test('the capabilities are offered after login', async () => {
  const session = await signedIn(four())
  expect(await session.ask('a CAPABILITY')).toMatch(/ CONDSTORE QRESYNC /)
})

describe('STORE UNCHANGEDSINCE', () => {
  test(
    'changes what was not changed since, and names the rest',
    inInbox(
      four,
      `
      C: a STORE 1:4 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Deleted)
      S: * OK [HIGHESTMODSEQ 5] *
      S: * 1 FETCH (UID 1 MODSEQ (6))
      S: * 2 FETCH (UID 2 MODSEQ (6))
      S: a OK [MODIFIED 3:4] Conditional STORE failed for some
      C: b UID STORE 1,4 (UNCHANGEDSINCE 5) FLAGS (\\Seen)
      S: * 4 FETCH (UID 4 FLAGS (\\Seen \\Recent) MODSEQ (7))
      S: b OK [MODIFIED 1] *
      C: c STORE 1 (UNCHANGEDSINCE 0) FLAGS ()
      S: c OK [MODIFIED 1] *
      C: d STORE 1 (UNCHANGEDSINCE 6) +FLAGS \\Deleted
      S: * 1 FETCH (UID 1 FLAGS (\\Deleted \\Seen \\Recent) MODSEQ (6))
      S: d OK Store completed
      `,
    ),
  )

  test('of a message that is gone is NO, with what was kept', async () => {
    const { store } = four()
    const session = await selectedInbox({ store })
    inboxOf(store).remove([2 as never])
    await play(
      session,
      `
      C: a STORE 1:3 (UNCHANGEDSINCE 2) +FLAGS \\Answered
      S: * OK [HIGHESTMODSEQ 5] *
      S: * 1 FETCH (UID 1 FLAGS (\\Answered \\Seen \\Recent) MODSEQ (7))
      S: a NO [MODIFIED 3] Some of the messages are gone
      `,
    )
  })

  test.each([
    'STORE 1 (UNCHANGEDSINCE) FLAGS ()',
    'STORE 1 (UNCHANGEDSINCE x) FLAGS ()',
    'STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()',
    'STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 1) FLAGS ()',
    'STORE 1 () FLAGS ()',
    'STORE 1 (CHANGEDSINCE 1) FLAGS ()',
    'FETCH 1 FLAGS (CHANGEDSINCE)',
    'FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)',
    'FETCH 1 FLAGS (CHANGEDSINCE 99999999999999999999)',
    'FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)',
    'UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)',
    'UID FETCH 1:* FLAGS (VANISHED)',
    'SEARCH MODSEQ',
    'SEARCH MODSEQ "/flags/\\\\draft" some 1',
    'SEARCH MODSEQ "/other/x" all 1',
    'SEARCH MODSEQ -1',
  ])('malformed is BAD: %s', async (command) => {
    const session = await selectedInbox(four())
    expect(await session.ask(`a ${command}`)).toMatch(/^a BAD /m)
  })

  test('tells what others changed before it', async () => {
    const { store } = four()
    const [session, other] = [await selectedInbox({ store }), await another(store)]
    await session.ask('a ENABLE CONDSTORE')
    await other.ask('b STORE 3 FLAGS ()')
    await play(
      session,
      `
      C: c STORE 1 FLAGS ()
      S: * 1 FETCH (UID 1 FLAGS (\\Recent) MODSEQ (7))
      S: * 3 FETCH (UID 3 FLAGS (\\Recent) MODSEQ (6))
      S: c OK Store completed
      `,
    )
  })
})

test(
  'FETCH and SEARCH by modification sequence',
  inInbox(
    four,
    `
    C: a FETCH 1:* (FLAGS MODSEQ) (CHANGEDSINCE 3)
    S: * OK [HIGHESTMODSEQ 5] *
    S: * 3 FETCH (FLAGS (\\Flagged \\Recent) MODSEQ (4))
    S: * 4 FETCH (FLAGS (\\Recent) MODSEQ (5))
    S: a OK *
    C: b UID FETCH 1:* FLAGS (CHANGEDSINCE 5)
    S: b OK *
    C: c FETCH 2 (BODY[TEXT]<0.4>)
    S: * 2 FETCH (UID 2 FLAGS (\\Seen \\Recent) MODSEQ (6) BODY[TEXT]<0> {4}
    S: text)
    S: c OK *
    C: d SEARCH MODSEQ "/flags/\\\\draft" all 4
    S: * SEARCH 2 3 4 (MODSEQ 6)
    S: d OK *
    C: e UID SEARCH NOT MODSEQ 4
    S: * SEARCH 1 (MODSEQ 2)
    S: e OK *
    C: f SEARCH MODSEQ 99
    S: * SEARCH
    S: f OK *
    C: g SEARCH RETURN (MIN) MODSEQ 3
    S: * ESEARCH (TAG "g") MIN 2 MODSEQ 6
    S: g OK *
    C: h SEARCH RETURN (MAX) MODSEQ 3
    S: * ESEARCH (TAG "h") MAX 4 MODSEQ 5
    S: h OK *
    C: i SEARCH RETURN (MIN MAX) MODSEQ 3
    S: * ESEARCH (TAG "i") MIN 2 MAX 4 MODSEQ 6
    S: i OK *
    C: j SEARCH RETURN (ALL) MODSEQ 4 FLAGGED
    S: * ESEARCH (TAG "j") ALL 3 MODSEQ 4
    S: j OK *
    C: k SEARCH RETURN (COUNT) MODSEQ 99
    S: * ESEARCH (TAG "k") COUNT 0
    S: k OK *
    C: l SORT (REVERSE ARRIVAL) UTF-8 MODSEQ 5
    S: * SORT 2 4 (MODSEQ 6)
    S: l OK *
    C: m THREAD ORDEREDSUBJECT UTF-8 MODSEQ 5
    S: * THREAD (2)(4)
    S: m OK Thread completed
    `,
  ),
)

async function enabled(store: MemoryStore) {
  const session = await signedIn({ store })
  await session.ask('x ENABLE QRESYNC')
  return session
}

describe('QRESYNC', () => {
  test('expunges are told as VANISHED, with how far the client knows all', async () => {
    const { store } = four()
    const session = await enabled(store)
    await session.ask('y SELECT INBOX')
    await play(
      session,
      `
      C: a STORE 1:2,4 +FLAGS.SILENT \\Deleted
      S: * 1 FETCH (UID 1 MODSEQ (6))
      S: * 2 FETCH (UID 2 MODSEQ (6))
      S: * 4 FETCH (UID 4 MODSEQ (6))
      S: a OK *
      C: b UID EXPUNGE 4
      S: * VANISHED 4
      S: b OK [HIGHESTMODSEQ 7] Expunge completed
      C: c EXPUNGE
      S: * VANISHED 1:2
      S: c OK [HIGHESTMODSEQ 8] Expunge completed
      C: d EXPUNGE
      S: d OK Expunge completed
      C: e FETCH 1 BODY[TEXT]<0.4>
      S: * 1 FETCH (UID 3 FLAGS (\\Flagged \\Seen \\Recent) MODSEQ (9) BODY[TEXT]<0> {4}
      S: text)
      S: e OK *
      C: f MOVE 1 Other
      S: * OK [COPYUID 1002 3 1] *
      S: * VANISHED 3
      S: f OK [HIGHESTMODSEQ 10] Move completed
      `,
    )
  })

  // RFC 7162 section 3.2.8: nothing is told of what CLOSE removes, so no number may say that the client knows all.
  test('CLOSE tells no HIGHESTMODSEQ', async () => {
    const { store } = four()
    const session = await enabled(store)
    await session.ask('y SELECT INBOX')
    await session.ask('a STORE 2 +FLAGS.SILENT \\Deleted')
    expect(await session.ask('b CLOSE')).toBe('b OK Mailbox closed\r\n')
    expect(inboxOf(store).messages.size).toBe(3)
  })

  test('an expunge that may not be told yet holds back how far the client knows all', async () => {
    const { store } = four()
    const [session, other] = [await enabled(store), await another(store)]
    await session.ask('y SELECT INBOX')
    await other.ask('z STORE 1 +FLAGS.SILENT \\Deleted')
    await session.ask('y NOOP')
    await other.ask('z EXPUNGE')
    await play(
      session,
      `
      C: a STORE 2 +FLAGS \\Answered
      S: * 2 FETCH (UID 2 FLAGS (\\Answered) MODSEQ (8))
      S: * OK [HIGHESTMODSEQ 6] *
      S: a OK Store completed
      C: b NOOP
      S: * VANISHED 1
      S: b OK *
      `,
    )
  })

  test('SELECT tells a client that was away what it missed', async () => {
    const { store } = four()
    const other = await another(store)
    await other.ask('a STORE 2:3 +FLAGS.SILENT \\Deleted')
    await other.ask('b EXPUNGE')
    await other.ask('c STORE 1 +FLAGS.SILENT \\Answered')
    const session = await enabled(store)
    await play(
      session,
      `
      C: a SELECT INBOX (QRESYNC (1001 5))
      S: * FLAGS *
      S: * 2 EXISTS
      S: * 0 RECENT
      S: * OK [UNSEEN 2] *
      S: * OK [UIDVALIDITY 1001] *
      S: * OK [UIDNEXT 5] *
      S: * OK [PERMANENTFLAGS *
      S: * OK [HIGHESTMODSEQ 8] *
      S: * OK [MAILBOXID *
      S: * VANISHED (EARLIER) 2:3
      S: * 1 FETCH (UID 1 FLAGS (\\Answered \\Seen) MODSEQ (8))
      S: a OK [READ-WRITE] Mailbox opened
      C: b UID FETCH 1:* FLAGS (CHANGEDSINCE 7 VANISHED)
      S: * 1 FETCH (UID 1 FLAGS (\\Answered \\Seen) MODSEQ (8))
      S: b OK *
      C: c UID FETCH 3:* FLAGS (VANISHED CHANGEDSINCE 3)
      S: * VANISHED (EARLIER) 3
      S: * 2 FETCH (UID 4 FLAGS () MODSEQ (5))
      S: c OK *
      C: d UID SEARCH RETURN (SAVE) UID 4
      S: d OK *
      C: e UID FETCH $ FLAGS (CHANGEDSINCE 1 VANISHED)
      S: * 2 FETCH (UID 4 FLAGS () MODSEQ (5))
      S: e OK *
      `,
    )
    const only = async (parameter: string) =>
      (await (await enabled(store)).ask(`a EXAMINE INBOX (QRESYNC (${parameter}))`))
        .split('\r\n')
        .filter((line) => /VANISHED|FETCH|BAD/.test(line))
    expect(await only('1001 5 1:2')).toEqual([
      '* VANISHED (EARLIER) 2',
      '* 1 FETCH (UID 1 FLAGS (\\Answered \\Seen) MODSEQ (8))',
    ])
    expect(await only('1001 8')).toEqual([])
    // Another UIDVALIDITY: the client has nothing that is worth anything.
    expect(await only('1000 5')).toEqual([])
    // A number that was never given: nothing is sure.
    expect(await only('1001 1000000')).toHaveLength(3)
    for (const malformed of [
      '1001',
      '0 5',
      '1001 5 *',
      '1001 5 1:*',
      '1001 5 1:2 (1)',
      '1001 5 (1 2',
      '1001 x',
      '1001 5 1:2 3',
    ]) {
      expect(await only(malformed)).toEqual([expect.stringMatching(/^a BAD/)])
    }
  })

  test('of what the store does not remember, every missing UID is told, less what the client can know', async () => {
    const { store } = four()
    for (let count = 0; count < 6; count++) store.put(account, 'INBOX', 'a: b\r\n\r\n')
    inboxOf(store).remove([2, 3, 7, 10] as never)
    store.forgetsExpunged = true
    const vanished = async (parameter: string) =>
      /VANISHED \(EARLIER\) (\S+)/.exec(
        await (await enabled(store)).ask(`a EXAMINE INBOX (QRESYNC (${parameter}))`),
      )?.[1]
    expect(await vanished('1001 2')).toBe('2:3,7,10')
    expect(await vanished('1001 2 1:7')).toBe('2:3,7')
    // Messages 1 to 4 are UIDs 1, 4, 5, 6, as the client believes: up to there it has missed nothing.
    expect(await vanished('1001 2 1:10 (1,4 1,6)')).toBe('7,10')
    expect(await vanished('1001 2 1:10 (1,4 1,7)')).toBe('2:3,7,10')
    expect(await vanished('1001 2 (1:4294967295 1:4294967295)')).toBe('2:3,7,10')
  })
})

const parameters = (text: string) => parseSelectParameters(new Tokens(text, limits))

describe('parameters and sets', () => {
  test('no input throws', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[ ()QRESYNCDTO0-9:,*"]{0,40}$/), (text) => {
        for (const tried of [text, ` (QRESYNC (${text}`])
          expect([undefined, true, false]).toContain(parameters(tried)?.condstore)
      }),
    )
  })

  test('what is in both sets is what is in both sets', () => {
    const set = fc
      .array(fc.tuple(fc.nat(30), fc.nat(6)), { maxLength: 6 })
      .map((pairs) => pairs.map(([first, width]) => ({ first: first + 1, last: first + 1 + width })))
    fc.assert(
      fc.property(set, set, (one, other) => {
        const [a, b] = [NumberRanges.of(one), NumberRanges.of(other)]
        const both = encodeRanges(a.and(b))
        const ranges = both === '' ? NumberRanges.of([]) : new NumberRanges(parseSequenceSet(both, 100) ?? [], 100)
        for (let number = 1; number <= 40; number++) expect(ranges.has(number)).toBe(a.has(number) && b.has(number))
      }),
    )
  })
})
