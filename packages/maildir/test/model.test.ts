/*
 * Sessions over two stores on one account, as two processes have it, and another program beside them, against a plain model:
 * random steps, whose outcomes, views and UIDs the model foretells. What a session was told changes by its own steps and its own
 * looks, and by nothing else; who reads all in the end finds the model. A run that fails is made small, and told with its seed.
 *
 * POSTERN_MODEL_RUNS=2000 is a long run; POSTERN_MODEL_SEED repeats one.
 */
import { lstatSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { MailboxGoneError, type Account, type Flag, type Mailbox, type MessageRecord, type Uid } from '@postern/core'
import { expect, test, vi } from 'vitest'
import { openMaildirStore, type MaildirStore } from '../src/index.ts'
import { openLocalFile } from '../src/local-file.ts'
import { append, message, refusal, textOf, value } from './conformance.ts'
import { ann, openTestStore, snapshotsAtOnce, unsyncedDisk, type TestStore } from './kit.ts'

// The disk of a busy machine is slow; no test waits for a time to pass.
vi.setConfig({ testTimeout: 3_600_000 })

const runs = Number(process.env['POSTERN_MODEL_RUNS'] ?? 12)
/** The short form is the same each time; a long run is another one each time. */
const seed = process.env['POSTERN_MODEL_SEED'] ?? (process.env['POSTERN_MODEL_RUNS'] === undefined ? '2180' : undefined)

// ── the model ───────────────────────────────────────────────────────────────

interface ModelMessage {
  readonly uid: number
  readonly subject: string
  flags: ReadonlySet<Flag>
}

class ModelMailbox {
  messages: ModelMessage[] = []
  uidNext = 1

  add(subject: string, flags: Iterable<Flag>): number {
    const uid = this.uidNext
    this.uidNext += 1
    this.messages.push({ uid, subject, flags: new Set(flags) })
    return uid
  }

  find(uid: number): ModelMessage | undefined {
    return this.messages.find((each) => each.uid === uid)
  }

  remove(uids: readonly number[]): void {
    this.messages = this.messages.filter(({ uid }) => !uids.includes(uid))
  }
}

class Model {
  readonly mailboxes = new Map<string, ModelMailbox>([['INBOX', new ModelMailbox()]])

  create(name: string): string {
    if (this.mailboxes.has(name)) return 'mailbox-exists'
    const levels = name.split('/')
    for (const [at] of levels.entries()) {
      const level = levels.slice(0, at + 1).join('/')
      if (!this.mailboxes.has(level)) this.mailboxes.set(level, new ModelMailbox())
    }
    return 'ok'
  }

  delete(name: string): string {
    if (name === 'INBOX') return 'bad-name'
    if (this.mailboxes.delete(name)) return 'ok'
    return this.#below(name).length > 0 ? 'has-children' : 'no-such-mailbox'
  }

  rename(from: string, to: string): string {
    if (this.mailboxes.has(to)) return 'mailbox-exists'
    if (`${to}/`.startsWith(`${from}/`) && from !== 'INBOX') return 'bad-name'
    const source = this.mailboxes.get(from)
    if (from === 'INBOX' && source !== undefined) {
      const target = new ModelMailbox()
      for (const { subject, flags } of source.messages) target.add(subject, flags)
      source.messages = []
      this.mailboxes.set(to, target)
      return 'ok'
    }
    const moved = [...this.#below(from), ...(source === undefined ? [] : [from])]
    if (moved.length === 0) return 'no-such-mailbox'
    if (moved.some((name) => this.mailboxes.has(to + name.slice(from.length)))) return 'mailbox-exists'
    for (const name of moved) {
      const mailbox = this.mailboxes.get(name)
      this.mailboxes.delete(name)
      if (mailbox !== undefined) this.mailboxes.set(to + name.slice(from.length), mailbox)
    }
    return 'ok'
  }

  nameOf(mailbox: ModelMailbox): string | undefined {
    return [...this.mailboxes].find(([, each]) => each === mailbox)?.[0]
  }

  #below(name: string): string[] {
    return [...this.mailboxes.keys()].filter((each) => each.startsWith(`${name}/`))
  }
}

// ── what is tested ──────────────────────────────────────────────────────────

/** One client's selected mailbox. */
interface Session {
  readonly store: number
  readonly mailbox: Mailbox
  readonly model: ModelMailbox
  readonly isReadOnly: boolean
  /** UID to flags, as it was told. */
  told: ReadonlyMap<number, string>
  readonly since: bigint
  readonly atFirst: ReadonlySet<number>
}

interface Process {
  readonly store: MaildirStore
  readonly account: Account
}

class World {
  readonly opened: TestStore
  readonly model = new Model()
  readonly processes: Process[] = []
  readonly sessions: (Session | undefined)[] = [undefined, undefined, undefined, undefined]
  readonly #isLocal: boolean
  #letters = 0
  /** UID and modification sequence of a mailbox, to flags: two tellings are one truth. */
  readonly #truth = new Map<ModelMailbox, Map<string, string>>()
  /** To whom a message was recent. */
  readonly #recent = new Map<ModelMailbox, Map<number, Mailbox>>()

  private constructor(opened: TestStore, isLocal: boolean) {
    this.opened = opened
    this.#isLocal = isLocal
  }

  static async begin(isLocal: boolean): Promise<World> {
    const world = new World(await openTestStore(), isLocal)
    await world.start(0)
    await world.start(1)
    for (const each of firstSteps) await take(world, each)
    return world
  }

  async start(at: number): Promise<void> {
    const { root } = this.opened
    const disk = unsyncedDisk(this.#isLocal ? { lstatSync, openLocalFile } : {})
    // A change of another program in the same tick as one of ours is otherwise seen a second later.
    // One of them keeps nothing in memory that nobody has selected, and begins with a snapshot each time.
    const idle = at === 0 ? {} : { maxIdleMailboxes: 0 }
    const limits = { ...snapshotsAtOnce, ownChangeRescanMs: 0, ...idle }
    const store = openMaildirStore({ root, hostname: `mx${at}`, disk, limits })
    this.processes[at] = { store, account: await store.openAccount(ann) }
  }

  process(at: number): Process {
    const found = this.processes[at]
    if (found === undefined) throw new Error('no such process')
    return found
  }

  /** No two messages are alike. */
  subject(): string {
    this.#letters += 1
    return `message ${this.#letters}`
  }

  path(name: string): string {
    const folder = name === 'INBOX' ? '' : `.${name.replaceAll('/', '.')}`
    return join(this.opened.maildir, folder)
  }

  /** What a session was told is no contradiction of what anybody was told before. */
  learn({ mailbox, model, isReadOnly }: Session): void {
    const truth = this.#truth.get(model) ?? new Map<string, string>()
    this.#truth.set(model, truth)
    for (const record of mailbox.records()) {
      const key = `${record.uid} under ${record.modseq}`
      mustBe({ key, flags: flagsOf(record) }, { key, flags: truth.get(key) ?? flagsOf(record) })
      truth.set(key, flagsOf(record))
    }
    const recent = this.#recent.get(model) ?? new Map<number, Mailbox>()
    this.#recent.set(model, recent)
    if (isReadOnly) return
    for (const uid of mailbox.recent()) {
      mustBe((recent.get(uid) ?? mailbox) === mailbox, true)
      recent.set(uid, mailbox)
    }
  }

  /** Between its own steps a session's list is the one that it was told. */
  expectTold(): void {
    for (const session of this.sessions) {
      if (session !== undefined) mustBe(toldBy(session.mailbox.records()), session.told)
    }
  }

  async end(): Promise<void> {
    for (const session of this.sessions) await session?.mailbox.close()
    for (const { store } of this.processes) await store.close()
  }
}

/** An assertion of a step. Each run is within the test, and fails it. */
function mustBe(given: unknown, wanted: unknown): void {
  // oxlint-disable-next-line vitest/no-standalone-expect -- called by the test below, once for each step
  expect(given).toEqual(wanted)
}

const flagsOf = ({ flags }: Pick<MessageRecord, 'flags'>): string => flags.toSorted().join(' ')
const toldBy = (records: readonly MessageRecord[]): ReadonlyMap<number, string> =>
  new Map(records.map((record) => [record.uid, flagsOf(record)]))
const flagsIn = ({ flags }: ModelMessage): string => [...flags].toSorted().join(' ')
const truthOf = ({ messages }: ModelMailbox): ReadonlyMap<number, string> =>
  new Map(messages.map((each) => [each.uid, flagsIn(each)]))

// ── steps ───────────────────────────────────────────────────────────────────

type Step =
  | { readonly do: 'append'; readonly store: number; readonly name: string; readonly flags: readonly Flag[] }
  | {
      readonly do: 'select'
      readonly session: number
      readonly store: number
      readonly name: string
      readonly isReadOnly: boolean
    }
  | { readonly do: 'look' | 'expunge' | 'close'; readonly session: number }
  | { readonly do: 'read'; readonly session: number; readonly pick: number }
  | {
      readonly do: 'flag'
      readonly session: number
      readonly picks: readonly number[]
      readonly op: 'add' | 'remove' | 'replace'
      readonly flags: readonly Flag[]
    }
  | { readonly do: 'copy' | 'move'; readonly session: number; readonly picks: readonly number[]; readonly name: string }
  | { readonly do: 'create' | 'delete'; readonly store: number; readonly name: string }
  | { readonly do: 'rename'; readonly store: number; readonly name: string; readonly to: string }
  | { readonly do: 'restart'; readonly store: number }
  /** Of another program, and seen by the next look of that store. */
  | { readonly do: 'foreign delivery'; readonly store: number; readonly name: string }
  | {
      readonly do: 'foreign flag' | 'foreign unlink'
      readonly store: number
      readonly name: string
      readonly pick: number
    }

const names = ['INBOX', 'A', 'B', 'A/C', 'B/D']
const name = fc.constantFrom(...names)
const store = fc.constantFrom(0, 1)
const session = fc.constantFrom(0, 1, 2, 3)
const pick = fc.nat(7)
const picks = fc.array(pick, { minLength: 1, maxLength: 3 })
const flags = fc.uniqueArray(fc.constantFrom<Flag>('\\Seen', '\\Flagged', '\\Deleted', '$One', '$Two'), {
  maxLength: 3,
})
const op = fc.constantFrom('add' as const, 'remove' as const, 'replace' as const)

const kinds = <T extends string>(...of: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...of)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: kinds('append'), store, name, flags }) },
  { weight: 2, arbitrary: fc.record({ do: kinds('select'), session, store, name, isReadOnly: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: kinds('look', 'look', 'look', 'look', 'expunge', 'expunge', 'close'), session }),
  },
  { weight: 1, arbitrary: fc.record({ do: kinds('read'), session, pick }) },
  { weight: 4, arbitrary: fc.record({ do: kinds('flag'), session, picks, op, flags }) },
  { weight: 4, arbitrary: fc.record({ do: kinds('copy', 'move'), session, picks, name }) },
  { weight: 1, arbitrary: fc.record({ do: kinds('create', 'create', 'delete'), store, name }) },
  { weight: 1, arbitrary: fc.record({ do: kinds('rename'), store, name, to: name }) },
  { weight: 1, arbitrary: fc.record({ do: kinds('restart'), store }) },
  { weight: 2, arbitrary: fc.record({ do: kinds('foreign delivery'), store, name }) },
  { weight: 2, arbitrary: fc.record({ do: kinds('foreign flag', 'foreign unlink'), store, name, pick }) },
)

/** So that most steps find something to do. */
const firstSteps: readonly Step[] = [
  { do: 'create', store: 0, name: 'A/C' },
  { do: 'append', store: 0, name: 'INBOX', flags: ['\\Seen', '$One'] },
  { do: 'append', store: 1, name: 'INBOX', flags: [] },
  { do: 'append', store: 1, name: 'INBOX', flags: ['\\Deleted'] },
  { do: 'append', store: 0, name: 'A', flags: ['\\Flagged'] },
  { do: 'append', store: 1, name: 'A', flags: ['$Two'] },
  { do: 'select', session: 0, store: 0, name: 'INBOX', isReadOnly: false },
  { do: 'select', session: 1, store: 1, name: 'INBOX', isReadOnly: false },
  { do: 'select', session: 2, store: 1, name: 'A', isReadOnly: false },
  { do: 'select', session: 3, store: 0, name: 'A', isReadOnly: true },
]

async function take(world: World, act: Step): Promise<void> {
  switch (act.do) {
    case 'append':
      return takeAppend(world, act)
    case 'select':
      return takeSelect(world, act)
    case 'create':
    case 'delete': {
      const { account } = world.process(act.store)
      const given = act.do === 'create' ? await account.create(act.name) : await account.delete(act.name)
      return expect(refusal(given)).toBe(world.model[act.do](act.name))
    }
    case 'rename': {
      const given = await world.process(act.store).account.rename(act.name, act.to)
      return expect(refusal(given)).toBe(world.model.rename(act.name, act.to))
    }
    case 'restart':
      return takeRestart(world, act.store)
    case 'foreign delivery':
    case 'foreign flag':
    case 'foreign unlink':
      return takeForeign(world, act)
    case 'look':
    case 'expunge':
    case 'close':
    case 'read':
    case 'flag':
    case 'copy':
    case 'move': {
      const selected = world.sessions[act.session]
      return selected === undefined ? undefined : inSession(world, selected, act)
    }
  }
}

async function takeAppend(world: World, act: Extract<Step, { do: 'append' }>): Promise<void> {
  const { store: into } = world.process(act.store)
  const model = world.model.mailboxes.get(act.name)
  const subject = world.subject()
  if (model === undefined) {
    expect(refusal(await into.deliver(ann, act.name, { flags: act.flags }))).toBe('no-such-mailbox')
    return
  }
  const { uid } = await append(into, ann, act.name, subject, { flags: act.flags })
  expect(uid).toBe(model.add(subject, act.flags))
}

async function takeSelect(world: World, act: Extract<Step, { do: 'select' }>): Promise<void> {
  await world.sessions[act.session]?.mailbox.close()
  world.sessions[act.session] = undefined
  const { account } = world.process(act.store)
  const opening = await account.open(act.name, act.isReadOnly ? 'read-only' : 'read-write')
  const model = world.model.mailboxes.get(act.name)
  expect(refusal(opening)).toBe(model === undefined ? 'no-such-mailbox' : 'ok')
  if (model === undefined) return
  const mailbox = value(opening)
  const told = toldBy(mailbox.records())
  expect(told).toEqual(truthOf(model))
  const selected = { store: act.store, mailbox, model, isReadOnly: act.isReadOnly, told }
  world.sessions[act.session] = { ...selected, since: mailbox.highestModseq?.() ?? 0n, atFirst: new Set(told.keys()) }
}

async function takeRestart(world: World, at: number): Promise<void> {
  for (const [index, each] of world.sessions.entries()) {
    if (each?.store !== at) continue
    await each.mailbox.close()
    world.sessions[index] = undefined
  }
  await world.process(at).store.close()
  await world.start(at)
}

/** The file of a message, by its line in the UID list: copies of one message are alike. */
async function fileOf(path: string, uid: number): Promise<string | undefined> {
  const list = await fs.readFile(join(path, 'postern-uidlist'), 'latin1')
  const [, base = ''] = new RegExp(`^\\+${uid} \\d+ \\d+ \\d+ (\\S+) `, 'm').exec(list) ?? []
  const wanted = decodeURIComponent(base)
  for (const folder of ['new', 'cur']) {
    for (const file of await fs.readdir(join(path, folder))) {
      if (file.split(':')[0] === wanted) return join(folder, file)
    }
  }
  return undefined
}

async function takeForeign(world: World, act: Extract<Step, { do: `foreign ${string}` }>): Promise<void> {
  const model = world.model.mailboxes.get(act.name)
  if (model === undefined) return
  const path = world.path(act.name)
  if (act.do === 'foreign delivery') {
    const subject = world.subject()
    await fs.writeFile(join(path, 'tmp', subject), message(subject))
    await fs.rename(join(path, 'tmp', subject), join(path, 'new', subject))
    model.add(subject, [])
  } else {
    const chosen = model.messages[act.pick % Math.max(1, model.messages.length)]
    if (chosen === undefined) return
    const file = await fileOf(path, chosen.uid)
    if (file === undefined) throw new Error(`no file of ${chosen.subject}`)
    if (act.do === 'foreign unlink') {
      await fs.unlink(join(path, file))
      model.remove([chosen.uid])
    } else {
      const [base = '', letters = ''] = file.replace(/^(?:new|cur)\//, '').split(':2,')
      const others = Array.from(letters.replace('F', ''))
      const next = letters.includes('F') ? others : [...others, 'F'].toSorted()
      await fs.rename(join(path, file), join(path, 'cur', `${base}:2,${next.join('')}`))
      const rest = [...chosen.flags].filter((flag) => flag !== '\\Flagged')
      chosen.flags = new Set(chosen.flags.has('\\Flagged') ? rest : [...rest, '\\Flagged'])
    }
  }
  expect(value(await world.process(act.store).account.status(act.name))).toMatchObject({
    messages: model.messages.length,
    uidNext: model.uidNext,
    unseen: model.messages.filter(({ flags: has }) => !has.has('\\Seen')).length,
  })
}

type InSession = Exclude<Extract<Step, { readonly session: number }>, { readonly do: 'select' }>

async function inSession(world: World, selected: Session, act: InSession): Promise<void> {
  const { mailbox, model, told } = selected
  const at = world.sessions.indexOf(selected)
  const leave = async () => {
    await mailbox.close()
    world.sessions[at] = undefined
  }
  const isThere = world.model.nameOf(model) !== undefined
  const uids = [...told.keys()]
  const picked = (which: readonly number[]): Uid[] =>
    [...new Set(which.map((number) => uids[number % uids.length]))].filter((uid) => uid !== undefined) as Uid[]
  if (act.do === 'close') return leave()
  if (!isThere) {
    // Whatever has its name by now.
    await expect(mailbox.refresh()).rejects.toBeInstanceOf(MailboxGoneError)
    return leave()
  }
  switch (act.do) {
    case 'look':
      await takeLook(world, selected)
      break
    case 'read':
      for (const uid of picked([act.pick])) {
        const subject = model.find(uid)?.subject
        const text = await textOf(mailbox, uid)
        expect(text).toBe(subject === undefined ? undefined : message(subject).toString())
      }
      break
    case 'flag':
      await takeFlag(selected, picked(act.picks), act)
      break
    case 'expunge': {
      const gone = selected.isReadOnly ? [] : uids.filter((uid) => model.find(uid)?.flags.has('\\Deleted') === true)
      const outcome = await mailbox.expunge()
      expect(outcome.ok ? outcome.value : outcome.refusal).toEqual(selected.isReadOnly ? 'unavailable' : gone)
      model.remove(gone)
      selected.told = new Map([...told].filter(([uid]) => !gone.includes(uid)))
      break
    }
    case 'copy':
    case 'move':
      await takeCopy(world, selected, picked(act.picks), act)
      break
  }
  world.learn(selected)
}

async function takeLook(world: World, selected: Session): Promise<void> {
  const { mailbox, model, told } = selected
  const { arrived, expunged, changed } = await mailbox.refresh()
  const truth = truthOf(model)
  expect(mailbox.name).toBe(world.model.nameOf(model))
  expect(mailbox.uidNext()).toBe(model.uidNext)
  expect(toldBy(mailbox.records())).toEqual(truth)
  expect(arrived.map(({ uid }) => uid)).toEqual([...truth.keys()].filter((uid) => !told.has(uid)))
  expect(expunged).toEqual([...told.keys()].filter((uid) => !truth.has(uid)))
  const differ = [...truth].filter(([uid, now]) => told.has(uid) && told.get(uid) !== now).map(([uid]) => uid)
  expect(changed.map(({ uid }) => uid)).toEqual(expect.arrayContaining(differ))
  // RFC 7162: who comes back is told what is gone since.
  const gone = (await mailbox.expungedSince?.(selected.since)) ?? []
  expect(gone).toEqual(expect.arrayContaining([...selected.atFirst].filter((uid) => !truth.has(uid))))
  selected.told = truth
}

async function takeFlag(selected: Session, uids: Uid[], act: Extract<Step, { do: 'flag' }>): Promise<void> {
  const { mailbox, model } = selected
  const outcome = await mailbox.setFlags(uids, { op: act.op, flags: act.flags })
  if (selected.isReadOnly) return expect(refusal(outcome)).toBe('unavailable')
  const there = uids.flatMap((uid) => model.find(uid) ?? []).toSorted((a, b) => a.uid - b.uid)
  for (const each of there) {
    if (act.op === 'replace') each.flags = new Set(act.flags)
    else if (act.op === 'add') each.flags = new Set([...each.flags, ...act.flags])
    else each.flags = new Set([...each.flags].filter((flag) => !act.flags.includes(flag)))
  }
  expect(toldBy(value(outcome).messages)).toEqual(new Map(there.map((each) => [each.uid, flagsIn(each)])))
  selected.told = new Map(
    [...selected.told].map(([uid, before]) => {
      const now = there.find((each) => each.uid === uid)
      return [uid, now === undefined ? before : flagsIn(now)]
    }),
  )
}

async function takeCopy(
  world: World,
  selected: Session,
  uids: Uid[],
  act: Extract<Step, { do: 'copy' | 'move' }>,
): Promise<void> {
  const { mailbox, model, isReadOnly } = selected
  const outcome = await mailbox[act.do](uids, act.name)
  const target = world.model.mailboxes.get(act.name)
  if (act.do === 'move' && isReadOnly) return expect(refusal(outcome)).toBe('unavailable')
  if (target === undefined) return expect(refusal(outcome)).toBe('no-such-mailbox')
  const there = uids.flatMap((uid) => model.find(uid) ?? []).toSorted((a, b) => a.uid - b.uid)
  const { from, to } = value(outcome)
  expect(from).toEqual(there.map(({ uid }) => uid))
  expect(to).toEqual(there.map(({ subject, flags: of }) => target.add(subject, of)))
  if (act.do === 'copy') return undefined
  model.remove(from)
  selected.told = new Map([...selected.told].filter(([uid]) => !from.includes(uid as Uid)))
}

async function run(isLocal: boolean, steps: readonly Step[]): Promise<void> {
  const world = await World.begin(isLocal)
  try {
    for (const each of steps) {
      await take(world, each)
      world.expectTold()
    }
    for (const selected of world.sessions) {
      if (selected !== undefined) await inSession(world, selected, { do: 'look', session: 0 })
    }
    const reader = await openTestStore({ root: world.opened.root })
    const account = await reader.store.openAccount(ann)
    const listed = (await account.list()).filter(({ attributes }) => !attributes.includes('\\Noselect'))
    expect(listed.map((each) => each.name).toSorted()).toEqual([...world.model.mailboxes.keys()].toSorted())
    for (const [each, model] of world.model.mailboxes) {
      const mailbox = value(await account.open(each, 'read-only'))
      expect(toldBy(mailbox.records())).toEqual(truthOf(model))
      for (const { uid, subject } of model.messages) {
        expect(await textOf(mailbox, uid as Uid)).toBe(message(subject).toString())
      }
      await mailbox.close()
    }
    await reader.store.close()
  } finally {
    await world.end()
    await world.opened.end()
  }
}

test('ST-05: sessions over two stores on one account, and another program, are as a plain model has it', async () => {
  await fc.assert(fc.asyncProperty(fc.boolean(), fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), run), {
    numRuns: runs,
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    endOnFailure: false,
  })
})
