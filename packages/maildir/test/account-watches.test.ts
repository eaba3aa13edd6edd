/* Watches on mailboxes that nobody has open, and on the names of mailboxes. */
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import type { Account, Uid } from '@postern/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openMaildirStore, type MaildirStore } from '../src/index.ts'
import { append, message, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

let opened: TestStore
let account: Account
const others: MaildirStore[] = []

beforeEach(async () => {
  opened = await openTestStore({ limits: { maxNotifiedMailboxes: 3 } })
  account = await opened.store.openAccount(ann)
  for (const name of ['Work', 'Play']) value(await account.create(name))
})
afterEach(async () => {
  for (const store of others.splice(0)) await store.close()
  await opened.end()
})

/** Resolves with the first hint after `change` began. */
async function hintOf(
  watch: (onHint: () => void) => (() => void) | undefined,
  change: () => Promise<unknown>,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = watch(resolve)
  await change()
  await promise
  end?.()
}

/** The account as another process has it. */
async function elsewhere(): Promise<{ readonly store: MaildirStore; readonly account: Account }> {
  const store = openMaildirStore({ root: opened.root, hostname: 'other' })
  others.push(store)
  return { store, account: await store.openAccount(ann) }
}

const watchWork = (onHint: () => void) => account.watchMailbox?.('Work', onHint)
const watchList = (onHint: () => void) => account.watchList?.(onHint)

describe('a mailbox that nobody has open hints at', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['a delivery of this process', () => append(opened.store, ann, 'Work', 'one')],
    ['a delivery of another process', async () => append((await elsewhere()).store, ann, 'Work', 'one')],
    [
      'a file of another program',
      () => disk.writeFile(join(opened.maildir, '.Work', 'new', '1.foreign'), message('one')),
    ],
  ])('%s', async (_, change) => {
    await expect(hintOf(watchWork, change)).resolves.toBeUndefined()
  })

  test('a keyword that no file name tells, changed here or told of by another worker', async () => {
    const keywords = Array.from({ length: 30 }, (_, number) => `keyword${number}`)
    await append(opened.store, ann, 'Work', 'one', { flags: keywords })
    const work = value(await account.open('Work', 'read-write'))
    const last = { op: 'remove', flags: ['keyword29'] } as const
    const change = async () => value(await work.setFlags([1 as Uid], last))
    await expect(hintOf(watchWork, change)).resolves.toBeUndefined()
    const told = async () => opened.store.notify(ann, 'Work')
    await expect(hintOf(watchWork, told)).resolves.toBeUndefined()
  })
})

describe('the list of mailboxes hints at', () => {
  test.each([
    ['CREATE', (other: Account) => other.create('Lists')],
    ['DELETE', (other: Account) => other.delete('Play')],
    ['RENAME', (other: Account) => other.rename('Play', 'Fun')],
    ['SUBSCRIBE', (other: Account) => other.subscribe('Play', true)],
  ])('%s of another process', async (_, change) => {
    const { account: other } = await elsewhere()
    await expect(hintOf(watchList, async () => value(await change(other)))).resolves.toBeUndefined()
  })
})

test('sessions that watch the same share a watch, and no more than a bound are watched', async () => {
  const hints: string[] = []
  const ends = ['first', 'second'].map((who) => account.watchMailbox?.('Work', () => hints.push(who)))
  const more = [account.watchMailbox?.('Play', () => {}), account.watchList?.(() => {})]
  expect([...ends, ...more].every((end) => end !== undefined)).toBe(true)
  expect(account.watchMailbox?.('INBOX', () => {})).toBeUndefined()
  expect(account.watchMailbox?.('Work', () => {})).toBeDefined()
  ends[0]?.()
  await hintOf(watchWork, () => append(opened.store, ann, 'Work', 'one'))
  expect(hints).toEqual(['second'])
  more[0]?.()
  expect(account.watchMailbox?.('INBOX', () => {})).toBeDefined()
})
