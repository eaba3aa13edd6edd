/** Messages that come into one mailbox at once: few syncs for many, each answered when it is durable, each failing alone. */
import * as disk from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import type { Disk } from '../src/index.ts'
import { message, refusal, value } from './conformance.ts'
import { ann, filesBelow, openTestStore, type TestStore } from './kit.ts'

// The disk of a busy machine is slow; no test waits for a time to pass.
vi.setConfig({ testTimeout: 60_000 })

interface Call {
  readonly name: string
  readonly path: string
  /** When it had ended, ms of the monotonic clock. */
  readonly endedMs?: number
}

/** Tells of each call when it has ended, in order; `decide` may make one fail with a code instead, or wait. */
function recordingDisk(decide: (call: Call) => string | Promise<void> | undefined = () => undefined) {
  const ended: Call[] = []
  const run = async (call: Call, work: () => unknown): Promise<unknown> => {
    const code = decide(call)
    if (typeof code === 'string') throw Object.assign(new Error(code), { code, syscall: call.name })
    await code
    const result: unknown = await work()
    ended.push({ ...call, endedMs: performance.now() })
    return result
  }
  const watched = <T extends object>(target: T, path?: string): T =>
    new Proxy(target, {
      get(owner, key) {
        const member: unknown = Reflect.get(owner, key, owner)
        if (typeof member !== 'function') return member
        return async (...args: unknown[]) => {
          const to = key === 'rename' || key === 'symlink' ? args[1] : args[0]
          const call = { name: String(key), path: path ?? String(to) }
          const result = await run(call, () => Reflect.apply(member, owner, args))
          return key === 'open' ? watched(result as FileHandle, call.path) : result
        }
      },
    })
  return { disk: watched(disk) as Disk, ended }
}

let opened: TestStore
afterEach(() => opened.end())

/** Written and synced, so that only placing them is left. */
async function prepared(count: number) {
  return Promise.all(
    Array.from({ length: count }, async (_, number) => {
      const writer = value(await opened.store.deliver(ann, 'INBOX', { flags: [] }))
      await writer.write(message(`message ${number}`))
      value(await writer.prepare!())
      return writer
    }),
  )
}

const isListSync = ({ name, path }: Call) => name === 'datasync' && path.endsWith('/postern-uidlist')
const isFolderSync = ({ name, path }: Call) => name === 'sync' && path.endsWith('/new')
const isOfLock = ({ path }: Call) => path.endsWith('/postern-uidlist.lock')
const isLock = (call: Call) => call.name === 'symlink' && isOfLock(call)
const isUnlock = (call: Call) => call.name === 'unlink' && isOfLock(call)

test('twenty deliveries at once take two locks and two syncs each of list and folder, and a UID each', async () => {
  const recording = recordingDisk()
  opened = await openTestStore({ disk: recording.disk })
  const writers = await prepared(20)
  recording.ended.length = 0
  const placed = await Promise.all(writers.map(async (writer) => value(await writer.commit())?.uid))
  expect(new Set(placed).size).toBe(20)
  // The first goes alone; those that came meanwhile go together.
  expect(recording.ended.filter(isLock).length).toBeLessThanOrEqual(3)
  expect(recording.ended.filter(isListSync).length).toBeLessThanOrEqual(2)
  expect(recording.ended.filter(isFolderSync).length).toBeLessThanOrEqual(2)
  const inbox = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-only'))
  expect(inbox.records().map(({ uid }) => uid)).toEqual(placed.toSorted((a, b) => (a ?? 0) - (b ?? 0)))
})

test('a process that always has something to deliver leaves the lock free for others in between', async () => {
  const begun = Promise.withResolvers<void>()
  const recording = recordingDisk((call) => {
    if (!isFolderSync(call)) return undefined
    begun.resolve()
    return pause(100)
  })
  opened = await openTestStore({ disk: recording.disk })
  const [first, second] = await prepared(2)
  recording.ended.length = 0
  const commits = [first!.commit()]
  await begun.promise
  commits.push(second!.commit())
  await Promise.all(commits)
  const endsOf = (is: (call: Call) => boolean) => recording.ended.filter(is).map(({ endedMs = 0 }) => endedMs)
  const [[, again = 0], [free = 0]] = [endsOf(isLock), endsOf(isUnlock)]
  // A tenth of the hundred that it was held for at least; a timer may fire a little early.
  expect(again - free).toBeGreaterThan(8)
})

test('a lock is held for so many messages, however many come together; those stay together', async () => {
  const recording = recordingDisk()
  opened = await openTestStore({ disk: recording.disk, limits: { messagesPerLock: 4 } })
  const writers = await prepared(18 + 6)
  recording.ended.length = 0
  const pairs = Array.from({ length: 9 }, (_, at) => [writers[2 * at]!, writers[2 * at + 1]!] as const)
  const commits = pairs.map(([one, other]) => one.commitWith!([other]))
  const six = writers.slice(18)
  const placed = await Promise.all([...commits, six[0]!.commitWith!(six.slice(1))])
  expect(placed.map((each) => value(each)?.uids.length)).toEqual([...Array(9).fill(2), 6])
  expect(value(placed.at(-1)!)?.uids).toEqual([19, 20, 21, 22, 23, 24])
  expect(recording.ended.filter(isListSync).length).toBeGreaterThanOrEqual(6)
})

test.each([
  ['the folder', isFolderSync],
  ['the UID list', isListSync],
])('no delivery is answered before the sync of %s has ended, and its UID counts only then', async (_, isHeld) => {
  const held = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const recording = recordingDisk((call) => {
    if (!isHeld(call)) return undefined
    begun.resolve()
    return held.promise
  })
  opened = await openTestStore()
  // Made beforehand, so that the sync that is held is that of the delivery.
  value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-write'))
  const other = await openTestStore({ root: opened.root, disk: recording.disk })
  const writer = value(await other.store.deliver(ann, 'INBOX', { flags: [] }))
  await writer.write(message('held'))
  value(await writer.prepare!())
  let isAnswered = false
  const answer = writer.commit().finally(() => (isAnswered = true))
  await begun.promise
  const header = async () => /N(\d{10})/.exec(await disk.readFile(`${opened.maildir}/postern-uidlist`, 'latin1'))?.[1]
  expect([isAnswered, await header()]).toEqual([false, '0000000001'])
  held.resolve()
  expect(value(await answer)?.uid).toBe(1)
  expect(await header()).toBe('0000000002')
  await other.store.close()
})

test('a file that cannot be placed fails alone', async () => {
  let renames = 0
  const recording = recordingDisk(({ name, path }) =>
    name === 'rename' && path.includes('/new/') && ++renames === 7 ? 'EIO' : undefined,
  )
  opened = await openTestStore({ disk: recording.disk })
  const outcomes = await Promise.all((await prepared(12)).map((writer) => writer.commit()))
  expect(outcomes.map(refusal).filter((each) => each !== 'ok')).toEqual(['unavailable'])
  const files = (await filesBelow(opened.maildir)).filter((path) => /Maildir\/(?:tmp|new|cur)\//.test(path))
  expect(files).toHaveLength(11)
})

test('a folder that cannot be synced takes all of its group back, and the next ones are placed', async () => {
  let isBroken = true
  const recording = recordingDisk((call) => (isBroken && isFolderSync(call) ? 'EIO' : undefined))
  opened = await openTestStore({ disk: recording.disk })
  const outcomes = await Promise.all((await prepared(5)).map((writer) => writer.commit()))
  expect(outcomes.map(refusal)).toEqual(Array(5).fill('unavailable'))
  const files = (await filesBelow(opened.maildir)).filter((path) => /Maildir\/(?:tmp|new|cur)\//.test(path))
  expect(files).toEqual([])
  isBroken = false
  const [writer] = await prepared(1)
  const placed = value(await writer!.commit())
  const inbox = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-only'))
  expect(inbox.records().map(({ uid }) => uid)).toEqual([placed?.uid])
})
