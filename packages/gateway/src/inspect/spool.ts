/*
 * A message that is looked at as a whole before it goes on. Small ones wait in memory, within a share for all of the
 * worker; a larger one in a file that has no name, so that nothing of it is left whatever happens to the process.
 */
import { randomBytes } from 'node:crypto'
import { open, mkdir, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../limits.ts'

/** What of a message a thread or a scanner is given: its bytes, or a descriptor of this process. */
export type SpooledMessage =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'file'; readonly fd: number; readonly size: number }

/** Memory that the spools of a worker share. */
export class SpoolMemory {
  #taken = 0

  take(bytes: number): boolean {
    if (this.#taken + bytes > limits.maxSpoolMemoryBytes) return false
    this.#taken += bytes
    return true
  }

  give(bytes: number): void {
    this.#taken -= bytes
  }
}

export class Spool {
  readonly #folder: string
  readonly #memory: SpoolMemory
  #chunks: Buffer[] = []
  #held = 0
  #file: FileHandle | undefined
  #size = 0

  /** @param folder - for files; made when the first one is needed. */
  constructor(folder: string, memory: SpoolMemory) {
    this.#folder = folder
    this.#memory = memory
  }

  get size(): number {
    return this.#size
  }

  /** @param chunk - copied. */
  async append(chunk: Buffer): Promise<void> {
    if (this.#file === undefined) {
      const fits = this.#size + chunk.length <= limits.maxSpooledInMemoryBytes && this.#memory.take(chunk.length)
      if (fits) {
        this.#held += chunk.length
        this.#size += chunk.length
        this.#chunks.push(Buffer.from(chunk))
        return
      }
      // A copy, since the chunk is only lent, and the file is not open yet.
      const own = Buffer.from(chunk)
      this.#file = await this.#toFile()
      await this.#write(own)
      return
    }
    await this.#write(chunk)
  }

  get message(): SpooledMessage {
    return this.#file === undefined
      ? { kind: 'bytes', bytes: Buffer.concat(this.#chunks) }
      : { kind: 'file', fd: this.#file.fd, size: this.#size }
  }

  /** All of it, from the start, in pieces; each is valid until the next is asked for. */
  async *read(): AsyncGenerator<Buffer, void, void> {
    if (this.#file === undefined) {
      yield* this.#chunks
      return
    }
    const buffer = Buffer.allocUnsafe(limits.spoolReadBytes)
    for (let position = 0; position < this.#size;) {
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, position)
      if (bytesRead === 0) throw new Error('the spooled message is shorter than it was')
      position += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }

  async close(): Promise<void> {
    this.#chunks = []
    this.#memory.give(this.#held)
    this.#held = 0
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  async #toFile(): Promise<FileHandle> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const name = join(this.#folder, `${process.pid}-${randomBytes(8).toString('hex')}`)
    const file = await open(name, 'wx+', 0o600)
    await unlink(name)
    for (const chunk of this.#chunks) await writeAll(file, chunk)
    this.#chunks = []
    this.#memory.give(this.#held)
    this.#held = 0
    return file
  }

  async #write(chunk: Buffer): Promise<void> {
    await writeAll(this.#file!, chunk)
    this.#size += chunk.length
  }
}

/** A write may take less than it was given. */
async function writeAll(file: FileHandle, chunk: Buffer): Promise<void> {
  for (let written = 0; written < chunk.length;) {
    written += (await file.write(chunk, written)).bytesWritten
  }
}
