import type { Awaitable, MessageRecord, StoreAbility, Uid } from '@postern/core'
import { parseEnvelope } from '../../message/envelope.ts'
import type { MessageNote } from '../../message/message-note.ts'
import { MessageReader } from '../../message/message-reader.ts'
import { previewOf } from '../../message/preview.ts'
import { findEncoded, findSection, type EncodedContent, type SectionContent } from '../../message/section.ts'
import { isKnownEncoding, transferDecoder } from '../../message/transfer-encoding.ts'
import { encodeDateTime } from '../../wire/date-time.ts'
import { parseFetchItems, type FetchItem } from '../../wire/fetch-items.ts'
import { parseFetchModifiers } from '../../wire/fetch-modifiers.ts'
import { encodeFlags } from '../../wire/flags.ts'
import { encodeVanished } from '../../wire/modseq.ts'
import { encodeString, no, ok } from '../../wire/response.ts'
import { partOf } from '../../wire/search-result.ts'
import { encodeBody, encodeEnvelope } from '../../wire/structure.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import { noteMessage, notedOf } from '../noted.ts'
import type { Outcome } from '../outcome.ts'
import type { SelectedMailbox } from '../selected.ts'
import type { SessionState } from '../state.ts'
import { vanishedSince } from '../vanished.ts'
import type { NumberedMessage } from '../view.ts'
import { messageSet, someGone, type Naming } from './message-set.ts'

/** RFC 3501 section 6.4.5. */
export function fetch(state: SessionState, args: Tokens): Promise<Outcome> {
  return fetchMessages(state, args, 'number')
}

/** RFC 3501 section 6.4.8: the answers name the UID, asked for or not. */
export function uidFetch(state: SessionState, args: Tokens): Promise<Outcome> {
  return fetchMessages(state, args, 'uid')
}

async function fetchMessages(state: SessionState, args: Tokens, naming: Naming): Promise<Outcome> {
  const selected = state.mailbox
  const set = messageSet(selected, args, naming)
  if ('refusal' in set) return set.refusal
  const asked = args.space() ? parseFetchItems(args) : undefined
  const modifiers = asked === undefined ? undefined : parseFetchModifiers(args)
  if (asked === undefined || modifiers === undefined || !args.isAtEnd) return badArguments
  const { partial, changedSince } = modifiers
  const asks = (name: FetchItem['item']) => asked.some(({ item }) => item === name)
  if (lacksAbility(state, asked)) return badArguments
  if (changedSince !== undefined || asks('MODSEQ')) {
    if (!state.can('modseq')) return badArguments
    state.enableModseq()
  }
  if (modifiers.vanished) {
    // RFC 7162 section 3.2.6: of UID FETCH, with CHANGEDSINCE, and when QRESYNC was enabled.
    if (changedSince === undefined || naming !== 'uid' || !state.enabled.has('QRESYNC')) return badArguments
    state.write(encodeVanished(await vanishedSince(selected, changedSince, set.uids), true))
  }
  const items = withSizesOnce(naming === 'uid' && !asks('UID') ? [{ item: 'UID' }, ...asked] : asked)
  if (changedSince !== undefined && !asks('MODSEQ')) items.push({ item: 'MODSEQ' })
  const recent = selected.recent()
  const ends = new Set<FetchEnd>()
  const changed =
    changedSince === undefined
      ? set.messages
      : set.messages.filter(({ record }) => (record.modseq ?? 0n) > changedSince)
  for (const message of partial === undefined ? changed : partOf(changed, partial)) {
    const end = tellItems(state, message, items, recent, setSeen)
    if (end !== 'told') ends.add(await end)
    await state.room()
  }
  if (ends.has('unknown-encoding')) return no('A part is encoded in a way that is not known', 'UNKNOWN-CTE')
  if (ends.has('too-much')) return no('Too many pieces of encoded parts at once', 'LIMIT')
  return ends.has('gone') ? someGone : ok('Fetch completed')
}

/** Something is asked for that only other stores have. */
export function lacksAbility(state: SessionState, asked: readonly FetchItem[]): boolean {
  const asks = (name: FetchItem['item']): boolean => asked.some(({ item }) => item === name)
  return abilities.some(({ items, needs }) => items.some(asks) && !state.can(needs))
}

/** A message that is told without being asked for: nothing of it changes by that. */
export async function writeMessage(
  state: SessionState,
  message: NumberedMessage,
  asked: readonly FetchItem[],
): Promise<void> {
  const items = withSizesOnce(asked)
  const adds = (name: 'UID' | 'MODSEQ'): boolean => !items.some(({ item }) => item === name)
  // Once enabled, they are in every response that comes by itself (RFC 7162 section 3.2.4, RFC 9051 section 7.5.2).
  const isCondstore = state.enabled.has('CONDSTORE')
  if (isCondstore && adds('MODSEQ')) items.push({ item: 'MODSEQ' })
  if ((isCondstore || state.isRev2) && adds('UID')) items.unshift({ item: 'UID' })
  await tellItems(state, message, items, state.mailbox.recent(), leaveFlags)
}

function tellItems(
  state: SessionState,
  message: NumberedMessage,
  items: readonly FetchItem[],
  recent: ReadonlySet<Uid>,
  mark: Mark,
): Awaitable<FetchEnd> {
  if (items.some(({ item }) => !isOfRecord(item))) return fetchFromContent(state, message, items, recent, mark)
  const told = items.map((item) => ofRecord(item, message.record, recent)).join(' ')
  state.write(`* ${message.number} FETCH (${told})\r\n`)
  return 'told'
}

/** What looking at a message changes of it. */
type Mark = typeof setSeen

const leaveFlags: Mark = async () => undefined

/** A size that is asked for again and again is told once: it costs a look at all of the part, and next to no answer. */
function withSizesOnce(items: readonly FetchItem[]): FetchItem[] {
  const labels = new Set<string>()
  return items.filter((item) => {
    if (item.item !== 'binary-size') return true
    const isFirst = !labels.has(item.label)
    labels.add(item.label)
    return isFirst
  })
}

const ofRecords: ReadonlySet<FetchItem['item']> = new Set([
  'FLAGS',
  'UID',
  'INTERNALDATE',
  'RFC822.SIZE',
  'MODSEQ',
  'EMAILID',
  'THREADID',
  'SAVEDATE',
] as const)

/** Items that only some stores have. */
const abilities: readonly { readonly items: readonly FetchItem['item'][]; readonly needs: StoreAbility }[] = [
  { items: ['MODSEQ'], needs: 'modseq' },
  { items: ['EMAILID', 'THREADID'], needs: 'object-ids' },
  { items: ['SAVEDATE'], needs: 'save-dates' },
]

/** Items that need no look into the message. */
function isOfRecord(item: FetchItem['item']): boolean {
  return ofRecords.has(item)
}

function ofRecord({ item }: FetchItem, record: MessageRecord, recent: ReadonlySet<Uid>): string {
  if (item === 'UID') return `UID ${record.uid}`
  if (item === 'INTERNALDATE') return `INTERNALDATE ${encodeDateTime(record.internalDate)}`
  if (item === 'MODSEQ') return `MODSEQ (${record.modseq ?? 0n})`
  if (item === 'EMAILID') return record.emailId === undefined ? 'EMAILID NIL' : `EMAILID (${record.emailId})`
  // RFC 8474 section 5.2: a server that does not thread says so.
  if (item === 'THREADID') return 'THREADID NIL'
  if (item === 'SAVEDATE') {
    return `SAVEDATE ${record.savedDate === undefined ? 'NIL' : encodeDateTime(record.savedDate)}`
  }
  if (item === 'RFC822.SIZE') return `RFC822.SIZE ${record.bytes}`
  return `FLAGS ${encodeFlags(record.flags, recent.has(record.uid))}`
}

/** Items that are answered from what was noted about a message, or are worth noting. */
const ofNotes: ReadonlySet<FetchItem['item']> = new Set(['ENVELOPE', 'BODY', 'BODYSTRUCTURE'] as const)

const isNoted = ({ item }: FetchItem): boolean => ofNotes.has(item)

/** The items, when all that they need was noted: then the message is not opened. */
function answersFromNote(
  { limits }: SessionState,
  { record }: NumberedMessage,
  items: readonly FetchItem[],
  recent: ReadonlySet<Uid>,
  { fields, structure }: MessageNote,
): string[] | undefined {
  const answers: string[] = []
  for (const item of items) {
    if (isOfRecord(item.item)) answers.push(ofRecord(item, record, recent))
    else if (item.item === 'ENVELOPE') answers.push(envelopeOf(fields, limits.maxAddresses))
    else if (isNoted(item) && structure !== undefined) {
      answers.push(`${item.item} ${encodeBody(structure, item.item === 'BODYSTRUCTURE')}`)
    } else return undefined
  }
  return answers
}

const envelopeOf = (header: string, maxAddresses: number): string =>
  `ENVELOPE ${encodeEnvelope(parseEnvelope(header, { left: maxAddresses }))}`

/** A part of a response: text, or octets of the message that follow their announcement. */
type Piece = string | OctetsPiece

interface OctetsPiece {
  readonly announcement: string
  /** Where they are in the message. */
  readonly start: number
  readonly end: number
  /** For BINARY: how they are encoded, and which of the decoded octets are sent. */
  readonly decoded?: DecodedRange
}

interface DecodedRange {
  readonly encoding: string
  readonly from: number
  readonly to: number
}

/** What became of the message: it was told, it is gone, RFC 3516 section 4.3 forbids to tell it, or a bound does. */
type FetchEnd = 'told' | 'gone' | 'unknown-encoding' | 'too-much'

async function fetchFromContent(
  state: SessionState,
  message: NumberedMessage,
  items: readonly FetchItem[],
  recent: ReadonlySet<Uid>,
  mark: Mark,
): Promise<FetchEnd> {
  const selected = state.mailbox
  const { uid } = message.record
  const noted = items.some(isNoted) ? await notedOf(state, uid) : undefined
  const fromNote = noted === undefined ? undefined : answersFromNote(state, message, items, recent, noted)
  if (fromNote !== undefined) {
    state.write(`* ${message.number} FETCH (${fromNote.join(' ')})\r\n`)
    return 'told'
  }
  const content = await selected.mailbox.content(uid)
  if (content === undefined) return 'gone'
  const reader = new MessageReader(
    content,
    state.limits,
    (chunk) => state.roomAfter(chunk),
    selected.structureOf(uid) ?? noted?.structure,
  )
  try {
    const decoded: number[] = []
    for (const item of items) {
      if (item.item !== 'binary' && item.item !== 'binary-size') continue
      const found = await findEncoded(reader, item.part)
      if (found === undefined) continue
      if (!isKnownEncoding(found.encoding)) return 'unknown-encoding'
      // Each piece is decoded from the part's start, to measure it and to send it; what stands between octets that count
      // may be of any length, so the whole part is reckoned.
      decoded.push((found.end - found.start) * (item.item === 'binary' ? 2 : 1))
    }
    const decodedBytes = decoded.reduce((sum, bytes) => sum + bytes, 0)
    // One item is always answered, however large its part.
    if (decoded.length > 1 && decodedBytes > state.limits.maxDecodedBytes) return 'too-much'
    const seen = await mark(selected, message.record, items)
    const record = seen ?? message.record
    const response = new FetchResponse(state, message.number, reader)
    if (seen !== undefined) {
      // What the look changed is told too, before what may be long (RFC 7162 section 3.2.4).
      const told: readonly FetchItem['item'][] = state.enabled.has('CONDSTORE') ? ['UID', 'FLAGS', 'MODSEQ'] : ['FLAGS']
      for (const name of told) {
        if (!items.some(({ item }) => item === name))
          await response.add(ofRecord({ item: name } as FetchItem, record, recent))
      }
    }
    for (const item of items) {
      await response.add(
        isOfRecord(item.item)
          ? ofRecord(item, record, recent)
          : await ofContent(item, reader, state.limits.maxAddresses),
      )
      // A thousand looks into a large message are not worth finishing for a client that has left.
      await state.room()
    }
    await response.end()
    if (reader.foundStructure !== undefined) selected.keepStructure(uid, reader.foundStructure)
    if (items.some(isNoted)) await noteMessage(selected.mailbox, uid, reader, noted)
    return 'told'
  } finally {
    await reader.close()
  }
}

/**
 * One response of FETCH. What was written cannot be taken back, so its pieces wait until all that can fail has been done;
 * but no more of them than one large header: a client may ask for parts of that a thousand times.
 */
class FetchResponse {
  readonly #state: SessionState
  readonly #reader: MessageReader
  #pieces: Piece[] = []
  #waitingBytes = 0
  #text: string
  #separator = ''

  constructor(state: SessionState, number: number, reader: MessageReader) {
    this.#state = state
    this.#reader = reader
    this.#text = `* ${number} FETCH (`
  }

  async add(piece: Piece): Promise<void> {
    this.#pieces.push(piece)
    if (typeof piece === 'string') this.#waitingBytes += piece.length
    if (this.#waitingBytes > this.#state.limits.maxHeaderBytes) await this.#write()
  }

  async end(): Promise<void> {
    await this.#write()
    this.#state.write(`${this.#text})\r\n`)
    this.#state.isInsideResponse = false
  }

  async #write(): Promise<void> {
    const state = this.#state
    state.isInsideResponse = true
    for (const piece of this.#pieces) {
      this.#text += this.#separator
      this.#separator = ' '
      if (typeof piece === 'string') {
        this.#text += piece
        continue
      }
      this.#flush(piece.announcement)
      for await (const chunk of octetsOf(this.#reader, piece)) {
        state.output.write(chunk)
        await state.room()
      }
    }
    this.#pieces = []
    if (this.#waitingBytes > state.limits.maxHeaderBytes) {
      this.#flush('')
      await state.room()
    }
    this.#waitingBytes = 0
  }

  #flush(end: string): void {
    this.#state.write(`${this.#text}${end}`)
    this.#text = ''
  }
}

/** BODY[] and its like set `\Seen`, unless they only peek or the mailbox is read-only. */
async function setSeen(
  selected: SelectedMailbox,
  record: MessageRecord,
  items: readonly FetchItem[],
): Promise<MessageRecord | undefined> {
  const sets = items.some((item) => (item.item === 'section' || item.item === 'binary') && !item.isPeek)
  if (!sets || selected.isReadOnly || record.flags.includes('\\Seen') || selected.view.isGone(record.uid))
    return undefined
  const changed = await selected.mailbox.setFlags([record.uid], { op: 'add', flags: ['\\Seen'] })
  // A store that cannot keep the flag can still show the message.
  const updated = changed.ok ? changed.value.messages[0] : undefined
  if (updated !== undefined) selected.view.update(updated)
  return updated
}

async function ofContent(item: FetchItem, reader: MessageReader, maxAddresses: number): Promise<Piece> {
  if (item.item === 'section') return ofSection(item, reader)
  if (item.item === 'binary') return ofBinary(item, reader)
  if (item.item === 'binary-size') {
    const found = await findEncoded(reader, item.part)
    return `${item.label} ${found === undefined ? 0 : (await measure(reader, found, 0, Infinity)).bytes}`
  }
  if (item.item === 'PREVIEW') {
    return `PREVIEW ${encodeString(Buffer.from(await previewOf(reader)).toString('latin1'))}`
  }
  if (item.item === 'ENVELOPE') {
    const { text } = await reader.header()
    return envelopeOf(text, maxAddresses)
  }
  return `${item.item} ${encodeBody(await reader.structure(), item.item === 'BODYSTRUCTURE')}`
}

/** What is not there is told as nothing, not as NIL: so do the servers that clients were written against (ADR 0039). */
const nowhere: SectionContent = { kind: 'range', start: 0, end: 0 }

async function ofSection(item: Extract<FetchItem, { item: 'section' }>, reader: MessageReader): Promise<Piece> {
  const found = (await findSection(reader, item.section)) ?? nowhere
  const from = item.partial?.offset ?? 0
  const count = item.partial?.count ?? Infinity
  if (found.kind === 'text') return `${item.label} ${encodeString(found.text.slice(from, from + count))}`
  const start = Math.min(found.start + from, found.end)
  const end = Math.min(start + count, found.end)
  return { announcement: `${item.label} {${end - start}}\r\n`, start, end }
}

/** RFC 3516 section 4.2: literal8 where there is NUL, and a literal as always where there is none. */
async function ofBinary(item: Extract<FetchItem, { item: 'binary' }>, reader: MessageReader): Promise<Piece> {
  const found = await findEncoded(reader, item.part)
  if (found === undefined) return `${item.label} {0}\r\n`
  const from = item.partial?.offset ?? 0
  const to = from + (item.partial?.count ?? Infinity)
  const { bytes, hasNul } = await measure(reader, found, from, to)
  const sent = Math.max(0, Math.min(to, bytes) - from)
  return {
    announcement: `${item.label} ${hasNul ? '~' : ''}{${sent}}\r\n`,
    start: found.start,
    end: found.end,
    decoded: { encoding: found.encoding, from, to: from + sent },
  }
}

/**
 * How much the octets stand for, and whether NUL is in the wanted part of that: both are told before the octets. What lies
 * behind that part is not looked at.
 */
async function measure(
  reader: MessageReader,
  { start, end, encoding }: EncodedContent,
  from: number,
  to: number,
): Promise<{ readonly bytes: number; readonly hasNul: boolean }> {
  let bytes = 0
  let hasNul = false
  for await (const chunk of decodedOctets(reader, start, end, encoding)) {
    hasNul ||= chunk.subarray(Math.max(0, from - bytes), Math.max(0, to - bytes)).includes(0)
    bytes += chunk.length
    if (bytes >= to) break
  }
  return { bytes, hasNul }
}

async function* octetsOf(
  reader: MessageReader,
  { start, end, decoded }: OctetsPiece,
): AsyncGenerator<Buffer, void, undefined> {
  if (decoded === undefined) {
    yield* reader.range(start, end)
    return
  }
  const { encoding, from, to } = decoded
  let at = 0
  for await (const chunk of decodedOctets(reader, start, end, encoding)) {
    const part = chunk.subarray(Math.max(0, from - at), Math.max(0, to - at))
    at += chunk.length
    if (part.length > 0) yield part
    if (at >= to) return
  }
}

async function* decodedOctets(
  reader: MessageReader,
  start: number,
  end: number,
  encoding: string,
): AsyncGenerator<Buffer, void, undefined> {
  const decoder = transferDecoder(encoding)
  for await (const chunk of reader.range(start, end)) yield decoder.push(chunk)
  yield decoder.end()
}
