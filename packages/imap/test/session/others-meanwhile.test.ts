// Nobody waits for what another asked for: counted in commands that are answered meanwhile, whatever the machine does.
import { expect, test } from 'vitest'
import type { ImapLimits } from '../../src/index.ts'
import { selectedInbox, signedIn } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

const account = 'ann@example.org'
const count = 120

function mailbox(text: (at: number) => string): MemoryStore {
  const store = new MemoryStore()
  for (let at = 0; at < count; at += 1) store.put(account, 'INBOX', text(at))
  return store
}

const answers = mailbox(
  (at) => `Subject: s${at % 50}\r\nMessage-ID: <${at}@x>\r\nReferences: <${at >> 2}@x> <${at - 1}@x>\r\n\r\nsoup\r\n`,
)

/** How often another session is answered while one has a command done. */
async function answeredDuring(store: MemoryStore, command: string, limits: Partial<ImapLimits> = {}): Promise<number> {
  const busy = await selectedInbox({ store, limits })
  // In no mailbox, so that all it waits for is its turn.
  const other = await signedIn({ store })
  const done = { is: false }
  const answer = busy.ask(`a ${command}`).finally(() => (done.is = true))
  let answered = 0
  while (!done.is) {
    await other.ask('n NOOP')
    answered += 1
  }
  expect(await answer).toMatch(/^a OK /m)
  return answered
}

/** Each of its messages is a piece of work, and others have a turn after so many. A NOOP takes some turns here. */
const turns = count / 2

test.for([
  'SEARCH TEXT nowhere',
  'SEARCH SUBJECT nowhere',
  'UID SEARCH NOT BODY soup',
  'SORT (REVERSE SUBJECT FROM) UTF-8 ALL',
  'THREAD REFERENCES UTF-8 ALL',
  'THREAD ORDEREDSUBJECT UTF-8 ALL',
  'FETCH 1:* (FLAGS UID)',
  'FETCH 1:* (ENVELOPE BODYSTRUCTURE)',
])('a NOOP of another session comes between the messages of %s', async (command) => {
  expect(await answeredDuring(answers, command, { piecesPerTurn: 2 })).toBeGreaterThan(turns / 8)
})

test.for(['SORT (SUBJECT) UTF-8 ALL', 'THREAD REFERENCES UTF-8 ALL', 'THREAD ORDEREDSUBJECT UTF-8 ALL'])(
  'and while their order is found: %s',
  async (command) => {
    const atOnce = { piecesPerTurn: 1_000_000, stepsPerTurn: 100_000_000 }
    const before = await answeredDuring(answers, command, atOnce)
    expect(await answeredDuring(answers, command, { ...atOnce, stepsPerTurn: 32 })).toBeGreaterThan(before + 2)
  },
)

test('and between the chunks of one large message', async () => {
  const store = new MemoryStore()
  store.put(account, 'INBOX', `Subject: large\r\n\r\n${'a line of it\r\n'.repeat(20_000)}`)
  for (const command of ['SEARCH BODY nowhere', 'FETCH 1 (BODYSTRUCTURE)', 'FETCH 1 (BINARY.SIZE[1])']) {
    expect(await answeredDuring(store, command, { readChunkBytes: 2_048 })).toBeGreaterThan(10)
  }
})

test('a client that leaves while its threads are found has them found no further', async () => {
  const busy = await selectedInbox({ store: answers, limits: { stepsPerTurn: 16 } })
  const answer = busy.ask('a THREAD REFERENCES UTF-8 ALL')
  const other = await signedIn({ store: answers })
  await other.ask('n NOOP')
  await busy.machine.ended('connection-lost')
  await expect(answer).rejects.toThrow('the client left')
})
