import { hierarchyDelimiter } from '../../wire/mailbox-name.ts'
import { encodeMailbox, no, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments, mailboxArgument, noArguments } from '../arguments.ts'
import { refusedByStore, type Outcome } from '../outcome.ts'
import { SelectedMailbox } from '../selected.ts'
import type { SessionState } from '../state.ts'

/** RFC 3501 section 6.3.1. */
export function select(state: SessionState, args: Tokens): Promise<Outcome> {
  return open(state, args, 'read-write')
}

/** RFC 3501 section 6.3.2. */
export function examine(state: SessionState, args: Tokens): Promise<Outcome> {
  return open(state, args, 'read-only')
}

async function open(state: SessionState, args: Tokens, mode: 'read-only' | 'read-write'): Promise<Outcome> {
  const argument = mailboxArgument(state, args)
  if (!args.isAtEnd) return badArguments
  // RFC 9051 section 7.1: from here on responses are of the new mailbox.
  if (state.selected !== undefined && state.isRev2) state.write('* OK [CLOSED] Mailbox closed\r\n')
  // Whatever comes of it, the mailbox that was selected is left (section 6.3.1).
  await state.unselect()
  if ('refusal' in argument) return argument.refusal
  const opened = await state.account.open(argument.name, mode)
  if (!opened.ok) return refusedByStore(opened.refusal)
  const mailbox = opened.value
  if (state.isOver) {
    await mailbox.close()
    return ok('Mailbox opened')
  }
  const selected = new SelectedMailbox(mailbox, state.limits.maxKeywords)
  selected.showsRecent = !state.isRev2
  state.selected = selected
  const unseen = mailbox.records().findIndex(({ flags }) => !flags.includes('\\Seen'))
  state.write(
    selected.flagsResponse() +
      `* ${selected.view.exists} EXISTS\r\n` +
      (state.isRev2 ? '' : `* ${mailbox.recent().size} RECENT\r\n`) +
      (unseen === -1 || state.isRev2 ? '' : `* OK [UNSEEN ${unseen + 1}] First unseen message\r\n`) +
      `* OK [UIDVALIDITY ${mailbox.uidValidity}] UIDs valid\r\n` +
      `* OK [UIDNEXT ${mailbox.uidNext()}] Predicted next UID\r\n` +
      `* OK [PERMANENTFLAGS ${selected.permanentFlags()}] Flags permitted\r\n` +
      // RFC 9051 section 6.3.2
      (state.isRev2 ? `* LIST () "${hierarchyDelimiter}" ${encodeMailbox(mailbox.name, true)}\r\n` : ''),
  )
  return selected.isReadOnly ? ok('Mailbox opened', 'READ-ONLY') : ok('Mailbox opened', 'READ-WRITE')
}

/** RFC 3501 section 6.4.2: removes messages with `\Deleted` without a word, then leaves. */
export async function close(state: SessionState, args: Tokens): Promise<Outcome> {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  const { mailbox, isReadOnly } = state.mailbox
  if (!isReadOnly) {
    const removed = await mailbox.expunge()
    if (!removed.ok) {
      await state.unselect()
      return no('Mailbox is closed, deleted messages are still there', 'UNAVAILABLE')
    }
  }
  await state.unselect()
  return ok('Mailbox closed')
}

/** RFC 3691: leaves, and removes nothing. */
export async function unselect(state: SessionState, args: Tokens): Promise<Outcome> {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  await state.unselect()
  return ok('Mailbox closed')
}
