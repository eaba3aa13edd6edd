import type { StoreOutcome } from '@postern/core'
import { openMaildirStore, type MaildirStore } from '@postern/maildir'
import { expect, onTestFinished, test } from 'vitest'
import { withFolders } from '../../src/route/local-accounts.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'

interface Meanwhile {
  /** What happens between a delivery that is refused and the answer. */
  readonly afterRefusal?: (store: MaildirStore) => Promise<unknown>
}

/** A store whose questions about accounts are noted. */
async function opened({ afterRefusal }: Meanwhile = {}) {
  const store = openMaildirStore({ root: await temporaryDirectory() })
  onTestFinished(() => store.close())
  const asked: string[] = []
  const noting: MaildirStore = {
    exists: (account) => {
      asked.push(`exists ${account}`)
      return store.exists(account)
    },
    createAccount: (account) => {
      asked.push(`create ${account}`)
      return store.createAccount(account)
    },
    openAccount: (account) => store.openAccount(account),
    deliver: async (account, mailbox, message) => {
      const outcome = await store.deliver(account, mailbox, message)
      if (!outcome.ok) await afterRefusal?.(store)
      return outcome
    },
    notify: () => undefined,
    close: () => store.close(),
  }
  return { store: withFolders(noting), asked }
}

async function deliver(store: MaildirStore, mailbox: string): Promise<StoreOutcome<unknown>> {
  const writer = await store.deliver('ann@example.org', mailbox, { flags: [] })
  if (!writer.ok) return writer
  await writer.value.write(Buffer.from('Subject: hello\r\n\r\n'))
  return writer.value.commit()
}

test('the folders of an account are made for its first message, and not asked for at the others', async () => {
  const { store, asked } = await opened()
  expect(await deliver(store, 'INBOX')).toMatchObject({ ok: true, value: { uid: 1 } })
  expect(asked).toEqual(['exists ann@example.org', 'create ann@example.org'])
  expect(await deliver(store, 'INBOX')).toMatchObject({ ok: true, value: { uid: 2 } })
  expect(asked).toHaveLength(2)
})

test('folders that another delivery made meanwhile are as good', async () => {
  const { store } = await opened({ afterRefusal: (real) => real.createAccount('ann@example.org') })
  expect(await deliver(store, 'INBOX')).toMatchObject({ ok: true, value: { uid: 1 } })
})

test('a mailbox that is not there is refused, and is not made', async () => {
  const { store, asked } = await opened()
  await deliver(store, 'INBOX')
  expect(await deliver(store, 'Archive')).toMatchObject({ ok: false, refusal: 'no-such-mailbox' })
  expect(asked.filter((question) => question.startsWith('create'))).toHaveLength(1)
})

test('the folders of an account are made when it signs in for the first time', async () => {
  const { store } = await opened()
  const account = await store.openAccount('ann@example.org')
  expect((await account.list()).map(({ name }) => name)).toEqual(['INBOX'])
})
