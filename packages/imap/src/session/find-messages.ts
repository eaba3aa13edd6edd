import { MessageReader } from '../message/message-reader.ts'
import { noteMessage, notedFieldsOf } from './noted.ts'
import { findInBody } from '../message/text-search.ts'
import { bad, no, type Completion } from '../wire/response.ts'
import { namedCharsets, type SearchFault, type SearchKey } from '../wire/search-keys.ts'
import { HeaderFacts, NotedFacts, SearchProgram } from './search-program.ts'
import type { SessionState } from './state.ts'
import type { NumberedMessage } from './view.ts'

/** Why a search is not begun. */
export const searchFaults: Readonly<Record<SearchFault, Completion>> = {
  charset: no('Charset is not supported, or the octets are none of it', `BADCHARSET (${namedCharsets})`),
  depth: bad('Too many search keys, or nested too deep'),
  words: no('Too much to search for', 'LIMIT'),
  syntax: bad('Arguments are missing or malformed'),
}

export interface FoundMessages {
  /** Ascending. */
  readonly messages: readonly NumberedMessage[]
  /** MODSEQ was among the keys, so that the answer tells one (RFC 7162 section 3.1.5). */
  readonly tellsModseq: boolean
}

/** The messages that match. The numbers cannot change meanwhile: news is told when the command is over. */
export async function findMessages(state: SessionState, key: SearchKey): Promise<FoundMessages> {
  const { view, mailbox, saved } = state.mailbox
  const program = new SearchProgram(key, view, {
    recent: mailbox.recent(),
    saved,
    now: state.options.now(),
    hasSaveDates: state.can('save-dates'),
  })
  if (program.usesModseq) state.enableModseq()
  const found: NumberedMessage[] = []
  let number = 0
  for (const record of view.records) {
    number += 1
    await state.room()
    await state.tellProgress(number, view.exists)
    if (view.isGone(record.uid)) continue
    const message = { number, record }
    if (program.judge({ message }) ?? (await matches(state, program, message))) found.push(message)
  }
  return { messages: found, tellsModseq: program.usesModseq }
}

/** What was noted may be enough, and then the message is not opened. */
async function matches(state: SessionState, program: SearchProgram, message: NumberedMessage): Promise<boolean> {
  const noted = notedFieldsOf(state, message.record.uid)
  const fields = noted instanceof Promise ? await noted : noted
  const verdict = fields === undefined ? undefined : program.judge({ message, header: new NotedFacts(fields) })
  return verdict ?? matchesContent(state, program, message)
}

/** Looks no further into a message than its verdict needs: its header, then its texts. */
async function matchesContent(state: SessionState, program: SearchProgram, message: NumberedMessage): Promise<boolean> {
  const selected = state.mailbox
  const { uid } = message.record
  const content = await selected.mailbox.content(uid)
  if (content === undefined) return false
  const reader = new MessageReader(content, state.limits, (chunk) => state.roomAfter(chunk), selected.structureOf(uid))
  try {
    const header = new HeaderFacts((await reader.header()).text)
    const byHeader = program.judge({ message, header })
    const found = byHeader === undefined ? await findInBody(reader, program.words) : undefined
    await noteMessage(selected.mailbox, uid, reader)
    return byHeader ?? program.judge({ message, header, ...(found !== undefined && { found }) }) ?? false
  } finally {
    await reader.close()
  }
}

/** The header of a message, or those of its fields that are noted; `undefined` when it is gone. */
export async function readHeader(state: SessionState, { record }: NumberedMessage): Promise<string | undefined> {
  const { mailbox } = state.mailbox
  const noted = notedFieldsOf(state, record.uid)
  const fields = noted instanceof Promise ? await noted : noted
  if (fields !== undefined) return fields
  const content = await mailbox.content(record.uid)
  if (content === undefined) return undefined
  const reader = new MessageReader(content, state.limits, (chunk) => state.roomAfter(chunk))
  try {
    const { text } = await reader.header()
    await noteMessage(mailbox, record.uid, reader)
    return text
  } finally {
    await reader.close()
  }
}
