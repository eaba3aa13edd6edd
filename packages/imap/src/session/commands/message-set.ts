import { NumberRanges, parseSequenceSet } from '../../wire/sequence-set.ts'
import { bad, no, ok, type Completion } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { SelectedMailbox } from '../selected.ts'
import type { NumberedMessage } from '../view.ts'

/** Whether a set holds message sequence numbers or UIDs. */
export type Naming = 'number' | 'uid'

/**
 * Some of the messages are gone, and the client has not been told. A number that it knows must be good for something; a
 * UID that names nothing is ignored without an error (RFC 3501 section 6.4.8).
 */
export function someGone(naming: Naming): Completion {
  const text = 'Some of the messages are gone'
  return naming === 'uid' ? ok(text, 'EXPUNGEISSUED') : no(text, 'EXPUNGEISSUED')
}

export interface NamedMessages {
  readonly messages: readonly NumberedMessage[]
  /** The UIDs that were named, of messages that are gone too; absent when they were named otherwise. */
  readonly uids?: NumberRanges
}

/** `SP sequence-set`: the messages it names, or the refusal. */
export function messageSet(
  selected: SelectedMailbox,
  args: Tokens,
  naming: Naming,
): NamedMessages | { readonly refusal: Completion } {
  if (!args.space()) return { refusal: badArguments }
  // RFC 5182 section 2.1: `$` is what was saved, less what is gone.
  if (args.word('$')) return { messages: savedMessages(selected) }
  const text = args.sequenceSet()
  const set = text === undefined ? undefined : parseSequenceSet(text, args.limits.maxSequenceRanges)
  if (set === undefined) return { refusal: badArguments }
  if (naming === 'uid') {
    return { messages: selected.view.byUids(set), uids: new NumberRanges(set, selected.mailbox.uidNext() - 1) }
  }
  const messages = selected.view.byNumbers(set)
  return messages === undefined ? { refusal: bad('No such message') } : { messages }
}

function savedMessages({ saved, view }: SelectedMailbox): readonly NumberedMessage[] {
  return [...saved]
    .map((uid) => view.byUid(uid))
    .filter((message) => message !== undefined)
    .sort((one, other) => one.number - other.number)
}
