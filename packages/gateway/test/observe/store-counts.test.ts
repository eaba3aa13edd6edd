import { openMaildirStore } from '@postern/maildir'
import { expect, test } from 'vitest'
import { Counts } from '../../src/observe/counts.ts'
import { countedStore } from '../../src/observe/store-counts.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'

const account = 'ann@example.org'

async function opened() {
  const counts = new Counts()
  const store = countedStore(openMaildirStore({ root: await temporaryDirectory() }), counts)
  await store.createAccount(account)
  /** As in `open ok 2`. */
  const told = (): string[] =>
    counts
      .countsOf('postern_store_operations_total')
      .map(({ labels, held }) => `${labels.join(' ')} ${held.value}`)
      .toSorted()
  return { counts, store, told }
}

function value<T>(
  outcome: { readonly ok: true; readonly value: T } | { readonly ok: false; readonly detail: string },
): T {
  if (outcome.ok) return outcome.value
  throw new Error(outcome.detail)
}

test('what a session and a delivery do is counted and timed, each by its name', async () => {
  const { counts, store, told } = await opened()
  const writer = value(await store.deliver(account, 'INBOX', { flags: [] }))
  await writer.write(Buffer.from('Subject: hi\r\n\r\nhello\r\n'))
  value(await writer.commit())
  const user = await store.openAccount(account)
  value(await user.create('Archive'))
  const inbox = value(await user.open('INBOX', 'read-write'))
  const uids = inbox.records().map(({ uid }) => uid)
  expect(uids).toHaveLength(1)
  const content = await inbox.content(uids[0]!)
  await content?.close()
  value(await inbox.copy(uids, 'Archive'))
  value(await inbox.setFlags(uids, { op: 'add', flags: ['\\Deleted'] }))
  value(await inbox.expunge())
  await inbox.refresh()
  await inbox.close()
  await user.list()
  value(await user.status('Archive'))
  value(await user.rename('Archive', 'Old'))
  value(await user.delete('Old'))
  await user.close()
  const once = ['commit', 'content', 'copy', 'create', 'delete', 'deliver', 'expunge', 'list', 'open', 'open-account']
  expect(told()).toEqual([...once, 'refresh', 'rename', 'set-flags', 'status'].map((operation) => `${operation} ok 1`))
  for (const { held } of counts.distributionsOf('postern_store_operation_seconds')) {
    expect(held.buckets.reduce((sum, count) => sum + count, 0)).toBe(1)
    expect(held.sum).toBeGreaterThan(0)
  }
  await store.close()
})

test('a refusal is counted by its reason', async () => {
  const { store, told } = await opened()
  const user = await store.openAccount(account)
  expect(await user.open('Nowhere', 'read-only')).toMatchObject({ ok: false, refusal: 'no-such-mailbox' })
  expect(await user.create('INBOX')).toMatchObject({ ok: false, refusal: 'mailbox-exists' })
  expect(told()).toEqual(['create mailbox-exists 1', 'open no-such-mailbox 1', 'open-account ok 1'])
  await store.close()
})

test('messages are still committed together by a store that can', async () => {
  const { store, told } = await opened()
  const writers = [
    value(await store.deliver(account, 'INBOX', { flags: [] })),
    value(await store.deliver(account, 'INBOX', { flags: [] })),
  ]
  for (const writer of writers) await writer.write(Buffer.from('Subject: hi\r\n\r\n'))
  const [first, second] = writers
  expect(await first!.commitWith?.([second!])).toMatchObject({ ok: true })
  expect(told()).toEqual(['commit ok 1', 'deliver ok 2'])
  await store.close()
})

test('what breaks is counted as that, and still breaks', async () => {
  const counts = new Counts()
  const store = openMaildirStore({ root: '/nowhere' })
  store.openAccount = () => Promise.reject(new Error('EIO'))
  const broken = countedStore(store, counts)
  await expect(broken.openAccount(account)).rejects.toThrow('EIO')
  expect(counts.count('postern_store_operations_total', 'open-account', 'failed').value).toBe(1)
})
