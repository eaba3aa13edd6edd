/*
 * The UID list of a mailbox: the file `postern-uidlist` in its folder. It is data, not a cache: without it every client
 * downloads everything again.
 *
 *   postern-uidlist 1 V1732190400 N0000000004 L000000000000198 G5f2c9a81d3e07b64 C1b2c3d4e        H0a1b2c3d
 *   +1 1732190400123 2048 2048 1732190400.M123456P4711Q8_5f2c9a81d3e07b64.mx.example.org,S=2048,W=2048 8c736521
 *   +3 1732190407000 512 530 1732190407.foreign%20name 0f3d2b6a
 *   -1 77e1a0b4
 *
 * Header: 128 bytes, spaces before the last field, one LF.
 *   V UIDVALIDITY. N UIDNEXT. L bytes of lines behind the header that are durable. G generation: random, new at every
 *   rewrite. C checksum of the lines up to L. H checksum of the header before it.
 * Lines: `+` UID, INTERNALDATE (ms since 1970), bytes of the file, bytes with CRLF line ends, base name (bytes outside
 *   printable ASCII, `%` and space as %XX); or `-` UID, expunged. Each ends with a CRC-32 chained over everything since
 *   the generation, so a line that was changed, lost, doubled or moved spoils all that follow.
 *
 * Writers hold the mailbox's lock: lines are appended, fdatasync, and only then the header is overwritten in place with
 * the new N, L and C. Readers take no lock and believe nothing behind L. So:
 * - No UID is told before it is durable: it is told from behind a header that says L, written after the fdatasync.
 * - A writer that dies leaves lines behind L. The next one keeps those that are whole and right (after a power cut the
 *   header may be older than they are), and cuts off the rest.
 * - A file shorter than L, or wrong before L, was damaged by somebody else: the mailbox gets a new, larger UIDVALIDITY.
 *   A UID is never given to another message.
 * - A header that is overwritten while it is read fails its checksum: it is read again.
 *
 * Lines of expunged messages are dropped by writing a new file and renaming it into place.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { Uid, UidValidity } from '@postern/core'
import { openIfThere, replaceFile, writeAll } from './durable.ts'
import { digits, encodeHeaderLine, hex, isIntactHeader } from './header-line.ts'
import type { MaildirLimits } from './limits.ts'
import type { FileOpener, OpenFile } from './local-file.ts'
import type { Disk } from './options.ts'
import { yieldTurn } from './turns.ts'

export const uidListName = 'postern-uidlist'
export const uidListHeaderBytes = 128
const headerBytes = uidListHeaderBytes
/** A header that is being overwritten is right again within microseconds. */
const headerTries = 20
export const maxUid = 4_294_967_295

export interface UidListHeader {
  readonly uidValidity: UidValidity
  readonly uidNext: Uid
  /** Bytes of durable lines. */
  readonly length: number
  readonly generation: string
  /** Checksum up to `length`. */
  readonly chain: number
}

/** What never changes of a message, and its UID. */
export interface UidLine {
  readonly uid: Uid
  readonly dateMs: number
  /** Bytes of the file. */
  readonly rawBytes: number
  /** Bytes with CRLF line ends. */
  readonly bytes: number
  readonly base: string
}

/** A message that came, or the UID of one that is gone. */
export type UidListEntry = UidLine | Uid

export type UidListRead =
  | { readonly status: 'absent' }
  | { readonly status: 'damaged'; readonly detail: string }
  /** `isWhole`: the entries are all there are, and not only those since the header that was given. */
  | {
      readonly status: 'read'
      readonly header: UidListHeader
      readonly isWhole: boolean
      readonly entries: UidListEntry[]
    }

/** Reads without a lock. With `since`, only what was appended after it, when the file is still of that generation. */
export async function readUidList(
  files: FileOpener,
  folder: string,
  since: UidListHeader | undefined,
  limits: MaildirLimits,
): Promise<UidListRead> {
  const handle = await openList(files, folder, constants.O_RDONLY)
  if (handle === undefined) return { status: 'absent' }
  try {
    const header = await readHeader(handle)
    if (typeof header === 'string') return { status: 'damaged', detail: header }
    const isWhole = since?.generation !== header.generation || since.length > header.length
    const from = isWhole ? 0 : since.length
    const chain = isWhole ? chainOf(header.generation) : since.chain
    const entries: UidListEntry[] = []
    const end = await readLines(handle, from, header.length, chain, entries, limits)
    if (end.length !== header.length || end.chain !== header.chain) {
      return { status: 'damaged', detail: `wrong line at byte ${headerBytes + end.length}` }
    }
    return { status: 'read', header, isWhole, entries }
  } finally {
    await handle.close()
  }
}

/** Only the header: what a delivery needs. */
export async function readUidListHeader(files: FileOpener, folder: string): Promise<UidListHeader | undefined> {
  const handle = await openList(files, folder, constants.O_RDONLY)
  if (handle === undefined) return undefined
  try {
    const header = await readHeader(handle)
    return typeof header === 'string' ? undefined : header
  } finally {
    await handle.close()
  }
}

/** Appends to the list. The caller holds the mailbox's lock from before `open` until after `close`. */
export class UidListWriter {
  readonly #handle: OpenFile
  #header: UidListHeader

  private constructor(handle: OpenFile, header: UidListHeader) {
    this.#handle = handle
    this.#header = header
  }

  static async open(
    files: FileOpener,
    folder: string,
    limits: MaildirLimits,
  ): Promise<UidListWriter | { readonly status: 'absent' } | { readonly status: 'damaged'; readonly detail: string }> {
    const handle = await openList(files, folder, constants.O_RDWR)
    if (handle === undefined) return { status: 'absent' }
    try {
      const header = await readHeader(handle)
      const { size } = await handle.stat()
      if (typeof header === 'string') return await closed(handle, { status: 'damaged', detail: header })
      if (size < headerBytes + header.length) {
        return await closed(handle, { status: 'damaged', detail: `cut off at byte ${size}` })
      }
      const writer = new UidListWriter(handle, header)
      if (size > headerBytes + header.length) await writer.#adoptTail(size, limits)
      return writer
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  get header(): UidListHeader {
    return this.#header
  }

  /** Durable when it resolves. Rejects when it is not; then nothing was appended. */
  async append(entries: readonly UidListEntry[]): Promise<void> {
    let chain = this.#header.chain
    let uidNext: number = this.#header.uidNext
    let text = ''
    for (const entry of entries) {
      const line = encodeLine(entry, chain)
      chain = line.chain
      text += line.text
      if (typeof entry !== 'number') uidNext = Math.max(uidNext, entry.uid + 1)
    }
    const bytes = Buffer.from(text, 'latin1')
    const { length } = this.#header
    try {
      await writeAll(this.#handle, bytes, headerBytes + length)
      await this.#handle.datasync()
    } catch (error) {
      // What may be half there was promised to nobody. Should this fail too, the next writer meets whole lines or cuts.
      await this.#handle.truncate(headerBytes + length).catch(() => undefined)
      throw error
    }
    const header = { ...this.#header, uidNext: uidNext as Uid, length: length + bytes.length, chain }
    await writeAll(this.#handle, encodeUidListHeader(header), 0)
    this.#header = header
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  /** What a writer that died left behind L. */
  async #adoptTail(size: number, limits: MaildirLimits): Promise<void> {
    const entries: UidListEntry[] = []
    const { length, chain } = this.#header
    const end = await readLines(this.#handle, length, size - headerBytes, chain, entries, limits)
    await this.#handle.truncate(headerBytes + end.length)
    await this.#handle.datasync()
    if (end.length === length) return
    let uidNext: number = this.#header.uidNext
    for (const entry of entries) if (typeof entry !== 'number') uidNext = Math.max(uidNext, entry.uid + 1)
    const header = { ...this.#header, uidNext: uidNext as Uid, length: end.length, chain: end.chain }
    await writeAll(this.#handle, encodeUidListHeader(header), 0)
    this.#header = header
  }
}

/** Writes a list anew, for a new mailbox, a new UIDVALIDITY, or without its dead lines. The lock is held. */
export async function writeUidList(
  disk: Disk,
  folder: string,
  start: { readonly uidValidity: UidValidity; readonly uidNext: Uid },
  lines: Iterable<UidLine>,
  limits: MaildirLimits,
): Promise<UidListHeader> {
  const generation = randomBytes(8).toString('hex')
  let header: UidListHeader = { ...start, length: 0, generation, chain: chainOf(generation) }
  await replaceFile(disk, folder, uidListName, async (handle) => {
    let { length, chain } = header
    let text = ''
    const flush = async () => {
      const bytes = Buffer.from(text, 'latin1')
      text = ''
      await writeAll(handle, bytes, headerBytes + length)
      length += bytes.length
    }
    for (const entry of lines) {
      const line = encodeLine(entry, chain)
      chain = line.chain
      text += line.text
      if (text.length >= limits.chunkBytes) await flush()
    }
    await flush()
    header = { ...header, length, chain }
    await writeAll(handle, encodeUidListHeader(header), 0)
  })
  return header
}

async function closed<T>(handle: OpenFile, value: T): Promise<T> {
  await handle.close()
  return value
}

function openList(files: FileOpener, folder: string, access: number): Promise<OpenFile | undefined> {
  return openIfThere(files, `${folder}/${uidListName}`, access)
}

const headerPattern = /^postern-uidlist 1 V(\d{10}) N(\d{10}) L(\d{15}) G([0-9a-f]{16}) C([0-9a-f]{8}) +H[0-9a-f]{8}\n$/

/** The header, or what is wrong with it. */
async function readHeader(handle: OpenFile): Promise<UidListHeader | string> {
  const bytes = Buffer.alloc(headerBytes)
  for (let tries = 0; tries < headerTries; tries++) {
    const { bytesRead } = await handle.read(bytes, 0, headerBytes, 0)
    if (bytesRead < headerBytes) return `header cut off at byte ${bytesRead}`
    const header = parseUidListHeader(bytes.toString('latin1'))
    if (header !== undefined) return header
  }
  return 'header fails its checksum'
}

export function parseUidListHeader(text: string): UidListHeader | undefined {
  const fields = headerPattern.exec(text)
  if (fields === null || !isIntactHeader(text, headerBytes)) return undefined
  const [, validity = '', next = '', length = '', generation = '', chain = ''] = fields
  return {
    uidValidity: Number(validity) as UidValidity,
    uidNext: Number(next) as Uid,
    length: Number(length),
    generation,
    chain: Number.parseInt(chain, 16),
  }
}

export function encodeUidListHeader(header: UidListHeader): Buffer {
  const fields =
    `postern-uidlist 1 V${digits(header.uidValidity, 10)} N${digits(header.uidNext, 10)} ` +
    `L${digits(header.length, 15)} G${header.generation} C${hex(header.chain)}`
  return encodeHeaderLine(fields, headerBytes)
}

const chainOf = (generation: string): number => crc32(generation)

function encodeLine(entry: UidListEntry, chain: number): { readonly text: string; readonly chain: number } {
  const head =
    typeof entry === 'number'
      ? `-${entry} `
      : `+${entry.uid} ${entry.dateMs} ${entry.rawBytes} ${entry.bytes} ${escapeBase(entry.base)} `
  const next = crc32(head, chain)
  return { text: `${head}${hex(next)}\n`, chain: next }
}

/** Reads lines from `from` to `to` (bytes behind the header), and stops before the first that is not right. */
async function readLines(
  handle: OpenFile,
  from: number,
  to: number,
  chain: number,
  entries: UidListEntry[],
  limits: MaildirLimits,
): Promise<{ readonly length: number; readonly chain: number }> {
  const chunk = Buffer.alloc(Math.min(limits.chunkBytes, Math.max(0, to - from)))
  let position = from
  let done = from
  let rest = ''
  while (position < to) {
    const { bytesRead } = await handle.read(chunk, 0, Math.min(chunk.length, to - position), headerBytes + position)
    if (bytesRead === 0) break
    position += bytesRead
    const text = rest + chunk.toString('latin1', 0, bytesRead)
    let start = 0
    for (let lf = text.indexOf('\n'); lf >= 0; lf = text.indexOf('\n', start)) {
      const parsed = parseLine(text, start, lf, chain)
      if (parsed === undefined) return { length: done, chain }
      entries.push(parsed.entry)
      chain = parsed.chain
      done += lf + 1 - start
      start = lf + 1
    }
    rest = text.slice(start)
    // No line of ours is longer: a name has 255 bytes, three times that when escaped.
    if (rest.length > 1_024) break
    // What the kernel has in its memory is read at once (ADR 0085): a hundred thousand lines would be one turn.
    if (position < to) await yieldTurn()
  }
  return { length: done, chain }
}

/**
 * The line of `text` between two places. A process that opens a mailbox reads a hundred thousand of them: fields are found
 * in place, and no string is made but for the base name and what the checksum is over.
 */
function parseLine(
  text: string,
  from: number,
  to: number,
  chain: number,
): { readonly entry: UidListEntry; readonly chain: number } | undefined {
  const end = to - 8
  if (end <= from) return undefined
  const head = text.slice(from, end)
  const next = crc32(head, chain)
  if (!isHex(next, text, end)) return undefined
  if (text[from] === '-') return { entry: Number(head.slice(1)) as Uid, chain: next }
  // A field that is missing is empty, and lies behind the last.
  const fieldEnd = (start: number): number => {
    const space = text.indexOf(' ', start)
    return space < 0 || space > end ? end : space
  }
  const uid = fieldEnd(from + 1)
  const dateMs = fieldEnd(uid + 1)
  const rawBytes = fieldEnd(dateMs + 1)
  const bytes = fieldEnd(rawBytes + 1)
  return {
    entry: {
      uid: numberIn(text, from + 1, uid) as Uid,
      dateMs: numberIn(text, uid + 1, dateMs),
      rawBytes: numberIn(text, dateMs + 1, rawBytes),
      bytes: numberIn(text, rawBytes + 1, bytes),
      base: unescapeBase(text.slice(bytes + 1, fieldEnd(bytes + 1))),
    },
    chain: next,
  }
}

/** Whether `hex(value)` is what stands there. */
function isHex(value: number, text: string, at: number): boolean {
  for (let digit = 7; digit >= 0; digit -= 1) {
    const code = text.charCodeAt(at + 7 - digit)
    const nibble = (value >>> (digit * 4)) & 15
    if (code !== nibble + (nibble < 10 ? 0x30 : 0x57)) return false
  }
  return true
}

/** `Number` of a field. All but dates before 1970 are digits. */
function numberIn(text: string, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at += 1) {
    const digit = text.charCodeAt(at) - 0x30
    if (digit < 0 || digit > 9) return Number(text.slice(from, to))
    value = value * 10 + digit
  }
  return value
}

function escapeBase(base: string): string {
  return base.replaceAll(/[^!-$&-~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

function unescapeBase(text: string): string {
  if (!text.includes('%')) return text
  return text.replaceAll(/%([0-9A-F]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}
