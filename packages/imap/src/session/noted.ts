import type { Awaitable, Mailbox, Uid } from '@postern/core'
import { encodeNote, readNote, readNotedFields, type MessageNote } from '../message/message-note.ts'
import type { MessageReader } from '../message/message-reader.ts'
import type { SessionState } from './state.ts'

/** What an earlier session, or this one, noted about a message; of a store that keeps notes. */
export async function notedOf(state: SessionState, uid: Uid): Promise<MessageNote | undefined> {
  const note = await state.mailbox.mailbox.recall?.(uid)
  // The client may have left meanwhile.
  await state.room()
  return note === undefined ? undefined : readNote(note)
}

/** Only the fields of its header that are noted, as a header block. Waits only while the store must. */
export function notedFieldsOf(state: SessionState, uid: Uid): Awaitable<string | undefined> {
  const note = state.mailbox.mailbox.recall?.(uid)
  if (note === undefined || typeof note === 'string') return note === undefined ? undefined : readNotedFields(note)
  return note.then(async (text) => {
    await state.room()
    return text === undefined ? undefined : readNotedFields(text)
  })
}

/**
 * Notes what was found out about a message: its header, and its structure when that was looked for.
 *
 * @param known - what was noted before: nothing is noted twice.
 */
export async function noteMessage(
  mailbox: Mailbox,
  uid: Uid,
  reader: MessageReader,
  known?: MessageNote,
): Promise<void> {
  const structure = reader.foundStructure
  if (mailbox.remember === undefined || (known !== undefined && (structure === undefined || known.structure))) return
  const { text, end } = await reader.header()
  // Of a header that is too long to be looked at whole nobody knows what else stands in it.
  if (text.length !== end) return
  mailbox.remember(uid, encodeNote(text, structure))
}
