/*
 * Open files of file systems of this machine. What may wait for the disk goes through libuv's threads, as with `FileHandle`;
 * what the kernel has in its memory once a file is open is asked in place: its size and kind, and the end of one that was
 * only read. Through a thread such a question costs ten times what it costs the kernel (ADR 0070). A file that is opened
 * with a `Caller` is written, and ended, as that decides; and when the kernel has it in its memory, it is opened and read so too
 * (ADR 0085).
 *
 * On file systems of other machines even these may go over the wire: there `FileHandle` is used.
 */
import * as fs from 'node:fs'
import type { Awaitable } from '@postern/core'

/** What the store does with an open file: `FileHandle` is one. */
export interface OpenFile {
  /** The number of the descriptor. */
  readonly fd: number
  /** Reads into `buffer`, from a position in the file. */
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
  /** Writes from `buffer`, at a position in the file; the system may take less than asked. */
  write(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesWritten: number }>
  /** Its size, its times, and whether it is a regular file. */
  stat(): Promise<Pick<fs.Stats, 'size' | 'atime' | 'mtime' | 'isFile'>>
  /** Cuts it off. */
  truncate(length: number): Promise<void>
  /** Sets its times. */
  utimes(accessed: Date, modified: Date): Promise<void>
  /** Durable with all that belongs to it, when it resolves. */
  sync(): Promise<void>
  /** Durable as far as reading it back needs, when it resolves. */
  datasync(): Promise<void>
  /** Ends it; a second time does nothing. */
  close(): Promise<void>
}

/** Whatever opens files: the disk, or what knows of a folder that it is on a file system of this machine. */
export interface FileOpener {
  /** Rejects with the code of the system. */
  open(path: string | Buffer, flags: number, mode?: number): Promise<OpenFile>
}

/** Makes a call on the event loop or through a thread, whichever it may be at the moment. */
export interface Caller {
  /** One of the two; it throws, or rejects, with the code of the system. */
  call<T>(onLoop: () => T, throughThread: () => Promise<T>): Awaitable<T>
}

/**
 * `open` for file systems of this machine.
 *
 * @param caller - makes the writes, and what ends them; without one they go through threads.
 * @param reader - opens it, and reads what is short, when the kernel has it in its memory; without one threads do.
 */
export async function openLocalFile(
  path: string | Buffer,
  flags: number,
  mode = 0o600,
  caller?: Caller,
  reader?: Caller,
): Promise<OpenFile> {
  const throughThread = () =>
    new Promise<number>((resolve, reject) => {
      fs.open(path, flags, mode, (error, fd) => {
        if (error === null) resolve(fd)
        else reject(error)
      })
    })
  const onLoop = () => fs.openSync(path, flags, mode)
  const fd = await make(reader, onLoop, throughThread)
  return new LocalFile(fd, (flags & accessModes) === fs.constants.O_RDONLY, caller, reader)
}

const accessModes = fs.constants.O_RDONLY | fs.constants.O_WRONLY | fs.constants.O_RDWR

function make<T>(caller: Caller | undefined, onLoop: () => T, throughThread: () => Promise<T>): Awaitable<T> {
  return caller === undefined ? throughThread() : caller.call(onLoop, throughThread)
}

/** Octets that are read at once on the event loop, at most: to copy them takes some ten microseconds. */
const maxPromptRead = 65_536

class LocalFile implements OpenFile {
  /** -1 from the moment that it is being closed: the number may soon be another file's. */
  #fd: number
  readonly #isReadOnly: boolean
  /** Calls that threads are at work on, or will be. */
  #running = 0
  #whenIdle: (() => void) | undefined

  readonly #caller: Caller | undefined
  readonly #reader: Caller | undefined

  constructor(fd: number, isReadOnly: boolean, caller: Caller | undefined, reader: Caller | undefined) {
    this.#fd = fd
    this.#isReadOnly = isReadOnly
    this.#caller = caller
    this.#reader = reader
  }

  get fd(): number {
    return this.#fd
  }

  async read(buffer: Buffer, offset: number, length: number, position: number) {
    const throughThread = () =>
      this.#run<number>((fd, done) => {
        fs.read(fd, buffer, offset, length, position, done)
      })
    const onLoop = () => fs.readSync(this.#openFd(), buffer, offset, length, position)
    return { bytesRead: await make(length <= maxPromptRead ? this.#reader : undefined, onLoop, throughThread) }
  }

  async write(buffer: Buffer, offset: number, length: number, position: number) {
    const throughThread = () =>
      this.#run<number>((fd, done) => {
        fs.write(fd, buffer, offset, length, position, done)
      })
    const onLoop = () => fs.writeSync(this.#openFd(), buffer, offset, length, position)
    return { bytesWritten: await make(this.#caller, onLoop, throughThread) }
  }

  async stat() {
    return fs.fstatSync(this.#fd)
  }

  truncate(length: number): Promise<void> {
    return this.#run<void>((fd, done) => {
      fs.ftruncate(fd, length, done)
    })
  }

  async utimes(accessed: Date, modified: Date): Promise<void> {
    const throughThread = () =>
      this.#run<void>((fd, done) => {
        fs.futimes(fd, accessed, modified, done)
      })
    const onLoop = () => {
      fs.futimesSync(this.#openFd(), accessed, modified)
    }
    await make(this.#caller, onLoop, throughThread)
  }

  sync(): Promise<void> {
    return this.#run<void>((fd, done) => {
      fs.fsync(fd, done)
    })
  }

  datasync(): Promise<void> {
    return this.#run<void>((fd, done) => {
      fs.fdatasync(fd, done)
    })
  }

  /**
   * After what runs, as the number that a thread was told must not become another file's meanwhile. The end of a file that has
   * no name any more frees what it had on the disk, be it a gigabyte: that is a thread's work.
   */
  async close(): Promise<void> {
    const fd = this.#fd
    if (fd < 0) return
    this.#fd = -1
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve))
    const throughThread = () =>
      new Promise<void>((resolve, reject) => {
        fs.close(fd, (error) => {
          if (error == null) resolve()
          else reject(error)
        })
      })
    const onLoop = () => {
      fs.closeSync(fd)
    }
    if (fs.fstatSync(fd).nlink === 0) await throughThread()
    else if (this.#isReadOnly) onLoop()
    else await make(this.#caller, onLoop, throughThread)
  }

  #openFd(): number {
    if (this.#fd >= 0) return this.#fd
    throw Object.assign(new Error('EBADF: the file was closed'), { code: 'EBADF' })
  }

  /** A call of a thread. */
  #run<T>(call: (fd: number, done: (error: NodeJS.ErrnoException | null, result?: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const fd = this.#openFd()
      this.#running += 1
      call(fd, (error, result) => {
        this.#running -= 1
        if (this.#running === 0) this.#whenIdle?.()
        if (error === null) resolve(result as T)
        else reject(error)
      })
    })
  }
}
