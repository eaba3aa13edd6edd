/* MB-10: folders with very many files, and accounts with very many folders: others wait for none of it. */
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { message, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

/** `POSTERN_FAULTS=nightly` is the whole of it; making so many takes minutes. */
const isNightly = ['nightly', 'release'].includes(process.env['POSTERN_FAULTS'] ?? '')
const files = isNightly ? 200_000 : 2_000
const folders = isNightly ? 100_000 : 1_000
vi.setConfig({ testTimeout: isNightly ? 1_800_000 : 60_000, hookTimeout: isNightly ? 600_000 : 60_000 })

let opened: TestStore
beforeEach(async () => {
  opened = await openTestStore()
})
afterEach(() => opened.end())

/** Runs `work`, and says for how long at most anybody else had to wait for the event loop, ms. */
async function longestWait<T>(work: () => Promise<T>): Promise<readonly [T, number]> {
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const result = await work()
  delay.disable()
  return [result, delay.max / 1e6]
}

async function makeMany(count: number, make: (number: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += 500) {
    await Promise.all(Array.from({ length: Math.min(500, count - from) }, (_, number) => make(from + number)))
  }
}

test(`MB-10: ${files} files in new: SELECT and the next look hold nobody up for a second`, async () => {
  // Links, so that no file is written for each name; one file may have 65,000 of them.
  const sources = Array.from({ length: Math.ceil(files / 50_000) }, (_, number) => join(opened.root, `source${number}`))
  for (const source of sources) await disk.writeFile(source, message('one'))
  const place = join(opened.maildir, 'new')
  await makeMany(files, async (number) => {
    const name = `17000${String(number).padStart(8, '0')}.M1P1.host`
    await disk.link(sources[number % sources.length] ?? '', join(place, name))
  })
  const account = await opened.store.openAccount(ann)
  const [inbox, first] = await longestWait(async () => value(await account.open('INBOX', 'read-write')))
  expect(inbox.records()).toHaveLength(files)
  expect(first).toBeLessThan(1_000)
  const [changes, second] = await longestWait(() => inbox.refresh())
  expect(changes.arrived).toEqual([])
  expect(second).toBeLessThan(1_000)
  await inbox.close()
})

test(`MB-10: ${folders} folders: LIST holds nobody up for a second`, async () => {
  await makeMany(folders, (number) => disk.mkdir(join(opened.maildir, `.folder${number}`)))
  const account = await opened.store.openAccount(ann)
  const [listed, wait] = await longestWait(() => account.list())
  expect(listed).toHaveLength(folders + 1)
  expect(wait).toBeLessThan(1_000)
})
