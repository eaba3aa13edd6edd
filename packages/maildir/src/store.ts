import { lstatSync, readdirSync, renameSync, symlinkSync, unlinkSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import type { Account, MessageWriter, StoreAbility, StoreOutcome } from '@postern/core'
import { encodeAccountName, maildirPath } from './account-name.ts'
import { AccountWatches } from './account-watches.ts'
import { MaildirAccount, type FolderPool } from './account.ts'
import { cleanMaildir, cleanTmp } from './cleanup.ts'
import type { MailboxPlace, StoreContext } from './context.ts'
import { openDelivery } from './deliver.ts'
import { FolderSync } from './durable.ts'
import { accepted, isErrno, refused, refusalOf, StoreError } from './errors.ts'
import { UniqueNames } from './filename.ts'
import { Folder } from './folder.ts'
import { InPlace } from './in-place.ts'
import { limits as defaultLimits } from './limits.ts'
import { KeptFiles } from './kept-files.ts'
import { openLocalFile } from './local-file.ts'
import { LockFiles } from './lock.ts'
import { NotesInMemory } from './mailbox-notes.ts'
import { parseMailboxName } from './names.ts'
import type { MaildirStore, MaildirStoreOptions } from './options.ts'
import { UsageCounts } from './quota.ts'
import { Turns } from './turns.ts'

/** Opens a store over `options.root`. Costs nothing until an account is used. */
export function openMaildirStore(options: MaildirStoreOptions): MaildirStore {
  return new Store(options)
}

class Store implements MaildirStore, FolderPool {
  readonly can: readonly StoreAbility[] = [
    'commit-together',
    'modseq',
    'special-use',
    'object-ids',
    'quota',
    'save-dates',
    'watch',
  ]
  readonly #root: string
  readonly #context: StoreContext
  readonly #changed: (account: string, mailbox: string) => void
  /** By path. In use, or kept for the next SELECT: then the oldest first. */
  readonly #folders = new Map<string, Folder>()
  readonly watches: AccountWatches
  readonly #background = new Set<Promise<void>>()
  /** Paths and when they were last cleaned, ms of the monotonic clock. */
  readonly #cleaned = new Map<string, number>()
  #realRoot: Promise<string> | undefined

  constructor(options: MaildirStoreOptions) {
    const disk = options.disk ?? { ...fs, lstatSync, readdirSync, renameSync, symlinkSync, unlinkSync, openLocalFile }
    const limits = { ...defaultLimits, ...options.limits }
    const now = options.now ?? (() => new Date())
    const report = options.onProblem ?? (() => undefined)
    this.#root = options.root
    this.#context = {
      disk,
      inPlace: new InPlace(limits),
      readInPlace: new InPlace(limits),
      limits,
      now,
      report,
      quotaOf: async (account) => {
        try {
          return await options.quotaOf?.(account)
        } catch (cause) {
          throw new StoreError('MAILDIR_QUOTA_UNKNOWN', String(cause), { account, cause })
        }
      },
      notesInMemory: new NotesInMemory(limits.maxNotesMemoryBytes),
      openJournals: new KeptFiles(limits.maxOpenJournals),
      snapshots: new Turns(),
      names: new UniqueNames(options.hostname ?? hostname(), now),
      folders: new FolderSync(disk),
      counts: new UsageCounts(),
      locks: new LockFiles(disk, limits, (path, owner) => {
        report({ kind: 'stale-lock', account: '', mailbox: '', detail: `${path} of ${owner}` })
      }),
    }
    this.watches = new AccountWatches(this.#context)
    this.#changed = (account, mailbox) => {
      this.watches.hint(account, mailbox)
      options.onChange?.(account, mailbox)
    }
  }

  async exists(account: string): Promise<boolean> {
    if (encodeAccountName(account, this.#context.limits.maxElementBytes) === undefined) return false
    return this.#isFolder(await this.#maildirOf(account))
  }

  async createAccount(account: string): Promise<StoreOutcome<void>> {
    if (encodeAccountName(account, this.#context.limits.maxElementBytes) === undefined) {
      return refused('bad-name', 'empty, too long, or not well-formed Unicode')
    }
    const { disk, folders } = this.#context
    try {
      const maildir = await this.#maildirOf(account)
      // `cur` is last: what died half-way is made whole by the next call, since each step allows for its result.
      for (const path of [maildir, `${maildir}/tmp`, `${maildir}/new`, `${maildir}/cur`]) {
        await disk.mkdir(path, { mode: 0o700, recursive: true })
      }
      for (const path of [maildir, dirname(maildir), dirname(dirname(maildir))]) await folders.sync(path)
      return accepted(undefined)
    } catch (error) {
      return refusalOf(error)
    }
  }

  async openAccount(account: string): Promise<Account> {
    const opened = await this.#account(account)
    if (opened === undefined) throw new StoreError('MAILDIR_NO_ACCOUNT', 'no Maildir', { account })
    return opened
  }

  async deliver(
    account: string,
    mailbox: string,
    message: Parameters<MaildirStore['deliver']>[2],
  ): Promise<StoreOutcome<MessageWriter>> {
    if (encodeAccountName(account, this.#context.limits.maxElementBytes) === undefined) {
      return refused('no-such-mailbox', 'no such account')
    }
    try {
      const maildir = await this.#maildirOf(account)
      const owner = new MaildirAccount(account, maildir, this.#context, this)
      if (!(await this.#isFolder(maildir, owner.isKnownLocal(mailbox)))) {
        return refused('no-such-mailbox', 'no such account')
      }
      const found = await owner.folder(mailbox)
      if (!found.ok) return found
      const { folder } = found.value
      return await openDelivery(folder, this.#context, message, owner)
    } catch (error) {
      return refusalOf(error)
    }
  }

  notify(account: string, mailbox: string): void {
    const { limits } = this.#context
    const parsed = parseMailboxName(mailbox, limits)
    if (!parsed.ok) return
    this.watches.hint(account, parsed.value.name)
    for (const folder of this.#folders.values()) {
      if (folder.place.account === account && folder.place.mailbox === parsed.value.name) folder.watch.hint()
    }
  }

  async close(): Promise<void> {
    const folders = [...this.#folders.values()]
    for (const folder of folders) folder.close()
    this.#folders.clear()
    this.watches.close()
    await Promise.all(folders.flatMap((folder) => [folder.notes.letGo(), folder.snapshot.end()]))
    await Promise.all(this.#background)
    await this.#context.openJournals.close()
  }

  use(place: MailboxPlace): Folder {
    const folder =
      this.#folders.get(place.path) ??
      new Folder(place, this.#context, (changed) => {
        this.#changed(changed.place.account, changed.place.mailbox)
      })
    this.#folders.set(place.path, folder)
    folder.users += 1
    this.#cleanNowAndThen(place)
    return folder
  }

  find(path: string): Folder | undefined {
    return this.#folders.get(path)
  }

  release(folder: Folder): void {
    folder.users -= 1
    if (folder.users > 0) return
    if (this.#folders.get(folder.place.path) !== folder) {
      // Forgotten while it was in use: a change of flags meanwhile may have left its journal open.
      this.#leave(folder)
      return
    }
    // Behind the others: the idle ones are in order of their last use.
    this.#folders.delete(folder.place.path)
    this.#folders.set(folder.place.path, folder)
    folder.snapshot.due()
    this.#dropIdle()
  }

  forget(path: string): void {
    const folder = this.#folders.get(path)
    this.#folders.delete(path)
    if (folder !== undefined) this.#leave(folder)
  }

  /** Nothing is kept of a folder whose path means something else by now; who still uses it leaves it in the end. */
  #leave(folder: Folder): void {
    folder.notes.drop()
    folder.snapshot.drop()
    this.inBackground(folder.place, () => folder.closeFiles())
  }

  inBackground(place: MailboxPlace, work: () => Promise<void>): void {
    const { account, mailbox } = place
    const running = work()
      .catch((error: unknown) => {
        this.#context.report({ kind: 'cleanup-failed', account, mailbox, detail: String(error) })
      })
      .finally(() => {
        this.#background.delete(running)
      })
    this.#background.add(running)
  }

  async #account(account: string): Promise<MaildirAccount | undefined> {
    const maildir = await this.#maildirOf(account)
    if (!(await this.#isFolder(maildir))) return undefined
    return new MaildirAccount(account, maildir, this.#context, this)
  }

  async #maildirOf(account: string): Promise<string> {
    // Once: the root may be reached through links, what is below it may not.
    this.#realRoot ??= this.#context.disk.realpath(this.#root)
    let root: string
    try {
      root = await this.#realRoot
    } catch (error) {
      this.#realRoot = undefined
      throw new StoreError('MAILDIR_ROOT', this.#root, { account, cause: error })
    }
    return maildirPath(root, account, this.#context.limits.maxElementBytes)
  }

  /**
   * Neither the Maildir nor the account's folder may be a link to somebody else's.
   *
   * @param inPlace - a mailbox in it is in use, on a file system of this machine: both were looked at.
   */
  async #isFolder(maildir: string, inPlace = false): Promise<boolean> {
    try {
      const { disk } = this.#context
      const stat = (path: string) =>
        inPlace ? disk.lstatSync?.(path, { bigint: true, throwIfNoEntry: false }) : disk.lstat(path)
      const [own, parent] = await Promise.all([stat(maildir), stat(dirname(maildir))])
      return own?.isDirectory() === true && parent?.isDirectory() === true
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false
      throw error
    }
  }

  #dropIdle(): void {
    const { maxIdleMailboxes, maxIdleMessages } = this.#context.limits
    let mailboxes = 0
    let messages = 0
    for (const folder of [...this.#folders.values()].toReversed()) {
      if (folder.users > 0) continue
      mailboxes += 1
      messages += folder.messages.length
      if (mailboxes <= maxIdleMailboxes && messages <= maxIdleMessages) continue
      folder.close()
      this.#folders.delete(folder.place.path)
      this.inBackground(folder.place, async () => {
        await folder.closeFiles()
        await folder.notes.letGo()
        await folder.snapshot.end()
      })
    }
  }

  #cleanNowAndThen(place: MailboxPlace): void {
    const now = performance.now()
    const last = this.#cleaned.get(place.path)
    if (last !== undefined && now - last < this.#context.limits.cleanupEveryMs) return
    // Re-inserted, so that the first is the one that was cleaned longest ago.
    this.#cleaned.delete(place.path)
    this.#cleaned.set(place.path, now)
    const oldest = this.#cleaned.keys().next().value
    if (this.#cleaned.size > maxCleaned && oldest !== undefined) this.#cleaned.delete(oldest)
    this.inBackground(place, async () => {
      await ignoreMissing(cleanTmp(place, this.#context))
      if (place.path === place.maildir) await ignoreMissing(cleanMaildir(place.maildir, this.#context))
    })
  }
}

/** Mailboxes remembered as cleaned; one that is forgotten is only looked at again. */
const maxCleaned = 10_000

async function ignoreMissing(work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
}
