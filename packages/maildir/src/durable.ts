/*
 * What must be on the disk before anybody hears of it. A failed fsync is final: the kernel may have dropped the dirty
 * pages and answered the error once, so asking again would succeed and mean nothing. Whoever meets the failure throws
 * away what it wrote and starts from scratch.
 */
import { constants, type BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { isErrno, StoreError } from './errors.ts'
import type { MaildirLimits } from './limits.ts'
import type { FileOpener, OpenFile } from './local-file.ts'
import type { Disk } from './options.ts'

/** Makes the names in a folder durable. Callers that ask while one sync runs share the next one: it covers them all. */
export class FolderSync {
  readonly #disk: Disk
  readonly #waiting = new Map<string, Promise<void>>()
  readonly #running = new Map<string, Promise<void>>()

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** @param files - opens the folder; the disk by default. */
  sync(folder: string, files: FileOpener = this.#disk): Promise<void> {
    const waiting = this.#waiting.get(folder)
    if (waiting !== undefined) return waiting
    const running = this.#running.get(folder)
    if (running === undefined) return this.#start(folder, files)
    const next = running
      .catch(() => undefined)
      .then(() => {
        this.#waiting.delete(folder)
        return this.#start(folder, files)
      })
    this.#waiting.set(folder, next)
    return next
  }

  #start(folder: string, files: FileOpener): Promise<void> {
    const running = this.#syncNow(folder, files).finally(() => {
      if (this.#running.get(folder) === running) this.#running.delete(folder)
    })
    this.#running.set(folder, running)
    return running
  }

  async #syncNow(folder: string, files: FileOpener): Promise<void> {
    const handle = await files.open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}

/**
 * Replaces a file by rename, so that a reader sees the old or the new one whole. The caller holds the lock that guards
 * it; `<path>.new` is what a killed one left, and is overwritten.
 */
export async function replaceFile(
  disk: Disk,
  folder: string,
  name: string,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const fresh = `${folder}/${name}.new`
  await unlinkIfThere(disk, fresh)
  const handle = await disk.open(fresh, 'wx', 0o600)
  try {
    await write(handle)
    await handle.sync()
    await handle.close()
    await disk.rename(fresh, `${folder}/${name}`)
  } catch (error) {
    await handle.close().catch(() => undefined)
    await unlinkIfThere(disk, fresh)
    throw error
  }
  await new FolderSync(disk).sync(folder)
}

/**
 * A file that other programs may put anything in place of: no link is followed, and a FIFO holds no thread until somebody
 * writes. `undefined` when there is none.
 */
export async function openIfThere<T extends OpenFile>(
  files: { open(path: string | Buffer, flags: number): Promise<T> },
  path: string | Buffer,
  access: number,
): Promise<T | undefined> {
  try {
    return await files.open(path, access | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

/**
 * For files that are whole small tables. `undefined` when there is none; a symbolic link is an error, and so is a pipe, or a
 * file that is larger than any of ours.
 */
export async function readSmallFile(
  disk: Disk,
  path: string,
  { maxTableBytes }: Pick<MaildirLimits, 'maxTableBytes'>,
): Promise<string | undefined> {
  const handle = await openIfThere(disk, path, constants.O_RDONLY)
  if (handle === undefined) return undefined
  try {
    const stats = await handle.stat()
    if (!stats.isFile() || stats.size > maxTableBytes) {
      throw new StoreError('MAILDIR_IO', `${path} is no table of at most ${maxTableBytes} bytes`)
    }
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

/** As `readSmallFile`, where that counts as nothing: of what is counted anew, or only shown. */
export async function readSmallFileOrNothing(
  disk: Disk,
  path: string,
  limits: Pick<MaildirLimits, 'maxTableBytes'>,
): Promise<string | undefined> {
  try {
    return await readSmallFile(disk, path, limits)
  } catch (error) {
    if (error instanceof StoreError) return undefined
    throw error
  }
}

/** `undefined` when there is nothing of that name. */
export async function lstatIfThere(disk: Disk, path: string | Buffer): Promise<BigIntStats | undefined> {
  try {
    return await disk.lstat(path, { bigint: true })
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

export async function unlinkIfThere(disk: Disk, path: string | Buffer): Promise<boolean> {
  try {
    await disk.unlink(path)
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}

/** Writes all of `bytes` at `position`; the kernel may take less at once. */
export async function writeAll(handle: OpenFile, bytes: Buffer, position: number): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** Fills `bytes` from `position` on; false when the file ends before. */
export async function readAll(handle: OpenFile, bytes: Buffer, position: number): Promise<boolean> {
  let done = 0
  while (done < bytes.length) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, position + done)
    if (bytesRead === 0) return false
    done += bytesRead
  }
  return true
}
