/** Several processes over one mailbox, some of them killed on the way. Short runs of what longer ones repeat. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Mailbox } from '@postern/core'
import { openMaildirStore } from '../src/index.ts'
import { append, textOf, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'
import { compareStores, Told } from './stress.ts'

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

function start(task: string, count = 0, mailbox = 'INBOX'): Worker {
  const script = join(import.meta.dirname, 'worker.ts')
  const child = spawn(
    process.execPath,
    ['--conditions=@postern/source', script, opened.root, ann, task, String(count), mailbox],
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
})

test('ST-05: three processes that do everything at once tell no contradiction', async () => {
  const script = join(import.meta.dirname, 'stress.ts')
  const seed = Number(process.env['POSTERN_STRESS_SEED'] ?? Date.now() % 1_000_000)
  const seconds = process.env['POSTERN_STRESS_SECONDS'] ?? '1'
  const told = new Told()
  const outputs = await Promise.all(
    [seed, seed + 1, seed + 2].map(async (own) => {
      const args = ['--conditions=@postern/source', script, opened.root, ann, String(own), seconds]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      let text = ''
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      await once(child, 'close')
      return text
    }),
  )
  for (const text of outputs) told.join(Told.fromText(text))
  await compareStores([opened.store], ann, told)
  expect(told.faults.slice(0, 10), `from seed ${seed}`).toEqual([])
  expect(told.operations).toBeGreaterThan(0)
}, 3_600_000)

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
}, 300_000)

test('ST-06: a killed holder of the lock delays nobody for long', async () => {
  for (let round = 0; round < 3; round++) {
    const holder = start('hold')
    await holder.line(1)
    holder.child.kill('SIGKILL')
    await holder.ended
    // Who would wait for it would be refused when the wait is over, and nobody would have told of it.
    expect(await append(opened.store, ann, 'INBOX', 'one')).toMatchObject({ uid: round + 1 })
  }
  expect(opened.problems.map(({ kind }) => kind)).toEqual(['stale-lock', 'stale-lock', 'stale-lock'])
})

test('ST-06: a MOVE into a mailbox whose lock a stopped process holds keeps no delivery out of INBOX', async () => {
  const account = await opened.store.openAccount(ann)
  value(await account.create('Archive'))
  await append(opened.store, ann, 'INBOX', 'one')
  const mover = start('move-once', 0, 'Archive')
  await mover.line(1)
  const holder = start('hold', 0, 'Archive')
  await holder.line(1)
  holder.child.kill('SIGSTOP')
  await mover.line(2)
  // Without the lock of INBOX they would have no UID.
  for (const [at, subject] of ['two', 'three'].entries()) {
    expect(await append(opened.store, ann, 'INBOX', subject)).toMatchObject({ uid: at + 2 })
  }
  holder.child.kill('SIGKILL')
  await Promise.all([holder.ended, mover.ended])
  expect(mover.lines).toEqual(['opened', 'waits', 'moved 1'])
})

test('ST-10: messages moved to and fro by processes that are killed are always in one place, and in no other', async () => {
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
    const found: string[] = []
    for (const name of ['INBOX', 'Archive']) {
      const mailbox = value(await account.open(name, 'read-only'))
      const seen = mailbox.records().map(({ uid }) => uid)
      expect(new Set(seen).size).toBe(seen.length)
      for (const uid of seen) found.push(/^Subject: (.*)\r\n/.exec((await textOf(mailbox, uid)) ?? '')?.[1] ?? '')
      await mailbox.close()
    }
    expect(found.sort()).toEqual(subjects.toSorted())
  }
})

/** How many places to die at are tried each way; a long run has them all: POSTERN_CRASH_ROUNDS=1000. */
const crashRounds = Number(process.env['POSTERN_CRASH_ROUNDS'] ?? 20)

interface Fact {
  readonly did: string
  readonly mailbox?: string
  readonly subject?: string
  readonly flags?: readonly string[]
  readonly uid?: number
  readonly uids?: readonly number[]
  readonly from?: readonly number[]
  readonly to?: readonly number[]
  readonly modseq?: string
  readonly before?: string
  readonly highest?: string
  readonly calls?: number
}

/** One life of `crash-worker.ts`, in a store of its own with six messages; what it told before it died. */
async function live(root: string, fatal: number, how: string): Promise<Fact[]> {
  const script = join(import.meta.dirname, 'crash-worker.ts')
  const child = spawn(process.execPath, ['--conditions=@postern/source', script, root, ann, String(fatal), how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await once(child, 'close')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Fact)
}

/** What is not as it must be. */
class Faults {
  readonly found: string[] = []

  must(holds: boolean, what: string): void {
    if (!holds) this.found.push(what)
  }
}

async function subjectsOf(mailbox: Mailbox, faults: Faults): Promise<Map<number, string>> {
  const subjects = new Map<number, string>()
  for (const { uid, bytes } of mailbox.records()) {
    const text = (await textOf(mailbox, uid)) ?? ''
    faults.must(text.length === bytes, `${uid} is not whole`)
    subjects.set(uid, /^Subject: (.*)\r\n/.exec(text)?.[1] ?? '')
  }
  return subjects
}

/** UIDs and the flags that file names have. */
const inNames = (mailbox: Mailbox): readonly string[] =>
  mailbox.records().map((each) => `${each.uid} ${each.flags.filter((flag) => flag.startsWith('\\')).join(' ')}`)

/** What the process answered before it died holds for whoever comes after it. */
async function faultsAfter({ store, root, maildir }: TestStore, facts: readonly Fact[]): Promise<readonly string[]> {
  const faults = new Faults()
  const account = await store.openAccount(ann)
  const inbox = value(await account.open('INBOX', 'read-write'))
  const archive = value(await account.open('Archive', 'read-write'))
  const subjects = await subjectsOf(inbox, faults)
  const archived = await subjectsOf(archive, faults)
  const record = (uid: number) => inbox.records().find((each) => each.uid === uid)
  const hasAll = (uid: number, flags: readonly string[]) => flags.every((flag) => record(uid)?.flags.includes(flag))
  const gone = new Set(
    facts.flatMap(({ did, uids = [], from = [] }) => (did === 'expunge' ? uids : did === 'move' ? from : [])),
  )
  const told = facts
    .flatMap(({ modseq, before, highest }) => [modseq, before, highest])
    .filter((each) => each !== undefined)
    .reduce((most, each) => (BigInt(each) > most ? BigInt(each) : most), 0n)
  faults.must((inbox.highestModseq?.() ?? 0n) >= told, 'HIGHESTMODSEQ fell')
  for (const fact of facts) {
    const { did, flags = [], uid = 0, uids = [], from = [], to = [] } = fact
    // A message that is marked may be gone by an expunge that was not answered any more.
    const isMarked = flags.includes('\\Deleted')
    if (did === 'deliver' && uid > 0 && !gone.has(uid) && !isMarked) {
      faults.must(subjects.get(uid) === fact.subject && hasAll(uid, flags), `delivery of ${fact.subject}`)
    }
    // Drafts are set and taken away in turns.
    for (const each of did === 'add' && !flags.includes('\\Draft') ? uids : []) {
      // One that is moved takes them along, also those that no file name tells.
      const moved = archive.records().find((there) => each === 4 && archived.get(there.uid) === 'seed-4')
      if (moved !== undefined) {
        const isWhole = flags.every((flag) => moved.flags.includes(flag))
        faults.must(isWhole, `${flags.join(' ')} of ${each}, which was moved`)
        continue
      }
      if (gone.has(each) || (isMarked && record(each) === undefined)) continue
      faults.must(hasAll(each, flags), `${flags.join(' ')} of ${each}`)
      faults.must((record(each)?.modseq ?? 0n) >= BigInt(fact.modseq ?? 0), `modification sequence of ${each}`)
    }
    if (did === 'copy' || did === 'move') {
      for (const [at, copy] of to.entries())
        faults.must(archived.get(copy) === `seed-${from[at]}`, `${did} of ${from[at]}`)
    }
    if (did === 'expunge') {
      const remembered = (await inbox.expungedSince?.(BigInt(fact.before ?? 0))) ?? []
      for (const each of uids)
        faults.must(
          remembered.some((expunged) => expunged === each),
          `expunge of ${each} forgotten`,
        )
    }
  }
  for (const uid of gone) faults.must(!subjects.has(uid), `${uid} is back`)
  for (const number of [1, 2, 3, 4]) {
    const places = [...subjects.values(), ...archived.values()].filter((each) => each === `seed-${number}`)
    faults.must(places.length > 0, `seed ${number} is nowhere`)
    // The others were copied.
    faults.must(number < 3 || places.length === 1, `seed ${number} is in two places`)
    faults.must(number === 4 || subjects.get(number) === `seed-${number}`, `seed ${number} is another`)
  }
  // No UID names two messages, and what comes next is above all that were told.
  const uids = facts.flatMap((fact) => [fact.uid ?? 0, ...(fact.uids ?? []), ...(fact.from ?? [])])
  const next = await append(store, ann, 'INBOX', 'after')
  faults.must(next.uid > Math.max(6, ...uids), 'a UID was given again')
  await inbox.refresh()
  // Without the journal the same is found again: flags are in file names, UIDs in the list.
  await rm(join(maildir, 'postern-journal'))
  const fresh = openMaildirStore({ root, hostname: 'fresh' })
  const again = value(await (await fresh.openAccount(ann)).open('INBOX', 'read-only'))
  faults.must(inNames(again).join() === inNames(inbox).join(), 'without the journal it is another mailbox')
  faults.must((again.highestModseq?.() ?? 0n) > told, 'a new journal gives old numbers')
  await fresh.close()
  return faults.found
}

/** A store with what a life begins with. */
async function nursery(): Promise<TestStore> {
  const made = await openTestStore()
  for (let number = 1; number <= 6; number++) await append(made.store, ann, 'INBOX', `seed-${number}`)
  const account = await made.store.openAccount(ann)
  value(await account.create('Archive'))
  // Somebody looked, so that what is there has UIDs and modification sequences.
  await value(await account.open('INBOX', 'read-write')).close()
  return made
}

test.each([
  ['through threads', 'threads', 300],
  ['on the event loop where they may be', 'in-place', 200],
])(
  'ST-01, ST-10: killed before each call of the file system, made %s, a process loses nothing that it answered',
  async (_way, how, least) => {
    const whole = await nursery()
    const facts = await live(whole.root, 0, how)
    const calls = facts.at(-1)?.calls ?? 0
    expect(calls).toBeGreaterThan(least)
    expect(await faultsAfter(whole, facts)).toEqual([])
    await whole.end()
    const step = Math.max(1, calls / crashRounds)
    // Each run tries other places, and says which one failed.
    const first = 1 + Math.floor(Math.random() * step)
    const places = Array.from({ length: Math.min(crashRounds, calls) }, (_, at) => first + Math.floor(at * step))
    const count = places.length
    const faults: string[] = []
    const next = async (): Promise<void> => {
      for (let place = places.pop(); place !== undefined; place = places.pop()) {
        const cradle = await nursery()
        const found = await faultsAfter(cradle, await live(cradle.root, place, how))
        faults.push(...found.map((fault) => `killed before call ${place} of ${calls}: ${fault}`))
        await cradle.end()
      }
    }
    await Promise.all([next(), next()])
    process.stdout.write(`killed before ${count} of ${calls} calls, ${how}\n`)
    expect(faults).toEqual([])
  },
  90_000 + crashRounds * 4_000,
)
