/*
 * The change journal of a mailbox: the file `postern-journal` in its folder. It gives every change a modification
 * sequence (RFC 7162), remembers what was expunged, and keeps the keywords that have no letter in file names.
 *
 *   postern-journal 1 V1732190400 M0001773763379200 F0001773763300000 L000000000000064 G5f2c9a81d3e07b64 T1732190400123 B6d0c3a91 C1b2c3d4e  H0a1b2c3d
 *   record record ...
 *
 * Header: 192 bytes, spaces before the last field, one LF.
 *   V UIDVALIDITY that the UIDs belong to. M highest modification sequence. F floor: every expunge with a higher one is
 *   recorded. L bytes of records behind the header that count. G generation: random, new at every rewrite. T and B time
 *   of the last write (ms since 1970), and the boot of the machine that made it. C checksum of the records up to L. H
 *   checksum of the header before it.
 * Records: 32 bytes, little-endian: UID (4), letters as bits (4), keywords without a letter as bits (8), modification
 *   sequence (8), 1 for a message or 2 for one that is gone (4), CRC-32 of the 28 bytes before (4). The last record of
 *   a UID counts.
 *
 * Writers hold the mailbox's lock: records are appended, then the header is overwritten in place. Readers take no lock
 * and believe nothing behind L. Nothing is synced: what a killed process wrote is in the kernel's hands and stays. What a
 * power cut may take back is answered by making the journal anew, with modification sequences above all that were ever
 * given, whenever its last write is older than this machine's last start; so no client is told that nothing changed.
 *
 * Modification sequences are microseconds of a kind: at least 1024 times the milliseconds since 1970, and always one more
 * than the last. So a journal that was lost or restored from a backup never gives out a number that some client has seen.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { Uid, UidValidity } from '@postern/core'
import { openIfThere, readAll, replaceFile, writeAll } from './durable.ts'
import { knownLetters } from './filename.ts'
import { digits, encodeHeaderLine, hex, isIntactHeader } from './header-line.ts'
import type { FileOpener, OpenFile } from './local-file.ts'
import type { Disk } from './options.ts'

export const journalName = 'postern-journal'
export const journalHeaderBytes = 192
const headerBytes = journalHeaderBytes
export const recordBytes = 32
/** A header that is being overwritten is right again within microseconds. */
const headerTries = 20

export interface JournalHeader {
  readonly uidValidity: UidValidity
  readonly highest: number
  readonly floor: number
  /** Bytes of records that count. */
  readonly length: number
  readonly generation: string
  readonly writtenMs: number
  readonly boot: string
  /** Checksum up to `length`. */
  readonly chain: number
}

/** A message as the journal knows it. Messages that were changed together share one object. */
export interface MessageState {
  readonly letters: string
  /** A bit for each keyword without a letter. */
  readonly extra: bigint
  /** Exact as a number: below 2^53. */
  readonly modseq: number
}

/** `state` is absent of a message that is gone. */
export interface JournalRecord {
  readonly uid: Uid
  readonly modseq: number
  readonly state: MessageState | undefined
}

export type JournalRead =
  | { readonly status: 'absent' }
  /** `salvageRecords` says what of it can still be believed. */
  | { readonly status: 'damaged'; readonly detail: string }
  /** `isWhole`: the records are all there are, and not only those since the header that was given. */
  | { readonly status: 'read'; readonly header: JournalHeader; readonly isWhole: boolean; readonly records: Buffer }

/** Reads without a lock. With `since`, only what was appended after it, when the file is still of that generation. */
export async function readJournal(
  files: FileOpener,
  folder: string,
  since: JournalHeader | undefined,
): Promise<JournalRead> {
  const handle = await openJournal(files, folder, constants.O_RDONLY)
  if (handle === undefined) return { status: 'absent' }
  try {
    const header = await readHeader(handle)
    if (header === undefined) return { status: 'damaged', detail: 'header cannot be read' }
    const isWhole = since?.generation !== header.generation || since.length > header.length
    const from = isWhole ? 0 : since.length
    if (from === header.length && !isWhole) return { status: 'read', header, isWhole, records: Buffer.alloc(0) }
    const { size } = await handle.stat()
    // A length that the file cannot have is not asked of the allocator.
    const records = Buffer.allocUnsafe(Math.max(0, Math.min(header.length, size - headerBytes) - from))
    const isRead = await readAll(handle, records, headerBytes + from)
    const chain = crc32(records, isWhole ? chainOf(header.generation) : since.chain)
    if (isRead && from + records.length === header.length && chain === header.chain) {
      return { status: 'read', header, isWhole, records }
    }
    return { status: 'damaged', detail: 'records fail their checksum' }
  } finally {
    await handle.close()
  }
}

/**
 * What a damaged journal still tells: records that pass their own checksum, in order. Enough for keywords, which are
 * nowhere else; not for modification sequences, since any number of records may be missing. None when even the header's
 * UIDVALIDITY cannot be read or is another one, as the same UIDs may be other messages then.
 *
 * @param maxBytes - no more of the records is read, whatever size the file claims to have.
 */
export async function salvageRecords(
  files: FileOpener,
  folder: string,
  uidValidity: UidValidity,
  maxBytes: number,
): Promise<readonly JournalRecord[]> {
  const handle = await openJournal(files, folder, constants.O_RDONLY)
  if (handle === undefined) return []
  try {
    const head = Buffer.alloc(headerBytes)
    if (!(await readAll(handle, head, 0))) return []
    const text = head.toString('latin1')
    if (Number(/^postern-journal 1 V(\d{10}) /.exec(text)?.[1]) !== uidValidity) return []
    const { size } = await handle.stat()
    const counted = parseJournalHeader(text)?.length ?? maxBytes
    const records = Buffer.allocUnsafe(Math.max(0, Math.min(counted, size - headerBytes, maxBytes)))
    if (!(await readAll(handle, records, headerBytes))) return []
    return intactIn(records)
  } finally {
    await handle.close()
  }
}

/** The records of what was read, in order. */
export function* recordsIn(bytes: Buffer): Generator<JournalRecord, void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let shared: MessageState | undefined
  let sharedBits = 0
  for (let at = 0; at + recordBytes <= bytes.length; at += recordBytes) {
    const uid = view.getUint32(at, true) as Uid
    const bits = view.getUint32(at + 4, true)
    const modseq = view.getUint32(at + 16, true) + view.getUint32(at + 20, true) * 2 ** 32
    if (view.getUint32(at + 24, true) === kindGone) {
      yield { uid, modseq, state: undefined }
      continue
    }
    const hasExtra = view.getUint32(at + 8, true) !== 0 || view.getUint32(at + 12, true) !== 0
    if (shared === undefined || hasExtra || shared.extra !== 0n || sharedBits !== bits || shared.modseq !== modseq) {
      shared = { letters: lettersOfBits(bits), extra: hasExtra ? view.getBigUint64(at + 8, true) : 0n, modseq }
      sharedBits = bits
    }
    yield { uid, modseq, state: shared }
  }
}

/** Opens the journal for `appendToJournal`. Rejects when it is gone. */
export async function openJournalToAppend(files: FileOpener, folder: string): Promise<OpenFile> {
  const handle = await openJournal(files, folder, constants.O_RDWR)
  if (handle === undefined) throw new Error('the journal is gone')
  return handle
}

/**
 * Appends records as one change: however many pieces they are written in, none of them counts before the header says so.
 * The lock is held, and `header` was read under it. Rejects when it was not written; then nothing was appended.
 *
 * @param perTurn - records in one piece; others have the event loop while it is written.
 */
export async function appendToJournal(
  handle: OpenFile,
  header: JournalHeader,
  records: readonly JournalRecord[],
  written: { readonly nowMs: number; readonly boot: string },
  perTurn: number,
): Promise<JournalHeader> {
  let end: RecordsEnd
  try {
    end = await writeRecords(handle, header, records, perTurn)
  } catch (error) {
    await handle.truncate(headerBytes + header.length).catch(() => undefined)
    throw error
  }
  const next: JournalHeader = {
    ...header,
    ...end,
    highest: records.reduce((highest, { modseq }) => Math.max(highest, modseq), header.highest),
    writtenMs: written.nowMs,
    boot: written.boot,
  }
  await writeAll(handle, encodeJournalHeader(next), 0)
  return next
}

/** Writes a journal anew and syncs it. The lock is held. */
export async function writeJournal(
  disk: Disk,
  folder: string,
  start: Pick<JournalHeader, 'uidValidity' | 'highest' | 'floor' | 'boot' | 'writtenMs'>,
  records: readonly JournalRecord[],
  perTurn: number,
): Promise<JournalHeader> {
  const generation = randomBytes(8).toString('hex')
  let header: JournalHeader = { ...start, length: 0, generation, chain: chainOf(generation) }
  await replaceFile(disk, folder, journalName, async (handle) => {
    header = { ...header, ...(await writeRecords(handle, header, records, perTurn)) }
    await writeAll(handle, encodeJournalHeader(header), 0)
  })
  return header
}

type RecordsEnd = Pick<JournalHeader, 'length' | 'chain'>

/** Behind those that count, a piece at a time. */
async function writeRecords(
  handle: OpenFile,
  { length, chain }: RecordsEnd,
  records: readonly JournalRecord[],
  perTurn: number,
): Promise<RecordsEnd> {
  for (let from = 0; from < records.length; from += perTurn) {
    const bytes = encodeRecords(records.slice(from, from + perTurn))
    await writeAll(handle, bytes, headerBytes + length)
    length += bytes.length
    chain = crc32(bytes, chain)
  }
  return { length, chain }
}

const kindMessage = 1
const kindGone = 2

function encodeRecords(records: readonly JournalRecord[]): Buffer {
  const bytes = Buffer.alloc(records.length * recordBytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (const { uid, modseq, state } of records) {
    view.setUint32(at, uid, true)
    view.setUint32(at + 4, state === undefined ? 0 : bitsOfLetters(state.letters), true)
    view.setBigUint64(at + 8, state?.extra ?? 0n, true)
    view.setUint32(at + 16, modseq % 2 ** 32, true)
    view.setUint32(at + 20, Math.floor(modseq / 2 ** 32), true)
    view.setUint32(at + 24, state === undefined ? kindGone : kindMessage, true)
    view.setUint32(at + 28, crc32(bytes.subarray(at, at + 28)), true)
    at += recordBytes
  }
  return bytes
}

function intactIn(records: Buffer): readonly JournalRecord[] {
  const intact: JournalRecord[] = []
  let at = 0
  for (const record of recordsIn(records)) {
    const isIntact = crc32(records.subarray(at, at + 28)) === records.readUInt32LE(at + 28)
    // No clock of ours makes a larger one: its octets are somebody else's.
    if (isIntact && record.modseq <= Number.MAX_SAFE_INTEGER) intact.push(record)
    at += recordBytes
  }
  return intact
}

function bitsOfLetters(letters: string): number {
  let bits = 0
  for (const letter of letters) bits |= 1 << knownLetters.indexOf(letter)
  return bits >>> 0
}

function lettersOfBits(bits: number): string {
  let letters = ''
  for (let at = 0; at < knownLetters.length; at += 1) if (((bits >>> at) & 1) === 1) letters += knownLetters[at]
  return letters
}

function openJournal(files: FileOpener, folder: string, access: number): Promise<OpenFile | undefined> {
  return openIfThere(files, `${folder}/${journalName}`, access)
}

const headerPattern =
  /^postern-journal 1 V(\d{10}) M(\d{16}) F(\d{16}) L(\d{15}) G([0-9a-f]{16}) T(\d{13}) B([0-9a-f]{0,8}) C([0-9a-f]{8}) +H[0-9a-f]{8}\n$/

async function readHeader(handle: OpenFile): Promise<JournalHeader | undefined> {
  const bytes = Buffer.alloc(headerBytes)
  for (let tries = 0; tries < headerTries; tries++) {
    const { bytesRead } = await handle.read(bytes, 0, headerBytes, 0)
    if (bytesRead < headerBytes) return undefined
    const header = parseJournalHeader(bytes.toString('latin1'))
    if (header !== undefined) return header
  }
  return undefined
}

export function parseJournalHeader(text: string): JournalHeader | undefined {
  const fields = headerPattern.exec(text)
  if (fields === null || !isIntactHeader(text, headerBytes)) return undefined
  const [, validity, highest, floor, length, generation = '', time, boot = '', chain = ''] = fields
  return {
    uidValidity: Number(validity) as UidValidity,
    highest: Number(highest),
    floor: Number(floor),
    length: Number(length),
    generation,
    writtenMs: Number(time),
    boot,
    chain: Number.parseInt(chain, 16),
  }
}

export function encodeJournalHeader(header: JournalHeader): Buffer {
  const { uidValidity, highest, floor, length, generation, writtenMs, boot, chain } = header
  const fields =
    `postern-journal 1 V${digits(uidValidity, 10)} M${digits(highest, 16)} F${digits(floor, 16)} ` +
    `L${digits(length, 15)} G${generation} T${digits(writtenMs, 13)} B${boot} C${hex(chain)}`
  return encodeHeaderLine(fields, headerBytes)
}

const chainOf = (generation: string): number => crc32(generation)
