import type {
  Account,
  AccountQuota,
  CopiedUids,
  Mailbox,
  MailboxListing,
  MailboxStatus,
  MovedUids,
  SpecialUse,
  StoreOutcome,
  StoreRefusal,
  Uid,
  UidValidity,
} from '@postern/core'
import type { AccountWatches } from './account-watches.ts'
import { creatingPrefix, deletedPrefix } from './cleanup.ts'
import type { MailboxPlace, StoreContext } from './context.ts'
import { copyMessages } from './copy.ts'
import type { DeliveryOwner } from './deliver.ts'
import { lstatIfThere } from './durable.ts'
import { accepted, isErrno, refused, refusalOf } from './errors.ts'
import type { Folder } from './folder.ts'
import { mailboxIdOf, OpenMailbox, type MailboxIdentity, type MailboxOwner, type NamedFolder } from './mailbox.ts'
import { moveMessages } from './move.ts'
import { mailboxNameOf, parentsOf, parseMailboxName, type MailboxName } from './names.ts'
import { SpecialUses } from './special-use.ts'
import { forgetUsage, readUsage } from './quota.ts'
import { changeSubscription, readSubscriptions } from './subscriptions.ts'
import { yieldTurn } from './turns.ts'
import { nextUidValidity } from './uid-validity.ts'
import { readUidListHeader, writeUidList } from './uidlist.ts'

/** Folders in use by this process, kept by the store. */
export interface FolderPool {
  readonly watches: AccountWatches
  use(place: MailboxPlace): Folder
  /** As it is known already, if it is. */
  find(path: string): Folder | undefined
  release(folder: Folder): void
  /** The folder's path means something else from now on. */
  forget(path: string): void
  /** Work that nobody waits for, but the store's end does. */
  inBackground(place: MailboxPlace, work: () => Promise<void>): void
}

const lockName = 'postern-account.lock'

/** One account's mailboxes. Creating, deleting, renaming and subscribing hold the account's lock. */
export class MaildirAccount implements Account, MailboxOwner, DeliveryOwner {
  readonly #account: string
  readonly #maildir: string
  readonly #context: StoreContext
  readonly #pool: FolderPool
  readonly #uses: SpecialUses

  constructor(account: string, maildir: string, context: StoreContext, pool: FolderPool) {
    this.#account = account
    this.#maildir = maildir
    this.#context = context
    this.#pool = pool
    this.#uses = new SpecialUses(context.disk, maildir, context.limits)
  }

  async list(): Promise<readonly MailboxListing[]> {
    const existing = await this.#existing()
    const subscribed = await readSubscriptions(this.#context.disk, this.#maildir, this.#context.limits)
    const implied = new Set([...existing.keys()].flatMap(parentsOf).filter((name) => !existing.has(name)))
    const parents = new Set([...existing.keys()].flatMap(parentsOf))
    const names = [...new Set([...existing.keys(), ...implied, ...subscribed])].sort(inboxFirst)
    const uses = await this.#uses.of(new Set(existing.keys()))
    const listings: MailboxListing[] = []
    for (const name of names) {
      if ((listings.length + 1) % this.#context.limits.namesPerTurn === 0) await yieldTurn()
      const attributes = [parents.has(name) ? '\\HasChildren' : '\\HasNoChildren']
      const use = uses.get(name)
      if (implied.has(name)) attributes.push('\\Noselect')
      else if (!existing.has(name)) attributes.push('\\NonExistent')
      else if (use !== undefined) attributes.push(use)
      listings.push({ name, attributes, isSubscribed: subscribed.has(name) })
    }
    return listings
  }

  async create(text: string, specialUse?: SpecialUse): Promise<StoreOutcome<void>> {
    // RFC 9051 section 6.3.4: a trailing separator only declares that children will follow.
    return this.#changeMailboxes([text.endsWith('/') ? text.slice(0, -1) : text], async ([mailbox]) => {
      if (mailbox === undefined) return refused('bad-name', 'no name')
      const existing = await this.#existing()
      if (existing.has(mailbox.name)) return refused('mailbox-exists', mailbox.name)
      const missing = [...parentsOf(mailbox.name), mailbox.name].filter((name) => !existing.has(name))
      if (existing.size + missing.length > this.#context.limits.maxMailboxes)
        return refused('limit', 'too many mailboxes')
      if (specialUse !== undefined) {
        const uses = await this.#uses.of(new Set(existing.keys()))
        if ([...uses.values()].includes(specialUse)) return refused('bad-use', `another mailbox is ${specialUse}`)
      }
      for (const name of missing) {
        const parsed = parseMailboxName(name, this.#context.limits)
        if (!parsed.ok) return parsed
        if (!(await this.#make(parsed.value))) return refused('mailbox-exists', name)
      }
      // Also when it has none: one of that name may have had one.
      await this.#uses.set(mailbox.name, specialUse)
      return done
    })
  }

  async delete(text: string): Promise<StoreOutcome<void>> {
    return this.#changeMailboxes([text], async ([mailbox]) => {
      if (mailbox === undefined || mailbox.folder === '') return refused('bad-name', 'INBOX is not deleted')
      const existing = await this.#existing()
      if (!existing.has(mailbox.name)) return refused(...this.#whyNotThere(mailbox.name, existing))
      const grave = `${this.#maildir}/${deletedPrefix}${this.#context.names.next()}`
      await this.#moveFolder(mailbox, grave)
      await this.#context.folders.sync(this.#maildir)
      await forgetUsage(this.#maildir, this.#context)
      // Nobody waits for the files of a large mailbox; a killed process leaves them to the next clean-up.
      this.#pool.inBackground(this.#placeOf(mailbox), () =>
        this.#context.disk.rm(grave, { recursive: true, force: true }),
      )
      return done
    })
  }

  async rename(from: string, to: string): Promise<StoreOutcome<void>> {
    return this.#changeMailboxes([from, to], async ([source, target]) => {
      if (source === undefined || target === undefined) return refused('bad-name', 'no name')
      const existing = await this.#existing()
      if (existing.has(target.name)) return refused('mailbox-exists', target.name)
      if (target.folder === '' || (`${target.name}/`.startsWith(`${source.name}/`) && source.folder !== '')) {
        return refused('bad-name', 'a mailbox cannot become its own child')
      }
      if (source.folder === '') return this.#renameInbox(source, target, existing)
      const children = [...existing.keys()].filter((name) => name.startsWith(`${source.name}/`))
      if (!existing.has(source.name) && children.length === 0) return refused('no-such-mailbox', source.name)
      const moves: { readonly from: MailboxName; readonly to: MailboxName }[] = []
      // The mailbox itself comes last: when this is killed half-way, the same RENAME finishes it.
      for (const name of existing.has(source.name) ? [...children, source.name] : children) {
        const old = parseMailboxName(name, this.#context.limits)
        const fresh = parseMailboxName(target.name + name.slice(source.name.length), this.#context.limits)
        if (!old.ok) return old
        if (!fresh.ok) return fresh
        if (existing.has(fresh.value.name)) return refused('mailbox-exists', fresh.value.name)
        moves.push({ from: old.value, to: fresh.value })
      }
      // RFC 9051 section 6.3.6: the names above need to be there. In a Maildir++ they are, and LIST tells them as \Noselect.
      for (const move of moves) await this.#moveFolder(move.from, `${this.#maildir}/${move.to.folder}`)
      await this.#context.folders.sync(this.#maildir)
      await this.#uses.rename(new Map(moves.map((move) => [move.from.name, move.to.name])))
      return done
    })
  }

  async subscribe(text: string, isSubscribed: boolean): Promise<StoreOutcome<void>> {
    return this.#changeMailboxes([text], async ([mailbox]) => {
      if (mailbox === undefined) return refused('bad-name', 'no name')
      const { disk, limits } = this.#context
      const isDone = await changeSubscription(disk, this.#maildir, mailbox, isSubscribed, limits)
      return isDone ? done : refused('limit', `more than ${limits.maxSubscriptions} subscriptions`)
    })
  }

  async status(text: string): Promise<StoreOutcome<MailboxStatus>> {
    return this.#withFolder(text, async (folder) => {
      await folder.refresh(false)
      const counts = { unseen: 0, deleted: 0, recent: 0, bytes: 0, deletedBytes: 0 }
      for (const message of folder.messages) {
        const { letters } = message
        if (!letters.includes('S')) counts.unseen += 1
        if (letters.includes('T')) {
          counts.deleted += 1
          counts.deletedBytes += message.bytes
        }
        if (message.isNew) counts.recent += 1
        counts.bytes += message.bytes
      }
      const { uidValidity, uidNext, messages, highestModseq } = folder
      const mailboxId = mailboxIdOf(uidValidity)
      return accepted({ uidValidity, uidNext, messages: messages.length, highestModseq, mailboxId, ...counts })
    })
  }

  async quota(): Promise<StoreOutcome<AccountQuota | undefined>> {
    try {
      const limits = await this.#context.quotaOf(this.#account)
      if (limits === undefined) return accepted(undefined)
      const used = await readUsage(this.#maildir, limits, this.#context)
      return accepted({
        ...(limits.bytes === undefined ? {} : { storage: { used: used.bytes, limit: limits.bytes } }),
        ...(limits.messages === undefined ? {} : { messages: { used: used.messages, limit: limits.messages } }),
      })
    } catch (error) {
      return refusalOf(error)
    }
  }

  watchMailbox(text: string, onHint: () => void): (() => void) | undefined {
    const parsed = parseMailboxName(text, this.#context.limits)
    return parsed.ok ? this.#pool.watches.mailbox(this.#placeOf(parsed.value), onHint) : undefined
  }

  watchList(onHint: () => void): (() => void) | undefined {
    return this.#pool.watches.list(this.#account, this.#maildir, onHint)
  }

  async open(text: string, mode: 'read-only' | 'read-write'): Promise<StoreOutcome<Mailbox>> {
    const found = await this.folder(text)
    if (!found.ok) return found
    const { folder } = found.value
    try {
      const claimed = await folder.refresh(mode === 'read-write')
      return accepted(new OpenMailbox(found.value, mode, this, claimed))
    } catch (error) {
      this.#pool.release(folder)
      return refusalOf(error)
    }
  }

  async close(): Promise<void> {
    // Handles are closed one by one by whoever opened them, and nothing else is held.
  }

  async copy(source: Folder, target: string, uids: readonly Uid[], of: UidValidity): Promise<StoreOutcome<CopiedUids>> {
    return this.#withFolder(target, (folder) => copyMessages(this.#context, source, folder, uids, of))
  }

  async move(source: Folder, target: string, uids: readonly Uid[], of: UidValidity): Promise<StoreOutcome<MovedUids>> {
    return this.#withFolder(target, (folder) => moveMessages(this.#context, source, folder, uids, of))
  }

  async find({ uidValidity, inode }: MailboxIdentity): Promise<NamedFolder | undefined> {
    const { disk } = this.#context
    return this.#search(async (place) => {
      if ((await lstatIfThere(disk, place.path))?.ino !== inode) return undefined
      const header = await readUidListHeader(disk, place.path)
      if (header?.uidValidity !== uidValidity) return undefined
      return { folder: this.#pool.use(place), name: place.mailbox, inode }
    })
  }

  /** The mailbox in whose `tmp/` a file waits; its folder is in use until it is released. */
  async findWaiting(file: string): Promise<Folder | undefined> {
    return this.#search(async (place) => {
      const isThere = (await lstatIfThere(this.#context.disk, `${place.path}/tmp/${file}`)) !== undefined
      return isThere ? this.#pool.use(place) : undefined
    })
  }

  release(folder: Folder): void {
    this.#pool.release(folder)
  }

  /** This process uses the mailbox, and knows that it is on a file system of this machine. */
  isKnownLocal(text: string): boolean {
    const parsed = parseMailboxName(text, this.#context.limits)
    return parsed.ok && this.#pool.find(this.#placeOf(parsed.value).path)?.isLocal === true
  }

  /** The mailbox's folder, in use until it is released. */
  async folder(text: string): Promise<StoreOutcome<NamedFolder>> {
    const parsed = parseMailboxName(text, this.#context.limits)
    if (!parsed.ok) return parsed
    const place = this.#placeOf(parsed.value)
    try {
      const known = this.#pool.find(place.path)
      const stats = known?.isLocal === true ? known.statFolder() : await lstatIfThere(this.#context.disk, place.path)
      if (stats === undefined) return refused('no-such-mailbox', parsed.value.name)
      if (!stats.isDirectory()) return refused('unavailable', `${place.path} is no folder; a link is not followed`)
      return accepted({ folder: this.#pool.use(place), name: parsed.value.name, inode: stats.ino })
    } catch (error) {
      return refusalOf(error)
    }
  }

  async #withFolder<T>(text: string, work: (folder: Folder) => Promise<StoreOutcome<T>>): Promise<StoreOutcome<T>> {
    const found = await this.folder(text)
    if (!found.ok) return found
    try {
      return await work(found.value.folder)
    } catch (error) {
      return refusalOf(error)
    } finally {
      this.#pool.release(found.value.folder)
    }
  }

  /** Reads the names, takes the account's lock, and makes what the disk refuses a value. */
  async #changeMailboxes(
    texts: readonly string[],
    work: (mailboxes: readonly MailboxName[]) => Promise<StoreOutcome<void>>,
  ): Promise<StoreOutcome<void>> {
    const mailboxes: MailboxName[] = []
    for (const text of texts) {
      const parsed = parseMailboxName(text, this.#context.limits)
      if (!parsed.ok) return parsed
      mailboxes.push(parsed.value)
    }
    const path = `${this.#maildir}/${lockName}`
    try {
      const lock = await this.#context.locks.acquire(path)
      try {
        return await work(mailboxes)
      } finally {
        await this.#context.locks.release(lock, path)
      }
    } catch (error) {
      return refusalOf(error)
    }
  }

  /** Mailboxes on the disk: name to folder. */
  async #existing(): Promise<ReadonlyMap<string, string>> {
    const { disk, limits, report } = this.#context
    const found = new Map([['INBOX', '']])
    for await (const entry of await disk.opendir(this.#maildir, { bufferSize: limits.folderBufferEntries })) {
      if (!entry.name.startsWith('.')) continue
      const name = entry.isDirectory() ? mailboxNameOf(entry.name, limits) : undefined
      if (name !== undefined) found.set(name, entry.name)
      else report({ kind: 'skipped-folder', account: this.#account, mailbox: '', detail: entry.name })
    }
    return found
  }

  /** What `ask` finds in one of the mailboxes. One that is renamed in the middle of it is found the second time. */
  async #search<T>(ask: (place: MailboxPlace) => Promise<T | undefined>): Promise<T | undefined> {
    for (let tries = 0; tries < 2; tries++) {
      for (const [name, folder] of await this.#existing()) {
        const found = await ask(this.#placeOf({ name, folder }))
        if (found !== undefined) return found
      }
    }
    return undefined
  }

  async #renameInbox(
    inbox: MailboxName,
    target: MailboxName,
    existing: ReadonlyMap<string, string>,
  ): Promise<StoreOutcome<void>> {
    // RFC 9051 section 6.3.6: its messages move, INBOX stays, its children are not touched.
    if (existing.size >= this.#context.limits.maxMailboxes) return refused('limit', 'too many mailboxes')
    if (!(await this.#make(target))) return refused('mailbox-exists', target.name)
    return this.#withFolder(inbox.name, async (source) => {
      await source.refresh(false)
      const uids = source.messages.map((message) => message.uid)
      const moved = await this.move(source, target.name, uids, source.uidValidity)
      if (!moved.ok) return moved
      const { refusal } = moved.value
      return refusal === undefined ? done : refused(refusal, 'some of the messages are still in INBOX')
    })
  }

  /** Makes a mailbox elsewhere and renames it into place: it is there whole, with its UIDVALIDITY, or not at all. */
  async #make(mailbox: MailboxName): Promise<boolean> {
    const { disk, limits, locks, names, now, folders } = this.#context
    const draft = `${this.#maildir}/${creatingPrefix}${names.next()}`
    const path = `${this.#maildir}/${mailbox.folder}`
    const uidValidity = await nextUidValidity(disk, locks, this.#maildir, now(), limits)
    try {
      await disk.mkdir(draft, { mode: 0o700 })
      for (const name of ['cur', 'new', 'tmp']) await disk.mkdir(`${draft}/${name}`, { mode: 0o700 })
      // Maildir++: tells a delivery program that this is a folder of a larger Maildir.
      await (await disk.open(`${draft}/maildirfolder`, 'wx', 0o600)).close()
      await writeUidList(disk, draft, { uidValidity, uidNext: 1 as Uid }, [], limits)
      await disk.rename(draft, path)
    } catch (error) {
      await disk.rm(draft, { recursive: true, force: true }).catch(() => undefined)
      if (isErrno(error, 'ENOTEMPTY', 'EEXIST')) return false
      throw error
    }
    this.#pool.forget(path)
    await folders.sync(this.#maildir)
    return true
  }

  async #moveFolder(mailbox: MailboxName, path: string): Promise<void> {
    const place = this.#placeOf(mailbox)
    const folder = this.#pool.use(place)
    try {
      await folder.exclusiveMove(async () => {
        await this.#context.disk.rename(place.path, path)
        return path
      })
    } finally {
      this.#pool.release(folder)
      this.#pool.forget(place.path)
      this.#pool.forget(path)
    }
  }

  #placeOf(mailbox: MailboxName): MailboxPlace {
    const path = mailbox.folder === '' ? this.#maildir : `${this.#maildir}/${mailbox.folder}`
    return { account: this.#account, mailbox: mailbox.name, path, maildir: this.#maildir }
  }

  #whyNotThere(name: string, existing: ReadonlyMap<string, string>): [StoreRefusal, string] {
    const hasChildren = [...existing.keys()].some((other) => other.startsWith(`${name}/`))
    return [hasChildren ? 'has-children' : 'no-such-mailbox', name]
  }
}

const done = accepted<void>(undefined)

function inboxFirst(a: string, b: string): number {
  if (a === 'INBOX' || b === 'INBOX') return a === b ? 0 : a === 'INBOX' ? -1 : 1
  return a < b ? -1 : 1
}
