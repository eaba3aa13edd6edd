/*
 * What a process knew of a mailbox's messages, for the next one that opens it: the file `postern-snapshot` in the mailbox's
 * folder. It is a cache. With it, a process is where the one that wrote it was, and goes on from there as that one would:
 * it reads what the UID list and the journal have grown by, and a folder whose times are not those that were noted.
 *
 *   postern-snapshot 1 B6d0c3a91 M0000100000 D0000000000 R0000000000 N<folder> C<folder>           H0a1b2c3d
 *   <header of the UID list>
 *   <header of the journal>
 *   block block ...
 *
 * First line: 192 bytes, spaces before the last field, one LF. B boot of the machine. M messages. D and R lines of the UID
 *   list and records of the journal that do not count. N and C the folders `new` and `cur` when they were read: inode
 *   number, mtime and ctime (ns), 16 hexadecimal digits each; `-` for one that is to be read. H checksum of the line
 *   before it. The headers are those of the files when the messages were as told here, with the checksums of their own.
 * Blocks: messages (4 bytes, little-endian), bytes of their names (4), a record for each message, the names one after the
 *   other, and a CRC-32 of all that, chained over everything since the first line (4).
 * Records: 48 bytes, little-endian: UID (4), bytes of the name (1), 1 in `new` (1), nothing (2), INTERNALDATE (ms since 1970),
 *   bytes of the file, bytes with CRLF line ends, modification sequence (8 each, as floating point numbers), keywords without
 *   a letter as bits (8). UIDs ascend.
 *
 * Nobody holds a lock. A writer makes its file in `tmp/`, where a killed one leaves it to the clean-up, and renames it into
 * place: of two writers the last counts, and both are right. Nothing is synced: what was written before this machine
 * started is not believed, for after that the journal is made anew.
 */
import { constants } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { Uid } from '@postern/core'
import { openIfThere, readAll, unlinkIfThere, writeAll } from './durable.ts'
import { knownPart, lettersOf } from './filename.ts'
import { digits, encodeHeaderLine, isIntactHeader } from './header-line.ts'
import {
  encodeJournalHeader,
  journalHeaderBytes,
  parseJournalHeader,
  type JournalHeader,
  type MessageState,
} from './journal.ts'
import type { Keywords } from './keywords.ts'
import type { MaildirLimits } from './limits.ts'
import type { FileOpener, OpenFile } from './local-file.ts'
import { StoredMessage } from './message.ts'
import type { Disk } from './options.ts'
import type { SubFolder } from './sub-folders.ts'
import { encodeUidListHeader, parseUidListHeader, uidListHeaderBytes, type UidListHeader } from './uidlist.ts'

export const snapshotName = 'postern-snapshot'
const lineBytes = 192
const headerBytes = lineBytes + uidListHeaderBytes + journalHeaderBytes
const blockHeadBytes = 8
const checkBytes = 4
const recordBytes = 48
/** NAME_MAX of every file system a Maildir lives on. */
const maxNameBytes = 255

/** How far the process had followed the mailbox that wrote a snapshot of it. */
export interface SnapshotHeader {
  readonly boot: string
  readonly messages: number
  readonly uidList: UidListHeader
  readonly deadLines: number
  readonly journal: JournalHeader
  readonly deadRecords: number
  /** Of each folder what `stateOfFolder` says; `undefined` when it is to be read. */
  readonly folders: Readonly<Record<SubFolder, string | undefined>>
}

/** A mailbox as a process knows it. */
export interface Snapshot {
  readonly header: SnapshotHeader
  /** Ascending by UID. */
  readonly messages: readonly StoredMessage[]
}

/** What tells one state of a folder from all others. Times may be set back, that of the inode's last change may not. */
export function stateOfFolder(stats: {
  readonly ino: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}): string {
  return [stats.ino, stats.mtimeNs, stats.ctimeNs]
    .map((value) => BigInt.asUintN(64, value).toString(16).padStart(16, '0'))
    .join('.')
}

/** A snapshot that is there, of which the header was read. */
export class SnapshotFile {
  readonly header: SnapshotHeader
  readonly #handle: OpenFile
  readonly #chain: number

  private constructor(handle: OpenFile, header: SnapshotHeader, chain: number) {
    this.#handle = handle
    this.header = header
    this.#chain = chain
  }

  /** `undefined` when there is none that could be right. */
  static async open(files: FileOpener, folder: string, limits: MaildirLimits): Promise<SnapshotFile | undefined> {
    const handle = await openIfThere(files, `${folder}/${snapshotName}`, constants.O_RDONLY)
    if (handle === undefined) return undefined
    try {
      const stats = await handle.stat()
      const bytes = Buffer.alloc(headerBytes)
      const isWhole = stats.isFile() && stats.size <= limits.maxSnapshotBytes && (await readAll(handle, bytes, 0))
      const header = isWhole ? parseHeader(bytes) : undefined
      // A number of messages that the file has no room for is believed no further.
      if (header !== undefined && header.messages * recordBytes <= stats.size) {
        return new SnapshotFile(handle, header, crc32(bytes))
      }
    } catch (error) {
      await handle.close()
      throw error
    }
    await handle.close()
    return undefined
  }

  /** The messages, or `undefined` when they are not as they were written. Reads a block at a time. */
  async read(keywords: Keywords, { namesPerTurn }: MaildirLimits): Promise<StoredMessage[] | undefined> {
    const messages: StoredMessage[] = []
    const room = Buffer.allocUnsafe(namesPerTurn * (recordBytes + maxNameBytes) + checkBytes)
    const head = Buffer.alloc(blockHeadBytes)
    const states = new Map<string, MessageState>()
    let chain = this.#chain
    let position = headerBytes
    while (messages.length < this.header.messages) {
      if (!(await readAll(this.#handle, head, position))) return undefined
      const count = head.readUInt32LE(0)
      const length = count * recordBytes + head.readUInt32LE(4)
      if (count === 0 || count > namesPerTurn || length + checkBytes > room.length) return undefined
      const bytes = room.subarray(0, length)
      if (!(await readAll(this.#handle, room.subarray(0, length + checkBytes), position + blockHeadBytes)))
        return undefined
      chain = crc32(bytes, crc32(head, chain))
      if (chain !== room.readUInt32LE(length)) return undefined
      if (!takeBlock(bytes, count, messages, states, keywords)) return undefined
      position += blockHeadBytes + length + checkBytes
    }
    const isAll = messages.length === this.header.messages
    return isAll && (messages.at(-1)?.uid ?? 0) < this.header.uidList.uidNext ? messages : undefined
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/**
 * Puts a snapshot in place of the one that is there. Rejects when it cannot be written; then that one is still there.
 *
 * @param temporary - a name that no other writer takes.
 */
export async function writeSnapshot(
  disk: Disk,
  folder: string,
  temporary: string,
  { header, messages }: Snapshot,
  { namesPerTurn, maxSnapshotBytes }: MaildirLimits,
): Promise<void> {
  const fresh = `${folder}/tmp/${temporary}`
  const handle = await disk.open(fresh, 'wx', 0o600)
  try {
    const head = encodeHeader(header)
    await writeAll(handle, head, 0)
    let chain = crc32(head)
    let position = head.length
    for (let from = 0; from < messages.length; from += namesPerTurn) {
      const block = encodeBlock(messages.slice(from, from + namesPerTurn), chain)
      chain = block.readUInt32LE(block.length - checkBytes)
      if (position + block.length > maxSnapshotBytes) throw new RangeError(`more than ${maxSnapshotBytes} bytes`)
      await writeAll(handle, block, position)
      position += block.length
    }
    await handle.close()
    await disk.rename(fresh, `${folder}/${snapshotName}`)
  } catch (error) {
    await handle.close().catch(() => undefined)
    await unlinkIfThere(disk, fresh)
    throw error
  }
}

/** The first line and both headers: they are the same when a snapshot would be. */
export function encodeHeader({
  boot,
  messages,
  deadLines,
  deadRecords,
  folders,
  uidList,
  journal,
}: SnapshotHeader): Buffer {
  const fields =
    `postern-snapshot 1 B${boot} M${digits(messages, 10)} D${digits(deadLines, 10)} R${digits(deadRecords, 10)} ` +
    `N${folders.new ?? '-'} C${folders.cur ?? '-'}`
  return Buffer.concat([
    encodeHeaderLine(fields, lineBytes),
    encodeUidListHeader(uidList),
    encodeJournalHeader(journal),
  ])
}

const headerPattern =
  /^postern-snapshot 1 B([0-9a-f]{8}) M(\d{10}) D(\d{10}) R(\d{10}) N(-|[0-9a-f.]{50}) C(-|[0-9a-f.]{50}) +H[0-9a-f]{8}\n$/

function parseHeader(bytes: Buffer): SnapshotHeader | undefined {
  const line = bytes.toString('latin1', 0, lineBytes)
  const fields = headerPattern.exec(line)
  if (fields === null || !isIntactHeader(line, lineBytes)) return undefined
  const [, boot = '', messages, deadLines, deadRecords, fresh, current] = fields
  const journalAt = lineBytes + uidListHeaderBytes
  const uidList = parseUidListHeader(bytes.toString('latin1', lineBytes, journalAt))
  const journal = parseJournalHeader(bytes.toString('latin1', journalAt))
  if (uidList === undefined || journal === undefined) return undefined
  return {
    boot,
    messages: Number(messages),
    uidList,
    deadLines: Number(deadLines),
    journal,
    deadRecords: Number(deadRecords),
    folders: { new: fresh === '-' ? undefined : fresh, cur: current === '-' ? undefined : current },
  }
}

function encodeBlock(messages: readonly StoredMessage[], chain: number): Buffer {
  let names = 0
  for (const { file } of messages) names += file.length
  const length = blockHeadBytes + messages.length * recordBytes + names
  const bytes = Buffer.alloc(length + checkBytes)
  bytes.writeUInt32LE(messages.length, 0)
  bytes.writeUInt32LE(names, 4)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = blockHeadBytes
  let nameAt = length - names
  for (const { uid, file, isNew, dateMs, rawBytes, bytes: size, state } of messages) {
    view.setUint32(at, uid, true)
    view.setUint8(at + 4, file.length)
    view.setUint8(at + 5, isNew ? 1 : 0)
    view.setFloat64(at + 8, dateMs, true)
    view.setFloat64(at + 16, rawBytes, true)
    view.setFloat64(at + 24, size, true)
    view.setFloat64(at + 32, state.modseq, true)
    if (state.extra !== 0n) view.setBigUint64(at + 40, state.extra, true)
    at += recordBytes
    nameAt += bytes.write(file, nameAt, 'latin1')
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, length), chain), length)
  return bytes
}

/** False when what is there cannot be messages: whoever makes such a file is none of ours, whatever its checksum says. */
function takeBlock(
  bytes: Buffer,
  count: number,
  messages: StoredMessage[],
  states: Map<string, MessageState>,
  keywords: Keywords,
): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // Names are cut from the text of their block: it stays in memory as long as one of its messages does, and no other does.
  const text = bytes.toString('latin1', count * recordBytes)
  if (text.includes('/') || text.includes('\0')) return false
  let last: number = messages.at(-1)?.uid ?? 0
  let nameAt = 0
  for (let at = 0; at < count * recordBytes; at += recordBytes) {
    const uid = view.getUint32(at, true)
    const nameEnd = nameAt + view.getUint8(at + 4)
    const file = text.slice(nameAt, nameEnd)
    const dateMs = view.getFloat64(at + 8, true)
    const rawBytes = view.getFloat64(at + 16, true)
    const size = view.getFloat64(at + 24, true)
    const modseq = view.getFloat64(at + 32, true)
    const hasExtra = view.getUint32(at + 40, true) !== 0 || view.getUint32(at + 44, true) !== 0
    const isSound =
      uid > last &&
      nameEnd > nameAt &&
      nameEnd <= text.length &&
      !file.startsWith('.') &&
      Number.isSafeInteger(dateMs) &&
      Number.isSafeInteger(rawBytes) &&
      Number.isSafeInteger(size) &&
      Number.isSafeInteger(modseq) &&
      Math.min(rawBytes, size) >= 0 &&
      modseq > 0
    if (!isSound) return false
    const inName = lettersOf(file)
    const letters = knownPart(inName)
    const extra = hasExtra ? view.getBigUint64(at + 40, true) : 0n
    // Messages that were changed together share one object.
    let state = states.get(letters)
    if (state === undefined || state.modseq !== modseq || state.extra !== extra) {
      state = { letters, extra, modseq }
      states.set(letters, state)
    }
    const line = { uid: uid as Uid, dateMs, rawBytes, bytes: size }
    messages.push(new StoredMessage(line, file, view.getUint8(at + 5) === 1, state, keywords, inName))
    last = uid
    nameAt = nameEnd
  }
  return nameAt === text.length
}
