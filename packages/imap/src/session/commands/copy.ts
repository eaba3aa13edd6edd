import type { MovedUids, StoreOutcome } from '@postern/core'
import { encodeMailboxName } from '../../wire/mailbox-name.ts'
import { no, ok, type ResponseCode } from '../../wire/response.ts'
import { encodeNumbers } from '../../wire/sequence-set.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments, mailboxArgument } from '../arguments.ts'
import { refusedAsTarget, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { expunged } from './expunge.ts'
import { messageSet, someGone, type Naming } from './message-set.ts'

/** RFC 3501 section 6.4.7, with COPYUID (RFC 4315 section 3). */
export function copy(state: SessionState, args: Tokens): Promise<Outcome> {
  return copyMessages(state, args, 'number', 'copy')
}

export function uidCopy(state: SessionState, args: Tokens): Promise<Outcome> {
  return copyMessages(state, args, 'uid', 'copy')
}

/** RFC 6851: COPYUID comes before the EXPUNGE responses, which are told with the news at the end of the command. */
export function move(state: SessionState, args: Tokens): Promise<Outcome> {
  return copyMessages(state, args, 'number', 'move')
}

export function uidMove(state: SessionState, args: Tokens): Promise<Outcome> {
  return copyMessages(state, args, 'uid', 'move')
}

async function copyMessages(state: SessionState, args: Tokens, naming: Naming, how: 'copy' | 'move'): Promise<Outcome> {
  const selected = state.mailbox
  const set = messageSet(selected, args, naming)
  if ('refusal' in set) return set.refusal
  const target = mailboxArgument(state, args)
  if (!args.isAtEnd) return badArguments
  if ('refusal' in target) return target.refusal
  if (how === 'move' && selected.isReadOnly) return no('Mailbox is read-only')
  if (set.messages.length === 0) return ok('No messages matched')
  const uids = set.messages.map(({ record }) => record.uid)
  const done: StoreOutcome<MovedUids> =
    how === 'copy' ? await selected.mailbox.copy(uids, target.name) : await selected.mailbox.move(uids, target.name)
  if (!done.ok) return refusedAsTarget(done.refusal)
  const { uidValidity, from, to, refusal } = done.value
  // A client that copies in order to delete, or moves, must not believe that it did (RFC 2180 section 4.4.1); of UIDs that are gone
  // nothing has to be said (RFC 9051 section 6.4.9).
  if (from.length === 0)
    return naming === 'uid' ? someGone : no('None of the messages is there any more', 'EXPUNGEISSUED')
  state.noteOwn(target.name, uidValidity, to)
  const code: ResponseCode = `COPYUID ${uidValidity} ${encodeNumbers(from)} ${encodeNumbers(to)}`
  if (how === 'copy') return ok('Copy completed', code)
  state.write(`* OK [${code}] Moved to ${encodeMailboxName(target.name, state.isUtf8)}\r\n`)
  selected.view.expunge(from)
  // Some could not be moved: the client learns which were, and that the command failed (RFC 6851 section 3.3).
  if (refusal !== undefined) return refusedAsTarget(refusal)
  return expunged(state, from, 'Move completed')
}
