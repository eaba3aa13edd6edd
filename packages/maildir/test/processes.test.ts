/** Several processes over one mailbox, some of them killed on the way. Short runs of what longer ones repeat. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { append, textOf, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

interface Worker {
  readonly child: ChildProcess
  readonly lines: string[]
  readonly ended: Promise<unknown>
  line(number: number): Promise<void>
}

let opened: TestStore
beforeEach(async () => {
  opened = await openTestStore()
})
afterEach(() => opened.end())

function start(task: string, count = 0): Worker {
  const script = join(import.meta.dirname, 'worker.ts')
  const child = spawn(
    process.execPath,
    ['--conditions=@postern/source', script, opened.root, ann, task, String(count)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const lines: string[] = []
  const output = createInterface(child.stdout)
  const waiting = new Map<number, () => void>()
  output.on('line', (text) => {
    lines.push(text)
    waiting.get(lines.length)?.()
  })
  const ended = Promise.all([once(child, 'exit'), once(output, 'close')])
  const line = async (number: number) => {
    if (lines.length < number) await new Promise<void>((resolve) => waiting.set(number, resolve))
  }
  return { child, lines, ended, line }
}

/** What workers were told is there, with the UID they were told; every other message is whole, with a UID of its own. */
async function verify(acknowledged: readonly string[]): Promise<void> {
  const account = await opened.store.openAccount(ann)
  const inbox = value(await account.open('INBOX', 'read-only'))
  const uidOf = new Map<string, number>()
  for (const { uid, bytes } of inbox.records()) {
    const text = (await textOf(inbox, uid)) ?? ''
    const [, name = ''] = /^Subject: (.*)\r\n\r\n/.exec(text) ?? []
    expect(text).toBe(`Subject: ${name}\r\n\r\n${`${name}\r\n`.repeat(8_000)}`)
    expect(bytes).toBe(text.length)
    expect(uidOf.has(name)).toBe(false)
    uidOf.set(name, uid)
  }
  for (const told of acknowledged) {
    const [uidValidity, uid, name = ''] = told.split(' ')
    expect(uidOf.has(name)).toBe(true)
    if (uid === '-') continue
    expect(Number(uidValidity)).toBe(inbox.uidValidity)
    expect(uidOf.get(name)).toBe(Number(uid))
  }
  await inbox.close()
}

test('ST-05: four processes deliver and give UIDs at once: each message has one UID, and none is given twice', async () => {
  const workers = Array.from({ length: 4 }, () => start('deliver', 40))
  await Promise.all(workers.map(({ ended }) => ended))
  const lines = workers.flatMap(({ lines: told }) => told)
  expect(lines).toHaveLength(160)
  expect(new Set(lines.map((line) => line.split(' ')[1])).size).toBe(160)
  for (const { lines: told } of workers) {
    const uids = told.map((line) => Number(line.split(' ')[1]))
    expect(uids).toEqual(uids.toSorted((a, b) => a - b))
  }
  await verify(lines)
}, 30_000)

test('ST-01: processes that are killed while delivering lose nothing they acknowledged', async () => {
  const told: string[] = []
  for (let round = 0; round < 8; round++) {
    const workers = [start('deliver', 10_000), start('deliver', 10_000)]
    await Promise.all(workers.map((worker, at) => worker.line(2 + round * (at + 1))))
    for (const { child } of workers) child.kill('SIGKILL')
    await Promise.all(workers.map(({ ended }) => ended))
    told.push(...workers.flatMap(({ lines }) => lines))
  }
  await verify(told)
  // The mailbox works on, whatever the killed ones held.
  const { uid } = await append(opened.store, ann, 'INBOX', 'after')
  expect(uid).toBeGreaterThan(told.length)
}, 60_000)

test('ST-06: a killed holder of the lock delays nobody for long', async () => {
  for (let round = 0; round < 3; round++) {
    const holder = start('hold')
    await holder.line(1)
    holder.child.kill('SIGKILL')
    await holder.ended
    const before = performance.now()
    expect(await append(opened.store, ann, 'INBOX', 'one')).toMatchObject({ uid: round + 1 })
    expect(performance.now() - before).toBeLessThan(5_000)
  }
  expect(opened.problems.map(({ kind }) => kind)).toEqual(['stale-lock', 'stale-lock', 'stale-lock'])
}, 30_000)

test('ST-10: messages moved to and fro by processes that are killed are always in at least one place', async () => {
  const account = await opened.store.openAccount(ann)
  value(await account.create('Archive'))
  const subjects = Array.from({ length: 20 }, (_, at) => `message-${at}`)
  for (const subject of subjects) await append(opened.store, ann, 'INBOX', subject)
  for (let round = 0; round < 8; round++) {
    const worker = start('move', 1_000)
    const folder = join(opened.maildir, round % 2 === 0 ? '.Archive' : '.')
    const before = await readFile(join(folder, 'postern-uidlist'), 'latin1')
    // Killed as soon as it was seen at work, each time a little further on.
    for (let looks = 0; looks < 1 + round * 3;) {
      if ((await readFile(join(folder, 'postern-uidlist'), 'latin1')) !== before) looks += 1
    }
    worker.child.kill('SIGKILL')
    await worker.ended
    const found = new Set<string>()
    for (const name of ['INBOX', 'Archive']) {
      const mailbox = value(await account.open(name, 'read-only'))
      const seen = mailbox.records().map(({ uid }) => uid)
      expect(new Set(seen).size).toBe(seen.length)
      for (const uid of seen) found.add(/^Subject: (.*)\r\n/.exec((await textOf(mailbox, uid)) ?? '')?.[1] ?? '')
      await mailbox.close()
    }
    expect([...found].sort()).toEqual(subjects.toSorted())
  }
}, 60_000)
