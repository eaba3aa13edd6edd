/*
 * One of several stores at work on one account at once: random operations without a pause, and what its sessions are told
 * held against the rules and against what all others were told. Which of them comes first nobody knows, so there is no model of
 * what must be told; but what must not be told is known.
 *
 * By itself it is a process: `node --conditions=@postern/source stress.ts <root> <account> <seed> <seconds>`, which tells on
 * standard output what it learned.
 */
import { readdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { MailboxGoneError, type Account, type Flag, type Mailbox, type MessageRecord, type Uid } from '@postern/core'
import { openMaildirStore, type MaildirStore } from '../src/index.ts'
import { append, message, textOf } from './conformance.ts'

/** On a machine that does many other things a lock is waited for. Of two that wait for each other both are refused in the end. */
export const patient = { lockWaitMs: 60_000 }

/** Those that begin so are marked \Deleted by nobody: one copy of each at least is there at the end. */
const kept = 'kept'
const mailboxes = ['INBOX', 'A', 'B', 'B/C']
/** It is deleted and made again, so what is kept does not go there. */
const doomed = 'Doomed'
/**
 * Refused since somebody else was first: not there, there already, or another mailbox by now. A delivery whose file turns out to
 * be elsewhere, since its mailbox was renamed just when it was opened, is told to come again.
 */
const isExpected = (refusal: string, detail: string): boolean =>
  ['no-such-mailbox', 'mailbox-exists', 'has-children', 'bad-name'].includes(refusal) ||
  /MAILDIR_(?:UID_VALIDITY_CHANGED|MAILBOX_GONE)|MAILDIR_SYMLINK: opened \S+, which is not in/.test(detail)

const flagsOf = ({ flags }: Pick<MessageRecord, 'flags'>): string => flags.toSorted().join(' ')

/** As one process hands it to another. */
interface ToldParts {
  readonly subjects: Iterable<readonly [string, string]>
  readonly flags: Iterable<readonly [string, string]>
  readonly gone: Iterable<string>
  readonly copies: Iterable<readonly [string, number]>
}

/** What sessions were told, of one process or of all. Names of messages begin with the UIDVALIDITY. */
export class Told {
  readonly faults: string[] = []
  /** Message to its subject. */
  readonly subjects: Map<string, string>
  /** Message and modification sequence to flags. */
  readonly flags: Map<string, string>
  /** Told to be expunged; in the order in which that was. */
  readonly gone: Set<string>
  /** Each subject that is kept to how many copies of it there can be. */
  readonly copies: Map<string, number>
  operations = 0

  constructor({ subjects, flags, gone, copies }: Partial<ToldParts> = {}) {
    this.subjects = new Map(subjects)
    this.flags = new Map(flags)
    this.gone = new Set(gone)
    this.copies = new Map(copies)
  }

  must(holds: boolean, what: () => string): void {
    if (!holds) this.faults.push(what())
  }

  learn(known: Map<string, string>, key: string, what: string): void {
    const before = known.get(key) ?? what
    this.must(before === what, () => `${key} is (${before}) and (${what})`)
    known.set(key, what)
  }

  addCopies(subject: string, more: number): void {
    if (subject.startsWith(kept)) this.copies.set(subject, (this.copies.get(subject) ?? 0) + more)
  }

  /** What another process was told. */
  join({ faults, subjects, flags, gone, copies, operations }: Told): void {
    this.faults.push(...faults)
    for (const [key, subject] of subjects) this.learn(this.subjects, key, subject)
    for (const [key, each] of flags) this.learn(this.flags, key, each)
    for (const key of gone) this.gone.add(key)
    for (const [subject, more] of copies) this.addCopies(subject, more)
    this.operations += operations
  }

  toText(): string {
    const { faults, subjects, flags, gone, copies, operations } = this
    return JSON.stringify({
      faults,
      operations,
      subjects: [...subjects],
      flags: [...flags],
      gone: [...gone],
      copies: [...copies],
    })
  }

  static fromText(text: string): Told {
    const parts = JSON.parse(text) as { faults: string[]; operations: number } & ToldParts
    const told = new Told(parts)
    told.faults.push(...parts.faults)
    told.operations = parts.operations
    return told
  }
}

/** A session's mailbox, and what it was told of it last. */
class Session {
  readonly mailbox: Mailbox
  readonly #told: Told
  #known: ReadonlyMap<Uid, MessageRecord> = new Map()
  #next = 0
  #highest = 0n

  constructor(mailbox: Mailbox, told: Told) {
    this.mailbox = mailbox
    this.#told = told
    this.#take(new Set())
  }

  keyOf(uid: Uid): string {
    return `${this.mailbox.uidValidity} ${uid}`
  }

  async look(): Promise<void> {
    // Whatever was told to be gone before this look began is not in it.
    const goneBefore = new Set(this.#told.gone)
    const since = this.#highest
    const { expunged } = await this.mailbox.refresh()
    for (const uid of expunged) this.#told.gone.add(this.keyOf(uid))
    this.#take(goneBefore)
    const remembered = await this.mailbox.expungedSince?.(since).catch(ifGone)
    if (remembered === undefined) return
    const missing = expunged.filter((uid) => !remembered.includes(uid))
    this.#told.must(
      missing.length === 0,
      () => `${missing.map((uid) => this.keyOf(uid)).join()} not gone since ${since}`,
    )
  }

  /** Of an own change: told at once, whatever else there is to tell. */
  learn(records: readonly MessageRecord[]): void {
    for (const record of records) {
      this.#told.learn(this.#told.flags, `${this.keyOf(record.uid)} under ${record.modseq}`, flagsOf(record))
    }
  }

  #take(goneBefore: ReadonlySet<string>): void {
    const { mailbox } = this
    const told = this.#told
    const records = mailbox.records()
    const [next, highest] = [mailbox.uidNext(), mailbox.highestModseq?.() ?? 0n]
    const at = `${mailbox.uidValidity}`
    told.must(next >= this.#next, () => `UIDNEXT of ${at} fell from ${this.#next} to ${next}`)
    told.must(highest >= this.#highest, () => `HIGHESTMODSEQ of ${at} fell from ${this.#highest} to ${highest}`)
    let last = 0
    for (const record of records) {
      const { uid, modseq = 0n } = record
      const key = this.keyOf(uid)
      told.must(uid > last && uid < next, () => `${key} behind ${last}, with UIDNEXT ${next}`)
      told.must(modseq > 0n && modseq <= highest, () => `${key} under ${modseq}, with HIGHESTMODSEQ ${highest}`)
      told.must(!goneBefore.has(key), () => `${key} came back`)
      last = uid
      const before = this.#known.get(uid)
      if (before === undefined) {
        told.must(uid >= this.#next, () => `${key} came under the UIDNEXT ${this.#next} that was told`)
      }
      const was = before?.modseq ?? 0n
      told.must(modseq >= was, () => `${key} fell from ${was} to ${modseq}`)
      // Who asks for changes since the number that was told gets this one (RFC 7162 section 3.1.2.1).
      const isNews = before === undefined || modseq !== was
      told.must(!isNews || modseq > this.#highest, () => `${key} of ${modseq} was hidden under ${this.#highest}`)
    }
    this.learn(records)
    this.#known = new Map(records.map((record) => [record.uid, record]))
    this.#next = next
    this.#highest = highest
  }
}

/** A mailbox may go at any moment. */
function ifGone(error: unknown): undefined {
  if (error instanceof MailboxGoneError || isExpected('', String(error))) return undefined
  throw error
}

/** Numbers from a seed (Mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export interface StressOptions {
  readonly root: string
  readonly account: string
  /** So that no two messages are alike. */
  readonly name: string
  readonly seed: number
  readonly until: () => boolean
  readonly store: MaildirStore
}

/** Works until it is time. */
export async function work(options: StressOptions, told: Told): Promise<void> {
  const worker = new StressWorker(options, told, await options.store.openAccount(options.account))
  await worker.run()
}

class StressWorker {
  readonly #options: StressOptions
  readonly #told: Told
  readonly #account: Account
  readonly #random: () => number
  readonly #sessions: (Session | undefined)[] = [undefined, undefined]
  #messages = 0

  constructor(options: StressOptions, told: Told, account: Account) {
    this.#options = options
    this.#told = told
    this.#account = account
    this.#random = randomOf(options.seed)
  }

  async run(): Promise<void> {
    try {
      // Two clients of each store, which is one process.
      await Promise.all(this.#sessions.map((_, at) => this.#client(at)))
    } finally {
      for (const session of this.#sessions) await session?.mailbox.close()
    }
  }

  async #client(at: number): Promise<void> {
    while (!this.#options.until()) {
      this.#told.operations += 1
      await this.#step(at)
      // However the disk answers, others have their turn.
      await nextTurn()
    }
  }

  async #step(at: number): Promise<void> {
    const dice = this.#random()
    const session = this.#sessions[at]
    if (dice < 0.12) return this.#append()
    if (dice < 0.17) return this.#foreignDelivery()
    if (dice < 0.22) return this.#foreignFlag()
    if (dice < 0.27) return this.#changeMailboxes()
    if (session === undefined || dice < 0.32) return this.#select(at)
    try {
      if (dice < 0.6) await session.look()
      else if (dice < 0.8) await this.#flag(session)
      else if (dice < 0.86) await this.#copy(session, 'copy')
      else if (dice < 0.94) await this.#copy(session, 'move')
      else if (session.mailbox.mode === 'read-write') await this.#expunge(session)
    } catch (error) {
      ifGone(error)
      await session.mailbox.close()
      this.#sessions[at] = undefined
    }
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T
  }

  #some(session: Session): readonly MessageRecord[] {
    return session.mailbox.records().filter(() => this.#random() < 0.25)
  }

  #expect(
    outcome: { readonly ok: boolean; readonly refusal?: string; readonly detail?: string },
    what: string,
  ): boolean {
    const { ok, refusal = '', detail = '' } = outcome
    this.#told.must(ok || isExpected(refusal, detail), () => `${what}: ${refusal}, ${detail}`)
    return ok
  }

  #subject(isKept: boolean): string {
    this.#messages += 1
    return `${isKept ? kept : 'loose'} ${this.#options.name} ${this.#messages}`
  }

  async #append(): Promise<void> {
    const name = this.#pick([...mailboxes, doomed])
    const subject = this.#subject(name !== doomed && this.#random() < 0.3)
    const flags = this.#pick<readonly Flag[]>([[], ['\\Seen'], ['\\Flagged', '$One'], ['$Two', '$Three']])
    // Before it is there, as others may see it before this one is answered.
    this.#told.addCopies(subject, 1)
    try {
      const { uid, uidValidity } = await append(this.#options.store, this.#options.account, name, subject, { flags })
      this.#told.learn(this.#told.subjects, `${uidValidity} ${uid}`, subject)
    } catch (error) {
      this.#told.addCopies(subject, -1)
      const text = String(error)
      this.#told.must(isExpected(/refused: ([a-z-]+),/.exec(text)?.[1] ?? '', text), () => `append: ${text}`)
    }
  }

  #pathOf(name: string): string {
    const { root, account } = this.#options
    return join(root, account, 'Maildir', name === 'INBOX' ? '' : `.${name.replaceAll('/', '.')}`)
  }

  async #foreignDelivery(): Promise<void> {
    const path = this.#pathOf('INBOX')
    const subject = this.#subject(false)
    const file = `${Math.floor(Date.now() / 1000)}.${subject.replaceAll(' ', '-')}.foreign`
    await writeFile(join(path, 'tmp', file), message(subject))
    await rename(join(path, 'tmp', file), join(path, 'new', file))
  }

  async #foreignFlag(): Promise<void> {
    const path = join(this.#pathOf(this.#pick(mailboxes)), 'cur')
    try {
      const file = this.#pick(await readdir(path))
      const [base = '', letters = ''] = (file ?? '').split(':2,')
      if (base === '') return
      const others = letters.replace('R', '')
      const next = letters.includes('R') ? others : Array.from(`${letters}R`).toSorted().join('')
      await rename(join(path, file), join(path, `${base}:2,${next}`))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  async #changeMailboxes(): Promise<void> {
    const account = this.#account
    const dice = this.#random()
    if (dice < 0.25) this.#expect(await account.delete(doomed), 'delete')
    else if (dice < 0.5) this.#expect(await account.create(this.#pick([...mailboxes.slice(1), doomed])), 'create')
    else if (dice < 0.6) this.#expect(await account.rename('INBOX', this.#pick(mailboxes.slice(1))), 'rename of INBOX')
    else this.#expect(await account.rename(this.#pick(mailboxes.slice(1)), this.#pick(mailboxes.slice(1))), 'rename')
  }

  async #expunge(session: Session): Promise<void> {
    const expunged = await session.mailbox.expunge()
    if (!this.#expect(expunged, 'expunge') || !expunged.ok) return
    for (const uid of expunged.value) this.#told.gone.add(session.keyOf(uid))
  }

  async #select(at: number): Promise<void> {
    await this.#sessions[at]?.mailbox.close()
    this.#sessions[at] = undefined
    const opened = await this.#account.open(
      this.#pick([...mailboxes, doomed]),
      this.#random() < 0.8 ? 'read-write' : 'read-only',
    )
    if (this.#expect(opened, 'open') && opened.ok) this.#sessions[at] = new Session(opened.value, this.#told)
  }

  async #subjectOf(session: Session, uid: Uid): Promise<string | undefined> {
    const key = session.keyOf(uid)
    const known = this.#told.subjects.get(key)
    if (known !== undefined && this.#random() < 0.8) return known
    const text = await textOf(session.mailbox, uid)
    if (text === undefined) return undefined
    const subject = /^Subject: (.*)\r\n/.exec(text)?.[1] ?? ''
    this.#told.must(text === message(subject).toString(), () => `${key} is not whole`)
    this.#told.learn(this.#told.subjects, key, subject)
    return subject
  }

  async #flag(session: Session): Promise<void> {
    const { mailbox } = session
    if (mailbox.mode === 'read-only') return
    const flags = this.#pick<readonly Flag[]>([['\\Seen'], ['\\Flagged'], ['$One', '\\Draft'], ['$Two'], ['\\Deleted']])
    const uids: Uid[] = []
    for (const { uid } of this.#some(session)) {
      const subject = await this.#subjectOf(session, uid)
      if (subject?.startsWith(kept) === false || (subject !== undefined && !flags.includes('\\Deleted'))) uids.push(uid)
    }
    const changed = await mailbox.setFlags(uids, { op: this.#pick(['add', 'remove']), flags })
    if (this.#expect(changed, 'setFlags') && changed.ok) session.learn(changed.value.messages)
  }

  async #copy(session: Session, how: 'copy' | 'move'): Promise<void> {
    const { mailbox } = session
    if (how === 'move' && mailbox.mode === 'read-only') return
    const target = this.#pick([...mailboxes, doomed])
    const subjects = new Map<Uid, string>()
    // What is copied once more each time is soon all there is.
    const some =
      how === 'copy' ? this.#some(session).slice(0, mailbox.records().length > 50 ? 0 : 2) : this.#some(session)
    for (const { uid } of some) {
      const subject = await this.#subjectOf(session, uid)
      if (subject !== undefined && (target !== doomed || !subject.startsWith(kept))) subjects.set(uid, subject)
    }
    if (how === 'copy') for (const subject of subjects.values()) this.#told.addCopies(subject, 1)
    const done = await mailbox[how]([...subjects.keys()], target)
    const isDone = this.#expect(done, how) && done.ok
    const { uidValidity = 0, from = [], to = [] } = isDone ? done.value : {}
    for (const [index, uid] of to.entries()) {
      this.#told.learn(
        this.#told.subjects,
        `${uidValidity} ${uid}`,
        subjects.get(from[index] as Uid) ?? 'not asked for',
      )
    }
    // Those that were not copied.
    if (how === 'copy')
      for (const [uid, subject] of subjects) if (!from.includes(uid)) this.#told.addCopies(subject, -1)
  }
}

/**
 * When all is quiet: stores that were at work, and one that comes now, tell the same; and what is kept is there, in no more
 * copies than were made.
 */
export async function compareStores(stores: readonly MaildirStore[], account: string, told: Told): Promise<void> {
  let views: readonly View[] = []
  const patience = Date.now() + 30_000
  do {
    // A change of another program in the same tick as one of ours is seen a second later.
    if (views.length > 0) await pause(100)
    views = []
    for (const store of stores) views = [...views, await viewOf(await store.openAccount(account))]
  } while (Date.now() < patience && views.some(({ text }) => text !== views[0]?.text))
  for (const { text, subjects } of views) {
    told.must(text === views[0]?.text, () => `two views in the end:\n${views[0]?.text}\n\n${text}`)
    for (const [key, subject] of subjects) {
      told.must(!told.gone.has(key), () => `${key} is back in the end`)
      told.learn(told.subjects, key, subject)
    }
  }
  const found = [...(views.at(-1)?.subjects.values() ?? [])]
  for (const [subject, most] of told.copies) {
    const count = found.filter((each) => each === subject).length
    const isRight = most === 0 || (count > 0 && count <= most)
    told.must(isRight, () => `${count} of ${subject}, of which there were ${most} copies`)
  }
}

interface View {
  readonly text: string
  /** Of each message. */
  readonly subjects: ReadonlyMap<string, string>
}

async function viewOf(account: Account): Promise<View> {
  const lines: string[] = []
  const subjects = new Map<string, string>()
  for (const { name, attributes } of await account.list()) {
    if (attributes.includes('\\Noselect') || attributes.includes('\\NonExistent')) continue
    const opening = await account.open(name, 'read-only')
    if (!opening.ok) throw new Error(`${name}: ${opening.detail}`)
    const mailbox = opening.value
    lines.push(`${name} ${mailbox.uidValidity} ${mailbox.uidNext()}`)
    for (const record of mailbox.records()) {
      const key = `${mailbox.uidValidity} ${record.uid}`
      lines.push(`${key} under ${record.modseq} (${flagsOf(record)})`)
      const text = (await textOf(mailbox, record.uid)) ?? ''
      subjects.set(key, /^Subject: (.*)\r\n/.exec(text)?.[1] ?? 'not to be read')
    }
    await mailbox.close()
  }
  return { text: lines.join('\n'), subjects }
}

if (process.argv[1] === import.meta.filename) {
  const [root = '', account = '', seed = '0', seconds = '1'] = process.argv.slice(2)
  const told = new Told()
  const end = Date.now() + Number(seconds) * 1000
  const store = openMaildirStore({ root, hostname: `mx${seed}`, limits: patient })
  await work({ root, account, name: `p${seed}`, seed: Number(seed), until: () => Date.now() >= end, store }, told)
  await store.close()
  process.stdout.write(told.toText())
}
