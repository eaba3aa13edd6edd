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
 * a file system of this machine. Otherwise through threads.
 */
export class FolderChanges implements NameChanges, FileOpener {
  readonly #quick: QuickStat
  readonly #disk: StoreContext['disk']
  readonly #inPlace: StoreContext['inPlace']

  constructor(quick: QuickStat, { disk, inPlace }: StoreContext) {
    this.#quick = quick
    this.#disk = disk
    this.#inPlace = inPlace
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

  /** Opens through a thread, as the file may be asked of the disk; writes to it are changes like the others. */
  async open(path: string | Buffer, flags: number, mode?: number): Promise<OpenFile> {
    await this.#quick.prepare()
    const { openLocalFile } = this.#disk
    return this.#quick.isLocal && openLocalFile !== undefined
      ? openLocalFile(path, flags, mode, this.#inPlace)
      : this.#disk.open(path, flags, mode)
  }
}
