/* A mail store in memory, made from the contract alone: what a session may rely on, and nothing else. */
import { MailboxGoneError } from '@postern/core'
import type {
  Account,
  AccountQuota,
  CopiedUids,
  Flag,
  FlagChange,
  FlagsChanged,
  Mailbox,
  MailboxChanges,
  MailboxListing,
  MailboxStatus,
  MailStore,
  MessageContent,
  MessageRecord,
  MessageWriter,
  MovedUids,
  SpecialUse,
  StoreAbility,
  StoreOutcome,
  StoreRefusal,
  Uid,
  UidValidity,
} from '@postern/core'

interface StoredMessage {
  readonly uid: Uid
  flags: readonly Flag[]
  readonly internalDate: Date
  readonly content: Buffer
  modseq: bigint
  readonly savedDate: Date | undefined
}

/** One mailbox as it is; sessions see it through `MemoryMailbox`. */
class StoredMailbox {
  readonly uidValidity: UidValidity
  readonly messages = new Map<Uid, StoredMessage>()
  readonly watchers = new Set<() => void>()
  readonly expunged: { readonly uid: Uid; readonly modseq: bigint }[] = []
  uidNext = 1 as Uid
  highestModseq = 1n
  /** Of messages that come from now on. */
  savedDate: Date | undefined = new Date('2026-02-03T04:05:06Z')
  /** UIDs below it are recent to no later session. */
  recentFrom = 1
  isSubscribed = false
  attributes: string[] = []

  constructor(uidValidity: number) {
    this.uidValidity = uidValidity as UidValidity
  }

  add(content: Buffer, flags: readonly Flag[], internalDate: Date): Uid {
    const uid = this.uidNext
    this.uidNext = (uid + 1) as Uid
    this.messages.set(uid, { uid, flags, internalDate, content, modseq: this.nextModseq(), savedDate: this.savedDate })
    this.hint()
    return uid
  }

  remove(uids: readonly Uid[]): void {
    const modseq = this.nextModseq()
    for (const uid of uids) if (this.messages.delete(uid)) this.expunged.push({ uid, modseq })
    this.hint()
  }

  nextModseq(): bigint {
    this.highestModseq += 1n
    return this.highestModseq
  }

  hint(): void {
    for (const watcher of this.watchers) queueMicrotask(watcher)
  }
}

export class MemoryStore implements MailStore {
  /** Refuses every delivery and flag change with it, when set. */
  refuses: StoreRefusal | undefined
  can: readonly StoreAbility[] = [
    'commit-together',
    'modseq',
    'special-use',
    'object-ids',
    'quota',
    'save-dates',
    'watch',
  ]
  quota: AccountQuota | undefined
  /** Called when names or subscriptions change. */
  readonly listWatchers = new Set<() => void>()
  /** Mailboxes that sessions watch, and how many more may be. */
  watched = 0
  maxWatched = Infinity
  /** Nobody can say what the limits are. */
  isQuotaUnknown = false
  /** As a store whose log of expunged messages does not reach back. */
  forgetsExpunged = false
  /** Calls of `content`: a search that needs no text makes none. */
  contentsOpened = 0
  /** Reads of contents. */
  contentReads = 0
  /** Notes of sessions about messages, by UID, for those who want to see or spoil them; absent: none are kept. */
  notes: Map<Uid, string> | undefined
  readonly #accounts = new Map<string, Map<string, StoredMailbox>>()
  readonly #subscribedNames = new Set<string>()
  #uidValidity = 1000

  mailboxes(account: string): Map<string, StoredMailbox> {
    let mailboxes = this.#accounts.get(account)
    if (mailboxes === undefined) {
      mailboxes = new Map([['INBOX', this.newMailbox()]])
      this.#accounts.set(account, mailboxes)
    }
    return mailboxes
  }

  newMailbox(): StoredMailbox {
    this.#uidValidity += 1
    return new StoredMailbox(this.#uidValidity)
  }

  /** Puts a message there without ceremony; the mailbox is made when it is missing. */
  put(account: string, name: string, text: string, flags: readonly Flag[] = [], date: Date = new Date(0)): Uid {
    const mailboxes = this.mailboxes(account)
    const mailbox = mailboxes.get(name) ?? this.newMailbox()
    mailboxes.set(name, mailbox)
    return mailbox.add(Buffer.from(text, 'latin1'), flags, date)
  }

  get subscribedNames(): Set<string> {
    return this.#subscribedNames
  }

  async openAccount(account: string): Promise<Account> {
    return new MemoryAccount(this, this.mailboxes(account))
  }

  async deliver(
    account: string,
    mailbox: string,
    message: { readonly flags: readonly Flag[]; readonly internalDate?: Date; readonly bytes?: number },
  ): Promise<StoreOutcome<MessageWriter>> {
    if (this.refuses !== undefined) return refused(this.refuses)
    const target = this.mailboxes(account).get(mailbox)
    if (target === undefined) return refused('no-such-mailbox')
    const writer = new MemoryWriter(target, message.flags, message.internalDate ?? new Date())
    return done(this.can.includes('commit-together') ? writer : withoutCommitWith(writer))
  }
}

class MemoryWriter implements MessageWriter {
  readonly #target: StoredMailbox
  readonly #flags: readonly Flag[]
  readonly #date: Date
  readonly #chunks: Buffer[] = []
  #isAborted = false

  constructor(target: StoredMailbox, flags: readonly Flag[], date: Date) {
    this.#target = target
    this.#flags = flags
    this.#date = date
  }

  write(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk))
  }

  async commit(): Promise<StoreOutcome<{ readonly uidValidity: UidValidity; readonly uid: Uid }>> {
    if (this.#isAborted) return refused('unavailable')
    const uid = this.#target.add(Buffer.concat(this.#chunks), this.#flags, this.#date)
    return done({ uidValidity: this.#target.uidValidity, uid })
  }

  async commitWith(
    others: readonly MessageWriter[],
  ): Promise<StoreOutcome<{ readonly uidValidity: UidValidity; readonly uids: readonly Uid[] }>> {
    const all = [this, ...(others as MemoryWriter[])]
    if (all.some((writer) => writer.#isAborted)) return refused('unavailable')
    const uids: Uid[] = []
    for (const writer of all) uids.push(this.#target.add(Buffer.concat(writer.#chunks), writer.#flags, writer.#date))
    return done({ uidValidity: this.#target.uidValidity, uids })
  }

  async abort(): Promise<void> {
    this.#isAborted = true
  }
}

function withoutCommitWith(writer: MessageWriter): MessageWriter {
  return {
    write: (chunk) => writer.write(chunk),
    commit: () => writer.commit(),
    abort: () => writer.abort(),
  }
}

class MemoryAccount implements Account {
  readonly #store: MemoryStore
  readonly #mailboxes: Map<string, StoredMailbox>

  constructor(store: MemoryStore, mailboxes: Map<string, StoredMailbox>) {
    this.#store = store
    this.#mailboxes = mailboxes
  }

  async list(): Promise<readonly MailboxListing[]> {
    const names = [...this.#mailboxes.keys()].sort()
    const listings = names.map((name) => ({
      name,
      attributes: [
        ...(this.#mailboxes.get(name)?.attributes ?? []),
        names.some((other) => other.startsWith(`${name}/`)) ? '\\HasChildren' : '\\HasNoChildren',
      ],
      isSubscribed: this.#store.subscribedNames.has(name),
    }))
    const missing = [...this.#store.subscribedNames].filter((name) => !this.#mailboxes.has(name))
    return [...listings, ...missing.map((name) => ({ name, attributes: ['\\NonExistent'], isSubscribed: true }))]
  }

  async create(name: string, specialUse?: SpecialUse): Promise<StoreOutcome<void>> {
    if (this.#mailboxes.has(name)) return refused('mailbox-exists')
    const mailbox = this.#store.newMailbox()
    if (specialUse !== undefined) {
      if ([...this.#mailboxes.values()].some(({ attributes }) => attributes.includes(specialUse)))
        return refused('bad-use')
      mailbox.attributes.push(specialUse)
    }
    this.#mailboxes.set(name, mailbox)
    this.#hint()
    return done(undefined)
  }

  async delete(name: string): Promise<StoreOutcome<void>> {
    if ([...this.#mailboxes.keys()].some((other) => other.startsWith(`${name}/`))) return refused('has-children')
    this.#hint()
    return this.#mailboxes.delete(name) ? done(undefined) : refused('no-such-mailbox')
  }

  async rename(from: string, to: string): Promise<StoreOutcome<void>> {
    const mailbox = this.#mailboxes.get(from)
    if (mailbox === undefined) return refused('no-such-mailbox')
    if (this.#mailboxes.has(to)) return refused('mailbox-exists')
    this.#mailboxes.set(to, mailbox)
    if (from === 'INBOX') this.#mailboxes.set('INBOX', this.#store.newMailbox())
    else this.#mailboxes.delete(from)
    this.#hint()
    return done(undefined)
  }

  async subscribe(name: string, isSubscribed: boolean): Promise<StoreOutcome<void>> {
    if (isSubscribed) this.#store.subscribedNames.add(name)
    else this.#store.subscribedNames.delete(name)
    this.#hint()
    return done(undefined)
  }

  async status(name: string): Promise<StoreOutcome<MailboxStatus>> {
    const mailbox = this.#mailboxes.get(name)
    if (mailbox === undefined) return refused('no-such-mailbox')
    const messages = [...mailbox.messages.values()]
    return done({
      uidValidity: mailbox.uidValidity,
      uidNext: mailbox.uidNext,
      messages: messages.length,
      unseen: messages.filter(({ flags }) => !flags.includes('\\Seen')).length,
      deletedBytes: messages
        .filter(({ flags }) => flags.includes('\\Deleted'))
        .reduce((sum, { content }) => sum + content.length, 0),
      deleted: messages.filter(({ flags }) => flags.includes('\\Deleted')).length,
      recent: messages.filter(({ uid }) => uid >= mailbox.recentFrom).length,
      bytes: messages.reduce((sum, { content }) => sum + content.length, 0),
      highestModseq: mailbox.highestModseq,
      mailboxId: `F${mailbox.uidValidity}`,
    })
  }

  watchMailbox(name: string, onHint: () => void): (() => void) | undefined {
    const mailbox = this.#mailboxes.get(name)
    if (mailbox === undefined || this.#store.watched >= this.#store.maxWatched) return undefined
    this.#store.watched += 1
    mailbox.watchers.add(onHint)
    return () => {
      if (mailbox.watchers.delete(onHint)) this.#store.watched -= 1
    }
  }

  watchList(onHint: () => void): () => void {
    this.#store.listWatchers.add(onHint)
    return () => void this.#store.listWatchers.delete(onHint)
  }

  #hint(): void {
    for (const watcher of this.#store.listWatchers) queueMicrotask(watcher)
  }

  async quota(): Promise<StoreOutcome<AccountQuota | undefined>> {
    return this.#store.isQuotaUnknown ? refused('unavailable') : done(this.#store.quota)
  }

  async open(name: string, mode: Mailbox['mode']): Promise<StoreOutcome<Mailbox>> {
    const mailbox = this.#mailboxes.get(name)
    if (mailbox === undefined) return refused('no-such-mailbox')
    return done(new MemoryMailbox(this.#store, this.#mailboxes, mailbox, name, mode))
  }

  async close(): Promise<void> {}
}

class MemoryMailbox implements Mailbox {
  name: string
  readonly mode: Mailbox['mode']
  readonly #store: MemoryStore
  readonly #siblings: Map<string, StoredMailbox>
  readonly #stored: StoredMailbox
  readonly #recent = new Set<Uid>()
  #records: readonly MessageRecord[] = []
  #highestModseq = 0n

  constructor(
    store: MemoryStore,
    siblings: Map<string, StoredMailbox>,
    stored: StoredMailbox,
    name: string,
    mode: Mailbox['mode'],
  ) {
    this.#store = store
    this.#siblings = siblings
    this.#stored = stored
    this.name = name
    this.mode = mode
    this.#look()
  }

  get uidValidity(): UidValidity {
    return this.#stored.uidValidity
  }

  get mailboxId(): string {
    return `F${this.uidValidity}`
  }

  records(): readonly MessageRecord[] {
    return this.#records
  }

  uidNext(): Uid {
    return this.#stored.uidNext
  }

  recent(): ReadonlySet<Uid> {
    return new Set(this.#records.map(({ uid }) => uid).filter((uid) => this.#recent.has(uid)))
  }

  keywords(): readonly string[] {
    const flags = [...this.#stored.messages.values()].flatMap((message) => message.flags)
    return [...new Set(flags.filter((flag) => !flag.startsWith('\\')))]
  }

  highestModseq(): bigint {
    return this.#highestModseq
  }

  async expungedSince(modseq: bigint): Promise<readonly Uid[] | undefined> {
    if (this.#store.forgetsExpunged) return undefined
    return this.#stored.expunged.filter((gone) => gone.modseq > modseq).map(({ uid }) => uid)
  }

  async refresh(): Promise<MailboxChanges> {
    const [name] = [...this.#siblings].find(([, stored]) => stored === this.#stored) ?? []
    if (name === undefined) throw new MailboxGoneError('deleted')
    this.name = name
    const before = new Map(this.#records.map((record) => [record.uid, record]))
    this.#look()
    const arrived = this.#records.filter(({ uid }) => !before.has(uid))
    const left = new Set(this.#records.map(({ uid }) => uid))
    const expunged = [...before.keys()].filter((uid) => !left.has(uid))
    const changed = this.#records.filter((record) => {
      const known = before.get(record.uid)
      return known !== undefined && known.modseq !== record.modseq
    })
    return { arrived, expunged, changed }
  }

  watch(onHint: () => void): () => void {
    this.#stored.watchers.add(onHint)
    return () => void this.#stored.watchers.delete(onHint)
  }

  recall(uid: Uid): string | undefined {
    return this.#store.notes?.get(uid)
  }

  remember(uid: Uid, note: string): void {
    this.#store.notes?.set(uid, note)
  }

  async content(uid: Uid): Promise<MessageContent | undefined> {
    this.#store.contentsOpened += 1
    const message = this.#stored.messages.get(uid)
    if (message === undefined) return undefined
    return {
      bytes: message.content.length,
      read: async (offset, length) => {
        this.#store.contentReads += 1
        return Buffer.from(message.content.subarray(offset, offset + length))
      },
      close: async () => {},
    }
  }

  async setFlags(uids: readonly Uid[], { op, flags, unchangedSince }: FlagChange): Promise<StoreOutcome<FlagsChanged>> {
    if (this.#store.refuses !== undefined) return refused(this.#store.refuses)
    const changed: MessageRecord[] = []
    const modified: Uid[] = []
    let modseq: bigint | undefined
    for (const uid of uids) {
      const message = this.#stored.messages.get(uid)
      if (message === undefined) continue
      if (unchangedSince !== undefined && message.modseq > unchangedSince) {
        modified.push(uid)
        continue
      }
      const before = message.flags.join(' ')
      if (op === 'replace') message.flags = [...flags]
      else if (op === 'add') message.flags = [...new Set([...message.flags, ...flags])]
      else message.flags = message.flags.filter((flag) => !flags.includes(flag))
      if (message.flags.join(' ') !== before) message.modseq = modseq ??= this.#stored.nextModseq()
      changed.push(recordOf(message))
    }
    const now = new Map(changed.map((record) => [record.uid, record]))
    this.#records = this.#records.map((record) => now.get(record.uid) ?? record)
    this.#stored.hint()
    return done({ messages: changed, modified })
  }

  async copy(uids: readonly Uid[], target: string): Promise<StoreOutcome<CopiedUids>> {
    const to = this.#siblings.get(target)
    if (to === undefined) return refused('no-such-mailbox')
    const messages = uids.map((uid) => this.#stored.messages.get(uid)).filter((message) => message !== undefined)
    return done({
      uidValidity: to.uidValidity,
      from: messages.map(({ uid }) => uid),
      to: messages.map(({ content, flags, internalDate }) => to.add(content, flags, internalDate)),
    })
  }

  async move(uids: readonly Uid[], target: string): Promise<StoreOutcome<MovedUids>> {
    const refusal = this.#store.refuses
    const copied = await this.copy(refusal === undefined ? uids : uids.slice(0, 1), target)
    if (!copied.ok) return copied
    this.#remove(copied.value.from)
    return refusal === undefined ? copied : done({ ...copied.value, refusal })
  }

  async expunge(uids?: readonly Uid[]): Promise<StoreOutcome<readonly Uid[]>> {
    const deleted = [...this.#stored.messages.values()].filter(({ flags }) => flags.includes('\\Deleted'))
    const removed = deleted.map(({ uid }) => uid).filter((uid) => uids === undefined || uids.includes(uid))
    this.#remove(removed)
    return done(removed)
  }

  async close(): Promise<void> {}

  #remove(uids: readonly Uid[]): void {
    if (uids.length > 0) this.#stored.remove(uids)
    this.#records = this.#records.filter(({ uid }) => !uids.includes(uid))
  }

  #look(): void {
    this.#highestModseq = this.#stored.highestModseq
    this.#records = Array.from(this.#stored.messages.values(), recordOf)
    if (this.mode !== 'read-write') return
    for (const { uid } of this.#records) if (uid >= this.#stored.recentFrom) this.#recent.add(uid)
    this.#stored.recentFrom = this.#stored.uidNext
  }
}

function recordOf({ uid, flags, content, internalDate, modseq, savedDate }: StoredMessage): MessageRecord {
  return { uid, flags, bytes: content.length, internalDate, modseq, emailId: `M${content.length}`, savedDate }
}

function done<T>(value: T): StoreOutcome<T> {
  return { ok: true, value }
}

function refused<T>(refusal: StoreRefusal): StoreOutcome<T> {
  return { ok: false, refusal, detail: 'as the test asked' }
}
