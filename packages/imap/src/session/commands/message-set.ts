import { NumberRanges, parseSequenceSet, rangesOf } from '../../wire/sequence-set.ts'
import { bad, ok, type Completion } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { SelectedMailbox } from '../selected.ts'
import type { NumberedMessage } from '../view.ts'

/** Whether a set holds message sequence numbers or UIDs. */
export type Naming = 'number' | 'uid'

/**
 * Some of the messages are gone, and the client has not been told. That is nobody's fault, and not an error: what could be
 * done has been done, and the code asks for a NOOP (RFC 5530 section 3; RFC 2180 section 4.1.3 for the choice).
 */
export const someGone: Completion = ok('Some of the messages are gone', 'EXPUNGEISSUED')

export interface NamedMessages {
  readonly messages: readonly NumberedMessage[]
  /** The UIDs that were named, of messages that are gone too; absent when numbers were named. */
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
  if (args.word('$')) {
    const messages = savedMessages(selected)
    return { messages, uids: rangesOf(messages.map(({ record }) => record.uid)) }
  }
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
