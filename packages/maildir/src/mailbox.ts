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
  move(source: Folder, target: string, uids: readonly Uid[], of: UidValidity): Promise<StoreOutcome<CopiedUids>>
  release(folder: Folder): void
}

/** One session's handle: the mailbox as this session was told, over a folder that sessions share. */
export class OpenMailbox implements Mailbox {
  readonly name: string
  readonly mode: 'read-only' | 'read-write'
  readonly uidValidity: UidValidity
  readonly #folder: Folder
  readonly #owner: MailboxOwner
  readonly #recent: Set<Uid>
  readonly #watches = new Set<() => void>()
  #records: readonly StoredMessage[]
  #uidNext: Uid
  #highestModseq: bigint
  #isClosed = false

  get mailboxId(): ObjectId {
    return mailboxIdOf(this.uidValidity)
  }

  /** The folder was refreshed just before; `claimed` are the messages that this session is the first to see. */
  constructor(
    name: string,
    mode: 'read-only' | 'read-write',
    folder: Folder,
    owner: MailboxOwner,
    claimed: readonly Uid[],
  ) {
    this.name = name
    this.mode = mode
    this.#folder = folder
    this.#owner = owner
    this.uidValidity = folder.uidValidity
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
    const claimed = await this.#folder.refresh(this.mode === 'read-write').catch((error: unknown) => {
      throw isGone(error) ? new MailboxGoneError(error.message, { cause: error }) : error
    })
    if (this.#folder.uidValidity !== this.uidValidity) {
      throw new MailboxGoneError(`${this.#folder.place.path} was made anew`)
    }
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
    const end = this.#folder.watch.add(onHint)
    this.#watches.add(end)
    return () => {
      if (this.#watches.delete(end)) end()
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
    try {
      return await this.#folder.content(uid, this.uidValidity)
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    }
  }

  async setFlags(uids: readonly Uid[], change: FlagChange): Promise<StoreOutcome<FlagsChanged>> {
    this.#assertOpen()
    if (this.mode === 'read-only') return readOnly
    try {
      const outcome = await this.#folder.changeFlags(this.#known(uids), this.uidValidity, change)
      if (!outcome.ok) return outcome
      const records = this.#records.slice()
      for (const message of outcome.value.messages) {
        const at = indexOfUid(records, message.uid)
        if (at >= 0) records[at] = message
      }
      this.#records = records
      return outcome
    } catch (error) {
      return refusalOf(error)
    }
  }

  async copy(uids: readonly Uid[], target: string): Promise<StoreOutcome<CopiedUids>> {
    this.#assertOpen()
    return this.#owner.copy(this.#folder, target, this.#known(uids), this.uidValidity)
  }

  async move(uids: readonly Uid[], target: string): Promise<StoreOutcome<CopiedUids>> {
    this.#assertOpen()
    if (this.mode === 'read-only') return readOnly
    const outcome = await this.#owner.move(this.#folder, target, this.#known(uids), this.uidValidity)
    if (outcome.ok) this.#drop(outcome.value.from)
    return outcome
  }

  async expunge(uids?: readonly Uid[]): Promise<StoreOutcome<readonly Uid[]>> {
    this.#assertOpen()
    if (this.mode === 'read-only') return readOnly
    const candidates = uids === undefined ? this.#records.map((message) => message.uid) : this.#known(uids)
    try {
      const removed = await this.#folder.remove(candidates, this.uidValidity, (message) =>
        message.letters.includes('T'),
      )
      this.#drop(removed)
      return accepted(removed)
    } catch (error) {
      return refusalOf(error)
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const end of this.#watches) end()
    this.#watches.clear()
    this.#owner.release(this.#folder)
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
  for (const message of after) {
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
