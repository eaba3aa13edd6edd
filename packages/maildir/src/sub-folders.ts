/*
 * The folders `new` and `cur` of one mailbox: what is in them, and whether they changed since they were last read. The
 * races that these times are about are told in `sync.ts`.
 */
import type { BigIntStats } from 'node:fs'
import type { Awaitable } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { isErrno, StoreError } from './errors.ts'
import type { MaildirLimits } from './limits.ts'
import { FolderChanges } from './local-changes.ts'
import { QuickStat } from './quick-stat.ts'
import { stateOfFolder } from './snapshot.ts'
import { yieldTurn } from './turns.ts'

export type SubFolder = 'new' | 'cur'

/** What is known of `new` or `cur` itself. */
interface FolderTime {
  readonly mtimeNs: bigint
  /** A change of our own gave the folder this time. */
  readonly isOurs: boolean
  /** `stateOfFolder` as it was before it was read; `undefined` when that may change unseen, or we changed it since. */
  readonly asRead: string | undefined
  /** A change of another program may hide behind this time: read again from this moment on, ms since 1970. */
  readonly readAgainAtMs: number
}

const atOnce = 0
const never = Number.POSITIVE_INFINITY

export class SubFolders {
  readonly quick: QuickStat
  readonly changes: FolderChanges
  readonly #place: MailboxPlace
  readonly #context: StoreContext
  readonly #times: Record<SubFolder, FolderTime | undefined> = { new: undefined, cur: undefined }

  constructor(place: MailboxPlace, context: StoreContext) {
    this.#place = place
    this.#context = context
    this.quick = new QuickStat(place.path, context.disk)
    this.changes = new FolderChanges(this.quick, context)
  }

  /** Their times now. Makes a folder that is missing: other programs make `cur` and `new` only when they first need them. */
  async times(): Promise<Record<SubFolder, BigIntStats>> {
    const [fresh, current] = await Promise.all([this.#statFolder('new'), this.#statFolder('cur')])
    return { new: fresh, cur: current }
  }

  /** Makes what is missing of them, and `tmp`. */
  async make(): Promise<void> {
    await this.assertThere()
    for (const name of ['tmp', 'new', 'cur']) {
      await this.#context.disk.mkdir(`${this.#place.path}/${name}`, { mode: 0o700, recursive: true })
    }
  }

  /** Whether what was read of a folder may be old, now that its time is `mtimeNs`. */
  mustRead(folder: SubFolder, mtimeNs: bigint): boolean {
    const known = this.#times[folder]
    return known === undefined || known.mtimeNs !== mtimeNs || Date.now() >= known.readAgainAtMs
  }

  /** Reads a folder that was as `before` says just before. */
  async read(folder: SubFolder, before: BigIntStats, visit: (name: string) => void): Promise<void> {
    const { mtimeNs } = before
    const known = this.#times[folder]
    const isOurs = known?.isOurs === true && known.mtimeNs === mtimeNs
    // As of now, before reading: a change while we read is what might hide.
    const readAgainAtMs = this.isTimeSettled(mtimeNs) ? never : isOurs ? this.#rescanAtMs() : atOnce
    // A time that was set back is past at once; what comes in the same tick, and is set back again, has the same ctime too.
    const asRead = this.isTimeSettled(before.ctimeNs) ? stateOfFolder(before) : undefined
    if (!(await this.#eachOfFew(folder, before, visit))) await this.eachName(folder, visit)
    this.#times[folder] = { mtimeNs, isOurs, asRead, readAgainAtMs }
  }

  /** How a folder was when it was read; `undefined` when something may hide behind its time. */
  asRead(folder: SubFolder): string | undefined {
    const known = this.#times[folder]
    return known?.readAgainAtMs === never ? known.asRead : undefined
  }

  /** Takes for read what another process read, while the folder is as it was then; only where questions are asked in place. */
  restore(folder: SubFolder, asRead: string | undefined): void {
    const now = this.quick.of(`${this.#place.path}/${folder}`)
    if (now === undefined || stateOfFolder(now) !== asRead) return
    this.#times[folder] = { mtimeNs: now.mtimeNs, isOurs: false, asRead, readAgainAtMs: never }
  }

  /** Both are read at the next sync. */
  forgetTimes(): void {
    this.#times.new = undefined
    this.#times.cur = undefined
  }

  /** The names of a small folder, in one call: mostly those of `new`. False when it is another one. */
  async #eachOfFew(folder: SubFolder, { size }: BigIntStats, visit: (name: string) => void): Promise<boolean> {
    const { disk, readInPlace, limits } = this.#context
    const { readdirSync } = disk
    // A size of 0 tells nothing: not every file system counts what is in a folder.
    const isSmall = size > 0 && size <= limits.smallFolderBytes
    if (!isSmall || !this.quick.isLocal || readdirSync === undefined) return false
    const path = `${this.#place.path}/${folder}`
    const encoding = { encoding: 'latin1' } as const
    const names = await readInPlace.call(
      () => readdirSync(path, encoding),
      () => disk.readdir(path, encoding),
    )
    for (const name of names) if (!name.startsWith('.')) visit(name)
    return true
  }

  /** Names that may be messages, a character for each byte, so that names of any bytes come back as they are. */
  async eachName(folder: SubFolder, visit: (name: string) => void): Promise<void> {
    const { disk, limits } = this.#context
    const path = `${this.#place.path}/${folder}`
    const names = await disk.opendir(path, { encoding: 'latin1', bufferSize: limits.folderBufferEntries })
    let count = 0
    for await (const entry of names) {
      if (entry.name.startsWith('.')) continue
      visit(entry.name)
      count += 1
      if (count % limits.namesPerTurn === 0) await yieldTurn()
    }
  }

  /**
   * Around our own changes to `cur` under the lock: takes the folder's new time as known, when it was the known one
   * before. What was to be read again still is.
   */
  async changingCur<T>(work: () => Promise<T>): Promise<T> {
    const path = `${this.#place.path}/cur`
    const before = await this.statKnown(path)
    const known = this.#times.cur
    try {
      return await work()
    } finally {
      if (known !== undefined && known.mtimeNs === before?.mtimeNs) {
        const after = await this.statKnown(path)
        const readAgainAtMs = Math.min(known.readAgainAtMs, this.#rescanAtMs())
        this.#times.cur = after && { mtimeNs: after.mtimeNs, isOurs: true, asRead: undefined, readAgainAtMs }
      }
    }
  }

  #rescanAtMs(): number {
    return Date.now() + this.#context.limits.ownChangeRescanMs
  }

  /** Whether changes from now on give a file or folder another time than `mtimeNs`. */
  isTimeSettled(mtimeNs: bigint): boolean {
    return isTimeSettled(mtimeNs, this.#context.limits)
  }

  /** @throws {StoreError} when the mailbox's own folder is gone, or is no folder. */
  async assertThere(): Promise<void> {
    const { path } = this.#place
    try {
      if ((await this.#context.disk.lstat(path)).isDirectory()) return
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      throw new StoreError('MAILDIR_MAILBOX_GONE', path, { ...this.#place, cause: error })
    }
    throw new StoreError('MAILDIR_SYMLINK', `${path} is no folder`, this.#place)
  }

  /** Of a file or folder that every look asks about, and the kernel therefore remembers. */
  statKnown(path: string | Buffer): Awaitable<BigIntStats | undefined> {
    return this.quick.isLocal ? this.quick.of(path) : this.stat(path)
  }

  async stat(path: string | Buffer): Promise<BigIntStats | undefined> {
    try {
      return await this.#context.disk.lstat(path, { bigint: true })
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }

  async #statFolder(name: SubFolder): Promise<BigIntStats> {
    const path = `${this.#place.path}/${name}`
    let stats = await this.statKnown(path)
    if (stats === undefined) {
      await this.assertThere()
      await this.#context.disk.mkdir(path, { mode: 0o700, recursive: true })
      stats = await this.#context.disk.lstat(path, { bigint: true })
    }
    if (stats.isDirectory()) return stats
    throw new StoreError('MAILDIR_SYMLINK', `${path} is no folder`, this.#place)
  }
}

/** Whether changes from now on give a file or folder another time than `mtimeNs`. */
export function isTimeSettled(
  mtimeNs: bigint,
  { dirtyWindowMs, coarseDirtyWindowMs }: Pick<MaildirLimits, 'dirtyWindowMs' | 'coarseDirtyWindowMs'>,
): boolean {
  const isCoarse = mtimeNs % 1_000_000_000n === 0n
  return Date.now() - Number(mtimeNs / 1_000_000n) > (isCoarse ? coarseDirtyWindowMs : dirtyWindowMs)
}
