/* NOTIFY: RFC 5465. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { isOfSelected, parseNotify } from '../../src/wire/notify.ts'
import { Tokens } from '../../src/wire/tokens.ts'
import { inInbox, play, selectedInbox, signedIn, type DialogueSetup, type TestSession } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'
const text = 'Subject: hello\r\nFrom: bob@example.org\r\n\r\nbody\r\n'

/** INBOX with two messages, and mailboxes `Lists`, `Lists/One` and `Work` with one each. */
function mailboxes(): DialogueSetup & { readonly store: MemoryStore } {
  const store = new MemoryStore()
  for (const name of ['INBOX', 'INBOX', 'Lists', 'Lists/One', 'Work']) store.put(account, name, text)
  return { store }
}

/** What comes by itself after something happened elsewhere. */
async function pushed(session: TestSession, happens: () => unknown): Promise<string[]> {
  session.take()
  await happens()
  await session.rest()
  return session.take().split('\r\n').slice(0, -1)
}

interface Group {
  readonly of: string
  readonly events: string
}

interface Step {
  readonly does: 'put' | 'SUBSCRIBE' | 'UNSUBSCRIBE'
  readonly name: string
}

/** Another session of the same user, with INBOX selected. */
const another = (store: MemoryStore) => selectedInbox({ store })

test('whatever stands behind NOTIFY is read to its end or refused', () => {
  const words =
    '( ) SET NONE STATUS selected personal subtree mailboxes a "b" MessageNew MessageExpunge FlagChange MailboxName X UID BODY.PEEK[1]<0.9> & *'
  const pieces = fc.constantFrom(...words.split(' '), ' ', '"b c"', '{1}\r\nd', '\0')
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 24 }), (some) => {
      const tokens = new Tokens(` ${some.join('')}`, limits)
      const parsed = parseNotify(tokens)
      expect(parsed === 'syntax' || parsed === 'unknown-event' || tokens.isAtEnd).toBe(true)
      if (typeof parsed === 'string') return
      for (const { filter, events } of parsed.groups) {
        expect(events.has('MessageNew')).toBe(events.has('MessageExpunge'))
        expect(isOfSelected(filter) && (events.has('MailboxName') || events.has('SubscriptionChange'))).toBe(false)
      }
    }),
  )
})

describe('is refused:', () => {
  test.each([
    'NOTIFY',
    'NOTIFY SET',
    'NOTIFY NONE x',
    'NOTIFY SET STATUS',
    'NOTIFY SET (selected)',
    'NOTIFY SET (selected ())',
    'NOTIFY SET (elsewhere (MessageNew MessageExpunge))',
    'NOTIFY SET (subtree (MessageNew MessageExpunge))',
    'NOTIFY SET (mailboxes () (MessageNew MessageExpunge))',
    'NOTIFY SET (selected (MessageNew () MessageExpunge))',
    'NOTIFY SET (selected (MessageNew (X-ITEM) MessageExpunge))',
    'NOTIFY SET (selected (MessageNew MessageExpunge)) (selected-delayed (MessageNew MessageExpunge))',
    // Section 5: they go together.
    'NOTIFY SET (personal (MessageNew))',
    'NOTIFY SET (personal (MessageExpunge))',
    'NOTIFY SET (personal (FlagChange))',
    // Section 8: there is nothing to fetch from another mailbox.
    'NOTIFY SET (personal (MessageNew (UID) MessageExpunge))',
    // Section 6.1: of the selected mailbox messages only.
    'NOTIFY SET (selected (MailboxName))',
    'NOTIFY SET (selected (MessageNew MessageExpunge SubscriptionChange))',
  ])('%s', async (command) => {
    expect(await (await selectedInbox(mailboxes())).ask(`a ${command}`)).toMatch(/^a BAD /)
  })

  test.each(['AnnotationChange', 'MailboxMetadataChange', 'ServerMetadataChange', 'X-Event'])(
    'the event %s, with those that are told',
    async (event) => {
      const session = await selectedInbox(mailboxes())
      expect(await session.ask(`a NOTIFY SET (personal (MailboxName ${event}))`)).toBe(
        'a NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)] Not all of these events are told here\r\n',
      )
    },
  )

  test('where the store cannot watch', async () => {
    const { store } = mailboxes()
    store.can = []
    const session = await signedIn({ store })
    expect(await session.ask('a CAPABILITY')).not.toContain('NOTIFY')
    expect(await session.ask('b NOTIFY NONE')).toMatch(/^b BAD /)
  })

  test('when it is more than may be watched, and then nothing is', async () => {
    const { store } = mailboxes()
    const few = await signedIn({ store, limits: { maxNotifiedMailboxes: 3 } })
    expect(await few.ask('a CAPABILITY')).toContain(' NOTIFY ')
    const refusal = 'a NO [NOTIFICATIONOVERFLOW] Too many mailboxes to watch\r\n'
    expect(await few.ask('a NOTIFY SET (personal (MessageNew MessageExpunge))')).toBe(refusal)
    store.maxWatched = 2
    const session = await signedIn({ store })
    expect(await session.ask('a NOTIFY SET (personal (MessageNew MessageExpunge))')).toBe(refusal)
    expect([store.watched, store.listWatchers.size]).toEqual([0, 0])
    // What was asked for before stays.
    expect(await session.ask('b NOTIFY SET (mailboxes Work (MessageNew MessageExpunge))')).toMatch(/^b OK /)
    expect(await session.ask('a NOTIFY SET (personal (MessageNew MessageExpunge))')).toBe(refusal)
    expect(await pushed(session, () => store.put(account, 'Work', text))).toHaveLength(1)
  })
})

describe('the selected mailbox', () => {
  test('SELECTED tells at once, with the items that were asked for, and expunges too', async () => {
    const { store } = mailboxes()
    const [session, other] = [await selectedInbox({ store }), await another(store)]
    expect(
      await session.ask(
        'a NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (From)]) MessageExpunge FlagChange))',
      ),
    ).toBe('a OK Notify completed\r\n')
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual([
      '* 3 EXISTS',
      '* 3 RECENT',
      '* 3 FETCH (UID 3 BODY[HEADER.FIELDS (From)] {25}',
      'From: bob@example.org',
      '',
      ')',
    ])
    expect(await pushed(session, () => other.ask('b STORE 1 +FLAGS.SILENT \\Deleted'))).toEqual([
      '* 1 FETCH (UID 1 FLAGS (\\Deleted \\Recent))',
    ])
    expect(await pushed(session, () => other.ask('c EXPUNGE'))).toEqual(['* 1 EXPUNGE', '* 2 RECENT'])
  })

  test('SELECTED-DELAYED tells at once all but expunges, which wait for the end of a command', async () => {
    const { store } = mailboxes()
    const [session, other] = [await selectedInbox({ store }), await another(store)]
    await session.ask('a NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))')
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual(['* 3 EXISTS', '* 3 RECENT'])
    await pushed(session, () => other.ask('b STORE 1 +FLAGS.SILENT \\Deleted'))
    expect(await pushed(session, () => other.ask('c EXPUNGE'))).toEqual([])
    expect(await session.ask('d FETCH 2 UID')).toMatch(/^\* 2 FETCH \(UID 2\)\r\n/)
    expect(await session.ask('e NOOP')).toMatch(/^\* 1 EXPUNGE\r\n/)
  })

  test('is told nothing of, when it is not named; a NOOP is implied once, and own commands are answered', async () => {
    const { store } = mailboxes()
    const session = await selectedInbox({ store })
    store.put(account, 'INBOX', text)
    expect(await session.ask('a NOTIFY SET (mailboxes Work (MessageNew MessageExpunge))')).toBe(
      '* 3 EXISTS\r\n* 3 RECENT\r\na OK Notify completed\r\n',
    )
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual([])
    await play(
      session,
      `
      C: b NOOP
      S: b OK *
      C: c STORE 2 +FLAGS \\Deleted
      S: * 2 FETCH (FLAGS (\\Deleted \\Recent))
      S: c OK *
      C: d EXPUNGE
      S: * 2 EXPUNGE
      S: d OK *
      C: e NOTIFY SET (selected (MessageNew MessageExpunge))
      S: * 3 EXISTS
      S: * 3 RECENT
      S: e OK *
      `,
    )
  })

  test('flags that are not asked for are not told, and HIGHESTMODSEQ does not claim them', async () => {
    const { store } = mailboxes()
    const session = await signedIn({ store })
    await session.ask('x ENABLE QRESYNC')
    await session.ask('y SELECT INBOX')
    const other = await another(store)
    await session.ask('a NOTIFY SET (selected (MessageNew MessageExpunge))')
    expect(await pushed(session, () => other.ask('b STORE 2 +FLAGS.SILENT \\Flagged'))).toEqual([])
    await session.ask('c STORE 1 +FLAGS.SILENT \\Deleted')
    expect(await session.ask('d EXPUNGE')).toContain('d OK [HIGHESTMODSEQ 3] ')
  })

  test('what this client puts there itself is told by EXISTS alone', async () => {
    const session = await selectedInbox(mailboxes())
    await session.ask('a NOTIFY SET (selected (MessageNew (UID) MessageExpunge))')
    await play(
      session,
      `
      C: b APPEND INBOX {10+}
      C: a: b
      C:
      C: cd
      S: * 3 EXISTS
      S: * 3 RECENT
      S: b OK [APPENDUID 1001 3] *
      C: c COPY 1 INBOX
      S: * 4 EXISTS
      S: * 4 RECENT
      S: c OK [COPYUID 1001 1 4] *
      `,
    )
  })

  test('an item that sets \\Seen for FETCH changes nothing here', async () => {
    const { store } = mailboxes()
    const session = await selectedInbox({ store })
    await session.ask('a NOTIFY SET (selected (MessageNew (BODY[TEXT]<0.4>) MessageExpunge))')
    expect((await pushed(session, () => store.put(account, 'INBOX', text))).slice(2)).toEqual([
      '* 3 FETCH (BODY[TEXT]<0> {4}',
      'body)',
    ])
    expect(await session.ask('b FETCH 3 FLAGS')).toContain('FLAGS (\\Recent)')
  })

  test('is another one after SELECT', async () => {
    const { store } = mailboxes()
    const session = await selectedInbox({ store })
    await session.ask('a NOTIFY SET (selected (MessageNew MessageExpunge))')
    await session.ask('b SELECT Work')
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual([])
    expect(await pushed(session, () => store.put(account, 'Work', text))).toEqual(['* 2 EXISTS', '* 2 RECENT'])
    await session.ask('c CLOSE')
    expect(await pushed(session, () => store.put(account, 'Work', text))).toEqual([])
  })

  test('nothing is told in the middle of a command, and IDLE tells what was asked for', async () => {
    const { store } = mailboxes()
    const session = await selectedInbox({ store })
    await session.ask(
      'a NOTIFY SET (selected (MessageNew MessageExpunge)) (mailboxes Work (MessageNew MessageExpunge))',
    )
    await session.send('b APPEND Lists {10}\r\n')
    expect(await pushed(session, () => store.put(account, 'Work', text))).toEqual([])
    await session.send('a: b\r\n\r\ncd')
    expect(session.take()).toBe('')
    await session.send('\r\n')
    expect(session.take().split('\r\n')).toEqual([
      'b OK [APPENDUID 1002 2] Append completed',
      '* STATUS "Work" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 1004)',
      '',
    ])
    await session.ask('c IDLE')
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual(['* 3 EXISTS', '* 3 RECENT'])
    expect(await pushed(session, () => store.put(account, 'Work', text))).toEqual([
      '* STATUS "Work" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1004)',
    ])
    expect(await session.ask('DONE')).toBe('c OK Idle completed\r\n')
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual(['* 4 EXISTS', '* 4 RECENT'])
  })

  test('after NONE nothing is told of any mailbox', async () => {
    const { store } = mailboxes()
    const session = await selectedInbox({ store })
    await session.ask('a NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge))')
    expect(store.watched).toBe(4)
    expect(await session.ask('b NOTIFY NONE')).toBe('b OK Nothing is told\r\n')
    expect([store.watched, store.listWatchers.size]).toEqual([0, 0])
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual([])
    expect(await session.ask('c NOOP')).toBe('c OK Noop completed\r\n')
  })
})

describe('other mailboxes', () => {
  test(
    'STATUS tells of each before it is watched, of the selected one nothing',
    inInbox(
      mailboxes,
      `
      C: a NOTIFY SET STATUS (subtree Lists (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge FlagChange))
      S: * STATUS "Lists" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1002 UNSEEN 1 HIGHESTMODSEQ 2)
      S: * STATUS "Lists/One" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1003 UNSEEN 1 HIGHESTMODSEQ 2)
      S: * STATUS "Work" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1004 UNSEEN 1 HIGHESTMODSEQ 2)
      S: a OK Notify completed
      `,
    ),
  )

  test('every group that holds a mailbox adds its events (section 6)', async () => {
    const { store } = mailboxes()
    const session = await signedIn({ store })
    await session.ask('a NOTIFY SET (mailboxes Work (MessageNew MessageExpunge)) (personal (SubscriptionChange))')
    const other = await signedIn({ store })
    expect(await pushed(session, () => store.put(account, 'Work', text))).toEqual([
      '* STATUS "Work" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 1004)',
    ])
    expect(await pushed(session, () => other.ask('b SUBSCRIBE Work'))).toEqual([
      '* LIST (\\HasNoChildren \\Subscribed) "/" "Work"',
    ])
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual([])
  })

  test('one group more holds a mailbox: that is told, and the message that came in the same moment', async () => {
    const { store } = mailboxes()
    const session = await signedIn({ store })
    await session.ask('a NOTIFY SET (mailboxes Work (MessageNew MessageExpunge)) (subscribed (SubscriptionChange))')
    const other = await signedIn({ store })
    const both = async (): Promise<void> => {
      store.put(account, 'Work', text)
      await other.ask('b SUBSCRIBE Work')
    }
    expect(await pushed(session, both)).toEqual([
      '* LIST (\\HasNoChildren \\Subscribed) "/" "Work"',
      '* STATUS "Work" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 1004)',
    ])
    expect(await pushed(session, () => other.ask('c UNSUBSCRIBE Work'))).toEqual([
      '* LIST (\\HasNoChildren) "/" "Work"',
    ])
    expect(store.watched).toBe(1)
  })

  test('whatever groups there are, a client that wants new messages of a mailbox knows of all', async () => {
    const names = new Set(['A', 'B'])
    const name = fc.constantFrom(...names)
    const events = ['(MessageNew MessageExpunge)', '(MailboxName)', '(SubscriptionChange)', 'NONE'] as const
    const group: fc.Arbitrary<Group> = fc.record({
      of: fc.oneof(fc.constantFrom('personal', 'subscribed'), name),
      events: fc.constantFrom(...events),
    })
    const step: fc.Arbitrary<Step> = fc.record({ does: fc.constantFrom('put', 'SUBSCRIBE', 'UNSUBSCRIBE'), name })
    // What happens between two looks of the session.
    const moments = fc.array(fc.array(step, { minLength: 1, maxLength: 3, size: 'max' }), {
      maxLength: 30,
      size: 'max',
    })
    const watch = async (groups: readonly Group[], all: readonly Step[][]): Promise<void> => {
      const store = new MemoryStore()
      const counts = new Map(Array.from(names, (mailbox) => [mailbox, 1]))
      for (const mailbox of names) store.put(account, mailbox, text)
      const subscribed = new Set<string>()
      const session = await signedIn({ store })
      const other = await signedIn({ store })
      const filters = groups.map((of) => `(${names.has(of.of) ? `mailboxes ${of.of}` : of.of} ${of.events})`)
      expect(await session.ask(`a NOTIFY SET ${filters.join(' ')}`)).toMatch(/^a OK /)
      const told = new Map(counts)
      for (const moment of all) {
        const responses = await pushed(session, async () => {
          for (const { does, name: mailbox } of moment) {
            if (does === 'put') {
              store.put(account, mailbox, text)
              counts.set(mailbox, (counts.get(mailbox) ?? 0) + 1)
              continue
            }
            await other.ask(`b ${does} ${mailbox}`)
            if (does === 'SUBSCRIBE') subscribed.add(mailbox)
            else subscribed.delete(mailbox)
          }
        })
        for (const response of responses) {
          const [, mailbox, messages] = /^\* STATUS "(.)" \(MESSAGES (\d+)/.exec(response) ?? []
          if (mailbox !== undefined) told.set(mailbox, Number(messages))
        }
        for (const mailbox of names) {
          const holding = groups.filter(
            ({ of }) => of === 'personal' || of === mailbox || (of === 'subscribed' && subscribed.has(mailbox)),
          )
          const wanted = new Set(holding.map((of) => of.events))
          if (!wanted.has(events[0]) || wanted.has('NONE')) continue
          expect([mailbox, told.get(mailbox)]).toEqual([mailbox, counts.get(mailbox)])
        }
      }
    }
    // Subscribed again, with a message that came in the moment in which it was not any more.
    const again: readonly Step[][] = [
      [{ does: 'SUBSCRIBE', name: 'A' }],
      [
        { does: 'put', name: 'A' },
        { does: 'UNSUBSCRIBE', name: 'A' },
      ],
      [{ does: 'SUBSCRIBE', name: 'A' }],
    ]
    const examples: [Group[], Step[][]][] = [
      [
        [
          { of: 'subscribed', events: '(MessageNew MessageExpunge)' },
          { of: 'personal', events: '(MailboxName)' },
        ],
        [...again],
      ],
    ]
    const groups = fc.array(group, { minLength: 2, maxLength: 3 })
    await fc.assert(fc.asyncProperty(groups, moments, watch), { numRuns: 60, examples })
  })

  test.for([
    '(mailboxes (Work missing &!) NONE) (subtree Lists (MessageNew MessageExpunge)) (personal (MailboxName))',
    '(personal (MailboxName)) (subtree Lists (MessageNew MessageExpunge)) (mailboxes (Work missing &!) NONE)',
  ])('NONE keeps a mailbox out, wherever it stands: %s', async (groups) => {
    const { store } = mailboxes()
    const session = await signedIn({ store })
    await session.ask(`a NOTIFY SET ${groups}`)
    expect(store.watched).toBe(2)
    expect(await pushed(session, () => store.put(account, 'Work', text))).toEqual([])
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual([])
    expect(await pushed(session, () => store.put(account, 'Lists/One', text))).toEqual([
      '* STATUS "Lists/One" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 1003)',
    ])
  })

  test('flags are told by HIGHESTMODSEQ to who asked for them, expunges by the count', async () => {
    const { store } = mailboxes()
    const session = await signedIn({ store })
    await session.ask('a NOTIFY SET (mailboxes INBOX (MessageNew MessageExpunge FlagChange))')
    const without = await signedIn({ store })
    await without.ask('a NOTIFY SET (mailboxes inbox (MessageNew MessageExpunge))')
    const other = await another(store)
    expect(await pushed(session, () => other.ask('b STORE 1 +FLAGS.SILENT (\\Deleted \\Seen)'))).toEqual([
      '* STATUS "INBOX" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 1001 UNSEEN 1 HIGHESTMODSEQ 4)',
    ])
    expect(await pushed(without, () => undefined)).toEqual([])
    expect(await pushed(session, () => other.ask('c EXPUNGE'))).toEqual([
      '* STATUS "INBOX" (MESSAGES 1 UIDNEXT 3 UIDVALIDITY 1001 UNSEEN 1 HIGHESTMODSEQ 5)',
    ])
    expect(await pushed(without, () => undefined)).toEqual(['* STATUS "INBOX" (MESSAGES 1 UIDNEXT 3 UIDVALIDITY 1001)'])
  })

  test('what changed in a mailbox while it was selected is told when it is left', async () => {
    const { store } = mailboxes()
    const session = await selectedInbox({ store })
    await session.ask('a NOTIFY SET (personal (MessageNew MessageExpunge))')
    expect(await pushed(session, () => store.put(account, 'INBOX', text))).toEqual([])
    expect(await session.ask('b UNSELECT')).toBe(
      'b OK Mailbox closed\r\n* STATUS "INBOX" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1001)\r\n',
    )
  })

  test('however many groups and names there are, others have their turn between two mailboxes', async () => {
    const { store } = mailboxes()
    for (let number = 0; number < 60; number += 1) store.put(account, `Many/${number}`, text)
    const session = await signedIn({ store, limits: { piecesPerTurn: 4 } })
    const groups = Array.from({ length: 900 }, (_, number) => `(subtree (X${number} Y${number}) NONE)`).join(' ')
    let turns = 0
    const others = setInterval(() => void (turns += 1), 0)
    expect(await session.ask(`a NOTIFY SET ${groups} (personal (MailboxName))`)).toMatch(/^a OK /)
    clearInterval(others)
    expect(turns).toBeGreaterThan(0)
  })

  test('names: created, renamed, deleted and subscribed by others are told, by this client are not', async () => {
    const { store } = mailboxes()
    const session = await signedIn({ store })
    await session.ask('a NOTIFY SET (personal (MailboxName SubscriptionChange MessageNew MessageExpunge))')
    const other = await signedIn({ store })
    expect(await pushed(session, () => other.ask('b CREATE New'))).toEqual(['* LIST (\\HasNoChildren) "/" "New"'])
    expect(await pushed(session, () => other.ask('c SUBSCRIBE New'))).toEqual([
      '* LIST (\\HasNoChildren \\Subscribed) "/" "New"',
    ])
    // The old name stays subscribed, and in the list.
    expect(await pushed(session, () => other.ask('d RENAME New Next'))).toEqual([
      '* LIST (\\HasNoChildren) "/" "Next" ("OLDNAME" ("New"))',
    ])
    expect(await pushed(session, () => other.ask('d UNSUBSCRIBE New'))).toEqual(['* LIST (\\NonExistent) "/" "New"'])
    expect(await pushed(session, () => other.ask('e RENAME Next "New one"'))).toEqual([
      '* LIST (\\HasNoChildren) "/" "New one" ("OLDNAME" ("Next"))',
    ])
    // It is watched from the moment that it is there.
    expect(await pushed(session, () => store.put(account, 'New one', text))).toEqual([
      '* STATUS "New one" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1005)',
    ])
    expect(await pushed(session, () => other.ask('f DELETE "New one"'))).toEqual([
      '* LIST (\\NonExistent) "/" "New one"',
    ])
    expect(await pushed(session, () => other.ask('g CREATE Work/Child'))).toEqual([
      '* LIST (\\HasNoChildren) "/" "Work/Child"',
      '* LIST (\\HasChildren) "/" "Work"',
    ])
    for (const command of ['CREATE Mine', 'SUBSCRIBE Mine', 'RENAME Mine Yours', 'DELETE Yours']) {
      expect(await session.ask(`h ${command}`)).toMatch(/^h OK [^\r]*\r\n$/)
    }
    expect(store.watched).toBe(5)
  })

  test('SUBSCRIBED follows what is subscribed', async () => {
    const { store } = mailboxes()
    const session = await signedIn({ store })
    await session.ask('a NOTIFY SET (subscribed (SubscriptionChange MessageNew MessageExpunge))')
    const other = await signedIn({ store })
    expect(await pushed(session, () => store.put(account, 'Work', text))).toEqual([])
    expect(await pushed(session, () => other.ask('b SUBSCRIBE Work'))).toEqual([
      '* LIST (\\HasNoChildren \\Subscribed) "/" "Work"',
      '* STATUS "Work" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 1004)',
    ])
    expect(await pushed(session, () => store.put(account, 'Work', text))).toHaveLength(1)
    expect(await pushed(session, () => other.ask('c UNSUBSCRIBE Work'))).toEqual([
      '* LIST (\\HasNoChildren) "/" "Work"',
    ])
    expect(store.watched).toBe(0)
  })

  test('more mailboxes than may be watched end all notifications, and the client hears of that', async () => {
    const { store } = mailboxes()
    const session = await signedIn({ store, limits: { maxNotifiedMailboxes: 4 } })
    await session.ask('a NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))')
    const other = await signedIn({ store })
    const overflow = '* OK [NOTIFICATIONOVERFLOW] Too many mailboxes to watch'
    expect(await pushed(session, () => other.ask('b CREATE New'))).toEqual([overflow])
    expect([store.watched, store.listWatchers.size]).toEqual([0, 0])
    await other.ask('c DELETE New')
    await session.ask('d NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))')
    expect(await session.ask('e CREATE New')).toBe(`e OK [MAILBOXID (F1006)] Mailbox created\r\n${overflow}\r\n`)
  })

  test.each([
    ['LOGOUT', (session: TestSession) => session.ask('z LOGOUT')],
    ['UNAUTHENTICATE', (session: TestSession) => session.ask('z UNAUTHENTICATE')],
    ['a lost connection', (session: TestSession) => session.machine.ended('connection-lost')],
  ])('are let go of at the end: %s', async (_, end) => {
    const { store } = mailboxes()
    const session = await selectedInbox({ store })
    await session.ask('a NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge))')
    await end(session)
    expect([store.watched, store.listWatchers.size]).toEqual([0, 0])
    expect(store.mailboxes(account).get('INBOX')?.watchers.size).toBe(0)
  })
})
