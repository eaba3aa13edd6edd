/*
 * What sessions found out about messages and want to know again: the file `postern-notes` in a mailbox's folder. It is a
 * cache. What is in it is for the session to read; here it is octets that belong to a UID. Nothing is lost with it, and
 * nothing is believed that fails its checksum.
 *
 *   postern-notes 1 V1732190400 G5f2c9a81d3e07b64 H0a1b2c3d
 *   record record ...
 *
 * Header: 64 bytes, spaces before the last field, one LF. V UIDVALIDITY that the UIDs belong to. G generation: random,
 * new whenever the file is written anew. H checksum of the header before it.
 * Records: UID (4 bytes, little-endian), length of the note (4), CRC-32 of those eight bytes and the note (4), the note.
 * The last record of a UID counts.
 *
 * Writers hold the mailbox's lock and append behind the last record that is right, cutting off what is not: a writer
 * that died, or a power cut, leaves at most that. Readers take no lock and stop at the first record that is not right.
 * Nothing is synced.
 *
 * A message's octets never change, so neither does what was found out about them, and two processes that note the same
 * message note the same. Notes of messages that are gone go when the file is written anew.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Uid, UidValidity } from '@postern/core'
import { openIfThere, unlinkIfThere, writeAll } from './durable.ts'
import { digits, encodeHeaderLine, isIntactHeader } from './header-line.ts'
import type { MaildirLimits } from './limits.ts'
import type { Disk } from './options.ts'
import { yieldTurn } from './turns.ts'

export const notesName = 'postern-notes'
const headerBytes = 64
const headBytes = 12

/** Notes by UID, in one piece of memory, encoded as they are in the file. */
export class NoteArena {
  readonly #places = new Map<Uid, number>()
  #bytes: Buffer
  #end = 0
  /** Octets of records that a later one replaced. */
  #dead = 0

  constructor(capacity = 0) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  /** What it takes of memory, about: a place in the map takes some 40 bytes. */
  get bytes(): number {
    return this.#bytes.length + 40 * this.#places.size
  }

  /** Messages that are noted, whether they are there or gone. */
  get count(): number {
    return this.#places.size
  }

  /** Octets that a file of these notes has. */
  get liveBytes(): number {
    return this.#end - this.#dead
  }

  clear(): void {
    this.#places.clear()
    this.#end = 0
    this.#dead = 0
  }

  get(uid: Uid): string | undefined {
    const at = this.#places.get(uid)
    if (at === undefined) return undefined
    const start = at + headBytes
    return this.#bytes.toString('latin1', start, start + this.#bytes.readUInt32LE(at + 4))
  }

  /** Returns the record. */
  set(uid: Uid, note: string): Buffer {
    const record = Buffer.allocUnsafe(headBytes + note.length)
    record.writeUInt32LE(uid, 0)
    record.writeUInt32LE(note.length, 4)
    record.write(note, headBytes, 'latin1')
    record.writeUInt32LE(sumOf(record, 0, note.length), 8)
    this.#add(uid, record)
    return record
  }

  /**
   * Takes the records of `bytes` that are right, up to the first that is not, or is longer than `maxNoteBytes`.
   *
   * @returns how many octets those are.
   */
  async take(bytes: Buffer, { maxNoteBytes, namesPerTurn }: MaildirLimits): Promise<number> {
    let at = 0
    for (let count = 1; at + headBytes <= bytes.length; count += 1) {
      const length = bytes.readUInt32LE(at + 4)
      const end = at + headBytes + length
      if (length > maxNoteBytes || end > bytes.length) break
      if (sumOf(bytes, at, length) !== bytes.readUInt32LE(at + 8)) break
      this.#add(bytes.readUInt32LE(at) as Uid, bytes.subarray(at, end))
      at = end
      if (count % namesPerTurn === 0) await yieldTurn()
    }
    return at
  }

  /** The records of these UIDs. */
  *recordsOf(uids: Iterable<Uid>): Generator<Buffer, void> {
    for (const uid of uids) {
      const at = this.#places.get(uid)
      if (at !== undefined) yield this.#bytes.subarray(at, at + headBytes + this.#bytes.readUInt32LE(at + 4))
    }
  }

  #add(uid: Uid, record: Buffer): void {
    const before = this.#places.get(uid)
    if (before !== undefined) this.#dead += headBytes + this.#bytes.readUInt32LE(before + 4)
    if (this.#end + record.length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(4_096, this.#end + record.length, Math.ceil(this.#end * 1.5)))
      this.#bytes.copy(larger, 0, 0, this.#end)
      this.#bytes = larger
    }
    record.copy(this.#bytes, this.#end)
    this.#places.set(uid, this.#end)
    this.#end += record.length
  }
}

const sumOf = (bytes: Buffer, at: number, length: number): number =>
  crc32(bytes.subarray(at + headBytes, at + headBytes + length), crc32(bytes.subarray(at, at + 8)))

/** Where reading stands in a file. */
export interface NotesPosition {
  readonly generation: string
  /** Octets of records that were read and are right. */
  readonly length: number
}

/**
 * Takes into `arena` what the file has beyond `since`; all of it, when it is another file by now.
 *
 * @returns where it ends; `undefined` when there is no file of this UIDVALIDITY.
 */
export async function readNotes(
  disk: Disk,
  folder: string,
  uidValidity: UidValidity,
  since: NotesPosition | undefined,
  arena: NoteArena,
  limits: MaildirLimits,
): Promise<NotesPosition | undefined> {
  const handle = await openNotes(disk, folder, constants.O_RDONLY)
  if (handle === undefined) return undefined
  try {
    const found = await readHeader(handle)
    if (found?.uidValidity !== uidValidity) return undefined
    return await readOn(handle, found.generation, since, arena, limits)
  } finally {
    await handle.close()
  }
}

/** Appends records; the lock is held. Takes into `arena` what others appended before. */
export async function appendNotes(
  disk: Disk,
  folder: string,
  uidValidity: UidValidity,
  since: NotesPosition | undefined,
  arena: NoteArena,
  records: readonly Buffer[],
  limits: MaildirLimits,
): Promise<NotesPosition> {
  const handle = await openNotes(disk, folder, constants.O_RDWR)
  const found = handle === undefined ? undefined : await readHeader(handle)
  if (handle === undefined || found?.uidValidity !== uidValidity) {
    await handle?.close()
    return writeNotes(disk, folder, uidValidity, records)
  }
  try {
    const { generation, length } = await readOn(handle, found.generation, since, arena, limits)
    await handle.truncate(headerBytes + length)
    const bytes = Buffer.concat(records)
    // Those that were in the arena went with what another file replaced.
    if (since?.generation !== generation) await arena.take(bytes, limits)
    await writeAll(handle, bytes, headerBytes + length)
    return { generation, length: length + bytes.length }
  } finally {
    await handle.close()
  }
}

/** Writes the file anew; the lock is held. */
export async function writeNotes(
  disk: Disk,
  folder: string,
  uidValidity: UidValidity,
  records: Iterable<Buffer>,
): Promise<NotesPosition> {
  const generation = randomBytes(8).toString('hex')
  const fresh = `${folder}/${notesName}.new`
  await unlinkIfThere(disk, fresh)
  const handle = await disk.open(fresh, 'wx', 0o600)
  try {
    const header = encodeHeaderLine(`postern-notes 1 V${digits(uidValidity, 10)} G${generation}`, headerBytes)
    const bytes = Buffer.concat([header, ...records])
    await writeAll(handle, bytes, 0)
    await handle.close()
    await disk.rename(fresh, `${folder}/${notesName}`)
    return { generation, length: bytes.length - headerBytes }
  } catch (error) {
    await handle.close().catch(() => undefined)
    await unlinkIfThere(disk, fresh)
    throw error
  }
}

async function readOn(
  handle: FileHandle,
  generation: string,
  since: NotesPosition | undefined,
  arena: NoteArena,
  limits: MaildirLimits,
): Promise<NotesPosition> {
  const isKnown = since?.generation === generation
  const from = isKnown ? since.length : 0
  if (!isKnown) arena.clear()
  const { size } = await handle.stat()
  // A file that somebody made larger is not asked of the allocator.
  const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(size - headerBytes, limits.maxNotesBytes) - from))
  let done = 0
  while (done < bytes.length) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, headerBytes + from + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return { generation, length: from + (await arena.take(bytes.subarray(0, done), limits)) }
}

function openNotes(disk: Disk, folder: string, access: number): Promise<FileHandle | undefined> {
  return openIfThere(disk, `${folder}/${notesName}`, access)
}

async function readHeader(
  handle: FileHandle,
): Promise<{ readonly uidValidity: UidValidity; readonly generation: string } | undefined> {
  const bytes = Buffer.alloc(headerBytes)
  const { bytesRead } = await handle.read(bytes, 0, headerBytes, 0)
  const text = bytes.toString('latin1', 0, bytesRead)
  const fields = /^postern-notes 1 V(\d{10}) G([0-9a-f]{16}) +H[0-9a-f]{8}\n$/.exec(text)
  if (fields === null || !isIntactHeader(text, headerBytes)) return undefined
  return { uidValidity: Number(fields[1]) as UidValidity, generation: fields[2] ?? '' }
}
