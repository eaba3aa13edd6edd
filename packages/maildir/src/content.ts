/*
 * The bytes of one message. Own deliveries are stored with CRLF line ends and are read as they are. Files of other
 * programs mostly end their lines with LF; they are shown with CRLF, converted a chunk at a time, so that a read in the
 * middle of a large message costs two chunks of memory.
 */
import { constants, readlinkSync } from 'node:fs'
import type { MessageContent } from '@postern/core'
import { openIfThere } from './durable.ts'
import { StoreError } from './errors.ts'
import type { MaildirLimits } from './limits.ts'
import type { FileOpener, OpenFile } from './local-file.ts'

const CR = 0x0d
const LF = 0x0a

/**
 * Opens a message's file for reading; `undefined` when it is not there. No symbolic link is followed: not as the file,
 * and not as a folder on the way, swapped in at the last moment.
 *
 * @param folder - real path of `cur` or `new`.
 * @param isAgain - it was not where it was opened, once.
 */
export async function openMessageFile(
  files: FileOpener,
  folder: string,
  path: string | Buffer,
  isAgain = false,
): Promise<OpenFile | undefined> {
  const handle = await openIfThere(files, path, constants.O_RDONLY)
  if (handle === undefined) return undefined
  try {
    assertInside(handle, folder)
    if ((await handle.stat()).isFile()) return handle
    throw new StoreError('MAILDIR_SYMLINK', `not a regular file in ${folder}`)
  } catch (error) {
    await handle.close()
    // It may just have been moved, from `new` to `cur` or with its mailbox: then there is nothing of that name any more.
    const mayBeMoved = !isAgain && error instanceof StoreError && error.code === 'MAILDIR_SYMLINK'
    if (mayBeMoved) return openMessageFile(files, folder, path, true)
    throw error
  }
}

/**
 * Linux tells the true path of what was opened, from its memory whatever the file system; elsewhere only the last element is
 * guarded, by O_NOFOLLOW.
 */
export function assertInside(handle: OpenFile, folder: string): void {
  let path: string
  try {
    path = readlinkSync(`/proc/self/fd/${handle.fd}`)
  } catch {
    return
  }
  if (!path.startsWith(`${folder}/`)) {
    throw new StoreError('MAILDIR_SYMLINK', `opened ${path}, which is not in ${folder}`)
  }
}

/** Bare LFs of a file: what CRLF line ends add to its size. */
export async function countBareLf(handle: OpenFile, limits: MaildirLimits): Promise<number> {
  const chunk = Buffer.alloc(limits.chunkBytes)
  let count = 0
  let last = 0
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position)
    if (bytesRead === 0) return count
    count += countIn(chunk.subarray(0, bytesRead), last)
    last = chunk[bytesRead - 1] ?? 0
    position += bytesRead
  }
}

/**
 * Of a message file that is open; the content closes it, and so does this when it rejects. `known` are its sizes as they were
 * told to clients.
 */
export async function messageContent(
  handle: OpenFile,
  known: { readonly rawBytes: number; readonly bytes: number },
  limits: MaildirLimits,
): Promise<MessageContent> {
  try {
    const { size } = await handle.stat()
    // A program that ignores the rules may have changed the file: what is announced must be what will be sent.
    const bytes = size === known.rawBytes ? known.bytes : size + (await countBareLf(handle, limits))
    return bytes === size ? new PlainContent(handle, bytes) : new LfContent(handle, bytes, size, limits.chunkBytes)
  } catch (error) {
    await handle.close()
    throw error
  }
}

class PlainContent implements MessageContent {
  readonly bytes: number
  readonly #handle: OpenFile

  constructor(handle: OpenFile, bytes: number) {
    this.#handle = handle
    this.bytes = bytes
  }

  read(offset: number, length: number): Promise<Buffer> {
    return readFully(this.#handle, offset, Math.min(length, this.bytes - offset))
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

class LfContent implements MessageContent {
  readonly bytes: number
  readonly #handle: OpenFile
  readonly #rawBytes: number
  readonly #chunkBytes: number
  /** Offset, with CRLF line ends, at which each chunk of the file begins; filled as far as reads have gone. */
  readonly #starts: number[] = [0]

  constructor(handle: OpenFile, bytes: number, rawBytes: number, chunkBytes: number) {
    this.#handle = handle
    this.bytes = bytes
    this.#rawBytes = rawBytes
    this.#chunkBytes = chunkBytes
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const end = Math.min(offset + length, this.bytes)
    if (end <= offset) return Buffer.alloc(0)
    const parts: Buffer[] = []
    let position = offset
    for (let at = await this.#chunkAt(offset); position < end; at++) {
      const converted = await this.#convert(at)
      if (converted.length === 0) break
      const start = this.#starts[at] ?? 0
      const part = converted.subarray(position - start, end - start)
      parts.push(part)
      position += part.length
    }
    return Buffer.concat(parts)
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  /** The chunk that holds the byte at `offset`. */
  async #chunkAt(offset: number): Promise<number> {
    for (let at = this.#starts.length - 1; (this.#starts.at(-1) ?? 0) <= offset; at++) {
      if ((at + 1) * this.#chunkBytes >= this.#rawBytes) break
      await this.#convert(at)
    }
    let at = this.#starts.length - 1
    let low = 0
    while (low < at) {
      const middle = (low + at + 1) >> 1
      if ((this.#starts[middle] ?? 0) <= offset) low = middle
      else at = middle - 1
    }
    return at
  }

  async #convert(at: number): Promise<Buffer> {
    const from = at * this.#chunkBytes
    // One byte before the chunk: whether an LF at its start follows a CR.
    const lead = from === 0 ? 0 : 1
    const raw = await readFully(this.#handle, from - lead, Math.min(this.#chunkBytes, this.#rawBytes - from) + lead)
    const before = lead === 1 ? (raw[0] ?? 0) : 0
    const body = raw.subarray(lead)
    const converted = withCrlf(body, before)
    if (this.#starts.length === at + 1) this.#starts.push((this.#starts[at] ?? 0) + converted.length)
    return converted
  }
}

function countIn(bytes: Buffer, before: number): number {
  let count = 0
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if ((at === 0 ? before : bytes[at - 1]) !== CR) count += 1
  }
  return count
}

function withCrlf(bytes: Buffer, before: number): Buffer {
  const converted = Buffer.allocUnsafe(bytes.length + countIn(bytes, before))
  let from = 0
  let to = 0
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if ((at === 0 ? before : bytes[at - 1]) === CR) continue
    to += bytes.copy(converted, to, from, at)
    converted[to++] = CR
    from = at
  }
  bytes.copy(converted, to, from)
  return converted
}

async function readFully(handle: OpenFile, position: number, length: number): Promise<Buffer> {
  if (length <= 0) return Buffer.alloc(0)
  const bytes = Buffer.alloc(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done === length ? bytes : bytes.subarray(0, done)
}
