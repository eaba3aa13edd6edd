import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { selectedInbox, signedIn, TestSession } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

/** A store that answers when the test says so, and counts what is open. */
class SlowStore extends MemoryStore {
  open = 0
  release: () => void = () => {}
  #gate: Promise<void> = Promise.resolve()

  /** From now on nothing is opened before `release`. */
  hold(): void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#gate = promise
    this.release = resolve
  }

  override async openAccount(name: string): ReturnType<MemoryStore['openAccount']> {
    await this.#gate
    const account = await super.openAccount(name)
    this.open += 1
    const list = account.list.bind(account)
    account.list = async () => {
      await this.#gate
      return list()
    }
    const open = account.open.bind(account)
    account.open = async (mailbox, mode) => {
      await this.#gate
      const opened = await open(mailbox, mode)
      this.open += 1
      if (opened.ok) opened.value.close = async () => void (this.open -= 1)
      return opened
    }
    account.close = async () => void (this.open -= 1)
    return account
  }
}

test('an account that is opened after the connection was lost is closed at once', async () => {
  const store = new SlowStore()
  store.hold()
  const session = new TestSession({ security: 'tls', store })
  await session.start()
  const login = session.send('a LOGIN ann secret\r\n')
  await session.machine.ended('connection-lost')
  store.release()
  await expect(login).rejects.toThrow('the client left')
  expect(store.open).toBe(0)
})

test('a session that ends lets go of its mailbox and its account', async () => {
  const store = new SlowStore()
  const session = await signedIn({ store })
  await session.ask('a SELECT INBOX')
  expect(store.open).toBe(2)
  await session.ask('b LOGOUT')
  expect(store.open).toBe(0)
})

test.for([
  ['it was opened, which is closed at once', []],
  ['its attributes were looked up, which is not opened then', ['a ENABLE IMAP4rev2']],
] as const)('SELECT leaves no mailbox open when the connection was lost while %s', async ([, before]) => {
  const store = new SlowStore()
  const session = await signedIn({ store })
  for (const command of before) await session.ask(command)
  store.hold()
  const select = session.send('b SELECT INBOX\r\n')
  await settle()
  await session.machine.ended('connection-lost')
  store.release()
  await expect(select).rejects.toThrow('the client left')
  expect(store.open).toBe(0)
})

test('a message that is begun after the connection was lost is given up', async () => {
  const store = new MemoryStore()
  const session = await signedIn({ store })
  let aborted = 0
  const deliver = store.deliver.bind(store)
  store.deliver = async (account, mailbox, message) => {
    const begun = await deliver(account, mailbox, message)
    if (begun.ok) begun.value.abort = async () => void (aborted += 1)
    return begun
  }
  const append = session.machine.receive(Buffer.from('a APPEND INBOX {10}\r\n'))
  await session.machine.ended('connection-lost')
  await expect(append).rejects.toThrow('the client left')
  expect(aborted).toBe(1)
})

test('SELECT of another mailbox lets go of the first', async () => {
  const store = new SlowStore()
  const session = await signedIn({ store })
  await session.ask('a SELECT INBOX')
  await session.ask('b EXAMINE INBOX')
  expect(store.open).toBe(2)
})

test('a search that reads many messages stops when its client is gone', async () => {
  const store = new MemoryStore()
  for (let count = 0; count < 50; count += 1) store.put('ann@example.org', 'INBOX', 'a: b\r\n\r\nx')
  const session = await selectedInbox({ store })
  const search = session.send('a SEARCH BODY y\r\n')
  await settle()
  await session.machine.ended('connection-lost')
  await expect(search).rejects.toThrow('the client left')
  expect(store.contentsOpened).toBeLessThan(10)
})

test.for(['SEARCH TEXT nowhere', 'FETCH 1 BODYSTRUCTURE', 'FETCH 1 BINARY.SIZE[1]'])(
  'a large message is gone through by and by, and no further when its client is gone: %s',
  async (command) => {
    const store = new MemoryStore()
    // In chunks of 64 KiB, of which sixteen are read between two turns of the event loop.
    const chunks = 80
    store.put(
      'ann@example.org',
      'INBOX',
      `a: b\r\n\r\n${'x'
        .repeat(70)
        .concat('\r\n')
        .repeat((chunks * 65_536) / 72)}`,
    )
    const session = await selectedInbox({ store })
    const before = store.contentReads
    const work = session.send(`a ${command}\r\n`)
    await nextTurn()
    await nextTurn()
    expect(store.contentReads - before).toBeLessThan(50)
    await session.machine.ended('connection-lost')
    await expect(work).rejects.toThrow('the client left')
    expect(store.contentReads - before).toBeLessThan(chunks)
  },
)

test('a fetch of many parts of one message stops when its client is gone', async () => {
  const store = new MemoryStore()
  store.put('ann@example.org', 'INBOX', `Content-Transfer-Encoding: base64\r\n\r\n${'YWJj'.repeat(1_000)}`)
  const session = await selectedInbox({ store })
  const offsets = Array.from({ length: 900 }, (_, at) => `BINARY.PEEK[1]<${at}.1>`)
  const fetch = session.send(`a FETCH 1 (${offsets.join(' ')})\r\n`)
  await settle()
  await session.machine.ended('connection-lost')
  await expect(fetch).rejects.toThrow('the client left')
  expect(store.contentReads).toBeLessThan(10)
})

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
}
