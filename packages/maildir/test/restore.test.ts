import { cp, rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openMaildirStore } from '../src/index.ts'
import { append, textOf, value } from './conformance.ts'
import { ann, filesBelow, openTestStore, snapshotsAtOnce } from './kit.ts'

// As docs/operations.md says to do it. With the lists, the next message would get the UID of the one that was lost.
test('a backup is put back without its UID lists: all of its mail is there, and no UID told since is another message', async () => {
  const { store, root, end } = await openTestStore({ limits: snapshotsAtOnce })
  const backup = `${root}.backup`
  onTestFinished(async () => {
    await end()
    await rm(backup, { recursive: true, force: true })
  })
  const internalDate = new Date('2024-02-03T04:05:06Z')
  await append(store, ann, 'INBOX', 'before', { internalDate, flags: ['\\Flagged', 'paid'] })
  await cp(root, backup, { recursive: true, preserveTimestamps: true })
  const lost = await append(store, ann, 'INBOX', 'lost')
  await store.close()

  await rm(root, { recursive: true })
  await cp(backup, root, { recursive: true, preserveTimestamps: true })
  const lists = (await filesBelow(root)).filter((file) => basename(file) === 'postern-uidlist')
  await Promise.all(lists.map((file) => rm(file)))
  const again = openMaildirStore({ root, limits: snapshotsAtOnce })
  onTestFinished(() => again.close())
  const { uidValidity } = await append(again, ann, 'INBOX', 'after')
  expect(uidValidity).toBeGreaterThan(lost.uidValidity)

  const account = await again.openAccount(ann)
  onTestFinished(() => account.close())
  const inbox = value(await account.open('INBOX', 'read-only'))
  const before = inbox.records().find(({ flags }) => flags.length > 0)
  expect(inbox.records()).toHaveLength(2)
  expect(before?.internalDate).toEqual(internalDate)
  expect(new Set(before?.flags)).toEqual(new Set(['\\Flagged', 'paid']))
  expect(await textOf(inbox, before!.uid)).toContain('Subject: before')
})
