import { constants } from 'node:fs'
import type { Awaitable } from '@postern/core'
import type { StoreContext } from './context.ts'
import type { FileOpener, OpenFile } from './local-file.ts'
import type { QuickStat } from './quick-stat.ts'

/** The changes of names that a lock and a change of flags are made of. */
export interface NameChanges {
  rename(from: string | Buffer, to: string | Buffer): Awaitable<void>
  symlink(target: string, path: string): Awaitable<void>
  unlink(path: string | Buffer): Awaitable<void>
}

/**
 * Changes in the folder of one mailbox, of what was looked at before: in place while that is prompt (`in-place.ts`), and on
 * a file system of this machine. Otherwise through threads. So is read what was opened before: the ends of the UID list and of
 * the journal, which somebody has just written.
 */
export class FolderChanges implements NameChanges, FileOpener {
  readonly #quick: QuickStat
  readonly #disk: StoreContext['disk']
  readonly #inPlace: StoreContext['inPlace']
  readonly #readInPlace: StoreContext['readInPlace']
  /** Files and folders of the mailbox, and no messages: a handful. */
  readonly #opened = new Set<string | Buffer>()

  constructor(quick: QuickStat, { disk, inPlace, readInPlace }: StoreContext) {
    this.#quick = quick
    this.#disk = disk
    this.#inPlace = inPlace
    this.#readInPlace = readInPlace
  }

  rename(from: string | Buffer, to: string | Buffer): Awaitable<void> {
    const { renameSync } = this.#disk
    const throughThread = () => this.#disk.rename(from, to)
    if (!this.#quick.isLocal || renameSync === undefined) return throughThread()
    return this.#inPlace.call(() => renameSync(from, to), throughThread)
  }

  symlink(target: string, path: string): Awaitable<void> {
    const { symlinkSync } = this.#disk
    const throughThread = () => this.#disk.symlink(target, path)
    if (!this.#quick.isLocal || symlinkSync === undefined) return throughThread()
    return this.#inPlace.call(() => symlinkSync(target, path), throughThread)
  }

  unlink(path: string | Buffer): Awaitable<void> {
    const { unlinkSync } = this.#disk
    const throughThread = () => this.#disk.unlink(path)
    if (!this.#quick.isLocal || unlinkSync === undefined) return throughThread()
    return this.#inPlace.call(() => unlinkSync(path), throughThread)
  }

  /**
   * Opens through a thread what may be asked of the disk, which is what was not opened before. A new file is made, and what is
   * written to any is written, as other changes are.
   */
  async open(path: string | Buffer, flags: number, mode?: number): Promise<OpenFile> {
    await this.#quick.prepare()
    const { openLocalFile } = this.#disk
    if (!this.#quick.isLocal || openLocalFile === undefined) return this.#disk.open(path, flags, mode)
    if ((flags & constants.O_EXCL) !== 0) return openLocalFile(path, flags, mode, this.#inPlace, this.#inPlace)
    const reader = this.#opened.has(path) ? this.#readInPlace : undefined
    const file = await openLocalFile(path, flags, mode, this.#inPlace, reader)
    this.#opened.add(path)
    return file
  }
}
