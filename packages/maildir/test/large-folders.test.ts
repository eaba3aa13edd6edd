/* MB-10: folders with very many files, and accounts with very many folders: others wait for none of it. */
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import type { FileHandle } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openMaildirStore, type Disk } from '../src/index.ts'
import { limits } from '../src/limits.ts'
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

/** Links in `new`, so that no file is written for each name; one file may have 65,000 of them. */
async function makeFiles(): Promise<void> {
  const sources = Array.from({ length: Math.ceil(files / 50_000) }, (_, number) => join(opened.root, `source${number}`))
  for (const source of sources) await disk.writeFile(source, message('one'))
  const place = join(opened.maildir, 'new')
  await makeMany(files, async (number) => {
    const name = `17000${String(number).padStart(8, '0')}.M1P1.host`
    await disk.link(sources[number % sources.length] ?? '', join(place, name))
  })
}

/** The disk; `onWrite` is told of each write to files with this in their path. */
function watchWrites(path: string, onWrite: (bytes: number) => void): Disk {
  const watched = (handle: FileHandle): FileHandle =>
    new Proxy(handle, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key, target)
        if (typeof member !== 'function') return member
        return (...args: unknown[]) => {
          if (key === 'write') onWrite(args[2] as number)
          return Reflect.apply(member, target, args) as unknown
        }
      },
    })
  const open: Disk['open'] = async (name, ...args) => {
    const handle = await disk.open(name, ...args)
    return String(name).includes(path) ? watched(handle) : handle
  }
  return { ...disk, open }
}

/** Journals are written to in pieces of so many records: in the short form there are several as well. */
const recordsPerPiece = isNightly ? limits.namesPerTurn : 100

/**
 * Runs `work`, and says for how long at most others had to wait for the event loop: the longest turn of it in CPU of this
 * thread, ms, so that what else the machine does is not in it.
 *
 * @param onTurn - at each turn.
 */
async function longestTurn<T>(work: () => Promise<T>, onTurn: () => void = () => {}): Promise<readonly [T, number]> {
  const busy = { isWorking: true }
  let longest = 0
  let last = process.threadCpuUsage()
  const next = () => {
    const spent = process.threadCpuUsage(last)
    longest = Math.max(longest, (spent.user + spent.system) / 1_000)
    onTurn()
    if (busy.isWorking) setImmediate(next)
    last = process.threadCpuUsage()
  }
  setImmediate(next)
  try {
    return [await work(), longest]
  } finally {
    busy.isWorking = false
  }
}

/** Nobody waits for longer, even where a processor is twice as slow, or shared. */
const longestMs = 500

async function makeMany(count: number, make: (number: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += 500) {
    await Promise.all(Array.from({ length: Math.min(500, count - from) }, (_, number) => make(from + number)))
  }
}

test(`MB-10: ${files} files in new: SELECT and the next look hold nobody up for a second`, async () => {
  await makeFiles()
  const account = await opened.store.openAccount(ann)
  const [inbox, first] = await longestTurn(async () => value(await account.open('INBOX', 'read-write')))
  expect(inbox.records()).toHaveLength(files)
  expect(first).toBeLessThan(longestMs)
  const [changes, second] = await longestTurn(() => inbox.refresh())
  expect(changes.arrived).toEqual([])
  expect(second).toBeLessThan(longestMs)
  await inbox.close()
})

test.each(['is made anew', 'is appended to'])(
  `MB-10: ${files} files in new: others are answered between any two pieces in which the journal %s`,
  async (how) => {
    // Of each piece: how large it is, and how often others had the event loop by then.
    const pieces: { readonly bytes: number; readonly turns: number }[] = []
    let turns = 0
    const watching = watchWrites('postern-journal', (bytes) => pieces.push({ bytes, turns }))
    const store = openMaildirStore({ root: opened.root, disk: watching, limits: { namesPerTurn: recordsPerPiece } })
    try {
      const account = await store.openAccount(ann)
      value(await account.create('Other'))
      const other = value(await account.open('Other', 'read-write'))
      if (how === 'is appended to') await value(await account.open('INBOX', 'read-only')).close()
      await makeFiles()
      pieces.length = 0
      const busy = { isOpening: true }
      let answered = 0
      const noops = async () => {
        for (; busy.isOpening; answered += 1) {
          await other.refresh()
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      const isEnded = noops()
      const [inbox, longest] = await longestTurn(
        async () => value(await account.open('INBOX', 'read-only')),
        () => (turns += 1),
      )
      busy.isOpening = false
      await isEnded
      expect(longest).toBeLessThan(longestMs)
      expect(answered).toBeGreaterThan(0)
      expect(inbox.records()).toHaveLength(files)
      // A header is written when all records are; what is written anew after that is another matter.
      const records = pieces.slice(0, files / recordsPerPiece)
      expect(records.map(({ bytes }) => bytes)).toEqual(Array(files / recordsPerPiece).fill(recordsPerPiece * 32))
      for (const [at, piece] of records.entries()) expect(piece.turns).toBeGreaterThan(records[at - 1]?.turns ?? -1)
      // However many pieces: one change.
      expect(new Set(inbox.records().map(({ modseq }) => modseq))).toEqual(new Set([inbox.highestModseq?.()]))
    } finally {
      await store.close()
    }
  },
)

test(`MB-10: ${folders} folders: LIST holds nobody up for a second`, async () => {
  await makeMany(folders, (number) => disk.mkdir(join(opened.maildir, `.folder${number}`)))
  const account = await opened.store.openAccount(ann)
  const [listed, longest] = await longestTurn(() => account.list())
  expect(listed).toHaveLength(folders + 1)
  expect(longest).toBeLessThan(longestMs)
})
