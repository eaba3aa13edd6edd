import {
  MailboxGoneError,
  type Awaitable,
  type CopiedUids,
  type FlagChange,
  type FlagsChanged,
  type Mailbox,
  type MailboxChanges,
  type MessageContent,
  type MessageRecord,
  type MovedUids,
  type ObjectId,
  type StoreOutcome,
  type Uid,
  type UidValidity,
} from '@postern/core'
import { accepted, refused, refusalOf, StoreError } from './errors.ts'
import type { Folder } from './folder.ts'
import type { StoredMessage } from './message.ts'
import { indexOfUid } from './message.ts'

/** What a handle asks of the account it belongs to. */
export interface MailboxOwner {
  copy(source: Folder, target: string, uids: readonly Uid[], of: UidValidity): Promise<StoreOutcome<CopiedUids>>
  move(source: Folder, target: string, uids: readonly Uid[], of: UidValidity): Promise<StoreOutcome<MovedUids>>
  /** The mailbox, whatever its name is by now; its folder is in use until it is released. */
  find(of: MailboxIdentity): Promise<NamedFolder | undefined>
  release(folder: Folder): void
}

/**
 * What stays of a mailbox when it is renamed. Postern gives a UIDVALIDITY once in an account, but a folder that an operator
 * copied, or brought from elsewhere, may have it too; and the number of a folder that was deleted may be given again.
 */
export interface MailboxIdentity {
  readonly uidValidity: UidValidity
  readonly inode: bigint
}

/** A mailbox's folder, and the name that clients know it by. */
export interface NamedFolder {
  readonly folder: Folder
  readonly name: string
  readonly inode: bigint
}

/**
 * One session's handle: the mailbox as this session was told, over a folder that sessions share. A mailbox that is renamed is
 * the same one, and its sessions go along (RFC 2180 section 3.4).
 */
export class OpenMailbox implements Mailbox {
  readonly mode: 'read-only' | 'read-write'
  readonly uidValidity: UidValidity
  readonly #identity: MailboxIdentity
  #folder: Folder
  #name: string
  readonly #owner: MailboxOwner
  readonly #recent: Set<Uid>
  readonly #watches = new Set<{ readonly onHint: () => void; end: () => void }>()
  #records: readonly StoredMessage[]
  #uidNext: Uid
  #highestModseq: bigint
  #isClosed = false

  get name(): string {
    return this.#name
  }

  get mailboxId(): ObjectId {
    return mailboxIdOf(this.uidValidity)
  }

  /** The folder was refreshed just before; `claimed` are the messages that this session is the first to see. */
  constructor(
    { folder, name, inode }: NamedFolder,
    mode: 'read-only' | 'read-write',
    owner: MailboxOwner,
    claimed: readonly Uid[],
  ) {
    this.#name = name
    this.mode = mode
    this.#folder = folder
    this.#owner = owner
    this.uidValidity = folder.uidValidity
    this.#identity = { uidValidity: this.uidValidity, inode }
    this.#uidNext = folder.uidNext
    this.#highestModseq = folder.highestModseq
    this.#records = folder.messages
    this.#recent = new Set(claimed)
    this.#markNewAsRecent(this.#records)
  }

  records(): readonly MessageRecord[] {
    return this.#records
  }

  uidNext(): Uid {
    return this.#uidNext
  }

  recent(): ReadonlySet<Uid> {
    return this.#recent
  }

  keywords(): readonly string[] {
    return this.#folder.keywords
  }

  highestModseq(): bigint {
    return this.#highestModseq
  }

  expungedSince(modseq: bigint): Promise<readonly Uid[] | undefined> {
    this.#assertOpen()
    return this.#folder.expungedSince(this.uidValidity, modseq)
  }

  async refresh(): Promise<MailboxChanges> {
    this.#assertOpen()
    const claimed = await this.#look()
    const before = this.#records
    const after = this.#folder.messages
    this.#records = after
    this.#uidNext = this.#folder.uidNext
    this.#highestModseq = this.#folder.highestModseq
    const changes = compare(before, after)
    for (const uid of changes.expunged) this.#recent.delete(uid)
    for (const uid of claimed) this.#recent.add(uid)
    this.#markNewAsRecent(changes.arrived)
    return changes
  }

  watch(onHint: () => void): () => void {
    this.#assertOpen()
    const watching = { onHint, end: this.#folder.watch.add(onHint) }
    this.#watches.add(watching)
    return () => {
      if (this.#watches.delete(watching)) watching.end()
    }
  }

  recall(uid: Uid): Awaitable<string | undefined> {
    this.#assertOpen()
    return this.#folder.uidValidity === this.uidValidity ? this.#folder.notes.get(uid) : undefined
  }

  remember(uid: Uid, note: string): void {
    if (this.#isClosed) return
    const isKnown = this.#folder.uidValidity === this.uidValidity && indexOfUid(this.#records, uid) >= 0
    if (isKnown) this.#folder.notes.set(uid, note)
  }

  async content(uid: Uid): Promise<MessageContent | undefined> {
    this.#assertOpen()
    for (let tries = 0; ; tries++) {
      try {
        return await this.#folder.content(uid, this.uidValidity)
      } catch (error) {
        if (!isGone(error)) throw error
        if (tries >= maxFollowed || !(await this.#follow())) return undefined
      }
    }
  }

  async setFlags(uids: readonly Uid[], change: FlagChange): Promise<StoreOutcome<FlagsChanged>> {
    this.#assertOpen()
    if (this.mode === 'read-only') return readOnly
    const known = this.#known(uids)
    const outcome = await this.#following((folder) => folder.changeFlags(known, this.uidValidity, change))
    if (!outcome.ok) return outcome
    const records = this.#records.slice()
    for (const message of outcome.value.messages) {
      const at = indexOfUid(records, message.uid)
      if (at >= 0) records[at] = message
    }
    this.#records = records
    return outcome
  }

  async copy(uids: readonly Uid[], target: string): Promise<StoreOutcome<CopiedUids>> {
    this.#assertOpen()
    const known = this.#known(uids)
    return this.#following((folder) => this.#owner.copy(folder, target, known, this.uidValidity))
  }

  async move(uids: readonly Uid[], target: string): Promise<StoreOutcome<MovedUids>> {
    this.#assertOpen()
    if (this.mode === 'read-only') return readOnly
    const known = this.#known(uids)
    const outcome = await this.#following((folder) => this.#owner.move(folder, target, known, this.uidValidity))
    if (outcome.ok) this.#drop(outcome.value.from)
    return outcome
  }

  async expunge(uids?: readonly Uid[]): Promise<StoreOutcome<readonly Uid[]>> {
    this.#assertOpen()
    if (this.mode === 'read-only') return readOnly
    const candidates = uids === undefined ? this.#records.map((message) => message.uid) : this.#known(uids)
    const outcome = await this.#following(async (folder) =>
      accepted(await folder.remove(candidates, this.uidValidity, (message) => message.letters.includes('T'))),
    )
    if (outcome.ok) this.#drop(outcome.value)
    return outcome
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const { end } of this.#watches) end()
    this.#watches.clear()
    this.#owner.release(this.#folder)
  }

  /** Looks at the disk, wherever the mailbox is by now. */
  async #look(): Promise<readonly Uid[]> {
    for (let tries = 0; ; tries++) {
      try {
        const claimed = await this.#folder.refresh(this.mode === 'read-write')
        if (this.#folder.uidValidity === this.uidValidity) return claimed
      } catch (error) {
        if (!isGone(error)) throw error
      }
      if (tries >= maxFollowed || !(await this.#follow())) {
        throw new MailboxGoneError(`${this.#folder.place.path} is not what was selected`)
      }
    }
  }

  /** Does it once more where the mailbox is now, when it was refused because the mailbox is not there any more. */
  async #following<T>(work: (folder: Folder) => Promise<StoreOutcome<T>>): Promise<StoreOutcome<T>> {
    for (let tries = 0; ; tries++) {
      const outcome = await work(this.#folder).catch(refusalOf)
      const mayBeGone = !outcome.ok && (outcome.refusal === 'no-such-mailbox' || outcome.refusal === 'unavailable')
      if (!mayBeGone || tries >= maxFollowed || !(await this.#hasMoved())) return outcome
    }
  }

  /** The mailbox has another name by now, and is followed. What cannot be told now leaves all as it was. */
  async #hasMoved(): Promise<boolean> {
    try {
      return !(await this.#isAt(this.#folder)) && (await this.#follow())
    } catch {
      return false
    }
  }

  async #isAt(folder: Folder): Promise<boolean> {
    try {
      await folder.refresh(false)
      return folder.uidValidity === this.uidValidity
    } catch (error) {
      if (isGone(error)) return false
      throw error
    }
  }

  /** False when the mailbox is nowhere in the account. */
  async #follow(): Promise<boolean> {
    const found = await this.#owner.find(this.#identity)
    if (found === undefined) return false
    let unused = found.folder
    try {
      // Looked at last: it may be closed meanwhile, and then has released the folder it had.
      if (!(await this.#isAt(found.folder)) || this.#isClosed) return false
      unused = this.#folder
      this.#folder = found.folder
      this.#name = found.name
    } finally {
      this.#owner.release(unused)
    }
    for (const watching of this.#watches) {
      watching.end()
      watching.end = found.folder.watch.add(watching.onHint)
    }
    return true
  }

  /** A session that only reads shows what waits in `new` as recent, and leaves it so. */
  #markNewAsRecent(messages: readonly MessageRecord[]): void {
    if (this.mode === 'read-write') return
    for (const message of messages as readonly StoredMessage[]) if (message.isNew) this.#recent.add(message.uid)
  }

  /** Only what this session was told of; ascending, each once. */
  #known(uids: readonly Uid[]): readonly Uid[] {
    const known = uids.filter((uid) => indexOfUid(this.#records, uid) >= 0)
    return [...new Set(known)].sort((a, b) => a - b)
  }

  #drop(uids: readonly Uid[]): void {
    if (uids.length === 0) return
    const gone = new Set(uids)
    this.#records = this.#records.filter((message) => !gone.has(message.uid))
    for (const uid of gone) this.#recent.delete(uid)
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new StoreError('MAILDIR_SPENT', 'the mailbox was closed', this.#folder.place)
  }
}

/** No other mailbox of the account has, had or will have this UIDVALIDITY (`uid-validity.ts`). */
export const mailboxIdOf = (uidValidity: UidValidity): ObjectId => `F${uidValidity}`

/** Renames in a row behind which a mailbox is looked for: more of them, within one call, come from nobody who is well. */
const maxFollowed = 4

const readOnly = refused('unavailable', 'the mailbox is open read-only')

function isGone(error: unknown): error is StoreError {
  if (!(error instanceof StoreError)) return false
  return error.code === 'MAILDIR_MAILBOX_GONE' || error.code === 'MAILDIR_UID_VALIDITY_CHANGED'
}

/** Two looks, both ascending by UID. */
function compare(before: readonly StoredMessage[], after: readonly StoredMessage[]): MailboxChanges {
  const arrived: StoredMessage[] = []
  const expunged: Uid[] = []
  const changed: StoredMessage[] = []
  if (before === after) return { arrived, expunged, changed }
  let at = 0
  // Mostly only the last ones are others: a hundred thousand are passed in a tenth of a millisecond.
  while (at < before.length && before[at] === after[at]) at += 1
  for (const message of after.slice(at)) {
    let old = before[at]
    while (old !== undefined && old.uid < message.uid) {
      expunged.push(old.uid)
      at += 1
      old = before[at]
    }
    if (old?.uid !== message.uid) {
      arrived.push(message)
      continue
    }
    at += 1
    if (old !== message && !isAsBefore(old, message)) changed.push(message)
  }
  for (const old of before.slice(at)) expunged.push(old.uid)
  return { arrived, expunged, changed }
}

function isAsBefore(a: StoredMessage, b: StoredMessage): boolean {
  if (a.state.modseq !== b.state.modseq) return false
  return a.flags === b.flags || (a.flags.length === b.flags.length && a.flags.every((flag, at) => flag === b.flags[at]))
}
